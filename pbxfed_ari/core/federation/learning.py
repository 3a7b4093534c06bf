"""Learning: what follows from a message of a peer that is believed, beside that it lives.

What is news of a stream goes to the ledger, what is missing is asked for (`catchup.py`), what a site says of its nodes goes to
the sites, and what concerns a call to the switchboard.
"""

import msgspec

from pbxfed_ari.core.effects import Effect, Note, SendTo, Stop, Tell
from pbxfed_ari.core.events import PeerGaveUp, PeerHasCall, Received, by_wan
from pbxfed_ari.core.federation.gate import Gate
from pbxfed_ari.core.federation.introductions import Introductions
from pbxfed_ari.core.federation.namesakes import Namesakes, taken
from pbxfed_ari.core.federation.ourselves import Ourselves
from pbxfed_ari.core.federation.outlook import Outlook
from pbxfed_ari.core.membership.watch import Watch
from pbxfed_ari.core.messages import (
    CallHere,
    CallOver,
    Delta,
    Heartbeat,
    Neighbours,
    Passed,
    Piece,
    SiteReport,
)
from pbxfed_ari.core.names import CallId, NodeName
from pbxfed_ari.core.replication.ledger import Ledger
from pbxfed_ari.core.replication.sites import EQUAL, Sites


class Learning:
    """Takes what peers say to the parts that it concerns."""

    def __init__(
        self,
        ourselves: Ourselves,
        view: Outlook,
        sites: Sites,
        ledger: Ledger,
        watch: Watch,
        gate: Gate,
        namesakes: Namesakes,
        introductions: Introductions,
    ) -> None:
        self._me, self._directory = view.me, ledger.directory
        self._ourselves, self._view, self._sites, self._ledger = ourselves, view, sites, ledger
        self._watch, self._gate = watch, gate
        self._namesakes, self._introductions = namesakes, introductions

    def learn(self, event: Received, now: float) -> list[Effect]:
        """What a message says that is not about living alone."""
        message, stream = self._namesakes.explained(event.message, now), (event.sender, event.epoch)
        match message:
            case None:
                return []
            case Delta(first, records):
                numbered = tuple(enumerate(records, first))
                piece = Piece(*stream, first - 1, first + len(records) - 1, numbered)
                told = self._watch.stamped(event.sender, records, now)
                return [*self._ledger.take(piece, event.sender, event.source, now), *told]
            case Piece(origin, records=numbered):
                effects = self._ledger.answered(message, event.sender, event.source, now)
                stamped = (record for _, record in numbered)
                return effects + self._watch.stamped(NodeName(origin), stamped, now)
            case SiteReport():
                return self.report(message, now) if message.reporter else []
            case Neighbours():
                return self._introductions.directed(message)
            case CallHere() | CallOver():
                return _of_a_call(event.sender, message)
            case Passed():
                return self._pass_on(message, event)
            case _:
                effects, lineages = self._ledger.catchup.handle(
                    event.sender, event.epoch, message, event.source, now
                )
                if isinstance(message, Heartbeat):
                    effects += self._agreed(event.sender, message, now)
                for lineage in lineages:
                    origin, earlier = NodeName(lineage.origin), lineage.earlier
                    effects += self._ledger.adopt(origin, lineage.epoch, earlier, event.source)
                return effects

    def report(self, report: SiteReport, now: float) -> list[Effect]:
        """A site's report: its nodes, and perhaps a namesake of ours among them."""
        theirs = self._sites.namesake(report, self._me)
        identity = self._ourselves.identity
        if theirs and theirs <= identity.epoch and theirs not in dict(identity.lineage):
            return [Stop(taken(self._me, f"site {report.site}"))]
        hidden = self._directory.shelves.hidden
        inside = tuple(node for node in report.nodes if node[0] not in hidden)
        report = msgspec.structs.replace(report, nodes=inside)
        fingerprint, reporter = self._directory.fingerprint(), NodeName(report.reporter)
        if report.vector == fingerprint:
            for name, _, flags in report.nodes:
                if flags & EQUAL:
                    self._ledger.heard.equal(NodeName(name), self._directory.graves.moment)
        effects = self._sites.reported(report, reporter, fingerprint, now)
        self._watch.heard_clock(reporter, report.clock, now)
        return effects

    def _pass_on(self, passed: Passed, event: Received) -> list[Effect]:
        """From our LAN to theirs, or from theirs to the one whom it is for: each way once."""
        to, by = NodeName(passed.to), NodeName(passed.by)
        if by in self._directory.shelves.hidden:
            return []  # expelled
        if to == self._me:
            return _of_a_call(by, passed.said)
        if not self._sites.forwarding or by_wan(event.source) != self._sites.ours(to):
            return []
        way = self._view.door(to) or self._view.way_to(to)
        return [] if way is None else [SendTo(way, passed)]

    def _agreed(self, sender: NodeName, beat: Heartbeat, now: float) -> list[Effect]:
        """Once we hold what a neighbour holds we may speak for the site; and it has heard of all our dead."""
        if beat.vector != self._directory.fingerprint():
            return []
        self._ledger.heard.equal(sender, self._directory.graves.moment)
        self._gate.refused = ""  # whoever refused us: we belong
        effects = self._ledger.decide()
        if self._sites.settled or not self._ledger.catchup.complete:
            return effects
        self._sites.settled = True
        took = (("with", sender), ("seconds", round(now - self._view.joined_at, 3)))
        return [
            *effects,
            Note("caught up", took),
            *self._sites.elect(now, self._ourselves.hello(ask=True)),
        ]


def _of_a_call(by: NodeName, said: CallHere | CallOver) -> list[Effect]:
    """What a peer says of a call, for the switchboard."""
    if isinstance(said, CallHere):
        return [Tell(PeerHasCall(by, CallId(said.call), said.attempt, said.sent_to))]
    return [Tell(PeerGaveUp(by, CallId(said.call), said.attempt))]
