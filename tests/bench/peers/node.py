"""What a peer's node that we write ourselves reads and says, a line each.

stdin     FACT                     publish it
stdout    <ns> sent FACT           just before it is published
          <ns> got FACT            at each node that receives it
          <ns> gone NAME, here NAME    where the peer knows members
"""

from __future__ import annotations

import sys
import time


def say(what: str, of: str) -> None:
    """Write a line with the monotonic clock."""
    sys.stdout.write(f"{time.monotonic_ns()} {what} {of}\n")
    sys.stdout.flush()


def payload(fact: str, size: int) -> bytes:
    """The bytes of a fact."""
    return fact.encode().ljust(size, b".")


def fact_of(data: bytes) -> str:
    """The fact in these bytes."""
    return data.rstrip(b".").decode()
