"""What a look at the machine has found, as values: the planning needs nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Include = Callable[[str], Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Asterisk:
    """The PBX: where it keeps what, and whether it runs."""

    version: str = ""
    running: bool = False
    pid: int = 0
    etc: str = "/etc/asterisk"
    varlib: str = "/var/lib/asterisk"
    logs: str = "/var/log/asterisk"
    user: str = "asterisk"
    group: str = "asterisk"
    calls: int = 0  # that a restart would end
    chan_sip: bool = False  # the older SIP channel runs
    too_old: str = ""  # why it cannot be used
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Interface:
    """An IPv4 address of this machine."""

    name: str
    address: str
    default: bool = False  # the way to everywhere begins here


@dataclass(frozen=True, slots=True)
class Socket:
    """Somebody listens."""

    protocol: str  # udp or tcp
    address: str  # 0.0.0.0 is all
    port: int
    program: str = ""  # empty: nobody knows
    pid: int = 0

    def meets(self, protocol: str, address: str, port: int) -> bool:
        """Would another socket there find this one in its way?"""
        everywhere = ("0.0.0.0", "::")
        here = self.address == address or self.address in everywhere or address in everywhere
        return (self.protocol, self.port) == (protocol, port) and here


@dataclass(frozen=True, slots=True)
class Machine:
    """All that was found."""

    asterisk: Asterisk
    interfaces: tuple[Interface, ...] = ()
    sockets: tuple[Socket, ...] = ()
    files: dict[str, str] = field(
        default_factory=dict
    )  # of Asterisk's folder, by name; ours by pbxfed/name
    include: Include = lambda name: []
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()  # of the daemon's user
    config: str | None = None  # the text of pbxfed.toml, if there is one
    password: str = ""  # of ARI, if both files have the same
    member: bool = False  # the state folder holds keys
    shared: bool = False  # both users may write the file that they share
