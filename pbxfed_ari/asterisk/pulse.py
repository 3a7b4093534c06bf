"""Is anybody there, and are we told? A socket that is open proves nothing: Asterisk is asked every second.

It is asked to tell us something, too. Whose our application is it may forget: a websocket that it notices late to be closed, as
after it has hung, takes the application along, though another one has it by then (ari_websockets.c, 22.10.1). Then requests are
answered as ever, the websocket's own pings too, and no call is told.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.core.events import AriWasSlow
from pbxfed_ari.errors import Declined, Unreachable

PING_EVERY = 0.75  # seconds between an answer and the next ping
PING_DEADLINE = 1.0  # seconds
SLOW = 0.1  # seconds above which the core is told of it; an answer takes a thousandth
ECHO = "pbxfed-echo"  # the event that tells it
DEAF = 8  # that did not come, one after the other: an Asterisk at its limit tells of calls seconds late
MISSES = (
    2  # unanswered pings, one right after the other, that mean: it hangs. Noticed within 2.75 s
)


class Pulse:
    """The pings of one Asterisk."""

    def __init__(
        self,
        ari: AriClient,
        *,
        look: Callable[[], Awaitable[None]],
        answered: Callable[[], Awaitable[None]],
        post: Callable[[AriWasSlow], None],
    ) -> None:
        """`look` belongs to each ping, `answered` follows it. Both raise Unreachable or Declined."""
        self._ari, self._look, self._answered, self._post = ari, look, answered, post
        self._took: float | None = None  # seconds that the last ping took
        self._pinged: float | None = None  # since when one waits for its answer
        self._unheard = 0  # of what it was asked to tell

    def answer_time(self) -> float | None:
        """Seconds that ARI took for the last ping, or that the next one has been waiting; None before the first answer."""
        if self._took is None:
            return None
        waits = 0.0 if self._pinged is None else time.monotonic() - self._pinged
        return max(self._took, waits)

    def echo(self) -> None:
        """What it was asked to tell has come."""
        self._unheard = 0

    async def watch(self) -> None:
        """Ask, for ever.

        Raises: Unreachable, when it hangs, or tells nothing.
        """
        missed = self._unheard = 0
        self._took = self._pinged = None
        while True:
            if not missed:
                await asyncio.sleep(PING_EVERY)
            try:
                self._pinged = self._pinged or time.monotonic()
                await self._ari.asterisk.ping(deadline=PING_DEADLINE)
                self._took, self._pinged = time.monotonic() - self._pinged, None
                if self._took > SLOW:
                    self._post(AriWasSlow(self._took))
                await self._look()
                missed = 0
                await self._answered()
                self._unheard += 1
                await self._ari.user_event(ECHO)
            except Declined:
                missed, self._pinged = 0, None  # it answers
            except Unreachable as error:
                missed += 1
                self._post(AriWasSlow(PING_DEADLINE))
                if missed >= MISSES:
                    raise Unreachable(f"Asterisk hangs: {error}, {missed} times") from error
            if self._unheard > DEAF:
                raise Unreachable(
                    "Asterisk answers, and tells no events: its application is not ours"
                )
