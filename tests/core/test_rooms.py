"""Conference rooms: where they begin, where callers find them, and what a peer's call may do."""

from collections.abc import Sequence

import pytest

from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import Effect, Enter, Leg, Tell
from pbxfed_ari.core.events import Answered, Arrived, Ended, Returned, RoomsLed
from pbxfed_ari.core.names import ChannelId, NodeName
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.routing.rooms import OTHERS
from pbxfed_ari.core.routing.tries import NO_ROUTE, Lead, Meet, Route
from pbxfed_ari.errors import Refused
from tests.core.test_route import A, B, C, View, ask, make

ROOM = make("room", "800", name="Monday", pin="2580", most=20)


def view(*stands: NodeName, cut: tuple[NodeName, ...] = ()) -> View:
    """Seen from a; b is its home."""
    found = View(items=[ROOM], trunks=("sip",), cut=cut)
    found.standing = list(stands)
    return found


def way(found: Route) -> list[str]:
    """The nodes in the order in which they are tried; this one as `here`."""
    return [str(t.legs[0].peer) if t.legs and isinstance(t.legs[0], Leg) else "here" for t in found.tries]  # fmt: skip


def test_a_room_begins_at_its_home_and_is_found_where_it_stands() -> None:
    """Of two the older one; who called first has decided."""
    begins = way(ask("800", view()))
    assert (begins[0], sorted(begins)) == ("b", ["b", "c", "here"])
    assert way(ask("800", view(C)))[0] == "c"
    assert way(ask("800", view(C, B)))[:2] == ["c", "b"]
    assert way(ask("800", view(A)))[0] == "here"
    first = ask("800", view(A)).tries[0]
    assert (first.lead, first.meet) == (Lead("pbxfed-room", "800"), Meet("800", 20, "2580"))
    assert "2580" not in repr(ask("800", view(A)))


def test_a_pin_is_shown_to_nobody() -> None:
    """Neither when it is refused, nor of a room that has one."""
    with pytest.raises(Refused) as refused:
        KINDS["room"].check("800", {"pin": "12a4"})
    assert str(refused.value) == "room 800: pin must be 4 to 16 digits or empty"
    assert "2580" not in str(KINDS["room"].shown(ROOM))


def test_a_home_with_more_than_its_share_gives_the_room_away() -> None:
    """Who has most room begins it."""
    crowded = view()
    crowded.rooms = {"a": 3, "b": 3, "c": 0}
    assert way(ask("800", crowded))[0] == "c"


def test_in_a_large_federation_a_room_begins_at_the_callers_own_node_if_the_first_three_cannot_have_it() -> (
    None
):
    """More than those are not asked one after the other; and here it begins for certain."""
    large = Large(items=[ROOM], trunks=("sip",))
    large.capacities, large.rooms = {A: 1}, {A: 9}  # so nobody would choose it
    found = way(ask("800", large))
    assert (len(found), found[0], found[-1]) == (OTHERS + 1, "b", "here")


class Large(View):
    """Eight nodes."""

    def nodes(self) -> Sequence[NodeName]:
        return [*map(NodeName, "abcdefgh")]


def test_who_is_drained_begins_none_and_may_be_joined() -> None:
    """Sick nodes, too; a node out of reach is passed over, wherever it stood."""
    sick = view()
    sick.sick = [B]
    assert "b" not in way(ask("800", sick))
    sick.standing = [B]
    assert way(ask("800", sick))[0] == "b"
    assert "b" not in way(ask("800", view(B, cut=(B,))))
    nobody = view(cut=(B, C))
    nobody.sick = [A]
    assert (ask("800", nobody).tries, ask("800", nobody).cause) == ((), NO_ROUTE)


def test_a_peers_call_is_delivered_where_the_room_stands_or_nowhere_else_does() -> None:
    """Where it stands elsewhere the call goes back: its sender has heard of it by then."""
    assert way(ask("800", view(A), peer=B)) == ["here"]
    assert way(ask("800", view(), peer=B)) == ["here"]
    assert way(ask("800", view(C, A), peer=B)) == ["here"]
    back = ask("800", view(C), peer=B)
    assert (back.tries, back.cause, back.reason) == ((), NO_ROUTE, "room 800 stands on c")
    assert way(ask("800", view(C, cut=(C,)), peer=B)) == ["here"]
    leaving = view()
    leaving.leaving, leaving.sick = True, [A]
    assert ask("800", leaving, peer=B).tries == ()
    leaving.standing = [A]
    assert way(ask("800", leaving, peer=B)) == ["here"]


def arrive(channel: str, number: str = "800") -> Arrived:
    return Arrived(ChannelId(channel), number, "1009", "", fresh_id=channel, wall_ms=1_000)


def told(effects: list[Effect]) -> list[tuple[set[str], int]]:
    """What the federation is told of rooms."""
    events = [e.event for e in effects if isinstance(e, Tell)]
    return [(set(e.numbers), e.wall_ms) for e in events if isinstance(e, RoomsLed)]


def test_a_room_is_told_of_as_long_as_a_call_is_in_it() -> None:
    """From the moment at which the first is led there, to the end of the last; they are answered, and talk."""
    board, here = Switchboard(), view(A)
    effects = board.handle(arrive("1"), 0.0, here)
    entered = [e for e in effects if isinstance(e, Enter)]
    assert entered == [Enter(ChannelId("1"), "800", 20, "2580", "1/1/1")]
    assert told(effects) == [({"800"}, 1_000)]
    assert told(board.handle(arrive("2"), 1.0, here)) == []
    board.handle(Answered(ChannelId("1"), ChannelId("")), 1.0, here)
    assert [call.phase.value for call in board] == ["talking", "dialing"]
    assert board.callers("800") == 2
    assert told(board.handle(Ended(ChannelId("1")), 2.0, here)) == []
    assert told(board.handle(Ended(ChannelId("2")), 3.0, here)) == [(set(), 0)]
    assert board.callers("800") == 0


def test_a_caller_whom_one_node_sends_back_is_led_to_where_the_room_stands() -> None:
    """It had begun elsewhere in the same moment, as is known by now: he begins no other, and is not refused."""
    board, here = Switchboard(), view()
    here.rooms = {"c": 9}  # so c is the last that should begin it
    assert way(ask("800", here)) == ["b", "here", "c"]
    board.handle(arrive("1"), 0.0, here)
    here.standing = [C]
    board.handle(Returned(ChannelId("1"), "CHANUNAVAIL", 3), 0.1, here)
    (call,) = board
    assert call.legs == (Leg(C, "sip"),)
