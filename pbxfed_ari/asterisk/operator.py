"""Effects → REST. What the core asks of this Asterisk is done here, in order where order matters, and never twice.

**Calls.** The effects of one channel are performed one after another, those of different channels at the same time. A
channel that is gone becomes Ended; a call that cannot be handed over is hung up, with a note.

**Objects.** What should exist is kept here as `wanted`; workers make Asterisk agree, eight at a time: trunks and whoever is
being dialled first, then phones that are registered here, then the others. Each set of objects carries a mark that is a hash
of its fields (`pjsip/objects.py`), and at each connect the tables tell what is there already (`tables.py`): only differences
are pushed. An Asterisk that has restarted, or reloaded res_pjsip, finds what it is asked for in its tables, but raises no news
of an endpoint before it was pushed anew: one PUT of the endpoint wakes it. CANARY, an endpoint with a contact that nobody
calls, is online as long as nothing has put them all to sleep. An endpoint without our mark is the administrator's own and is
left alone. Unreachable means: again, when Asterisk is back. Declined means: said once, and again only when something has
changed.

**Left over.** An extension removed while Asterisk was down is still there when it returns. Once `settled()` says that
`wanted` is complete, marked endpoints that nobody wants are removed, now and after each reconnect.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from pbxfed_ari.asterisk import iax
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.contacts import Contacts
from pbxfed_ari.asterisk.dialing import hand_over
from pbxfed_ari.asterisk.ending import end
from pbxfed_ari.asterisk.legs import ForLegs, Legs, at_once
from pbxfed_ari.asterisk.pjsip.extension import extension_objects
from pbxfed_ari.asterisk.pjsip.objects import MARK, PjsipObject, mark_of
from pbxfed_ari.asterisk.pjsip.trunk import trunk_objects
from pbxfed_ari.asterisk.tables import take_away
from pbxfed_ari.core.effects import (
    Abandon,
    DialLeg,
    DropContact,
    EndBridge,
    Enter,
    HandOver,
    HangUp,
    HangUpLeg,
    Hold,
    Indicate,
    Join,
    Lead,
    Leg,
    MakeBridge,
    MakeLeg,
    Note,
    PushExtension,
    PushTrunk,
    RemoveExtension,
    RemoveTrunk,
    SendElsewhere,
)
from pbxfed_ari.core.events import Ended, LegEnded
from pbxfed_ari.core.names import (
    TRUNK_PREFIX,
    ChannelId,
    Extension,
    NodeName,
    dialable,
    trunk_to,
)
from pbxfed_ari.errors import AsteriskError, ConfigError, Declined, Refused, Unreachable

PUSHERS = 8  # object sets at once; leaves half of the HTTP pool to calls
DROPS = 4  # contacts ended at once
AGAIN = 1.0  # seconds before an unanswered push is tried again
LATER = 60.0  # seconds before one that Asterisk could not store is tried again
GATHER = 0.05  # seconds in which changes of IAX2 peers become one reload
DIAL, LEAD, ROOM = "pbxfed-dial", "pbxfed-lead", "pbxfed-room"
AWAKE = (
    "PBXFED_AWAKE"  # a global variable, set when all are awake: it lasts as long as this Asterisk
)
CANARY = "pf--canary"  # no node's name begins with a hyphen
OLD_DIALPLAN = "Asterisk has another release's dialplan: see `pbxfed init --check`"
NOWHERE = "pbxfed-nowhere"  # a context that does not exist
LOOK = 1.0  # seconds to answer how the canary is

INVALID_NUMBER = 28  # Q.850
NO_ROUTE = 3  # Q.850: Dial reads it as CHANUNAVAIL
FAILURE = 38  # Q.850: network out of order; the caller hears a failure, not "no answer"

ForCalls = HandOver | Lead | Enter | Hold | SendElsewhere | HangUp | ForLegs
ForAsterisk = (
    ForCalls | Abandon | PushExtension | RemoveExtension | PushTrunk | RemoveTrunk | DropContact
)
SecretFor = Callable[[NodeName, bytes], str]


class Operator:
    """Does at one Asterisk what the core asks."""

    def __init__(
        self,
        ari: AriClient,
        contacts: Contacts,
        *,
        own: NodeName,
        realm: str,
        secret_for: SecretFor,
        iax_file: Path | None,
        post: Callable[[LegEnded | Ended], None],
        note: Callable[[Note], None],
        iax_loaded: Callable[[], None] = lambda: None,
        hear_bridges: Callable[[], Awaitable[None]] = at_once,
    ) -> None:
        self._ari = ari
        self._contacts = contacts
        self._legs = Legs(ari, hear_bridges=hear_bridges, post=post, note=note)
        self._own = own
        self._realm = realm
        self._secret_for = secret_for
        self._iax_file = iax_file
        self._post = post
        self._note = note
        self._iax_loaded = iax_loaded
        self.several = True  # variables in one request; 22.10 and later
        self._reachable = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._calls: dict[ChannelId, deque[ForCalls]] = {}
        self._drops: asyncio.Queue[DropContact] = asyncio.Queue()
        # objects
        self._wanted: dict[str, PushExtension | PushTrunk | None] = {}
        self._pushed: dict[str, str] = {}  # name → mark: what Asterisk has in its tables
        self._asleep: set[str] = set()  # of those, what this Asterisk has not been shown
        self._awake = False  # AWAKE is set
        self._alone: set[str] = set()  # declined: left alone
        self._queue: asyncio.PriorityQueue[tuple[int, int, str]] = asyncio.PriorityQueue()
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._order = itertools.count()
        self._settled = False
        # IAX2
        self._iax_peers: dict[NodeName, iax.IaxPeer] = {}
        self._iax_changed = asyncio.Event()
        self._iax_stale = False  # written, not reloaded yet

    def __repr__(self) -> str:
        return f"Operator({len(self._calls)} calls, {self.pending} objects to push)"

    @property
    def pending(self) -> int:
        """Objects that Asterisk does not have yet as they should be."""
        return len(self._queued | self._busy)

    async def run(self) -> None:
        """Perform, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for number in range(PUSHERS):
                    group.create_task(self._pusher(), name=f"asterisk push {number}")
                for number in range(DROPS):
                    group.create_task(self._dropper(), name=f"asterisk drop {number}")
                group.create_task(self._iax_writer(), name="asterisk iax")
                for channel in self._calls:
                    self._start_call(channel)
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def perform(self, effect: ForAsterisk) -> None:
        """Do this, soon. Never blocks; what comes of it is posted."""
        match effect:
            case HandOver(extension=number, legs=legs):
                for leg in legs:
                    if isinstance(leg, Leg) and leg.peer is None:
                        self._hurry(Extension(leg.number) if leg.number else number)
                self._call(effect.channel, effect)
            case Lead() | Enter() | Hold() | SendElsewhere() | HangUp():
                self._call(effect.channel, effect)
            case (
                MakeBridge()
                | MakeLeg()
                | DialLeg()
                | Join()
                | Indicate()
                | HangUpLeg()
                | EndBridge()
            ):
                self._call(effect.call, effect)
            case Abandon():
                if self._group is not None:
                    self._group.create_task(
                        self._abandon(effect), name=f"asterisk leg {effect.leg}"
                    )
            case PushExtension():
                self._want(effect.extension, effect)
            case RemoveExtension():
                self._want(effect.extension, None)
            case PushTrunk():
                self._want_trunk(effect)
            case RemoveTrunk():
                self._want(trunk_to(effect.peer), None)
                if self._iax_peers.pop(effect.peer, None):
                    self._iax_changed.set()
            case DropContact():
                self._drops.put_nowait(effect)

    async def find(self, marks: Mapping[str, str]) -> None:
        """Asterisk holds these; whether it is awake, it tells itself.

        Raises: Unreachable, Declined.
        """
        self._pushed = dict(marks)
        told_all = await self._ari.asterisk.getGlobalVar(AWAKE) == "1"
        if told_all and await self._canary_lives():
            self._awake, self._asleep = True, set()
        else:
            await self._wake()

    async def look(self) -> None:
        """Has a reload put everything to sleep? Then wake it, in the order that is right now.

        Raises: Unreachable, Declined.
        """
        if not await self._canary_lives():
            await self._wake()
            self.up()

    async def _canary_lives(self) -> bool:
        try:
            return (await self._ari.endpoints.get("PJSIP", CANARY, deadline=LOOK)).state == "online"
        except Declined as declined:
            if declined.status == 404:
                return False
            raise

    async def _wake(self) -> None:
        """The canary first: should it sleep before the others are awake, all begins again."""
        self._awake, self._asleep = False, set(self._pushed)
        await self._ari.asterisk.setGlobalVar(AWAKE, "")
        aor = (("contact", "sip:127.0.0.1:9"),)
        endpoint = (
            ("aors", CANARY),
            ("allow", "ulaw"),  # without a codec it cannot be read again
            ("context", NOWHERE),  # it has no secret: whoever says its name can call, but nobody
        )
        await self._ari.asterisk.updateObject("aor", CANARY, aor)
        await self._ari.asterisk.updateObject("endpoint", CANARY, endpoint)

    def up(self) -> None:
        """Asterisk is there, and `find` has told what it holds: make it agree again, in the order that is right now."""
        self._alone.clear()
        self._reachable.set()
        self._queued.clear()
        while not self._queue.empty():
            self._queue.get_nowait()
        for name in self._wanted:
            self._enqueue(name)
        if self._iax_stale:
            self._iax_changed.set()
        if self._settled:
            self._sweep()

    def down(self) -> None:
        """Asterisk is gone: hold everything that is not a call."""
        self._reachable.clear()

    def settled(self) -> None:
        """All that should exist has been told: what else carries our mark is left over."""
        self._settled = True
        if self._reachable.is_set():
            self._sweep()

    # --- calls

    def _call(self, channel: ChannelId, effect: ForCalls) -> None:
        waiting = self._calls.get(channel)
        if waiting is not None:
            waiting.append(effect)
            return
        self._calls[channel] = deque((effect,))
        self._start_call(channel)

    def _start_call(self, channel: ChannelId) -> None:
        if self._group is not None:
            self._group.create_task(self._perform_calls(channel), name=f"asterisk call {channel}")

    async def _perform_calls(self, channel: ChannelId) -> None:
        waiting = self._calls[channel]
        try:
            while waiting:
                effect = waiting.popleft()
                if isinstance(effect, HangUp):
                    await self._hang_up(channel, effect.cause)
                elif isinstance(effect, HandOver | Lead | Enter):
                    await self._hand_over(effect)
                elif isinstance(effect, Hold):
                    await self._hold(effect)
                elif isinstance(effect, SendElsewhere):
                    await self._send_elsewhere(effect)
                else:
                    await self._legs.perform(effect, *self._beside(effect, waiting))
        finally:
            del self._calls[channel]

    @staticmethod
    def _beside(effect: ForLegs, waiting: deque[ForCalls]) -> list[MakeLeg]:
        """What need not wait for it: legs are made beside each other, and beside the bridge."""
        found: list[MakeLeg] = []
        while isinstance(effect, MakeBridge | MakeLeg) and waiting:
            if not isinstance(waiting[0], MakeLeg):
                break
            found.append(waiting[0])
            waiting.popleft()
        return found

    async def _hand_over(self, effect: HandOver | Lead | Enter) -> None:
        try:
            if isinstance(effect, Lead):
                place = {"PBXFED_LEAD": f"{effect.context},{effect.exten},1"}
                await self._continue(effect.channel, place, LEAD, effect.exten)
            elif isinstance(effect, Enter):
                number = dialable(effect.number)
                await self._continue(effect.channel, room_variables(effect), ROOM, number)
            else:
                label, values = hand_over(effect, self._contacts.devices)
                await self._continue(effect.channel, values, DIAL, effect.extension, label)
        except Refused as refused:
            await self._give_up(effect, INVALID_NUMBER, str(refused))
        except Declined as declined:
            if declined.status == 404 and "label" in str(declined).lower():
                await self._give_up(effect, FAILURE, f"{declined}: {OLD_DIALPLAN}")
            elif declined.status == 404:
                self._post(Ended(effect.channel))
            elif declined.status == 409:  # it is not in Stasis: continued already, or hanging up
                self._tell("call not handed over", declined, channel=effect.channel)
            else:
                await self._give_up(effect, FAILURE, str(declined))
        except Unreachable as unreachable:
            await self._give_up(effect, FAILURE, str(unreachable))

    async def _continue(
        self,
        channel: ChannelId,
        values: dict[str, str],
        context: str,
        exten: str,
        label: str = "",
    ) -> None:
        """In one go; the dialplan forgets what it was told, so that nobody is dialed again if a variable was declined."""
        channels = self._ari.channels
        if self.several:
            await channels.continueWithVariables(
                channel, values, context=context, extension=exten, label=label
            )
            return
        for name, value in values.items():
            await channels.setChannelVar(channel, name, value)
        await channels.continueInDialplan(channel, context=context, extension=exten, label=label)

    async def _hold(self, effect: Hold) -> None:
        channel = effect.channel
        try:
            if not effect.music:
                await self._ari.channels.stopMoh(channel)
                return
            await self._ari.channels.answer(channel)
            await self._ari.channels.setChannelVar(channel, "TIMEOUT(absolute)", "0")
            await self._ari.channels.startMoh(channel, effect.music)
        except Declined as declined:
            if declined.status == 404:
                self._post(Ended(channel))
            else:
                self._tell("caller not put on hold", declined, channel=channel)
        except Unreachable as unreachable:
            self._tell("caller not put on hold", unreachable, channel=channel)

    async def _send_elsewhere(self, effect: SendElsewhere) -> None:
        """Where to is the caller's own PBX to find out: it reads the number alone."""
        try:
            uri = f"sip:{dialable(effect.number)}@{self._realm}"
            await self._ari.channels.redirect(effect.channel, f"PJSIP/{uri}")
        except (AsteriskError, Refused) as error:
            self._tell("call not sent elsewhere", error, channel=effect.channel)
            await self._hang_up(effect.channel, INVALID_NUMBER)

    async def _give_up(self, effect: HandOver | Lead | Enter, cause: int, why: str) -> None:
        fields = (("channel", effect.channel), ("error", why))
        self._note(Note("call not handed over, hung up", fields, "error"))
        await self._hang_up(effect.channel, cause)

    async def _hang_up(self, channel: ChannelId, cause: int) -> None:
        try:
            await end(lambda: self._ari.channels.hangup(channel, reason_code=cause))
        except Declined as declined:
            if declined.status == 404:
                self._post(Ended(channel))
            else:
                self._tell("call not hung up", declined, channel=channel)
        except Unreachable as unreachable:  # the dialplan's TIMEOUT(absolute) ends it
            self._tell("call not hung up", unreachable, channel=channel)

    async def _abandon(self, effect: Abandon) -> None:
        try:
            await end(lambda: self._ari.channels.hangup(effect.leg, reason_code=NO_ROUTE))
        except Declined as declined:
            if declined.status != 404:  # it has ended by itself
                self._tell("leg not abandoned", declined, leg=effect.leg)
        except Unreachable as unreachable:
            self._tell("leg not abandoned", unreachable, leg=effect.leg)

    # --- contacts

    async def _dropper(self) -> None:
        while True:
            effect = await self._drops.get()
            await self._reachable.wait()
            try:
                await self._contacts.drop(effect)
            except AsteriskError as error:
                self._tell("contact not dropped", error, extension=effect.extension)

    # --- objects

    def _want_trunk(self, effect: PushTrunk) -> None:
        try:
            self._secret_for(effect.peer, effect.public_key)
        except ValueError as error:  # no secret comes of this key; what stood before stands
            self._tell("peer has an unusable key", error, peer=effect.peer)
            return
        self._want(trunk_to(effect.peer), effect if effect.sip_port else None)
        try:
            peer = self._iax_peer(effect)
        except ConfigError as error:
            self._tell("peer's IAX2 trunk not written", error, peer=effect.peer)
            return
        if self._iax_peers.get(effect.peer) == peer:
            return
        if peer is None:
            self._iax_peers.pop(effect.peer, None)
        else:
            self._iax_peers[effect.peer] = peer
        self._iax_changed.set()

    def _iax_peer(self, effect: PushTrunk) -> iax.IaxPeer | None:
        if not effect.iax_port:
            return None
        secret = self._secret_for(effect.peer, effect.public_key)
        return iax.IaxPeer(effect.peer, effect.address, effect.iax_port, secret)

    def _want(self, name: str, effect: PushExtension | PushTrunk | None) -> None:
        if effect is not None and self._wanted.get(name) == effect:
            return
        self._wanted[name] = effect
        self._alone.discard(name)
        self._enqueue(name)

    def _enqueue(self, name: str) -> None:
        if name not in self._queued:
            self._queued.add(name)
            self._queue.put_nowait((self._rank(name), next(self._order), name))

    def _hurry(self, name: str) -> None:
        """It is being dialled: ahead of all others with it."""
        if name in self._queued:
            self._queue.put_nowait((0, next(self._order), name))

    def _rank(self, name: str) -> int:
        if name.startswith(TRUNK_PREFIX):
            return 0
        return 1 if self._contacts.registered(Extension(name)) else 2

    async def _pusher(self) -> None:
        while True:
            _, _, name = await self._queue.get()
            await self._reachable.wait()
            await asyncio.sleep(0)  # ten thousand that agree already must not hold up a call
            if name not in self._queued:
                continue  # it was in a hurry, and came before
            if name in self._busy:  # another worker is at it: afterwards
                self._queue.put_nowait((3, next(self._order), name))
                await asyncio.sleep(0.01)
                continue
            self._queued.discard(name)
            self._busy.add(name)
            try:
                await self._agree(name)
            except Unreachable:
                await asyncio.sleep(AGAIN)
                self._enqueue(name)
            except Declined as declined:
                await self._declined(name, declined)
            finally:
                self._busy.discard(name)
            if not self.pending and not self._awake:
                await self._all_awake()

    async def _declined(self, name: str, declined: Declined) -> None:
        """403 says that it is written by hand, or that the tables cannot be written; the endpoint tells which."""
        self._alone.add(name)
        by_hand = False
        if declined.status == 403:
            with suppress(AsteriskError):
                by_hand = await self._mark_at(name) == ""
            if not by_hand:
                asyncio.get_running_loop().call_later(LATER, self._once_more, name)
        what = "left alone: written by hand" if by_hand else "object not pushed"
        self._tell(what, declined, object=name)

    def _once_more(self, name: str) -> None:
        self._alone.discard(name)
        self._enqueue(name)

    async def _agree(self, name: str) -> None:
        """Make Asterisk's objects of this name what is wanted."""
        if name in self._alone or name not in self._wanted:
            return
        wanted = self._wanted[name]
        if wanted is None:
            await self._remove(name)
            if self._wanted.get(name) is None:
                self._wanted.pop(name, None)
            return
        objects = self._objects(wanted)
        mark = mark_of(objects)
        if name not in self._pushed and (found := await self._mark_at(name)) is not None:
            if found == "":
                raise Declined(f"endpoint {name} is hand-written", status=403)
            self._pushed[name] = found
        if self._pushed.get(name) != mark:
            for one in objects:
                await self._ari.asterisk.updateObject(one.kind, one.id, one.fields)
            if isinstance(wanted, PushExtension):
                self._contacts.pushed(Extension(name))
        elif name in self._asleep:
            await self._ari.asterisk.updateObject("endpoint", name, ((MARK, mark),))
        self._pushed[name] = mark
        self._asleep.discard(name)

    async def _all_awake(self) -> None:
        """From now on a reconnect to this Asterisk need not wake anything."""
        try:
            await self._ari.asterisk.setGlobalVar(AWAKE, "1")
            self._awake = True
        except AsteriskError:
            pass  # then the next reconnect wakes them again

    def _objects(self, wanted: PushExtension | PushTrunk) -> tuple[PjsipObject, ...]:
        if isinstance(wanted, PushExtension):
            return extension_objects(wanted, self._realm)
        secret = self._secret_for(wanted.peer, wanted.public_key)
        return trunk_objects(wanted, self._own, self._realm, secret)

    async def _mark_at(self, name: str) -> str | None:
        """The mark of an endpoint in Asterisk: "" if it is not ours, None if there is no such endpoint."""
        try:
            return (await self._ari.asterisk.getObject("endpoint", name)).get(MARK, "")
        except Declined as declined:
            if declined.status == 404:
                return None
            raise

    async def _remove(self, name: str) -> None:
        if await self._mark_at(name) == "":
            return
        await take_away(self._ari, name)
        self._pushed.pop(name, None)

    # --- left over

    def _sweep(self) -> None:
        """Marked endpoints that nobody wants go the way of those that somebody wants removed."""
        for name in self._pushed.keys() - self._wanted.keys():
            self._note(Note("left-over object removed", (("object", name),)))
            self._want(name, None)

    # --- IAX2

    async def _iax_writer(self) -> None:
        while True:
            await self._iax_changed.wait()
            await asyncio.sleep(GATHER)
            self._iax_changed.clear()
            if self._iax_file is None:
                continue
            text = iax.render(self._own, self._iax_peers.values())
            try:
                if await asyncio.to_thread(iax.replace, self._iax_file, text):
                    self._iax_stale = True
            except OSError as error:
                self._tell("IAX2 peers not written", error, file=str(self._iax_file))
                continue
            await self._iax_reload()

    async def _iax_reload(self) -> None:
        await self._reachable.wait()
        try:
            if self._iax_stale:
                await self._ari.asterisk.reloadModule(iax.MODULE)
            self._iax_stale = False
            if self._iax_peers:
                self._iax_loaded()
        except Declined as declined:
            self._iax_stale = False
            self._tell("IAX2 peers not loaded", declined)
        except Unreachable as unreachable:
            self._tell("IAX2 peers not loaded", unreachable)

    def _tell(self, what: str, error: Exception, **fields: str) -> None:
        self._note(Note(what, (*fields.items(), ("error", str(error))), "warning"))


def room_variables(effect: Enter) -> dict[str, str]:
    """What ConfBridge wants to know. The PIN is written by a function: no dialplan line, which a log might show, holds it."""
    return {
        "PBXFED_CALL": effect.note,
        **({"CONFBRIDGE(user,pin)": effect.pin} if effect.pin else {}),
        **({"CONFBRIDGE(bridge,max_members)": str(effect.most)} if effect.most else {}),
    }
