"""The peers that can be called by IAX2: when they change the file is written anew (iax.py), and Asterisk reloads it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from pbxfed_ari.asterisk import iax
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import Declined, Unreachable

NO_MODULE = 404  # of reloadModule
GATHER = 0.05  # seconds in which changes of peers become one reload
AGAIN, LATER = 1.0, 60.0  # seconds until what failed is tried again, at first and at last


class IaxPeers:
    """Who they are, and whether Asterisk knows it."""

    def __init__(
        self,
        ari: AriClient,
        *,
        own: NodeName,
        file: Path | None,
        reachable: asyncio.Event,
        note: Callable[[Note], None],
        loaded: Callable[[], Awaitable[None]],
        takes: Callable[[], bool] = lambda: True,
    ) -> None:
        """`loaded`: Asterisk has just read that there are some. `takes`: shall peers call this node by IAX2?

        If not, it need not have the module, nor a folder for the file.
        """
        self._ari, self._own, self._file = ari, own, file
        self._reachable, self._note, self._loaded = reachable, note, loaded
        self._takes = takes
        self._peers: dict[NodeName, iax.IaxPeer] = {}
        self._changed = asyncio.Event()
        self._stale = False  # written, not reloaded yet
        self.trouble = ""  # why no call goes by IAX2 as it should, for the operator

    def __repr__(self) -> str:
        return f"IaxPeers({len(self._peers)})"

    def want(self, peer: NodeName, found: iax.IaxPeer | None) -> None:
        """This peer is to be called so, or not at all."""
        if self._peers.get(peer) == found:
            return
        if found is None:
            self._peers.pop(peer, None)
        else:
            self._peers[peer] = found
        self._changed.set()

    def up(self) -> None:
        """Asterisk is there: what it has not read it reads now."""
        if self._stale:
            self._changed.set()

    async def run(self) -> None:
        """Write, until cancelled. What fails is tried again, ever more seldom, and told while it lasts."""
        pause = AGAIN
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHER)
            self._changed.clear()
            if self._file is None:
                continue
            before, self.trouble = self.trouble, await self._agree(self._file)
            if self.trouble:
                if self.trouble != before:
                    self._note(Note("IAX2 trouble", (("what", self.trouble),), "warning"))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause)
                self._changed.set()
                pause = min(2 * pause, LATER)
            else:
                pause = AGAIN
                if before:
                    self._note(Note("IAX2 trouble no more", ()))

    @property
    def _needed(self) -> bool:
        return bool(self._peers) and self._takes()

    async def _agree(self, file: Path) -> str:
        """Write what is not written, let Asterisk read what it has not read; what stands against it, and the remedy, or ""."""
        text = iax.render(self._own, self._peers.values())
        try:
            if await asyncio.to_thread(iax.replace, file, text):
                self._stale = True
        except OSError as error:
            if not self._needed and not file.parent.is_dir():
                return ""
            remedy = "asterisk.iax_peers must be in a folder that the daemon may write"
            return f"peers of IAX2 not written: {file}: {error.strerror or error}: {remedy}"
        await self._reachable.wait()
        try:
            if self._stale:
                await self._ari.asterisk.reloadModule(iax.MODULE)
        except Declined as declined:
            if declined.status == NO_MODULE and not self._needed:
                return ""  # what is stale is read when Asterisk is there anew, perhaps with it
            remedy = f"is {iax.MODULE} loaded (asterisk -rx 'module show like iax2'), its iax.conf right?"
            return f"peers of IAX2 not loaded: {declined}: {remedy}"
        except Unreachable as unreachable:
            return f"peers of IAX2 not loaded: {unreachable}"
        self._stale = False
        if self._peers:
            await self._loaded()
        return ""
