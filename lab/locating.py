"""Which servers a phone may ask, in which order: those that it was given, or those that DNS names for a domain (RFC 3263).

Of a domain: the transport by NAPTR, unless the phone is set to one (§4.1); the servers by SRV, lowest priority first, among
equal ones drawn by weight (RFC 2782); their addresses, if they did not come along; without SRV, the addresses of the domain
itself (§4.2). An answer is kept until its TTL is over; one that cannot be renewed, because no resolver answers, is used on
(RFC 8767).

Who was silent, or refused by 503, is asked last for a while, whatever DNS says: §4.3 leaves that to the client, and desk phones
do so.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

from lab.sip import Target

SHUNNED = 60.0  # seconds for which who has failed is asked last
PORT = 5060
A = dns.rdatatype.A
SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp"}  # NAPTR's, and the transports that they mean


class NotFound(Exception):
    """DNS names no server, for nobody answers; the text says who was asked for what."""


class Servers(ABC):
    """Where a phone's requests may go."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[Target, float] = {}

    @abstractmethod
    async def ranks(self) -> list[list[Target]]:
        """The servers, the best rank first; within one, as they are to be tried.

        Raises: NotFound.
        """

    def host(self, target: Target) -> str:
        """What a Request-URI names."""
        return target.host

    async def targets(self, current: Target | None = None) -> list[Target]:
        """All of them as they are to be tried; the current one first among its equals. Raises: NotFound."""
        ranks = await self.ranks()
        found = [one for rank in ranks for one in sorted(rank, key=lambda one: one != current)]
        return sorted(dict.fromkeys(found), key=self._shunned)

    def shun(self, target: Target) -> None:
        """It has failed: ask it last for a while."""
        self._failed[target] = self._clock()

    def _shunned(self, target: Target) -> float:
        """When it failed, if that still counts: who failed first may be well again first."""
        failed = self._failed.get(target)
        return 0.0 if failed is None or self._clock() - failed >= SHUNNED else failed


class Listed(Servers):
    """Those that the phone was given: a first one, a second one."""

    def __init__(self, targets: Sequence[Target], **how: Any) -> None:
        super().__init__(**how)
        self._targets = list(targets)

    async def ranks(self) -> list[list[Target]]:
        """One rank: the phone stays where it is until that fails."""
        return [list(self._targets)]


class Located(Servers):
    """Those that DNS names for a domain."""

    def __init__(
        self,
        domain: str,
        resolvers: Sequence[Target],
        *,
        transport: str | None = None,
        patience: float = 1.0,
        rng: Random | None = None,
        **how: Any,
    ) -> None:
        """`resolvers`: asked in this order; `transport`: None lets NAPTR choose; `patience`: seconds for each resolver."""
        super().__init__(**how)
        self._domain, self._transport, self._rng = domain, transport, rng or Random()
        self._known: list[list[tuple[int, Target]]] = []  # by priority, with their weights
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [one.host for one in resolvers]
        self._resolver.nameserver_ports = {one.host: one.port for one in resolvers}
        self._resolver.timeout = patience
        self._resolver.lifetime = 2 * patience * len(resolvers)
        self._resolver.cache = dns.resolver.Cache()

    def host(self, target: Target) -> str:
        """What a Request-URI names: the domain, whoever serves it."""
        return self._domain

    async def ranks(self) -> list[list[Target]]:
        """By priority; each drawn anew by weight."""
        try:
            self._known = await self._located()
        except dns.exception.DNSException as error:
            if not self._known:
                asked = ", ".join(map(str, self._resolver.nameservers))
                answering = "`up --dns` lets the nodes do so"
                raise NotFound(
                    f"nobody answers for {self._domain} at {asked}: {answering} ({error})"
                ) from None
        return [drawn(rank, self._rng) for rank in self._known]

    async def _located(self) -> list[list[tuple[int, Target]]]:
        transport = self._transport or await self._preferred()
        found = await self._ask(f"_sip._{transport}.{self._domain}", "SRV")
        if found is None:
            addresses = await self._addresses(self._domain)
            return [[(1, Target(address, PORT, transport)) for address in addresses]]
        came = {str(one.name): one for one in found.response.additional if one.rdtype == A}
        ranks: dict[int, list[tuple[int, Target]]] = {}
        for record in found:
            name = str(record.target)
            along = [one.address for one in came.get(name, ())]
            addresses = along or await self._addresses(name)
            ranks.setdefault(record.priority, []).extend(
                (record.weight, Target(address, record.port, transport)) for address in addresses
            )
        return [ranks[priority] for priority in sorted(ranks)]

    async def _preferred(self) -> str:
        found = await self._ask(self._domain, "NAPTR")
        for record in sorted(found or (), key=lambda one: (one.order, one.preference)):
            if transport := SERVICES.get(record.service.decode().upper()):
                return transport
        return "udp"

    async def _addresses(self, name: str) -> list[str]:
        return [record.address for record in await self._ask(name, "A") or ()]

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer | None:
        """The records, if there are any. Raises: DNSException, if nobody answers."""
        try:
            return await self._resolver.resolve(f"{name.rstrip('.')}.", kind, search=False)
        except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
            return None


def drawn(rank: Sequence[tuple[int, Target]], rng: Random) -> list[Target]:
    """An order of equals: each next one drawn by weight among those that are left (RFC 2782)."""
    left, order = list(rank), []
    while left:
        chosen = rng.choices(left, [weight or 0.01 for weight, _ in left])[0]
        left.remove(chosen)
        order.append(chosen[1])
    return order
