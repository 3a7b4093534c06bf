"""Timing: how long the detection of a failure takes, on a LAN and over slower lines."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """The durations of failure detection, in seconds."""

    period: float = 0.5  # between two heartbeats
    missed: float = 2.2  # periods of silence before a node is asked
    doubt: float = 10.0  # seconds without a frame of anybody until that is the others' fault
    ask: float = 0.15  # for a direct probe's answer
    ask_others: float = 0.3  # for an indirect one's
    suspicion: float = 0.55  # for a refutation
    introduction: float = 1.0  # in which a new session must answer a probe
    lag: float = 0.2  # a loop later than this was deaf
    per_second: float = 250.0  # heartbeats that a node receives at most

    def stretched(self, nodes: int) -> float:
        """The period in a federation of so many nodes: nobody receives more than `per_second` heartbeats a second."""
        return max(self.period, nodes / self.per_second)


LAN = Timing()  # down everywhere 2.1 s after the last heartbeat, up to 128 nodes
WAN = Timing(  # down 8.2 s after the last heartbeat; half a second of round trip is no silence
    period=2.0, ask=0.6, ask_others=1.2, suspicion=2.0, introduction=4.0, lag=0.5, doubt=20.0
)
PRESETS = {"lan": LAN, "wan": WAN}
