"""Which calls are recorded, told as stories: by the node that leads them, once, under a name of ours."""

from typing import Any

import pytest
from msgspec.structs import replace

from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.notebook import Noted
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import CallEnded, Effect, HandOver, MakeBridge
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CallEvent,
    Ended,
    Returned,
    TalkFound,
)
from pbxfed_ari.core.names import ChannelId
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.fields import Flag
from pbxfed_ari.core.routing.waybill import read
from tests.core.test_route import A, B, View, make

CALLER = ChannelId("17.1")
ARRIVED = Arrived(CALLER, "1001", "1002", "Ann", fresh_id="f00", endpoint="1002")
FROM_PEER = replace(ARRIVED, peer=B, note="beef/1/1", endpoint="pf-b")
NAME = "pbxfed/f00"
MARKED = make("extension", "1001", record=True)


class Board:
    """A switchboard, and what it asks for in turn."""

    def __init__(
        self, *items: Any, control: str = "handover", before: tuple[Noted, ...] = ()
    ) -> None:
        self.view = View(A, items=items)
        self.board = Switchboard(Manner(control=control), before)

    def at(self, now: float, *events: CallEvent) -> list[Effect]:
        return [e for event in events for e in self.board.handle(event, now, self.view)]

    def handed(self, *events: CallEvent) -> str:
        """Under what name the last of these was handed over to be recorded."""
        return [e for e in self.at(0.0, *events) if isinstance(e, HandOver)][-1].record


def test_dial_is_told_under_what_name_and_the_record_says_it() -> None:
    """The name is the call's id; without an answer there is none."""
    board = Board(MARKED)
    assert board.handed(ARRIVED) == NAME
    board.at(1.0, Answered(CALLER))
    (record,) = [e for e in board.at(9.0, Ended(CALLER)) if isinstance(e, CallEnded)]
    assert record.recording == NAME
    assert board.handed(ARRIVED) == NAME
    (record,) = [e for e in board.at(9.0, Ended(CALLER)) if isinstance(e, CallEnded)]
    assert record.recording == ""


MEMBERS = ["1003", "1004"]


@pytest.mark.parametrize(
    ("number", "items", "recorded"),
    [
        ("1001", [], False),
        ("1001", [MARKED], True),
        ("1001", [make("extension", "1002", record=True)], True),
        ("600", [make("group", "600", members=MEMBERS)], False),
        ("600", [make("group", "600", members=MEMBERS, record=True)], True),
        ("600", [make("group", "600", members=["1003", "1001"]), MARKED], True),
        ("1005", [make("extension", "1005", forward_always="1006")], False),
        ("1005", [make("extension", "1005", forward_always="1006", record=True)], True),
        ("1005", [make("extension", "1005", forward_always="1001"), MARKED], True),
    ],
)
def test_from_or_to_what_says_so(number: str, items: list[Any], recorded: bool) -> None:
    """Who calls, whom he calls, who has forwarded him; of a group, or one of its members."""
    assert Board(*items).handed(replace(ARRIVED, number=number)) == NAME * recorded


def test_a_queue_is_recorded_when_a_member_is_rung() -> None:
    """Not while the caller waits."""
    board = Board(make("queue", "700", members=MEMBERS, record=True))
    board.view.standing = [A]
    assert board.handed(replace(ARRIVED, number="700")) == NAME


def test_a_peers_call_is_recorded_by_the_peer() -> None:
    """It knows the same objects."""
    assert Board(MARKED).handed(FROM_PEER) == ""


def test_an_id_that_is_no_mere_word_is_no_name_of_a_file() -> None:
    """Ours are hexadecimal digits; nothing else becomes one."""
    for strange in "../f00", "a.b", "a=b", "a/b":
        assert Board(MARKED).handed(replace(ARRIVED, fresh_id=strange)) == ""


def test_a_number_that_a_caller_shows_does_not_count() -> None:
    """From outside anybody may show it; whom a transfer has sent here is known by it alone."""
    board = Board(make("extension", "1002", record=True))
    assert board.handed(replace(ARRIVED, endpoint="provider")) == ""
    for endpoint in "pf-b", "":  # the latter of who stood in a bridge of ours
        assert board.handed(replace(ARRIVED, endpoint=endpoint, by="1003")) == NAME


def test_a_call_that_goes_to_a_next_try_is_recorded_still() -> None:
    """By each Dial anew; none that has failed has begun."""
    board = Board(MARKED)
    board.view.places = (B,)
    assert board.handed(ARRIVED) == NAME
    assert board.handed(Returned(CALLER, "CHANUNAVAIL", 3)) == NAME


@pytest.mark.parametrize("wants", ["node", "object"])
def test_a_call_that_is_recorded_is_handed_over(wants: str) -> None:
    """Whoever wants bridge mode; another one to the same node is bridged."""
    control = "bridge" if wants == "object" else ""
    board = Board(
        make("extension", "1001", record=True, control=control),
        control="bridge" if wants == "node" else "handover",
    )
    assert board.handed(ARRIVED) == NAME
    plain = Board(
        make("extension", "1001", control=control), control=board.board.calls.manner.control
    )
    assert any(isinstance(e, MakeBridge) for e in plain.at(0.0, ARRIVED))


def test_so_it_is_at_the_node_that_has_the_phone() -> None:
    """It hears of it by the waybill, and records nothing itself."""
    leads = Board(MARKED)
    leads.view.places = (B,)
    (sent,) = [e for e in leads.at(0.0, ARRIVED) if isinstance(e, HandOver)]
    bill = read(sent.note)
    assert bill is not None
    assert bill.recorded
    for recorded in True, False:
        peer = Board(MARKED, control="bridge")
        note = str(replace(bill, recorded=recorded, outside=True))
        effects = peer.at(0.0, replace(FROM_PEER, note=note))
        assert [e.record for e in effects if isinstance(e, HandOver)] == [""] * recorded
        assert [e.steady for e in effects if isinstance(e, MakeBridge)] == [False] * (not recorded)


def noted(recording: str) -> Noted:
    so_far = CallEnded("f00", "1002", "1001", 1, True, 16, 5.0, note="f00", recording=recording)  # type: ignore[arg-type]
    return Noted((CALLER,), so_far)


def test_a_call_that_is_found_talking_by_dial_has_its_recording_in_its_record() -> None:
    """It goes on without us."""
    for before, items, recording in (
        ((noted(NAME),), (), NAME),
        ((), (MARKED,), NAME),
        ((), (), ""),
    ):
        board = Board(*items, before=before)
        board.at(0.0, TalkFound(ARRIVED, "f00/1/1", None, 0))
        ended = board.at(9.0, Ended(CALLER))
        assert [e.recording for e in ended if isinstance(e, CallEnded)] == [recording]


@pytest.mark.parametrize("name", ["extension", "group", "queue"])
def test_the_field_is_no_ones_before(name: str) -> None:
    """No by default; its group in the book is its own, so that a release that does not know it passes it on unread."""
    kind = KINDS[name]
    field = kind.fields["record"]
    assert isinstance(field.type, Flag)
    assert kind.defaults["record"] is False
    assert [n for n, f in kind.fields.items() if f.group == field.group] == ["record"]
    assert kind.field_name(field.group) == "record"


def test_a_release_that_does_not_know_the_field_reads_the_rest() -> None:
    """As it reads what any newer one has written."""
    kind = KINDS["extension"]
    record = kind.fields["record"]
    groups = {1: kind.key.pack("1001"), record.group: record.type.pack(True)}
    read = kind.read(b"x1", groups, (1, "a"), {})
    assert isinstance(read, Phone)
    assert read.record
    older = dict(kind.fields)
    del older["record"]
    known, kind.fields = kind.fields, older
    try:
        read = kind.read(b"x1", groups, (1, "a"), {})
    finally:
        kind.fields = known
    assert isinstance(read, Phone)
    assert (read.number, read.record) == ("1001", False)
