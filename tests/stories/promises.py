"""What callers may rely on, held against what was: who is ready is rung, and in time; who has answered talks.

A call must come about if, from SETTLED seconds before it until it has, its own node and that of the phone lived, Asterisk and
daemon, and not everything between the two was cut; and if the phone was free all that while. The same holds wherever the call
goes on, by a forward or by the phone's own word, as soon as that is decided, and for each of several that ring together.

PROMPT is for a network that loses nothing; what is lost is said again after half a second, and after a second more. Where one
kind of trunk is blocked the other one is tried after LIFE seconds. It is not owed

    to a caller who hangs up before, or is transferred, or is answered by another phone
    to a call of which ARI has declined something, or has not answered: that may cost a try, and there may be no other
    where several ring together in handover, and a trunk is blocked: Dial takes no new leg (docs/limits.md)
    after a word that had to pass where a trunk is blocked: SIP says it again, for up to 32 seconds
    in queues: when a member's turn comes depends on all other calls (lines.py)
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pbxfed_ari.core.calls.setup import HELD_AFAR, LIFE
from pbxfed_ari.core.records.objects.did import Did
from pbxfed_ari.core.records.objects.extension import Phone as Described
from pbxfed_ari.core.records.objects.group import ALL, HUNT, Group
from pbxfed_ari.core.records.objects.queue import Queue

if TYPE_CHECKING:
    from tests.stories.exchange import Telephony
    from tests.stories.pbx import Attempt, Phone, Ring

SETTLED = 3.0  # seconds after a death or a cut until all is as if it had not been
SETTLED_AFAR = 10.0  # the same between sites
PROMPT = 0.5  # seconds until it rings
LOSSY = 2.0  # the same where frames are lost: twice the same one
TALKS = 2.0  # seconds after which who has answered must have been heard
WHATS = ("daemon", "asterisk", "deaf", "laden")  # of a node, that may stand in the way
HOPS = 5  # forwards that a call follows
Window = tuple[float, float]
RING = 30  # seconds, of who says nothing of it


class Spells:
    """The times in which something was so."""

    def __init__(self) -> None:
        self._spells: list[list[float]] = []

    def __repr__(self) -> str:
        return f"Spells({self._spells})"

    def set(self, so: bool, now: float) -> None:
        """It is so from now on, or is not."""
        on = bool(self._spells) and self._spells[-1][1] == float("inf")
        if so and not on:
            self._spells.append([now, float("inf")])
        elif on and not so:
            self._spells[-1][1] = now

    def touch(self, since: float, until: float) -> bool:
        """Was it so at any time within this?"""
        return any(began <= until and since < ended for began, ended in self._spells)

    def fill(self, since: float, until: float) -> bool:
        """Was it so all the time?"""
        return any(began <= since and until <= ended for began, ended in self._spells)

    def began(self, at: float) -> float:
        """Since when was it so then? That moment itself, if it was not."""
        return next((began for began, ended in self._spells if began <= at <= ended), at)

    def within(self, since: float, until: float) -> list[Window]:
        """When it was so, as far as it touches this."""
        return [(began, ended) for began, ended in self._spells if began < until and since < ended]


class History:
    """What stood in the way of calls, and when."""

    def __init__(self) -> None:
        self.of: defaultdict[tuple[object, ...], Spells] = defaultdict(Spells)
        self.sites: Mapping[str, str] = {}  # of each node; none: all are in one

    def well(self, nodes: Sequence[str], since: float, until: float) -> bool:
        """Did these live, and hear the first of them?"""
        if len({self.sites.get(node) for node in nodes}) > 1:  # word goes by other nodes
            nodes = [*nodes, *self.sites]
            since -= SETTLED_AFAR - SETTLED
        since -= SETTLED
        ways = [("way", frozenset((nodes[0], node))) for node in nodes]
        ends = [(what, node) for node in nodes for what in WHATS]
        blocked = any(self.blocked(nodes[0], node, since, until) > 1 for node in nodes)
        return not blocked and not any(self.of[key].touch(since, until) for key in (*ways, *ends))

    def blocked(self, one: str, other: str, since: float, until: float) -> int:
        """How many kinds of trunk were, at any time."""
        pair = frozenset((one, other))
        return sum(self.of["trunk", kind, pair].touch(since, until) for kind in ("sip", "iax2"))


class Promises:
    """What was owed in one story, and not kept."""

    def __init__(self, world: "Telephony") -> None:
        self.world, self.history = world, world.history
        self.phones: dict[str, list[Phone]] = defaultdict(list)
        for phone in world.phones.values():
            self.phones[phone.number].append(phone)

    def broken(self) -> list[str]:
        """Each in words."""
        return [*self._rings(), *self._talks()]

    # --- who is ready is rung

    def _rings(self) -> Iterator[str]:
        for one in (*self.world.attempts, *self.world.transferred):
            drains = self.history.of["drains", one.at.name]
            if one.by or one.caller.outside or not drains.touch(one.began, one.began + PROMPT):
                if not one.troubled:
                    yield from self._way(one)
            elif drains.fill(
                one.began - PROMPT, one.began
            ):  # it says so to its phones, if it lives
                rings = [] if self.world.was_alone(one.at.name, one.began) else one.rings
                yield from (f"drains, and {one.caller} rings {r.phone}: {r.at:.3f}" for r in rings)

    def _way(self, one: "Attempt") -> Iterator[str]:
        """From number to number, as far as it is certain what must happen: decided is each between two moments."""
        number, when, via, path = one.number, (one.began, one.began), one.at.name, list[str]()
        if (
            isinstance(did := self.world.item(number, "did"), Did)
            and number not in self.world.edited
        ):
            number = did.destination
        if (one.by or one.caller.number) in self.world.barred:
            return
        while number not in path and len(path) <= HOPS and number not in self.world.edited:
            item = self.world.item(number)
            if isinstance(item, Group | Queue):
                yield from self._several(one, item, path, when, via)
                return
            if item is None:
                for phone in self.phones[number]:
                    yield from self._owed(one, phone, when, via, several=False)
            if not isinstance(item, Described):
                return
            if item.forward_always:
                path.append(number)
                number = item.forward_always
                continue
            phones = self.phones[number]
            for phone in phones:
                yield from self._owed(one, phone, when, via, several=len(phones) > 1)
            if len(phones) > 1:
                return
            outcome, when = self._outcome(one, phones[0], when, via, item.ring_seconds or RING)
            to = getattr(item, f"forward_{outcome}", outcome)
            path.append(number)
            if not to:
                return
            number, via = to, phones[0].was_at(when[0])

    def _several(
        self, one: "Attempt", item: Group | Queue, path: list[str], when: Window, via: str
    ) -> Iterator[str]:
        if not isinstance(item, Group):
            return
        payer = path[-1] if path else one.by or one.caller.number
        members = [member for member in item.members if member != payer]
        if item.strategy != ALL:
            yield from self._in_turn(one, item, members, when, via)
            return
        for member in members:
            for phone in self.phones[member]:
                yield from self._owed(one, phone, when, via, several=True)

    def _in_turn(
        self, one: "Attempt", item: Group, members: list[str], when: Window, via: str
    ) -> Iterator[str]:
        """One after the other, as far as it is certain when: in what order they rang, if that is not said.

        Who did not ring then, and was busy for a while, may have been asked in that, before any other: by a blocked trunk
        that takes its time. Nothing is certain if somebody is out of reach when the call comes.
        """
        phones = [phone for m in members for phone in self.phones[m]]
        ends = [(one.at.name, phone.was_at(one.began)) for phone in phones]
        if not all(self.history.well(two, one.began, one.began) for two in ends):
            return
        rang = {ring.phone.number: ring.at for ring in reversed(one.rings)}
        late = 0.0
        if item.strategy != HUNT:
            members = sorted(members, key=lambda member: rang.get(member, float("inf")))
            unheard = [p for m in members if m not in rang for p in self.phones[m]]
            late = (LIFE + PROMPT) * sum(self._is_slow(one, phone) for phone in unheard)
        for member in members:
            phones = self.phones[member]
            busy = [self.history.of["engaged", phone.uri] for phone in phones]
            asked = any(spells.touch(one.began, when[1] + LOSSY) for spells in busy)
            if item.strategy != HUNT and member not in rang and asked:
                continue
            if self._is_limited(member, one.began, when[1] + LOSSY):
                return  # whoever was so when he was looked for is looked for again
            when = when[0], when[1] + late
            for phone in phones:
                yield from self._owed(one, phone, when, via, several=len(phones) > 1)
            if len(phones) > 1:
                return
            outcome, when = self._outcome(one, phones[0], when, via, item.ring_seconds or RING)
            if not outcome:
                return
            via = phones[0].was_at(when[0])

    def _is_limited(self, number: str, since: float, until: float) -> bool:
        """Had it all the calls that it may have? With one at most any of its phones counts."""
        item = self.world.item(number)
        engaged = (self.history.of["engaged", one.uri] for one in self.phones[number])
        limited = isinstance(item, Described) and item.call_limit == 1
        return limited and any(spells.touch(since, until) for spells in engaged)

    def _is_slow(self, one: "Attempt", phone: "Phone") -> bool:
        """May a trunk to it be blocked when it is asked?"""
        ends = one.at.name, phone.was_at(one.began)
        return bool(self.history.blocked(*ends, one.began - SETTLED, one.ended or self.world.now))

    def _owed(
        self, one: "Attempt", phone: "Phone", when: Window, via: str, *, several: bool
    ) -> Iterator[str]:
        since, by = self._due(one, phone, when)
        if self._ring(one, phone, when) is not None or self._left(one, by):
            return
        if phone.number in self.world.edited:
            return
        engaged = self.history.of["engaged", phone.uri].touch(since, by)
        busy = phone.manner == "busy" or engaged or self._is_limited(phone.number, since, by)
        if busy or not self._well(one, phone, when, via, several=several):
            return
        rang = [f"{ring.at:.3f}" for ring in one.rings if ring.phone is phone]
        what = f"only at {rang}" if rang else "not at all"
        yield (
            f"not rung: {phone} of {phone.was_at(since)}, ready from {since:.3f} to {by:.3f}, {what}:"
            f" {one.caller} of {one.at.name} → {one.number} at {one.began:.3f},"
            f" ended {one.ended or 0:.3f} with {one.cause}"
        )

    def _ring(self, one: "Attempt", phone: "Phone", when: Window) -> "Ring | None":
        since, until = self._due(one, phone, when)
        found = (ring for ring in one.rings if ring.phone is phone)
        return next((ring for ring in found if since <= ring.at <= until), None)

    def _outcome(
        self, one: "Attempt", phone: "Phone", when: Window, via: str, seconds: int
    ) -> tuple[str, Window]:
        """As the fields of an extension name it, or the number to which the phone sends it on; and when. "" if nobody knows."""
        ring, due = self._ring(one, phone, when), self._due(one, phone, when)
        if ring is None:
            busy = phone.manner == "busy" or self.history.of["engaged", phone.uri].fill(*due)
            return ("busy" if busy and self._well(one, phone, when, via) else ""), due
        out = phone.manner == "rings" or phone.after > seconds
        at = ring.at + (seconds if out else phone.after)
        fell = (
            ("moved", phone.uri),
            ("asterisk", ring.by),
            ("way", frozenset((one.at.name, ring.by))),
        )
        if any(self.history.of[key].touch(ring.at, at) for key in fell):
            return "", due  # it may have rung elsewhere since, or be heard late
        if out:
            return "no_answer", (when[0] + seconds, at)
        if phone.manner == one.caller.number:  # nobody is sent to himself
            return "unreachable", (at, at)
        how = {"answers": "", "declines": "busy"}.get(phone.manner, phone.manner)
        return how, (at, at)

    def _left(self, one: "Attempt", by: float) -> bool:
        """Had its caller hung up, or was sent elsewhere, or somebody answered?"""
        answered = any(of is one and at <= by for of, _, at, _ in self.world.answers)
        return answered or any(one.began <= at <= by for at in one.caller.acted)

    def _due(self, one: "Attempt", phone: "Phone", when: Window) -> Window:
        bound = LOSSY if self.world.network.loss else PROMPT
        ends = one.at.name, phone.was_at(when[0])
        if self.history.blocked(*ends, when[0] - SETTLED, when[1] + bound + LIFE):
            bound += LIFE
        if self.world.skews and len({self.history.sites.get(end) for end in ends}) > 1:
            bound += (
                HELD_AFAR  # nothing is refused by a clock of another site, but its sender is asked
            )
        return when[0] - 0.01, when[1] + bound

    def _well(
        self, one: "Attempt", phone: "Phone", when: Window, via: str, *, several: bool = False
    ) -> bool:
        since, until = self._due(one, phone, when)
        here, there = one.at.name, phone.was_at(since)
        caller = one.caller.was_at(one.began)
        if self.history.of["moved", phone.uri].touch(since - SETTLED, until):
            return False
        if not self.history.well((here,), one.began, until):
            return False  # somebody else has looked after it
        if self.history.blocked(here, via, since - SETTLED, until):
            return False  # the word that it goes on came late
        waits = several and self.world.control[here] == "handover"
        if waits and self.history.blocked(here, there, since - SETTLED, until):
            return False  # Dial takes no new leg: docs/limits.md
        return self.history.well((here, there, via, caller), since, until)

    # --- who has answered talks

    def _talks(self) -> Iterator[str]:
        taken = [  # he talks, or had and has ended it
            (one, phone, at)
            for one, phone, at, talks in self.world.answers
            if talks or any(at < t <= at + TALKS for t in phone.acted)
        ]
        for one, phone, at, talks in self.world.answers:
            by, others = at + TALKS, [(of, t) for of, he, t in taken if he is not phone]
            if talks or one.troubled or any(of is one and abs(t - at) < TALKS for of, t in others):
                continue  # or another phone was as fast
            acted = [*(t for t in one.caller.acted if t >= one.began), *phone.acted]
            if any(t <= by for t in acted if t >= one.began):
                continue
            apart = bool(one.by) or isinstance(self.world.item(one.number), Queue)
            apart |= any(r.instead and r.answered == at for r in one.rings)  # by way of anybody
            here, away = one.at.name, [phone.was_at(at), one.caller.was_at(one.began)]
            nodes = [*away, *(self.world.nodes if apart else ())]
            ways = [(node, other) for node in {here, *nodes} for other in {*nodes}]
            blocked = any(self.history.blocked(*way, at - SETTLED, by) for way in ways)
            if blocked or not all(self.history.well(way, one.began, by) for way in ways):
                continue
            yield (
                f"no talk: {phone} has answered {one.caller} of {one.at.name} at {at:.3f};"
                f" the call ended {one.ended or 0:.3f} with {one.cause}"
            )
