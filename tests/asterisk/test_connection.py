"""The websocket's life, against a tiny ARI."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pbxfed_ari.asterisk import conferences, connection, pulse
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.connection import Connection, State
from pbxfed_ari.asterisk.contacts import Contacts
from pbxfed_ari.asterisk.events import BRIDGES, OURS
from pbxfed_ari.asterisk.process import Process
from pbxfed_ari.asterisk.subscriptions import REPLACED
from pbxfed_ari.asterisk.versions import Version, judge, parse_version
from pbxfed_ari.core.events import (
    Answered,
    AriWasSlow,
    Arrived,
    AsteriskDied,
    AsteriskDown,
    AsteriskUp,
    ChannelsListed,
    ContactsListed,
    Ended,
    Event,
    LegDialed,
    LegEnded,
    LegLives,
    LegSeen,
    Returned,
    RingFound,
    RoomsListed,
    TalkFound,
)
from pbxfed_ari.core.names import ChannelId, NodeName
from pbxfed_ari.errors import Declined

from .fake import FakeAri, Json


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds for seconds."""
    for module, name, value in (
        (connection, "SHORTEST_WAIT", 0.001),
        (connection, "LONGEST_WAIT", 0.005),
        (connection, "HOPELESS_WAIT", 0.005),
        (pulse, "PING_EVERY", 0.005),
        (conferences, "LEFT", 0.001),
    ):
        monkeypatch.setattr(module, name, value)


class Killable(Process):
    """Asterisk's process, as a test wants it."""

    def __init__(self) -> None:
        super().__init__(Path("asterisk.ctl"))
        self.dead = False

    def has_died(self) -> bool:
        died, self.dead = self.dead, False
        return died


class Inbox:
    """What was posted, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Condition()
        self.ups: list[Version] = []
        self.downs = 0
        self.refused = 0  # how often preparing is declined
        self.prepared = 0
        self.tidied = 0
        self.process = Killable()
        self.meanwhile: Callable[[], None] = lambda: None  # happens while all is read

    async def prepare(self) -> None:
        self.prepared += 1
        if self.refused:
            self.refused -= 1
            raise Declined("updateObject: 403", status=403)

    async def tidy(self) -> None:
        self.tidied += 1
        self.meanwhile()

    async def look(self) -> None:
        pass

    def post(self, event: Event) -> None:
        self.events.append(event)

    def up(self, version: Version) -> None:
        self.ups.append(version)

    def down(self) -> None:
        self.downs += 1

    async def until(self, enough: Callable[[list[Event]], bool]) -> None:
        """Turn the loop until this holds."""
        async with asyncio.timeout(5):
            while not enough(self.events):  # noqa: ASYNC110 - tests wait for what the fake does, too
                await asyncio.sleep(0.001)

    async def until_kind(self, kind: type[Event], times: int = 1) -> None:
        await self.until(lambda events: len(self.of(kind)) >= times)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def between(ari: AriClient, inbox: Inbox) -> Connection:
    """What is heard there is told here."""
    contacts = Contacts(ari, post=inbox.post, note=lambda note: None)
    return Connection(
        ari,
        contacts,
        post=inbox.post,
        prepare=inbox.prepare,
        tidy=inbox.tidy,
        look=inbox.look,
        up=inbox.up,
        down=inbox.down,
        process=inbox.process,
    )


@asynccontextmanager
async def connected(
    fake: FakeAri, *, password: str = "right", deadline: float = 5.0
) -> AsyncIterator[Inbox]:
    """A running connection to this ARI; `inbox.connection` is it."""
    inbox = Inbox()
    async with AriClient(fake.url, "pbxfed", password, deadline=deadline) as ari:
        one = between(ari, inbox)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(one.run())
            try:
                inbox.connection = one  # type: ignore[attr-defined]
                yield inbox
            finally:
                running.cancel()


def channel(id: str, data: str = "", app: str = "Stasis") -> Json:
    """A channel that stands in this application with this data."""
    plan = {
        "context": "pbxfed-ask",
        "exten": "1002",
        "priority": 2,
        "app_name": app,
        "app_data": data,
    }
    return {"id": id, "dialplan": plan, "caller": {"name": "", "number": "1001"}}


async def reading(fake: FakeAri) -> None:
    """Who has connected, and has no answer yet, is heard, and reads what stands: until there are answers again."""
    fake.answers.set()
    await fake.until("GET asterisk/info")
    fake.answers.clear()
    await fake.until("PUT applications/pbxfed/eventFilter")


async def test_everything_is_read_before_up_is_told() -> None:
    """Then who was waiting, so that the core can serve them."""
    async with FakeAri() as fake:
        fake.channels = [
            channel("1", "pbxfed,phone"),
            channel("2", "pbxfed,next,BUSY,17"),
            channel("3", app="Dial"),
        ]
        fake.contacts = {"1001": ["sip:a"]}
        async with connected(fake) as inbox:
            await inbox.until_kind(Returned)
        listed, rooms, contacts, up, arrived, returned = inbox.events
        assert isinstance(listed, ChannelsListed)
        assert set(map(str, listed.channels)) == {"1", "2", "3"}
        assert listed.bridges == ()
        assert isinstance(rooms, RoomsListed)
        assert rooms.numbers == frozenset()
        assert isinstance(contacts, ContactsListed)
        assert contacts.contacts == {("1001", "sip:a")}
        assert up == AsteriskUp("22.10.1", restarted=False)
        assert isinstance(arrived, Arrived)
        assert (arrived.channel, arrived.number, len(arrived.fresh_id)) == ("1", "1002", 12)
        assert returned == Returned("2", "BUSY", 17, again=True)  # type: ignore[arg-type]
        assert inbox.ups == [(22, 10, 1)]
        assert fake.endpoint_ids == ["PJSIP"]


async def test_a_loss_is_told_once_and_a_restart_is_noticed() -> None:
    """Subscriptions are looked at first: Asterisk counts them."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        fake.started = "2026-11-22T20:00:00.000+0000"
        fake.refuse["GET channels"] = 500
        await fake.cut()
        await fake.until("GET channels", 4)
        del fake.refuse["GET channels"]
        await inbox.until_kind(AsteriskUp, 2)
        assert inbox.of(AsteriskDown) == [AsteriskDown("Asterisk closed the event websocket")]
        assert inbox.events[-1] == AsteriskUp("22.10.1", restarted=True)
        assert (inbox.downs, fake.endpoint_ids) == (1, ["PJSIP"])


async def test_a_loss_ends_no_call_unless_asterisk_has_died() -> None:
    """A websocket that is closed says nothing of the calls; a process that is no more, or another one, does."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        await fake.cut()
        await inbox.until_kind(AsteriskUp, 2)
        inbox.process.dead = True
        await fake.cut()
        await inbox.until_kind(AsteriskUp, 3)
        fake.started = "2026-11-22T20:00:00.000+0000"
        await fake.cut()
        await inbox.until_kind(AsteriskUp, 4)
        inbox.process.dead = True
        fake.started = "2026-11-22T21:00:00.000+0000"
        await fake.cut()
        await inbox.until_kind(AsteriskUp, 5)
    told = [type(e) for e in inbox.events if isinstance(e, ChannelsListed | AsteriskDied)]
    assert told == [
        ChannelsListed,
        ChannelsListed,
        *(AsteriskDied, ChannelsListed, ChannelsListed),
        *(AsteriskDied, ChannelsListed),
        *(AsteriskDied, ChannelsListed, ChannelsListed),  # a death is told once
    ]
    listed = [one for one in inbox.events if isinstance(one, ChannelsListed)]
    assert listed[2].channels == frozenset()


async def test_a_hanging_asterisk_is_down_and_up_again() -> None:
    """A socket that is open proves nothing."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        fake.answers.clear()
        await inbox.until_kind(AsteriskDown)
        (down,) = inbox.of(AsteriskDown)
        assert isinstance(down, AsteriskDown)
        assert down.reason.startswith("Asterisk hangs: asterisk.ping: no answer within")
        assert inbox.of(AriWasSlow) == [AriWasSlow(pulse.PING_DEADLINE)] * pulse.MISSES
        fake.answers.set()
        await inbox.until_kind(AsteriskUp, 2)
        assert inbox.of(AsteriskUp)[1] == AsteriskUp("22.10.1", restarted=False)


async def test_an_asterisk_that_answers_and_tells_nothing_is_given_another_websocket() -> None:
    """It does so after it has hung, if it notices late that our old one was closed."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        await fake.until(f"POST events/user/{pulse.ECHO}", 2 * pulse.DEAF)
        assert inbox.of(AsteriskDown) == []
        fake.deaf = True
        await inbox.until_kind(AsteriskDown)
        (down,) = inbox.of(AsteriskDown)
        assert isinstance(down, AsteriskDown)
        assert down.reason.startswith("Asterisk answers, and tells no events")
        fake.deaf = False
        await inbox.until_kind(AsteriskUp, 2)


async def test_an_asterisk_that_hangs_is_given_no_websocket() -> None:
    """It would take them all when it wakes, and whichever is last has the application."""
    async with FakeAri() as fake:
        fake.answers.clear()
        async with connected(fake) as inbox:
            await fake.until("GET asterisk/ping")
            assert fake.opened == 0
            fake.answers.set()
            await inbox.until_kind(AsteriskUp)
            assert fake.opened == 1


async def test_a_wrong_password_names_the_file() -> None:
    """The operator's to fix; we keep trying, and say it once."""
    async with FakeAri() as fake, connected(fake, password="wrong") as inbox:
        await inbox.until_kind(AsteriskDown)
        fake.password = "wrong"
        await inbox.until_kind(AsteriskUp)
        why = "ARI refuses user 'pbxfed': check asterisk.password_file"
        assert inbox.of(AsteriskDown) == [AsteriskDown(why)]


async def test_an_asterisk_that_still_loads_its_modules_is_soon_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It answers 404 until it has loaded ARI: phones shall not be kept from it for seconds after that."""
    monkeypatch.setattr(connection, "HOPELESS_WAIT", 3_600.0)
    async with FakeAri() as fake, connected(fake) as inbox:
        fake.loading = 3
        await inbox.until_kind(AsteriskUp)
        (down,) = inbox.of(AsteriskDown)
        assert isinstance(down, AsteriskDown)
        assert down.reason.endswith("check enabled=yes in ari.conf and http.conf")


async def test_nobody_there_says_where_we_looked() -> None:
    """`connection refused`, with the address."""
    async with FakeAri() as fake:
        url = fake.url
    inbox = Inbox()
    async with AriClient(url, "pbxfed", "right") as ari:
        one = between(ari, inbox)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(one.run())
            await inbox.until_kind(AsteriskDown)
            running.cancel()
    why = f"Asterisk does not answer at {url}: connection refused"
    assert inbox.events == [AsteriskDown(why)]


async def test_an_old_asterisk_is_refused() -> None:
    """It has nothing to push phones with."""
    async with FakeAri("18.20.0") as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskDown)
        assert inbox.events == [
            AsteriskDown(
                "Asterisk 18.20.0 is too old: 20 or later is needed "
                "(push configuration of PJSIP objects as we use it)"
            )
        ]


async def test_what_is_prepared_stands_until_we_are_subscribed() -> None:
    """Asterisk answers 422 to `endpoint:PJSIP` while there is no PJSIP endpoint: preparing leaves one."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        assert (inbox.prepared, inbox.tidied) == (1, 1)
        assert fake.endpoint_ids == ["PJSIP"]


async def test_an_asterisk_that_takes_no_objects_is_tried_again() -> None:
    """It may still be loading its modules; if not, the reason names the files."""
    async with FakeAri() as fake, connected(fake) as inbox:
        inbox.refused = 2
        await inbox.until_kind(AsteriskUp)
        ((down),) = inbox.of(AsteriskDown)
        assert isinstance(down, AsteriskDown)
        assert "check sorcery.conf, extconfig.conf and res_config_sqlite3.conf" in down.reason
        assert inbox.prepared == 3


async def test_iax2_is_heard_of_as_soon_as_there_are_peers() -> None:
    """422 until then: at once when they are loaded, before one can call; and if that fails, with the next pings."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        await inbox.connection.subscriptions.iax_loaded()  # type: ignore[attr-defined]
        assert "IAX2" not in fake.endpoint_ids
        fake.iax = True
        await inbox.until(lambda events: "IAX2" in fake.endpoint_ids)
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        fake.iax = True
        await inbox.connection.subscriptions.iax_loaded()  # type: ignore[attr-defined]
        assert fake.endpoint_ids.count("IAX2") == 1


async def test_only_callers_are_calls() -> None:
    """A dialed leg's end is told as a leg's, a strange channel's not at all; an unknown event is nothing."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        before = len(inbox.events)
        caller = {"id": "1", "name": "PJSIP/1001-2a", "dialplan": {"exten": "1002"}}
        events: list[Json] = [
            {"type": "StasisStart", "args": ["phone"], "channel": caller},
            {"type": "NotInventedYet", "x": [1]},
            {"type": "Dial", "dialstatus": "", "caller": caller, "peer": {"id": "2"}},
            {"type": "Dial", "dialstatus": "ANSWER", "caller": caller, "peer": {"id": "2"}},
            {"type": "ChannelDestroyed", "channel": {"id": "2"}},
            {"type": "ChannelDestroyed", "channel": {"id": "3"}},
            {"type": "ChannelDestroyed", "channel": caller},
        ]
        for event in events:
            await fake.send(event)
        await inbox.until_kind(Ended)
        told = [type(one) for one in inbox.events[before:]]
        assert told == [Arrived, LegDialed, Answered, LegEnded, Ended]


async def test_the_end_of_a_channel_that_an_earlier_life_knew_is_told() -> None:
    """Of no other that nobody has told of."""
    async with FakeAri() as fake, connected(fake) as inbox:
        inbox.connection.expect({ChannelId("2")})  # type: ignore[attr-defined]
        await inbox.until_kind(AsteriskUp)
        for channel in "1", "2":
            await fake.send({"type": "ChannelDestroyed", "channel": {"id": channel}})
        await inbox.until_kind(Ended)
    assert inbox.of(Ended) == [Ended(ChannelId("2"))]


async def test_a_caller_without_an_endpoint_is_followed_to_his_end() -> None:
    """A Local channel: we would not hear of it when it has left our application."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        caller = {
            "id": "1.2",
            "name": "Local/1002@pbxfed-phones-0;2",
            "dialplan": {"exten": "1002"},
        }
        start: Json = {"type": "StasisStart", "args": ["phone", "PJSIP/1001-2a"], "channel": caller}
        await fake.send(start)
        await inbox.until_kind(Arrived)
        assert "channel:1.2" in fake.endpoint_ids
        await fake.send({"type": "ChannelDestroyed", "channel": caller})
        await inbox.until_kind(Ended)


async def test_who_waits_without_an_endpoint_is_followed_to_his_end() -> None:
    """The same, if he had come before we lived."""
    local = {**channel("1.2", "pbxfed,phone,PJSIP/1001-2a"), "name": "Local/1002@x-0;2"}
    async with FakeAri() as fake:
        fake.channels = [local]
        async with connected(fake) as inbox:
            await inbox.until_kind(Arrived)
            assert "channel:1.2" in fake.endpoint_ids
            await fake.send({"type": "ChannelDestroyed", "channel": local})
            await inbox.until_kind(Ended)


async def test_who_has_talked_and_is_in_no_bridge_is_told_to_have_been_replaced() -> None:
    """By a transfer. Who waits has not talked, and who talks is in a bridge."""
    async with FakeAri() as fake:
        up = [{**channel(id, "pbxfed,phone"), "state": "Up"} for id in ("1.1", "1.2", "1.3")]
        # what has connected two bridges, for an attended transfer: of one pair they are no more
        pairs = [{**channel(id), "state": "Up"} for id in ("2.1", "2.2")]
        for one in pairs:
            one["name"] = f"Local/_attended@transfer-00000{one['id']};1"
        fake.channels = [*up, channel("1.4", "pbxfed,phone"), *pairs]
        fake.bridges = [{"id": "pf-f00", "channels": ["1.2"]}, {"id": "b", "channels": ["2.1"]}]
        fake.variables = {(id, "PBXFED_ANSWERED"): "1795608003000" for id in ("1.1", "1.2")}
        async with connected(fake) as inbox:
            await inbox.until_kind(ChannelsListed)
    (listed,) = inbox.of(ChannelsListed)
    assert isinstance(listed, ChannelsListed)
    assert listed.replaced == {"1.1", "2.2"}


@pytest.mark.parametrize("entered", ["pbxfed,phone,", "pbxfed,next,BUSY,17"])
async def test_who_talks_by_us_is_told_with_what_asterisk_knows(entered: str) -> None:
    """How he came and when, whither the leg goes and who is there, when it was answered; also if a first try had come back."""
    came: Json = {"name": "PJSIP/1001-00000001", "creationtime": "2026-11-25T12:00:00.000+0000"}
    made: Json = {
        "name": "PJSIP/pf-c-00000002",
        "creationtime": "2026-11-25T12:00:01.000+0000",
        "caller": {"name": "", "number": "1005"},
    }
    async with FakeAri() as fake:
        fake.channels = [
            {**channel("1.1", entered), "state": "Up", **came},
            {**channel("pf-f00-1-0", "pbxfed,leg"), "state": "Up", **made},
        ]
        fake.bridges = [{"id": "pf-f00", "channels": ["1.1", "pf-f00-1-0"]}]
        fake.variables = {("1.1", "PBXFED_ANSWERED"): "1795608003000"}
        async with connected(fake) as inbox:
            await inbox.until_kind(ChannelsListed)
    (listed,) = inbox.of(ChannelsListed)
    assert isinstance(listed, ChannelsListed)
    (bridge,) = listed.bridges
    (caller,) = bridge.callers
    assert bridge.talks
    assert (caller.channel, caller.caller, caller.number) == ("1.1", "1001", "1002")
    assert (caller.endpoint, caller.wall_ms) == ("1001", 1_795_608_000_000)
    leg = ChannelId("pf-f00-1-0")
    assert bridge.leg == LegSeen(NodeName("c"), "sip", "1005", 1_795_608_001_000, leg)
    assert bridge.answered_ms == 1_795_608_003_000


async def test_who_talks_by_dial_since_before_we_lived_is_told() -> None:
    """And with whom; a caller whom Dial has not connected is not told."""
    plan = {"context": "pbxfed-dial", "exten": "1002", "app_name": "Dial", "app_data": "PJSIP/1002"}
    came: Json = {"name": "PJSIP/1001-00000001", "creationtime": "2026-11-25T12:00:00.000+0000"}
    made: Json = {"name": "PJSIP/1002-00000002", "caller": {"name": "", "number": "1002"}}
    async with FakeAri() as fake:
        fake.channels = [
            {**channel("1.1"), **came, "dialplan": plan},
            {**channel("1.2", app="AppDial"), **made},
            {**channel("1.3"), **came, "dialplan": plan},
        ]
        fake.bridges = [{"id": "basic", "channels": ["1.2", "1.1"]}]
        fake.variables = {("1.1", "PBXFED_ARGS"): "phone,", ("1.1", "PBXFED_CALL"): "beef/1/2"}
        async with connected(fake) as inbox:
            await inbox.until_kind(TalkFound)
    (found,) = inbox.of(TalkFound)
    assert isinstance(found, TalkFound)
    caller = found.arrived
    assert (caller.channel, caller.caller, caller.number) == ("1.1", "1001", "1002")
    assert (found.note, found.leg) == (
        "beef/1/2",
        LegSeen(None, "", "1002", channel=ChannelId("1.2")),
    )


async def dialing_unheard(fake: FakeAri, inbox: Inbox) -> tuple[Json, Json]:
    """A caller has come, and Asterisk dials for him, of which we are told nothing: his channel and the leg's."""
    plan = {"context": "pbxfed-dial", "exten": "1002", "app_name": "Dial", "app_data": "PJSIP/1002"}
    caller: Json = {**channel("1.1"), "name": "PJSIP/1001-00000001", "dialplan": plan}
    leg: Json = {**channel("1.2", app="AppDial"), "name": "PJSIP/1002-00000002"}
    await inbox.until_kind(AsteriskUp)
    await fake.send({"type": "StasisStart", "args": ["phone"], "channel": channel("1.1")})
    await inbox.until_kind(Arrived)
    fake.channels = [caller, leg]
    return caller, leg


async def test_a_caller_who_was_answered_while_we_were_deaf_is_told_to_talk() -> None:
    """We know him since he came: by which leg he talks, and that it ends, we had not heard."""
    async with FakeAri() as fake, connected(fake) as inbox:
        _, leg = await dialing_unheard(fake, inbox)
        fake.bridges = [{"id": "basic", "channels": ["1.2", "1.1"]}]
        await fake.cut()
        await inbox.until_kind(AsteriskUp, 2)
        await fake.send({"type": "ChannelDestroyed", "channel": leg})
        await inbox.until_kind(LegEnded)
    assert inbox.of(LegDialed) == [LegDialed(ChannelId("1.1"), ChannelId("1.2"), str(leg["name"]))]
    assert inbox.of(Answered) == [Answered(ChannelId("1.1"), ChannelId("1.2"))]
    assert inbox.of(TalkFound) == []


async def test_a_leg_that_was_dialed_while_we_were_deaf_and_answers_since_is_told_to_end() -> None:
    """Else its call would never be over."""
    async with FakeAri() as fake, connected(fake) as inbox:
        caller, leg = await dialing_unheard(fake, inbox)
        await fake.cut()
        await inbox.until_kind(AsteriskUp, 2)
        said: Json = {"type": "Dial", "caller": caller, "peer": leg, "dialstatus": "ANSWER"}
        await fake.send(said)
        await fake.send({"type": "ChannelDestroyed", "channel": leg})
        await inbox.until_kind(LegEnded)
    assert inbox.of(Answered) == [Answered(ChannelId("1.1"), ChannelId("1.2"))]


@pytest.mark.parametrize("goes", [True, False])
async def test_who_is_handed_over_while_all_is_read_does_not_arrive_again(goes: bool) -> None:
    """A queue looks for a free member twice a second. Asterisk says still that he waits for us; his return is heard."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        here = inbox.connection  # type: ignore[attr-defined]
        here.goes_on(ChannelId("1.1"))  # as every call does: that is past
        await fake.send({"type": "StasisStart", "args": ["phone"], "channel": channel("1.1")})
        await inbox.until_kind(Arrived)
        fake.channels = [channel("1.1", "pbxfed,phone")]
        if goes:
            inbox.meanwhile = lambda: here.goes_on(ChannelId("1.1"))
        await fake.cut()
        await inbox.until_kind(AsteriskUp, 2)
        start: Json = {"type": "StasisStart", "args": ["next", "BUSY", "17"]}
        await fake.send({**start, "channel": channel("1.1")})
        await inbox.until_kind(Returned)
    assert len(inbox.of(Arrived)) == (1 if goes else 2)


async def test_a_leg_that_is_made_while_all_is_read_has_not_ended() -> None:
    """What was read cannot know of it, and its end would be heard. One that was made before is judged."""
    one, late = ChannelId("pf-f00-1-0"), ChannelId("pf-f00-2-0")
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        here = inbox.connection  # type: ignore[attr-defined]
        here.makes(one)
        inbox.meanwhile = lambda: here.makes(late)
        await fake.cut()
        await inbox.until_kind(AsteriskUp, 2)
    *_, listed = inbox.of(ChannelsListed)
    assert isinstance(listed, ChannelsListed)
    assert listed.channels == {late}


async def test_who_is_answered_and_ends_while_all_is_read_was_answered() -> None:
    """His channel is not among those that are read, but we have heard all: first that, then his end."""
    caller, leg = channel("1.1", app="Dial"), channel("1.2", app="AppDial")
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        await fake.send({"type": "StasisStart", "args": ["phone"], "channel": caller})
        await inbox.until_kind(Arrived)
        read = fake.asked.count("GET bridges")
        inbox.meanwhile = fake.answers.clear
        await fake.cut()
        await fake.until("GET bridges", read + 1)
        said: Json = {"type": "Dial", "caller": caller, "peer": leg, "dialstatus": "ANSWER"}
        await fake.send(said)
        await fake.send({"type": "ChannelDestroyed", "channel": caller, "cause": 16})
        fake.answers.set()
        await inbox.until_kind(Ended)
    listed, answered, ended = (
        e for e in inbox.events[4:] if isinstance(e, ChannelsListed | Answered | Ended)
    )
    assert isinstance(listed, ChannelsListed)
    assert listed.channels == {ChannelId("1.1")}
    assert answered == Answered(ChannelId("1.1"), ChannelId("1.2"))
    assert ended == Ended(ChannelId("1.1"), 16)


@pytest.mark.parametrize(
    ("name", "said", "peer", "note", "outside"),
    [
        ("PJSIP/1001-00000001", {}, None, "", False),
        ("PJSIP/line-00000001", {"PBXFED_ARGS": "did"}, None, "", True),
        ("PJSIP/pf-b-1", {"PJSIP_HEADER(read,X-PBXFED-Call)": "f00/1/0"}, "b", "f00/1/0", False),
        ("IAX2/pf-b-1", {"IAXVAR(pbxfed_call)": "f00/1/0"}, "b", "f00/1/0", False),
        ("IAX2/pf-b-1", {}, "b", "", False),
    ],
)
async def test_how_who_talks_had_come(
    name: str, said: dict[str, str], peer: str | None, note: str, outside: bool
) -> None:
    """A phone unless something else is written down; a trunk says by its name whose call it is."""
    plan = {"context": "pbxfed-dial", "exten": "1002", "app_name": "Dial", "app_data": "PJSIP/1002"}
    came: Json = {"name": name, "creationtime": "2026-11-25T12:00:00.000+0000", "dialplan": plan}
    async with FakeAri() as fake:
        fake.channels = [{**channel("1.1"), **came}, channel("1.2", app="AppDial")]
        fake.bridges = [{"id": "basic", "channels": ["1.2", "1.1"]}]
        fake.variables = {("1.1", key): value for key, value in said.items()}
        fake.variables["1.1", "PBXFED_CALL"] = "beef/1/2"
        async with connected(fake) as inbox:
            await inbox.until_kind(TalkFound)
    (found,) = inbox.of(TalkFound)
    assert isinstance(found, TalkFound)
    arrived = found.arrived
    assert (arrived.peer, arrived.note, arrived.outside) == (peer, note, outside)


async def test_who_rang_since_before_we_lived_is_told_when_he_is_answered() -> None:
    """As ringing at once, so that it is one call whatever comes of it; its later Dial events are those of any call."""
    plan = {"context": "pbxfed-dial", "exten": "1002", "app_name": "Dial", "app_data": "PJSIP/1002"}
    caller: Json = {**channel("1.1", "phone"), "dialplan": plan}
    async with FakeAri() as fake:
        fake.channels = [caller, channel("1.2")]
        fake.variables = {("1.1", "PBXFED_ARGS"): "phone,", ("1.1", "PBXFED_CALL"): "beef/1/2"}
        async with connected(fake) as inbox:
            await inbox.until_kind(AsteriskUp)
            said: Json = {"type": "Dial", "caller": caller, "peer": channel("1.2")}
            for status in "RINGING", "ANSWER":
                await fake.send({**said, "dialstatus": status})
            await inbox.until_kind(TalkFound)
    (found,) = inbox.of(TalkFound)
    assert isinstance(found, TalkFound)
    assert (found.arrived.channel, found.note) == ("1.1", "beef/1/2")
    assert found.answered_ms > 0
    (ring,) = inbox.of(RingFound)
    assert isinstance(ring, RingFound)
    assert (ring.arrived.channel, ring.note) == ("1.1", "beef/1/2")


@pytest.mark.parametrize("app", ["Dial", "Wait"])
async def test_who_rang_since_before_we_lived_is_told_to_have_ended(app: str) -> None:
    """Or to have come back, from a Dial that had failed already, too (Wait): after that he is as any other."""
    plan = {"context": "pbxfed-dial", "exten": "1002", "app_name": app, "app_data": "PJSIP/1002"}
    async with FakeAri() as fake:
        fake.channels = [{**channel(id), "dialplan": plan} for id in ("1.1", "1.2")]
        for id in "1.1", "1.2":
            fake.variables[id, "PBXFED_ARGS"] = "phone,"
            fake.variables[id, "PBXFED_CALL"] = "beef/1/1"
        async with connected(fake) as inbox:
            await inbox.until_kind(AsteriskUp)
            await fake.send({"type": "ChannelDestroyed", "channel": fake.channels[0]})
            start: Json = {"type": "StasisStart", "args": ["next", "BUSY", "17"]}
            await fake.send({**start, "channel": channel("1.2")})
            await inbox.until_kind(Returned)
    told = [type(e) for e in inbox.events if isinstance(e, RingFound | Ended | Returned)]
    assert told == [RingFound, RingFound, Ended, Returned]


async def test_who_had_come_back_before_we_lived_arrives_anew() -> None:
    """He stands in a queue, or in bridge mode, of which nothing is known: his number and how he came are."""
    came: Json = {"name": "PJSIP/1001-00000001", "creationtime": "2026-11-25T12:00:00.000+0000"}
    async with FakeAri() as fake:
        fake.channels = [{**channel("1.1", "pbxfed,next,BUSY,17"), **came}]
        fake.variables = {("1.1", "PBXFED_ARGS"): "did", ("1.1", "PBXFED_CALL"): "beef/1/2"}
        async with connected(fake) as inbox:
            await inbox.until_kind(AsteriskUp)
            await inbox.until_kind(Arrived)
    (arrived,) = inbox.of(Arrived)
    assert isinstance(arrived, Arrived)
    assert (arrived.channel, arrived.number, arrived.outside) == ("1.1", "1002", True)
    assert arrived.again
    assert (arrived.wall_ms, len(arrived.fresh_id)) == (1_795_608_000_000, 12)
    assert not inbox.of(Returned)


async def test_who_comes_back_while_all_is_read_was_rung_for_until_then() -> None:
    """So what came of it counts, and nobody rings once more."""
    came: Json = {"name": "PJSIP/1001-00000001", "creationtime": "2026-11-25T12:00:00.000+0000"}
    back: Json = {**channel("1.1", "pbxfed,next,NOANSWER,16"), **came}
    async with FakeAri() as fake:
        fake.channels = [back]
        fake.variables = {("1.1", "PBXFED_ARGS"): "phone", ("1.1", "PBXFED_CALL"): "beef/1/2"}
        fake.answers.clear()
        async with connected(fake) as inbox:
            await reading(fake)
            start: Json = {"type": "StasisStart", "args": ["next", "NOANSWER", "16"]}
            await fake.send({**start, "channel": back})
            fake.answers.set()
            await inbox.until_kind(Returned)
    told = [e for e in inbox.events if isinstance(e, RingFound | Arrived | Returned)]
    assert [type(e) for e in told] == [RingFound, Returned]
    assert told[1] == Returned(ChannelId("1.1"), "NOANSWER", 16)


async def test_rooms_are_read_at_each_connect_and_when_somebody_comes_or_goes() -> None:
    """What is no conference of ours is left out; who is in one since before we lived is told as a call that talks."""
    plan = {
        "context": "pbxfed-room",
        "exten": "800",
        "app_name": "ConfBridge",
        "app_data": "pf-800",
    }
    inside: Json = {"id": "1.1", "name": "PJSIP/1001-00000001", "dialplan": plan}
    by_hand: Json = {"id": "y", "channels": ["9"], "name": "900", "creator": "ConfBridge"}
    ours: Json = {"id": "x", "channels": ["1.1"], "name": "pf-800", "creator": "ConfBridge"}
    async with FakeAri() as fake:
        fake.channels, fake.bridges = [inside], [ours, by_hand]
        fake.variables = {("1.1", "PBXFED_ARGS"): "phone,", ("1.1", "PBXFED_CALL"): "beef/1/1"}
        async with connected(fake) as inbox:
            await inbox.until_kind(TalkFound)
            fake.bridges = [by_hand]
            await fake.send({"type": "ChannelDestroyed", "channel": inside})
            await inbox.until_kind(RoomsListed, 2)
            fake.bridges = [ours, by_hand]
            said: Json = {"eventname": "pbxfed-answered", "userevent": {}, "channel": inside}
            await fake.send({"type": "ChannelUserevent", **said})
            await inbox.until_kind(RoomsListed, 3)
    numbers = [set(told.numbers) for told in inbox.of(RoomsListed) if isinstance(told, RoomsListed)]
    assert numbers == [{"800"}, set(), {"800"}]
    assert Answered(ChannelId("1.1"), ChannelId("")) in inbox.events
    (found,) = inbox.of(TalkFound)
    assert isinstance(found, TalkFound)
    assert (found.arrived.number, found.note, found.leg) == ("800", "beef/1/1", None)


async def test_an_event_before_up_is_told_after_it() -> None:
    """Events are held while everything is read, and no call is told twice."""
    async with FakeAri() as fake:
        fake.channels = [channel("1", "pbxfed,phone")]
        fake.answers.clear()
        async with connected(fake) as inbox:
            await reading(fake)
            for id in ("1", "2"):
                start: Json = {"type": "StasisStart", "args": ["phone"], "channel": channel(id)}
                await fake.send(start)
            fake.answers.set()
            await inbox.until_kind(Arrived, 2)
        kinds = [type(event) for event in inbox.events]
        assert kinds == [ChannelsListed, RoomsListed, ContactsListed, AsteriskUp, Arrived, Arrived]


def filters(fake: FakeAri) -> list[set[str]]:
    """The types of events that were asked for, each time."""
    bodies = [body for line, body in fake.bodies if line.endswith("/pbxfed/eventFilter")]
    return [{one["type"] for one in body["allowed"]} for body in bodies]  # type: ignore[index]


async def test_only_what_is_read_is_asked_for() -> None:
    """Most of what Asterisk says of a call is for others; and that a second daemon came must be heard."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        assert filters(fake) == [OURS | {REPLACED}, OURS - BRIDGES | {REPLACED}]


def moved(fake: FakeAri) -> list[str]:
    """Who was moved to the application that lives without us."""
    lines = [line for line in fake.asked if line.endswith("/move")]
    return [line.removeprefix("POST channels/").removesuffix("/move") for line in lines]


@pytest.mark.parametrize("is_there", [True, False])
async def test_who_talks_in_a_bridge_of_ours_is_moved_where_transfers_go_on_without_us(
    is_there: bool,
) -> None:
    """Who did when we came, and each leg that answers since; Asterisk keeps for ever what it would tell there."""
    async with FakeAri() as fake:
        fake.bridges = [
            {"id": "pf-f00", "channels": ["1.1", "pf-f00-1-0"]},
            {"id": "other", "channels": ["1.2"]},
        ]
        if not is_there:
            fake.refuse["PUT applications/pbxfed-keep/eventFilter"] = 404
        async with connected(fake) as inbox:
            await inbox.until_kind(AsteriskUp)
            peer = channel("pf-f01-1-0")
            await fake.send({"type": "Dial", "dialstatus": "ANSWER", "peer": peer})
            await inbox.until_kind(Answered)
            wanted = ["1.1", "pf-f00-1-0", "pf-f01-1-0"] if is_there else []
            for one in wanted:
                await fake.until(f"POST channels/{one}/move")
            assert moved(fake) == wanted
        told = [body for line, body in fake.bodies if line.endswith("/pbxfed-keep/eventFilter")]
        assert told == [{"allowed": [{"type": "None"}]}]


async def test_of_what_a_transfer_puts_into_a_bridge_of_ours_the_end_is_heard() -> None:
    """It stands in the other application, and has no endpoint: it is heard by itself."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        before = fake.asked.count("POST applications/pbxfed/subscription")
        for name in "PJSIP/1001-01", "Local/_attended@transfer-02;1":
            into: Json = {"bridge": {"id": "pf-f00"}, "channel": {**channel("7.7"), "name": name}}
            await fake.send({"type": "ChannelEnteredBridge", **into})
        await fake.until("POST applications/pbxfed/subscription", before + 1)


async def test_bridges_are_heard_from_the_first_of_ours_on() -> None:
    """Also after the connection was lost."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        for _ in range(2):
            await inbox.connection.subscriptions.hear_bridges()  # type: ignore[attr-defined]
        assert filters(fake)[2:] == [OURS | {REPLACED}]
        await fake.cut()
        await inbox.until_kind(AsteriskUp, 2)
        assert filters(fake)[3:] == [OURS | {REPLACED}]


async def test_bridges_that_an_earlier_life_made_are_heard() -> None:
    """Who talks there may be transferred."""
    async with FakeAri() as fake:
        fake.bridges = [{"id": "pf-f00", "channels": ["1.1", "pf-f00-1-0"]}]
        async with connected(fake) as inbox:
            await inbox.until_kind(AsteriskUp)
        assert filters(fake) == [OURS | {REPLACED}]


async def test_what_asterisk_says_twice_is_heard_once() -> None:
    """Every event of a leg of ours comes by its endpoint, and because we have made it."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        leg = channel("pf-f00-1-0")
        for status in "RINGING", "RINGING", "ANSWER", "ANSWER":
            await fake.send({"type": "Dial", "dialstatus": status, "peer": leg})
        await fake.send({"type": "ChannelDestroyed", "channel": leg, "cause": 16})
        await inbox.until_kind(LegEnded)
        told = [
            type(one) for one in inbox.events if isinstance(one, LegLives | Answered | LegEnded)
        ]
        assert told == [LegLives, Answered, LegEnded]


async def test_a_second_daemon_is_named() -> None:
    """Two daemons on one application take it from each other; say so."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        await fake.send({"type": "ApplicationReplaced", "application": "pbxfed"})
        await inbox.until_kind(AsteriskDown)
        assert inbox.of(AsteriskDown) == [
            AsteriskDown("another client took the application 'pbxfed': a second daemon?")
        ]


async def test_an_application_that_was_taken_is_taken_back_at_once_the_first_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An Asterisk that has hung takes, when it wakes, what was given up meanwhile. Only two daemons do it again and again."""
    replaced: Json = {"type": "ApplicationReplaced", "application": "pbxfed"}
    monkeypatch.setattr(connection, "HOPELESS_WAIT", 3_600.0)
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        await fake.send(replaced)
        await inbox.until_kind(AsteriskUp, 2)
        monkeypatch.setattr(connection, "HOPELESS_WAIT", 0.0)
        monkeypatch.setattr(connection, "SHORTEST_WAIT", 3_600.0)
        await fake.send(replaced | {"timestamp": "2026-11-22T21:00:00.000+0000"})
        await inbox.until_kind(AsteriskUp, 3)


async def test_what_an_earlier_life_made_to_look_is_swept() -> None:
    """A daemon that died while it read leaves a channel that nobody would ever end."""
    async with FakeAri() as fake:
        fake.channels = [channel("pbxfed-look-1", "pbxfed"), channel("pbxfed-look-1-2")]
        async with connected(fake) as inbox:
            await inbox.until_kind(AsteriskUp)
        assert "DELETE channels/pbxfed-look-1" in fake.asked
        assert inbox.connection.state is State.LIVE  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("22.10.1+dfsg+~cs6.17", (22, 10, 1)),
        ("certified/20.7-cert3", (20, 7, 0)),
        ("GIT-master-abc", None),
    ],
)
def test_versions_are_read(text: str, version: Version | None) -> None:
    """Debian, certified, built from git."""
    assert parse_version(text) == version


def test_a_version_with_holes_is_warned_of() -> None:
    """It works, and the operator should know."""
    assert judge("22.10.1", (22, 10, 1)) == []
    assert "GHSA-wcvv-g26m-wx5c" in judge("20.9.3", (20, 9, 3))[0]
    assert "not understood" in judge("GIT-master", None)[0]


async def test_how_a_call_gets_on_is_told_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before whatever comes after it, and if nothing does, by itself; at once where there are bridges of ours."""
    monkeypatch.setattr(pulse, "PING_EVERY", 3_600.0)  # an echo is told at once, and all that waits
    monkeypatch.setattr(connection, "MOMENT", 3_600.0)
    caller, second, third = ({**channel(id), "name": f"PJSIP/1001-{id}"} for id in "134")
    enters: Json = {"type": "StasisStart", "args": ["phone"], "channel": caller}
    begins: Json = {"type": "Dial", "dialstatus": "", "caller": caller, "peer": {"id": "2"}}
    ends: Json = {"type": "ChannelDestroyed", "cause": 16, "channel": caller}
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        for one in (enters, begins):
            await fake.send(one)
        await inbox.until(lambda events: bool(inbox.connection._waiting))  # type: ignore[attr-defined]
        assert not inbox.of(LegDialed)
        for one in (ends, {**enters, "channel": second}):
            await fake.send(one)
        await inbox.until_kind(Arrived, 2)
        kinds = [type(event) for event in inbox.events if not isinstance(event, AriWasSlow)]
        assert kinds[-4:] == [Arrived, LegDialed, Ended, Arrived]
        await fake.send({**ends, "channel": second})
        await fake.cut()
        await inbox.until_kind(AsteriskDown)
        assert len(inbox.of(Ended)) == 2
        monkeypatch.setattr(connection, "MOMENT", 0.0)
        await inbox.until_kind(AsteriskUp, 2)
        await fake.send({**enters, "channel": third})
        await fake.send({**ends, "channel": third})
        await inbox.until_kind(Ended, 3)
        monkeypatch.setattr(connection, "MOMENT", 3_600.0)
        await inbox.connection.subscriptions.hear_bridges()  # type: ignore[attr-defined]
        await fake.send({**begins, "caller": third})
        await inbox.until_kind(LegDialed, 2)


async def test_a_mistake_of_ours_costs_a_connect_not_the_daemon(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever goes wrong with an event, or with a look at Asterisk: it is logged, and all is read anew."""
    async with FakeAri() as fake, connected(fake) as inbox:
        await inbox.until_kind(AsteriskUp)
        callers = inbox.connection._callers  # type: ignore[attr-defined]

        def fails(event: Event) -> None:
            callers._post = inbox.post
            raise ZeroDivisionError

        callers._post = fails
        await fake.send({"type": "StasisStart", "args": ["phone"], "channel": channel("1.1")})
        await inbox.until_kind(AsteriskUp, 2)
        assert "a mistake of this daemon" in str(inbox.of(AsteriskDown)[-1])
        assert "ZeroDivisionError" in caplog.text
