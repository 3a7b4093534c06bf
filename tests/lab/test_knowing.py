"""How facts travel between real daemons, counted by the kernel."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from lab.lab import Lab
from lab.netns import within
from tests.lab.conftest import SECRET, Federation, a_lab

MANY = 1_000


def traffic(lab: Lab, node: str, way: str = "tx") -> tuple[int, int]:
    """(frames, bytes) of the federation, sent or received by a node so far."""
    found = lab.bytes()[node]["federation"]
    return int(found[f"{way}_frames"]), int(found[f"{way}_bytes"])


def with_many_extensions(federation: Federation) -> None:
    """A thousand extensions, known to all and pushed into every Asterisk."""
    have = federation.get("a", "/status")["extensions"]
    add_desks(federation, range(have, MANY + 20))
    federation.until(federation.whole, 120, what="a thousand extensions everywhere")


def add_desks(federation: Federation, numbers: range) -> None:
    """Extensions, in one go."""
    objects = [
        {"kind": "extension", "extension": str(30_000 + i), "name": f"Desk {i}", "secret": SECRET}
        for i in numbers
    ]
    status, said = federation.lab.http("a", "POST", "/import", {"objects": objects})
    assert status == 200, said


def quiet_moment(lab: Lab, node: str) -> tuple[float, tuple[int, int]]:
    """(earliest moment of the last heartbeat, the counters just after it): half a second of silence follows."""
    before = traffic(lab, node)
    while True:
        earliest = time.monotonic()
        time.sleep(0.005)
        if (now := traffic(lab, node)) != before:
            return earliest, now


def cost(
    lab: Lab, node: str, do: Callable[[], Any], first: Callable[[], Any] = lambda: None
) -> tuple[int, int]:
    """Frames and bytes that something makes a node send, beside its heartbeats. `first`: what makes it news each time."""
    for _ in range(20):
        first()
        heartbeat, (frames, size) = quiet_moment(lab, node)
        do()
        time.sleep(0.1)
        after = traffic(lab, node)
        if time.monotonic() - heartbeat < 0.45:
            return after[0] - frames, after[1] - size
    raise AssertionError("the machine is too busy to find a quiet moment")


def test_one_edit_is_one_frame_whatever_is_known(federation: Federation) -> None:
    """R5, R6: at most 200 bytes for the whole LAN, with a thousand extensions known."""
    with_many_extensions(federation)
    turn = iter(range(100))

    def edit() -> None:
        status, _ = federation.lab.http(
            "a", "PATCH", "/extensions/30500", {"name": f"Renamed {next(turn)}"}
        )
        assert status == 200

    frames, size = cost(federation.lab, "a", edit)
    assert frames == 1
    assert size <= 200
    federation.until(lambda: "Renamed" in str(federation.get("c", "/extensions/30500")["name"]))
    print(f"one edit: {frames} frame, {size} bytes")


def test_a_refreshed_registration_sends_nothing(federation: Federation) -> None:
    """It is no news."""
    federation.phone("1001", "a")
    assert cost(federation.lab, "a", lambda: federation.lab.register("1001", "a")) == (0, 0)


def test_a_new_registration_is_one_frame(federation: Federation) -> None:
    """At most a hundred bytes or so: number, address and stamp, sealed."""
    lab = federation.lab

    def away() -> None:
        federation.phone("1001", "a")
        lab.unregister("1001")
        federation.until(lambda: federation.where("1001", "c") == [])

    frames, size = cost(lab, "a", lambda: lab.register("1001", "a"), away)
    assert frames == 1
    assert size <= 200
    print(f"one registration: {size} bytes")


def test_a_lost_delta_is_repaired(federation: Federation) -> None:
    """The next heartbeat tells, the origin gives."""
    lab = federation.lab
    federation.add("1011")
    for name in "Lost", "Lost again", "And again":
        lab.drop("c", "udp dport 8781 udp length > 60", count=1)
        lab.http("a", "PATCH", "/extensions/1011", {"name": name})
        took = federation.until(partial(named, federation, "c", "1011", name), 3)
        assert lab.dropped("c") >= 1
        lab.undrop("c")
        print(f"repaired after {took:.2f} s")


def named(federation: Federation, node: str, number: str, name: str) -> bool:
    return bool(federation.get(node, f"/extensions/{number}")["name"] == name)


def test_a_restarted_daemon_receives_what_it_missed_and_no_full_state(
    federation: Federation,
) -> None:
    """R5: a node that was away catches up by delta."""
    lab = federation.lab
    with_many_extensions(federation)
    lab.kill("b", "daemon")
    federation.until(lambda: federation.state("a", "b") == "down")
    lab.http("a", "PATCH", "/extensions/30700", {"name": "While b was away"})
    _, before = traffic(lab, "b", "rx")
    lab.start("b", "daemon")
    federation.until(federation.whole)
    _, after = traffic(lab, "b", "rx")
    assert federation.get("b", "/extensions/30700")["name"] == "While b was away"
    assert after - before < 6_000
    print(f"caught up with {after - before} bytes, heartbeats included")


def test_two_federations_on_one_lan_do_not_see_each_other_and_garbage_changes_nothing(
    federation: Federation,
) -> None:
    """Another key is another federation; what does not verify is counted by reason."""
    lab = federation.lab
    before, dropped = federation.objects(), dropped_by(federation, "a")
    frames = [
        b"",
        b"x",
        bytes(25),
        b"\x11" + bytes(60),
        b"\x12" + bytes(90),
        b"\x21" * 50,
        bytes(1_400),
    ]

    def shout() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(200):
                for frame in frames:
                    sock.sendto(frame, ("239.255.77.80", 8781))
                time.sleep(0.002)  # a busy node's kernel has room for some hundred at once

    within(lab.node("b").phones.namespace, shout)
    federation.until(
        lambda: (dropped_by(federation, "a") - dropped).total() >= 1_300, what="all are counted"
    )
    assert {"malformed", "key", "session", "version"} <= set(dropped_by(federation, "a") - dropped)
    assert 'pbxfed_frames_dropped_total{reason="key"}' in str(lab.http("a", "GET", "/metrics")[1])
    federation.until(federation.whole)
    assert federation.objects() == before


def dropped_by(federation: Federation, node: str) -> Counter[str]:
    """How many frames a node has not taken, by reason."""
    return Counter(federation.get(node, "/status")["counters"]["frames_dropped"])


def test_a_joiner_receives_the_state_once() -> None:
    """And a second federation with another key on the same LAN stays alone. A lab of its own: four nodes, three joined."""
    with a_lab("join", 4) as lab:
        f = Federation(lab)
        f.until(lambda: f.whole("abcd"))
        lab.kill("d", "daemon")
        f.until(lambda: f.state("a", "d") == "down")
        add_desks(f, range(MANY))
        f.until(lambda: f.whole("abc"), 120)
        state = lab.node("d").folder / "state"
        for path in state.glob("state.db*"):
            path.unlink()  # its keys are not in the store
        _, before = traffic(lab, "d", "rx")
        lab.start("d", "daemon")
        took = f.until(lambda: f.get("d", "/status")["extensions"] == MANY, 20)
        time.sleep(3.0)
        _, joined = traffic(lab, "d", "rx")
        time.sleep(3.0)
        _, later = traffic(lab, "d", "rx")
        print(
            f"joined {MANY} extensions in {took:.2f} s with {joined - before} bytes; then {(later - joined) / 3:.0f} B/s"
        )
        assert joined - before < 200 * MANY
        assert later - joined < 6_000

        stranger = lab.places.state / "other.key"
        stranger.touch(mode=0o600)
        stranger.write_text("5" * 64)
        lab.kill("d", "daemon")
        lab.configure("d", "federation", "key_file", str(stranger))
        assert "is not the key that the federation" in f.refused("d", "run")
        lab.configure("d", "node", "state", str(state.with_name("another")))
        lab.start("d", "daemon")
        time.sleep(3.0)
        assert [m["node"] for m in f.get("d", "/members")] == ["d"]
        assert f.state("a", "d") == "down"
