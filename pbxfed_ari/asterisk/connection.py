"""The event websocket's life: connect, reconcile, listen; notice loss or silence; begin again.

    CONNECTING ── websocket open ──▶ RECONCILING ── all read ──▶ LIVE ── closed, or two pings unanswered ──▶ CONNECTING

A loss says nothing of the calls: most go on. Only if Asterisk's process is dead (process.py), or the next connect finds another
one, they are told to have ended without a word.

Asterisk replays nothing, so each connect reads everything anew: which Asterisk it is and since when, what we are subscribed
to, which channels exist and which of them wait for us, who is registered. Events that arrive meanwhile are held, and told
after what was read. A loss is told once, with a reason that a person can act on.

Measured on 22.10.1: `subscribeAll` and device state subscriptions deadlock ARI when the websocket closes (asterisk#2170), so
we subscribe to the endpoints of a technology, no more. A reader that stalls is cut off, so ours only decodes and posts.
"""

import asyncio
import enum
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime

from msgspec.structs import replace
from picows import WSError, WSHandshakeError

from pbxfed_ari.asterisk import found
from pbxfed_ari.asterisk.client import AriClient, reason
from pbxfed_ari.asterisk.contacts import LOOK, Contacts
from pbxfed_ari.asterisk.events import (
    BRIDGES,
    OURS,
    AriEvent,
    Dial,
    StasisStart,
    Tolerated,
    decode,
    translate,
    waiting,
)
from pbxfed_ari.asterisk.eventsocket import EventSocket
from pbxfed_ari.asterisk.models import Bridge, Channel
from pbxfed_ari.asterisk.process import Process
from pbxfed_ari.core.events import (
    Answered,
    AriWasSlow,
    Arrived,
    AsteriskDied,
    AsteriskDown,
    AsteriskUp,
    ChannelsListed,
    ContactAdded,
    ContactRemoved,
    Ended,
    Event,
    LegDialed,
    LegEnded,
    Returned,
    RingFound,
    RoomsListed,
)
from pbxfed_ari.core.names import ChannelId, key_of_name
from pbxfed_ari.errors import AsteriskError, Declined, Unreachable

# seconds before another attempt; doubled each time, jittered. Who is back shall serve at once, and to ask costs a millisecond
SHORTEST_WAIT, LONGEST_WAIT = 0.1, 1.0
HOPELESS_WAIT = 5.0  # each of these attempts is a line in Asterisk's log
CONNECT = 3.0  # seconds for the websocket to open
PING_EVERY = 0.75  # seconds between an answer and the next ping
PING_DEADLINE = 1.0  # seconds
SLOW = 0.1  # seconds above which the core is told of it; an answer takes a thousandth
MISSES = (
    2  # unanswered pings, one right after the other, that mean: it hangs. Noticed within 2.75 s
)
LIST_EVERY = 30.0  # seconds between two readings of the registrations, and of rooms
LEFT = 0.3  # seconds in which a conference ends that the last one has left

REPLACED = "ApplicationReplaced"
OLDEST = (20, 0, 0)  # older ones have no push configuration for what we push
WANTED = (22, 10, 1)
SEVERAL_VARIABLES = (22, 10, 0)

Version = tuple[int, int, int]


class State(enum.Enum):
    """Where the connection is in its life."""

    CONNECTING = "connecting"
    RECONCILING = "reconciling"
    LIVE = "live"


class _Lost(Exception):
    """The connection is of no more use; `hopeless` ones are tried again slowly."""

    def __init__(self, why: str, *, hopeless: bool = False) -> None:
        super().__init__(why)
        self.hopeless = hopeless


class Connection:
    """Keeps one Asterisk connected and tells the core what happens there."""

    def __init__(
        self,
        ari: AriClient,
        contacts: Contacts,
        *,
        post: Callable[[Event], None],
        prepare: Callable[[], Awaitable[None]],
        tidy: Callable[[], Awaitable[None]],
        look: Callable[[], Awaitable[None]],
        up: Callable[[Version], None],
        down: Callable[[], None],
        process: Process,
        rng: random.Random | None = None,
    ) -> None:
        self._ari = ari
        self._contacts = contacts
        self._post = post
        self._prepare = (
            prepare  # leaves at least one PJSIP endpoint: without any, subscribing is 422
        )
        self._tidy = tidy
        self._look = look
        self._up = up
        self._down = down
        self._process = process
        self._rng = rng or random.Random()
        self.state = State.CONNECTING
        self.reason = "not connected yet"
        self.version = ""
        self.warnings: tuple[str, ...] = ()
        self.tolerated = Tolerated()
        self.iax_expected = False  # peers are written: try to subscribe to IAX2 until it works
        self._took: float | None = None  # seconds that the last ping took
        self._pinged: float | None = None  # since when one waits for its answer
        self._told_down = False
        self._started: datetime | None = None
        self._dead = False  # the one that had started then, and its death is told
        self._held: list[AriEvent] | None = None
        self._callers: set[ChannelId] = set()
        self._dialed: set[ChannelId] = set()  # legs of Dial
        self._ringing: set[ChannelId] = set()  # callers, handed over before we lived
        self._meeting: set[ChannelId] = set()  # channels in conference rooms, or at their doors
        self._looking = False  # at the rooms, soon
        self._group: asyncio.TaskGroup | None = None  # of this life
        self._iax_heard = False
        self._bridging = False  # there are, or were, bridges of ours
        self._bridges_heard: bool | None = None  # are their events told? None: not known
        self._filtering = asyncio.Lock()
        self._hopeful = False

    def __repr__(self) -> str:
        return f"Connection({self.state.value}, {self.version or self.reason!r})"

    @property
    def since(self) -> int:
        """When the Asterisk that we knew last was started, seconds since 1970; 0: not known."""
        return int(self._started.timestamp()) if self._started else 0

    @property
    def live(self) -> bool:
        """Are we connected and reconciled?"""
        return self.state is State.LIVE

    def answer_time(self) -> float | None:
        """Seconds that ARI took for the last ping, or that the next one has been waiting; None if it is not connected."""
        if not self.live or self._took is None:
            return None
        waits = 0.0 if self._pinged is None else time.monotonic() - self._pinged
        return max(self._took, waits)

    async def run(self) -> None:
        """Connect, listen, lose, wait, connect again; for ever."""
        wait = SHORTEST_WAIT
        while True:
            loss = await self._live_once()
            wait = SHORTEST_WAIT if self._hopeful else wait
            self._tell_down(str(loss))
            self._tell_death()
            pause = HOPELESS_WAIT if loss.hopeless else wait
            await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))
            wait = min(wait * 2, LONGEST_WAIT)

    async def _live_once(self) -> _Lost:
        """One life, from connect to loss."""
        self.state = State.CONNECTING
        self._hopeful = False
        self._held = []
        self._iax_heard = False
        self._bridges_heard = None
        self._looking = False
        loss = _Lost("the connection ended")
        try:
            socket = await self._open()
        except _Lost as lost:
            return lost
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._read(socket), name="asterisk events")
                await self._reconcile()
                self._hopeful = True
                group.create_task(self._list_contacts(), name="asterisk registrations")
                await self._watch()
        except* _Lost as many:
            loss = _first(many, loss)
        finally:
            socket.close()
        return loss

    def _tell_down(self, why: str) -> None:
        was_live = self.state is State.LIVE
        self.state = State.CONNECTING
        self.reason = why
        if was_live or not self._told_down:
            self._told_down = True
            self._down()
            self._post(AsteriskDown(why))

    def _tell_death(self) -> None:
        """Asterisk's process is no more: nor are its channels."""
        if self._process.has_died():
            self._callers, self._dialed, self._meeting = set(), set(), set()
            self._ringing = set()
            self._dead = True
            self._post(AsteriskDied())
            self._post(ChannelsListed(frozenset(), (), _wall_ms()))

    # --- connecting

    async def _open(self) -> EventSocket:
        try:
            async with asyncio.timeout(CONNECT):
                return await self._ari.events(self._hear)
        except WSHandshakeError as refused:
            if refused.response is not None:
                raise self._refused(refused.response.status) from refused
            why = f"Asterisk does not answer at {self._ari.url}: {refused}"
            raise _Lost(why) from refused
        except (WSError, TimeoutError, OSError) as error:
            why = f"Asterisk does not answer at {self._ari.url}: {reason(error)}"
            raise _Lost(why) from error

    def _refused(self, status: int) -> _Lost:
        if status in (401, 403):
            why = f"ARI refuses user {self._ari.user!r}: check asterisk.password_file"
            return _Lost(why, hopeless=True)
        if status == 404:
            why = f"there is no ARI at {self._ari.url}: check enabled=yes in ari.conf and http.conf"
            return _Lost(why)  # or it is still loading its modules
        return _Lost(f"ARI at {self._ari.url} answers {status} to a websocket")

    # --- reconciling

    async def _reconcile(self) -> None:
        self.state = State.RECONCILING
        try:
            started = await self._identify()
            self._process.remember()
            await self._make_ready()
            await self._subscribe()
            await self._tidy()
            bridges = await self._ari.bridges.list()
            channels = await self._ari.channels.list()
            contacts = await self._contacts.listed()
            await self._sweep(channels)
            self._bridging |= any(key_of_name(bridge.id) for bridge in bridges)
            await self._filter(bridges=False)
            answers = await found.answered(self._ari, bridges)
            rings, back = await self._in_setup(bridges, channels)
        except AsteriskError as error:
            raise _Lost(f"Asterisk connected, but could not be read: {error}") from error
        restarted = self._started is not None and self._started != started
        self._started = started
        self.state = State.LIVE
        self._told_down = False
        self.reason = ""
        seen = frozenset(ChannelId(one.id) for one in channels)
        ours = found.ours(bridges, channels, answers)
        if restarted and not self._dead:
            self._post(AsteriskDied())
        self._dead = False
        self._post(ChannelsListed(seen, ours, _wall_ms()))
        self._tell_rooms(bridges)
        self._post(contacts)
        self._post(AsteriskUp(self.version, restarted))
        self._up(parse_version(self.version) or WANTED)
        talking = found.handed_over(bridges, channels)
        unknown = [one for one in talking if self._of_before(one[0])]
        self._tell_answers([one for one in talking if not self._of_before(one[0])])
        self._callers |= {ChannelId(caller.id) for caller, _ in unknown}  # one may have ended since
        self._ringing -= {ChannelId(caller.id) for caller, _ in unknown}
        for ring in rings:
            self._tell_ringing(ring)
        self._tell_waiting(channels, back)
        if unknown and self._group:
            self._group.create_task(self._tell_talking(unknown), name="asterisk talks found")

    async def _identify(self) -> datetime:
        """Which Asterisk is this? Its startup time tells whether it is the one that we knew."""
        info = await self._ari.asterisk.getInfo()
        self.version = info.system.version
        version = parse_version(self.version)
        self.warnings = tuple(judge(self.version, version))
        if version is not None and version < OLDEST:
            raise _Lost(self.warnings[0], hopeless=True)
        self._contacts.several = version is None or version >= SEVERAL_VARIABLES
        return info.status.startup_time

    async def _make_ready(self) -> None:
        try:
            await self._prepare()
        except Declined as declined:
            why = (
                "Asterisk takes no PJSIP objects: check sorcery.conf, extconfig.conf and "
                f"res_config_sqlite3.conf ({declined})"
            )
            raise _Lost(why) from declined  # or it is still loading its modules

    async def _subscribe(self) -> None:
        """Subscriptions are counted: look first."""
        await self._filter(bridges=True)
        heard = (await self._ari.applications.get()).endpoint_ids
        if "PJSIP" not in heard:
            await self._ari.applications.subscribe("endpoint:PJSIP")
        self._iax_heard = "IAX2" in heard
        await self._subscribe_iax()

    async def hear_bridges(self) -> None:
        """There are bridges of ours from now on: hear who enters and leaves them.

        Raises: Unreachable, Declined.
        """
        self._bridging = True
        await self._filter(bridges=True)

    async def _filter(self, *, bridges: bool) -> None:
        """What we would let go need not be sent: it is most of what a call says. Dial, too, has a bridge for each call."""
        async with self._filtering:
            bridges = bridges or self._bridging
            if bridges != self._bridges_heard:
                wanted = OURS if bridges else OURS - BRIDGES
                await self._ari.applications.filter((*wanted, REPLACED))
                self._bridges_heard = bridges

    async def _subscribe_iax(self) -> None:
        """422 as long as there is no IAX2 peer; asked again after the peers were written."""
        if self._iax_heard:
            return
        try:
            await self._ari.applications.subscribe("endpoint:IAX2")
            self._iax_heard = True
        except Declined as declined:
            if declined.status != 422:
                raise

    async def _sweep(self, channels: list[Channel]) -> None:
        """Channels that an earlier life had made only to ask something."""
        for channel in channels:
            if channel.id.startswith(LOOK) and not channel.id.endswith("-2"):
                try:
                    await self._ari.channels.hangup(channel.id, reason_code=16)
                except Declined:
                    continue

    async def _in_setup(
        self, bridges: list[Bridge], channels: list[Channel]
    ) -> tuple[list[RingFound], dict[ChannelId, Arrived]]:
        """Who was handed over before we lived and is rung for, and who has come back: asked before they may go on.

        Whoever has come back, and waits in a queue or in bridge mode, arrives anew: of his tries nothing is known.
        """
        lists = found.in_setup(bridges, channels)
        dialing, back = ([c for c in some if c.id not in self._callers] for some in lists)
        for caller in dialing:
            await self._hear_end(caller)
        asked = [found.how_it_rings(self._ari, c, _wall_ms()) for c in (*dialing, *back)]
        told = [one for one in await asyncio.gather(*asked) if one is not None and one.note]
        waits = {c.id for c in back}
        anew = [one.arrived for one in told if one.arrived.channel in waits]
        return (
            [one for one in told if one.arrived.channel not in waits],
            {one.channel: replace(one, fresh_id=_fresh_id(), again=True) for one in anew},
        )

    def _tell_ringing(self, ring: RingFound) -> None:
        self._callers.add(ring.arrived.channel)
        self._ringing.add(ring.arrived.channel)
        self._post(ring)

    def _tell_waiting(self, channels: list[Channel], back: Mapping[ChannelId, Arrived]) -> None:
        """Who waits for us since before we were connected; then what was held, without those."""
        listed = {ChannelId(one.id) for one in channels}
        self._callers &= listed
        self._dialed &= listed
        self._ringing &= listed
        told: set[ChannelId] = set()
        for channel in channels:
            news = waiting(channel, app=self._ari.app, wall_ms=_wall_ms(), fresh_id=_fresh_id())
            for one in news:
                if isinstance(one, Arrived | Returned):
                    told.add(one.channel)
                    self._tell(back.get(one.channel, one))
                else:
                    self._tell(one)
        held, self._held = self._held or [], None
        for event in held:
            self._tell_event(event, but=told)

    def _tell_rooms(self, bridges: list[Bridge]) -> None:
        rooms = found.rooms(bridges)
        self._meeting |= {ChannelId(channel) for inside in rooms.values() for channel in inside}
        self._post(RoomsListed(frozenset(rooms), _wall_ms()))

    def _look_at_rooms(self) -> None:
        """Somebody has come to a room, or has gone: which of them stand in a moment?"""
        if self._group is not None and not self._looking:
            self._looking = True
            self._group.create_task(self._list_rooms(), name="asterisk rooms")

    async def _list_rooms(self) -> None:
        await asyncio.sleep(LEFT)
        self._looking = False
        with suppress(AsteriskError):  # it is read again
            self._tell_rooms(await self._ari.bridges.list())

    def _tell_answers(self, talking: list[tuple[Channel, Channel | None]]) -> None:
        """Callers whom we know talk: they may have been answered, by legs that we know nothing of, while we were deaf."""
        for caller, leg in talking:
            if leg is not None:
                self._tell(LegDialed(ChannelId(caller.id), ChannelId(leg.id), leg.name))
            self._tell(Answered(ChannelId(caller.id), ChannelId(leg.id if leg else "")))

    async def _tell_talking(
        self, unknown: list[tuple[Channel, Channel | None]], answered_ms: int = 0
    ) -> None:
        """Who talks by Dial since before we lived: asked for beside everything else, it may be many."""
        for caller, to in unknown:
            await self._hear_end(caller)
            talk = await found.how_it_came(self._ari, caller, to, _wall_ms(), answered_ms)
            if talk is not None and talk.arrived.channel in self._callers:
                self._post(talk)

    async def _hear_end(self, caller: Channel) -> None:
        """As in _follow."""
        if caller.name.startswith("Local/"):
            with suppress(AsteriskError):
                await self._ari.applications.subscribe(f"channel:{caller.id}")

    # --- listening

    async def _read(self, socket: EventSocket) -> None:
        await socket.end()
        raise _Lost("Asterisk closed the event websocket")

    def _hear(self, frame: bytes) -> None:
        event = decode(frame, self.tolerated)
        if event is None:
            if f'"{REPLACED}"'.encode() in frame:
                why = f"another client took the application {self._ari.app!r}: a second daemon?"
                raise _Lost(why, hopeless=True)
        elif self._held is not None:
            self._held.append(event)
        else:
            self._tell_event(event)

    def _tell_event(self, event: AriEvent, *, but: set[ChannelId] | None = None) -> None:
        if isinstance(event, Dial) and event.dialstatus == "ANSWER" and self._is_unknown(event):
            self._tell_answered(event)
            return
        fresh_id = _fresh_id() if isinstance(event, StasisStart) else ""
        told = translate(event, app=self._ari.app, wall_ms=_wall_ms(), fresh_id=fresh_id)
        if told is None or (but and isinstance(told, Arrived | Returned) and told.channel in but):
            return
        if isinstance(told, Arrived) and not told.endpoint and told.peer is None and self._group:
            self._group.create_task(self._follow(told), name=f"asterisk caller {told.channel}")
        else:
            self._tell(told)

    def _is_unknown(self, dial: Dial) -> bool:
        caller = dial.caller
        return caller is not None and found.is_handed_over(caller) and self._of_before(caller)

    def _of_before(self, caller: Channel) -> bool:
        """Was he handed over before we lived? If he rang then, it is not known whom."""
        return caller.id in self._ringing or caller.id not in self._callers

    def _tell_answered(self, dial: Dial) -> None:
        """It rang before we lived, and talks now."""
        if dial.caller is not None and self._group is not None:
            self._callers.add(ChannelId(dial.caller.id))
            self._ringing.discard(ChannelId(dial.caller.id))
            talks = self._tell_talking([(dial.caller, dial.peer)], _wall_ms())
            self._group.create_task(talks, name="asterisk talk found")

    async def _follow(self, arrived: Arrived) -> None:
        """A Local channel, as of who was transferred: it has no endpoint, by which we would hear of its end."""
        self._callers.add(arrived.channel)  # should it end meanwhile
        with suppress(AsteriskError):
            await self._ari.applications.subscribe(f"channel:{arrived.channel}")
        self._tell(arrived)

    def _tell(self, event: Event) -> None:
        match event:
            case Arrived(channel=channel) | Returned(channel=channel):
                self._callers.add(channel)
                self._ringing.discard(channel)
            case LegDialed(leg=leg):
                self._dialed.add(leg)
            case Answered(channel=channel, leg="") if channel:
                self._meeting.add(channel)
                self._look_at_rooms()
            case Ended(channel=channel, cause=cause):
                if channel in self._meeting:
                    self._meeting.discard(channel)
                    self._look_at_rooms()
                dialed = channel in self._dialed
                self._dialed.discard(channel)
                self._ringing.discard(channel)
                if channel not in self._callers:  # only callers are calls
                    if dialed:
                        self._post(LegEnded(channel, cause))
                    return
                self._callers.discard(channel)
            case ContactAdded() | ContactRemoved():
                self._contacts.saw(event)
        self._post(event)

    # --- watching

    async def _watch(self) -> None:
        """A socket that is open proves nothing: ask every second whether somebody is there."""
        missed = 0
        self._took = self._pinged = None
        while True:
            if not missed:
                await asyncio.sleep(PING_EVERY)
            try:
                self._pinged = self._pinged or time.monotonic()
                await self._ari.asterisk.ping(deadline=PING_DEADLINE)
                self._took, self._pinged = time.monotonic() - self._pinged, None
                if self._took > SLOW:
                    self._post(AriWasSlow(self._took))
                await self._look()
                missed = 0
                if self.iax_expected:
                    await self._subscribe_iax()
            except Declined:
                missed, self._pinged = 0, None  # it answers
            except Unreachable as error:
                missed += 1
                self._post(AriWasSlow(PING_DEADLINE))
                if missed >= MISSES:
                    raise _Lost(f"Asterisk hangs: {error}, {missed} times") from error

    async def _list_contacts(self) -> None:
        while True:
            await asyncio.sleep(LIST_EVERY)
            try:
                self._post(await self._contacts.listed())
                if self._meeting:
                    self._look_at_rooms()
            except AsteriskError:
                continue  # if it is serious, the pings will tell


def parse_version(text: str) -> Version | None:
    """The three numbers of a version, as in `22.10.1+dfsg` or `certified/20.7-cert3`; None if there are none."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def judge(text: str, version: Version | None) -> list[str]:
    """What the operator should know about this version of Asterisk; the first is fatal if it is too old."""
    if version is None:
        return [f"Asterisk says its version is {text!r}: not understood, taken for a new one"]
    if version < OLDEST:
        return [
            f"Asterisk {text} is too old: 20 or later is needed "
            "(push configuration of PJSIP objects as we use it)"
        ]
    if version < WANTED:
        return [
            f"Asterisk {text} lacks the security fixes of 22.10.1: ARI obeying live_dangerously, and "
            "read-only ARI users that could write over REST-over-WebSocket (GHSA-wcvv-g26m-wx5c)"
        ]
    return []


def _first(many: BaseExceptionGroup[_Lost], otherwise: _Lost) -> _Lost:
    for one in many.exceptions:
        if isinstance(one, _Lost):
            return one
        if isinstance(one, BaseExceptionGroup):
            return _first(one, otherwise)
    return otherwise


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _fresh_id() -> str:
    return secrets.token_hex(6)
