"""Challenges: a session that says something grave may be a recording. It is asked whether it lives, and only then believed.

A recording can be sent again by anybody who hears the LAN; it cannot answer a number that was drawn a moment ago.
"""

from random import Random

from pbxfed_ari.core.effects import Effect, SendTo
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.messages import Probe
from pbxfed_ari.core.names import NodeName

MOST = 16  # sessions that are asked at once; the oldest question makes room


class Challenges:
    """The questions that are open."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._open: dict[
            int, tuple[NodeName, int, Effect]
        ] = {}  # nonce → who, its epoch, and what if it lives

    def __repr__(self) -> str:
        return f"Challenges({len(self._open)} open)"

    def __contains__(self, nonce: object) -> bool:
        """Does this belong to an open question?"""
        return nonce in self._open

    def ask(self, who: NodeName, epoch: int, source: Address, consequence: Effect) -> Effect:
        """Does this session live? If it does, the consequence follows."""
        if len(self._open) >= MOST:
            del self._open[next(iter(self._open))]
        nonce = self._rng.getrandbits(32)
        self._open[nonce] = (who, epoch, consequence)
        return SendTo(source, Probe(nonce))

    def answered(self, nonce: int, who: NodeName, epoch: int) -> list[Effect]:
        """An answer to an open question: what follows, if it is that session's."""
        asked, of, consequence = self._open.pop(nonce)
        return [consequence] if (who, epoch) == (asked, of) else []
