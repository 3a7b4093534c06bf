"""The event websocket's life: connect, reconcile, listen; notice loss or silence; begin again.

    CONNECTING ── websocket open ──▶ RECONCILING ── all read ──▶ LIVE ── closed, or two pings unanswered ──▶ CONNECTING

A loss says nothing of the calls: most go on. Only if Asterisk's process is dead (process.py), or the next connect finds another
one, they are told to have ended without a word. A loss is told once, with a reason that a person can act on.

A reader that stalls is cut off by Asterisk, so ours only decodes and posts. How a call gets on with Dial, and its end, may wait
for a moment (`may_wait`): what is done for several events at once costs half of what it costs for each. Whatever else comes is
told after what waits: the order stays. Where there are bridges of ours nothing waits: who hangs up there is for us to tell.
"""

import asyncio
import enum
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

from picows import WSError, WSHandshakeError

from pbxfed_ari.asterisk.callers import Callers
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.conferences import Conferences
from pbxfed_ari.asterisk.contacts import Contacts
from pbxfed_ari.asterisk.events import ChannelUserevent, Tolerated, decode, may_wait
from pbxfed_ari.asterisk.eventsocket import EventSocket
from pbxfed_ari.asterisk.process import Process
from pbxfed_ari.asterisk.pulse import ECHO, Pulse
from pbxfed_ari.asterisk.reconciling import Reconciler
from pbxfed_ari.asterisk.rest import reason
from pbxfed_ari.asterisk.subscriptions import REPLACED, Keeping, Subscriptions
from pbxfed_ari.asterisk.versions import (
    OLDEST,
    SEVERAL_VARIABLES,
    WANTED,
    Version,
    judge,
    parse_version,
)
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.events import AsteriskDied, AsteriskDown, AsteriskUp, ChannelsListed, Event
from pbxfed_ari.core.names import ChannelId
from pbxfed_ari.errors import AsteriskError, Declined, Unreachable

# seconds before another attempt; doubled each time, jittered. Who is back shall serve at once, and to ask costs a millisecond
SHORTEST_WAIT, LONGEST_WAIT = 0.1, 1.0
HOPELESS_WAIT = 5.0  # each of these attempts is a line in Asterisk's log
AGAIN = 10.0  # seconds after which the application may have been taken once more by what an Asterisk that hung took late
CONNECT = 3.0  # seconds for an answer, and then for the websocket to open
LIST_EVERY = 30.0  # seconds between two readings of the registrations, and of rooms
MOMENT = 0.02  # seconds that an event may wait for others
log = logging.getLogger(__name__)


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
    ) -> None:
        """`prepare` leaves at least one PJSIP endpoint, which `tidy` may take away: without any, subscribing is 422."""
        self._ari = ari
        self._contacts = contacts
        self._post = post
        self._prepare = prepare
        self._tidy = tidy
        self._up = up
        self._down = down
        self._process = process
        self.subscriptions = Subscriptions(ari)
        self.keeping = Keeping(ari)
        self._conferences = Conferences(ari, post)
        self._callers = Callers(
            ari, self.subscriptions, contacts, self._conferences, self.keeping, post
        )
        self._reconciler = Reconciler(ari, self.subscriptions, contacts, self._callers)
        self._pulse = Pulse(ari, look=look, answered=self.subscriptions.retry, post=post)
        self.state = State.CONNECTING
        self.reason = "not connected yet"
        self.version = ""
        self.warnings: tuple[str, ...] = ()
        self._tolerated = Tolerated()
        self._last = b""  # event
        self._waiting: deque[bytes] = deque()  # events that are told in a moment
        self._soon: asyncio.TimerHandle | None = None  # then
        self._told_down = False
        self._started: datetime | None = None
        self._dead = False  # the one that had started then, and its death is told
        self._hopeful = False
        self._taken = float("-inf")  # when another client took the application

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
        return self._pulse.answer_time() if self.live else None

    def expect(self, channels: Collection[ChannelId]) -> None:
        """An earlier life has left these channels: the end of each is told."""
        self._callers.expect(channels)

    def goes_on(self, channel: ChannelId) -> None:
        """This caller leaves our application, by our word."""
        self._callers.goes_on(channel)

    def makes(self, leg: ChannelId) -> None:
        """It is made, by our word."""
        self._callers.makes(leg)

    def listens(self, channel: ChannelId) -> None:
        """It is made for who shall listen in, by our word."""
        self._callers.listens(channel)

    async def run(self) -> None:
        """Connect, listen, lose, wait, connect again; for ever."""
        wait = SHORTEST_WAIT
        while True:
            try:
                loss = await self._live_once()
            except Exception:
                log.exception("the connection to Asterisk failed")
                loss = _Lost("a mistake of this daemon: see its log")
            wait = SHORTEST_WAIT if self._hopeful else wait
            self._tell_down(str(loss))
            self._tell_death()
            pause = HOPELESS_WAIT if loss.hopeless else wait
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            wait = min(wait * 2, LONGEST_WAIT)

    async def _live_once(self) -> _Lost:
        """One life, from connect to loss."""
        self.state = State.CONNECTING
        self._hopeful = False
        self._callers.hold()
        self.subscriptions.forget()
        self.keeping.forget()
        loss = _Lost("the connection ended")
        try:
            socket = await self._open()
        except _Lost as lost:
            return lost
        try:
            async with asyncio.TaskGroup() as group:
                self._conferences.begin(group)
                self._callers.begin(group)
                group.create_task(self._read(socket), name="asterisk events")
                await self._reconcile()
                self._hopeful = True
                group.create_task(self._list_again(), name="asterisk registrations")
                await self._watch()
        except* _Lost as many:
            loss = _first(many, loss)
        finally:
            socket.close()
            self.catch_up()
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
            self._callers.forget()
            self._conferences.forget()
            self._dead = True
            self._post(AsteriskDied())
            self._post(ChannelsListed(frozenset(), (), wall_ms()))

    # --- connecting

    async def _open(self) -> EventSocket:
        """One that hangs is given no websocket: it would take it when it wakes, and give it the application."""
        try:
            await self._ari.asterisk.ping(deadline=CONNECT)
        except Declined:
            pass  # there is somebody
        except Unreachable as error:
            why = reason(error.__cause__ or error)
            raise _Lost(f"Asterisk does not answer at {self._ari.url}: {why}") from error
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
            await self.subscriptions.renew()
            await self.keeping.renew()
            await self._tidy()
            standing = await self._reconciler.read()
        except AsteriskError as error:
            raise _Lost(f"Asterisk connected, but could not be read: {error}") from error
        self.catch_up()
        restarted = self._started is not None and self._started != started
        self._started = started
        self.state = State.LIVE
        self._told_down = False
        self.reason = ""
        if restarted and not self._dead:
            self._post(AsteriskDied())
        self._dead = False
        self._post(standing.listed(self._callers.heard_to_end()))
        self._conferences.tell(standing.bridges)
        self._post(standing.contacts)
        self._post(AsteriskUp(self.version, restarted))
        self._up(parse_version(self.version) or WANTED)
        self._reconciler.tell(standing)
        await self.keeping.keep(*standing.connected())

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

    # --- listening

    async def _read(self, socket: EventSocket) -> None:
        await socket.end()
        raise _Lost("Asterisk closed the event websocket")

    def _hear(self, frame: bytes) -> None:
        """Of our own legs all is said twice: we hear them as whose channels they are, and as who has made them."""
        if frame == self._last:
            return
        self._last = frame
        if not self.subscriptions.bridging and may_wait(frame):
            self._waiting.append(frame)
            if self._soon is None:
                self._soon = asyncio.get_running_loop().call_later(MOMENT, self.catch_up)
            return
        self.catch_up()
        self._tell(frame)

    def catch_up(self) -> None:
        """Tell what waits."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        while self._waiting:
            self._tell(self._waiting.popleft())

    def _tell(self, frame: bytes) -> None:
        event = decode(frame, self._tolerated)
        if type(event) is ChannelUserevent and event.eventname == ECHO:
            self._pulse.echo()
        elif event is not None:
            self._callers.hear(event)
        elif f'"{REPLACED}"'.encode() in frame:
            before, self._taken = self._taken, time.monotonic()
            why = f"another client took the application {self._ari.app!r}: a second daemon?"
            raise _Lost(why, hopeless=self._taken - before < AGAIN)

    async def _watch(self) -> None:
        try:
            await self._pulse.watch()
        except Unreachable as hangs:
            raise _Lost(str(hangs)) from hangs

    async def _list_again(self) -> None:
        while True:
            await asyncio.sleep(LIST_EVERY)
            try:
                self._post(await self._contacts.listed())
                self._conferences.look()
            except AsteriskError:
                continue  # if it is serious, the pings will tell


def _first(many: BaseExceptionGroup[_Lost], otherwise: _Lost) -> _Lost:
    for one in many.exceptions:
        if isinstance(one, _Lost):
            return one
        if isinstance(one, BaseExceptionGroup):
            return _first(one, otherwise)
    return otherwise
