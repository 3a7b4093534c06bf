"""The federation: members, directory and ring as one machine. Fed with events, it answers with effects; it never waits.

What it does with a fact of its own: write it into the own stream, keep it, publish it once as a Delta (`ledger.py`). What it
does with a peer's: apply it if it is the next one, else ask for what is missing (`catchup.py`). What it concludes from either:
which phones and trunks Asterisk shall hold, and which registrations have moved away (`conclusions.py`). Here each event finds
its part, and what one part says reaches the others.
"""

from random import Random

import msgspec
from msgspec.structs import replace

from pbxfed_ari.core.effects import (
    Broadcast,
    Effect,
    Forward,
    Note,
    PersistLineage,
    Reply,
    SendTo,
    Stop,
    Tell,
    WanListen,
)
from pbxfed_ari.core.events import (
    Admit,
    AsteriskDied,
    AsteriskDown,
    AsteriskUp,
    AuthenticationsFailed,
    ContactAdded,
    ContactRemoved,
    ContactsListed,
    DrainOver,
    DrainSwitched,
    Edited,
    Event,
    HealthChanged,
    Imported,
    Introduced,
    NodeChanged,
    Noticed,
    OtherWireHeard,
    Received,
    RoomsLed,
    RoomsListed,
    Rotate,
    SeedsFound,
    StrangerHeard,
    Ticked,
    TrunksBlocked,
    WanChanged,
    by_wan,
    wan,
)
from pbxfed_ari.core.federation.challenges import Challenges
from pbxfed_ari.core.federation.conclusions import Conclusions
from pbxfed_ari.core.federation.failures import Failures, whose
from pbxfed_ari.core.federation.gate import QUIET, Gate
from pbxfed_ari.core.federation.introductions import Introductions
from pbxfed_ari.core.federation.joining import PAUSE, Joining
from pbxfed_ari.core.federation.learning import Learning
from pbxfed_ari.core.federation.namesakes import Namesakes
from pbxfed_ari.core.federation.ourselves import Identity, Ourselves
from pbxfed_ari.core.federation.outlook import Calendar, Outlook
from pbxfed_ari.core.federation.requests import Request, Requests
from pbxfed_ari.core.federation.vault import Resealing
from pbxfed_ari.core.membership.condition import DEATHS, Condition
from pbxfed_ari.core.membership.doors import Doors
from pbxfed_ari.core.membership.draining import Draining
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.membership.reach import Reach
from pbxfed_ari.core.membership.timing import LAN, Timing
from pbxfed_ari.core.membership.watch import Watch
from pbxfed_ari.core.messages import (
    Ack,
    Heartbeat,
    Leave,
    Lineage,
    Neighbours,
    Piece,
    Pieces,
    Probe,
    Refusal,
    RollCall,
    ShelfDrop,
    ShelfPut,
    SiteReport,
)
from pbxfed_ari.core.records import registering, shelf
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.keys import Keyring, Signer
from pbxfed_ari.core.records.shelf import NodeInfo
from pbxfed_ari.core.replication.ledger import Ledger
from pbxfed_ari.core.replication.sites import Sites
from pbxfed_ari.core.routing import rooms
from pbxfed_ari.core.routing.alone import Alone

_OwnFact = (
    Request
    | NodeChanged
    | ContactAdded
    | ContactRemoved
    | ContactsListed
    | RoomsLed
    | RoomsListed
    | TrunksBlocked
    | AuthenticationsFailed
)


class Federation:
    """One node's part of the federation. What calls may ask of it is its `view`."""

    def __init__(
        self,
        identity: Identity,
        *,
        rng: Random,
        keys: Keyring,
        signer: Signer,
        directory: Directory | None = None,
        timing: Timing = LAN,
        multicast: bool = True,
        calendar: Calendar = lambda zone, wall_ms: None,
        drain: str = "",
    ) -> None:
        """`directory` is what the store kept; its streams know nothing of this epoch yet. `multicast`: is there a group?

        `calendar` tells the local time in a zone, at so many milliseconds since 1970. `drain` is what was kept under that name.
        """
        self.me = identity.name
        self.directory = directory or Directory()
        self.members = Members(identity.name, identity.epoch, rng=rng, timing=timing)
        self.reach = Reach(identity.site, self.members, multicast=multicast)
        self.doors = Doors(
            (identity.address, identity.port), identity.site, self.directory, self.members, rng=rng
        )
        self.draining = Draining(drain)
        self.alone = Alone()
        self._rng = rng
        self.sites = Sites(self.me, identity.epoch, identity.site, self.members, rng=rng)
        self.watch = Watch(self.me, identity.realm, self.members)
        self.gate = Gate(self.me, signer, keys, self.directory.book, rng=rng)
        self.ourselves = Ourselves(
            identity,
            Condition(ready=False, drains=self.draining.order is not None),
            directory=self.directory,
            members=self.members,
            sites=self.sites,
            clocks=self.watch.clocks,
            signer=signer,
        )
        self.view = Outlook(
            self.ourselves,
            self.directory,
            self.members,
            self.sites,
            self.watch.clocks,
            self.gate,
            calendar,
        )
        self.failures = Failures(self.me, self.directory, self.members.up)
        self.conclusions = Conclusions(
            self.view,
            self.directory,
            self.members,
            self.sites,
            self.gate,
            self.failures,
            publish=lambda records: self.ledger.publish(records),
        )
        self.ledger = Ledger(
            self.me,
            self.directory,
            self.members,
            self.sites,
            rng=rng,
            conclude=self.conclusions.conclude,
        )
        self.requests = Requests(
            self.ourselves, self.view, self.ledger, self.members, self.watch, self.gate
        )
        self.resealing = Resealing(self.me, self.directory, keys, signer, self.view.home)
        self.standing = rooms.Standing(self.me, self.directory)
        self.joining = Joining(self.ourselves, self.members, self.sites, self.doors, self.reach)
        self.challenges = Challenges(rng)
        self.namesakes = Namesakes(
            self.ourselves, self.members, self.ledger, self.watch, self.challenges
        )
        self.introductions = Introductions(
            self.ourselves,
            self.members,
            self.sites,
            self.ledger,
            self.watch,
            self.gate,
            self.namesakes,
        )
        self.learning = Learning(
            self.ourselves,
            self.view,
            self.sites,
            self.ledger,
            self.watch,
            self.gate,
            self.namesakes,
            self.introductions,
        )
        self._next_beat = float("inf")

    def __repr__(self) -> str:
        return f"Federation({self.me}, {self.members}, {self.directory})"

    # --- asking

    @property
    def joined(self) -> bool:
        """The name is ours: we are a member."""
        return self.ledger.open

    def next_deadline(self) -> float:
        """When a Ticked is due."""
        return min(
            self._next_beat,
            self.members.next_deadline(),
            self.ledger.catchup.next_deadline(),
            self.sites.next_deadline(),
            self.doors.next_deadline() if self.joined else float("inf"),
            self.gate.next_deadline(),
            self.requests.imports.next_deadline(),
            self.resealing.next_deadline(),
            self.failures.next_deadline(),
            self.draining.next_deadline(),
        )

    # --- living

    def start(self, now: float) -> list[Effect]:
        """Begin this boot. Nothing is written or published under our name until it is known to be free."""
        self.requests.start()
        self._next_beat = now
        self.gate.remember(now)
        return [*self.gate.consider(now), self.gate.keys.use(), *self.conclusions.start()]

    def leave(self) -> list[Effect]:
        """Stop on purpose."""
        return [Broadcast(Leave())] if self.joined else []

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What an event means to what we know."""
        self.view.now = now
        effects = self._dispatch(event, now)
        if self.members.changed:
            self.members.changed = False
            effects += self.gate.spoiled([m.name for m in self.members.alive()])
            self._next_beat = min(self._next_beat, now + self.members.period())
            self.view.remake_ring()
            effects += self.conclusions.settle()
            effects += self._elect(now)
            self.sites.changed(now)
        if self.joined:
            self._next_beat = min(self._next_beat, self.members.roll.speak_by)
        if self.gate.expelled:
            return [e for e in effects if not isinstance(e, Broadcast | Forward | SendTo)]
        return effects

    def _dispatch(self, event: Event, now: float) -> list[Effect]:
        if not self.joined and isinstance(event, _OwnFact):
            return self.joining.wait(event)
        match event:
            case Received(message=Pieces(pieces)):
                each = [replace(event, message=piece) for piece in pieces]
                return [effect for one in each for effect in self._received(one, now)]
            case Received():
                return self._received(event, now)
            case Introduced():
                return self.introductions.heard(event, now)
            case Noticed(message=Refusal()) if self.joined:
                self.sites.step_aside(now)
                told = self.gate.noticed(event, now)
                return [*told, Broadcast(self.ourselves.heartbeat()), *self._elect(now)]
            case Noticed():
                return self.gate.noticed(event, now)
            case StrangerHeard(source, True):
                hello = self.ourselves.hello(ask=True)
                return self.gate.stranger(hello, source, now) if self.joined else []
            case StrangerHeard(source):
                return self.introductions.stranger(source, now)
            case WanChanged(up):
                self.sites.link(now, up=up)
                beat: list[Effect] = [Broadcast(self.ourselves.heartbeat())] if self.joined else []
                return [*beat, *self._elect(now)]
            case OtherWireHeard(source, version):
                self.watch.other_wire(source, version, now)
                return []
            case SeedsFound(addresses):
                self.doors.found(addresses, now)
                return []
            case Ticked(late, wall_ms):
                self.ourselves.read_clock(wall_ms, now)
                self.directory.graves.wall = wall_ms // 1000
                return [*self._patient(now, wall_ms), *self._tick(now, late)]
            case Edited() | Imported() | Rotate() | Admit():
                return self.requests.handle(event, now)
            case NodeChanged(info):
                return self.ledger.shelve([ShelfPut(shelf.INFO_KEY, info)])
            case ContactAdded():
                return self.ledger.shelve(registering.added(event, self.me, self.directory))
            case ContactRemoved(number, uri):
                return self.ledger.shelve([ShelfDrop(shelf.contact_key(number, uri))])
            case ContactsListed():
                return self.ledger.shelve(registering.listed(event, self.me, self.directory))
            case RoomsLed(numbers, wall_ms):
                return self.ledger.shelve(self.standing.led(numbers, wall_ms))
            case RoomsListed(numbers, wall_ms):
                return self.ledger.shelve(self.standing.listed(numbers, wall_ms))
            case TrunksBlocked(ways):
                self.alone.blocked = ways
                return []
            case AuthenticationsFailed(found):
                told = self.ledger.shelve(self.failures.failed(event, now))
                return [*told, *self.failures.alarms(whose(one) for one, _, _ in found)]
            case AsteriskUp() | AsteriskDown():
                return self._became(
                    replace(self.ourselves.condition, ready=isinstance(event, AsteriskUp)), now
                )
            case AsteriskDied():
                deaths = (self.ourselves.condition.deaths + 1) % DEATHS
                return self._became(replace(self.ourselves.condition, deaths=deaths), now)
            case DrainSwitched(on):
                kept = self.draining.switch(event, now)
                told = self._became(replace(self.ourselves.condition, drains=on), now)
                return [*kept, *told, Reply(event.ticket, 200)]
            case HealthChanged(sick):
                return self._became(replace(self.ourselves.condition, sick=sick), now)
            case _:
                return []

    # --- time

    def _tick(self, now: float, late: float) -> list[Effect]:
        effects = self.members.tick(now, late) if self.joined else []
        if now >= self._next_beat:
            effects += self._beat(now) if self.joined else self._call_name(now)
        effects += [*self.ledger.catchup.tick(now), *self.requests.imports.tick(now)]
        effects += self.ledger.publish(self.resealing.tick(now))
        if self.joined:
            effects += self.doors.tick(now, self.ourselves.hello(ask=True))
        if now >= self.gate.next_deadline():
            effects += self._gate_due(now)
        effects += self.ledger.shelve(self.failures.tick(now))
        if now >= self.sites.next_deadline():
            effects += self._between_sites(now)
        return effects

    def _patient(self, now: float, wall_ms: int) -> list[Effect]:
        """The deadline of a drain: who is left?"""
        effects, over = self.draining.tick(now, wall_ms)
        order = self.draining.order
        if not over or order is None:
            return effects
        left = self.directory.registrations.count_at(self.me)
        return [*effects, Tell(DrainOver(order.end, left))]

    def _gate_due(self, now: float) -> list[Effect]:
        """Keys are used otherwise from now on; who has a new one introduces itself anew."""
        effects, again = self.gate.tick(now)
        if self.joined:
            self.resealing.rotated(now)
        if again and self.joined:
            hello = self.ourselves.hello(ask=True)
            effects += [*self.joining.greet(hello), *[Forward(hello)] * self.sites.forwarding]
        elif again:
            self.joining.again()
        return effects

    def _between_sites(self, now: float) -> list[Effect]:
        fingerprint = self.directory.fingerprint()
        self.sites.clock = self.watch.clocks.seconds(now)
        effects, compare = self.sites.tick(now, fingerprint, self.ourselves.condition)
        for address in compare:
            effects += self.ledger.catchup.compare_with(address, now)
        return effects + self._elect(now)

    def _elect(self, now: float) -> list[Effect]:
        """Who speaks for our site? A node that could says so in its heartbeats from now on."""
        return self.sites.elect(now, self.ourselves.hello(ask=True)) if self.joined else []

    def _beat(self, now: float) -> list[Effect]:
        asked, answers = self.members.roll.say()
        if self.gate.refused and not self.members.alive():
            self._next_beat = now + QUIET
            return self.joining.greet(self.ourselves.hello(ask=True))
        period = self.members.period()
        self._next_beat = max(self._next_beat + period, now + period / 2)
        beat = self.ourselves.beat(now)
        said = RollCall(beat, asked, answers) if asked or answers else beat
        effects: list[Effect] = [Broadcast(said), *self.watch.tick(now)]
        effects += self.alone.look(self.view, now)
        return [*effects, *self.ledger.collect(now), *self.ledger.absorb()]

    def _call_name(self, now: float) -> list[Effect]:
        """Ask three times whether our name is free, then take it."""
        self._next_beat = now + PAUSE
        return self.joining.call() or self._join(now)

    def _join(self, now: float) -> list[Effect]:
        """The name is ours: take over what the last epoch left, say so, and publish what happened meanwhile."""
        i = self.ourselves.identity
        self.ledger.begin(i.epoch, i.lineage)
        self.failures.recall(now)
        self.sites.started(i.epoch, now)
        self.resealing.rotated(now)
        self.view.joined_at = now
        self._next_beat = now + self._rng.random() * self.members.timing.period
        effects: list[Effect] = [
            PersistLineage(self.me, i.epoch, i.lineage),
            WanListen(False),
            *self.joining.greet(self.ourselves.hello(ask=True)),
            Note("joined", (("node", self.me), ("epoch", i.epoch))),
        ]
        effects += self.ledger.rescue()
        effects += self.ledger.publish(self.gate.roster.admit_self(self.me), durable=True)
        for event in self.joining.waited():
            effects += self._dispatch(event, now)
        return effects

    # --- what peers say

    def _received(self, event: Received, now: float) -> list[Effect]:
        sender, message = event.sender, event.message
        if isinstance(message, Lineage) and message.origin == self.me:
            return self._outlived(message.epoch, now)
        if isinstance(message, Ack) and message.nonce in self.challenges:
            return self.challenges.answered(message.nonce, sender, event.epoch)
        if not self.joined:
            return self._while_joining(event, now)
        if sender in self.directory.shelves.hidden:
            return []  # expelled
        if by_wan(event.source):
            return self._from_afar(event, now)
        known = self.members.get(sender)
        if known is not None and known.epoch > event.epoch:
            return []  # a session of the past, or a recording of one
        if (
            known is None
            or known.away
            or (known.epoch, known.session) != (event.epoch, event.session)
        ):
            asked = self.introductions.stranger(event.source, now)  # its own was not taken
            return asked + self._answer(event, now)
        effects: list[Effect] = []
        if isinstance(message, RollCall):
            effects += self.members.called(sender, event.epoch, message, now)
            event = replace(event, message=message.heartbeat)
        if known.state is State.NEW and not isinstance(message, Ack | Probe):
            return effects  # until it has answered us it may be a recording
        incarnation = self.members.incarnation
        effects += self.reach.heard(event, now)
        event = self.reach.plain(event)
        message = event.message
        effects += self.members.heard(sender, event.epoch, now)
        if isinstance(message, Probe):
            effects += self._answer(event, now)
        else:
            effects += self.members.handle(sender, message, event.source, now)
        if isinstance(message, Heartbeat | Ack):
            self.watch.heard_clock(sender, message.clock, now)
        if self.members.incarnation > incarnation:
            effects.append(Broadcast(self.ourselves.heartbeat()))
        return effects + self.learning.learn(event, now)

    def _while_joining(self, event: Received, now: float) -> list[Effect]:
        """Before the name is ours nothing counts but that somebody else has it, or asks whether we live."""
        if isinstance(event.message, Neighbours):
            return self.introductions.directed(event.message)
        if not isinstance(event.message, SiteReport):
            return self._answer(event, now)
        effects = self.learning.report(event.message, now)
        return [
            self.challenges.ask(event.sender, event.epoch, event.source, effect)
            if isinstance(effect, Stop)
            else effect
            for effect in effects
        ]

    def _outlived(self, epoch: int, now: float) -> list[Effect]:
        """A peer knows of this epoch of ours."""
        if not self.namesakes.plausible(self.me, epoch, now):
            return []
        if not self.joined:
            self.joining.outlived(epoch)
        elif epoch > self.ourselves.identity.epoch:
            return [Stop("peers know a later epoch of this node: start it again")]
        return []

    def _answer(self, event: Received, now: float) -> list[Effect]:
        if not isinstance(event.message, Probe):
            return []
        return [SendTo(event.source, Ack(event.message.nonce, self.watch.clocks.seconds(now)))]

    def _from_afar(self, event: Received, now: float) -> list[Effect]:
        """What another site's forwarder says to ours."""
        sender, epoch, message = event.sender, event.epoch, event.message
        if not self.sites.known(sender, epoch, event.session):
            return self.introductions.stranger(event.source, now)
        event = replace(event, source=wan(sender))
        doubts = self.sites.heard(sender, now)
        match message:
            case Probe():
                # who asks believes us from now on, and nothing of before
                self.sites.changed(now)
                self.ledger.catchup.unheard(event.source)
                # in this order: who is answered takes nothing older
                return [*self._answer(event, now), *doubts]
            case Ack(nonce):
                self.watch.heard_clock(sender, message.clock, now)
                return self.sites.answered(sender, epoch, nonce, now)
            case _ if not self.sites.proven(sender, epoch):
                return doubts  # until it has answered us it may be a recording
            case Piece() | Lineage() if self.namesakes.elsewhere(message):
                return []  # its own site judges what a node says
            case SiteReport():
                relayed = msgspec.structs.replace(message, reporter=sender)
                passed: list[Effect] = []
                if self.sites.forwarding and message.site != self.ourselves.identity.site:
                    passed.append(Broadcast(relayed))
                return [*passed, *self.learning.report(relayed, now)]
            case _:
                return self.learning.learn(event, now)

    def _became(self, condition: Condition, now: float) -> list[Effect]:
        """We can serve otherwise than before: peers hear of it at once, not with the next heartbeat."""
        if condition == self.ourselves.condition:
            return []
        before, self.ourselves.condition = self.ourselves.condition, condition
        self.sites.changed(now)
        self.view.remake_ring()
        fields = (("node", self.me), ("is", str(condition)), ("was", str(before)))
        told = [Note("condition", fields)] if str(condition) != str(before) else []
        return [*told, *([Broadcast(self.ourselves.heartbeat())] if self.joined else [])]


def describe(info: NodeInfo) -> NodeChanged:
    """The event that puts a node's own description on its shelf."""
    return NodeChanged(shelf.encode(info))
