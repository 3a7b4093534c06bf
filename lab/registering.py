"""A phone's registration: at one of its servers, renewed in time, taken elsewhere when that one fails.

A phone with several servers may ask its own now and then by OPTIONS (`Timers.keepalive`); else it learns of a death when it
renews its registration, or when its TCP connection ends. A call that finds the server dead does not hurry it: many desk phones
register anew then, and are back sooner than this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import Any

from lab.locating import Listed, NotFound, Servers
from lab.sip import Target
from lab.transactions import TIMER_F, Endpoint, Fields, Refused


class Registrant(Endpoint):
    """A phone as its registrar knows it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.servers: Servers = Listed([])
        self.at: Target | None = None  # where it is registered
        self.registered_at = 0.0
        self.moves: list[dict[str, Any]] = []  # each registration elsewhere that it made by itself
        self._last: Target | None = None  # where it was registered before
        self._missing = 0.0  # since when it knows that it is not
        self._device = ""  # what tells a later device from the first one
        self._keeper: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()

    @property
    def contact(self) -> str:
        """The address it registers; the same wherever it registers, until it becomes a new device."""
        return f"sip:{self.number}{self._device}@{self._address}:{self._port}"

    def contact_for(self, target: Target) -> str:
        """The same, for who shall come by the transport that leads to this server."""
        return f"<{self.contact}{';transport=tcp' if target.transport == 'tcp' else ''}>"

    def become_new_device(self) -> None:
        """Register under another Contact URI from now on."""
        self._device = f"-{secrets.token_hex(4)}"

    async def register(self, servers: Servers, *, patience: float) -> dict[str, Any]:
        """Register at the best of the servers, whatever the state elsewhere, and keep it alive. Raises: Refused."""
        self._stop_keeper()
        self.servers = servers
        self.at = self._last = None
        begun = time.monotonic()
        await self._register(patience)
        took = (time.monotonic() - begun) * 1_000
        self._keeper = self._start(self._keep(), f"keeper of {self.number}")
        return {"server": self.at and self.at.host, "ms": took, "contact": self.contact}

    async def unregister(self) -> None:
        """Tell the server that the phone is going, and stop keeping the registration."""
        self._stop_keeper()
        if self.at is not None:
            target, self.at = self.at, None
            await self._say(target, 0, TIMER_F)

    def close(self) -> None:
        """Vanish without a word."""
        self._stop_keeper()
        super().close()

    async def _register(self, patience: float | None = None) -> None:
        """Ask one server after the other until one takes the registration. Raises: Refused, by the last one asked."""
        targets = await self._targets()
        for target in targets:
            last = target == targets[-1]
            try:
                await self._say(
                    target,
                    int(self.timers.expires),
                    patience or (TIMER_F if last else self.timers.patience),
                )
            except Refused as refusal:
                self._fail(target, refusal)
                if last or not refusal.elsewhere:
                    raise
            else:
                self._stand(target)
                return

    async def _targets(self) -> list[Target]:
        """Whom to ask, in this order. Raises: Refused, if there is nobody."""
        try:
            found = await self.servers.targets(self.at)
        except NotFound as error:
            raise Refused(0, str(error)) from None
        if not found:
            raise Refused(0, f"{self.number} has no server")
        return found

    async def _say(self, target: Target, expires: int, patience: float) -> None:
        mine = f"<sip:{self.number}@{self.domain}>"
        fields = [
            ("from", f"{mine};tag={secrets.token_hex(4)}"),
            ("to", mine),
            ("call-id", f"{secrets.token_hex(8)}@{self._address}"),
            ("contact", f"{self.contact_for(target)};expires={expires}"),
            ("expires", str(expires)),
        ]
        uri = f"sip:{self.servers.host(target)}"
        await self._authenticated("REGISTER", uri, target, fields, patience)

    def _stand(self, target: Target) -> None:
        """It is registered here now."""
        self.at, self.registered_at = target, time.monotonic()
        before, self._last = self._last, target
        if before not in (None, target):
            missed = time.monotonic() - self._missing if self._missing else 0.0
            told = {"from": before and before.host, "to": target.host, "at": time.time()}
            self.moves.append({**told, "ms": round(missed * 1_000, 1)})
            self._log(f"{self.number}: moved from {before} to {target}")
        self._missing = 0.0

    def _fail(self, target: Target, why: object) -> None:
        """A server did not do it; if it is the phone's own, the phone is registered nowhere now."""
        self._log(f"{self.number}: {target}: {why}")
        self.servers.shun(target)
        if target == self.at:
            self.at = None
            self._missing = self._missing or time.monotonic()

    def _disconnected(self, target: Target) -> None:
        super()._disconnected(target)
        if target == self.at:
            self._fail(target, "the connection is lost")
            self._woken.set()

    # --- keeping it ------------------------------------------------------------------------------

    def _stop_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None

    async def _keep(self) -> None:
        """Renew in time; ask in between; leave a dead server."""
        while True:
            try:
                if self.at is not None and await self._rest():
                    await self._ask(self.at)
                else:
                    await self._register()
            except Refused as refusal:
                self._log(f"{self.number}: {refusal}")
                await asyncio.sleep(self.timers.retry)

    async def _rest(self) -> bool:
        """Wait until there is something to do; True: no more than to ask whether the server lives."""
        left = self.registered_at + self.timers.expires / 2 - time.monotonic()
        asks = 0 < self.timers.keepalive < left and len(await self._targets()) > 1
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.timers.keepalive if asks else max(0.05, left)):
                await self._woken.wait()
        return asks and self.at is not None

    async def _ask(self, target: Target) -> None:
        """An OPTIONS; any answer at all is a sign of life. Raises: Refused."""
        fields: Fields = [
            ("from", f"<sip:{self.number}@{self.domain}>;tag={secrets.token_hex(4)}"),
            ("to", f"<sip:{target.host}>"),
            ("call-id", f"{secrets.token_hex(8)}@{self._address}"),
        ]
        try:
            await self._request(
                "OPTIONS", f"sip:{target.host}", target, fields, self.timers.patience
            )
        except Refused as refusal:
            self._fail(target, refusal)
