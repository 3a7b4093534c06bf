"""Where a call should go, with a view made of a few dictionaries."""

from collections.abc import Sequence

import pytest

from pbxfed_ari.core.directory import Registration
from pbxfed_ari.core.effects import Leg
from pbxfed_ari.core.names import Extension, NodeName, ObjectId
from pbxfed_ari.core.objects.extension import Phone
from pbxfed_ari.core.route import ABSENT, NO_ROUTE, UNALLOCATED, route

A, B, C = NodeName("a"), NodeName("b"), NodeName("c")


class View:
    """A federation in which 1001 to 1009 exist, seen from node a."""

    me = A

    def __init__(
        self,
        *places: NodeName,
        cut: Sequence[NodeName] = (),
        trunks: Sequence[str] = ("sip", "iax2"),
    ) -> None:
        self.places, self.cut, self.kinds = places, cut, trunks

    def phone(self, number: Extension) -> Phone | None:
        known = number.startswith("100")
        return Phone(id=ObjectId(b"x"), key=number, claimed=(1, "a")) if known else None

    def where(self, number: Extension) -> list[Registration]:
        return [Registration(node, f"sip:{number}@{node}", 1) for node in self.places]

    def reachable(self, node: NodeName) -> bool:
        return node not in self.cut

    def trunks(self, node: NodeName) -> Sequence[str]:
        return self.kinds

    def home(self, number: Extension) -> NodeName:
        return B


def test_a_phone_here_is_rung_here() -> None:
    """No trunk for a local call."""
    found = route("1001", View(A))
    assert [t.legs for t in found.tries] == [(Leg(),)]


def test_a_phone_there_is_called_by_the_trunk_that_its_node_prefers_then_by_the_other() -> None:
    """The node says how it wants to be called; the second kind is the second try."""
    found = route("1001", View(B))
    assert [t.legs for t in found.tries] == [(Leg(B, "sip"),), (Leg(B, "iax2"),)]
    assert found.tries[0].reason == "1001 is registered on b (by sip)"


def test_all_registrations_ring_together() -> None:
    """Two desks, one number."""
    found = route("1001", View(A, B))
    assert found.tries[0].legs == (Leg(), Leg(B, "sip"))


def test_a_node_out_of_reach_is_skipped_and_the_reason_says_so() -> None:
    """The others still ring."""
    found = route("1001", View(C, B, cut=[C]))
    assert found.tries[0].legs == (Leg(B, "sip"),)
    assert "c skipped: out of reach" in found.tries[0].reason


def test_a_phone_only_out_of_reach_ends_the_call_at_once() -> None:
    """Instead of thirty seconds of silence."""
    found = route("1001", View(C, cut=[C]))
    assert (found.tries, found.cause) == ((), NO_ROUTE)


@pytest.mark.parametrize("number", ["2001", "", "1001,x", "h", "pf-b", "../etc", "1" * 40])
def test_a_number_that_nobody_has_is_unallocated(number: str) -> None:
    """404, whatever was dialed."""
    assert route(number, View()).cause == UNALLOCATED


def test_a_known_phone_that_is_registered_nowhere_is_absent() -> None:
    """480, and its home is named."""
    found = route("1001", View())
    assert found.cause == ABSENT
    assert found.reason == "1001: registered nowhere; its home by the ring is b"


def test_a_call_from_a_trunk_is_delivered_here_or_refused() -> None:
    """One hop: loops cannot be written."""
    assert [t.legs for t in route("1001", View(A, C), from_peer=B).tries] == [(Leg(),)]
    refused = route("1001", View(C), from_peer=B)
    assert (refused.tries, refused.cause) == ((), ABSENT)
