"""The lab's network: a namespace per host, a switch per site, cables that can be cut.

    site main:    br0 ── n-a ═ e0 [node a 10.77.0.11]      site branch1:  br1 ── n-b ═ e0 [node b 10.77.1.12]
                   │  ── p-a ═ e0 [phones of a .111]                       │
                  r-0                                                     r-1
                   └────────────── [router 10.77.0.1 … 10.77.1.1] ─────────┘   (no multicast crosses it)
                                               │
                              br2 ── n-hub ═ e0 [NATS server 10.77.2.4]         (if the sites meet there)

All switches live in one namespace of their own, so the host's network is never touched. Frames are counted and
dropped at the *switch port*: what a host sends to itself (a multicast sender hears its own copy) is not on the
wire and not counted, and a cut cable carries nothing. All counts are the kernel's.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab.places import LabError

T = TypeVar("T")

FEDERATION_PORT = 8781  # UDP
ZENOH_PORT = 8782  # TCP, of the nodes in the rendezvous role
NATS_PORT = 4222  # TCP, of the hub
ETHERNET_HEADER = 14  # bytes; a switch port's ingress hook sees the frame without it
NEIGHBOURS = (4096, 8192, 16384)  # gc_thresh1..3: the table is one for all namespaces of a machine
NETFILTER = 12  # netlink family
CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
MS_BIND, MS_REC, MS_SLAVE, MNT_DETACH = 0x1000, 0x4000, 0x80000, 2
EVER = 1_000_000_000  # a counter that wraps later than any lab lives

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace with one cable to its site's switch."""

    namespace: str
    port: str  # the name of the switch's end of the cable
    site: int
    address: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """Frames and bytes, Ethernet header included."""

    tx_bytes: int
    tx_frames: int
    rx_bytes: int
    rx_frames: int


class Network:
    """The switches, hosts and cables of one lab; `prefix` keeps it apart from any other."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.switch = f"{prefix}-switch"
        self.router = f"{prefix}-router"

    def build(self, hosts: Iterable[Host], sites: int, nat: Iterable[int] = ()) -> None:
        """Make all of it: namespaces, switches, cables, addresses, routes, counters.

        `sites` counts the LANs, a hub's own included; those numbered in `nat` can dial out and not be dialled.
        """
        hosts = list(hosts)
        names = [self.switch, *([self.router] if sites > 1 else []), *(h.namespace for h in hosts)]
        _raise_neighbour_limits()
        _ip("\n".join(f"netns add {name}" for name in names))
        for name in names:
            within(name, lambda: _quiet(router=False))
        _ip("link set lo up", self.switch)
        for site in range(sites):
            _ip(
                f"link add br{site} type bridge mcast_snooping 0 forward_delay 0 stp_state 0\n"
                f"link set br{site} up",
                self.switch,
            )
        for host in hosts:
            self._plug(host.namespace, host.port, "e0", host.site)
            _ip(
                f"link set lo up\naddr add {host.address}/24 dev e0\nlink set e0 up", host.namespace
            )
            self._routes(host, sites)
        if sites > 1:
            self._build_router(sites)
            self._masquerade(nat)
        self._count([*(host.port for host in hosts), *_edges(sites)])

    def _plug(self, namespace: str, port: str, interface: str, site: int) -> None:
        _ip(
            f"link add {port} type veth peer name {interface} netns {namespace}\n"
            f"link set {port} master br{site} up",
            self.switch,
        )

    def _build_router(self, sites: int) -> None:
        _ip("link set lo up", self.router)
        for site in range(sites):
            self._plug(self.router, edge(site), f"e{site}", site)
            _ip(f"addr add 10.77.{site}.1/24 dev e{site}\nlink set e{site} up", self.router)
        within(self.router, lambda: _quiet(router=True))

    def _masquerade(self, sites: Iterable[int]) -> None:
        """Let sites stand behind one address: who is outside sees the router's, and cannot begin a conversation."""
        rules = "".join(
            f"""add table ip nat{site}
add chain ip nat{site} out {{ type nat hook postrouting priority srcnat; }}
add rule ip nat{site} out iifname e{site} oifname != e{site} masquerade
add chain ip nat{site} in {{ type filter hook forward priority filter; }}
add rule ip nat{site} in oifname e{site} ct state new drop
"""
            for site in sites
        )
        if rules:
            _run(["ip", "netns", "exec", self.router, "nft", "-f", "-"], rules)

    def forget_conversations(self) -> None:
        """The router loses its table of what it translates, as one does that restarts: no conversation of before is known."""
        within(self.router, _flush_conntrack)

    def _routes(self, host: Host, sites: int) -> None:
        routes = ["route replace 224.0.0.0/4 dev e0"]
        if sites > 1:
            routes.append(
                f"route replace 10.77.0.0/16 via 10.77.{host.site}.1"
            )  # no way out: DNS fails at once
        _ip("\n".join(routes), host.namespace)

    def _count(self, ports: Iterable[str]) -> None:
        """One table per switch port: count what comes in there, lose what is to be lost, count what goes out."""
        fed = f"udp dport {FEDERATION_PORT}"
        back = f"udp sport {FEDERATION_PORT}"
        wan = f"{{ {ZENOH_PORT}, {NATS_PORT} }}"
        rules = []
        for port in ports:
            hook = f"device {port} priority"
            rules.append(f"""table netdev {_table(port)} {{
  counter tx {{ }}
  counter rx {{ }}
  counter wan_tx {{ }}
  counter wan_rx {{ }}
  chain tx {{ type filter hook ingress {hook} -20;
    {fed} counter name tx accept
    {back} counter name tx
    tcp dport {wan} counter name wan_tx accept
    tcp sport {wan} counter name wan_tx
  }}
  chain lose_out {{ type filter hook ingress {hook} -10; }}
  chain lose_in {{ type filter hook egress {hook} -10; }}
  chain rx {{ type filter hook egress {hook} 0;
    {fed} counter name rx accept
    {back} counter name rx
    tcp dport {wan} counter name wan_rx accept
    tcp sport {wan} counter name wan_rx
  }}
}}""")
        self._nft("\n".join(rules))

    def cut(self, port: str) -> None:
        """Pull a cable: the host keeps its address and routes, and loses the carrier."""
        _ip(f"link set {port} down", self.switch)

    def heal(self, hosts: Iterable[Host], sites: int) -> None:
        """Plug every cable in again, and let every host tell the switch where it is."""
        hosts = list(hosts)
        ports = [host.port for host in hosts] + _edges(sites)
        _ip("\n".join(f"link set {port} up" for port in ports), self.switch)
        for host in hosts:
            _ip("link set e0 up", host.namespace)
            self._routes(host, sites)
            within(host.namespace, _announcement(host.address))

    def drop(
        self, host: Host, match: str, *, outgoing: bool, count: int | None, percent: float
    ) -> None:
        """Lose frames at a host's switch port: the next `count` that match, or `percent` of them."""
        if count is not None:
            choice = f"numgen inc mod {EVER} < {count}"
        elif percent < 100:
            choice = f"numgen random mod 10000 < {round(percent * 100)}"
        else:
            choice = ""
        chain = "lose_out" if outgoing else "lose_in"
        self._nft(f"add rule netdev {_table(host.port)} {chain} {match} {choice} counter drop")

    def undrop(self, *hosts: Host) -> None:
        """Lose nothing more at these hosts' switch ports, from one moment on."""
        tables = [_table(host.port) for host in hosts]
        chains = [f"{table} {chain}" for table in tables for chain in ("lose_in", "lose_out")]
        self._nft("\n".join(f"flush chain netdev {chain}" for chain in chains))

    def dropped(self, host: Host) -> int:
        """How many frames were lost on purpose since the rules were made."""
        listing = self._listing("table", "netdev", _table(host.port))
        return sum(
            part["counter"]["packets"]
            for item in listing
            if "rule" in item and item["rule"]["chain"].startswith("lose_")
            for part in item["rule"]["expr"]
            if isinstance(part.get("counter"), dict)
        )

    def counted(self) -> dict[str, tuple[Traffic, Traffic]]:
        """The federation's datagrams and the WAN link's frames, by switch port; of a site, by the port of its router."""
        tables: dict[str, dict[str, Any]] = {}
        for item in self._listing("counters"):
            if "counter" in item:
                tables.setdefault(item["counter"]["table"], {})[item["counter"]["name"]] = item[
                    "counter"
                ]
        return {
            _port(table): (
                _traffic(both["tx"], both["rx"]),
                _traffic(both["wan_tx"], both["wan_rx"]),
            )
            for table, both in tables.items()
        }

    def traffic(self, host: Host) -> Traffic:
        """All frames of a host's interface."""
        for line in within(host.namespace, _devices).splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == "e0":
                n = [int(word) for word in numbers.split()]
                return Traffic(tx_bytes=n[8], tx_frames=n[9], rx_bytes=n[0], rx_frames=n[1])
        raise LabError(f"{host.namespace} has no e0")

    def leftovers(self) -> list[str]:
        """The namespaces that carry our prefix, whoever made them."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(n for n in os.listdir("/run/netns") if n.startswith(f"{self.prefix}-"))
        return []

    def pids(self) -> list[int]:
        """Every process that runs in one of our namespaces."""
        found: list[int] = []
        for name in self.leftovers():
            done = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
            )
            found += [int(word) for word in done.stdout.split()]
        return found

    def remove(self) -> None:
        """Remove our namespaces; their links, tables and routes go with them."""
        for name in self.leftovers():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def _nft(self, script: str) -> None:
        _run(["ip", "netns", "exec", self.switch, "nft", "-f", "-"], script)

    def _listing(self, *what: str) -> list[dict[str, Any]]:
        command = ["ip", "netns", "exec", self.switch, "nft", "-j", "list", *what]
        listing: list[dict[str, Any]] = json.loads(_run(command, ""))["nftables"]
        return listing


def edge(site: int) -> str:
    """The switch port of a site where its router is plugged in."""
    return f"r-{site}"


def _edges(sites: int) -> list[str]:
    return [edge(site) for site in range(sites)] if sites > 1 else []


def _table(port: str) -> str:
    """The nftables table of a switch port."""
    return port.replace("-", "_", 1)


def _port(table: str) -> str:
    return table.replace("_", "-", 1)


def _traffic(tx: dict[str, Any], rx: dict[str, Any]) -> Traffic:
    return Traffic(
        tx["bytes"] + ETHERNET_HEADER * tx["packets"], tx["packets"], rx["bytes"], rx["packets"]
    )


def _flush_conntrack() -> None:
    """What `conntrack -F` does, one netlink message without a filter; and no conversation is taken up in its middle."""
    Path("/proc/sys/net/netfilter/nf_conntrack_tcp_loose").write_text("0")
    delete, flags = 1 << 8 | 2, 1 | 4  # subsystem conntrack, delete; a request that is acknowledged
    message = struct.pack("=IHHII", 20, delete, flags, 1, 0) + bytes(4)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as netlink:
        netlink.send(message)
        (error,) = struct.unpack_from("=i", netlink.recv(4096), 16)
    if error:
        raise OSError(-error, "the router's conversations")


def within(namespace: str, do: Callable[[], T]) -> T:
    """Run a function inside a namespace, in a thread that ends with it."""
    result: list[T] = []
    failure: list[BaseException] = []

    def thread() -> None:
        try:
            _set(namespace)
            result.append(do())
        except BaseException as error:  # handed to the caller's thread
            failure.append(error)

    worker = threading.Thread(target=thread, name=f"in {namespace}")
    worker.start()
    worker.join()
    if failure:
        raise failure[0]
    return result[0]


def enter(namespace: str) -> None:
    """Go into a namespace for good, as `ip netns exec` does: with its own /sys, and its own files of /etc, if it has some."""
    _set(namespace)
    _call("unshare", CLONE_NEWNS)
    _call("mount", b"", b"/", b"none", MS_SLAVE | MS_REC, None)
    _libc.umount2(b"/sys", MNT_DETACH)
    _call("mount", namespace.encode(), b"/sys", b"sysfs", 0, None)
    for own in Path("/etc/netns", namespace).glob("*"):
        _call("mount", bytes(own), b"/etc/" + own.name.encode(), b"none", MS_BIND, None)


def _set(namespace: str) -> None:
    """Of this thread."""
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        _call("setns", handle, CLONE_NEWNET)
    finally:
        os.close(handle)


def _call(name: str, *arguments: bytes | int | None) -> None:
    if getattr(_libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name} {arguments}")


def socket_in(namespace: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket that belongs to a namespace, for use from this one."""
    return within(namespace, lambda: socket.socket(socket.AF_INET, kind))


def _quiet(*, router: bool) -> None:
    """Set one namespace's switches: no IPv6 chatter, no reverse-path surprises."""
    settings = {
        "ipv6/conf/all/disable_ipv6": "1",
        "ipv6/conf/default/disable_ipv6": "1",
        "ipv4/conf/all/rp_filter": "0",
        "ipv4/conf/default/rp_filter": "0",
        "ipv4/ip_forward": "1" if router else "0",
    }
    for name, value in settings.items():
        with contextlib.suppress(FileNotFoundError):
            Path(f"/proc/sys/net/{name}").write_text(value)


def _raise_neighbour_limits() -> None:
    """They are the machine's: a network other than its first one, as a container's, is not shown them."""
    for number, wanted in enumerate(NEIGHBOURS, 1):
        path = Path(f"/proc/sys/net/ipv4/neigh/default/gc_thresh{number}")
        if path.exists() and int(path.read_text()) < wanted:
            path.write_text(str(wanted))


def _devices() -> str:
    return Path("/proc/thread-self/net/dev").read_text()


def _announcement(address: str) -> Callable[[], None]:
    """A gratuitous ARP: neighbours forget the failure they noted while the cable was out."""

    def announce() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("e0", 0x0806))
            mac, ip = raw.getsockname()[4], socket.inet_aton(address)
            everyone = b"\xff" * 6
            ethernet = everyone + mac + struct.pack("!H", 0x0806)
            arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + mac + ip + everyone + ip
            with contextlib.suppress(OSError):
                raw.send(ethernet + arp)

    return announce


def _ip(lines: str, namespace: str | None = None) -> None:
    where = ["-n", namespace] if namespace else []
    _run(["ip", *where, "-batch", "-"], lines + "\n")


def _run(command: list[str], script: str) -> str:
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)} refused:\n{script}\n{done.stderr.strip()}")
    return done.stdout
