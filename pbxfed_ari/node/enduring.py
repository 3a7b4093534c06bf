"""A room that fails by a mistake of ours is begun anew: it shall not take the others along, nor the calls."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

AGAIN = 1.0  # seconds
log = logging.getLogger("pbxfed")


async def enduring(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run it, whatever it raises, until cancelled."""
    while True:
        try:
            return await run()
        except Exception:
            log.exception("%s failed, and is begun anew", name)
        await asyncio.sleep(AGAIN)
