"""The lab in containers, in a Docker engine of its own: the same commands, real calls, and nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import compose
from lab.compose import FILES, ComposeLab, docker
from lab.engine import Engine, NoEngine
from lab.places import CHECKOUT, LabError, Places
from tests import documents

SECRET = "correct-horse-9"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A Docker engine of the lab's own, whose client is `docker` while it runs."""
    engine = Engine()
    engine.wait_free()
    try:
        engine.start()
    except NoEngine as reason:
        pytest.skip(f"not run: {reason}")
    engine.docker("volume", "prune", "--all", "--force")  # of a run that was killed
    engine.docker("network", "prune", "--force")
    with pytest.MonkeyPatch.context() as patch:
        engine.ensure_base()
        for name, value in engine.environment().items():
            patch.setenv(name, value)
        patch.setenv("PBXFED_LAB", str(CHECKOUT / ".lab-docker"))
        yield engine
    engine.stop()


@pytest.fixture(scope="module")
def lab(engine: Engine) -> Iterator[ComposeLab]:
    """Three nodes; 1001 is registered at a, 1002 at c."""
    (typed,) = [b for b in documents.blocks() if b.by == "tests/docker/test_compose.py"]
    # docker compose … up, python -m lab exec, phone register, call: the last line is a call that both hear
    subprocess.run(["bash", "-e", "-c", typed.text], cwd=CHECKOUT, check=True)
    lab = ComposeLab()
    until(lambda: all(known(lab, name, "1002") for name in "abc"))
    until(lambda: at(lab, "1002", seen_from="a") == ["c"])
    yield lab
    lab.down()
    engine.docker("image", "prune", "--force")
    engine.docker("builder", "prune", "--force", "--keep-storage", "3gb")


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


def known(lab: ComposeLab, node: str, number: str) -> bool:
    return lab.http(node, "GET", f"/extensions/{number}")[0] == 200


def at(lab: ComposeLab, number: str, *, seen_from: str) -> list[str]:
    status, body = lab.http(seen_from, "GET", f"/where/{number}")
    return [place["node"] for place in body["registrations"]] if status == 200 else []


def state(lab: ComposeLab, peer: str, *, seen_from: str = "a") -> str:
    members = lab.http(seen_from, "GET", "/members")[1]
    return next((str(m["state"]) for m in members if m["node"] == peer), "unknown")


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """The lab's command line."""
    command = [sys.executable, "-m", "lab", *argv]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def test_a_call_crosses_nodes_and_each_hears_the_other(lab: ComposeLab) -> None:
    """By the command line, which finds the containers by itself."""
    done = run("call", "1001", "1002")
    assert done.returncode == 0, done
    assert "(a → c, over sip)" in done.stdout
    assert "both heard" in done.stdout


def test_nodes_of_one_network_hear_each_other_by_multicast(lab: ComposeLab) -> None:
    members = lab.http("a", "GET", "/members")[1]
    assert {m["heard_by"] for m in members if m["node"] != "a"} == {"multicast"}


def test_commands_run_in_the_nodes(lab: ComposeLab) -> None:
    done = run("exec", "b", "--", "pbxfed", "route", "1002")
    assert "1002 is registered on c" in done.stdout
    assert "Asterisk 22" in lab.exec("b", ["asterisk", "-V"], capture_output=True).stdout


def test_there_are_no_cables(lab: ComposeLab) -> None:
    done = run("cut", "a")
    assert done.returncode == 1
    assert "a lab in containers has no cables" in done.stderr


def test_up_twice_changes_nothing(lab: ComposeLab) -> None:
    before = docker("ps", "-q")
    lab.up()
    assert docker("ps", "-q") == before
    assert lab.call("1001", "1002").ok


def test_a_killed_daemon_stays_dead_until_it_is_started(lab: ComposeLab) -> None:
    lab.kill("b", "daemon")
    node = lab.node("b")
    assert (node.asterisk_up(), node.daemon_up()) == (True, False)
    until(lambda: state(lab, "b") == "down")
    lab.start("b", "daemon")
    until(lambda: state(lab, "b") == "alive")


def test_a_daemon_that_ends_by_itself_is_started_again(lab: ComposeLab) -> None:
    find = "grep -laE 'pbxfed.toml.ru[n]' /proc/[0-9]*/cmdline | cut -d/ -f3"
    lab.exec("b", ["bash", "-c", f"kill -9 $({find})"])
    until(lambda: "it is started again" in lab.logs("b"))
    until(lambda: lab.node("b").daemon_up() and state(lab, "b") == "alive")


def test_a_phone_of_a_killed_node_is_reached_at_another(lab: ComposeLab) -> None:
    lab.kill("c")
    until(lambda: state(lab, "c") == "down")
    lab.register("1002", "b")
    until(lambda: at(lab, "1002", seen_from="a") == ["b"])
    call = lab.call("1001", "1002")
    assert (call.ok, call.nodes) == (True, ("a", "b"))
    lab.start("c")
    until(lambda: state(lab, "c") == "alive")


def test_a_stopped_node_takes_its_leave(lab: ComposeLab) -> None:
    """SIGTERM: it ends with 0 long before Docker would kill it, and nobody has to wait for its silence."""
    container = lab.node("c").container.id
    docker("stop", "--time", "10", container)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == b"0"
    assert state(lab, "c") in ("left", "unknown")
    lab.start("c")
    until(lambda: state(lab, "c") == "alive")


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("PBXFED_NOD_NAME=x", "PBXFED_NOD_NAME: nothing reads it; meant PBXFED_NODE_NAME?"),
        ("PBXFED_NODE_NAME=A B", "node.name = 'A B': must be"),
        ("PBXFED_ROUTES=10.0.0.0/8 via 1.2.3.4", "cap_add: NET_ADMIN?"),
    ],
)
def test_a_node_that_cannot_be_says_why_and_ends(lab: ComposeLab, variable: str, said: str) -> None:
    with pytest.raises(LabError) as refused:
        docker("run", "--rm", "--init", "-e", variable, "pbxfed")
    assert said in str(refused.value)


def test_addresses_that_are_taken_are_named(lab: ComposeLab) -> None:
    try:
        with pytest.raises(LabError, match=r"Pool overlaps .*docker network ls"):
            docker("compose", "-p", "other", "-f", str(FILES[1]), "up", "-d")
    finally:
        docker("compose", "-p", "other", "-f", str(FILES[1]), "down", "-v")


def test_a_killed_engine_is_named_and_the_lab_comes_back(lab: ComposeLab, engine: Engine) -> None:
    """All containers die with it, as when the machine dies; what the nodes know is in volumes."""
    engine.kill()
    done = run("status")
    assert done.returncode == 1
    assert "Cannot connect to the Docker daemon" in done.stderr
    assert "python -m lab.engine up" in done.stderr
    engine.start()
    lab.up()
    assert all(known(lab, name, "1002") for name in "abc")
    lab.register("1001", "a")
    lab.register("1002", "c")
    until(lambda: at(lab, "1002", seen_from="a") == ["c"])
    assert lab.call("1001", "1002").ok


def test_two_sites_meet_at_a_nats_server_and_down_leaves_nothing(
    lab: ComposeLab, engine: Engine
) -> None:
    lab.down()
    assert not run("up", "--docker", "--sites", "2").returncode
    sites = ComposeLab()
    for number in ("1001", "1002"):
        sites.add_extension(number, secret=SECRET)
    until(lambda: known(sites, "d", "1002"))
    sites.register("1001", "a")
    sites.register("1002", "d")
    until(lambda: at(sites, "1002", seen_from="a") == ["d"])
    assert run("call", "1001", "1002").returncode == 0
    assert state(sites, "d") == "alive"
    heard = {m["node"]: m.get("heard_by") for m in sites.http("a", "GET", "/members")[1]}
    assert (heard["b"], heard["c"], heard["d"]) == ("wan", "multicast", "wan")
    sites.kill("hub")
    assert sites.status()["wan"]["hub"]["state"] == "down"
    sites.start("hub")
    assert run("down").returncode == 0
    assert docker("ps", "-aq") == b""
    assert docker("volume", "ls", "-q") == b""
    assert docker("network", "ls", "-q", "--filter", "type=custom") == b""
    assert not Places.of_containers().state.exists()
    engine.stop()
    assert "docker" not in Path("/proc/mounts").read_text()
    assert not list(Path("/sys/fs/cgroup").glob("**/pbxfed-lab-docker"))
    assert not _engine_processes()
    engine.start()  # for those that come after


def _engine_processes() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "docker-engine" in line and str(os.getpid()) not in entry.parts:
            found.append(line)
    return found


def test_without_the_program_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LabError, match="there is no such program"):
        compose.docker("ps")
