"""The federation: members, directory and ring as one machine. Fed with events, it answers with effects; it never waits.

What it does with a fact of its own: write it into the own stream, keep it, publish it once as a Delta. What it does with a
peer's: apply it if it is the next one, else ask for what is missing (`catchup.py`). What it concludes from either: which
phones and trunks Asterisk shall hold, and which registrations have moved away.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import msgspec

from pbxfed_ari.core import (
    claims,
    editing,
    pushing,
    registering,
    rooms,
    shelf,
    vault,
)
from pbxfed_ari.core.catalogue import NUMBER
from pbxfed_ari.core.changes import (
    Absorbed,
    Change,
    Conflicted,
    ContactChanged,
    FailuresChanged,
    InfoChanged,
    KeyGranted,
    MemberChanged,
    ObjectChanged,
)
from pbxfed_ari.core.condition import Condition
from pbxfed_ari.core.directory import Directory
from pbxfed_ari.core.doors import Doors
from pbxfed_ari.core.draining import Draining
from pbxfed_ari.core.effects import (
    Broadcast,
    DropContact,
    Effect,
    ForgetSession,
    Forward,
    Note,
    PersistAbsorbed,
    PersistLineage,
    Reply,
    SendTo,
    Stop,
    Tell,
    WanListen,
)
from pbxfed_ari.core.events import (
    Address,
    Admit,
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
    PeerGaveUp,
    PeerHasCall,
    Received,
    RoomsLed,
    RoomsListed,
    Rotate,
    SeedsFound,
    StrangerHeard,
    Ticked,
    WanChanged,
    by_wan,
    wan,
)
from pbxfed_ari.core.failures import Failures, whose
from pbxfed_ari.core.gate import QUIET, Gate
from pbxfed_ari.core.importing import PLANNED_HERE, Imports
from pbxfed_ari.core.keys import Keyring, Signer
from pbxfed_ari.core.ledger import Ledger
from pbxfed_ari.core.members import LAN, Members, State, Timing
from pbxfed_ari.core.messages import (
    Ack,
    AnyMessage,
    CallHere,
    CallOver,
    Delta,
    Heartbeat,
    Hello,
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
from pbxfed_ari.core.names import CallId, Extension, NodeName
from pbxfed_ari.core.ourselves import Identity, Ourselves
from pbxfed_ari.core.outlook import Calendar, Outlook
from pbxfed_ari.core.reach import Reach
from pbxfed_ari.core.shelf import NodeInfo
from pbxfed_ari.core.sites import EQUAL, UP, Sites
from pbxfed_ari.core.stamp import HybridClock, wall_ms_of
from pbxfed_ari.core.vault import Resealing
from pbxfed_ari.core.watch import Watch
from pbxfed_ari.errors import Refused

_Request = Edited | Imported | Rotate | Admit
_OwnFact = (
    _Request
    | NodeChanged
    | ContactAdded
    | ContactRemoved
    | ContactsListed
    | RoomsLed
    | RoomsListed
    | AuthenticationsFailed
)
JOIN_CALLS = 3  # times that a starting node asks whether its name is free
JOIN_PAUSE = 0.2  # seconds between them, and before it takes the name
CHALLENGES = 16  # sessions asked at once whether they live, before they count
GREETED = 32  # addresses that a node without multicast says its first Hello to, at most
WELCOMES = 20.0  # strangers answered a second, at most: garbage must not make us talk


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
        self._calendar = calendar
        self.directory = directory or Directory()
        self.members = Members(identity.name, identity.epoch, rng=rng, timing=timing)
        self.reach = Reach(identity.site, self.members, multicast=multicast)
        self.doors = Doors(
            (identity.address, identity.port), identity.site, self.directory, self.members, rng=rng
        )
        self.draining = Draining(drain)
        self._rng = rng
        self._clock = HybridClock()
        self.sites = Sites(self.me, identity.epoch, identity.site, self.members, rng=rng)
        self.ledger = Ledger(
            self.me, self.directory, self.members, self.sites, rng=rng, conclude=self._conclude
        )
        self.imports = Imports(lambda records: self.ledger.publish(records, durable=True))
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
            self.ourselves, self.directory, self.members, self.watch.clocks, self.gate, calendar
        )
        self.resealing = Resealing(self.me, self.directory, keys, signer, self.view.home)
        self.directory.shelves.hidden = self._outside()
        self.failures = Failures(self.me, self.directory, self.members.up)
        self.standing = rooms.Standing(self.me, self.directory)
        self._contests = claims.Contests(self.directory)
        self._challenged: dict[
            int, tuple[NodeName, int, Effect]
        ] = {}  # nonce → who, and what if it lives
        self._next_beat = float("inf")
        self._join_calls = 0
        self._welcome_from = 0.0  # strangers are answered from this time on
        self._early: list[Event] = []  # what happened before the name was ours

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
            self.imports.next_deadline(),
            self.resealing.next_deadline(),
            self.failures.next_deadline(),
            self.draining.next_deadline(),
        )

    # --- living

    def start(self, now: float) -> list[Effect]:
        """Begin this boot. Nothing is written or published under our name until it is known to be free."""
        self._clock.last = max([self._clock.last, *self.directory.stamps()])
        self._next_beat = now
        self.gate.remember(now)
        return [
            *self.gate.consider(now),
            self.gate.keys.use(),
            *pushing.everything(self.me, self.directory),
            *self._contests.everything(),
        ]

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
            effects += self._settle()
            effects += self._elect(now)
            self.sites.changed(now)
        if self.joined:
            self._next_beat = min(self._next_beat, self.members.roll.speak_by)
        if self.gate.expelled:
            return [e for e in effects if not isinstance(e, Broadcast | Forward | SendTo)]
        return effects

    def _dispatch(self, event: Event, now: float) -> list[Effect]:
        if not self.joined and isinstance(event, _OwnFact):
            return self._not_yet(event)
        match event:
            case Received(message=Pieces(pieces)):
                each = [replace(event, message=piece) for piece in pieces]
                return [effect for one in each for effect in self._received(one, now)]
            case Received():
                return self._received(event, now)
            case Introduced():
                return self._introduced(event, now)
            case Noticed(message=Refusal()) if self.joined:
                self.sites.step_aside(now)
                told = self.gate.noticed(event, now)
                return [*told, Broadcast(self.ourselves.heartbeat()), *self._elect(now)]
            case Noticed():
                return self.gate.noticed(event, now)
            case StrangerHeard(source, True):
                hello = self.ourselves.hello(ask=True)
                return self.gate.stranger(hello, source, now) if self.joined else []
            case StrangerHeard():
                return self._stranger(event, now)
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
            case Edited():
                return self._edited(event, now)
            case Imported():
                return self._imported(event, now)
            case Rotate():
                return self._rotate(event, now)
            case Admit():
                return self._admit(event, now)
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
            case AuthenticationsFailed(found):
                told = self.ledger.shelve(self.failures.failed(event, now))
                return [*told, *self.failures.alarms(whose(one) for one, _, _ in found)]
            case AsteriskUp() | AsteriskDown():
                return self._became(
                    replace(self.ourselves.condition, ready=isinstance(event, AsteriskUp)), now
                )
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
        effects += [*self.ledger.catchup.tick(now), *self.imports.tick(now)]
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
        return [
            *effects,
            Tell(DrainOver(order.end, self.directory.registrations.count_at(self.me))),
        ]

    def _gate_due(self, now: float) -> list[Effect]:
        """Keys are used otherwise from now on; who has a new one introduces itself anew."""
        effects, again = self.gate.tick(now)
        if self.joined:
            self.resealing.rotated(now)
        if again and self.joined:
            hello = self.ourselves.hello(ask=True)
            effects += [*self._greet(hello), *[Forward(hello)] * self.sites.forwarding]
        elif again:
            self._join_calls = 0
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
            return self._greet(self.ourselves.hello(ask=True))
        period = self.members.period()
        self._next_beat = max(self._next_beat + period, now + period / 2)
        beat = self.ourselves.beat(now)
        said = RollCall(beat, asked, answers) if asked or answers else beat
        effects: list[Effect] = [Broadcast(said), *self.watch.tick(now)]
        return [*effects, *self.ledger.collect(now), *self.ledger.absorb()]

    def _call_name(self, now: float) -> list[Effect]:
        """Ask three times whether our name is free, then take it."""
        self._next_beat = now + JOIN_PAUSE
        if self._join_calls < JOIN_CALLS:
            self._join_calls += 1
            call = self.ourselves.hello(joining=True)
            afar: list[Effect] = [WanListen(True), Forward(call)] if self.sites.linked else []
            return [*self._greet(call), *afar]
        return self._join(now)

    def _greet(self, hello: Hello) -> list[Effect]:
        """Say it to the group and to the seeds; where there is no group, to all that we know of."""
        doors = self.doors.seeds if self.reach.multicast else self.doors.closed()[:GREETED]
        return [Broadcast(hello), *(SendTo(door, hello) for door in doors)]

    def _join(self, now: float) -> list[Effect]:
        """The name is ours: take over what the last epoch left, say so, and publish what happened meanwhile."""
        i = self.ourselves.identity
        self.ledger.own = (self.me, i.epoch)
        self.directory.adopt(self.me, i.epoch, i.lineage)
        self.directory.streams.open(self.ledger.own)
        self.ledger.open = True
        self.failures.recall(now)
        self.sites.started(i.epoch, now)
        self.resealing.rotated(now)
        self.view.joined_at = now
        self._next_beat = now + self._rng.random() * self.members.timing.period
        effects: list[Effect] = [
            PersistLineage(self.me, i.epoch, i.lineage),
            WanListen(False),
            *self._greet(self.ourselves.hello(ask=True)),
            Note("joined", (("node", self.me), ("epoch", i.epoch))),
        ]
        effects += self.ledger.rescue()
        effects += self.ledger.publish(self.gate.roster.admit_self(self.me), durable=True)
        early, self._early = self._early, []
        for event in early:
            effects += self._dispatch(event, now)
        return effects

    def _not_yet(self, event: Event) -> list[Effect]:
        if isinstance(event, _Request):
            return [Reply(event.ticket, 503, error="this node is joining: try again in a second")]
        self._early.append(event)
        return []

    # --- what peers say

    def _received(self, event: Received, now: float) -> list[Effect]:
        sender, message = event.sender, event.message
        if isinstance(message, Lineage) and message.origin == self.me:
            plausible = self._plausible(self.me, message.epoch, now)
            return self._outlived(message) if plausible else []
        if isinstance(message, Ack) and message.nonce in self._challenged:
            who, epoch, consequence = self._challenged.pop(message.nonce)
            return [consequence] if (sender, event.epoch) == (who, epoch) else []
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
            asked = self._stranger(
                StrangerHeard(event.source), now
            )  # its introduction was not taken
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
            self._hear_clock(sender, message.clock, now)
        if self.members.incarnation > incarnation:
            effects.append(Broadcast(self.ourselves.heartbeat()))
        return effects + self._learn(event, now)

    def _while_joining(self, event: Received, now: float) -> list[Effect]:
        """Before the name is ours nothing counts but that somebody else has it, or asks whether we live."""
        if isinstance(event.message, Neighbours):
            return self._directed(event.message)
        if not isinstance(event.message, SiteReport):
            return self._answer(event, now)
        effects = self._report(event.message, now)
        return [
            self._challenge(event.sender, event.epoch, event.source, effect)
            if isinstance(effect, Stop)
            else effect
            for effect in effects
        ]

    def _answer(self, event: Received, now: float) -> list[Effect]:
        if not isinstance(event.message, Probe):
            return []
        return [SendTo(event.source, Ack(event.message.nonce, self.watch.clocks.seconds(now)))]

    def _challenge(self, who: NodeName, epoch: int, source: Address, consequence: Effect) -> Effect:
        """Ask whether a session lives, and only if it does draw the consequence: it may be a recording."""
        if len(self._challenged) >= CHALLENGES:
            del self._challenged[next(iter(self._challenged))]
        nonce = self._rng.getrandbits(32)
        self._challenged[nonce] = (who, epoch, consequence)
        return SendTo(source, Probe(nonce))

    def _hear_clock(self, node: NodeName, clock: int, now: float) -> None:
        member = self.members.get(node)
        if clock and member is not None and member.up:
            self.watch.clocks.heard(node, member.epoch, clock, now)

    def _from_afar(self, event: Received, now: float) -> list[Effect]:
        """What another site's forwarder says to ours."""
        sender, epoch, message = event.sender, event.epoch, event.message
        if not self.sites.known(sender, epoch, event.session):
            return self._stranger(StrangerHeard(event.source), now)
        event = replace(event, source=wan(sender))
        doubts = self.sites.heard(sender, now)
        match message:
            case Probe():
                return [
                    *self._answer(event, now),
                    *doubts,
                ]  # in this order: who is answered takes nothing older
            case Ack(nonce):
                self._hear_clock(sender, message.clock, now)
                return self.sites.answered(sender, epoch, nonce, now)
            case _ if not self.sites.proven(sender, epoch):
                return doubts  # until it has answered us it may be a recording
            case Piece() | Lineage() if self._held_here(message):
                return []  # its own site judges what a node says
            case SiteReport():
                relayed = msgspec.structs.replace(message, reporter=sender)
                passed: list[Effect] = []
                if self.sites.forwarding and message.site != self.ourselves.identity.site:
                    passed.append(Broadcast(relayed))
                return [*passed, *self._report(relayed, now)]
            case _:
                return self._learn(event, now)

    def _held_here(self, news: Piece | Lineage) -> bool:
        """Is it of a node that lives in our own LAN, under an epoch that it does not have? Somebody took its name."""
        member = self.members.get(NodeName(news.origin))
        if news.origin == self.me:
            return news.epoch > self.ourselves.identity.epoch
        return member is not None and not member.away and member.up and news.epoch > member.epoch

    def _report(self, report: SiteReport, now: float) -> list[Effect]:
        theirs = self.sites.namesake(report, self.me)
        if (
            theirs
            and theirs <= self.ourselves.identity.epoch
            and theirs not in dict(self.ourselves.identity.lineage)
        ):
            return [Stop(_taken(self.me, f"site {report.site}"))]
        inside = tuple(
            node for node in report.nodes if node[0] not in self.directory.shelves.hidden
        )
        report = msgspec.structs.replace(report, nodes=inside)
        fingerprint, reporter = self.directory.fingerprint(), NodeName(report.reporter)
        if report.vector == fingerprint:
            for name, _, flags in report.nodes:
                if flags & EQUAL:
                    self.ledger.heard.equal(NodeName(name), self.directory.graves.moment)
        effects = self.sites.reported(report, reporter, fingerprint, now)
        self._hear_clock(reporter, report.clock, now)
        return effects

    def _learn(self, event: Received, now: float) -> list[Effect]:
        message, stream = self._explained(event.message, now), (event.sender, event.epoch)
        match message:
            case None:
                return []
            case Delta(first, records):
                numbered = tuple(enumerate(records, first))
                piece = Piece(*stream, first - 1, first + len(records) - 1, numbered)
                told = self.watch.stamped(event.sender, records, now)
                return [*self.ledger.take(piece, event.sender, event.source, now), *told]
            case Piece(origin, records=numbered):
                effects = self.ledger.answered(message, event.sender, event.source, now)
                stamped = (record for _, record in numbered)
                return effects + self.watch.stamped(NodeName(origin), stamped, now)
            case SiteReport():
                return self._report(message, now) if message.reporter else []
            case Neighbours():
                return self._directed(message)
            case CallHere(call, attempt, to):
                return [Tell(PeerHasCall(event.sender, CallId(call), attempt, to))]
            case CallOver(call, attempt):
                return [Tell(PeerGaveUp(event.sender, CallId(call), attempt))]
            case _:
                effects, lineages = self.ledger.catchup.handle(
                    event.sender, event.epoch, message, event.source, now
                )
                if isinstance(message, Heartbeat):
                    effects += self._agreed(event.sender, message, now)
                for lineage in lineages:
                    origin, earlier = NodeName(lineage.origin), lineage.earlier
                    effects += self.ledger.adopt(origin, lineage.epoch, earlier, event.source)
                return effects

    def _explained(self, message: AnyMessage, now: float) -> AnyMessage | None:
        """A message about knowing, without epochs that no clock explains; None if it is about nothing else."""
        match message:
            case Piece(origin, epoch) | Lineage(origin, epoch):
                # nobody knows more of a living node than itself
                own = (
                    message.to
                    if isinstance(message, Piece) and (origin, epoch) == self.ledger.own
                    else 0
                )
                known = own > self.directory.streams.held(self.ledger.own) or self._held_here(
                    message
                )
                plausible = self._plausible(NodeName(origin), epoch, now)
                return message if plausible and not known else None
            case _:
                return message

    def _plausible(self, origin: NodeName, epoch: int, now: float) -> bool:
        known = self.directory.streams.current_epoch(origin)
        return not self.watch.unexplained(origin, epoch, known, now)

    def _agreed(self, sender: NodeName, beat: Heartbeat, now: float) -> list[Effect]:
        """Once we hold what a neighbour holds we may speak for the site; and it has heard of all our dead."""
        if beat.vector != self.directory.fingerprint():
            return []
        self.ledger.heard.equal(sender, self.directory.graves.moment)
        self.gate.refused = ""  # whoever refused us: we belong
        effects = self.ledger.decide()
        if self.sites.settled or not self.ledger.catchup.complete:
            return effects
        self.sites.settled = True
        took = (("with", sender), ("seconds", round(now - self.view.joined_at, 3)))
        return [*effects, Note("caught up", took), *self._elect(now)]

    def _directed(self, neighbours: Neighbours) -> list[Effect]:
        """Peers that others know: say Hello. Until we have joined, only to who may have our name."""
        effects: list[Effect] = []
        for name, address, port in neighbours.nodes:
            if not self.joined and name == self.me:
                effects.append(SendTo((address, port), self.ourselves.hello(joining=True)))
            elif self.joined and not self.members.up(NodeName(name)):
                effects.append(SendTo((address, port), self.ourselves.hello(ask=True)))
        return effects

    def _introduced(self, event: Introduced, now: float) -> list[Effect]:
        hello, source = event.hello, event.source
        if hello.name == self.me:
            return self._namesake(hello, source)
        if not self.joined:
            return []
        taken, effects = self.gate.meet(event, len(self.members.alive()) + 1, now)
        return effects + self._met(event, now) if taken else effects

    def _met(self, event: Introduced, now: float) -> list[Effect]:
        hello, source = event.hello, event.source
        name = NodeName(hello.name)
        known = self.directory.streams.current_epoch(name)
        if not self.joined or self.watch.unexplained(name, hello.epoch, known, now, hello.clock):
            return []
        self.watch.introduced(hello)
        if by_wan(source) and not hello.joining:
            if self._held_here(Lineage(hello.name, hello.epoch, ())):
                return self._ours(name, source)
            met = self.sites.meet(hello, self.ourselves.hello(), now, event.session)
            return met + self.ledger.adopt(name, hello.epoch, hello.lineage, source)
        current = self.directory.streams.current_epoch(name)
        if hello.epoch < current or (hello.joining and hello.epoch == current):
            return [
                SendTo(source, self.ourselves.hello()),
                SendTo(source, Lineage(name, current, ())),
            ]
        if hello.joining:
            held = self._held_here(Lineage(hello.name, hello.epoch, ()))
            if by_wan(source):
                return self._ours(name, source) if held else []
            return [] if event.multicast else self._holder(hello, source)
        effects: list[Effect] = [SendTo(source, self.ourselves.hello())] if hello.ask else []
        effects += self.members.meet(hello, now, event.session)
        return effects + self.ledger.adopt(name, hello.epoch, hello.lineage, source)

    def _ours(self, name: NodeName, source: Address) -> list[Effect]:
        """A node of another site has the name of one of ours, which lives: tell it so."""
        member = self.members.get(name)
        epoch = member.epoch if member else self.ourselves.identity.epoch
        fingerprint = self.directory.fingerprint()
        nodes = ((str(name), epoch, UP),)
        return [
            SendTo(source, self.ourselves.hello()),
            SendTo(source, SiteReport(self.ourselves.identity.site, fingerprint, nodes)),
        ]

    def _holder(self, hello: Hello, source: Address) -> list[Effect]:
        """A newcomer that the holder of its name may not hear: tell it where that one is."""
        holder = self.members.get(NodeName(hello.name))
        if holder is None or not holder.up or holder.address[0] == hello.address:
            return []
        where = Neighbours(((str(holder.name), *holder.address),))
        return [SendTo(source, self.ourselves.hello()), SendTo(source, where)]

    def _namesake(self, hello: Hello, source: Address) -> list[Effect]:
        """Another node with our name: who came later stops, if the other lives. Our own past, at our own address, is none."""
        if hello.address == self.ourselves.identity.address:
            return []
        ours, theirs = (
            (self.ourselves.identity.epoch, self.ourselves.identity.address),
            (hello.epoch, hello.address),
        )
        later = ours > theirs if self.joined is not hello.joining else not self.joined
        if later:
            stop = Stop(_taken(self.me, hello.address))
            return [self._challenge(self.me, hello.epoch, source, stop)]
        taken = Note("name claimed by another node too", (("by", hello.address),), "warning")
        told = self._challenge(self.me, hello.epoch, source, taken)
        return [SendTo(source, self.ourselves.hello()), told]

    def _outlived(self, lineage: Lineage) -> list[Effect]:
        """A peer knows a later epoch of ours (a lost disk, a clock that was ahead): begin above it."""
        if lineage.epoch < self.ourselves.identity.epoch + self.joined:
            return []
        if self.joined:
            return [Stop("peers know a later epoch of this node: start it again")]
        self.ourselves.identity = replace(self.ourselves.identity, epoch=lineage.epoch + 1)
        self.members.epoch = self.ourselves.identity.epoch
        self._join_calls = 0
        return []

    def _stranger(self, event: StrangerHeard, now: float) -> list[Effect]:
        """A session that has not been introduced: tell it who we are and ask who it is."""
        if not self.joined or now < self._welcome_from:
            return []
        self._welcome_from = max(self._welcome_from, now - 1.0) + 1.0 / WELCOMES
        return [SendTo(event.source, self.ourselves.hello(ask=True))]

    def _became(self, condition: Condition, now: float) -> list[Effect]:
        """We can serve otherwise than before: peers hear of it at once, not with the next heartbeat."""
        if condition == self.ourselves.condition:
            return []
        before, self.ourselves.condition = self.ourselves.condition, condition
        self.sites.changed(now)
        self.view.remake_ring()
        told = Note("condition", (("node", self.me), ("is", str(condition)), ("was", str(before))))
        return [told, *([Broadcast(self.ourselves.heartbeat())] if self.joined else [])]

    # --- edits

    def _edited(self, event: Edited, now: float) -> list[Effect]:
        """Publish an edit: on the disk before anybody hears of it, and the editor last."""
        if self.imports.has_planned(event):
            said = f"{event.kind} {event.key}: {PLANNED_HERE}"
            return [Reply(event.ticket, 503, error=said)]
        off = self._clock_off(event.wall_ms, now)
        if off:
            return [Reply(event.ticket, 503, error=f"{event.kind} {event.key}: {off}")]
        editor = self._editor(event.wall_ms)
        try:
            edit = editor.plan(event)
            editor.complete([edit])
        except Refused as refused:
            return [Reply(event.ticket, refused.status, error=str(refused))]
        effects = self.ledger.publish(edit.records, durable=True)
        item = self.directory.catalogue.by_id(edit.object_id)
        shown = edit.kind.shown(item) if item else {}
        if edit.what == "removed":
            shown = {edit.kind.key_name: edit.key, "removed": True}
        told = [Note(f"{edit.kind.name} {edit.what}", ((edit.kind.name, edit.key),))]
        return [*effects, *(told if effects else []), Reply(event.ticket, edit.status, shown)]

    def _imported(self, event: Imported, now: float) -> list[Effect]:
        """Begin an import."""
        off = self._clock_off(event.wall_ms, now)
        if off:
            return [Reply(event.ticket, 503, error=off)]
        return self.imports.begin(event, self._editor(event.wall_ms), now)

    def _clock_off(self, wall_ms: int, now: float) -> str:
        """Why nothing may be edited with this clock, or an empty text."""
        self.ourselves.read_clock(wall_ms, now)
        return self.watch.clock_off(now)

    def _editor(self, wall_ms: int) -> editing.Editor:
        return editing.Editor(
            self.me,
            self.directory,
            self._clock,
            realm=self.ourselves.identity.realm,
            wall_ms=wall_ms,
            is_zone=lambda zone: self._calendar(zone, wall_ms) is not None,
            lock=vault.lock(self.gate.keys, self.gate.signer),
        )

    # --- belonging

    def _rotate(self, event: Rotate, now: float) -> list[Effect]:
        """Make a new group key, and put a node out if that is asked."""
        if event.ticket == 0 and self.gate.needless():
            return []
        try:
            expel = self.gate.may_rotate(event, self.members, self.directory)
        except Refused as refused:
            return [Reply(event.ticket, refused.status, error=str(refused))]
        stamp = self._clock.next(event.wall_ms, over=self.gate.stamp())
        held, records = self.gate.rotate(event.material, stamp, now, expel)
        # granted first, held then: dead in between, we get the key back from those who have it
        effects = [*self.ledger.publish(records, durable=True), *held]
        key = self.gate.keys.newest.id.hex()
        return [*effects, Reply(event.ticket, 200, {"key": key, "expelled": expel})]

    def _admit(self, event: Admit, now: float) -> list[Effect]:
        """Let an invited node in: on the disk before it hears so."""
        try:
            new = self.gate.may_admit(event, self.members)
        except Refused as refused:
            return [Reply(event.ticket, refused.status, error=str(refused))]
        stamp = self._clock.next(event.wall_ms, over=self.gate.stamp())
        record = self.gate.roster.admit(event.name, event.signing, event.public, self.me, stamp)
        effects = self.ledger.publish([record] * new, durable=True)
        return [*effects, Reply(event.ticket, 201 if new else 200)]

    def _outside(self) -> frozenset[NodeName]:
        """Whose shelf counts no more: who was expelled; everybody's, if it was we."""
        if self.gate.expelled:
            return frozenset([*self.gate.roster.expelled(), *self.directory.shelves.known()])
        return frozenset(self.gate.roster.expelled()) - {self.me}

    def _membership(self, node: NodeName) -> list[Effect]:
        """The book says something new of who belongs."""
        self.gate.roster.read(node)
        self.gate.remember(self.view.now)
        effects = self.gate.consider(self.view.now)
        before, self.directory.shelves.hidden = self.directory.shelves.hidden, self._outside()
        for other in sorted(self.directory.shelves.hidden - before):
            member = self.members.get(other)
            effects += [ForgetSession(member.session)] if member else []
            self.members.forget(other)
            self.sites.forget(other)
        for other in sorted(self.directory.shelves.hidden ^ before):
            effects += pushing.trunk(other, self.me, self.directory)
        if node in self.directory.shelves.hidden - before:
            effects += self.gate.expulsion(node)
        return effects + self.gate.spoiled([m.name for m in self.members.alive()])

    # --- conclusions

    def _conclude(self, changes: Sequence[Change]) -> list[Effect]:
        """What Asterisk must hear of, after something has changed."""
        effects: list[Effect] = []
        for change in changes:
            match change:
                case ContactChanged():
                    effects += self._moved(change)
                case InfoChanged(node):
                    effects += pushing.trunk(node, self.me, self.directory)
                    self.view.remake_ring()
                case Absorbed(node, epoch, through):
                    effects.append(PersistAbsorbed(node, epoch, through))
                case FailuresChanged(address=address):
                    effects += self.failures.alarms([address])
                case ObjectChanged(space, key):
                    if space == NUMBER:
                        effects += pushing.phone(Extension(key), self.directory)
                    effects += self._contests.look(space, key)
                case MemberChanged(node):
                    effects += self._membership(node)
                case KeyGranted():
                    self.gate.remember(self.view.now)
                    effects += self.gate.consider(self.view.now)
                    effects += self.gate.spoiled([m.name for m in self.members.alive()])
                case Conflicted():
                    effects.append(claims.conflict(change))
        return list(dict.fromkeys(effects))

    def _moved(self, change: ContactChanged) -> list[Effect]:
        """A registration of ours that no longer stands, because a newer one does elsewhere, is ended here."""
        if change.stamp is None or not self.members.up(change.node):
            return []
        wall_ms = wall_ms_of(change.stamp)
        effects: list[Effect] = []
        standing = self.view.where(change.extension)
        for number, uri in registering.fallen(change.extension, self.me, self.directory, standing):
            effects += self.ledger.publish([ShelfDrop(shelf.contact_key(number, uri))])
            effects.append(DropContact(number, uri, wall_ms))
            moved = (("extension", number), ("uri", uri), ("to", change.node))
            effects.append(Note("registration moved away", moved))
        return effects

    def _settle(self) -> list[Effect]:
        """Others have come or gone: which of our registrations still stand?"""
        effects: list[Effect] = []
        for number in sorted({number for number, _ in self.directory.shelves.contacts_of(self.me)}):
            for place in self.view.where(number)[:1]:
                if place.node != self.me:
                    effects += self._moved(
                        ContactChanged(place.node, number, place.uri, place.stamp)
                    )
        return effects


def describe(info: NodeInfo) -> NodeChanged:
    """The event that puts a node's own description on its shelf."""
    return NodeChanged(shelf.encode(info))


def _taken(name: NodeName, address: str) -> str:
    return f"the node name {name!r} is held by {address}: choose another for this node (node.name)"
