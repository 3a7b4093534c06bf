"""A sheet: all that a phone is told, whoever made it. And the recipe: how it notices in seconds that a node has died."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

KEEP_ALIVE = 20  # seconds: keeps a router's mapping, which may last 30 (RFC 4787 §4.3 wants 120), and a TCP connection tested
RETRY = 5  # seconds after a failed registration, until the next one
SESSION = 300  # seconds: a call whose node has died ends at the phone after at most that (RFC 4028)
REFRESH_MINUTES = 1_440  # the file is fetched anew once a day, as a new secret must reach the phone


@dataclass(frozen=True, slots=True)
class Server:
    """Where a node takes SIP."""

    host: str  # an address; IPv6 without brackets
    port: int

    @property
    def place(self) -> str:
        """As in a URI."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


Value = TypeVar("Value", int, str)
Registrar = tuple[int, Server, Value]  # counted from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What one phone is told."""

    number: str
    name: str  # what others display; may hold any character
    secret: str = field(repr=False)
    digest: str = field(repr=False)  # md5(number:domain:secret), for phones that take it
    domain: str  # of SIP, and the realm
    transport: str  # "udp", "tcp" or "tls"
    port: int  # where most nodes take it
    srtp: bool
    servers: tuple[
        Server, ...
    ]  # the best first; none: the phone shall look the domain up (RFC 3263)
    naptr: bool = False  # NAPTR puts this transport first
    expires: int = 60  # seconds that a registration lasts
    mac: str = ""  # as the phone asked, 12 hexadecimal digits in lower case; "": it did not say

    @property
    def shown(self) -> str:
        """What its display says: the name, or the number without one."""
        return self.name or self.number

    def registrars(self, transports: Mapping[str, Value], naptr: Value) -> list[Registrar[Value]]:
        """Where it registers, the best first, two at most; how the maker calls its transport, or that NAPTR tells it."""
        by = naptr if self.naptr and not self.servers else transports[self.transport]
        looked_up = Server(self.domain, 0 if self.naptr else self.port)
        places = self.servers[:2] or (looked_up,)
        return [(i, server, by) for i, server in enumerate(places, 1)]

    @property
    def half(self) -> int:
        """Seconds after which a registration is refreshed."""
        return self.expires // 2
