"""Sites: the way between LANs. One node of a site, its forwarder, speaks for all of it; the others keep a link ready.

    site A   b ──multicast──▶ a (forwarder) ──publish──▶ every other site's forwarder ──multicast──▶ its LAN
                              a ──SiteReport, every 4.4 s and at each change──▶ likewise

Who forwards is decided by a hash over those nodes of the LAN that answer, have a working link and hold what their neighbours
hold; nobody is elected, so nobody has to agree. For a moment there may be two, or none: doubled frames are harmless, lost ones
are found by the fingerprint in the next report. Only what was news is passed on, and never back to where it came from.

A report says which nodes of the site live, by that site's own verdict, and of whom it is not sure any more. Nobody probes
across sites: a site that is not heard for SILENT seconds is down, until it is heard again. A forwarder is believed once it has
answered a question (a recording cannot).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from msgspec.structs import replace

from pbxfed_ari.core.effects import CloseSessionPast, Effect, Forward, Note, SendTo, WanListen
from pbxfed_ari.core.events import Address, wan
from pbxfed_ari.core.membership.condition import DEATHS, Condition
from pbxfed_ari.core.membership.member import Member, State
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.membership.ring import score
from pbxfed_ari.core.messages import Hello, Probe, SiteReport
from pbxfed_ari.core.names import NodeName

REPORT = 4.4  # seconds between two reports of a site in which nothing happens
CALL, CALLED = (
    0.5,
    600.0,
)  # seconds between reports while a site is silent, so that it is found again at once; for how long
SILENT = 9.0  # seconds without a report until a site's nodes count as down: one report may be lost
HASTE = 0.05  # seconds in which several changes become one report
DOUBT = (
    0.5  # seconds that a fingerprint may differ before vectors are compared: news may be under way
)
PROOF, PROOFS = 0.5, 6  # seconds until a new forwarder is asked again, and how often
ASIDE = 20.0  # seconds for which a node that another site refuses leaves the speaking to others
ALONE = 2.0  # seconds after which a node that hears no neighbour has nothing to catch up with
NODES = 40  # of a report in one frame
UNKNOWN = -1  # what a forwarder holds, before it has said so
UP, READY, LEFT = 1, 2, 4  # what a report says of a node
EQUAL = 8  # its last heartbeat said the fingerprint of this report
WORD = 4  # bits below the five low ones of the word of its condition
DOUBTED = 1 << 9  # above those: most likely it is dead, its site will know in half a second
DIED = 10  # bits below how often its Asterisk has died


@dataclass(slots=True)
class Neighbour:
    """Another forwarder, of any site."""

    name: NodeName
    epoch: int
    site: str
    session: bytes
    nonce: int = 0
    proven: bool = False  # has answered our question: not a recording
    asked: int = 0
    deadline: float = float("inf")  # of a question, or of a doubt
    heard: float = float("-inf")  # when its last report came
    vector: int = UNKNOWN


class Sites:
    """This node's part in its site's way to the others."""

    def __init__(self, me: NodeName, epoch: int, site: str, members: Members, *, rng: Random):
        self.me, self.epoch, self.site = me, epoch, site
        self.linked = False  # our link to the other sites works
        self.settled = False  # we have held what a neighbour held, or have none
        self.forwarder: NodeName | None = None
        self.clock = 0  # seconds since 1970, for the next report
        self._members = members
        self._rng = rng
        self._neighbours: dict[NodeName, Neighbour] = {}
        self._reports: dict[str, tuple[NodeName, float]] = {}  # site → by whom, when, last
        self._silent: set[str] = set()  # sites that are told to be
        self._next_report = float("inf")
        self._alone_until = float("inf")
        self._aside_until = float("-inf")  # we do not speak: another site does not take what we say

    def __repr__(self) -> str:
        return f"Sites({self.site}, forwarder {self.forwarder}, {list(self._neighbours.values())})"

    def __iter__(self) -> Iterator[tuple[str, NodeName, float]]:
        """(site, reporter, when) of each other site's last report."""
        return iter([(site, *self._reports[site]) for site in sorted(self._reports)])

    @property
    def forwarding(self) -> bool:
        """We speak for our site."""
        return self.forwarder == self.me

    @property
    def candidate(self) -> bool:
        """We could: said in each heartbeat."""
        return self.linked and self.settled and self._aside_until == float("-inf")

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        due = min(self._next_report, self._alone_until)
        if self._aside_until > 0:
            due = min(due, self._aside_until)
        for neighbour in self._neighbours.values():
            due = min(due, neighbour.deadline)
        for site, (_, heard) in self._reports.items():
            if site not in self._silent:
                due = min(due, heard + SILENT)
        return due

    def proven(self, name: NodeName, epoch: int) -> bool:
        """May what this session says over the WAN be believed?"""
        known = self._neighbours.get(name)
        return known is not None and known.epoch == epoch and known.proven

    def heard(self, name: NodeName, now: float) -> list[Effect]:
        """A frame of a forwarder has come."""
        known = self._neighbours.get(name)
        return self._doubt(known, now) if known is not None else []

    def known(self, name: NodeName, epoch: int, session: bytes) -> bool:
        """Has this session introduced itself over the WAN?"""
        known = self._neighbours.get(name)
        return known is not None and (known.epoch, known.session) == (epoch, session)

    def forget(self, name: NodeName) -> None:
        """A node that is no member any more."""
        self._neighbours.pop(name, None)

    # --- our own site

    def started(self, epoch: int, now: float) -> None:
        """We are a member from now on, in this epoch."""
        self.epoch, self._alone_until = epoch, now + ALONE

    def link(self, now: float, *, up: bool) -> None:
        """The link has come or gone."""
        self.linked = up
        for neighbour in self._neighbours.values():
            neighbour.heard = float("-inf")  # what was said meanwhile is missing: compare at once
        if up:
            self._next_report = now

    def step_aside(self, now: float) -> None:
        """Another site refuses us: let a node speak whom it may take, so that both hear why."""
        self._aside_until = now + ASIDE

    def elect(self, now: float, greeting: Hello) -> list[Effect]:
        """Who forwards now? To be asked whenever members, links or settledness may have changed.

        `greeting` is our Hello that asks for the others'.
        """
        able = [m.name for m in self._members if self._here(m) and m.reachable and m.relays]
        candidates = [*able, self.me] if self.candidate else able
        key = f"forwarder {self.site}"
        chosen = max(candidates, key=lambda name: score(name, 1, key), default=None)
        if chosen == self.forwarder:
            return []
        before, self.forwarder = self.forwarder, chosen
        told = Note("forwarder", (("site", self.site), ("node", chosen or "none")))
        if self.forwarding:
            self._next_report = now
            return [WanListen(True), Forward(greeting), told]
        self._next_report = float("inf")
        if before == self.me:
            self._neighbours.clear()
            return [WanListen(False), told]
        return [told]

    def changed(self, now: float) -> None:
        """Something that reports tell has changed: tell it soon."""
        if self.forwarding:
            self._next_report = min(self._next_report, now + HASTE)

    def speaker(self, site: str) -> NodeName | None:
        """Who spoke for another site when it was last heard; None while it is silent."""
        reporter, _ = self._reports.get(site, (None, 0.0))
        return None if site in self._silent else reporter

    def ours(self, origin: NodeName) -> bool:
        """Is this a node of our own LAN, as far as known?"""
        member = self._members.get(origin)
        return origin == self.me or (member is not None and self._here(member))

    # --- other sites

    def meet(self, hello: Hello, ours: Hello, now: float, session: bytes = b"") -> list[Effect]:
        """Another forwarder has introduced itself over the WAN: answer, and ask for a proof that it lives."""
        name = NodeName(hello.name)
        known = self._neighbours.get(name)
        if known is not None and known.epoch > hello.epoch:
            return []
        answer: list[Effect] = [SendTo(wan(name), ours)] if hello.ask else []
        if known is not None and (known.epoch, known.session) == (hello.epoch, session):
            if answer and not known.proven and known.asked < PROOFS:
                return answer + self._question(known, now)  # ours came from a stranger, to it
            return answer + self._doubt(known, now)
        known = self._neighbours[name] = Neighbour(name, hello.epoch, hello.site, session)
        return (answer or [SendTo(wan(name), ours)]) + self._question(known, now)

    def answered(self, name: NodeName, epoch: int, nonce: int, now: float) -> list[Effect]:
        """The proof has come. What it has to hear of us, it shall hear at once."""
        known = self._neighbours.get(name)
        if known is None or known.epoch != epoch or known.nonce != nonce or known.proven:
            return []
        known.proven, known.heard, known.deadline = True, now, float("inf")
        known.vector = UNKNOWN  # its first report is compared at once
        self._next_report = min(self._next_report, now)
        return [CloseSessionPast(known.session)]

    def reported(
        self, report: SiteReport, reporter: NodeName, fingerprint: int, now: float
    ) -> list[Effect]:
        """A site's report, from its forwarder or passed on by ours: its verdict on its own nodes is ours."""
        neighbour = self._neighbours.get(reporter)
        if neighbour is not None and neighbour.proven:
            fresh = neighbour.vector == UNKNOWN
            neighbour.heard, neighbour.vector = now, report.vector
            if report.vector == fingerprint:
                neighbour.deadline = float("inf")
            elif neighbour.deadline == float("inf"):
                neighbour.deadline = now if fresh else now + DOUBT
        if report.site == self.site:
            return []  # another half of our own LAN: we see for ourselves
        effects: list[Effect] = []
        if report.site not in self._reports or report.site in self._silent:
            self._silent.discard(report.site)
            effects.append(Note("site heard", (("site", report.site), ("by", reporter))))
        self._reports[report.site] = (reporter, now)
        for name, epoch, flags in report.nodes:
            effects += self._members.reported(
                NodeName(name),
                epoch,
                report.site,
                _verdict(flags),
                condition=_condition(flags),
                until=now + SILENT,
                now=now,
            )
        return effects

    def namesake(self, report: SiteReport, me: NodeName) -> int:
        """The epoch of a living node of another site that has our name; 0 if there is none."""
        if report.site == self.site:
            return 0
        return max((e for n, e, flags in report.nodes if n == me and flags & UP), default=0)

    def tick(
        self, now: float, fingerprint: int, condition: Condition
    ) -> tuple[list[Effect], list[Address]]:
        """What is due: reports and questions to send, and forwarders to compare vectors with."""
        if now >= self._aside_until:
            self._aside_until = float("-inf")
        if now >= self._alone_until:
            self.settled |= not any(not m.away and m.up for m in self._members)
            self._alone_until = float("inf") if self.settled else now + ALONE
        effects: list[Effect] = []
        if now >= self._next_report:
            pause = CALL if self._missed(now) else REPORT
            self._next_report = now + pause if self.forwarding else float("inf")
            if self.forwarding and self.linked:
                effects += [Forward(report) for report in self._report(fingerprint, condition)]
        for site, reporter, heard in self:
            if now >= heard + SILENT and site not in self._silent:
                self._silent.add(site)
                silent = (("site", site), ("by", reporter), ("silent", round(now - heard, 3)))
                effects.append(Note("site silent", silent, "warning"))
        compare: list[Address] = []
        for name, neighbour in list(self._neighbours.items()):
            if neighbour.deadline > now:
                continue
            neighbour.deadline = float("inf")
            if neighbour.proven:
                if neighbour.vector != fingerprint:
                    compare.append(wan(name))
            elif neighbour.asked < PROOFS:
                effects += self._question(neighbour, now)
            else:
                del self._neighbours[name]
        return effects, compare

    # --- helpers

    def _here(self, member: Member) -> bool:
        """Is it of our site? Who was met in our LAN but says that it is of another one speaks for itself there."""
        return not member.away and member.site == self.site

    def _missed(self, now: float) -> bool:
        """Is a site overdue that may be back any moment? Our link need not notice: the cut may lie beyond the hub."""
        return any(REPORT + 1.0 < now - heard < CALLED for _, _, heard in self)

    def _question(self, neighbour: Neighbour, now: float) -> list[Effect]:
        neighbour.proven, neighbour.asked = False, neighbour.asked + 1
        neighbour.nonce, neighbour.deadline = self._rng.getrandbits(32), now + PROOF
        return [SendTo(wan(neighbour.name), Probe(neighbour.nonce))]

    def _doubt(self, neighbour: Neighbour, now: float) -> list[Effect]:
        """Who was silent for long is asked anew: what comes now may have been recorded before."""
        if not neighbour.proven or now - neighbour.heard <= SILENT:
            return []
        neighbour.asked = 0
        return self._question(neighbour, now)

    def _report(self, fingerprint: int, condition: Condition) -> Iterable[SiteReport]:
        nodes = [(str(self.me), self.epoch, EQUAL | _living(condition))]
        for member in self._members:
            if self._here(member) and member.state is not State.NEW:
                flags = _living(member.condition) if member.up else 0
                flags = LEFT if member.state is State.LEFT else flags
                flags |= EQUAL if member.up and member.vector == fingerprint else 0
                flags |= DOUBTED if member.state is State.SUSPECT else 0
                nodes.append((member.name, member.epoch, flags))
        for i in range(0, len(nodes), NODES):
            told = tuple(nodes[i : i + NODES])
            yield SiteReport(self.site, fingerprint, told, clock=self.clock)


def _living(condition: Condition) -> int:
    low = replace(condition, deaths=0).word << WORD
    return UP | (READY if condition.ready else 0) | low | condition.deaths << DIED


def _condition(flags: int) -> Condition:
    low = flags >> WORD & (1 << 5) - 1
    return replace(Condition.of(bool(flags & READY), low), deaths=flags >> DIED & DEATHS - 1)


def _verdict(flags: int) -> State:
    if flags & UP:
        return State.SUSPECT if flags & DOUBTED else State.ALIVE
    return State.LEFT if flags & LEFT else State.DOWN
