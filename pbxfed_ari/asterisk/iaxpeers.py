"""The peers that can be called by IAX2: when they change the file is written anew (iax.py), and Asterisk reloads it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from pbxfed_ari.asterisk import iax
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.trouble import trouble
from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import Declined, Unreachable

GATHER = 0.05  # seconds in which changes of peers become one reload


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
        loaded: Callable[[], None],
    ) -> None:
        """`loaded`: Asterisk has read that there are some."""
        self._ari, self._own, self._file = ari, own, file
        self._reachable, self._note, self._loaded = reachable, note, loaded
        self._peers: dict[NodeName, iax.IaxPeer] = {}
        self._changed = asyncio.Event()
        self._stale = False  # written, not reloaded yet

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
        """Write, until cancelled."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHER)
            self._changed.clear()
            if self._file is None:
                continue
            text = iax.render(self._own, self._peers.values())
            try:
                if await asyncio.to_thread(iax.replace, self._file, text):
                    self._stale = True
            except OSError as error:
                self._note(trouble("IAX2 peers not written", error, file=str(self._file)))
                continue
            await self._reload()

    async def _reload(self) -> None:
        await self._reachable.wait()
        try:
            if self._stale:
                await self._ari.asterisk.reloadModule(iax.MODULE)
            self._stale = False
            if self._peers:
                self._loaded()
        except Declined as declined:
            self._stale = False
            self._note(trouble("IAX2 peers not loaded", declined))
        except Unreachable as unreachable:
            self._note(trouble("IAX2 peers not loaded", unreachable))
