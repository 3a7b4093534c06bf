"""Which kind of trunk to a peer is blocked while the node lives: a firewall lets no SIP pass, or no IAX2.

A call finds it out, and pays for it: by one kind it saw no sign of life, nor did others meanwhile (else the peer has
too much to do), then by the other one it did. So later calls to that peer begin with the other kind: for FIRST seconds.
Then one call tries the blocked kind anew; the others go on as before for ASKED seconds, until it is known what it
finds. If that is silence, it is twice as long until the next one, MOST at most; by any sign of life it is over. Nothing
is forbidden: what is blocked is tried last. What is known here is of the way from here to there; it goes with the
daemon.

Of several that ring together one may be silent, and another answers before he is called by his other trunk. That it would have
worked is only supposed, then: the next call begins with it all the same, and proves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pbxfed_ari.core.effects import Note, Tell
from pbxfed_ari.core.events import TrunksBlocked
from pbxfed_ari.core.names import NodeName

FIRST, MOST = 30.0, 600.0  # seconds until a blocked trunk is tried again
ASKED = 10.0  # seconds that one call has for that
REMEDY = "let it pass between the nodes; calls take the other trunk meanwhile"


@dataclass(slots=True)
class _Blocked:
    pause: float
    until: float
    asked: bool = False  # a call is trying it
    proved: bool = False  # the other kind does work


class Detours:
    """What has shown no life while the other kind did, by (peer, kind of trunk)."""

    def __init__(self) -> None:
        self._blocked: dict[tuple[NodeName, str], _Blocked] = {}
        self._told = frozenset[tuple[NodeName, str]]()

    def __repr__(self) -> str:
        return f"Detours({len(self._blocked)} blocked)"

    def __bool__(self) -> bool:
        return bool(self._blocked)

    def news(self, now: float) -> list[Tell]:
        """What is blocked, if that has changed: Asterisk is told, for a time without us (alone.py)."""
        ways = frozenset(self.avoided(now))
        if ways == self._told:
            return []
        self._told = ways
        return [Tell(TrunksBlocked(ways))]

    def found(self, peer: NodeName, silent: str, by: str, now: float) -> list[Note]:
        """A call that saw no life by one kind has seen it by another."""
        self.silent(peer, silent, now)
        return self._prove(peer, silent, by)

    def silent(self, peer: NodeName, kind: str, now: float) -> None:
        """A call saw no life by this kind, and has not tried the other one."""
        known = self._blocked.setdefault((peer, kind), _Blocked(FIRST, now + FIRST))
        if known.asked or now >= known.until:
            known.pause = min(2 * known.pause, MOST)
            known.until, known.asked = now + known.pause, False

    def lives(self, peer: NodeName, kind: str) -> list[Note]:
        """There was a sign of life by this kind."""
        known = self._blocked.pop((peer, kind), None)
        if known is not None and known.proved:
            return [Note("trunk works again", (("node", peer), ("trunk", kind)))]
        others = [silent for node, silent in self._blocked if node == peer]
        return [note for silent in others for note in self._prove(peer, silent, kind)]

    def tries(self, peer: NodeName, kind: str, now: float) -> None:
        """A call begins by this kind."""
        known = self._blocked.get((peer, kind))
        if known is not None and now >= known.until:
            known.until, known.asked = now + ASKED, True

    def order(self, peer: NodeName, kinds: Sequence[str], now: float) -> Sequence[str]:
        """The kinds by which to call a peer, best first: what is blocked comes last."""
        if not self._blocked:
            return kinds
        return sorted(kinds, key=lambda kind: self._avoided(peer, kind, now))

    def avoided(self, now: float) -> list[tuple[NodeName, str]]:
        """What is blocked, as far as we know: that of which nobody has found out more for long is not told."""
        blocked = self._blocked.items()
        return sorted(way for way, known in blocked if known.proved and now < known.until + MOST)

    def warnings(self, now: float) -> list[str]:
        """What an operator should mend."""
        return [
            f"calls to {peer} by {kind} show no sign of life, by its other trunk they do: {REMEDY}"
            for peer, kind in self.avoided(now)
        ]

    def _prove(self, peer: NodeName, silent: str, by: str) -> list[Note]:
        known = self._blocked[peer, silent]
        if known.proved:
            return []
        known.proved = True
        fields = (("node", peer), ("trunk", silent), ("works", by), ("remedy", REMEDY))
        return [Note("trunk blocked", fields, "warning")]

    def _avoided(self, peer: NodeName, kind: str, now: float) -> bool:
        known = self._blocked.get((peer, kind))
        return known is not None and now < known.until
