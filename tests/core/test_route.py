"""Where a call should go, with a view made of a few dictionaries."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pbxfed_ari.core.effects import Effect, Leg, SendTo
from pbxfed_ari.core.events import Address, wan
from pbxfed_ari.core.messages import CallHere, CallOver
from pbxfed_ari.core.names import Extension, NodeName, ObjectId
from pbxfed_ari.core.records.objects import KINDS, kind_of
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.kind import Item
from pbxfed_ari.core.records.objects.time import LocalTime
from pbxfed_ari.core.records.registrations import Registration
from pbxfed_ari.core.routing.route import route
from pbxfed_ari.core.routing.tries import ABSENT, NO_ROUTE, UNALLOCATED, Asking, Route

A, B, C = NodeName("a"), NodeName("b"), NodeName("c")


class View:
    """A federation in which 1001 to 1009 exist, and other objects as given, seen from node a; all nodes are at site main."""

    me = A

    def __init__(
        self,
        *places: NodeName,
        cut: Sequence[NodeName] = (),
        trunks: Sequence[str] = ("sip", "iax2"),
        items: Sequence[Item] = (),
        sites: Mapping[NodeName, str] | None = None,
        at: LocalTime | None = None,
    ) -> None:
        self.places, self.cut, self.kinds = places, cut, trunks
        self.items = {(kind.space, i.key): i for i in items if (kind := kind_of(i.id))}
        self.sites, self.at = sites or {}, at
        self.dead: Sequence[NodeName] = ()
        self.sick: Sequence[NodeName] = ()
        self.devices: list[str] = []
        self.taken: dict[Registration, NodeName] = {}
        self.capacities: dict[str, int] = {}
        self.standing: list[NodeName] = []
        self.rooms: dict[str, int] = {}
        self.settles = 0.0
        self.leaving = False
        self.clock = 0  # milliseconds since 1970, at its second 0
        self.clocks: dict[NodeName, float | None] = {}  # seconds by which they are ahead of it

    def get(self, space: str, key: str) -> Item | None:
        known = space == "number" and re.fullmatch("100[1-9]", key)
        plain = Phone(id=ObjectId(b"x"), key=key, claimed=(1, "a")) if known else None
        return self.items.get((space, key), plain)

    def where(self, number: Extension) -> list[Registration]:
        known = isinstance(self.get("number", number), Phone)
        return [Registration(n, f"sip:{number}@{n}", 1) for n in self.places] if known else []

    def devices_here(self, number: str) -> list[str]:
        return self.devices

    def heirs(self, number: Extension) -> list[tuple[Registration, NodeName]]:
        return list(self.taken.items())

    def orphans(self, number: Extension, nodes: Sequence[NodeName]) -> list[Registration]:
        return [place for place in self.taken if place.node in nodes]

    def settled(self, now: float) -> bool:
        return now >= self.settles

    def reachable(self, node: NodeName) -> bool:
        return node not in self.cut

    def takes(self, node: NodeName) -> bool:
        return node not in self.sick

    def alive(self, node: NodeName) -> bool:
        return node not in self.dead

    def door(self, node: NodeName) -> Address | None:
        return ("10.0.0.9", ord(node[0])) if self.site(node) == self.site(A) else None

    def tell(self, node: NodeName, said: CallHere | CallOver) -> list[Effect]:
        return [SendTo(self.door(node) or wan(node), said)]

    def clock_ms(self, now: float) -> int:
        return self.told_ms(now)

    def told_ms(self, now: float) -> int:
        return self.clock and self.clock + round(now * 1_000)

    def ahead(self, node: NodeName) -> float | None:
        return self.clocks.get(node, 0.0)

    def supposed_ahead(self, node: NodeName) -> float | None:
        return None

    def drained(self) -> bool:
        return self.leaving

    def trunks(self, node: NodeName) -> Sequence[str]:
        return self.kinds

    def site(self, node: NodeName) -> str:
        return self.sites.get(node, "main")

    def nodes(self) -> Sequence[NodeName]:
        return [A, B, C]

    def home(self, number: Extension) -> NodeName:
        return B

    def preference(self, key: str) -> Sequence[NodeName]:
        return [node for node in reversed(self.nodes()) if self.takes(node)]

    def stands(self, number: Extension) -> list[NodeName]:
        return [node for node in self.standing if self.alive(node)]

    def placed(self) -> Mapping[str, int]:
        return self.rooms

    def shares(self) -> Mapping[str, int]:
        return {node: self.capacity(node) for node in self.nodes() if self.takes(node)}

    def lines_out(self) -> Sequence[Item]:
        return [item for (space, _), item in sorted(self.items.items()) if space == "trunk"]

    def capacity(self, node: NodeName) -> int:
        return self.capacities.get(node, 100)

    def local_time(self, zone: str, wall_ms: int) -> LocalTime | None:
        return self.at


def make(kind: str, key: str, **fields: Any) -> Any:
    """An object as it stands in the book."""
    described = KINDS[kind]
    checked = described.check(key, fields)
    return described.item(
        id=ObjectId(described.byte + key.encode()), key=key, claimed=(1, "a"), **checked
    )


def ask(number: str, view: View, caller: str = "1009", **more: Any) -> Route:
    return route(Asking(number, caller, **more), view)


def test_a_phone_here_is_rung_here() -> None:
    """No trunk for a local call."""
    found = ask("1001", View(A))
    assert [t.legs for t in found.tries] == [(Leg(),)]


def test_a_phone_there_is_called_by_the_trunk_that_its_node_prefers_then_by_the_other() -> None:
    """The node says how it wants to be called; the second kind is the second try."""
    found = ask("1001", View(B))
    assert [t.legs for t in found.tries] == [(Leg(B, "sip"),), (Leg(B, "iax2"),)]
    assert found.tries[0].reason == "1001 is registered on b (by sip)"


def test_all_registrations_ring_together() -> None:
    """Two desks, one number."""
    found = ask("1001", View(A, B))
    assert found.tries[0].legs == (Leg(), Leg(B, "sip"))


def test_a_node_out_of_reach_is_skipped_and_the_reason_says_so() -> None:
    """The others still ring."""
    found = ask("1001", View(C, B, cut=[C]))
    assert found.tries[0].legs == (Leg(B, "sip"),)
    assert "c skipped: out of reach from here" in found.tries[0].reason


def test_a_phone_only_out_of_reach_ends_the_call_at_once() -> None:
    """Instead of thirty seconds of silence."""
    found = ask("1001", View(C, cut=[C]))
    assert (found.tries, found.cause) == ((), NO_ROUTE)


@pytest.mark.parametrize("number", ["2001", "", "1001,x", "h", "pf-b", "../etc", "1" * 40])
def test_a_number_that_nobody_has_is_unallocated(number: str) -> None:
    """404, whatever was dialed."""
    assert ask(number, View()).cause == UNALLOCATED


def test_a_known_phone_that_is_registered_nowhere_is_absent() -> None:
    """480, and its home is named."""
    found = ask("1001", View())
    assert found.cause == ABSENT
    assert found.reason == "1001: registered nowhere; its home by the ring is b"


def test_a_call_from_a_trunk_is_delivered_here_or_refused() -> None:
    """One hop: loops cannot be written."""
    assert [t.legs for t in ask("1001", View(A, C), peer=B).tries] == [(Leg(),)]
    refused = ask("1001", View(C), peer=B)
    assert (refused.tries, refused.cause) == ((), ABSENT)
