"""Whether a stranger is answered: so much a second for each network, and for all of them together.

A source of UDP may be forged. What we send to one network stays small, then; who is there really is told by every second
answer to ask again by TCP, which cannot be forged (as in BIND's response rate limiting).
"""

from enum import Enum

from pbxfed_ari.core.naming.bucket import Bucket, network

RATE, BURST = 50.0, 100.0  # answers for one IPv4 address or IPv6 /64
TOTAL, TOTAL_BURST = (
    200.0,
    400.0,
)  # for all: an answer takes up to a millisecond, and the loop has calls to serve
MOST = 10_000  # networks remembered


class Verdict(Enum):
    """What to do with a query."""

    ANSWER = "answer"
    TRUNCATE = "truncate"
    DROP = "drop"


class Limit:
    """Of all that ask by UDP, or of all that ask by TCP: who is sent there has not used it up."""

    def __init__(self, now: float = 0.0) -> None:
        self._total = Bucket(TOTAL, TOTAL_BURST, now)
        self._buckets: dict[bytes, Bucket] = {}
        self._refused = 0

    def judge(self, client: str, now: float) -> Verdict:
        """A query has come."""
        key = network(client)
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= MOST:
                self._buckets.clear()  # a flood of forged ones: the total holds
            bucket = self._buckets[key] = Bucket(RATE, BURST, now)
        if bucket.take(now):
            return Verdict.ANSWER if self._total.take(now) else Verdict.DROP
        self._refused += 1
        return Verdict.TRUNCATE if self._refused % 2 else Verdict.DROP
