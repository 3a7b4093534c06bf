"""Whom Asterisk asks without us stands in a global variable of it, as long as it runs: written when that changes."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.dialing import PEERS, together
from pbxfed_ari.asterisk.events import waiting
from pbxfed_ari.asterisk.trouble import trouble
from pbxfed_ari.core.effects import Leg, Note
from pbxfed_ari.core.events import Arrived
from pbxfed_ari.core.names import ChannelId
from pbxfed_ari.core.routing.tries import ASK_ANOTHER
from pbxfed_ari.errors import AsteriskError, Declined, Unreachable

AWAY = "PBXFED_AWAY"  # when somebody has waited in vain for a daemon, seconds since 1970: nobody does for half a minute
AGAIN = 1.0  # seconds before what Asterisk did not answer is asked again
# Seconds before each look for whom Asterisk gave to us in the moment when we took leave
LOOKS = (0.0, 0.05, 0.15)
MOST = 1.5  # seconds for all of them: an Asterisk that hangs keeps no daemon from stopping


class Alone:
    """Which peers the dialplan asks, and whether Asterisk knows it."""

    def __init__(
        self, ari: AriClient, *, reachable: asyncio.Event, note: Callable[[Note], None]
    ) -> None:
        self._ari, self._reachable, self._note = ari, reachable, note
        self._wanted: str | None = None  # None: what an earlier life of ours has written stands
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"Alone({self._wanted!r})"

    def want(self, legs: Sequence[Leg]) -> None:
        """These are to be asked."""
        self._wanted = together(legs)
        self._changed.set()

    def up(self) -> None:
        """Asterisk is there, perhaps another one."""
        if self._wanted is not None:
            self._changed.set()

    async def nobody_waits(self) -> None:
        """Who calls here while we are away hears at once that he may ask another node: this one is drained."""
        with suppress(AsteriskError):
            await self._ari.asterisk.setGlobalVar(AWAY, str(int(time.time())))

    async def refuse(self, but: Collection[ChannelId]) -> None:
        """The websocket is closed: so does who has come unheard. Without us he would stand there until his time is over."""
        with suppress(AsteriskError, TimeoutError):
            async with asyncio.timeout(MOST):
                for pause in LOOKS:
                    await asyncio.sleep(pause)
                    for channel in await self._ari.channels.list():
                        came = waiting(channel, app=self._ari.app, wall_ms=0, fresh_id="")
                        if channel.id not in but and any(type(one) is Arrived for one in came):
                            with suppress(Declined):
                                await self._ari.channels.hangup(channel.id, reason_code=ASK_ANOTHER)

    async def run(self) -> None:
        """Write, until cancelled."""
        while True:
            await self._changed.wait()
            await self._reachable.wait()
            self._changed.clear()
            try:
                await self._ari.asterisk.setGlobalVar(PEERS, self._wanted or "")
            except Declined as declined:
                self._note(trouble("peers not told to the dialplan", declined))
            except Unreachable:
                await asyncio.sleep(AGAIN)
                self._changed.set()
