"""Takeover: which Contacts can be called by others, who calls them, and what a route makes of it."""

import pytest

from pbxfed_ari.core.effects import Abandon, HandOver, HangUp, Leg, SendTo
from pbxfed_ari.core.events import Arrived, LegDialed, LegLives, Returned
from pbxfed_ari.core.membership import takeover
from pbxfed_ari.core.names import ChannelId, NodeName
from pbxfed_ari.core.records.registrations import Registration
from pbxfed_ari.core.routing import reaching
from pbxfed_ari.core.routing.tries import ABSENT
from pbxfed_ari.core.routing.waybill import Waybill, read
from tests.core.test_route import A, B, C, View, ask, make
from tests.core.test_setup import CALL, CHANNEL, LEG, WALL, Story

URI = "sip:1001@10.0.0.7:5060"
LOST = Registration(B, URI, 1)


@pytest.mark.parametrize(
    ("uri", "where"),
    [
        (URI, "10.0.0.7"),
        ("sip:10.0.0.7", "10.0.0.7"),
        ("sip:1001-0x5581@10.0.0.7:5300", "10.0.0.7"),
        ("sip:1001@10.0.0.7:5060;transport=UDP;ob", "10.0.0.7"),
        ("sip:1001@203.0.113.7:40001;x-ast-orig-host=192.168.1.4:5060", "203.0.113.7"),
        ("sip:1001@[2001:db8::7]:5060", "2001:db8::7"),
        ("sip:1001@10.0.0.7:5060;transport=tcp", ""),
        ("sip:1001@10.0.0.7:5060;Transport=TLS", ""),
        ("sip:1001@10.0.0.7:5060;transport=ws", ""),
        ("sip:1001@10.0.0.7:5060;transport=udp;transport=tcp", ""),
        ("sips:1001@10.0.0.7:5061", ""),
        ("sip:x7g2k1@ab12cd34.invalid;transport=ws", ""),
        ("sip:1001@phone.example", ""),
        ("sip:1001@127.0.0.1:5060", ""),
        ("sip:1001@224.0.1.75", ""),
        ("sip:1001@999.0.0.1", ""),
        ("sip:1001@10.0.0.7,pbxfed-dial", ""),
        ("sip:1001@10.0.0.7&PJSIP/9", ""),
        ("sip:1001@10.0.0.7:5060;x=${EVIL}", ""),
        ("sip:1001@10.0.0.7\r\nX: y", ""),
        ("", ""),
    ],
)
def test_only_a_contact_by_udp_at_a_literal_address_is_called(uri: str, where: str) -> None:
    """What else a phone wrote never comes near a dial string."""
    assert takeover.address(uri) == where


SITES = {"a": "main", "b": "berlin", "c": "berlin", "d": "main"}


@pytest.mark.parametrize(
    ("uri", "order", "nets", "who"),
    [
        (URI, "adc", [], "c"),  # of its own site first
        (URI, "ad", [], None),  # another 10.0.0.7 may be there
        (URI, "ad", [("berlin", "10.0.0.0/24")], "a"),
        (URI, "ad", [("berlin", "10.0.0.0/24"), ("main", "10.0.0.0/16")], None),
        (URI, "ad", [("main", "10.0.0.0/24")], None),
        ("sip:1001@8.8.8.8:5060", "da", [], "d"),
        ("sip:1001@8.8.8.8:5060", "", [], None),
    ],
)
def test_who_calls_the_phone_is_the_first_that_reaches_the_same_one(
    uri: str, order: str, nets: list[tuple[str, str]], who: str | None
) -> None:
    """An address means the same phone only where it means the same network."""
    found = takeover.heir(Registration(B, uri, 1), order, SITES.__getitem__, nets)
    assert found == who


def orphaned(heir: NodeName, *places: NodeName, items: tuple[object, ...] = ()) -> View:
    view = View(*places, cut=[B], items=items)  # type: ignore[arg-type]
    view.taken = {LOST: heir}
    return view


def test_the_heir_is_called_by_its_trunks() -> None:
    """And the reason says in whose stead."""
    found = ask("1001", orphaned(C))
    assert [t.legs for t in found.tries] == [
        (Leg(C, "sip", instead_of=(B,)),),
        (Leg(C, "iax2", instead_of=(B,)),),
    ]
    said = "1001 is registered on b, which is out of reach: c (by sip) calls its phones"
    assert found.tries[0].reason == said


def test_this_node_may_be_the_heir() -> None:
    """It calls the phone where it listens, and waits three seconds for a sign of it."""
    (only,) = ask("1001", orphaned(A)).tries
    assert only.legs == (Leg(instead_of=(B,), uri=URI),)
    assert only.patience == takeover.ASK


def test_a_second_device_rings_along() -> None:
    """One leg for a node that has the one and inherits the other; our own phones may take their time."""
    assert ask("1001", orphaned(C, C)).tries[0].legs == (Leg(C, "sip", instead_of=(B,)),)
    (both,) = ask("1001", orphaned(A, A)).tries
    assert both.legs == (Leg(), Leg(instead_of=(B,), uri=URI))
    assert both.patience == 0


def test_a_group_rings_the_orphans_of_its_members() -> None:
    """Each under its own number."""
    view = orphaned(A, items=(make("group", "600", members=["1001"], strategy="all"),))
    (only,) = ask("600", view).tries
    assert only.legs == (Leg(number="1001", instead_of=(B,), uri=URI),)
    assert only.patience == takeover.ASK
    view = orphaned(C, items=(make("group", "600", members=["1001"], strategy="hunt"),))
    assert ask("600", view).tries[0].legs == (Leg(C, "sip", "1001", instead_of=(B,)),)


def test_a_peers_call_is_delivered_to_an_orphan_only_if_its_waybill_says_so() -> None:
    """One hop; and two nodes that see the living differently do not both ring a phone."""
    view = orphaned(C)
    view.me = A
    refused = ask("1001", view, peer=C)
    assert (refused.tries, refused.cause) == ((), ABSENT)
    (only,) = ask("1001", view, peer=C, heirs=((A, B),)).tries
    assert only.legs == (Leg(instead_of=(B,), uri=URI),)
    assert ask("1001", view, peer=C, heirs=((C, B),)).tries == ()
    both = ask("1001", orphaned(C, A), peer=C, heirs=((A, B),)).tries
    assert both[0].legs == (Leg(), Leg(instead_of=(B,), uri=URI))


def test_a_call_limit_counts_at_the_heir() -> None:
    """It is the node that rings the phone."""
    phone = make("extension", "1001", call_limit=1)

    class Busy(View):
        def calls_of(self, number: str) -> int:
            return 1

    assert reaching.full(phone, [A], View(), Busy())  # type: ignore[arg-type]
    assert not reaching.full(phone, [C], View(), Busy())  # type: ignore[arg-type]


def test_what_the_waybill_says_is_read_as_it_was_written() -> None:
    """Beside all else that it says; what makes no sense is left out."""
    both = ((NodeName("c"), NodeName("b")), (NodeName("d-2"), NodeName("e")))
    for bill in Waybill("beef", heirs=both), Waybill("beef", 3, "", 5, payer="+49", heirs=both[:1]):
        assert read(str(bill)) == bill
    assert str(Waybill("beef", heirs=both)) == "beef/1/1////c=b.d-2=e"
    assert read("beef/1/1////c=b.-=b.c.=.C=b.") == Waybill("beef", heirs=both[:1])


def test_the_trunk_says_whose_phones_shall_be_called() -> None:
    """The waybill of the try holds it."""
    story = Story(orphaned(C))
    (handed,) = story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    assert isinstance(handed, HandOver)
    bill = read(handed.note)
    assert bill is not None
    assert bill.heirs == ((C, B),)


def test_a_phone_that_is_there_no_more_is_given_up_after_three_seconds() -> None:
    """480, as of a phone that is registered nowhere; the node that sent the call tries no second trunk for it."""
    story = Story(orphaned(A))
    bill = str(Waybill("cafe", heirs=((A, B),)))
    arrived = Arrived(CHANNEL, "1001", "1002", "", C, bill, "x", wall_ms=WALL)
    story.at(0.0, arrived)
    story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/1001-0000002a"))
    assert [e for e in story.at(2.9) if not isinstance(e, SendTo)] == []
    assert Abandon(LEG) in story.at(takeover.ASK)
    assert HangUp(CHANNEL, ABSENT) in story.at(3.1, Returned(CHANNEL, "CHANUNAVAIL", 3))


def test_a_phone_that_rings_is_left_ringing() -> None:
    """As long as any other."""
    story = Story(orphaned(A))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/1001-0000002a"))
    story.at(0.3, LegLives(CHANNEL, LEG))
    assert story.board.next_deadline() == float("inf")


def test_a_phone_of_ours_beside_it_keeps_its_time() -> None:
    """Silence of one is no reason to give up the other."""
    story = Story(orphaned(A, A))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/1001-0000002a"))
    story.at(0.01, LegDialed(CHANNEL, ChannelId("17.3"), "PJSIP/1001-0000002b"))
    assert story.at(10.0) == []
