"""The signpost: of which nodes a phone should be told, and in which order (RFC 3263; RFC 2782 says what the figures mean).

    priority 10   well, of the phone's own site
             20   well, of another site
           5 more   of its site it has more than its share of the phones (core/routing/shares.py)
             30   to be tried last: it lives, but not within our reach, or it is being drained

Nobody is told of the dead. Of those that live and cannot serve (core/membership/condition.py), only when there is nobody else:
a phone that is told nothing remembers that. Weights are what is left of the nodes' capacities; clients draw among equal
priorities by them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from ipaddress import ip_address
from random import Random

from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.objects.site import network
from pbxfed_ari.core.records.shelf import MOST_HOSTS, TRANSPORTS, NodeInfo
from pbxfed_ari.core.routing import shares

NEAR, FAR, AT_LAST = 10, 20, 30
FULL = 5  # more than that
MOST = 8  # nodes in an answer: all of it fits into 512 bytes under most domains
# most likely dead: it takes half a second to be sure
DOUBTED = (State.ASKING_OTHERS, State.SUSPECT)
RESERVED = 2  # of MOST, for the priorities that follow the best


class Standing(IntEnum):
    """How far a node can be recommended."""

    WELL = 0
    LAST = 1
    SICK = 2  # lives, cannot serve
    GONE = 3


@dataclass(frozen=True, slots=True)
class Sign:
    """A node, as phones are told of it."""

    node: str
    site: str
    standing: Standing
    weight: int  # its capacity, less what its health lacks
    capacity: int
    hosts: tuple[str, ...]  # IPv4 and IPv6 addresses
    ports: tuple[tuple[str, int], ...]  # (transport, port), best first
    dns: bool  # it answers for the domain
    full: bool = False  # it has its share of phones, and a quarter more

    def port(self, transport: str) -> int:
        """Where it takes a transport; 0: nowhere."""
        return dict(self.ports).get(transport, 0)


@dataclass(frozen=True, slots=True)
class Pointer:
    """A sign in its place."""

    priority: int
    sign: Sign


def signs(federation: Federation) -> list[Sign]:
    """Every node that ever described itself, this one first, for its preferences come first."""
    me = federation.me
    known = [me, *(name for name in federation.directory.shelves.known() if name != me)]
    infos = ((name, federation.directory.shelves.info(name)) for name in known)
    found = [_sign(federation, name, info) for name, info in infos if info]
    above = _above(federation, found)
    return [replace(sign, full=True) if sign.node in above else sign for sign in found]


def _above(federation: Federation, found: Sequence[Sign]) -> set[str]:
    """Who has more than its share of its site's phones."""
    above: set[str] = set()
    well = [sign for sign in found if sign.standing is Standing.WELL]
    for site in {sign.site for sign in well}:
        weights = {sign.node: sign.weight for sign in well if sign.site == site}
        load = {
            node: federation.directory.registrations.count_at(NodeName(node)) for node in weights
        }
        above |= shares.full(load, weights)
    return above


def standing(federation: Federation, node: NodeName) -> Standing:
    """How a node stands, by all that the federation knows of its health."""
    member = federation.members.get(node)
    if node != federation.me and (member is None or not member.up):
        return Standing.GONE
    condition = federation.view.condition_of(node)
    if not condition.serves or (member is not None and member.state in DOUBTED):
        return Standing.SICK
    return Standing.WELL if condition.takes and federation.view.reachable(node) else Standing.LAST


def site_of(client: str, known: Iterable[tuple[str, str]], otherwise: str) -> str:
    """The site whose narrowest network holds an address."""
    address, found, length = ip_address(client), otherwise, -1
    for site, text in known:
        net = network(text)
        if net is not None and net.prefixlen > length and address in net:
            found, length = site, net.prefixlen
    return found


def pointers(known: Sequence[Sign], transport: str, site: str, rng: Random) -> list[Pointer]:
    """Who takes a transport, for a phone at a site; of many, some that are drawn anew for each."""
    able = [sign for sign in known if sign.port(transport)]
    ranks: dict[int, list[Sign]] = {}
    for sign in able:
        if sign.standing <= Standing.LAST:
            near = (NEAR if sign.site == site else FAR) + FULL * sign.full
            priority = AT_LAST if sign.standing is Standing.LAST else near
            ranks.setdefault(priority, []).append(sign)
    if not ranks:
        ranks[AT_LAST] = [sign for sign in able if sign.standing is Standing.SICK]
    found: list[Pointer] = []
    left = sum(map(len, ranks.values()))
    for priority in sorted(ranks):
        rank = ranks[priority]
        left -= len(rank)
        room = max(0, MOST - len(found) - (min(RESERVED, left) if not found else 0))
        some = rank if len(rank) <= room else rng.sample(rank, room)
        found += [Pointer(priority, sign) for sign in some]
    return found


def nearest(known: Sequence[Sign], site: str, rng: Random) -> list[Sign]:
    """For phones that ask for addresses only: the best rank, drawn by weight, so that each comes first by its share."""
    every: dict[str, Pointer] = {}
    for transport in TRANSPORTS:
        for pointer in pointers(known, transport, site, rng):
            every.setdefault(pointer.sign.node, pointer)
    best = min((pointer.priority for pointer in every.values()), default=0)
    rank = [pointer.sign for pointer in every.values() if pointer.priority == best]
    return sorted(rank, key=lambda sign: rng.random() ** (1 / sign.weight), reverse=True)[:MOST]


def _sign(federation: Federation, name: NodeName, info: NodeInfo) -> Sign:
    ports = info.phones or (("udp", info.sip_port),)
    return Sign(
        name,
        info.site,
        standing(federation, name),
        federation.view.condition_of(name).weight(info.weight),
        info.weight,
        _hosts(info.phone_addresses) or (info.address,),
        tuple((transport, port) for transport, port in ports if transport in TRANSPORTS and port),
        info.dns,
    )


@lru_cache(maxsize=4_096)
def _hosts(texts: tuple[str, ...]) -> tuple[str, ...]:
    """What of these is an address; a member's mistake must reach no answer."""
    found = []
    for text in texts:
        try:
            address = ip_address(text)
        except ValueError:
            continue
        if "%" not in text and not (address.is_unspecified or address.is_multicast):
            found.append(str(address))
    return tuple(found[:MOST_HOSTS])
