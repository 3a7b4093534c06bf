"""The failure ratio of calls: of those that came in here, how many found no way."""

from collections import deque

from pbxfed_ari.core.effects import CallEnded
from pbxfed_ari.core.membership.health import Reading

WINDOW = 300.0  # seconds
FEW = 10  # calls; of fewer nothing can be said
# Q.850 causes of a network that fails; that nobody answers, or that a number is barred or unknown, is none of its faults
FAULTS = frozenset({27, 34, 38, 41, 42, 44, 47})


class Failures:
    """Remembers how the calls of the last minutes ended."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, bool]] = deque()
        self._failed = 0  # of these

    def ended(self, call: CallEnded, now: float) -> None:
        """A call is over. One that a peer sent here counts there."""
        if not call.peer:
            failed = not call.answered and call.cause in FAULTS
            self._ended.append((now, failed))
            self._failed += failed

    def read(self, now: float) -> Reading | None:
        """Which part of them failed; None if they were few."""
        while self._ended and self._ended[0][0] < now - WINDOW:
            self._failed -= self._ended.popleft()[1]
        failed, whole = self._failed, len(self._ended)
        return Reading(failed / whole, f"{failed} of {whole}", "20 %") if whole >= FEW else None
