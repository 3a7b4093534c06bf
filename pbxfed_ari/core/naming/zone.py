"""The federation's domain as a DNS zone: what is answered to which question. Who is named, and in which order: signpost.

    @            SOA NS NAPTR, and A AAAA for phones that know no SRV      NODE             A AAAA
    _sip._udp    SRV, and so for each transport that a node takes          _udp _tcp …      nothing, but there (RFC 8020)

Data stand as text, as in a zone file (RFC 1035 §5.1), so that an export and an answer say the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from random import Random

from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.naming.signpost import (
    NEAR,
    Sign,
    Standing,
    nearest,
    pointers,
    signs,
    site_of,
)

Labels = tuple[str, ...]  # of a name, in lower case, without the root
SERVICES: dict[str, tuple[str, Labels]] = {  # RFC 3263 §4.1; WebSocket: RFC 7118 §5.5
    "tls": ("SIPS+D2T", ("_sips", "_tcp")),
    "tcp": ("SIP+D2T", ("_sip", "_tcp")),
    "udp": ("SIP+D2U", ("_sip", "_udp")),
    "wss": ("SIPS+D2W", ("_sips", "_ws")),
    "ws": ("SIP+D2W", ("_sip", "_ws")),
}
OWNERS = {
    **{owner: transport for transport, (_, owner) in SERVICES.items()},
    ("_sip", "_tls"): "tls",  # in no RFC; some phones ask for it
}
STEADY = 300  # seconds that what does not follow health may be remembered
MOST_NS = 6  # name servers told
APEX: Labels = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record."""

    owner: Labels  # below the zone's own name
    ttl: int
    kind: str  # "SRV", "A", …
    data: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a name; without records it comes with the SOA (RFC 2308)."""

    exists: bool
    records: tuple[Record, ...] = ()
    extra: tuple[Record, ...] = ()  # addresses of those that are named, if there is room
    soa: Record | None = None


@dataclass(frozen=True, slots=True)
class Asker:
    """What is said depends on: who lives, where the asker is, the time, and luck."""

    signs: Sequence[Sign]
    site: str
    serial: int  # of the SOA: seconds since 1970
    rng: Random


class Zone:
    """The zone of one domain."""

    def __init__(self, domain: str, ttl: int) -> None:
        """`ttl` in seconds, of all that follows health, and of what is not there."""
        self.domain = domain.removesuffix(".").lower()
        self.ttl = ttl
        self._labels = tuple(self.domain.split("."))

    def below(self, name: Labels) -> Labels | None:
        """A name without the zone's own; None if it is not in the zone."""
        count = len(self._labels)
        return name[:-count] if name[-count:] == self._labels else None

    def answer(self, owner: Labels, kind: str, asker: Asker) -> Answer:
        """What is known of a name below the zone's own. Lists are drawn anew for each asker."""
        exists = self._exists(owner, asker.signs)
        if exists and kind == "ANY":  # RFC 8482 §4.2
            return Answer(True, (Record(owner, STEADY, "HINFO", '"RFC8482" ""'),))
        records = tuple(self._records(owner, kind, asker)) if exists else ()
        if records:
            return Answer(True, records, tuple(self._extra(records, asker)))
        return Answer(exists, soa=self._soa(asker, self.ttl))

    def export(self, known: Sequence[Sign], site: str = "") -> list[Record]:
        """All nodes, the dead too: for who keeps the zone by hand, where nothing follows health.

        With a site, its own nodes come first, as its phones should have it; without, all are alike.
        """
        found = [Record(APEX, STEADY, "NAPTR", data) for data in self._naptr(known)]
        for owner, transport in OWNERS.items():
            for sign in known:
                priority = NEAR if site in ("", sign.site) else 2 * NEAR
                if sign.port(transport):
                    lasting = replace(sign, weight=sign.capacity)
                    found.append(self._srv(owner, STEADY, priority, lasting, transport))
        apex = [sign for sign in known if site in ("", sign.site)] or known
        found += [r for sign in apex for r in _addresses(APEX, STEADY, sign)]
        return found + [r for sign in known for r in _addresses((sign.node,), STEADY, sign)]

    def delegation(self, known: Sequence[Sign]) -> list[Record]:
        """What the zone above must hold: name servers, and their addresses (glue, RFC 1034 §4.2.1)."""
        serving = [sign for sign in known if sign.dns]
        found = [Record(APEX, STEADY, "NS", self._host(sign)) for sign in serving]
        return found + [r for sign in serving for r in _addresses((sign.node,), STEADY, sign)]

    # --- what stands at a name

    def _exists(self, owner: Labels, known: Iterable[Sign]) -> bool:
        if owner == APEX or owner in {(sign.node,) for sign in known}:
            return True
        return any(
            sign.port(transport)
            for place, transport in OWNERS.items()
            if owner in (place, place[1:])
            for sign in known
        )

    def _records(self, owner: Labels, kind: str, asker: Asker) -> Iterable[Record]:
        if kind in ("A", "AAAA"):
            if owner == APEX:
                some = nearest(asker.signs, asker.site, asker.rng)
                return (r for s in some for r in _addresses(APEX, self.ttl, s) if r.kind == kind)
            of = [sign for sign in asker.signs if (sign.node,) == owner]
            return (r for s in of for r in _addresses(owner, STEADY, s) if r.kind == kind)
        if kind == "SRV" and owner in OWNERS:
            transport = OWNERS[owner]
            found = pointers(asker.signs, transport, asker.site, asker.rng)
            return (self._srv(owner, self.ttl, p.priority, p.sign, transport) for p in found)
        if owner != APEX:
            return ()
        if kind == "SOA":
            return (self._soa(asker, STEADY),)
        if kind == "NS":
            return (Record(APEX, STEADY, "NS", self._host(s)) for s in _serving(asker.signs))
        if kind == "NAPTR":
            return (Record(APEX, STEADY, "NAPTR", data) for data in self._naptr(asker.signs))
        return ()

    def _naptr(self, known: Iterable[Sign]) -> list[str]:
        """One for each transport, as the first node likes them; "order" would forbid all but the first (RFC 3403 §4.1)."""
        offered = dict.fromkeys(name for sign in known for name, _ in sign.ports)
        return [
            f'10 {10 * place} "s" "{SERVICES[name][0]}" "" {".".join(SERVICES[name][1])}.{self.domain}.'
            for place, name in enumerate(offered, 1)
        ]

    def _srv(self, owner: Labels, ttl: int, priority: int, sign: Sign, transport: str) -> Record:
        figures = f"{priority} {sign.weight} {sign.port(transport)}"
        return Record(owner, ttl, "SRV", f"{figures} {self._host(sign)}")

    def _soa(self, asker: Asker, ttl: int) -> Record:
        """Nobody transfers the zone: of its times only the last, for what is not there, means something."""
        first = next(iter(_serving(asker.signs)), None)
        primary = self._host(first) if first else f"{self.domain}."
        times = f"{asker.serial % 2**32} 3600 600 86400 {self.ttl}"
        return Record(APEX, ttl, "SOA", f"{primary} hostmaster.{self.domain}. {times}")

    def _extra(self, records: Iterable[Record], asker: Asker) -> list[Record]:
        targets = {
            r.data.rpartition(" ")[2]: None for r in records if r.kind in ("SRV", "NS")
        }  # in order
        signs = {self._host(sign): sign for sign in asker.signs}
        named = [signs[target] for target in targets if target in signs]
        return [r for sign in named for r in _addresses((sign.node,), STEADY, sign)]

    def _host(self, sign: Sign) -> str:
        return f"{sign.node}.{self.domain}."


def asker(federation: Federation, client: str, wall_ms: int, rng: Random) -> Asker:
    """Who asks from this address, at this time. A site that no network names is ours."""
    site = site_of(client, federation.view.nets(), federation.ourselves.identity.site)
    return Asker(signs(federation), site, wall_ms // 1_000, rng)


def text(domain: str, records: Iterable[Record]) -> str:
    """A zone file's lines, to be included in another zone or put into one of its own."""
    rows = [(".".join(r.owner) or "@", str(r.ttl), "IN", r.kind, r.data) for r in records]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    lines = [
        " ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    return "\n".join([f"$ORIGIN {domain}.", *lines]) + "\n"


def _serving(known: Iterable[Sign]) -> list[Sign]:
    """Living name servers, ourselves first."""
    return [s for s in known if s.dns and s.standing < Standing.GONE][:MOST_NS]


def _addresses(owner: Labels, ttl: int, sign: Sign) -> list[Record]:
    kinds = {4: "A", 6: "AAAA"}
    return [Record(owner, ttl, kinds[ip_address(host).version], host) for host in sign.hosts]
