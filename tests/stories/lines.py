"""What who waits in a queue may rely on, and who calls a group that rings in turn, held against what was.

In a queue (docs/objects.md, decision 36): who came first is served first, at each node; a member who is free is rung as soon as
somebody waits; who is rung in vain is left alone for a while; nobody waits longer than the queue says, nor is hung up before;
nobody is connected to two, or has somebody rung while he talks. A daemon that loses its websocket keeps all places; one that
dies takes who waits anew, at the end of the line (docs/limits.md): then he waits since then.

In a group (docs/objects.md): one after the other, in order, each for his time, and nobody rings while another one does. That
each who is ready is rung when his turn comes is held by promises.py, and that nobody is rung twice by storm.py.

It is not owed where something stood in the way: a death, a cut, a blocked trunk, something that ARI has declined. Nor is a
member free whose last call was cut: his node learns of its end within LONGEST.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from pbxfed_ari.core.calls.setup import LIFE
from pbxfed_ari.core.records.objects.extension import Phone as Described
from pbxfed_ari.core.records.objects.group import ALL, HUNT, Group
from pbxfed_ari.core.records.objects.queue import Queue
from pbxfed_ari.core.records.objects.room import Room
from tests.stories.promises import LOSSY, PROMPT, SETTLED, TALKS, Window

if TYPE_CHECKING:
    from tests.stories.exchange import Telephony
    from tests.stories.pbx import Attempt, Phone, Ring, Wait

LONGEST = 50.0  # seconds
LOOK = 0.5  # seconds until who waits is looked at again
RETURNED = 2.5  # seconds until a daemon that comes back has taken anew who waits
LATER = 0.05  # seconds: who has come so much later has come later
MOMENT = 0.3  # seconds for what is said between nodes
SLACK = 3.0  # seconds


class Lines:
    """What was not kept."""

    def __init__(self, world: "Telephony") -> None:
        self.world, self.history = world, world.history
        self.all = [*world.attempts, *world.transferred]
        self.waits = [wait for wait in world.waits if wait.number not in world.edited]

    def broken(self) -> list[str]:
        """Each in words."""
        queues = [*self._order(), *self._served(), *self._patience(), *self._rests()]
        return [*queues, *self._anew(), *self._one(), *self._turns()]

    # --- queues

    def _queue(self, number: str) -> Queue:
        item = self.world.item(number)
        assert isinstance(item, Queue)
        return item

    def _order(self) -> Iterator[str]:
        """First come, first served."""
        for wait in self.waits:
            for ring in self._rings(wait):
                when = wait.rung.began(ring.at)
                for other in self.waits:
                    if self._is_before(other, wait, when):
                        yield (
                            f"out of turn: {ring.phone} rings at {ring.at:.3f} for {_who(wait)},"
                            f" before {_who(other)}"
                        )

    def _is_before(self, one: "Wait", other: "Wait", when: float) -> bool:
        same = (one.node, one.number) == (other.node, other.number)
        if not same or one.since > other.came - LATER or one.attempt.troubled:
            return False
        since = when - LOOK - MOMENT
        stands = one.since < since and when < one.until and not one.rung.touch(since, when)
        return stands and self._hears(one.node.name, since, when)

    def _rings(self, wait: "Wait") -> list["Ring"]:
        """The phones that ring for him in the queue."""
        members = self._queue(wait.number).members
        rings = (ring for ring in wait.attempt.rings if ring.phone.number in members)
        return [ring for ring in rings if wait.since <= ring.at <= wait.until]

    def _served(self) -> Iterator[str]:
        """Nobody is free for long while somebody waits."""
        for wait in self.waits:
            item = self._queue(wait.number)
            longest = item.retry_seconds + LOOK + LOSSY + LIFE
            until = min(wait.until, wait.since + item.wait_seconds)
            rung = [wait]
            if (
                item.strategy == ALL
            ):  # who has refused counts as rung as long as the others are: docs/limits.md
                rung = [w for w in self.waits if w.node is wait.node]
            for member in {*item.members} - self.world.edited:
                blocked = [spell for one in rung for spell in one.rung.within(wait.since, until)]
                for phone in self._phones(member):
                    blocked += self._not_free(wait.node.name, phone)
                    blocked += self._sent_on(wait.node.name, phone)
                gap = _longest(wait.since, until, blocked)
                if gap is not None and gap[1] - gap[0] > longest:
                    yield f"free: {member} from {gap[0]:.3f} to {gap[1]:.3f}, while {_who(wait)} waits"

    def _phones(self, number: str) -> list["Phone"]:
        return [phone for phone in self.world.phones.values() if phone.number == number]

    def _not_free(self, here: str, phone: "Phone") -> list[Window]:
        ever = 0.0, float("inf")
        if phone.manner == "busy":
            return [ever]
        found = self.history.of["engaged", phone.uri].within(*ever)
        for _, there in phone.homes:
            found += self._trouble(here, there)
        moved = self.history.of["moved", phone.uri].within(*ever)
        found += [(began - SETTLED, ended + LONGEST) for began, ended in moved[1:]]
        for one in self.all:
            concerned = one.number == phone.number or any(r.phone is phone for r in one.rings)
            if one.troubled and (concerned or self._is_queue(one.number)):
                found.append((one.began, float("inf")))
        return found

    def _sent_on(self, here: str, phone: "Phone") -> list[Window]:
        """Who has talked with him through this node, at another one, counts as his until he hangs up: docs/limits.md."""
        waited = [wait.attempt for wait in self.world.waits if wait.node.name == here]
        through = [one for one in self.all if one in waited or one.at.name == here]
        return [
            (ring.answered, (not one.passed_on and one.ended) or float("inf"))
            for one in through
            for ring in one.rings
            if ring.phone is phone and ring.by != here
        ]

    def _trouble(self, here: str, there: str) -> list[Window]:
        """When something stood between a queue and a member, and how long it may be felt."""
        of, pair, ever = self.history.of, frozenset((here, there)), (0.0, float("inf"))
        ends = [(what, node) for what in ("daemon", "deaf") for node in (here, there)]
        lasting = [("asterisk", here), ("asterisk", there), ("way", pair)]
        lasting += [("laden", here), ("laden", there)]
        trunks = [("trunk", kind, pair) for kind in ("sip", "iax2")]
        return [
            (began - SETTLED, ended + after)
            for keys, after in ((ends, SETTLED), (lasting, LONGEST), (trunks, LONGEST))
            for key in keys
            for began, ended in of[key].within(*ever)
        ]

    def _is_queue(self, number: str) -> bool:
        return isinstance(self.world.item(number), Queue)

    def _patience(self) -> Iterator[str]:
        """Nobody waits for ever, nor is he hung up before his time."""
        for wait in self.waits:
            item, one, until = (
                self._queue(wait.number),
                wait.attempt,
                min(wait.until, self.world.now),
            )
            waited, ended = (
                until - wait.since,
                one.ended is not None and one.ended <= until + MOMENT,
            )
            if one.troubled or not self._hears(wait.node.name, wait.since, until):
                continue
            if waited > item.wait_seconds + item.ring_seconds + SLACK:
                yield f"waits too long: {_who(wait)}, for {waited:.1f} s"
            acted = any(wait.since <= at <= until + MOMENT for at in self._acts(wait))
            ends = [
                one.caller.was_at(one.began),
                *(r.phone.was_at(r.at) for r in self._taken(wait)),
            ]
            ways = [way for end in ends for way in self._trouble(end, wait.node.name)]
            stood = any(began < until and wait.since < till for began, till in ways)
            if ended and not acted and not stood and waited < item.wait_seconds - MOMENT:
                yield f"hung up: {_who(wait)} after {waited:.1f} s, with {one.cause}"

    def _acts(self, wait: "Wait") -> list[float]:
        """When who waits did something himself, or who was rung for him and had answered."""
        taken = self._taken(wait)
        theirs = [at for ring in taken for at in ring.phone.acted if at >= ring.answered]
        return [*wait.attempt.caller.acted, *theirs]

    def _taken(self, wait: "Wait") -> list["Ring"]:
        """Who was rung for him and has answered."""
        return [ring for ring in self._rings(wait) if ring.answered <= wait.until]

    def _anew(self) -> Iterator[str]:
        """Who waits when the daemon dies, and nobody is rung for him just then, waits again when it is back."""
        for wait in self.waits:
            name, one = wait.node.name, wait.attempt
            back = next(
                (until for since, until in self.world.away[name] if since == wait.until), None
            )
            if back is None or wait.rung.touch(wait.until, wait.until) or one.troubled:
                continue
            by = back + RETURNED
            fell = any(self.history.of[w, name].touch(back, by) for w in ("daemon", "deaf"))
            fell = fell or self.history.of["asterisk", name].touch(wait.until, by)
            gone = one.ended is not None and one.ended < back
            acted = any(wait.until <= at <= by for at in one.caller.acted)
            again = any(w.attempt is one and back <= w.since <= by for w in self.waits)
            if not (fell or gone or acted or again) and by < self.world.now:
                yield f"not taken anew: {_who(wait)}, whose daemon was back at {back:.3f}"

    def _rests(self) -> Iterator[str]:
        """Who was rung in vain is left alone."""
        for number in {wait.number for wait in self.waits}:
            rests = self._queue(number).retry_seconds - MOMENT
            found = [(r, w) for w in self.waits if w.number == number for r in self._rings(w)]
            found.sort(key=lambda one: one[0].at)
            for phone in {ring.phone for ring, _ in found}:
                mine = [one for one in found if one[0].phone is phone]
                for (ring, wait), (later, after) in pairwise(mine):
                    early = wait.node is after.node and later.at - ring.until < rests
                    if not early or not self._in_vain(ring, wait, later.at):
                        continue
                    if self._well(wait.node.name, phone, wait.since, later.at):
                        until = f"{ring.until:.3f}"
                        yield f"no rest: {phone} rings at {later.at:.3f}, rang in vain until {until}"

    def _in_vain(self, ring: "Ring", wait: "Wait", later: float) -> bool:
        """Not if its caller had gone, or somebody else had answered; of several, until then: docs/limits.md."""
        over = min([wait.until, *(other.answered for other in wait.attempt.rings)])
        until = later if self._queue(wait.number).strategy == ALL else ring.until + MOMENT
        return until < over and not wait.attempt.troubled and not ring.unasked

    # --- queues and groups

    def _one(self) -> Iterator[str]:
        """Who talks with one talks with nobody else, and nobody else is rung for him."""
        for one in self.all:
            if one.troubled or not isinstance(self.world.item(one.number), Queue | Group):
                continue
            for first, other in combinations(one.rings, 2):
                if first.phone is other.phone:
                    continue
                taken = max(first.answered, other.answered)
                both = min(first.until, other.until) - taken
                rung = max(first.at, other.at)
                talks = min(first.answered, other.answered)
                whose = first if first.answered < other.answered else other
                anew = talks + TALKS < rung < whose.until
                if (both > TALKS or anew) and self._all_well(
                    one, (first, other), taken if both > TALKS else rung
                ):
                    yield f"two: {first.phone} and {other.phone} for {_named(one)}, at {taken:.3f}"

    def _turns(self) -> Iterator[str]:
        """In a group: one after the other, in order, each for his time."""
        for one in self.all:
            item = self.world.item(one.number)
            if (
                not isinstance(item, Group)
                or item.strategy == ALL
                or one.troubled
                or one.number in self.world.edited
            ):
                continue
            mine = [ring for ring in one.rings if ring.phone.number in item.members]
            mine = [ring for ring in mine if not ring.instead and not ring.unasked]
            lasts = (
                LOSSY if self.world.network.loss else MOMENT
            )  # until a phone hears that it is over
            for ring, later in pairwise(mine):
                at_once = later.at < ring.until - lasts and ring.phone.number != later.phone.number
                places = [item.members.index(which.phone.number) for which in (ring, later)]
                free = not self._was_engaged(later.phone, one.began)
                order = item.strategy == HUNT and places[0] > places[1] and free
                if (at_once or order) and self._all_well(one, (ring, later), later.at):
                    how = "at once" if at_once else "out of order"
                    yield f"{how}: {ring.phone} and {later.phone} at {later.at:.3f} for {_named(one)}"
            for ring in mine:
                yield from self._its_time(one, ring, item.ring_seconds)

    def _was_engaged(self, phone: "Phone", when: float) -> bool:
        """Then he is passed over, if his extension may have no call more, and looked for again."""
        item = self.world.item(phone.number)
        limited = isinstance(item, Described) and item.call_limit > 0
        theirs = [self.history.of["engaged", one.uri] for one in self._phones(phone.number)]
        return limited and any(spells.touch(when, when) for spells in theirs)

    def _its_time(self, one: "Attempt", ring: "Ring", seconds: int) -> Iterator[str]:
        decides = ring.phone.after < seconds + MOMENT and ring.phone.manner != "rings"
        ended = min([one.ended or float("inf"), *(t for t in one.caller.acted if t >= one.began)])
        until = min(ring.until, self.world.now)
        acted = any(abs(at - until) < MOMENT for at in ring.phone.acted)
        if decides or acted or not self._all_well(one, (ring,), until):
            return
        lasted = until - ring.at
        taken = any(other.answered <= until for other in one.rings)  # by another device of his, too
        late = LOSSY if self.world.network.loss else MOMENT  # it heard of the call
        short = lasted < seconds - late and ended > until + MOMENT and not taken
        if short or lasted > seconds + LOSSY:
            yield f"not his time: {ring.phone} from {ring.at:.3f} to {until:.3f} for {_named(one)}"

    # --- what stood in the way

    def _hears(self, node: str, since: float, until: float) -> bool:
        """Has this daemon lived, with its Asterisk, and heard it?"""
        keys = [(what, node) for what in ("daemon", "asterisk", "deaf")]
        return not any(self.history.of[key].touch(since - SETTLED, until) for key in keys)

    def _well(self, here: str, phone: "Phone", since: float, until: float) -> bool:
        there = phone.was_at(since)
        if self.history.of["moved", phone.uri].touch(since - SETTLED, until):
            return False
        if self.history.blocked(here, there, since - SETTLED, until):
            return False
        hears = all(self._hears(node, since, until) for node in (here, there))
        return hears and self.history.well((here, there), since, until)

    def _all_well(self, one: "Attempt", rings: Iterable["Ring"], until: float) -> bool:
        """Between all who may have a part in it: a queue stands anywhere."""
        here = {
            one.at.name,
            one.caller.was_at(one.began),
            *(w.node.name for w in self.world.waits if w.attempt is one),
        }
        return all(
            self._well(node, ring.phone, one.began, until) for node in here for ring in rings
        )


class Rooms:
    """What who calls a conference room may rely on (core/rooms.py).

    He is in it at once, with all who are in it, and stays there until he hangs up. Not owed while anything stands in the way
    anywhere: then the room may begin once more, at another node.
    """

    def __init__(self, world: "Telephony") -> None:
        self.world, self.history = world, world.history

    def broken(self) -> list[str]:
        """Each in words."""
        return [*self._lets_in(), *self._apart(), *self._thrown_out()]

    def _lets_in(self) -> Iterator[str]:
        late = LOSSY if self.world.network.loss else PROMPT
        for one in (*self.world.attempts, *self.world.transferred):
            ways = [(one.at.name, node) for node in self.world.nodes]
            slow = any(self.history.blocked(*way, one.began - SETTLED, one.began) for way in ways)
            by = one.began + late + LIFE * slow  # by the other kind of trunk
            if not isinstance(self.world.item(one.number), Room) or one.troubled:
                continue
            acted = any(one.began <= at <= by for at in one.caller.acted)
            drains = self.history.of["drains", one.at.name].touch(one.began, by)
            if acted or drains or by > self.world.now or not self._all_well(one.began, by):
                continue
            if not any(v.attempt is one and v.since <= by for v in self.world.visits):
                yield f"not let in: {_named(one)}, ended {one.ended} with {one.cause}"

    def _apart(self) -> Iterator[str]:
        visits = [visit for visit in self.world.visits if not visit.attempt.troubled]
        for one, other in combinations(visits, 2):
            since, then = sorted((one.since, other.since))
            both = then < min(one.until, other.until) and one.number == other.number
            apart = both and one.node != other.node and then - since > MOMENT
            if apart and self._all_well(since, then):
                who = (f"{_named(visit.attempt)} at {visit.node}" for visit in (one, other))
                yield f"apart: {' and '.join(who)}"

    def _thrown_out(self) -> Iterator[str]:
        for one in self.world.visits:
            whose, until = one.attempt.caller, min(one.until, self.world.now)
            acted = any(one.since <= at <= until for at in whose.acted)
            ended = one.attempt.ended or until
            acted |= ended < one.since  # an INVITE that was given up comes at last, after a cut
            here, there = one.node, whose.was_at(one.attempt.began)
            pair = frozenset((here, there))
            keys: list[tuple[object, ...]] = [
                ("asterisk", here),
                ("asterisk", there),
                ("way", pair),
            ]
            keys += [("trunk", kind, pair) for kind in ("sip", "iax2")]
            cut = any(self.history.of[key].touch(one.since, until) for key in keys)
            cut |= self.history.of["ends", here].touch(until, until)
            if until < self.world.now and not acted and not cut:
                yield f"thrown out: {_named(one.attempt)} at {one.node}, {until:.3f}"

    def _all_well(self, since: float, until: float) -> bool:
        names = list(self.world.nodes)
        return all(self.history.well((name, *names), since, until) for name in names)


def _longest(since: float, until: float, blocked: Iterable[Window]) -> Window | None:
    """The longest time that is left between those."""
    found: list[Window] = []
    for began, ended in [*sorted(blocked), (until, until)]:
        if began > since:
            found.append((since, min(began, until)))
        since = max(since, ended)
    return max(found, key=lambda gap: gap[1] - gap[0], default=None)


def _who(wait: "Wait") -> str:
    return f"{_named(wait.attempt)}, in the queue at {wait.node.name} since {wait.since:.3f}"


def _named(one: "Attempt") -> str:
    return f"{one.caller} → {one.number} at {one.began:.3f}"
