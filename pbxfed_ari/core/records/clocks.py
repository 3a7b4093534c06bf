"""Clocks: how far this node's clock is from its peers'. Stamps decide between edits: a clock that is far off decides wrongly.

A peer says its time in every DATED-th heartbeat, at once when its clock has stepped, and whenever it answers a probe. What it
says is held against our own monotonic time, so that a step of either clock is seen as such. A frame that was long under way, or
waited while we were paused, makes a peer look late, never early: of its last samples the largest is the truest. With a limit
of 60 s the rest does not matter: whole seconds, and delays that all samples share.

The median of an even number of clocks is an interval; what is in it is right. Of two that differ both are off: nobody can tell
which one is wrong, and an edit that is refused does less harm than one with a wrong stamp.
"""

from collections import deque
from collections.abc import Iterable

from pbxfed_ari.core.names import NodeName

DATED = 17  # heartbeats; a prime, so that who gets only each n-th of them gets a dated one too
SAMPLES = 3
OFF = 60.0  # seconds
STEP = 1.0  # seconds; less is drift
KNOWN = 30.0  # seconds until peers have heard a clock SAMPLES times, and believe it
NO_CLOCK = 1_577_836_800.0  # 2020: a clock that says less has not been set since the power came


class Clocks:
    """This node's clock and its peers', in seconds since 1970, each as its distance from our monotonic time."""

    def __init__(self) -> None:
        self.read_last = 0  # what our own clock said when it was last read, in whole seconds
        self._own: float | None = None
        self._set_back = (0.0, 0.0)  # until when peers may believe what it said before, and that
        self._samples: dict[NodeName, tuple[int, deque[float]]] = {}  # with the peer's epoch

    def __repr__(self) -> str:
        return f"Clocks({self._own}, {self._samples})"

    def read(self, wall_ms: int, now: float) -> bool:
        """Our own clock says this now. Has it stepped since it was last read?"""
        before, self._own = self._own, wall_ms / 1_000 - now
        self.read_last = wall_ms // 1_000
        if before is not None and self._own < before - STEP:
            self._set_back = (now + KNOWN, max(before, self._believed(now)))
        return before is not None and abs(self._own - before) > STEP

    def own_ms(self, now: float) -> int:
        """What our own clock says, as it was last read, milliseconds since 1970; 0 before that."""
        return 0 if self._own is None else round((self._own + now) * 1_000)

    def told_ms(self, now: float) -> int:
        """What peers believe that our clock says, milliseconds since 1970; 0 before it was read.

        The largest of their samples is the truest to them: a clock that was set back they take for what it was, for a while.
        """
        return 0 if self._own is None else round((self._believed(now) + now) * 1_000)

    def _believed(self, now: float) -> float:
        assert self._own is not None, "a clock that was read"
        until, before = self._set_back
        return max(self._own, before) if now < until else self._own

    def heard(self, node: NodeName, epoch: int, clock: int, now: float) -> None:
        """A peer's clock says this, or said so a moment ago."""
        known, samples = self._samples.get(node, (0, deque[float]()))
        if known != epoch:
            samples = deque(maxlen=SAMPLES)  # its machine may be another
        samples.append(clock - now)
        self._samples[node] = (epoch, samples)

    def seconds(self, now: float) -> int:
        """What our own clock says, as it travels; 0 before it was read."""
        return 0 if self._own is None else max(0, int(self._own + now))

    def ahead(self, node: NodeName) -> float | None:
        """By how many seconds a peer's clock is ahead of ours; None if either is not known."""
        if self._own is None or node not in self._samples:
            return None
        return max(self._samples[node][1]) - self._own

    def median(self, nodes: Iterable[NodeName]) -> tuple[float, int] | None:
        """(seconds by which our clock is ahead of the median of these peers', how many they are); None if there are none."""
        found = sorted(ahead for node in nodes if (ahead := self.ahead(node)) is not None)
        if not found:
            return None
        low, high = found[(len(found) - 1) // 2], found[len(found) // 2]
        return -min(max(0.0, low), high), len(found)

    def latest(self, nodes: Iterable[NodeName], now: float, claimed: int) -> float | None:
        """The later one of our own time and the median of these peers', or of what is claimed, if we know none of them.

        None if our clock was not read, or never set.
        """
        if self._own is None or self._own + now < NO_CLOCK:
            return None
        found = self.median(nodes)
        own = self._own + now
        return max(own, own - found[0] if found else claimed)
