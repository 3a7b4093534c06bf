"""Sick in each way that a lab can make: what the others see, when, that calls go elsewhere, and that it ends by itself.

The figures that it prints stand in docs/health.md.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from lab.netns import socket_in
from lab.process import Process
from tests.lab.conftest import Federation

HUNG_WITHIN = 3.0  # seconds
TRIALS = int(os.environ.get("PBXFED_TRIALS", "1"))
APART = 6.0  # seconds between two: who hangs every few seconds is sick, too
READ_LOCKS = 123, 5  # the first byte and the number of them
CPU = Path("/sys/fs/cgroup/cpu")  # version 1: where its files are, groups can be made


@pytest.fixture(scope="module")
def checked(lab: Any) -> Federation:
    """The federation; c reads its sensors, and has three checks, which fail, hang or print without end once a file is there."""
    federation = Federation(lab)
    federation.until(federation.whole)
    node = lab.node("c")
    node.configure("health", "ignore", ["load"])
    once = {"shell": True, "every": 1, "timeout": 2}
    for name, bad in ("fails", "exit 2"), ("hangs", "sleep 600"), ("floods", "exec yes"):
        file = node.folder / name
        text = f"test -e {file} || exit 0; echo about to; {bad}"
        node.configure("checks", name, {**once, "command": text, "weight": 2})
    lab.kill("c", "daemon")
    lab.start("c", "daemon")
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    return federation


def condition(federation: Federation, peer: str = "c", node: str = "a") -> str:
    """What a node holds of a peer's condition, down included."""
    found = next(m for m in federation.get(node, "/members") if m["node"] == peer)
    return str(found["condition"] if found["state"] == "alive" else found["state"])


def ring(federation: Federation, node: str = "a") -> list[str]:
    return [one["node"] for one in federation.get(node, "/ring")["members"]]


def left(federation: Federation, seconds: float = 30.0) -> float:
    """How long it took until c was out of both others' rings."""
    return federation.until(
        lambda: ring(federation) == ring(federation, "b") == ["a", "b"], seconds, what="c leaves"
    )


def back(federation: Federation, seconds: float = 40.0) -> float:
    """How long it took until it was in them again."""
    return federation.until(
        lambda: ring(federation) == ring(federation, "b") == ["a", "b", "c"],
        seconds,
        what="c returns",
    )


def arrives_elsewhere(federation: Federation) -> None:
    """The phone of c registers where DNS sends it now, and is called there."""
    lab = federation.lab
    lab.register("1003", "b")
    federation.until(lambda: federation.where("1003", "a") == ["b"])
    result = lab.call("1001", "1003", hold=0.4)
    assert result.ok, result
    assert result.nodes == ("a", "b")


def comes_home(federation: Federation) -> None:
    federation.lab.register("1003", "c")
    federation.until(lambda: federation.where("1003", "a") == ["c"])


def reasons(federation: Federation) -> str:
    status, body = federation.lab.http("c", "GET", "/health")
    assert status == 503, body
    return "\n".join(body["reasons"])


@contextmanager
def stopped(federation: Federation) -> Iterator[None]:
    """The Asterisk of c stands still."""
    found = Process.load(federation.lab.places.run / "c.asterisk")
    assert found is not None
    os.kill(found.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(found.pid, signal.SIGCONT)


def test_a_hung_asterisk_is_out_within_three_seconds_and_comes_back_by_itself(
    checked: Federation,
) -> None:
    """Its daemon lives and answers every ping: only ARI's silence tells. Nothing but SIGCONT brings it back."""
    out: list[float] = []
    home: list[float] = []
    for trial in range(TRIALS):
        time.sleep(APART if trial else 0)
        with stopped(checked):
            out.append(left(checked))
            assert condition(checked).startswith("no Asterisk"), reasons(checked)
            if not trial:
                arrives_elsewhere(checked)
        home.append(back(checked))
    comes_home(checked)
    print(f"hung Asterisk: out after {figures(out)}, back after {figures(home)}")
    assert max(out) <= HUNG_WITHIN


def test_checks_that_fail_hang_or_flood_make_a_node_sick_each_with_its_reason(
    checked: Federation,
) -> None:
    """Two tenths each: with the third it leaves. Cut off, none of them lives on."""
    folder = checked.lab.node("c").folder
    files = [folder / name for name in ("fails", "hangs", "floods")]
    for file in files[:2]:
        file.touch()
    checked.until(lambda: condition(checked) == "poorly 4/10")
    assert ring(checked) == ["a", "b", "c"]
    assert checked.lab.http("c", "GET", "/health")[1]["status"] == "poorly"
    files[2].touch()
    took = left(checked)
    said = reasons(checked)
    for words in (
        "check fails: exit code 2, says 'about to' (limit exit code 0), costs 2 of 10; run it by hand",
        "check hangs: did not end within 2 s, cut off, says 'about to'",
        "check floods: printed more than 64 kB, cut off",
    ):
        assert words in said
    assert "reason      check floods:" in checked.lab.pbxfed("c", "status")
    arrives_elsewhere(checked)
    for file in files:
        file.unlink()
    home = back(checked)
    comes_home(checked)
    begun = [e["fields"] for e in told(checked, "health_reason")]
    assert {"check fails", "check hangs", "check floods"} <= {one["sensor"] for one in begun}
    checked.until(lambda: told(checked, "health_reason_over") != [])
    lines = [_command_line(pid) for pid in checked.lab.network.pids()]
    assert any("pbxfed" in line for line in lines)
    assert not [line for line in lines if "sleep 600" in line or line.startswith("yes")]
    print(f"checks: out {took:.1f} s after the third one failed, back after {home:.1f} s")


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def told(federation: Federation, name: str) -> list[dict[str, Any]]:
    found = federation.get("c", "/events?limit=1000")
    return [event for event in found if event["event"] == name]


def test_a_sip_stack_that_answers_nobody_is_noticed_though_ari_answers(checked: Federation) -> None:
    """As after a deadlock in PJSIP: only an OPTIONS of our own tells."""
    with rule(checked, "iif lo udp dport 5060 drop"):
        took = left(checked)
        assert condition(checked) == "sick 10/10"
        assert "this node's own SIP answers after never (limit 0.5 s), costs 10 of 10" in reasons(
            checked
        )
        arrives_elsewhere(checked)
    home = back(checked)
    comes_home(checked)
    print(f"deaf SIP stack: out after {took:.1f} s, back after {home:.1f} s")


@contextmanager
def rule(federation: Federation, text: str) -> Iterator[None]:
    """A rule of the packet filter on c."""
    namespace = federation.lab.node("c").host.namespace
    table = f"add table inet t\nadd chain inet t c {{ type filter hook input priority 0; }}\nadd rule inet t c {text}\n"
    run = ["ip", "netns", "exec", namespace, "nft"]
    subprocess.run([*run, "-f", "-"], input=table, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*run, "delete", "table", "inet", "t"], check=True)


@contextmanager
def unread(federation: Federation) -> Iterator[None]:
    """Who reads the pushed objects of c waits, as if the disk hung: readers find all locks held (sqlite.org/walformat.html).

    Asterisk reads on within a transaction that it has begun, and ends it when it has something to write.
    """
    lab = federation.lab
    file = lab.node("c").folder / "lib" / "pbxfed.sqlite3-shm"
    with file.open("r+b") as index:

        def locked() -> bool:
            with suppress(OSError):
                fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, READ_LOCKS[1], READ_LOCKS[0])
                return True
            assert (
                lab.http("c", "PATCH", "/extensions/1003", {"name": secrets.token_hex(4)})[0] == 200
            )
            return False

        federation.until(locked, what="nobody reads")
        yield
    assert lab.http("c", "PATCH", "/extensions/1003", {"name": "Phone 1003"})[0] == 200


def ask(link: socket.socket, requests: int) -> None:
    """Ask an Asterisk this much. One Call-ID: all of it goes into one queue of PJSIP's (res_pjsip/pjsip_distributor.c)."""
    host, port = link.getsockname()
    for _ in range(requests):
        lines = (
            f"OPTIONS sip:x@{host} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{secrets.token_hex(8)};rport",
            f"From: <sip:x@{host}>;tag=1",
            f"To: <sip:x@{host}>",
            "Call-ID: many",
            "CSeq: 1 OPTIONS",
            "Max-Forwards: 70",
            "Content-Length: 0",
        )
        link.send("\r\n".join((*lines, "", "")).encode())


def test_a_queue_above_high_water_is_told_with_its_name(checked: Federation) -> None:
    """Its database hangs, and each request needs it. PJSIP refuses what comes then; only Asterisk's command line tells why."""
    node = checked.lab.node("c")

    def said() -> str:
        return "\n".join(checked.lab.http("c", "GET", "/health")[1]["reasons"])

    def told() -> bool:
        ask(link, 50)
        return "queues of Asterisk are above their high water: pjsip 1" in said()

    with unread(checked), socket_in(node.phones.namespace, socket.SOCK_DGRAM) as link:
        link.connect((node.host.address, 5060))
        checked.until(told)
    checked.until(lambda: "queues" not in said(), 40)
    back(checked)


@contextmanager
def starved(federation: Federation, percent: int) -> Iterator[None]:
    """All of node c, and two programs that never rest, get so little of one core, a second at a time (a control group)."""
    group = CPU / f"{federation.lab.places.prefix}-c"
    group.mkdir()
    (group / "cpu.cfs_period_us").write_text("1000000")
    (group / "cpu.cfs_quota_us").write_text(str(10_000 * percent))
    spin = [sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(spin) for _ in range(2)]
    records = [federation.lab.places.run / f"c.{part}" for part in ("asterisk", "daemon")]
    own = [found.pid for record in records if (found := Process.load(record)) is not None]
    assert len(own) == 2
    for pid in (*own, *(hog.pid for hog in hogs)):
        (group / "cgroup.procs").write_text(str(pid))
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
        until = time.monotonic() + 5
        while group.exists():  # who was begun or has ended in it just now is in it for a moment
            assert time.monotonic() < until, f"{group} stays"
            with suppress(OSError):
                for line in (group / "cgroup.procs").read_text().split():
                    (CPU / "cgroup.procs").write_text(line)
                group.rmdir()
            time.sleep(0.05)


def test_a_starved_node_steps_aside_and_comes_back(checked: Federation) -> None:
    """It lives, and answers each probe in time; what it has to do comes a second late."""
    if not (CPU / "cpu.cfs_quota_us").exists():
        pytest.skip("no CPU control groups (version 1) can be made here: nothing can be starved")
    seen: dict[str, float] = {}
    with starved(checked, 4):
        began = time.monotonic()

        def noted() -> bool:
            seen.setdefault(condition(checked), round(time.monotonic() - began, 1))
            return "c" not in ring(checked) and "c" not in ring(checked, "b")

        took = checked.until(noted, 60)
        arrives_elsewhere(checked)
    home = back(checked, 60)
    comes_home(checked)
    print(f"starved: out after {took:.1f} s, seen {seen}, back after {home:.1f} s")


def figures(seconds: list[float]) -> str:
    found = sorted(seconds)
    return f"{found[len(found) // 2]:.2f} s (median), {found[-1]:.2f} s (worst of {len(found)})"
