"""Phones that find their node by SRV: each node gets as many as its capacity says, at every moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil

import pytest

from lab.lab import Lab
from lab.node import DOMAIN
from lab.places import CHECKOUT, Places
from tests.lab.conftest import SECRET, Federation

WEIGHTS = {"a": 50, "b": 100, "c": 200}
NUMBERS = [f"37{n:02}" for n in range(60)]
CAP = 1.25  # of a share


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Three nodes that answer for the domain; the second can carry twice as much as the first, the third four times."""
    lab = Lab(Places(CHECKOUT / ".lab-shares"))
    lab.down()
    try:
        lab.up(3, dns=True)
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
    finally:
        lab.down()


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
