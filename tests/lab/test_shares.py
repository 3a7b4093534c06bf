"""Phones that find their node by SRV, rooms and queues: each node gets as many as its capacity says, at every moment."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from math import ceil

import pytest

from lab.node import DOMAIN
from tests.lab.conftest import SECRET, Federation, a_lab

WEIGHTS = {"a": 50, "b": 100, "c": 200}
NUMBERS = [f"37{n:02}" for n in range(60)]
CAP = 1.25  # of a share
PLACES = 21
NOBODY = "3799"  # a member whose phone is nowhere


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Three nodes that answer for the domain; the second can carry twice as much as the first, the third four times."""
    with a_lab("shares", 3, dns=True) as lab:
        found = Federation(lab)
        for node, weight in WEIGHTS.items():
            lab.configure(node, "node", "weight", weight)
        file = lab.places.state / "phones.csv"
        rows = [f"{number},{number},{SECRET}" for number in NUMBERS]
        file.write_text("\n".join(["extension,name,secret", *rows]))
        lab.pbxfed("a", "ext", "import", str(file))
        found.until(found.whole, 30)
        found.until(lambda: all(weights(found, node) == WEIGHTS for node in "abc"))
        yield found


def weights(federation: Federation, node: str) -> dict[str, int]:
    return {one["node"]: one["weight"] for one in federation.get(node, "/ring")["members"]}


def test_registrations_offered_by_srv_follow_the_shares(federation: Federation) -> None:
    """By the draws of RFC 2782 alone, one of three nodes has more than that at some moment in five of six such towns."""
    lab, at = federation.lab, Counter[str]()
    whole = sum(WEIGHTS.values())
    for count, number in enumerate(NUMBERS, 1):
        asked = "abc"[count % 3]
        found = lab.register(
            number, DOMAIN, secret=SECRET, servers=[asked], timers={"keepalive": 0}
        )
        at[found.node] += 1
        for node, weight in WEIGHTS.items():
            assert at[node] <= ceil(CAP * count * weight / whole), (at, count)
        following = "abc"[(count + 1) % 3]
        federation.until(lambda: federation.where(number, following) == [found.node])  # noqa: B023
    print(f"of {len(NUMBERS)} phones: {dict(sorted(at.items()))}")
    assert all(at[node] for node in WEIGHTS)


@pytest.mark.parametrize(
    ("kind", "first", "more"), [("room", 880, ()), ("queue", 780, ("--members", NOBODY))]
)
def test_rooms_and_queues_follow_the_shares(
    federation: Federation, kind: str, first: int, more: tuple[str, ...]
) -> None:
    """Begun one after the other by phones of the smallest node; all of them stand at the end. In a queue they wait."""
    lab = federation.lab
    places = [str(number) for number in range(first, first + PLACES)]
    added(federation, "ext", NOBODY, "--secret", SECRET)
    for place in places:
        added(federation, kind, place, *more)
    federation.until(federation.whole, 30)
    callers = NUMBERS[:PLACES]
    for number in callers:
        lab.register(number, "a", secret=SECRET)
    with contextlib.suppress(AssertionError):  # it is said below who stands where instead
        federation.until(lambda: all(federation.where(n, "a") == ["a"] for n in callers))
    elsewhere = [n for n in callers if federation.where(n, "a") != ["a"]]
    assert not elsewhere, [seen(federation, n, node) for n in elsewhere for node in "abc"]
    calls, at, whole = [], Counter[str](), sum(WEIGHTS.values())
    for count, (number, place) in enumerate(zip(callers, places, strict=True), 1):
        calls.append(lab.dial(number, place))
        federation.until(lambda: len(stands(federation, kind, place)) == 1)  # noqa: B023
        at[stands(federation, kind, place)[0]] += 1
        for node, weight in WEIGHTS.items():
            assert at[node] <= ceil(CAP * count * weight / whole), (at, count)
    print(f"of {PLACES} {kind}s: {dict(sorted(at.items()))}")
    assert all(at[node] for node in WEIGHTS)
    for call in calls:
        lab.hang_up(call)
    for place in places:
        federation.until(lambda: not stands(federation, kind, place))  # noqa: B023


def test_every_phone_of_a_great_push_is_heard_of_wherever_it_registers(
    federation: Federation,
) -> None:
    """Asterisk used to keep silent about one in some sixty for good (asterisk/objects.py)."""
    for home in "abc":
        for number in NUMBERS:
            federation.lab.register(number, home, secret=SECRET)
        with contextlib.suppress(AssertionError):  # it is said below who is unheard of
            federation.until(
                lambda: all(federation.where(n, "a") == [home] for n in NUMBERS),  # noqa: B023
                10,
            )
        unheard = [n for n in NUMBERS if federation.where(n, "a") != [home]]
        assert not unheard, [seen(federation, n, node) for n in unheard for node in "abc"]


def seen(federation: Federation, number: str, node: str) -> str:
    """Where a node believes that a phone stands, and which Contacts its Asterisk has."""
    told = federation.lab.asterisk(node, f"pjsip show aor {number}").splitlines()
    contacts = [" ".join(line.split()[1:]) for line in told if f"Contact:  {number}/" in line]
    return f"{number} as {node} sees it: {federation.where(number, node)}, Contacts {contacts}"


def added(federation: Federation, kind: str, key: str, *more: str) -> None:
    done = federation.lab.exec(
        "a", ["pbxfed", kind, "add", key, *more], capture_output=True, text=True
    )
    assert done.returncode == 0 or key == NOBODY, done


def stands(federation: Federation, kind: str, key: str) -> list[str]:
    """Where a room or a queue stands, as the node of its caller knows it."""
    return [str(name) for name in federation.get("a", f"/{kind}s/{key}")["stands"]]
