"""What must be is asked for again, while Asterisk declines or is silent: above all, that something ends.

It is to be what may be done twice. What is gone already has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable

from pbxfed_ari.errors import AsteriskError, Declined

TIMES = 3
AGAIN = 0.5  # seconds


async def insist(ask: Callable[[], Awaitable[None]]) -> None:
    """Ask until it is done, a few times.

    Raises: Declined with 404, if there is no such thing (any more); else what the last asking raised.
    """
    for asked in range(1, TIMES + 1):
        try:
            return await ask()
        except AsteriskError as error:
            gone = isinstance(error, Declined) and error.status == 404
            if gone or asked == TIMES:
                raise
        await asyncio.sleep(AGAIN)
