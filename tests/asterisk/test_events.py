"""Tapes of a real Asterisk 22.10.1, and what they mean to the core."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from pbxfed_ari.asterisk.events import FromAsterisk, Tolerated, decode, entered, translate, waiting
from pbxfed_ari.asterisk.models import CallerID, Channel, DialplanCEP
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CameIn,
    ContactAdded,
    ContactRemoved,
    EarEntered,
    Ended,
    HungUp,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegRefused,
    ListenerAnswered,
    Redirected,
    Returned,
    WentOut,
)
from pbxfed_ari.core.names import ChannelId, Extension, NodeName

TAPES = Path(__file__).parent / "tapes"
NOW = 1_795_000_000_000


def play(name: str, *, legs: bool = False) -> tuple[list[FromAsterisk], Tolerated]:
    """Everything that this tape means (without the legs of Dial, unless they are wanted), and what was let go."""
    tolerated = Tolerated()
    told = []
    for frame in json.loads((TAPES / f"{name}.json").read_text()):
        event = decode(json.dumps(frame), tolerated)
        if event is not None:
            meant = translate(event, app="pbxfed", wall_ms=NOW, fresh_id="fresh")
            if meant is not None and (legs or not isinstance(meant, LegDialed | LegLives)):
                told.append(meant)
    return told, tolerated


def one(event: object) -> FromAsterisk | None:
    """What this one event means."""
    decoded = decode(json.dumps(event), Tolerated())
    if decoded is None:
        return None
    return translate(decoded, app="pbxfed", wall_ms=NOW, fresh_id="fresh")


def test_a_phone_calls_a_phone() -> None:
    """The caller's whole life, and nothing of the leg's."""
    told, tolerated = play("local_call")
    arrived = told[0]
    assert isinstance(arrived, Arrived)
    answered = told[1]
    assert isinstance(answered, Answered)
    caller, leg = arrived.channel, answered.leg
    assert leg
    assert told == [
        Arrived(
            caller,
            "1002",
            "1001",
            "Name '1001' é",
            None,
            "",
            "fresh",
            "1001",
            wall_ms=NOW,
        ),
        Answered(caller, leg),
        HungUp(caller, 16),  # and Dial hangs up the leg, which is no news
        Ended(caller, 16),
    ]
    assert tolerated.malformed == 0


def test_three_tries_fail_and_each_comes_back() -> None:
    """SIP trunk, IAX2 trunk, phone here: three Returned in order, each with its cause."""
    told, _ = play("three_failing_tries")
    caller = told[0].channel if isinstance(told[0], Arrived) else ChannelId("")
    assert told[1:] == [
        Returned(caller, "NOANSWER", 19),
        Returned(caller, "CHANUNAVAIL", 20),
        Returned(caller, "BUSY", 17),
        Ended(caller, told[-1].cause if isinstance(told[-1], Ended) else -1),
    ]


def test_legs_are_told_as_they_begin_and_as_they_live() -> None:
    """Each by its id and its channel's name."""
    told, _ = play("local_call", legs=True)
    begun = [event for event in told if isinstance(event, LegDialed)]
    assert [event.name.rpartition("-")[0] for event in begun] == ["PJSIP/1002"]
    assert LegLives(begun[0].channel, begun[0].leg, "RINGING") in told


def test_our_own_legs_are_told_by_their_names() -> None:
    """Whoever they are dialed for."""
    leg = {"id": "pf-f00-1-0", "name": "PJSIP/1002-00000001"}
    stamp = {"application": "pbxfed", "timestamp": "2026-11-22T17:51:28.868+0000"}
    assert one({"type": "StasisStart", "args": ["leg"], "channel": leg, **stamp}) == LegEntered(
        ChannelId("pf-f00-1-0")
    )
    assert one({"type": "ChannelDestroyed", "cause": 17, "channel": leg, **stamp}) == LegEnded(
        ChannelId("pf-f00-1-0"), 17
    )
    assert one({"type": "Dial", "dialstatus": "ANSWER", "peer": leg, **stamp}) == Answered(
        ChannelId(""), ChannelId("pf-f00-1-0")
    )


@pytest.mark.parametrize(("said", "cause"), [("BUSY", 17), ("CONGESTION", 34)])
def test_a_line_by_iax2_says_that_it_is_busy_or_cannot_and_a_peers_silence_is_waited_for(
    said: str, cause: int
) -> None:
    """Dial ends its legs itself."""
    line, peer = ({"id": "pf-f00-1-0", "name": f"IAX2/{name}-12"} for name in ("telco", "pf-b"))
    event = {"type": "Dial", "dialstatus": said}
    assert one({**event, "peer": line}) == LegRefused(ChannelId("pf-f00-1-0"), cause)
    assert one({**event, "peer": peer}) is None
    assert one({**event, "peer": line, "caller": {"id": "7", "name": "PJSIP/1001-0"}}) is None


def test_who_listens_in_and_what_hears_for_him_are_told_of() -> None:
    """His phone by the dialplan's word, the snoop channel as it enters; found standing there, too."""
    phone, ear = (
        ChannelId("pbxfed-listen-f00-both-1-phone"),
        ChannelId("pbxfed-listen-f00-both-1-ear"),
    )
    said = {"type": "ChannelUserevent", "eventname": "pbxfed-listens", "userevent": {}}
    assert one({**said, "channel": {"id": phone}}) == ListenerAnswered(phone)
    stands = {"app_name": "Stasis", "app_data": "pbxfed,ear"}
    channel = {"id": ear, "name": "Snoop/17.1-00000000", "dialplan": stands}
    assert one({"type": "StasisStart", "args": ["ear"], "channel": channel}) == EarEntered(ear)
    found = msgspec.convert(channel, Channel)
    assert waiting(found, app="pbxfed", wall_ms=0, fresh_id="") == [EarEntered(ear)]


@pytest.mark.parametrize("tape", ["trunk_call_sip_arrives", "trunk_call_iax2_arrives"])
def test_a_peers_call_says_who_calls_and_by_which_peer(tape: str) -> None:
    """Number, name and note cross either kind of trunk."""
    told, _ = play(tape)
    arrived = told[0]
    assert isinstance(arrived, Arrived)
    assert (arrived.peer, arrived.caller, arrived.caller_name) == ("a", "1001", "Name '1001' é")
    call, hop, attempt = arrived.note.split("/")
    assert (len(call), hop, attempt) == (12, "1", "0")
    kinds = [type(event) for event in told[1:]]
    assert [kind for kind in kinds if kind is not HungUp] == [Answered, Ended]
    assert told[-1] == Ended(arrived.channel, 16)


def test_registrations_come_and_go() -> None:
    """Each with the moment at which Asterisk saw it, not the one at which we read it."""
    told, tolerated = play("registrations")
    phone, uri = Extension("1002"), "sip:1002@10.77.0.1:5102"
    assert [type(event) for event in told] == [
        ContactAdded,
        ContactRemoved,
        ContactAdded,
        ContactRemoved,
    ]
    assert told[1] == ContactRemoved(phone, uri)
    first = told[0]
    assert isinstance(first, ContactAdded)
    assert (first.extension, first.uri) == (phone, uri)
    assert first.wall_ms > NOW
    assert tolerated.malformed == 0


def test_a_trunks_registration_is_none_of_ours() -> None:
    """Trunks are objects of ours; they register nowhere."""
    contact = {"uri": "sip:10.0.0.2", "contact_status": "NonQualified", "aor": "pf-b"}
    assert one({"type": "ContactStatusChange", "contact_info": contact}) is None


def test_an_unreachable_contact_is_a_removed_one() -> None:
    """A phone that a hand-written aor qualifies and that is silent cannot be rung."""
    contact = {"uri": "sip:1001@h", "contact_status": "Unreachable", "aor": "1001"}
    event = {"type": "ContactStatusChange", "contact_info": contact}
    assert one(event) == ContactRemoved(Extension("1001"), "sip:1001@h")


@pytest.mark.parametrize(
    "args", [[], ["other"], ["trunk", "1001", "x"], ["trunk", "pf-"], ["trunk", "pf-A b"]]
)
def test_a_channel_that_is_not_ours_is_let_be(args: list[str]) -> None:
    """Another program may use the application's name in its own dialplan."""
    assert one({"type": "StasisStart", "args": args, "channel": {"id": "1"}}) is None


def test_a_cause_that_is_no_number_is_unknown() -> None:
    """An empty HANGUPCAUSE must not raise."""
    start = {"type": "StasisStart", "args": ["next", "CONGESTION", ""], "channel": {"id": "1"}}
    assert one(start) == Returned(ChannelId("1"), "CONGESTION", 0)


@pytest.mark.parametrize(
    ("text", "unused", "malformed"),
    [
        ('{"type":"SomethingNew","x":1}', {"SomethingNew": 1}, 0),
        ('{"type":"StasisStart","args":3}', {}, 1),
        ('{"no":"type"}', {}, 1),
        ("not json", {}, 1),
        (b"\xff\xfe", {}, 1),
    ],
)
def test_what_we_do_not_know_is_counted(
    text: str | bytes, unused: dict[str, int], malformed: int
) -> None:
    """A later Asterisk may say anything; it can never make us raise."""
    tolerated = Tolerated()
    assert decode(text, tolerated) is None
    assert (tolerated.unused, tolerated.malformed) == (unused, malformed)


def test_a_waiting_channel_arrives_again() -> None:
    """No event is replayed on reconnect: where it stands tells what it wants."""
    place = DialplanCEP("pbxfed-ask", "1002", 2, "Stasis", "pbxfed,trunk,pf-b,abc/1/0")
    channel = Channel("7", caller=CallerID("Ann", "1001"), dialplan=place)
    there = ChannelId("7"), "1002", "1001", "Ann", NodeName("b"), "abc/1/0", "f"
    found = waiting(channel, app="pbxfed", wall_ms=7, fresh_id="f")
    assert found == [Arrived(*there, wall_ms=7, again=True)]
    long = replace(channel, creationtime=datetime.fromtimestamp(5, UTC))  # how long he stands there
    found = waiting(long, app="pbxfed", wall_ms=7_000, fresh_id="f")
    assert found == [Arrived(*there, wall_ms=5_000, again=True)]


@pytest.mark.parametrize(
    ("state", "news"),
    [
        ("Down", []),
        ("Ringing", [LegLives(ChannelId(""), ChannelId("pf-f00-1-0"), "RINGING")]),
        ("Up", [Answered(ChannelId(""), ChannelId("pf-f00-1-0"))]),
    ],
)
def test_a_leg_of_ours_is_told_as_it_is(state: str, news: list[object]) -> None:
    """What had become of it while we could not hear it."""
    place = DialplanCEP("default", "s", 1, "Stasis", "pbxfed,leg")
    channel = Channel("pf-f00-1-0", state=state, dialplan=place)
    found = waiting(channel, app="pbxfed", wall_ms=7, fresh_id="f")
    assert found == [LegEntered(ChannelId("pf-f00-1-0")), *news]


def test_a_call_from_the_outside_says_so() -> None:
    """By the context that its endpoint has."""
    place = DialplanCEP("pbxfed-ask", "+493012", 2, "Stasis", "pbxfed,did")
    (found,) = waiting(
        Channel("7", "PJSIP/provider-in-0000002a", dialplan=place),
        app="pbxfed",
        wall_ms=7,
        fresh_id="f",
    )
    assert isinstance(found, Arrived)
    assert (found.outside, found.number, found.endpoint) == (True, "+493012", "provider-in")


@pytest.mark.parametrize(
    ("args", "by"),
    [
        (["phone"], ""),
        (["phone", ""], ""),
        (["phone", "PJSIP/1002-00000001"], "1002"),
        (["phone", "IAX2/1003-77"], "1003"),
        (["phone", "PJSIP/a-b-00000001"], "a-b"),
        (["phone", "nonsense"], ""),
    ],
)
def test_who_was_transferred_says_by_whom(args: list[str], by: str) -> None:
    """As Asterisk names the channel that did it."""
    found = entered(Channel("7", "PJSIP/1001-2a"), args, wall_ms=7, fresh_id="f")
    assert isinstance(found, Arrived)
    assert (found.by, found.endpoint) == (by, "1001")


def test_where_else_a_phone_wants_the_call_to_go() -> None:
    """Dial tells it, or for a leg of our own the dialplan, and then its end."""
    leg = {"id": "8", "name": "PJSIP/1002-00000001"}
    caller = {"id": "7", "name": "PJSIP/1001-00000000"}
    dial = {"type": "Dial", "dialstatus": "CANCEL", "forward": "1003", "dialstring": ""}
    assert one({**dial, "peer": leg, "caller": caller}) == Redirected(
        ChannelId("7"), ChannelId("8"), "1003"
    )
    own = {"id": "pf-f00-1-0", "name": "PJSIP/1002-00000001"}
    said = {"type": "ChannelUserevent", "eventname": "pbxfed-redirect", "channel": own}
    assert one({**said, "userevent": {"eventname": "pbxfed-redirect", "to": "1003"}}) == Redirected(
        ChannelId(""), ChannelId("pf-f00-1-0"), "1003"
    )
    assert one({**said, "eventname": "another", "userevent": {}}) is None
    assert one(
        {"type": "ChannelDestroyed", "cause": 16, "tech_cause": 302, "channel": own}
    ) == LegEnded(ChannelId("pf-f00-1-0"), 16, 302)


def test_who_comes_into_our_bridges_and_leaves_them_is_told() -> None:
    """Not of others'."""
    channel = {"id": "7", "name": "Local/1003@pbxfed-phones-00000000;1"}
    for kind, means in ("ChannelEnteredBridge", CameIn), ("ChannelLeftBridge", WentOut):
        event = {"type": kind, "channel": channel}
        assert one({**event, "bridge": {"id": "pf-f00", "channels": []}}) == means(
            ChannelId("7"), "pf-f00"
        )
        assert one({**event, "bridge": {"id": "5450-16", "channels": []}}) is None


def test_who_hangs_up_is_told_and_what_we_hang_up_is_not() -> None:
    """That is `soft`."""
    event = {"type": "ChannelHangupRequest", "cause": 31, "channel": {"id": "7", "name": "n"}}
    assert one(event) == HungUp(ChannelId("7"), 31)
    assert one({**event, "soft": True}) is None


@pytest.mark.parametrize(("app", "data"), [("Dial", "pbxfed,phone"), ("Stasis", "other,phone")])
def test_a_channel_elsewhere_does_not_wait(app: str, data: str) -> None:
    """Only what stands in our application is ours."""
    channel = Channel("7", dialplan=DialplanCEP("c", "1", 1, app, data))
    assert waiting(channel, app="pbxfed", wall_ms=7, fresh_id="f") == []
