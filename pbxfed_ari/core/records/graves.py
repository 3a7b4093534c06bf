"""What is dead but must be remembered, until everybody has heard of it: dropped shelf keys, removed objects and groups.

A node whose fingerprint equals ours holds all that we hold at that moment, its graves among them. So of each member the local
moment of the last equality is kept (a count of changes, no clock), and what died before the earliest of these is known to all
that were not forgotten: it is collected, by each node for itself. What has been dead for EXPIRY is collected in any case.

A frame may still be on its way when its sender has heard the news. Therefore a bound is used only SETTLE seconds after it
was found.
"""

from collections.abc import Iterable, Mapping

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.book import BookKey

EXPIRY = 30 * 86_400  # seconds after which the dead are collected although somebody has not heard
SETTLE = 60.0  # seconds between knowing that all have heard and collecting
AT_ONCE = 100  # collected in one period: no call waits for it

Grave = tuple[NodeName, str] | bytes | BookKey  # a shelf's key, an object, or one group of one


class Graves:
    """The dead, in the order in which they came here."""

    def __init__(self) -> None:
        self.moment = 1  # counts the times that something was taken in
        self.wall = 0  # seconds since 1970, as last told; 0: unknown
        self._dead: dict[Grave, tuple[int, int]] = {}  # moment, wall clock's seconds (0: unknown)

    def __repr__(self) -> str:
        return f"Graves({len(self._dead)})"

    def __len__(self) -> int:
        return len(self._dead)

    def bury(self, grave: Grave) -> None:
        """This died, or was heard of again with something newer."""
        self._dead.pop(grave, None)
        self._dead[grave] = (self.moment, self.wall)

    def date(self, came: Mapping[Grave, int]) -> None:
        """After a start: when those that a store kept came to it."""
        known = sorted(self._dead, key=lambda grave: came.get(grave, 0))
        self._dead = {grave: (0, came.get(grave, 0)) for grave in known}

    def open(self, grave: Grave) -> None:
        """This lives, or is no more."""
        self._dead.pop(grave, None)

    def due(self, moment: int) -> list[Grave]:
        """What died before this moment, or EXPIRY ago by the wall clock; at most AT_ONCE."""
        found: list[Grave] = []
        for grave, (died, at) in self._dead.items():
            if died >= moment and not (at and self.wall and at <= self.wall - EXPIRY):
                break
            found.append(grave)
            if len(found) == AT_ONCE:
                break
        return found


class Heard:
    """Through which moment all others have heard."""

    def __init__(self) -> None:
        self._equal: dict[NodeName, int] = {}  # the moment of the last equal fingerprint
        self._bound = 0
        self._next = (float("-inf"), 0)  # when the next bound was found, and that bound

    def __repr__(self) -> str:
        return f"Heard({self._equal})"

    def equal(self, member: NodeName, moment: int) -> None:
        """A member held at least what we hold at this moment."""
        self._equal[member] = moment

    def forget(self, member: NodeName) -> None:
        """Nobody waits for this member any more."""
        self._equal.pop(member, None)

    def bound(self, members: Iterable[NodeName], moment: int, now: float) -> int:
        """What died before this moment may go; `moment` is the present one, which bounds a node that is alone."""
        found, bound = self._next
        if now >= found + SETTLE:
            self._bound = bound
            self._next = (now, min((self._equal.get(m, 0) for m in members), default=moment))
        return self._bound
