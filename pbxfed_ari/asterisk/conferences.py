"""Which conference rooms stand: read at each connect, and anew when somebody has come or gone, since no event tells it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from pbxfed_ari.asterisk import found
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.models import Bridge
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.events import RoomsListed
from pbxfed_ari.core.names import ChannelId
from pbxfed_ari.errors import AsteriskError

LEFT = 0.3  # seconds in which a conference ends that the last one has left


class Conferences:
    """Those of one Asterisk, and who is in them."""

    def __init__(self, ari: AriClient, post: Callable[[RoomsListed], None]) -> None:
        self._ari, self._post = ari, post
        self._inside: set[ChannelId] = set()  # channels in rooms, or at their doors
        self._looking = False  # soon
        self._group: asyncio.TaskGroup | None = None

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Asterisk is connected; nobody looks yet."""
        self._group, self._looking = group, False

    def tell(self, bridges: list[Bridge]) -> None:
        """These stand."""
        rooms = found.rooms(bridges)
        self._inside |= {ChannelId(channel) for inside in rooms.values() for channel in inside}
        self._post(RoomsListed(frozenset(rooms), wall_ms()))

    def entered(self, channel: ChannelId) -> None:
        """This one is in a room, or at its door."""
        self._inside.add(channel)
        self.look()

    def ended(self, channel: ChannelId) -> None:
        """This one is no more."""
        if channel in self._inside:
            self._inside.discard(channel)
            self._look_soon()

    def forget(self) -> None:
        """All have ended with their Asterisk."""
        self._inside.clear()

    def look(self) -> None:
        """If anybody is in a room: which of them stand in a moment?"""
        if self._inside:
            self._look_soon()

    def _look_soon(self) -> None:
        if self._group is not None and not self._looking:
            self._looking = True
            self._group.create_task(self._look(), name="asterisk rooms")

    async def _look(self) -> None:
        await asyncio.sleep(LEFT)
        self._looking = False
        with suppress(AsteriskError):  # it is read again
            self.tell(await self._ari.bridges.list())
