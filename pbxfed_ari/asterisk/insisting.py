"""What must be is asked for again, while Asterisk declines or is silent: above all, that something ends.

It is to be what may be done twice. What is gone already has ended. What does not end however often it is asked for, nobody
would look after: it is asked for again, ever more seldom, beside everything else (`Endings`). If that does not help either, or
the daemon ends meanwhile, the next connect finds it (core/reconciling.py).
"""

import asyncio
from collections.abc import Awaitable, Callable

from pbxfed_ari.errors import AsteriskError, Declined

TIMES = 3
AGAIN = 0.5  # seconds
LATER = (2.0, 4.0, 8.0, 16.0, 30.0, 60.0)  # seconds between the askings after those


async def insist(ask: Callable[[], Awaitable[None]]) -> None:
    """Ask until it is done, a few times.

    Raises: Declined with 404, if there is no such thing (any more); else what the last asking raised.
    """
    for asked in range(1, TIMES + 1):
        try:
            return await ask()
        except AsteriskError as error:
            if _gone(error) or asked == TIMES:
                raise
        await asyncio.sleep(AGAIN)


class Endings:
    """What is to end, and has not yet."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None

    def begin(self, group: asyncio.TaskGroup) -> None:
        """From now on."""
        self._group = group

    def rest(self) -> None:
        """No more."""
        self._group = None

    async def insist(self, ask: Callable[[], Awaitable[None]]) -> None:
        """As `insist`; if that does not help, later, too."""
        try:
            await insist(ask)
        except AsteriskError as error:
            if not _gone(error):
                self.later(ask)
            raise

    def later(self, ask: Callable[[], Awaitable[None]], *, unborn: bool = False) -> None:
        """Only later; `unborn`: if there is no such thing now it may come yet."""
        if self._group is not None:
            self._group.create_task(_later(ask, unborn=unborn), name="asterisk ending")


async def _later(ask: Callable[[], Awaitable[None]], *, unborn: bool) -> None:
    for pause in LATER:
        await asyncio.sleep(pause)
        try:
            return await ask()
        except AsteriskError as error:
            if _gone(error) and not unborn:
                return None
    return None


def _gone(error: AsteriskError) -> bool:
    return isinstance(error, Declined) and error.status == 404
