"""Roll call: after a cut many come back at once, and one heartbeat asks them all.

Who was held for dead counts again only once it has answered a fresh nonce, for until then it may be a recording. One question
and one answer for each pair would be N² frames when two halves of a site meet. Here each node asks with one nonce in its next
heartbeat, and answers with one heartbeat all who asked it so: 3 N / 2 heartbeats, most of which would have been sent anyway.

    A hears B again     A ──RollCall(nonce a)──▶ all            at once
    B hears A again     B ──RollCall(nonce b; a)──▶ all         with its next heartbeat, ANSWERED seconds later at most
                        A ──RollCall(b)──▶ all
"""

from random import Random

from pbxfed_ari.core.messages import CALLERS

ANSWERED = 0.4  # seconds until a question is answered, at most
NEVER = float("inf")


class Roll:
    """What our next heartbeat asks and answers."""

    def __init__(self, rng: Random) -> None:
        self.nonce = 0  # of the last question
        self.speak_by = NEVER  # when a heartbeat must be made, at the latest
        self._rng = rng
        self._until = -NEVER  # the question stands so long
        self._unsaid = False
        self._owed: dict[int, None] = {}  # nonces of others, in the order in which they came

    def __repr__(self) -> str:
        return f"Roll({self.nonce:08x}, owed={len(self._owed)})"

    def stands(self, now: float) -> bool:
        """Is there a question that may still be answered?"""
        return now < self._until

    def ask(self, now: float, by: float, seconds: float) -> float:
        """A question shall stand, said by then; a new one stands for so many seconds. Returns when an answer must have come."""
        if not self.stands(now):
            self.nonce, self._until = self._rng.getrandbits(32), now + seconds
            self._unsaid = True
        if not self._unsaid:
            return now + ANSWERED
        self.speak_by = min(self.speak_by, by)
        return self.speak_by + ANSWERED

    def owe(self, nonce: int, now: float) -> None:
        """Somebody asks us."""
        self._owed[nonce] = None
        self.speak_by = min(self.speak_by, now + ANSWERED)

    def say(self) -> tuple[int, tuple[int, ...]]:
        """What the heartbeat that is made now asks (0: nothing) and answers."""
        asked = self.nonce if self._unsaid else 0
        answers = tuple(self._owed)[:CALLERS]
        for nonce in answers:
            del self._owed[nonce]
        self._unsaid = False
        if not self._owed:
            self.speak_by = NEVER
        return asked, answers
