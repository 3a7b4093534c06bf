"""Peers of which the federation hears nothing while a phone rings there: does their Asterisk live? Its SIP is asked."""

import asyncio
from collections.abc import Awaitable, Callable

from pbxfed_ari.core.effects import AskSip
from pbxfed_ari.core.events import Address, SipSaid
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.sensors import options

PATIENCE = 0.6  # seconds: a call in setup toward a dead node shall soon go elsewhere


class Doubts:
    """Asks each of them once at a time, from `run()` on, and always tells."""

    def __init__(
        self,
        *,
        user: str,
        where: Callable[[NodeName], Address | None],
        post: Callable[[SipSaid], None],
        ask: Callable[[Address, str, float], Awaitable[float]] = options.ask,
    ) -> None:
        """`user`: as in `options`; `where` a peer's SIP is."""
        self._user, self._where, self._post, self._ask = user, where, post, ask
        self._group: asyncio.TaskGroup | None = None
        self._asking: set[NodeName] = set()

    def __repr__(self) -> str:
        return f"Doubts({sorted(self._asking)})"

    async def run(self) -> None:
        """Ask, until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.get_running_loop().create_future()

    def perform(self, effect: AskSip) -> None:
        """Ask, unless it is being asked already: whoever wants to know hears the answer."""
        if self._group is not None and effect.peer not in self._asking:
            self._asking.add(effect.peer)
            self._group.create_task(self._answer(effect.peer), name=f"sip of {effect.peer}")

    async def _answer(self, peer: NodeName) -> None:
        place, lives = self._where(peer), False
        try:
            if place is not None:
                lives = await self._ask(place, self._user, PATIENCE) < options.NEVER
        except OSError:  # our own network is down
            pass
        finally:
            self._asking.discard(peer)
        self._post(SipSaid(peer, lives))
