"""Effects, and what is asked of Asterisk for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from pbxfed_ari.asterisk import iaxpeers, insisting, objects, operator
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.contacts import Contacts, contact_id
from pbxfed_ari.asterisk.dialing import PEERS, hand_over
from pbxfed_ari.asterisk.objects import CANARY
from pbxfed_ari.asterisk.operator import ForAsterisk, Operator
from pbxfed_ari.asterisk.pjsip.extension import NOWHERE
from pbxfed_ari.asterisk.pjsip.objects import MARK
from pbxfed_ari.core.effects import (
    Abandon,
    CallListener,
    DialLeg,
    Divert,
    Diverted,
    DropContact,
    EndBridge,
    Enter,
    HandOver,
    HangUp,
    HangUpLeg,
    Hold,
    Join,
    Lead,
    Leg,
    Lend,
    MakeBridge,
    MakeLeg,
    Note,
    Outside,
    Overhear,
    PushExtension,
    PushTrunk,
    RemoveExtension,
    RemoveTrunk,
    SendElsewhere,
    WhenAlone,
)
from pbxfed_ari.core.events import Answered, ContactAdded, Ended, LegEnded, Returned
from pbxfed_ari.core.names import ChannelId, Extension, NodeName
from pbxfed_ari.errors import Refused

from .fake import LOST, FakeAri

B = NodeName("b")
TRUNK = PushTrunk(B, "10.0.0.2", 5060, 4569, b"key")
PUT = "PUT asterisk/config/dynamic/res_pjsip/"


@dataclass
class Desk:
    """An operator at work, what it posted and what it noted."""

    fake: FakeAri
    contacts: Contacts
    operator: Operator
    ended: list[Answered | LegEnded | Ended | Returned] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    async def reconnect(self) -> None:
        """Asterisk was away for a moment; `fake` says how it comes back."""
        self.operator.objects.down()
        await self.operator.objects.find(self.fake.marks())
        self.operator.up()

    async def idle(self) -> None:
        """Until nothing is left to do, nor was a moment ago: what was due then is begun."""
        quiet = 0
        async with asyncio.timeout(5):
            while quiet < 3:
                await asyncio.sleep(0.003)
                busy = self.operator.objects.pending or len(self.operator.calls)
                quiet = 0 if busy else quiet + 1


@asynccontextmanager
async def at_work(
    fake: FakeAri, *, iax: Path | None = None, takes_iax: bool = True, up: bool = True
) -> AsyncIterator[Desk]:
    """An operator of node a at this ARI."""
    ended: list[Answered | LegEnded | Ended | Returned] = []
    notes: list[Note] = []
    async with AriClient(fake.url, "pbxfed", "right", deadline=0.5) as ari:
        contacts = Contacts(ari, post=lambda event: None, note=notes.append)
        operator = Operator(
            ari,
            contacts,
            own=NodeName("a"),
            realm="fed.example",
            secret_for=lambda peer, key: "5ec" * 10,
            iax_file=iax,
            iax_taken=lambda: takes_iax,
            post=ended.append,
            note=notes.append,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(operator.run())
            desk = Desk(fake, contacts, operator, ended, notes)
            if up:
                await desk.reconnect()
                fake.asked.clear()
                fake.bodies.clear()
            try:
                yield desk
            finally:
                running.cancel()


def phone(number: str, name: str = "Ann") -> PushExtension:
    """A phone to push."""
    return PushExtension(Extension(number), name, "f5d55757833b92ea9b20b57933ad312a", 1)


def effect(channel: str, *legs: Leg, number: str = "1002") -> HandOver:
    """A call to hand over."""
    return HandOver(ChannelId(channel), Extension(number), legs or (Leg(),), "abc/1/0", 20)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "AGAIN", 0.001)
    monkeypatch.setattr(operator, "AGAIN", 0.001)
    monkeypatch.setattr(insisting, "AGAIN", 0.001)
    monkeypatch.setattr(iaxpeers, "GATHER", 0.001)
    monkeypatch.setattr(iaxpeers, "AGAIN", 0.001)


@pytest.mark.parametrize(
    ("legs", "label", "dial"),
    [
        ((Leg(),), "here", "PJSIP/1002,20,i"),
        ((Leg(B, "sip"),), "others", "PJSIP/1002@pf-b,20,ib(pbxfed-leg^sip^1)"),
        ((Leg(B, "iax2"),), "others", "IAX2/pf-b/1002,20,ib(pbxfed-leg^iax2^1)"),
        (
            (Leg(), Leg(B, "sip"), Leg(NodeName("c"), "iax2")),
            "both",
            "&PJSIP/1002@pf-b&IAX2/pf-c/1002,20,ib(pbxfed-leg^s^1)",
        ),
        ((Leg(), Leg(number="1003")), "both", "&PJSIP/1003,20,i"),
        ((Leg(number="1003"),), "others", "PJSIP/1003,20,i"),
        (
            (Leg(number="1003"), Leg(B, "sip", "1004")),
            "others",
            "PJSIP/1003&PJSIP/1004@pf-b,20,ib(pbxfed-leg^s^1)",
        ),
    ],
)
def test_what_the_dialplan_is_told(legs: tuple[Leg, ...], label: str, dial: str) -> None:
    """Phones here and peers ring together; the call's id is for peers to hear."""
    call = "__PBXFED_CALL" if "pbxfed-leg" in dial else "PBXFED_CALL"
    assert hand_over(effect("1", *legs)) == (label, {"PBXFED_DIAL": dial, call: "abc/1/0"})


def test_a_way_to_the_outside() -> None:
    """The digits of the trunk, and the number that it shows."""
    lines = [Outside("berlin", "pjsip", "provider", "+4930123", "+4930999")]
    label, said = hand_over(effect("1", *lines, number="030123"))  # type: ignore[arg-type]
    assert label == "others"
    assert said["PBXFED_DIAL"] == "PJSIP/+4930123@provider,20,ib(pbxfed-leg^s^1)"
    assert said["__PBXFED_CALLER"] == "+4930999"
    old = hand_over(effect("1", Outside("old", "iax2", "isdn", "123"), number="0123"))  # type: ignore[arg-type]
    assert old[1] == {"PBXFED_DIAL": "IAX2/isdn/123,20,i", "PBXFED_CALL": "abc/1/0"}


def test_a_narrow_line_says_which_codec() -> None:
    """Unless the legs differ."""
    _, said = hand_over(effect("1", Leg(B, "sip", codec="g729")))
    assert said["__PBXFED_CODEC"] == "g729"
    _, both = hand_over(effect("1", Leg(B, "sip", codec="g729"), Leg(NodeName("c"), "sip")))
    assert "__PBXFED_CODEC" not in both


def test_each_device_rings() -> None:
    """Of a member by its own Contact; of whom is called by all that are there when Dial begins."""
    contacts = ["sip:1003@x", "sip:1003@y"]
    _, said = hand_over(effect("1", Leg(number="1003")), lambda number: contacts)
    assert said["PBXFED_DIAL"] == "PJSIP/1003/sip:1003@x&PJSIP/1003/sip:1003@y,20,i"
    label, said = hand_over(effect("1"), lambda number: contacts)
    assert (label, said["PBXFED_SEVERAL"], said["PBXFED_DIAL"]) == ("both", "1", ",20,i")


def test_who_waits_hears_music() -> None:
    """A class of musiconhold.conf, in place of ringing."""
    waits = HandOver(ChannelId("1"), Extension("1002"), (Leg(B, "sip"),), "abc/1/0", 20, "soft")
    assert hand_over(waits)[1]["PBXFED_DIAL"].endswith(",20,ib(pbxfed-leg^sip^1)m(soft)")


def test_who_answers_is_recorded_where_dial_is_told_so() -> None:
    """By a context of the dialplan, on his channel, with no variable and no line of the dialplan before."""
    label, said = hand_over(replace(effect("1", Leg()), record="pbxfed/f00"))
    assert (label, said["PBXFED_DIAL"].partition(",")[2]) == (
        "here",
        "20,iU(pbxfed-record^pbxfed/f00)",
    )
    assert said.keys() == hand_over(effect("1", Leg()))[1].keys()
    _, peer = hand_over(replace(effect("1", Leg(B, "sip")), record="pbxfed/f00"))
    assert "b(pbxfed-leg^s^1)" in peer["PBXFED_DIAL"]  # which looks whether it is recorded


def test_a_way_to_the_outside_at_a_peer_is_looked_at_by_the_dialplan() -> None:
    """Its sound passes through the core here."""
    _, said = hand_over(effect("1", Leg(B, "sip", line="city")))
    assert said["PBXFED_DIAL"] == "PJSIP/1002@pf-b,20,ib(pbxfed-leg^s^1)"


@pytest.mark.parametrize("number", ["1&2", "1,2", "${X}", "1002@evil", "pf-b", ""])
def test_a_number_cannot_break_out_of_its_dial_string(number: str) -> None:
    """Whatever the caller managed to dial."""
    with pytest.raises(Refused):
        hand_over(effect("1", number=number))


async def test_a_call_is_told_before_it_goes_on() -> None:
    """One request for the variables, then continue."""
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.perform(effect("1"))
        await desk.idle()
        assert fake.asked == ["POST channels/1/variables", "POST channels/1/continue"]
        (_, told), (_, place) = fake.bodies
        assert isinstance(told, dict)
        assert told["variables"]["PBXFED_DIAL"] == "PJSIP/1002,20,i"
        assert place == {"context": "pbxfed-dial", "extension": "1002", "label": "here"}


async def test_a_caller_is_led_into_a_room() -> None:
    """Its PIN and limit are told by functions, and stand in no line of the dialplan, nor in our own log."""
    async with FakeAri() as fake, at_work(fake) as desk:
        effect = Enter(ChannelId("1"), "800", 20, "2580", "f00/1/1")
        desk.operator.perform(effect)
        await desk.idle()
        (_, told), (_, place) = fake.bodies
    assert told == {
        "variables": {
            "PBXFED_CALL": "f00/1/1",
            "CONFBRIDGE(user,pin)": "2580",
            "CONFBRIDGE(bridge,max_members)": "20",
        }
    }
    assert place == {"context": "pbxfed-room", "extension": "800", "priority": 1}
    assert "2580" not in repr(effect)


async def test_a_caller_is_answered_and_waits_with_music_until_it_ends() -> None:
    """For as long as it takes: what would end a call that nobody fetches is put off."""
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.perform(Hold(ChannelId("1"), "calm"))
        desk.operator.perform(Hold(ChannelId("1"), ""))
        await desk.idle()
        assert fake.asked == [
            "POST channels/1/answer",
            "POST channels/1/variable",
            "POST channels/1/moh",
            "DELETE channels/1/moh",
        ]


@pytest.mark.parametrize("step", ["answer", "variable"])
async def test_who_waits_is_not_cut_off_because_asterisk_has_declined_once(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To answer him, and that he may wait, is asked for again."""
    monkeypatch.setattr(insisting, "AGAIN", 0.01)
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse[f"POST channels/1/{step}"] = 500
        desk.operator.perform(Hold(ChannelId("1"), "calm"))
        await desk.idle()
        assert fake.asked.count(f"POST channels/1/{step}") == insisting.TIMES


async def test_nobody_is_rung_whose_end_is_asked_for_already() -> None:
    """Asterisk was slow, and who called has hung up meanwhile."""
    call, one, two = ChannelId("1"), ChannelId("pf-f00-1-0"), ChannelId("pf-f00-1-1")
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.perform(MakeLeg(call, two, "1001", Leg(), "", "f00/1/1"))
        desk.operator.perform(DialLeg(call, one, 30))
        desk.operator.perform(HangUpLeg(call, one, 16))
        desk.operator.perform(HangUpLeg(call, two, 16))
        desk.operator.perform(HandOver(call, Extension("1001"), (Leg(),), "f00/1/1", 30))
        desk.operator.perform(HangUp(call, 16))
        await desk.idle()
        assert fake.asked == [f"DELETE channels/{one}" for one in (one, two, call)]


@pytest.mark.parametrize(
    ("ends", "step"),
    [
        (HangUp(ChannelId("1"), 16), "DELETE channels/1"),
        (HangUpLeg(ChannelId("1"), ChannelId("pf-f00-1-0"), 16), "DELETE channels/pf-f00-1-0"),
        (EndBridge(ChannelId("1"), "pf-f00"), "DELETE bridges/pf-f00"),
        (Abandon(ChannelId("pf-f00-1-0")), "DELETE channels/pf-f00-1-0"),
    ],
)
async def test_what_does_not_end_is_asked_for_later_too(
    ends: ForAsterisk, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would see to it: a bridge, or a phone that rings, would stay."""
    monkeypatch.setattr(insisting, "AGAIN", 0.001)
    monkeypatch.setattr(insisting, "LATER", (0.001, 0.001, 0.001, 0.001))
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse[step] = 500
        desk.operator.perform(ends)
        await fake.until(step, insisting.TIMES + 2)
        fake.refuse[step] = 404
        await fake.until(step, insisting.TIMES + 3)
        await desk.idle()
        assert fake.asked.count(step) == insisting.TIMES + 3  # it is gone


async def test_a_bridge_that_is_made_late_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asterisk has not answered, as if it looked up a name first; it makes the bridge when nobody wants it any more."""
    monkeypatch.setattr(insisting, "LATER", (0.001, 0.001, 0.001, 0.001))
    call, ends = ChannelId("1"), "DELETE bridges/pf-f00"
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse |= {"POST bridges/pf-f00": 0, ends: 404}
        desk.operator.perform(MakeBridge(call, "pf-f00", 90))
        desk.operator.perform(EndBridge(call, "pf-f00"))
        await fake.until(ends, 2)
        del fake.refuse[ends]
        await fake.until(ends, 3)
        await desk.idle()
        assert fake.asked.count(ends) == 3


async def test_a_mistake_of_ours_costs_neither_what_comes_next_nor_other_calls(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; the call is hung up as it is asked for, and the daemon goes on."""

    async def fails(effect: Divert) -> None:
        raise ZeroDivisionError

    async with FakeAri() as fake, at_work(fake) as desk:
        monkeypatch.setattr(desk.operator.calls, "_divert", fails)
        desk.operator.perform(Divert(ChannelId("1"), Diverted("1001", "cfu")))
        desk.operator.perform(HangUp(ChannelId("1"), 16))
        desk.operator.perform(HangUp(ChannelId("2"), 16))
        await desk.idle()
        assert sorted(fake.asked) == ["DELETE channels/1", "DELETE channels/2"]
        assert "ZeroDivisionError" in caplog.text


CALLER, LEG, BRIDGE = ChannelId("1"), ChannelId("pf-f00-1-0"), "pf-f00"
JOINS, DIALS = Join(CALLER, BRIDGE, (LEG,), quietly=True), DialLeg(CALLER, LEG, 30)
RINGS = (  # one phone, in a bridge
    MakeBridge(CALLER, BRIDGE, 90),
    Join(CALLER, BRIDGE, (CALLER,)),
    MakeLeg(CALLER, LEG, "1002", Leg(), "", "", then=(JOINS, DIALS)),
)
ASKED = [
    "POST channels/create",
    "POST bridges/pf-f00",
    "POST bridges/pf-f00/addChannel",
    "POST bridges/pf-f00/addChannel",
    "POST channels/pf-f00-1-0/dial",
    "POST channels/1/variable",
]


async def _rings(desk: Desk) -> None:
    """One phone, by a connection that is open already; and what is asked when its leg has entered."""
    desk.operator.perform(effect("0"))
    await desk.idle()
    desk.fake.asked.clear()
    for one in RINGS:
        desk.operator.perform(one)
    tasks = {task.get_name() for task in asyncio.all_tasks()}
    assert not any(name.startswith("asterisk call") for name in tasks)
    for then in (JOINS, DIALS):
        desk.operator.perform(then)
    await desk.idle()


async def test_a_bridge_and_who_rings_in_it_are_asked_for_before_anything_else_is_done() -> None:
    """No task is woken for it: who calls waits for it, and a busy daemon is slow to wake. What is done is not asked again."""
    async with FakeAri() as fake, at_work(fake) as desk:
        await _rings(desk)
        assert fake.asked == ASKED
        desk.operator.perform(JOINS)  # it is done, and forgotten
        await desk.idle()
        assert fake.asked == [*ASKED, "POST bridges/pf-f00/addChannel"]
        assert (desk.ended, desk.notes) == ([], [])


async def test_a_leg_that_asterisk_did_not_dial_yet_is_dialed_when_it_has_entered() -> None:
    """What was declined, and no more."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse["POST channels/pf-f00-1-0/dial"] = 409
        await _rings(desk)
        assert fake.asked == [*ASKED, "POST channels/pf-f00-1-0/dial", "DELETE channels/pf-f00-1-0"]
        assert desk.ended == [LegEnded(LEG, 38)]


async def test_a_phone_that_cannot_be_rung_is_given_up() -> None:
    """What was asked for in the same write comes to nothing."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse["POST channels/create"] = 500
        await _rings(desk)
        assert fake.asked[: len(ASKED)] == ASKED
        assert desk.ended[0] == LegEnded(LEG, 38)
        assert "DELETE channels/pf-f00-1-0" in fake.asked


async def test_after_silence_it_is_looked_whether_one_phone_rings() -> None:
    """Nothing was done: its leg is not there, and the try has failed."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse["POST channels/create"] = 0
        await _rings(desk)
        assert fake.asked[1] == "POST bridges/pf-f00"
        assert LegEnded(LEG, 42) in desk.ended


async def test_who_has_sent_a_call_on_is_set_before_somebody_is_rung() -> None:
    """In PJSIP's words; a call of which Asterisk does not want to know it goes on."""
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.perform(Divert(ChannelId("1"), Diverted("1003", "cfb", 2)))
        fake.refuse["POST channels/1/variables"] = 500
        desk.operator.perform(SendElsewhere(ChannelId("1"), "1002"))
        await desk.idle()
        assert fake.asked[-1] == "POST channels/1/redirect"
        assert [note.what for note in desk.notes] == ["diversion not told"]
        del fake.refuse["POST channels/1/variables"]
        desk.operator.perform(Divert(ChannelId("1"), Diverted("1003", "cfb", 2)))
        await desk.idle()
        assert fake.asked[-1] == "POST channels/1/variables"
        assert fake.bodies[-1][1] == {"variables": BUSY}
        assert hand_over(replace(effect("1"), diverted=Diverted("1003", "cfb", 2))) == (
            "here",
            {"PBXFED_DIAL": "PJSIP/1002,20,i", "PBXFED_CALL": "abc/1/0", **BUSY},
        )


BUSY = {
    "REDIRECTING(from-num,i)": "1003",
    "REDIRECTING(reason,i)": "cfb",
    "REDIRECTING(count,i)": "2",
}


async def test_a_service_hears_who_has_forwarded_a_call_and_that_nobody_has() -> None:
    """In the request by which the call goes on, and whatever the caller says himself."""
    async with FakeAri() as fake, at_work(fake) as desk:
        for by in Diverted("1003", "cfb", 2), None:
            fake.bodies.clear()
            desk.operator.perform(Lead(ChannelId("1"), "mail", "box", by))
            await desk.idle()
            (_, told), (_, place) = fake.bodies
            said = {"PBXFED_BY": "1003", "PBXFED_WHY": "cfb", **BUSY}
            none = {"PBXFED_BY": "", "PBXFED_WHY": "", "REDIRECTING(from-num,i)": ""}
            assert told == {"variables": {"PBXFED_LEAD": "mail,box,1", **(said if by else none)}}
            assert place == {"context": "pbxfed-lead", "extension": "box", "priority": 1}


async def test_before_22_10_each_variable_goes_alone() -> None:
    """There is no request for several then."""
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.calls.several = False
        desk.operator.perform(effect("1"))
        await desk.idle()
        assert fake.asked == ["POST channels/1/variable"] * 2 + ["POST channels/1/continue"]


async def test_one_calls_effects_are_in_order_and_other_calls_do_not_wait() -> None:
    """A hang-up must not overtake what was asked before."""
    async with FakeAri() as fake, at_work(fake) as desk:
        for channel in ("1", "2"):
            desk.operator.perform(Divert(ChannelId(channel), Diverted("1003", "cfb")))
            desk.operator.perform(HangUp(ChannelId(channel), 17))
        await desk.idle()
        for channel in ("1", "2"):
            assert [line for line in fake.asked if f"channels/{channel}" in line] == [
                f"POST channels/{channel}/variables",
                f"DELETE channels/{channel}",
            ]


async def test_a_caller_who_has_gone_has_ended() -> None:
    """404 is an answer."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse["POST channels/1/continue"] = 404
        fake.refuse["DELETE channels/2"] = 404
        desk.operator.perform(effect("1"))
        desk.operator.perform(HangUp(ChannelId("2"), 16))
        await desk.idle()
        assert sorted(one.channel for one in desk.ended if isinstance(one, Ended)) == ["1", "2"]
        assert desk.notes == []


async def test_a_peers_call_is_sent_elsewhere_by_the_number_alone() -> None:
    """What is no number is not sent; what Asterisk declines is hung up."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse["POST channels/3/redirect"] = 422
        for channel, number in ("1", "1003"), ("2", "1003@elsewhere"), ("3", "1004"):
            desk.operator.perform(SendElsewhere(ChannelId(channel), number))
        await desk.idle()
        assert sorted(fake.asked) == [
            "DELETE channels/2",
            "DELETE channels/3",
            "POST channels/1/redirect",
            "POST channels/3/redirect",
        ]


PHONE, OTHER, EAR = (ChannelId(f"pbxfed-listen-f00-called-1-{w}") for w in ("phone", "call", "ear"))


async def test_who_listens_in_is_called_and_connected_with_what_hears_the_call() -> None:
    """In order, and each channel by its name; of the one that is his all is heard."""
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.perform(CallListener(PHONE, OTHER, "1003", "Listening: 1002 - 1"))
        desk.operator.perform(Overhear(PHONE, EAR, ChannelId("17.1"), "in"))
        desk.operator.perform(Lend(PHONE, EAR))
        await desk.idle()
        assert fake.asked == [
            "POST channels",
            "POST applications/pbxfed/subscription",
            f"POST channels/17.1/snoop/{EAR}",
            f"POST channels/{EAR}/variable",
            f"POST channels/{EAR}/continue",
        ]
        (_, called), (_, lent) = fake.bodies
        assert called == {
            "endpoint": "Local/1003@pbxfed-phones/n",
            "callerId": '"Listening: 1002 - 1" <1003>',
            "timeout": -1,
            "context": "pbxfed-listen",
            "extension": "s",
            "priority": 1,
        }
        assert lent == {"context": "pbxfed-listen", "extension": "ear", "priority": 1}
        assert desk.ended == []


@pytest.mark.parametrize(
    ("refused", "ends"),
    [
        ("POST channels", PHONE),
        ("POST applications/pbxfed/subscription", PHONE),
        ("POST channels/17.1/snoop/" + EAR, EAR),
        (f"POST channels/{EAR}/continue", EAR),
    ],
)
async def test_what_is_declined_of_it_ends_it(refused: str, ends: ChannelId) -> None:
    """Nobody waits for what does not come."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse[refused] = 404
        desk.operator.perform(CallListener(PHONE, OTHER, "1003", "Listening"))
        desk.operator.perform(Overhear(PHONE, EAR, ChannelId("17.1"), "in"))
        desk.operator.perform(Lend(PHONE, EAR))
        await desk.idle()
        assert desk.ended == [Ended(ends, 38)]
        assert f"DELETE channels/{ends}" in fake.asked


FAILED = Returned(ChannelId("1"), "CHANUNAVAIL", 38)
TOO_LATE = Returned(ChannelId("1"), "CHANUNAVAIL", 42)


@pytest.mark.parametrize("status", [412, 500])
async def test_a_call_that_cannot_be_handed_over_has_failed(status: int) -> None:
    """Silence would be worse; and somebody should know."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse["POST channels/1/continue"] = status
        desk.operator.perform(effect("1"))
        await desk.idle()
        assert desk.ended == [FAILED]
        assert [note.what for note in desk.notes] == ["call not handed over"]


async def test_a_dialplan_of_another_release_is_named() -> None:
    """Its channel is there; the label is not."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse["POST channels/1/continue"] = 404
        fake.why = "Requested label can not be found in context"
        desk.operator.perform(effect("1"))
        await desk.idle()
        assert desk.ended == [FAILED]
        assert "pbxfed init --check" in str(desk.notes[0].fields)


@pytest.mark.parametrize("status", [404, 409, 0, LOST])
@pytest.mark.parametrize("app", ["Stasis", "Dial"])
async def test_a_call_that_left_stasis_is_let_go(status: int, app: str) -> None:
    """It is in the dialplan already; hanging it up would end a conversation. If it is not, it would wait in vain."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.channels = [{"id": "1", "dialplan": {"app_name": app}}]
        fake.refuse["POST channels/1/continue"] = status
        desk.operator.perform(effect("1"))
        await desk.idle()
        failed = FAILED if status > 0 else TOO_LATE
        assert desk.ended == ([failed] if app == "Stasis" else [])
        said = "call not handed over" if app == "Stasis" else "call goes on unasked"
        assert [note.what for note in desk.notes] == [said]


async def test_who_goes_on_without_a_way_comes_back_by_himself() -> None:
    """Both are asked at once: the variables are declined, and the channel goes on."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse["POST channels/1/variables"] = 500
        desk.operator.perform(effect("1"))
        await desk.idle()
        assert fake.asked[-1] == "POST channels/1/continue"
        assert desk.ended == []
        assert [note.what for note in desk.notes] == ["call handed over without a way"]


async def test_nobody_enters_a_room_without_its_pin() -> None:
    """What is declined is asked for before he goes on."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse["POST channels/1/variables"] = 500
        desk.operator.perform(Enter(ChannelId("1"), "800", 20, "2580", "abc/1/0"))
        await desk.idle()
        assert "POST channels/1/continue" not in fake.asked
        assert desk.ended == [FAILED]


@pytest.mark.parametrize("path", ["variables", "continue"])
async def test_who_is_to_enter_a_room_is_led_there_at_the_second_asking(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Elsewhere he would be alone."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse[f"POST channels/1/{path}"] = 500
        monkeypatch.setattr(fake, "refusal", lambda line: fake.refuse.pop(line, None))
        desk.operator.perform(Enter(ChannelId("1"), "800", 20, "2580", "abc/1/0"))
        await desk.idle()
        assert fake.asked.count("POST channels/1/variables") == 2
        assert fake.asked[-1] == "POST channels/1/continue"
        assert (desk.ended, desk.notes) == ([], [])


async def test_objects_wait_for_asterisk_and_trunks_go_first() -> None:
    """Calls between nodes need the trunks; phones are registered already."""
    async with FakeAri() as fake, at_work(fake, up=False) as desk:
        for number in range(1001, 1021):
            desk.operator.perform(phone(str(number)))
        desk.operator.perform(TRUNK)
        assert fake.asked == []
        await desk.reconnect()
        await desk.idle()
        assert len(fake.objects) == 63
        endpoints = [line for line in fake.asked if line.startswith(f"{PUT}endpoint/")]
        assert endpoints.index(f"{PUT}endpoint/pf-b") < 9  # of 21; eight were waiting in line
        assert dict(fake.objects["auth", "pf-b"])["username"] == "pf-a-b"


async def test_what_is_there_already_is_not_pushed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the same effect, not after a reconnect, not by a daemon that has restarted; but after a loss of the tables."""
    monkeypatch.setattr(objects, "SETTLED", 0.0)
    async with FakeAri() as fake:
        async with at_work(fake) as desk:
            desk.operator.perform(phone("1001"))
            await desk.idle()
            fake.asked.clear()
            desk.operator.perform(phone("1001"))
            await desk.reconnect()
            await desk.idle()
        async with at_work(fake, up=False) as desk:
            desk.operator.perform(phone("1001"))
            await desk.reconnect()
            await desk.idle()
            assert not any(line.startswith(PUT) for line in fake.asked)
            fake.objects.clear()
            await desk.reconnect()
            await desk.idle()
            assert len(fake.objects) == 3


async def test_a_new_phone_is_pushed_again_when_it_has_settled_and_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its endpoint may have overtaken its aor: then nothing would ever be heard of it, nor of who has registered meanwhile."""
    monkeypatch.setattr(objects, "SETTLED", 0.0)
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.contacts = {"1001": ["sip:1001@10.0.0.9"]}
        desk.operator.perform(phone("1001"))
        await desk.idle()
        puts = [str(body) for line, body in fake.bodies if line == f"{PUT}endpoint/1001"]
        assert ["-new" in body for body in puts] == [True, False]
        assert "callerid" not in puts[1]
        await desk.contacts.look_again()
        assert desk.contacts.registered(Extension("1001"))


async def test_a_phone_that_was_removed_and_added_again_settles_in_its_own_time() -> None:
    """The first one's time is none of the second one's: its aor may not be there yet."""
    async with FakeAri() as fake, at_work(fake) as desk:
        told = desk.operator.objects
        desk.operator.perform(phone("1001"))
        await desk.idle()
        first = told._born["1001"]
        desk.operator.perform(RemoveExtension(Extension("1001")))
        await desk.idle()
        assert not told._born
        await asyncio.sleep(0.002)  # another millisecond
        desk.operator.perform(phone("1001"))
        await desk.idle()
        told._settle("1001", first)
        await desk.idle()
        assert fake.marks()["1001"].endswith("-new")
        told._settle("1001", told._born["1001"])
        await desk.idle()
        assert not fake.marks()["1001"].endswith("-new")


async def test_who_was_new_when_the_daemon_died_is_pushed_by_the_next_one() -> None:
    """It does not know whether Asterisk has seen the endpoint as a whole."""
    async with FakeAri() as fake:
        async with at_work(fake) as desk:
            desk.operator.perform(phone("1001"))
            await desk.idle()
        assert fake.marks()["1001"].endswith("-new")
        async with at_work(fake, up=False) as desk:
            desk.operator.perform(phone("1001"))
            await desk.reconnect()
            await desk.idle()
            assert not fake.marks()["1001"].endswith("-new")


@pytest.mark.parametrize("event", ["restart", "reload"])
async def test_a_sleeping_asterisk_is_woken_endpoint_by_endpoint(event: str) -> None:
    """It has all in its tables, but raises no news of an endpoint before that was pushed; once awake, it stays so."""
    async with FakeAri() as fake, at_work(fake) as desk:
        for number in "1001", "1002":
            desk.operator.perform(phone(number))
        await desk.idle()
        await desk.operator.objects.look()
        fake.asked.clear()
        fake.bodies.clear()
        fake.awake.clear()
        for _ in range(2):
            if event == "restart":
                fake.globals = {} if fake.awake == set() else fake.globals
                await desk.reconnect()
            else:
                await desk.operator.objects.look()
            await desk.idle()
            await fake.until("POST asterisk/variable", 2)
        puts = [line for line, _ in fake.bodies if line.startswith(f"{PUT}endpoint/")]
        assert puts[0] == f"{PUT}endpoint/{CANARY}"
        assert sorted(puts[1:]) == [f"{PUT}endpoint/1001", f"{PUT}endpoint/1002"]
        assert "callerid" not in str(fake.bodies)


async def test_the_canary_can_call_nobody() -> None:
    """It has no secret: whoever says that it is the canary is let in as far as its context leads."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.bodies.clear()
        fake.awake.clear()
        await desk.operator.objects.look()
        (body,) = [str(body) for line, body in fake.bodies if line == f"{PUT}endpoint/{CANARY}"]
        assert NOWHERE in body


async def test_whoever_is_dialled_comes_first_then_who_is_registered() -> None:
    """Ten thousand must not delay the first calls."""
    async with FakeAri() as fake, at_work(fake, up=False) as desk:
        for number in range(1001, 1101):
            desk.operator.perform(phone(str(number)))
        desk.contacts.saw(ContactAdded(Extension("1099"), "sip:1099@10.0.0.9", 1))
        desk.operator.perform(effect("1", number="1100"))
        await desk.reconnect()
        await desk.idle()
        asked = (line[-4:] for line in fake.asked if line.startswith(f"{PUT}endpoint/1"))
        order = list(dict.fromkeys(asked))  # one that was not answered in time is asked for again
        assert len(order) == 100
        assert order.index("1100") < 17  # eight were being pushed when it was dialled
        assert order.index("1099") < 17


async def test_a_change_is_pushed() -> None:
    """A new name."""
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.perform(phone("1001"))
        await desk.idle()
        desk.operator.perform(phone("1001", "Bob"))
        await desk.idle()
        assert fake.objects["endpoint", "1001"]["callerid"] == '"Bob" <1001>'


async def test_an_aor_that_stands_is_left_alone() -> None:
    """Asterisk writes the registrations of the moment into one that is changed."""
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.perform(phone("1001"))
        await desk.idle()
        fake.contacts = {"1001": ["sip:1001@10.0.0.9"]}
        desk.operator.perform(phone("1001", "Bob"))
        await desk.idle()
        assert fake.objects["endpoint", "1001"]["callerid"] == '"Bob" <1001>'
        assert "contact" not in fake.objects["aor", "1001"]
        desk.operator.perform(replace(phone("1001", "Bob"), devices=2))
        await desk.idle()
        assert fake.objects["aor", "1001"]["max_contacts"] == "2"


async def test_a_peer_that_has_moved_is_called_where_it_is_now() -> None:
    """Asterisk would add the new address to the old one."""
    async with FakeAri() as fake, at_work(fake) as desk:
        for address in "10.0.0.2", "10.0.0.3":
            desk.operator.perform(replace(TRUNK, address=address))
            await desk.idle()
            assert fake.objects["aor", "pf-b"]["contact"] == f"sip:{address}:5060"


async def test_a_hand_written_phone_is_left_alone_and_said_once() -> None:
    """The administrator's own pjsip.conf always wins."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.hand_written = {"1001"}
        desk.operator.perform(phone("1001"))
        await desk.idle()
        desk.operator.perform(phone("1001"))
        await desk.idle()
        assert [note.what for note in desk.notes] == ["left alone: written by hand"]
        assert not any(line.startswith(PUT) for line in fake.asked)
        desk.operator.perform(RemoveExtension(Extension("1001")))
        await desk.idle()
        assert not any(line.startswith("DELETE") for line in fake.asked)


async def test_what_asterisk_cannot_store_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk is full, say: 403 too, but nobody has written that phone by hand."""
    monkeypatch.setattr(objects, "LATER", 0.02)
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.refuse[f"{PUT}aor/1001"] = 403
        desk.operator.perform(phone("1001"))
        await fake.until(f"{PUT}aor/1001", 2)
        fake.refuse.clear()
        await fake.until(f"{PUT}endpoint/1001")
        assert {note.what for note in desk.notes} == {"object not pushed"}


async def test_an_unanswered_push_is_tried_again() -> None:
    """Asterisk was busy for a moment."""
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.answers.clear()
        desk.operator.perform(phone("1001"))
        await fake.until("GET asterisk/config/dynamic/res_pjsip/endpoint/1001", 2)
        fake.answers.set()
        await desk.idle()
        assert len(fake.objects) == 3


async def test_a_removed_phone_goes_endpoint_first() -> None:
    """In the reverse order, and a half that is missing does no harm."""
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.perform(phone("1001"))
        await desk.idle()
        del fake.objects["aor", "1001"]
        fake.asked.clear()
        desk.operator.perform(RemoveExtension(Extension("1001")))
        await desk.idle()
        base = "asterisk/config/dynamic/res_pjsip"
        assert [line for line in fake.asked if base in line] == [
            f"GET {base}/endpoint/1001",
            f"DELETE {base}/endpoint/1001",
            f"DELETE {base}/aor/1001",
            f"PUT {base}/auth/1001",  # marked as gone: tables.py
            f"DELETE {base}/endpoint/1001",
            f"DELETE {base}/aor/1001",
            f"DELETE {base}/auth/1001",
        ]
        assert fake.objects == {}


async def test_left_over_objects_go_once_all_is_told() -> None:
    """Only those with our mark; before settled() nobody knows what is wanted."""
    async with FakeAri() as fake, at_work(fake) as desk:
        for name in ("1001", "1009", "pf-z"):
            fake.objects["endpoint", name] = {MARK: "x"}
        fake.objects["endpoint", "5000"] = {"context": "mine"}
        await desk.reconnect()
        desk.operator.perform(phone("1001"))
        await desk.idle()
        assert ("endpoint", "1009") in fake.objects
        desk.operator.objects.settled()
        await desk.idle()
        left = {name for kind, name in fake.objects if kind == "endpoint"}
        assert left == {"1001", "5000"}


async def test_a_registration_that_moved_away_is_ended_when_asterisk_answers_again() -> None:
    """Left there, it would be found at the next reading, and ring along with where the phone is."""
    name = contact_id(Extension("1001"), "sip:1001@x")
    async with FakeAri() as fake, at_work(fake) as desk:
        fake.objects["contact", name] = {"expiration_time": "0"}
        fake.answers.clear()
        desk.operator.perform(DropContact(Extension("1001"), "sip:1001@x", 7))
        await fake.until(f"GET asterisk/config/dynamic/res_pjsip/contact/{name}", 2)
        fake.answers.set()
        await fake.until(f"DELETE asterisk/config/dynamic/res_pjsip/contact/{name}")
    assert {note.what for note in desk.notes} == {"contact not dropped"}


async def test_a_number_that_was_no_phone_is_looked_for_and_no_more() -> None:
    """A group that is removed, for example: Asterisk logs an error for each auth without a user name."""
    async with FakeAri() as fake, at_work(fake) as desk:
        desk.operator.perform(RemoveExtension(Extension("600")))
        await desk.idle()
        assert [line for line in fake.asked if "600" in line] == [
            "GET asterisk/config/dynamic/res_pjsip/endpoint/600"
        ]


async def test_iax_peers_are_written_and_loaded_once(tmp_path: Path) -> None:
    """Several changes are one reload; none is none."""
    path = tmp_path / "peers.conf"
    reload = "PUT asterisk/modules/chan_iax2.so"
    async with FakeAri() as fake, at_work(fake, iax=path) as desk:
        desk.operator.perform(TRUNK)
        desk.operator.perform(PushTrunk(NodeName("c"), "10.0.0.3", 5060, 4569, b"key"))
        await fake.until(reload)
        await desk.idle()
        assert path.read_text().count("[pf-") == 2
        desk.operator.perform(TRUNK)
        await desk.idle()
        assert fake.asked.count(reload) == 1
        desk.operator.perform(RemoveTrunk(B))
        await fake.until(reload, 2)
        assert "[pf-b]" not in path.read_text()
    async with FakeAri() as fake, at_work(fake, iax=path) as desk:
        desk.operator.perform(PushTrunk(NodeName("c"), "10.0.0.3", 5060, 4569, b"key"))
        await desk.idle()
        assert reload not in fake.asked  # a daemon's restart costs no reload


async def test_who_is_asked_without_us_is_written_once_for_each_asterisk() -> None:
    """As the dialplan dials it. Nothing is written before anything is known: what stood there stands."""
    write = "POST asterisk/variable"
    said = "PJSIP/${PBXFED_NUMBER}@pf-b&IAX2/pf-c/${PBXFED_NUMBER}"
    async with FakeAri() as fake, at_work(fake) as desk:

        async def stands(value: str) -> None:
            async with asyncio.timeout(5):
                while fake.globals.get(PEERS) != value:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)

        await desk.idle()
        assert PEERS not in fake.globals
        fake.asked.clear()
        desk.operator.perform(WhenAlone((Leg(B, "sip"), Leg(NodeName("c"), "iax2"))))
        await stands(said)
        await desk.idle()
        assert fake.asked.count(write) == 1
        del fake.globals[PEERS]  # another Asterisk
        await desk.reconnect()
        await stands(said)
        fake.refuse[write] = 500
        desk.operator.perform(WhenAlone((Leg(B, "sip"),)))
        async with asyncio.timeout(5):
            while not desk.notes:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        del fake.refuse[write]
        desk.operator.perform(WhenAlone(()))
        await stands("")
    assert [note.what for note in desk.notes] == ["peers not told to the dialplan"]


async def test_a_folder_that_cannot_be_written_is_noted(tmp_path: Path) -> None:
    """SIP trunks work on."""
    async with FakeAri() as fake, at_work(fake, iax=tmp_path / "no" / "peers.conf") as desk:
        desk.operator.perform(TRUNK)
        await desk.idle()
        async with asyncio.timeout(5):
            while not desk.notes:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert "peers of IAX2 not written: " in desk.operator.trouble
        assert "asterisk.iax_peers" in desk.operator.trouble
        assert ("endpoint", "pf-b") in fake.objects
        (tmp_path / "no").mkdir()
        await fake.until("PUT asterisk/modules/chan_iax2.so")
        await desk.idle()
    assert [note.what for note in desk.notes] == ["IAX2 trouble", "IAX2 trouble no more"]


async def test_peers_of_iax_that_asterisk_does_not_read_are_tried_again(tmp_path: Path) -> None:
    """It is said once, with Asterisk's own word, and stays to be seen as long as it lasts."""
    reload = "PUT asterisk/modules/chan_iax2.so"
    async with FakeAri() as fake, at_work(fake, iax=tmp_path / "peers.conf") as desk:
        fake.refuse[reload] = 404
        desk.operator.perform(TRUNK)
        await fake.until(reload, 3)
        assert "peers of IAX2 not loaded: " in desk.operator.trouble
        del fake.refuse[reload]
        asked = fake.asked.count(reload)
        await fake.until(reload, asked + 1)
        async with asyncio.timeout(5):
            while desk.operator.trouble:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        desk.operator.up()
        await desk.idle()
        assert fake.asked.count(reload) == asked + 1
    assert [note.what for note in desk.notes] == ["IAX2 trouble", "IAX2 trouble no more"]


@pytest.mark.parametrize("folder", ["", "no"])
async def test_a_node_of_sip_alone_needs_no_iax2(tmp_path: Path, folder: str) -> None:
    """Neither the module nor a folder for its file: nothing is said, and nothing asked again until Asterisk starts anew."""
    reload, path = "PUT asterisk/modules/chan_iax2.so", tmp_path / folder / "peers.conf"
    async with FakeAri() as fake, at_work(fake, iax=path, takes_iax=False) as desk:
        fake.refuse[reload] = 404
        desk.operator.perform(TRUNK)
        await desk.idle()
        if not folder:
            await fake.until(reload)
        await asyncio.sleep(0.05)
        assert fake.asked.count(reload) == (0 if folder else 1)
        assert (desk.operator.trouble, desk.notes) == ("", [])
        if not folder:
            desk.operator.up()
            await fake.until(reload, 2)
            fake.refuse[reload] = 409  # there is one, and it does not like its file
            desk.operator.up()
            await fake.until(reload, 4)
            assert "peers of IAX2 not loaded: " in desk.operator.trouble


async def test_without_peers_nobody_misses_iax2(tmp_path: Path) -> None:
    """The last one leaves while Asterisk has no such module."""
    reload = "PUT asterisk/modules/chan_iax2.so"
    async with FakeAri() as fake, at_work(fake, iax=tmp_path / "peers.conf") as desk:
        fake.refuse[reload] = 404
        desk.operator.perform(TRUNK)
        await fake.until(reload, 2)
        desk.operator.perform(RemoveTrunk(B))
        async with asyncio.timeout(5):
            while desk.operator.trouble or len(desk.notes) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        await asyncio.sleep(0.5)  # he may have left while it was asked: then it is once more
        asked = fake.asked.count(reload)
        await asyncio.sleep(0.05)
        assert fake.asked.count(reload) == asked
    assert [note.what for note in desk.notes] == ["IAX2 trouble", "IAX2 trouble no more"]
