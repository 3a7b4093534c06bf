"""Measures with real Asterisks: what we add to a call's setup, and how long a dead node is thought alive, or a living one dead.

PBXFED_BENCH_CALLS (60) calls of each kind and PBXFED_BENCH_TRIALS (25) deaths are made.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from random import Random
from statistics import median

from lab.phone import PhoneRefused
from tests.bench.table import Row, p99, spread
from tests.lab.conftest import Federation, a_lab
from tests.lab.naming import Change, asterisk_killed, cut, killed, listen

CALLS = int(os.environ.get("PBXFED_BENCH_CALLS", "60"))
TRIALS = int(os.environ.get("PBXFED_BENCH_TRIALS", "25"))
CHANGES = 6  # of each kind that dig is to see: five seconds each
NAMED = 2.0  # seconds

# The same phones, trunks and authentication, without us: 9… is dialed here, 8… at node b by SIP, 6… by IAX2.
PLAIN = """
[pbxfed-phones](+)
exten => _9XXXX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},30)
exten => _8XXXX,1,Dial(PJSIP/${EXTEN}@pf-b,30)
exten => _6XXXX,1,Dial(IAX2/pf-b/${EXTEN},30)
[pbxfed-trunk](+)
exten => _8XXXX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},30)
exten => _6XXXX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},30)
"""
WAYS = (  # plain, ours, our trunks, and by how many ms we may be slower
    ("local", "91002", "1002", ["sip", "iax2"], 3.0),
    ("cross-node, SIP", "81003", "1003", ["sip", "iax2"], 6.0),
    ("cross-node, IAX2", "61003", "1003", ["iax2", "sip"], 6.0),
)
OWNED = "on each node a channel is made by ARI, and two put into a bridge, before the phone is rung"


def calls() -> list[Row]:
    """INVITE sent to 200 received at the calling phone: our decision in the way, against plain Dial; calls interleaved."""
    with real_lab("abc") as federation:
        lab = federation.lab
        for number, node in ("1001", "a"), ("1002", "a"), ("1003", "b"):
            federation.add(number)
            lab.register(number, node)
        federation.until(
            lambda: (
                federation.where("1003", "a") == ["b"] and federation.where("1002", "a") == ["a"]
            )
        )
        return [
            _setup(federation, control, *way) for control in ("handover", "bridge") for way in WAYS
        ]


def _setup(
    federation: Federation,
    control: str,
    what: str,
    plain: str,
    ours: str,
    trunks: list[str],
    bar: float,
) -> Row:
    lab = federation.lab
    for node in "ab":
        lab.configure(node, "calls", "control", control)
        lab.configure(node, "calls", "trunks", trunks)
    time.sleep(1.0)
    times: dict[str, list[float]] = {plain: [], ours: []}
    for number in [number for _ in range(CALLS + 5) for number in times]:
        try:
            call = lab.dial("1001", number)
        except PhoneRefused as refused:  # Asterisk's IAX2 does so now and then
            print(f"  {control}, {what}: {number}: {refused}", file=sys.stderr, flush=True)
            continue
        times[number].append(call.setup_ms)
        lab.hang_up(call)
        time.sleep(0.02)
    before, after = median(times[plain][5:]), median(times[ours][5:])
    return Row(
        f"setup time added, {control}, {what} (median of {CALLS})",
        f"{after - before:.1f} ms ({after:.1f})",
        f"plain Dial {before:.1f} ms",
        f"≤ {bar:.0f} ms",
        after - before <= bar,
        f"{before / after:.2g}",
        OWNED if control == "bridge" else "",
    )


def deaths() -> list[Row]:
    """Kill -9 of daemon and Asterisk until the last living node has written `member down`."""
    names = "abcdef"
    with real_lab(names) as federation:
        lab, rng = federation.lab, Random(1)
        took: list[float] = []
        for trial in range(TRIALS):
            federation.until(federation.whole, 60)
            victim = rng.choice(names)
            time.sleep(rng.random() * 0.5)
            marks = {name: _end_of_log(federation, name) for name in names if name != victim}
            lab.kill(victim)
            killed = time.time()
            federation.until(partial(_fallen, federation, marks, victim), 20)
            last = max(_fell(federation, name, mark, victim) for name, mark in marks.items())
            took.append(last - killed)
            lab.start(victim)
            if trial % 20 == 19:
                print(f"  {trial + 1} of {TRIALS} deaths", file=sys.stderr, flush=True)
    return [
        Row(
            f"daemon and Asterisk killed: all say so, N = {len(names)}",
            spread(took, "s", 2),
            "see: cable pulled",
            "p99 ≤ 2.5 s",
            p99(took) <= 2.5,
        )
    ]


def naming() -> list[Row]:
    """A node dies and returns in three ways: when the last of the others' DNS says so."""
    names, rng, rows = "abc", Random(2), []
    with real_lab(names) as federation:
        listen(federation)
        for name in names:
            federation.lab.start(name, "daemon")
        for change, what in (
            (killed, "daemon and Asterisk killed"),
            (asterisk_killed, "Asterisk killed"),
            (cut, "cable pulled"),
        ):
            found: list[Change] = []
            for _ in range(min(TRIALS, CHANGES)):
                federation.until(federation.whole, 60)
                time.sleep(rng.random() * 0.5)
                found.append(change(federation, rng.choice(names)))
            rows += [
                _named(f"{what}: dig names it no more", [one.gone for one in found], len(names)),
                _named(f"{what}, and back: dig names it", [one.back for one in found], len(names)),
            ]
    return rows


def _named(what: str, took: list[float], nodes: int) -> Row:
    bar = f"all ≤ {NAMED:.0f} s"
    worst = max(took)
    found = f"median {median(took):.2f}, worst {worst:.2f} s of {len(took)}"
    return Row(f"{what}, N = {nodes}", found, "none that runs here", bar, worst <= NAMED)


@contextlib.contextmanager
def real_lab(names: str) -> Iterator[Federation]:
    with a_lab(
        "bench", len(names), extra={"extensions.conf": PLAIN}, unread=["load"], forked=False
    ) as lab:
        federation = Federation(lab, names)
        federation.until(federation.whole, 60)
        yield federation


def _fallen(federation: Federation, marks: dict[str, int], victim: str) -> bool:
    """Has every living node written that the victim is down?"""
    return all(_fell(federation, name, mark, victim) for name, mark in marks.items())


def _end_of_log(federation: Federation, node: str) -> int:
    return (federation.lab.node(node).folder / "log" / "pbxfed.log").stat().st_size


def _fell(federation: Federation, node: str, mark: int, victim: str) -> float:
    """When a node wrote, after `mark`, that the victim is down; 0.0 if it has not."""
    with (federation.lab.node(node).folder / "log" / "pbxfed.log").open() as log:
        log.seek(mark)
        for line in log:
            if "member down" in line and f"node={victim} " in line:
                return (
                    time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S"))
                    + int(line[20:23]) / 1000
                )
    return 0.0
