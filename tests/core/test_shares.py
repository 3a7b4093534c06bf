"""How much each node carries: by its capacity, and never more than a quarter above its share."""

from collections import Counter
from math import ceil
from random import Random

import pytest

from pbxfed_ari.core.naming.signpost import Pointer, Sign, Standing, pointers
from pbxfed_ari.core.routing import shares

WEIGHTS = {"a": 100, "b": 200, "c": 400, "d": 800}
MANY = {f"n{i}": (50, 100, 200, 400)[i % 4] for i in range(32)}


def test_of_one_node_nothing_is_too_much() -> None:
    """There is nobody else."""
    assert shares.full({"a": 1_000}, {"a": 1}) == set()
    assert shares.full({}, {}) == set()


def test_who_has_more_than_its_cap_is_full() -> None:
    """A quarter above its share, rounded up, so that few are no reason."""
    same = {"a": 100, "b": 100}
    assert shares.full({}, same) == set()
    assert shares.full({"a": 1}, same) == set()
    assert shares.full({"a": 2}, same) == {"a"}
    assert shares.full({"a": 25, "b": 15}, same) == set()
    assert shares.full({"a": 26, "b": 14}, same) == {"a"}


def test_of_equals_the_draw_decides() -> None:
    """Else who has most room for one more; the first named, as long as its cap allows."""
    same = {"a": 100, "b": 100}
    assert shares.order({}, same, "", {"a": 0.1, "b": 0.2}) == ["b", "a"]
    assert shares.order({"b": 1}, same, "", {"a": 0.1, "b": 0.2}) == ["a", "b"]
    assert shares.order({"b": 1}, same, "b", {}) == ["b", "a"]
    assert shares.order({"b": 2}, same, "b", {}) == ["a", "b"]
    assert shares.order({"b": 2}, same, "x", {}) == ["a", "b"]


class Town:
    """Phones that find their registrar by SRV, one after the other (RFC 2782), told what the signpost says at that moment."""

    def __init__(self, weights: dict[str, int], phones: int) -> None:
        self.weights, self.phones = dict(weights), phones
        self.rng = Random(7)
        self.at: dict[int, str] = {}

    @property
    def load(self) -> Counter[str]:
        """Registrations that stand, by node."""
        return Counter(node for node in self.at.values() if node in self.weights)

    def register(self, phone: int) -> None:
        """Asks, draws, registers."""
        above = shares.full(self.load, self.weights)
        ports = (("udp", 5060),)
        known = [
            Sign(n, "main", Standing.WELL, w, w, ("10.0.0.1",), ports, True, full=n in above)
            for n, w in self.weights.items()
        ]
        self.at[phone] = self._drawn(pointers(known, "udp", "main", self.rng))

    def all(self) -> None:
        """Each phone once, in some order."""
        for phone in self.rng.sample(range(self.phones), self.phones):
            self.register(phone)

    def _drawn(self, told: list[Pointer]) -> str:
        best = min(pointer.priority for pointer in told)
        rank = [pointer.sign for pointer in told if pointer.priority == best]
        return self.rng.choices([s.node for s in rank], [s.weight for s in rank])[0]

    def within_cap(self) -> bool:
        """Has each at most a quarter more than its share?"""
        load, whole = self.load, sum(self.weights.values())
        placed = load.total()
        return all(
            load[node] <= ceil(1.25 * placed * weight / whole)
            for node, weight in self.weights.items()
        )


@pytest.mark.parametrize("weights", [WEIGHTS, MANY], ids=["4", "32"])
def test_phones_that_come_are_spread_by_capacity(weights: dict[str, int]) -> None:
    """At each moment nobody is above its cap."""
    town = Town(weights, 2_000)
    for phone in range(town.phones):
        town.register(phone)
        assert town.within_cap(), (phone, town.load)


def test_without_the_cap_chance_alone_would_not_do() -> None:
    """So the test above can fail."""
    town, above = Town(MANY, 2_000), 0
    for phone in range(town.phones):
        town.at[phone] = town.rng.choices([*MANY], [*MANY.values()])[0]
        above += not town.within_cap()
    assert above > 100


def test_a_node_that_dies_and_returns_gets_its_share_again() -> None:
    """From phones that ask anew whenever they refresh."""
    town = Town(WEIGHTS, 1_000)
    town.all()
    del town.weights["c"]
    town.all()
    assert town.within_cap()
    assert not town.load["c"]
    town.weights["c"] = WEIGHTS["c"]
    town.all()
    assert town.within_cap()
    share = 1_000 * 400 / 1_500
    assert 0.75 * share < town.load["c"]
