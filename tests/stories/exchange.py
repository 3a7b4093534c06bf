"""A federation with switchboards: each node has an Asterisk (pbx.py), and phones call.

world = Telephony(seed=1, names="abc", control="bridge")
phone = world.add("1001", "a")
attempt = world.dial(phone, "1002")
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import combinations, product
from random import Random
from typing import Any

from msgspec.structs import replace

from pbxfed_ari.asterisk.calls import is_moot
from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.notebook import Noted
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import (
    Abandon,
    CallEnded,
    CallListener,
    DialLeg,
    Divert,
    DropContact,
    Effect,
    EndBridge,
    Enter,
    HandOver,
    HangUp,
    HangUpLeg,
    Hold,
    Hush,
    Indicate,
    Join,
    Lead,
    Lend,
    MakeBridge,
    MakeLeg,
    Overhear,
    OverhearAfar,
    SendElsewhere,
    Soothe,
    Tell,
    WhenAlone,
)
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    AsteriskDied,
    AsteriskDown,
    AsteriskUp,
    CallEvent,
    ChannelsListed,
    ContactsListed,
    DrainOver,
    DrainSwitched,
    EarEntered,
    Ended,
    Event,
    FarEndDied,
    LegDialed,
    LegEnded,
    LegLives,
    Returned,
    RingFound,
    RoomsListed,
    TalkFound,
    Ticked,
)
from pbxfed_ari.core.federation.federation import describe
from pbxfed_ari.core.names import ChannelId, Extension, NodeName
from pbxfed_ari.core.records.shelf import NodeInfo
from pbxfed_ari.links.loopback import LoopbackHub
from tests.stories.pbx import (
    BUSY,
    FAILURE,
    NORMAL,
    PATIENCE,
    REJECTED,
    Attempt,
    Channel,
    Dial,
    Dialog,
    Pbx,
    Phone,
    Ring,
    Visit,
    Wait,
)
from tests.stories.promises import TALKS, History
from tests.stories.world import Node, World

MOMENT = 0.02  # seconds that what Dial does may wait, as in asterisk/connection.py
READ, RECONCILED = 0.1, 0.2  # seconds from a connect until what stands is read, and told
GATHERED, NOTED = 0.5, 1.0  # seconds: as in store/recorder.py
TURN, SPINS = 0.01, 100  # seconds, and ticks within them that are too many
DEAD_END = 12.0  # seconds after which asterisk/deadends.py has noticed
ForCalls = (
    Abandon | Divert | HandOver | Enter | Hold | SendElsewhere | HangUp
    | MakeBridge | MakeLeg | DialLeg | Join | Indicate | Soothe | Hush | HangUpLeg | EndBridge
    | CallListener | Overhear | OverhearAfar | Lend | Lead
)  # fmt: skip
INSISTED = Abandon | HangUp | HangUpLeg | EndBridge | Hold  # and an answer
SILENT, AGAIN, TIMES = 2.0, 0.5, 3  # as asterisk/rest.py, insisting.py
PATIENT = LegDialed | LegLives | Answered | LegEnded | Ended


class Exchange(Node):
    """One daemon with its switchboard, and what its edges do: in order for each channel, a moment later."""

    world: "Telephony"

    def __init__(self, world: "Telephony", name: str, *args: Any, **fields: Any) -> None:
        self.pbx = world.pbxs[name]
        self.switchboard = Switchboard(
            Manner(control=world.control[name]),
            before=list(world.notes[name].values()),
            seen_ms=world.seen[name],
        )
        self.live = False
        self._due: float | None = None  # when the federation is, since it was last told anything
        self._held: list[Event] | None = None
        self._waiting: deque[Event] = deque()
        self.unheard = False  # its websocket is lost, and nothing else
        self._gone_on: set[ChannelId] = set()
        self._made: set[ChannelId] = set()
        self._callers: set[ChannelId] = set()
        self._dialed: set[ChannelId] = set()
        self._ringing: set[ChannelId] = set()
        self._silent: set[ChannelId] = set()  # channels of which something is not answered yet
        self._asked: dict[ChannelId, deque[ForCalls]] = {}  # of each channel, what is not done yet
        self._ended: list[CallEnded] = []
        self._known = 0  # which boot of Asterisk
        self._turn, self._turns = 0.0, 0
        self._busy = False
        super().__init__(world, name, *args, **fields)
        site = world.sites.get(name, "main")
        info = NodeInfo(self.address[0], site, 100, world.trunks, bytes(32))
        self.handle(describe(info))
        self._before = self.switchboard.notebook.channels()
        world.after(world.rng.choice((0.01, 0.1, 0.5)), self.connect)
        world.after(NOTED, self._note)

    # --- the loop

    def handle(self, event: Event) -> list[Effect]:
        if self.stopped:
            return []
        if not isinstance(event, CallEvent):
            effects, self._due = self.federation.handle(event, self.now()), None
            self.perform(effects)
            if isinstance(event, Ticked):
                self._count_turns()
                view = self.federation.view
                self.perform(self.switchboard.tick(self.now(), view, event.late))
        else:
            self.world.heard(self, event)
            effects = self.switchboard.handle(event, self.now(), self.federation.view)
            self.perform(effects)
        while self.inbox:
            self.handle(self.inbox.pop(0))
        self.world.schedule(self)
        return effects

    def _count_turns(self) -> None:
        """A deadline that stays in the past would spin the loop."""
        if self.world.now > self._turn + TURN:
            self._turn, self._turns = self.world.now, 0
        self._turns += 1
        assert self._turns < SPINS, f"{self.name} spins at {self.world.now:.3f}"

    def deadline(self) -> float:
        if self._due is None:
            self._due = self.federation.next_deadline()
        due = min(self._due, self.switchboard.next_deadline())
        return due / self.rate + 1e-9

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if self.stopped:
                return
            self.world.did(self, effect)
            match effect:
                case Tell(event):
                    self.inbox.append(event)
                case CallEnded():
                    if not self._ended:
                        self.world.after(GATHERED, self.flush)
                    self._ended.append(effect)
                case WhenAlone(legs):
                    self.pbx.peers = legs
                case DropContact(number, uri):
                    super().perform([effect])
                    stand = self.pbx.contacts.get(number, [])
                    if (number, uri) not in self.refreshed:  # it has not come back
                        stand[:] = [phone for phone in stand if phone.uri != uri]
                case _ if isinstance(effect, ForCalls):
                    self._order(effect)
                case _:
                    super().perform([effect])

    # --- records

    def flush(self) -> None:
        """Write what has ended."""
        ended, self._ended = self._ended, []
        if not self.stopped:
            self.world.records[self.name] += ended
            for one in ended:
                self.world.notes[self.name].pop(one.note, None)

    def _note(self) -> None:
        if self.stopped:
            return
        self.world.after(NOTED, self._note)
        if not self.live:
            return
        fresh, void = self.switchboard.notebook.new(self.now())
        self.flush()
        notes = self.world.notes[self.name]
        notes |= {one.so_far.note: one for one in fresh}
        for key in void:
            notes.pop(key, None)
        self.world.seen[self.name] = self.wall_ms()

    # --- what Asterisk tells

    def connect(self) -> None:
        """Hear what happens from now on; a moment later all that stands is read."""
        if self.stopped or self.pbx.dead or self.pbx.app is self:
            return
        self.pbx.app, self._held, self._gone_on, self._made = self, [], set(), set()
        self.world.after(READ, lambda: self._read(self.pbx.boots))

    def lose(self, *, died: bool) -> None:
        """The connection is gone; or Asterisk's process, for certain."""
        self.catch_up()
        self.live, self._held, self.unheard = False, None, False
        self.handle(AsteriskDown("lost"))
        if died:
            self._forget()
            self.handle(AsteriskDied())
            self._known = 0
            self.handle(type(self.pbx.listed())(frozenset(), (), self.wall_ms()))

    def _forget(self) -> None:
        self._callers, self._dialed, self._ringing = set(), set(), set()

    def _read(self, boot: int) -> None:
        """What stands, as Asterisk says it; that is told when all of it has come."""
        pbx = self.pbx
        if self.stopped or pbx.app is not self or not pbx.lives(boot):
            return
        stand = [(one, self._stands(one)) for one in pbx.channels.values() if one.place == "stasis"]
        handed = [(one, found, one.partner) for one, found in pbx.handed_over()]
        listed = pbx.listed()
        self.world.after(RECONCILED - READ, lambda: self._reconcile(boot, listed, handed, stand))

    def _stands(self, channel: Channel) -> list[Event]:
        event: Event = self.pbx.entered(channel, again=True)
        stranger = channel.id not in self._callers
        if isinstance(event, Returned) and stranger and channel.told:
            event = RingFound(self.pbx.led(channel), channel.told, self.wall_ms())
        leg = channel.args[0] == "leg"
        more: dict[str, Event] = {
            "Ringing": LegLives(ChannelId(""), channel.id, "RINGING"),
            "Up": Answered(ChannelId(""), channel.id),
        }
        return [event, more[channel.state]] if leg and channel.state in more else [event]

    def _reconcile(
        self,
        boot: int,
        listed: ChannelsListed,
        handed: list[tuple[Channel, TalkFound | RingFound, Channel | None]],
        stand: list[tuple[Channel, list[Event]]],
    ) -> None:
        pbx = self.pbx
        if self.stopped or pbx.app is not self or not pbx.lives(boot):
            return
        restarted = self._known not in (0, boot)
        self._known, self.live = boot, True
        self.world.history.of["deaf", self.name].set(False, self.world.now)
        if restarted:
            self._forget()
            self.handle(AsteriskDied())
        self.catch_up()
        ended = {one.channel for one in self._held or () if isinstance(one, Ended)}
        ended |= {one.leg for one in self._held or () if isinstance(one, LegEnded)}
        listed = replace(listed, channels=listed.channels | self._made | ended)
        self.handle(listed)
        self.look_for_rooms()
        contacts = {(Extension(n), p.uri) for n, at in pbx.contacts.items() for p in at}
        self.handle(ContactsListed(frozenset(contacts), self.wall_ms()))
        self.handle(AsteriskUp("22.10.1", restarted))
        for caller, found, leg in handed:
            known = caller.id in self._callers and caller.id not in self._ringing
            if isinstance(found, TalkFound) and known:
                if leg is not None:
                    self._tell(LegDialed(caller.id, leg.id, leg.name))
                self._tell(Answered(caller.id, leg.id if leg is not None else ChannelId("")))
            elif isinstance(found, TalkFound):
                self._talk(found)
            elif not known:
                self._callers.add(caller.id)
                self._ringing.add(caller.id)
                self.handle(found)
        for kept in (self._callers, self._dialed, self._ringing):
            kept &= set(listed.channels)
        told: set[ChannelId] = set()
        for channel, events in stand:
            if channel.id in self._gone_on:
                continue
            for event in events:
                if isinstance(event, RingFound):
                    if any(
                        isinstance(one, Returned) and one.channel == channel.id
                        for one in self._held or ()
                    ):
                        self._callers.add(channel.id)
                        self._ringing.add(channel.id)
                        self.handle(event)
                        continue
                    event = replace(event.arrived, again=True)
                if isinstance(event, Arrived | Returned):
                    told.add(event.channel)
                self._tell(event)
        held, self._held = self._held or [], None
        for one in held:
            if not isinstance(one, Arrived | Returned) or one.channel not in told:
                self._tell(one)

    def look_for_rooms(self) -> None:
        """Which conferences stand?"""
        if self.live and not self.stopped:
            found = frozenset(one.room for one in self.pbx.channels.values() if one.room)
            self.handle(RoomsListed(found, self.wall_ms()))

    def _talk(self, found: TalkFound) -> None:
        self._callers.add(found.arrived.channel)
        self._ringing.discard(found.arrived.channel)
        self.world.after(0.01, lambda: self._found(found))

    def _found(self, found: TalkFound) -> None:
        if found.arrived.channel in self._callers:
            self.handle(found)

    def hear(self, event: Event) -> None:
        """Asterisk tells this; what Dial does may wait a moment, if nothing else comes."""
        self.world.after(0.002, lambda: self._hear(event))

    def _hear(self, event: Event) -> None:
        if self.stopped or self.pbx.app is not self:
            return
        bridging = any(call.bridged for call in self.switchboard)
        if isinstance(event, PATIENT) and not bridging:
            if not self._waiting:
                self.world.after(MOMENT, self.catch_up)
            self._waiting.append(event)
            return
        self.catch_up()
        self._take(event)

    def catch_up(self) -> None:
        """Tell what waits."""
        while self._waiting and not self.stopped:
            self._take(self._waiting.popleft())

    def _take(self, event: Event) -> None:
        if self._held is not None:
            self._held.append(event)
        else:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        """As asterisk/callers.py."""
        match event:
            case Answered(channel=caller) if caller:
                channel = self.pbx.channels.get(caller)
                of_before = caller in self._ringing or caller not in self._callers
                if channel and channel.place == "dial" and channel.told and of_before:
                    leg = channel.partner
                    seen = self.pbx._leg_seen(leg) if leg else None
                    came, now = self.pbx.led(channel), self.wall_ms()
                    self._talk(TalkFound(came, channel.told, seen, now, now))
                    return
                self._dialed |= {event.leg} - {""}
            case Arrived(channel=caller) | Returned(channel=caller):
                self._callers.add(caller)
                self._ringing.discard(caller)
            case LegDialed(leg=leg_id):
                self._dialed.add(leg_id)
            case Ended(channel=channel_id, cause=cause):
                dialed = channel_id in self._dialed
                self._dialed.discard(channel_id)
                self._ringing.discard(channel_id)
                if channel_id not in self._callers:
                    if dialed:
                        self.handle(LegEnded(channel_id, cause))
                    elif channel_id in self._before:
                        self.handle(event)
                    return
                self._callers.discard(channel_id)
        self.handle(event)

    # --- what Asterisk is asked

    def _order(self, effect: ForCalls) -> None:
        if isinstance(effect, HandOver | Enter) and self._held is not None:
            self._gone_on.add(effect.channel)
        elif isinstance(effect, MakeLeg) and self._held is not None:
            self._made.add(effect.leg)
        key = effect.leg if isinstance(effect, Abandon) else _whose(effect)
        waiting = self._asked.setdefault(key, deque())
        if key in self._silent and key in self.pbx.channels:
            self.pbx.channels[key].attempt.troubled = True  # by a transfer another one than then
        waiting.append(effect)
        if len(waiting) == 1:
            self._next(key)

    def _next(self, key: ChannelId) -> None:
        self.world.after(0.001 + self.world.rng.random() * 0.003, lambda: self._ask(key, 1))

    @property
    def _deaf(self) -> bool:
        """What Asterisk does not hear it does not do. Without a websocket it may be asked all the same."""
        return bool(self.stopped) or self.pbx.dead or not (self.pbx.app is self or self.unheard)

    def _ask(self, key: ChannelId, times: int) -> None:
        effect = self._asked[key][0]
        said = "" if self._deaf else self.world.fault(self, effect)
        for one in {key, getattr(effect, "leg", key)} & self.pbx.channels.keys() if said else ():
            self.pbx.channels[one].attempt.troubled = True  # its caller may have gone
        if not self._deaf and said in ("", "lost"):
            self._do(effect)
        silence = SILENT if said in ("silent", "lost") else 0.0
        (self._silent.add if silence else self._silent.discard)(key)
        self.world.after(silence, lambda: self._answered(key, times, said))

    def _answered(self, key: ChannelId, times: int, said: str) -> None:
        """What the edge makes of it (asterisk/calls.py, legs.py): what must be done is asked for again."""
        waiting = self._asked[key]
        effect = waiting[0]
        insisted = isinstance(effect, INSISTED) or _is_answer(effect)
        if said and insisted and times < TIMES and not self._deaf:
            self.world.after(AGAIN, lambda: self._ask(key, times + 1))
            return
        if said and not self._deaf and not self._was_done(effect, said):
            self._refused(effect, said, alone=len(waiting) == 1)
        waiting.popleft()
        while waiting and is_moot(waiting[0], [*waiting][1:]):
            waiting.popleft()
        if waiting:
            self._next(key)
        else:
            del self._asked[key]

    def _was_done(self, effect: ForCalls, said: str) -> bool:
        """What Asterisk has not said can be seen."""
        channels = self.pbx.channels
        match effect:
            case MakeLeg(_, leg):
                return said == "lost" and leg in channels
            case DialLeg(_, leg):
                return said == "lost" and leg in channels and channels[leg].state != "Down"
            case Join(_, bridge, some):
                inside = {one.id for one in self.pbx.bridges.get(bridge, ())}
                return said == "lost" and inside >= set(some)
        return False

    def _refused(self, effect: ForCalls, said: str, *, alone: bool) -> None:
        """`alone`: nothing was asked for since."""
        channels = self.pbx.channels
        match effect:
            case HandOver(channel) | Enter(channel) if said != "declined":
                if channel not in channels:
                    self._tell(Ended(channel))
                elif channels[channel].place == "stasis" and alone:
                    self.handle(Returned(channel, "CHANUNAVAIL", FAILURE))
            case HandOver(channel) | Enter(channel):
                self.handle(Returned(channel, "CHANUNAVAIL", FAILURE))
            case MakeLeg(_, leg) | DialLeg(_, leg):
                self._failed(leg)
            case CallListener(one) | Overhear(ear=one) | OverhearAfar(ear=one) | Lend(ear=one):
                if one in channels:
                    channels[one].end(FAILURE, "nobody listens")
                self.handle(Ended(one, FAILURE))
            case Join(call, _, some):
                self._not_joined(call, some)
            case Indicate(call, "answer"):
                self._not_joined(call, (call,))
            case SendElsewhere(channel) if channel in channels:
                channels[channel].end(28, "not sent elsewhere")

    def _not_joined(self, call: ChannelId, channels: tuple[ChannelId, ...]) -> None:
        if legs := [channel for channel in channels if channel != call]:
            self._failed(legs[0])
        elif call in self.pbx.channels:
            self.pbx.channels[call].end(FAILURE, "not joined")
        else:
            self._tell(Ended(call))

    def _failed(self, leg: ChannelId) -> None:
        self.handle(LegEnded(leg, FAILURE))
        if (channel := self.pbx.channels.get(leg)) is not None:
            channel.end(FAILURE, "declined")

    def _do(self, effect: ForCalls) -> None:
        pbx, channels = self.pbx, self.pbx.channels
        match effect:
            case Abandon(leg):
                self._hang_up(channels.get(leg), 3, effect)
            case HangUp(channel, cause):
                if channel not in channels:
                    self.handle(Ended(channel))
                self._hang_up(channels.get(channel), cause, effect)
            case HangUpLeg(_, leg, cause):
                self._hang_up(channels.get(leg), cause, effect)
            case HandOver(channel, number, legs, note, seconds):
                caller, note = channels.get(channel), self.world.known(self.name, note)
                if caller is None:
                    self._tell(Ended(channel))
                elif caller.place == "stasis":
                    if caller.wait is not None and caller.wait.number != number:
                        caller.waits_no_more()
                    caller.leave()
                    caller.told, caller.number = note, str(number)
                    found = [t for leg in legs for t in pbx.targets(leg, number)]
                    Dial(caller, found, note, seconds, recording=effect.record)
            case Enter(channel):
                if channel in channels:
                    channels[channel].enters(effect.number, effect.note)
                    self._tell(Answered(channel))
                else:
                    self._tell(Ended(channel))
            case CallListener(phone, other, number):
                self._callers.add(phone)  # its end is told
                pbx.listener(phone, other, number)
            case Overhear(phone, ear, heard):
                if phone in channels and heard in channels:
                    channels[heard].is_heard_by(ear)
                    self._tell(EarEntered(ear))
                else:
                    self._tell(Ended(ear, FAILURE))
            case OverhearAfar(phone, ear, peer, heard_by, note):
                if phone in channels:
                    self._callers.add(ear)  # its end is told
                    pbx.ear_afar(
                        ear, channels[phone].attempt, self.world.pbxs[peer], heard_by, note
                    )
                else:
                    self._tell(Ended(ear, FAILURE))
            case Lead(channel):
                if channel in channels:
                    channels[channel].waits_for_ear()
                else:
                    self._tell(Ended(channel))
            case Lend(phone, ear):
                if phone in channels and ear in channels:
                    channels[phone].hears(channels[ear])
            case Hold(channel, music):
                if channel not in channels:
                    self._tell(Ended(channel))
                elif music:
                    channels[channel].indicate("answer")
                    channels[channel].limit(0)
                    self._waits(channels[channel])
                else:
                    channels[channel].waits_no_more()
            case SendElsewhere(channel, number):
                if channel in channels and (dialog := channels[channel].dialog) is not None:
                    dialog.refuses(23, number)
                    channels[channel].dialog = None  # that is its last word
                    channels[channel].end(23, "sent elsewhere")
            case MakeBridge(call, bridge, seconds):
                pbx.bridges.setdefault(bridge, set())
                pbx.whose[bridge] = call
                if call in channels:
                    channels[call].waits_no_more()
                    channels[call].limit(seconds)
            case MakeLeg(call, leg_id, number, to, uri):
                found = pbx.targets(to, number, uri)
                if not found or call not in channels:
                    self._failed(leg_id)
                    return
                whom, kind, called = found[0]
                made = pbx.leg(whom, kind, channels[call].attempt, called, leg_id)
                note = self.world.known(self.name, effect.note)
                made.told, self._whom[leg_id] = note, (whom, kind)
                pbx.stasis(made, ["leg"])
                made.limit(0)
            case DialLeg(_, leg_id, seconds):
                if leg_id not in channels:
                    self._failed(leg_id)
                    return
                rung, (whom, kind) = channels[leg_id], self._whom.pop(leg_id)
                pbx.invite(rung, whom, kind, rung.told)
                self.world.after(seconds, rung.rings_out)
            case Join(call, bridge, some):
                if bridge not in pbx.bridges or any(one not in channels for one in some):
                    self._not_joined(call, some)
                    return
                for one in some:
                    pbx.join(bridge, channels[one])
            case Indicate(call, what):
                if call in channels:
                    channels[call].indicate(what)
                    if what == "answer":
                        channels[call].limit(0)
                        channels[call].answered_ms = self.wall_ms()
                elif what == "answer":
                    self._tell(Ended(call))
            case Soothe(call, _, seconds):
                if call in channels:
                    channels[call].limit(seconds)
            case Hush(call):
                if call in channels:
                    channels[call].limit(0)
            case EndBridge(_, bridge):
                for inside in list(pbx.bridges.get(bridge, ())):
                    inside.leave()
                pbx.bridges.pop(bridge, None)

    def _waits(self, channel: Channel) -> None:
        """He hears music, and has his place in the queue; who comes back to it has it still."""
        if channel.wait is None:
            now, number = self.world.now, str(channel.number)
            wait = Wait(channel.attempt, number, self, now, channel.made)
            channel.wait = wait
            self.world.waits.append(wait)

    @property
    def _whom(self) -> dict[ChannelId, tuple[Phone | Pbx, str]]:
        return self.world.whom

    def _hang_up(self, channel: Channel | None, cause: int, effect: Effect) -> None:
        if channel is not None:
            self.world.severed(channel, f"{self.name} has cut them: {effect}")
            channel.end(cause, f"{type(effect).__name__} of {self.name}")


def _whose(effect: ForCalls) -> ChannelId:
    return getattr(effect, "channel", getattr(effect, "call", ChannelId("")))


def _is_answer(effect: ForCalls) -> bool:
    return isinstance(effect, Indicate) and effect.what == "answer"


class Telephony(World):
    """A world in which phones call one another."""

    node = Exchange
    nodes: dict[str, Exchange]  # type: ignore[assignment]

    def __init__(
        self,
        seed: int = 1,
        names: str = "abc",
        *,
        control: str | Sequence[str] = "handover",
        trunks: tuple[str, ...] = ("sip", "iax2"),
        **fields: Any,
    ) -> None:
        """`control`: as calls.control, of all nodes or of each."""
        self.now, self.rng, self.trunks = 0.0, Random(f"calls {seed}"), trunks
        modes = [control] * len(names) if isinstance(control, str) else control
        self.control = dict(zip(names, modes, strict=True))
        self.records: dict[str, list[CallEnded]] = {name: [] for name in names}
        self.notes: dict[str, dict[str, Noted]] = {name: {} for name in names}
        self.seen = dict.fromkeys(names, 0)
        self.away: dict[str, list[list[float]]] = {name: [] for name in names}  # from, to
        self.skews = {}
        self.pbxs = {name: Pbx(self, name) for name in names}
        self.phones: dict[str, Phone] = {}  # by URI
        self.attempts: list[Attempt] = []
        self.transferred: list[Attempt] = []  # to another number, out of one of those
        self.whom: dict[ChannelId, tuple[Phone | Pbx, str]] = {}
        self.sent: list[tuple[str, float]] = []  # who was transferred: which daemon heard it, when
        self.were_sent: set[ChannelId] = (
            set()
        )  # of those; some for the first time when all was read anew
        self.wrong: list[str] = []  # what must not have happened
        self.twice: list[tuple[Attempt, Ring, Ring]] = []  # what would ring where it rings already
        self.trunked: list[Dialog] = []  # between Asterisks
        self.history = History()
        self.answers: list[tuple[Attempt, Phone, float, bool]] = []  # when, and did they talk?
        self.waits: list[Wait] = []  # in queues
        self.visits: list[Visit] = []  # to conference rooms
        self.edited: set[str] = set()  # numbers that were something else at another time
        self.barred: set[str] = set()  # numbers that may not dial all, at some time
        self.old: dict[str, int] = {}  # nodes that know so many fields of a waybill only
        self.recorded: dict[str, Attempt] = {}  # conversations, by name
        self.blocked: set[tuple[str, str, str]] = set()  # kind, from, to
        self.log: list[str] | None = None
        self.faults: Callable[[Exchange, Effect], str] = lambda node, effect: ""
        self._fresh = 0
        super().__init__(seed, names, sealed=False, **fields)
        self.history.sites = self.sites

    def __getitem__(self, name: str) -> Exchange:
        return self.nodes[name]

    def wall_ms(self) -> int:
        return 1_800_000_000_000 + int(self.now * 1000)

    def delay(self) -> float:
        """Of a message between two hosts."""
        return 0.001 + self.rng.random() * 0.002

    def fresh_id(self) -> str:
        self._fresh += 1
        return f"{self._fresh:04x}"

    def passes(self, kind: str, sender: str, to: str) -> bool:
        """Does a message between two Asterisks arrive?"""
        return self.open(kind, sender, to) and self.rng.random() >= self.network.loss

    def open(self, kind: str, sender: str, to: str) -> bool:
        """Would it, if none were lost?"""
        ends = self[sender].address[0], self[to].address[0]
        return ends not in self.network._cut and (kind, sender, to) not in self.blocked

    def known(self, name: str, waybill: str) -> str:
        """What a node says in it, or reads: an old one less."""
        return "/".join(waybill.split("/")[: self.old.get(name)])

    def item(self, number: str, space: str = "number") -> object:
        """What a number is."""
        return self["a"].federation.view.get(space, number)

    # --- what happens

    def add(self, number: str, home: str, manner: str = "answers", after: float = 2.0) -> Phone:
        """A phone of an extension registers."""
        uri = f"sip:{number}@10.9.0.{len(self.phones) + 1}:5060"
        phone = self.phones[uri] = Phone(number, uri, manner, after)
        self.move(phone, home)
        return phone

    def add_outside(
        self, number: str, line: str, manner: str = "answers", after: float = 2.0
    ) -> Phone:
        """A phone of the outside, behind the line of this node."""
        home, homes = self.pbxs[line], [(0.0, line)]
        self.phones[number] = Phone(number, number, manner, after, home, homes=homes, outside=True)
        return self.phones[number]

    def move(self, phone: Phone, home: str) -> None:
        """It registers there from now on."""
        phone.home = self.pbxs[home]
        phone.homes.append((self.now, home))
        self.history.of["moved", phone.uri].set(True, self.now)
        self.history.of["moved", phone.uri].set(False, self.now + MOMENT)
        contacts = phone.home.contacts.setdefault(phone.number, [])
        if phone not in contacts:
            contacts.append(phone)
        if not self[home].stopped:
            self[home].register(phone.number, phone.uri)

    def dial(self, phone: Phone, number: str) -> Attempt:
        """It calls."""
        assert phone.home is not None
        attempt = Attempt(phone, number, self.now, phone.at.wall_ms(), phone.home)
        phone.attempt = attempt
        self.attempts.append(attempt)
        channel = phone.home.called_by(phone, attempt)
        phone.channel = None if channel.gone else channel  # without a daemon it may end at once
        self._engaged(phone)
        return attempt

    def hang_up(self, phone: Phone) -> None:
        """It ends whatever it talks in, or its own call."""
        phone.acted.append(self.now)
        if phone.channel is not None:
            self.note(f"{phone} hangs up")
            phone.channel.end(NORMAL, "the phone")
        for dialog in list(phone.dialogs):
            if dialog.up:
                self.note(f"{phone} hangs up")
                self._leaves(dialog, phone)
                dialog.refuses(NORMAL)

    def talks(self, phone: Phone) -> list[Channel]:
        """By these channels it is connected, at its own Asterisk."""
        legs = [dialog.caller for dialog in phone.dialogs if dialog.up]
        own = [phone.channel] if phone.channel is not None else []
        live = [c for c in (*legs, *own) if not c.gone and c.pbx is phone.home]
        return [c for c in live if c.with_whom() is not None]

    def transfer(self, phone: Phone, number: str = "") -> None:
        """It sends whom it talks with to a number; without one it connects the two."""
        channels = self.talks(phone)
        phone.acted.append(self.now)
        if phone.attempt is not None:
            phone.attempt.passed_on = True
        self.note(f"{phone} transfers to {number or 'the other one'}")
        if number and channels:
            channels[0].pbx.blind(channels[0], number)
        elif len(channels) == 2:
            channels[0].pbx.attended(*channels)

    def kill(self, name: str) -> None:
        """Of its daemon; Asterisk goes on."""
        self.note(f"daemon {name} killed")
        self.away[name].append([self.now, float("inf")])
        self.history.of["daemon", name].set(True, self.now)
        super().kill(name)
        if self.pbxs[name].app is self[name]:
            self.pbxs[name].app = None
        for channel in self.pbxs[name].channels.values():
            channel.waits_no_more()

    def start(self, name: str) -> None:
        """Its daemon is there again."""
        self.note(f"daemon {name} starts")
        self.away[name][-1][1] = self.now
        self.history.of["daemon", name].set(False, self.now)
        self.boot(name)

    def deafen(self, name: str) -> None:
        """Its daemon hears its Asterisk no more, nor is it heard."""
        if self.pbxs[name].app is self[name]:
            self.note(f"websocket of {name} lost")
            self.history.of["deaf", name].set(True, self.now)
            self.pbxs[name].app = None
            self[name].lose(died=False)
            self[name].unheard = True

    def drain(self, name: str, seconds: int, *, ends: bool) -> None:
        """It takes no new calls of its phones; after so many seconds those that are left end, or not."""
        self.note(f"{name} is drained for {seconds} s{', to the end' if ends else ''}")
        self[name].handle(
            DrainSwitched(on=True, seconds=seconds, end=ends, wall_ms=self[name].wall_ms())
        )
        self.history.of["drains", name].set(True, self.now)

    def undrain(self, name: str) -> None:
        """It takes all again; one that is dead when it is told so drains on."""
        if not self[name].stopped:
            self[name].handle(DrainSwitched(on=False))
            self.history.of["drains", name].set(False, self.now)

    def _drained(self, name: str) -> None:
        """Calls are ended there: who has a part in one of them is as if he hung up."""
        self.history.of["ends", name].set(True, self.now)
        self.history.of["ends", name].set(False, self.now + TALKS)
        left = {channel.attempt for channel in self.pbxs[name].channels.values()}
        for phone in self.phones.values():
            if left & {phone.attempt, *(dialog.caller.attempt for dialog in phone.dialogs)}:
                phone.acted.append(self.now)

    def set_clock(self, name: str, seconds: int) -> None:
        """Of its machine, by so many seconds."""
        self.skews[name] = self.skews.get(name, 0) + seconds * 1_000
        self[name].skew_ms = self.skews[name]

    def cut(self, some: Sequence[str], *, one_way: bool = False) -> None:
        """Nothing passes between these nodes and the others, or none of theirs."""
        others = [name for name in self.nodes if name not in some]
        ours, theirs = ([self[name].address[0] for name in names] for names in (some, others))
        between = [LoopbackHub.name] if self.hub is not None else []  # what lies between sites
        self.network.cut(ours, [*theirs, *between], one_way=one_way)
        for one, other in product(some, others):
            self.history.of["way", frozenset((one, other))].set(True, self.now)

    def heal(self) -> None:
        """All cuts are mended."""
        self.network.heal()
        for one, other in combinations(self.nodes, 2):
            self.history.of["way", frozenset((one, other))].set(False, self.now)

    def lade(self, name: str, waits: Callable[[], float] | None, longest: float) -> None:
        """Its Asterisk has much to do: what comes by trunks waits so many seconds, `longest` at most. None: no more."""
        self.pbxs[name].laden = waits
        if waits is not None:
            self.history.of["laden", name].set(True, self.now)
        else:
            self.after(longest, partial(self._unladen, name))

    def _unladen(self, name: str) -> None:
        if self.pbxs[name].laden is None:
            self.history.of["laden", name].set(False, self.now)

    def block(self, kind: str, one: str, other: str, *, on: bool = True) -> None:
        """A firewall lets this kind of trunk pass no more, or does again."""
        ways = {(kind, one, other), (kind, other, one)}
        self.blocked = self.blocked | ways if on else self.blocked - ways
        self.history.of["trunk", kind, frozenset((one, other))].set(on, self.now)

    def was_away(self, name: str, since: float, until: float) -> bool:
        """Was its daemon, at any time within this?"""
        return any(began <= until and since <= ended for began, ended in self.away[name])

    def was_alone(self, name: str, at: float) -> bool:
        """Did its Asterisk have no daemon then?"""
        return self.was_away(name, at, at) or self.history.of["deaf", name].touch(at, at)

    def was_killed(self, name: str, since: float, until: float) -> bool:
        """Was its daemon, within this?"""
        return any(since <= began <= until for began, _ in self.away[name])

    def kill_asterisk(self, name: str, *, surely: bool = True) -> None:
        """Kill -9. `surely`: its daemon knows for certain."""
        self.note(f"asterisk {name} killed")
        pbx = self.pbxs[name]
        self.history.of["asterisk", name].set(True, self.now)
        pbx.dead, pbx.app = True, None
        for channel in list(pbx.channels.values()):
            channel.gone = True
            channel.waits_no_more()
            channel.visit.until = self.now
            if channel.by:
                channel.attempt.ended = self.now
            if channel.phone is not None:
                self.caller_ends(channel, 0, "its Asterisk has died")
        pbx.channels.clear()
        self.after(PATIENCE, partial(self._deserted, pbx, pbx.boots))
        if not self[name].stopped:
            self[name].lose(died=surely)

    def _deserted(self, pbx: Pbx, boot: int) -> None:
        """Phones notice that nobody is there any more."""
        for phone in self.phones.values():
            for dialog in [d for d in phone.dialogs if d.pbx is pbx and d.boot == boot]:
                self._leaves(dialog, phone)

    def start_asterisk(self, name: str) -> None:
        """It is there again, without calls."""
        self.note(f"asterisk {name} starts")
        self.history.of["asterisk", name].set(False, self.now)
        self.pbxs[name].start()
        if not self[name].stopped:
            self[name].connect()

    # --- phones

    def ring(self, dialog: Dialog, phone: Phone) -> None:
        """An INVITE reaches it."""
        attempt = dialog.caller.attempt
        if phone.dialogs or phone.channel is not None or phone.manner == "busy":
            for other in phone.dialogs:
                if other.caller.attempt is attempt and not other.up and other.ring is not None:
                    self.twice.append((attempt, other.ring, self._ring_of(dialog, phone)))
            dialog.refuses(BUSY)
            return
        phone.dialogs.append(dialog)
        self._engaged(phone)
        dialog.ring = self._ring_of(dialog, phone)
        attempt.rings.append(dialog.ring)
        self.note(f"{phone} rings for {attempt.caller} by {dialog.pbx.name} {dialog.note}")
        self.after(0.05, dialog.rings)
        self.after(phone.after, lambda: self._decide(dialog, phone))

    def _ring_of(self, dialog: Dialog, phone: Phone) -> Ring:
        taken, instead = dialog.caller.attempt.taken, dialog.pbx is not phone.home
        return Ring(self.now, phone, instead, taken, not dialog.note, dialog.pbx.name)

    def _decide(self, dialog: Dialog, phone: Phone) -> None:
        if dialog not in phone.dialogs or phone.manner == "rings":
            return
        if phone.manner == "answers":
            self.note(f"{phone} answers {dialog.caller.attempt.caller}")
            attempt = dialog.caller.attempt
            dialog.up = attempt.taken = True
            if dialog.ring is not None:
                dialog.ring.answered = self.now
            self.after(TALKS, partial(self._look_who_talks, attempt, dialog, phone, self.now))
            dialog.answers()
            return
        self._leaves(dialog, phone)
        if phone.manner == "declines":
            dialog.refuses(REJECTED)
        else:
            dialog.refuses(23, phone.manner)

    def _look_who_talks(self, attempt: Attempt, dialog: Dialog, phone: Phone, at: float) -> None:
        """With him it should, who has called; or with whom somebody has connected it since."""
        other = dialog.caller.with_whom()
        there = other.other_end() if other is not None else None
        self.answers.append((attempt, phone, at, there is not None))

    def _engaged(self, phone: Phone) -> None:
        busy = bool(phone.dialogs) or phone.channel is not None
        self.history.of["engaged", phone.uri].set(busy, self.now)

    def stops(self, dialog: Dialog, phone: Phone) -> None:
        """The call is over for it."""
        if dialog in phone.dialogs:
            self._leaves(dialog, phone)
            self.note(f"{phone} stops")

    def _leaves(self, dialog: Dialog, phone: Phone) -> None:
        phone.dialogs.remove(dialog)
        self._engaged(phone)
        if dialog.ring is not None:
            dialog.ring.until = min(dialog.ring.until, self.now)

    def caller_ends(self, channel: Channel, cause: int, why: str) -> None:
        """A call is over for who began it."""
        attempt, phone = channel.attempt, channel.phone
        assert phone is not None
        attempt.ended, attempt.cause = self.now, cause
        if phone.channel is channel:
            phone.channel = phone.attempt = None
            self._engaged(phone)
        self.note(f"call of {phone} to {attempt.number} ends: {cause}, {why}")

    # --- what is watched

    def note(self, text: str) -> None:
        """For who looks into a story."""
        if self.log is not None:
            self.log.append(f"{self.now:8.3f} {text}")

    def heard(self, node: Exchange, event: Event) -> None:
        self.note(f"    {node.name} < {event}")
        if isinstance(event, DrainOver) and event.end:
            self._drained(node.name)
        if isinstance(event, Arrived) and event.by:
            if not event.again or event.channel not in self.were_sent:
                self.sent.append((node.name, self.now))
            self.were_sent.add(event.channel)

    def did(self, node: Exchange, effect: Effect) -> None:
        if isinstance(effect, ForCalls | CallEnded | Tell):
            self.note(f"    {node.name} > {effect}")

    def fault(self, node: Exchange, effect: Effect) -> str:
        """What ARI says to this: "declined", "absent" (404, 409); "silent", "lost": nothing, though in the end it is done."""
        return self.faults(node, effect)

    def severed(self, channel: Channel, why: str) -> None:
        """It is hung up, and not by a phone: not who talks with somebody."""
        other = channel.with_whom()
        if channel.state != "Up" or other is None or channel.gone:
            return
        if self.history.of["ends", channel.pbx.name].touch(self.now, self.now):
            return
        a, b = channel.other_end(), other.other_end()
        if a is not None and b is not None and a is not b:
            self.wrong.append(f"{self.now:.3f}: {a} and {b} talked, {why}")

    def watch(self) -> None:
        """Who talks with nobody any more is found out, by IAX2 itself or by the daemon (asterisk/deadends.py)."""
        self.after(1.0, self.watch)
        for pbx in self.pbxs.values():
            for channel in list(pbx.channels.values()):
                self._look(channel)

    def _look(self, channel: Channel) -> None:
        dialog, node = channel.dialog, channel.pbx.app
        if dialog is None or isinstance(dialog.to, Phone) or channel.state != "Up" or channel.gone:
            return
        far = dialog.caller if channel.called else dialog.called
        away = dialog.pbx if channel.called else dialog.to
        open_ = dialog.open
        if far is not None and open_ and not far.gone and not away.dead:
            dialog.broken = None
            return
        if dialog.broken is None:
            dialog.broken = self.now
        lasted = self.now - dialog.broken
        if dialog.kind == "iax2" and (lasted > 40.0 or (open_ and not away.dead)):
            channel.end(27, "IAX2 hears nothing")
        elif dialog.kind == "sip" and lasted > DEAD_END and node is not None and node.live:
            reachable = node.federation.view.reachable(NodeName(away.name))
            if not (reachable and away.dead):
                node.handle(FarEndDied(channel.id))
                channel.end(FAILURE, "a dead end")
