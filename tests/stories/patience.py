"""How long who calls waits for an Asterisk that has much to do, held against what was (core/calls/setup.py).

A peer that answers nobody is given up after LIFE seconds; one that has answered another by the same kind of trunk meanwhile
has BUSY seconds more, or twice what the slowest of others has needed in the ten seconds before, BUSIEST at most.
Nothing is owed while a daemon or a way between the two is away, or its phone's caller acts himself.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pbxfed_ari.core.calls.lines import SLOWEST
from pbxfed_ari.core.calls.setup import AGAIN, BUSIEST, BUSY, LIFE, ONCE_MORE
from tests.stories.pbx import Phone
from tests.stories.promises import SETTLED

if TYPE_CHECKING:
    from tests.stories.exchange import Telephony
    from tests.stories.pbx import Dialog

SAID = 0.6  # seconds after which a call that was read has surely been acknowledged
SLACK = 0.4  # seconds by which it may be given up sooner or later than that
GIVEN_UP = "Abandon"  # why who shows no life is dropped


class Patience:
    """What was owed to tries by trunks, and not kept."""

    def __init__(self, world: "Telephony") -> None:
        self.world, self.history = world, world.history
        self.by: dict[tuple[str, str, str], list[Dialog]] = defaultdict(list)
        for one in world.trunked:
            self.by[self._way(one)].append(one)

    def broken(self) -> list[str]:
        """Each in words."""
        if self.world.network.loss or self.world.sites:
            return []
        return [*self._too_soon(), *self._too_late(), *self._without_cause()]

    def _too_soon(self) -> Iterator[str]:
        """No good call is cut."""
        for one in self.world.trunked:
            if one.dropped == float("inf") or one.read < one.dropped or not self._is_plain(one):
                continue
            others = [other for other in self.by[self._way(one)] if other is not one]
            since, until = one.made + SLACK, one.dropped - SLACK - SAID
            if not any(since < other.read < until and self._says(other) for other in others):
                continue
            spare, lasted = self._spare(one, others), one.dropped - one.made
            if lasted < ONCE_MORE[LIFE] + spare - SLACK:  # who was silent already waits no LIFE
                yield f"too soon: {self._named(one)} after {lasted:.2f} s, {spare:.1f} to spare"

    def _too_late(self) -> Iterator[str]:
        """Nobody waits for ever, nor for who answers nobody."""
        for one in self.world.trunked:
            lasted = min(one.dropped, self.world.now) - one.made
            if one.read < one.dropped or one.over or not self._is_plain(one):
                continue
            others = [other for other in self.by[self._way(one)] if other is not one]
            began, until = one.made - SLACK, one.made + lasted
            answers = any(began < other.read + SAID and other.read < until for other in others)
            most = LIFE + (BUSIEST if answers else 0.0) + AGAIN + SLACK
            if lasted > most:
                yield f"too late: {self._named(one)} after {lasted:.2f} s"

    def _without_cause(self) -> Iterator[str]:
        """Each call ends with one, unless its Asterisk dies."""
        for one in (*self.world.attempts, *self.world.transferred):
            if one.ended is not None and not one.cause:
                node = one.caller.was_at(one.began)
                died = self.history.of["asterisk", node].touch(one.ended, one.ended)
                if not died:
                    yield f"no cause: {one.caller} → {one.number} at {one.began:.3f}"

    def _spare(self, one: "Dialog", others: "list[Dialog]") -> float:
        """At least so much: by one that was slow, and has said so, and was not hidden by a slower one of before."""
        known = [
            (o.read, o.read - o.made) for o in others if o.read + SAID < one.made and self._says(o)
        ]
        lately = [(at, took) for at, took in known if at > one.made - SLOWEST + SAID]
        hidden = [
            took for at, took in known if one.made - 3 * SLOWEST < at <= one.made - SLOWEST + SAID
        ]
        slowest = max((took for _, took in lately), default=0.0)
        if slowest < max(hidden, default=0.0):
            return BUSY
        return min(max(BUSY, 2 * slowest), BUSIEST)

    def _says(self, one: "Dialog") -> bool:
        """Was its call still wanted when it was read? Else nobody answers."""
        return one.read + SAID < one.dropped

    def _is_plain(self, one: "Dialog") -> bool:
        """Given up by its daemon alone, and nothing stood in the way of that."""
        if not one.why.startswith(GIVEN_UP) and one.dropped < float("inf"):
            return False
        attempt, until = one.caller.attempt, min(one.dropped, self.world.now)
        if attempt.troubled or any(one.made <= at <= until for at in attempt.caller.acted):
            return False
        here, there = self._way(one)[:2]
        keys: list[tuple[object, ...]] = [("way", frozenset((here, there)))]
        keys += [(what, node) for what in ("daemon", "asterisk", "deaf") for node in (here, there)]
        return not any(self.history.of[key].touch(one.made - SETTLED, until) for key in keys)

    def _way(self, one: "Dialog") -> tuple[str, str, str]:
        assert not isinstance(one.to, Phone)
        return one.pbx.name, one.to.name, one.kind

    def _named(self, one: "Dialog") -> str:
        here, there, kind = self._way(one)
        attempt = one.caller.attempt
        whose = f"{attempt.caller} → {attempt.number} at {attempt.began:.3f}"
        return f"{whose}, by {kind} from {here} to {there} at {one.made:.3f}"
