"""What Asterisk tells us of: the sources that our application is subscribed to, and the filter on its events; and an
application that is told nothing, where transfers go on without us.

Measured on 22.10.1: `subscribeAll` and device state subscriptions deadlock ARI when the websocket closes (asterisk#2170), so
we subscribe to the endpoints of a technology, no more.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.events import BRIDGES, OURS
from pbxfed_ari.asterisk.models import Bridge, Channel
from pbxfed_ari.asterisk.rest import Post
from pbxfed_ari.core.names import ChannelId, key_of_name
from pbxfed_ari.errors import AsteriskError, Declined

REPLACED = "ApplicationReplaced"
log = logging.getLogger(__name__)


class Subscriptions:
    """Those of one Asterisk's event websocket."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari
        self._iax_expected = False  # peers are loaded: try to subscribe to IAX2 until it works
        self._iax_heard = False
        self.bridging = False  # there are, or were, bridges of ours
        self._bridges_heard: bool | None = None  # are their events told? None: not known
        self._asking = asyncio.Lock()

    @property
    def hears_bridges(self) -> bool:
        """Is it told already who enters and leaves ours, and will be?"""
        return self.bridging and self._bridges_heard is True

    def forget(self) -> None:
        """Another websocket is to be opened: what it will hear is not known."""
        self._iax_heard = False
        self._bridges_heard = None

    async def renew(self) -> None:
        """Hear all that may be of use. Subscriptions are counted: look first.

        Raises: Unreachable, Declined.
        """
        await self._filter(bridges=True)
        heard = (await self._ari.applications.get()).endpoint_ids
        if "PJSIP" not in heard:
            await self._ari.applications.subscribe("endpoint:PJSIP")
        self._iax_heard = "IAX2" in heard
        await self._hear_iax()

    async def iax_loaded(self) -> None:
        """Asterisk has read peers of IAX2: hear of them before they call. What fails is tried again (`retry`)."""
        self._iax_expected = True
        with suppress(AsteriskError):
            await self._hear_iax()

    async def retry(self) -> None:
        """If IAX2 is expected, and not heard of yet. Raises: Unreachable, Declined."""
        if self._iax_expected:
            await self._hear_iax()

    async def narrow(self, bridges: Iterable[Bridge]) -> None:
        """These stand: if none is ours, their events are not wanted. Raises: Unreachable, Declined."""
        self.bridging |= any(key_of_name(bridge.id) for bridge in bridges)
        await self._filter(bridges=False)

    async def hear_bridges(self) -> None:
        """There are bridges of ours from now on: hear who enters and leaves them.

        Raises: Unreachable, Declined.
        """
        self.bridging = True
        await self._filter(bridges=True)

    async def follow(self, channel: ChannelId) -> None:
        """A Local channel, as of who was transferred: it has no endpoint, by which we would hear of its end."""
        with suppress(AsteriskError):
            await self._ari.applications.subscribe(f"channel:{channel}")

    async def hear_end(self, caller: Channel) -> None:
        """As of a Local channel, if it is one."""
        if caller.name.startswith("Local/"):
            await self.follow(ChannelId(caller.id))

    async def _hear_iax(self) -> None:
        """422 as long as there is no IAX2 peer; asked again after the peers were written."""
        async with self._asking:
            if self._iax_heard:
                return
            try:
                await self._ari.applications.subscribe("endpoint:IAX2")
                self._iax_heard = True
            except Declined as declined:
                if declined.status != 422:
                    raise

    async def _filter(self, *, bridges: bool) -> None:
        """What we would let go need not be sent: it is most of what a call says. Dial, too, has a bridge for each call."""
        async with self._asking:
            bridges = bridges or self.bridging
            if bridges != self._bridges_heard:
                wanted = OURS if bridges else OURS - BRIDGES
                await self._ari.applications.filter((*wanted, REPLACED))
                self._bridges_heard = bridges


class Keeping:
    """Who talks in bridge mode stands in an application that lives without us (dialplan/websocket_client.conf).

    What Asterisk puts into the place of a phone that transfers enters the application of the channel that was there. In ours it
    would be hung up while we are away, and the transferrer's calls with it. An Asterisk of before 20.15, 21.10 or 22.5 has
    no such application: there all is as if we said nothing.
    """

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari
        self._app = f"{ari.app}-keep"
        self._is_there = False

    def __repr__(self) -> str:
        return f"Keeping({self._app!r}, is_there={self._is_there})"

    def forget(self) -> None:
        """Another Asterisk may be there."""
        self._is_there = False

    async def renew(self) -> None:
        """Is it there? What it is told Asterisk would keep for ever, since nobody fetches it: it is told nothing.

        Raises: Unreachable.
        """
        try:
            await self._ari.applications.filter(("None",), app=self._app)
            self._is_there = True
        except Declined as declined:
            self._is_there = False
            log.info("no transfers in bridge mode while the daemon is away: %s", declined)

    def moves(self, *channels: ChannelId) -> list[Post]:
        """What puts them there."""
        move = self._ari.channels.move
        return [move(one, self._app) for one in channels] if self._is_there else []

    async def keep(self, *channels: ChannelId) -> None:
        """Put them there; who is gone stays gone."""
        if moves := self.moves(*channels):
            with suppress(AsteriskError):  # they talk all the same
                await self._ari.post(*moves)
