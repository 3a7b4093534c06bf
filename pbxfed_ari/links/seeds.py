"""Seeds: where peers may be found without multicast, by list and by DNS.

`lan.peers` lists hosts, as addresses or names; `lan.srv` is a name whose SRV records (RFC 2782) list them:

    _pbxfed._udp.example.com.  300  IN  SRV  0 0 8781 a.example.com.

One seed that lives is enough, so neither order nor weight of the records counts. They are looked up anew when they expire, but
no more than once a minute. A lookup that fails is said once and repeated; what was found before stands meanwhile.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence

import aiodns
import pycares

from pbxfed_ari.core.events import Address

SHORTEST, LONGEST = 60.0, 3_600.0  # seconds between two lookups, whatever the records' TTL
RETRY = 10.0  # seconds after a failure
PATIENCE = 2.0  # seconds for one answer, tried twice
log = logging.getLogger(__name__)

_Found = tuple[list[Address], int]  # addresses, and for how many seconds they stand


class Seeds:
    """Looks up the seeds, again and again."""

    def __init__(
        self,
        peers: Iterable[str],
        srv: str,
        port: int,
        found: Callable[[tuple[Address, ...]], None],
        *,
        servers: Sequence[str] | None = None,
    ) -> None:
        """`peers` as host or host:port, `srv` a name or ""; `port` where none is said. `found` is called with changes.

        `servers` are asked instead of those of this machine.
        """
        self._names = [_split(peer, port) for peer in peers]
        self._srv = srv
        self._found = found
        self._last: dict[str, list[Address]] = {}  # by what was looked up
        self._told: tuple[Address, ...] = ()
        self._failing: set[str] = set()
        self._servers = servers
        self.pause = RETRY  # seconds until it is time to look again

    async def run(self) -> None:
        """Keep them up to date; the first `look` has been taken."""
        while self._names or self._srv:
            await asyncio.sleep(self.pause)
            await self.look()

    async def look(self) -> None:
        """Look everything up once."""
        if not (self._names or self._srv):
            return
        resolver = aiodns.DNSResolver(self._servers, timeout=PATIENCE, tries=2)
        try:
            lookups = [self._host(resolver, host, port) for host, port in self._names]
            if self._srv:
                lookups.append(self._records(resolver))
            pauses = await asyncio.gather(*lookups)
        finally:
            await resolver.close()
        self.pause = min(pauses)
        seeds = tuple(dict.fromkeys(address for found in self._last.values() for address in found))
        if seeds != self._told:
            self._told = seeds
            self._found(seeds)

    async def _host(self, resolver: aiodns.DNSResolver, host: str, port: int) -> float:
        return await self._keep(f"{host}:{port}", "lan.peers", _addresses(resolver, host, port))

    async def _records(self, resolver: aiodns.DNSResolver) -> float:
        return await self._keep(self._srv, "lan.srv", _service(resolver, self._srv))

    async def _keep(self, name: str, key: str, lookup: Coroutine[None, None, _Found]) -> float:
        """Remember what was found. Returns in how many seconds to look again."""
        try:
            found, ttl = await lookup
        except aiodns.error.DNSError as error:
            if name not in self._failing:
                self._failing.add(name)
                log.warning(
                    "%s: %s cannot be looked up: %s; trying again", key, name, error.args[-1]
                )
            return RETRY
        if name in self._failing:
            self._failing.discard(name)
            log.info("%s: %s is found again", key, name)
        self._last[name] = found
        return min(max(float(ttl), SHORTEST), LONGEST)


async def _addresses(resolver: aiodns.DNSResolver, host: str, port: int) -> _Found:
    try:
        return [(str(ipaddress.IPv4Address(host)), port)], int(LONGEST)
    except ValueError:
        pass
    answer = await resolver.getaddrinfo(host, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    found = [(_text(node.addr[0]), port) for node in answer.nodes]
    return sorted(set(found)), min((node.ttl for node in answer.nodes), default=0)


async def _service(resolver: aiodns.DNSResolver, name: str) -> _Found:
    answer = await resolver.query_dns(name, "SRV")
    hosts, ttls = [], []
    for record in answer.answer:
        if isinstance(record.data, pycares.SRVRecordData):
            hosts.append(_addresses(resolver, record.data.target, record.data.port))
            ttls.append(record.ttl)
    results = await asyncio.gather(*hosts, return_exceptions=True)
    found = [result for result in results if not isinstance(result, BaseException)]
    for failure in results:
        if not found and isinstance(failure, BaseException):
            raise failure
    ttl = min([*ttls, *(ttl for _, ttl in found)], default=0)
    return sorted({address for addresses, _ in found for address in addresses}), ttl


def _split(peer: str, port: int) -> Address:
    host, _, given = peer.partition(":")
    return host, int(given) if given else port


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
