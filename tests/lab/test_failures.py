"""Death and its imitations: who is killed is avoided at once, who is only busy is not declared dead."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from lab.netns import socket_in
from lab.places import LabError
from lab.process import Process
from pbxfed_ari.core.membership.takeover import ASK
from pbxfed_ari.core.names import Extension
from pbxfed_ari.store.sqlite import Store
from tests.lab.conftest import SECRET, Federation

TRIALS = 20
BAR = 3.0  # seconds in which a dead node is down everywhere
DEAD_END = 14.0  # seconds after which nobody talks with a node that is out of reach; on a busy machine later
REACHED = 5.0  # seconds in which its phones can be called again


def test_a_killed_node_is_down_everywhere_within_three_seconds_and_calls_avoid_it(
    federation: Federation,
) -> None:
    """Twenty deaths. Of two phones that stood on the dead node one is there: its heir calls it. The other is not: 480, soon."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1006", "b")
    federation.phone("1013", "b")
    lab.unplug("1013")
    at = lab.phone("1006")["contact"]
    took: list[float] = []
    reached: list[float] = []
    for trial in range(TRIALS):
        lab.kill("b")
        killed = time.monotonic()
        if trial % 2:
            call = lab.dial("1001", "1006")
            reached.append(time.monotonic() - killed)
            lab.hang_up(call)
        federation.until(
            lambda: federation.state("a", "b") == "down" and federation.state("c", "b") == "down",
            BAR + 2,
        )
        took.append(time.monotonic() - killed)
        began = time.monotonic()
        result = lab.call("1001", "1013" if trial % 2 else "1006", hold=0.3)
        if trial % 2:
            assert str(result.cause).startswith("480"), result
            assert time.monotonic() - began < ASK + 1.0
        else:
            assert result.ok, result
            assert result.invites == 1
            assert result.setup_ms is not None
            assert result.setup_ms < 1_000
            assert at in lab.pbxfed("a", "where", "1006")
        lab.start("b")
        federation.until(federation.whole)
    print(
        f"down everywhere after {sorted(took)[len(took) // 2]:.2f} s (median), {max(took):.2f} s (worst of {TRIALS})"
    )
    print(
        f"called at once: answered {sorted(reached)[len(reached) // 2]:.2f} s after it, {max(reached):.2f} s worst"
    )
    assert max(took) <= BAR
    assert max(reached) <= REACHED


def test_who_talks_with_a_dead_node_is_not_left_in_silence(federation: Federation) -> None:
    """If only its daemon is dead they talk on; if its Asterisk is, or it is out of reach, the call ends, and nothing stays."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    call = lab.dial("1001", "1003")
    lab.kill("c", "daemon")
    federation.until(lambda: federation.state("a", "c") == "down")
    time.sleep(DEAD_END)
    assert len(federation.get("a", "/calls")) == 1
    lab.start("c", "daemon")
    assert lab.finish(call).ok
    federation.until(federation.whole, 30)
    for caller, called in ("1001", "1003"), ("1003", "1001"):
        call = lab.dial(caller, called)
        lab.kill("c", "asterisk")
        try:
            took = federation.until(lambda: federation.get("a", "/calls") == [], 5)
            print(f"the call of {caller} ended {took:.1f} s after Asterisk was killed")
            assert lab.asterisk("a", "core show channels count").startswith("0 active channels")
        finally:
            lab.start("c", "asterisk")
            with suppress(LabError):
                lab.finish(call)
        federation.until(federation.whole, 30)
        federation.until(lambda: federation.where("1003", "a") == ["c"], 10)
    call = lab.dial("1001", "1003")
    time.sleep(1.0)
    lab.cut("c")
    try:
        took = federation.until(
            lambda: all(federation.get(node, "/calls") == [] for node in "ac"), 2 * DEAD_END
        )
        print(f"the call ended {took:.1f} s after the cable was cut")
        for node in "ac":
            assert lab.asterisk(node, "core show channels count").startswith("0 active channels")
    finally:
        lab.heal()
        with suppress(LabError):
            lab.finish(call)
    federation.until(federation.whole, 30)
    for node in "ac":
        ended = federation.get(node, "/calls/records?last=true&limit=1&parts=true")[0]
        assert ended["answered"], ended


def test_no_living_node_is_declared_down_while_the_machine_is_busy(federation: Federation) -> None:
    """Twice as many busy programs as cores, for twenty seconds: suspected perhaps, never dead."""
    logs = [node.folder / "log" / "pbxfed.log" for node in federation.lab.nodes()]
    before = [len(log.read_text()) for log in logs]
    spin = "import time\nend = time.time() + 20\nwhile time.time() < end: pass"
    busy = [
        subprocess.Popen([sys.executable, "-c", spin]) for _ in range(2 * (os.cpu_count() or 1))
    ]
    for program in busy:
        program.wait()
    said = "".join(log.read_text()[mark:] for log, mark in zip(logs, before, strict=True))
    print(f"suspected {said.count('member suspect')} times")
    assert "member down" not in said
    assert federation.whole()


def test_a_cut_node_serves_its_own_phones_and_comes_back_by_itself(federation: Federation) -> None:
    """R1, R12: alone it is a PBX; healed it is a member, without anybody's help."""
    lab = federation.lab
    for number, node in ("1001", "a"), ("1003", "c"):
        federation.phone(number, node)
    lab.cut("c")
    federation.until(
        lambda: federation.state("a", "c") == "down" and federation.state("c", "a") == "down"
    )
    status, _ = lab.http(
        "c", "PUT", "/extensions/1012", {"name": "Island", "secret": "island-secret-7"}
    )
    assert status == 201
    lab.http("a", "PATCH", "/extensions/1001", {"name": "Mainland"})
    lab.heal()
    took = federation.until(federation.whole)
    assert federation.get("a", "/extensions/1012")["name"] == "Island"
    assert federation.get("c", "/extensions/1001")["name"] == "Mainland"
    lab.http("a", "PATCH", "/extensions/1001", {"name": "Phone 1001"})
    federation.until(federation.whole)
    assert lab.call("1001", "1003", hold=0.6).ok
    print(f"whole {took:.2f} s after healing")


def test_a_paused_daemon_accuses_nobody_and_is_welcome_back(federation: Federation) -> None:
    """SIGSTOP for four seconds: the others go on without it; on its return nobody has died in its eyes."""
    lab = federation.lab
    daemon = daemon_of(federation, "b")
    log = lab.node("b").folder / "log" / "pbxfed.log"
    before = log.read_text().count("member down")
    daemon.signal(signal.SIGSTOP)
    try:
        federation.until(lambda: federation.state("a", "b") == "down")
        time.sleep(1.0)
    finally:
        daemon.signal(signal.SIGCONT)
    federation.until(federation.whole)
    assert log.read_text().count("member down") == before


def daemon_of(federation: Federation, node: str) -> Process:
    found = Process.load(federation.lab.places.run / f"{node}.daemon")
    assert found is not None
    return found


def condition(federation: Federation, node: str) -> str:
    """What a node holds of c."""
    found = next(m for m in federation.get(node, "/members") if m["node"] == "c")
    assert found["state"] == "alive"
    return str(found["condition"])


def left_the_ring(federation: Federation, node: str) -> bool:
    others = [name for name in "abc" if name != node]
    rings = [federation.get(name, "/ring")["members"] for name in others]
    return all(node not in [one["node"] for one in ring] for ring in rings)


@contextmanager
def disk_of_its_own(federation: Federation, *mount: str) -> Iterator[Path]:
    """The folder node.state of c on a disk that is mounted so; c is whole on it, and on its old one afterwards."""
    lab = federation.lab
    federation.until(federation.whole)
    state = lab.node("c").folder / "state"
    lab.kill("c", "daemon")
    federation.until(lambda: federation.state("a", "c") == "down")
    kept = lab.node("c").folder / "state.kept"
    state.rename(kept)
    state.mkdir()
    subprocess.run(["mount", *mount, str(state)], check=True)
    try:
        with closing(sqlite3.connect(kept / "state.db")) as store:  # else its journal has room
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for path in kept.iterdir():
            shutil.copy(path, state)
        lab.start("c", "daemon")
        federation.until(federation.whole)
        yield state
    finally:
        lab.kill("c", "daemon")
        subprocess.run(["umount", "-l", str(state)], check=True)
        shutil.rmtree(state)
        kept.rename(state)
        lab.start("c", "daemon")
    federation.until(federation.whole)


def test_a_full_disk_is_told_and_leaves_no_hole(federation: Federation, tmp_path: Path) -> None:
    """What could not be kept is written when there is room, without a restart; no secret stands in the log."""
    lab = federation.lab
    with disk_of_its_own(federation, "-t", "tmpfs", "-o", "size=12m", "tmpfs") as state:
        with (state / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))
        took = federation.until(lambda: left_the_ring(federation, "c"), what="c steps aside")
        assert "the disk of node.state has 0.0 MB left of 12.0 MB" in str(
            lab.http("c", "GET", "/health")[1]["reasons"]
        )
        print(f"full disk: out of the ring after {took:.1f} s")
        for i in range(20):
            lab.http(
                "a",
                "PUT",
                f"/extensions/{41_000 + i}",
                {"name": "x" * 60, "secret": "full-disk-secret-7"},
            )
        federation.until(
            lambda: lab.http("c", "GET", "/health")[0] == 503, what="c says that its disk is full"
        )
        assert "nothing is kept" in str(lab.http("c", "GET", "/health")[1]["reasons"])
        assert (
            lab.http(
                "c", "PUT", "/extensions/41200", {"name": "x", "secret": "full-disk-secret-7"}
            )[0]
            == 507
        )
        (state / "ballast").unlink()
        home = federation.until(federation.whole, 40, what="c has kept all of it")
        print(f"full disk: whole {home:.1f} s after there was room")
        lab.http("a", "PUT", "/extensions/41100", {"name": "later", "secret": "full-disk-secret-7"})
        federation.until(federation.whole)
        lab.kill("c", "daemon")
        for path in state.glob("state.db*"):
            shutil.copy(path, tmp_path)
        kept = Store(tmp_path / "state.db").load()
        numbers = (*range(41_000, 41_020), 41_100)
        assert all(kept.catalogue.phone(Extension(str(number))) for number in numbers)
        lab.start("c", "daemon")
        federation.until(federation.whole)
        log = (lab.node("c").folder / "log" / "pbxfed.log").read_text()
        assert "full-disk-secret-7" not in log
        assert "Traceback" not in log


@contextmanager
def frozen(disk: Path) -> Iterator[None]:
    """Who writes to it waits, and cannot even be killed; reading goes on."""
    subprocess.run(["fsfreeze", "--freeze", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(disk)], check=True)


def test_a_hung_disk_makes_a_node_step_aside_and_its_calls_go_on(
    federation: Federation, tmp_path: Path
) -> None:
    """Nothing is refused, writes do not return: the daemon lives on, and writes all of it when the disk answers again."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], check=True)
    with disk_of_its_own(federation, "-o", "loop", str(image)) as state:
        before = (lab.node("a").folder / "log" / "pbxfed.log").read_text().count("member down")
        older = {one["call"] for one in federation.get("c", "/calls/records")}
        with frozen(state):
            began, edit = time.monotonic(), {"name": "y", "secret": SECRET}
            status, said = lab.http("c", "PUT", "/extensions/41300", edit)
            assert (status, "did not answer in time" in said["detail"]) == (503, True)
            assert lab.http("a", "GET", "/extensions/41300")[0] == 200
            federation.until(lambda: left_the_ring(federation, "c"), what="c steps aside")
            took = time.monotonic() - began
            status, health = lab.http("c", "GET", "/health")
            assert status == 503
            assert "the disk of node.state has not taken a write for" in str(health["reasons"])
            assert {"sick 5/10"} == {condition(federation, node) for node in "ab"}
            assert lab.http("c", "PUT", "/extensions/41301", edit)[0] == 507
            assert lab.http("c", "GET", "/calls/records")[0] == 503
            for caller, number in ("1003", "1001"), ("1001", "1003"):
                result = lab.call(caller, number, hold=0.4)
                assert result.ok, result
        home = federation.until(lambda: not left_the_ring(federation, "c"), 30, what="c returns")
        assert lab.http("c", "PUT", "/extensions/41301", edit)[0] in (200, 201)
        records = [r for r in federation.get("c", "/calls/records") if r["call"] not in older]
        assert [one["to"] for one in records] == ["1001"]
        log = (lab.node("a").folder / "log" / "pbxfed.log").read_text()
        assert log.count("member down") == before
        lab.kill("c", "daemon")
        for path in state.glob("state.db*"):
            shutil.copy(path, tmp_path)
        kept = Store(tmp_path / "state.db").load()
        assert kept.catalogue.phone(Extension("41300")) is not None
        assert kept.catalogue.phone(Extension("41301")) is not None
        lab.start("c", "daemon")
        print(f"hung disk: out of the ring after {took:.1f} s, back after {home:.1f} s")
    for number in "41300", "41301":
        lab.http("a", "DELETE", f"/extensions/{number}")


def test_a_stopped_daemon_goes_at_once_whatever_its_clients_do(federation: Federation) -> None:
    """SIGTERM with half a request in the air: gone within two seconds, and it does not come back to life meanwhile."""
    lab = federation.lab
    daemon = daemon_of(federation, "b")
    half = socket_in(lab.node("b").host.namespace)
    half.connect(("127.0.0.1", 8780))
    half.sendall(
        b"PUT /extensions/1001 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    federation.until(lambda: federation.state("a", "b") == "left", 2)
    while daemon.alive():
        assert time.monotonic() - began < 3
        assert federation.state("a", "b") == "left"
        time.sleep(0.05)
    half.close()
    lab.start("b", "daemon")
    federation.until(federation.whole)
