"""What DNS says of a node, by all others at once: since when they name it, or do not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException

import dns.exception
import dns.message
import dns.query

from lab.netns import socket_in
from lab.node import DOMAIN
from lab.root import ensure_tools
from tests.lab.conftest import Federation

UDP = f"_sip._udp.{DOMAIN}"
PATIENCE = 30.0  # seconds
AWAY = 3.0  # seconds until a cable is plugged in again


def listen(federation: Federation, *more: str) -> None:
    """Every node shall answer DNS, at its own address and at these, once its daemon is started again."""
    ensure_tools({"dig": "bind9-dnsutils"})
    for name in federation.names:
        federation.lab.kill(name, "daemon")
        federation.lab.configure(name, "dns", "listen", [address(federation, name), *more])


def address(federation: Federation, node: str) -> str:
    """Where a node answers."""
    return federation.lab.node(node).host.address


def dig(federation: Federation, server: str, *words: str, at: str = "", asker: str = "") -> str:
    """What dig prints: asked at a node (of itself, unless another asks)."""
    argv = ["dig", "+tries=1", "+time=1", f"@{at or address(federation, server)}", *words]
    done = federation.lab.exec(asker or server, argv, capture_output=True)
    return str(done.stdout).strip()


def services(federation: Federation, server: str, *words: str, **how: str) -> dict[str, int]:
    """The priority of each node that the answer names."""
    lines = dig(federation, server, "+short", UDP, "SRV", *words, **how).splitlines()
    rows = [line.split() for line in lines if not line.startswith(";")]
    return {row[3].split(".")[0]: int(row[0]) for row in rows}


def named(federation: Federation, server: str) -> set[str]:
    """Whom an answer of this node names; nobody, if it is silent. No program is started to ask, which would take its time."""
    link = socket_in(federation.lab.node(server).host.namespace, socket.SOCK_DGRAM)
    with closing(link), suppress(dns.exception.DNSException, OSError):
        link.setblocking(False)
        query = dns.message.make_query(f"{UDP}.", "SRV")
        found = dns.query.udp(query, address(federation, server), timeout=1.0, sock=link)
        return {str(record.target).partition(".")[0] for rows in found.answer for record in rows}
    return set()


class Naming:
    """Asks, beside whatever is done meanwhile. Results are moments (monotonic) at which an answer had come."""

    def __init__(self, federation: Federation, victim: str) -> None:
        self._federation, self.victim = federation, victim
        self._others = [name for name in federation.names if name != victim]
        self._pool = ThreadPoolExecutor(len(federation.names))

    def __enter__(self) -> Naming:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()

    def all_say(self, *, there: bool) -> Callable[[], float]:
        """Begin to ask; the returned function waits until the last of the others has said so, and tells when."""
        asks = [partial(self._says, name, there) for name in self._others]
        found = [self._pool.submit(self._until, ask) for ask in asks]
        return lambda: max(one.result() for one in found)

    def gone(self, harm: Callable[[], None]) -> float:
        """Do it this harm: after how many seconds the last of the others names it no more."""
        began = time.monotonic()
        harm()
        return self.all_say(there=False)() - began

    def says_itself(self) -> Callable[[], float]:
        """Begin to ask its own /health; the returned function tells when that said that calls can be served."""
        return self._pool.submit(self._until, self._well).result

    def _says(self, server: str, there: bool) -> bool:
        found = named(self._federation, server)
        return bool(found) and (self.victim in found) is there

    def _well(self) -> bool:
        with suppress(OSError, HTTPException):
            status, _ = self._federation.lab.node(self.victim).http("GET", "/health")
            return bool(status == 200)
        return False

    def _until(self, holds: Callable[[], bool]) -> float:
        self._federation.until(holds, PATIENCE, what=f"{holds} of {self.victim}")
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to a node and is mended again: how long until the last of the others says so, in seconds."""

    gone: float  # from the fault
    back: float  # from when it could take calls


def killed(federation: Federation, victim: str) -> Change:
    """Daemon and Asterisk, kill -9, started together. It can take calls when its own /health says so."""
    lab = federation.lab
    with Naming(federation, victim) as naming:
        gone = naming.gone(partial(lab.kill, victim))
        told, able = naming.all_say(there=True), naming.says_itself()
        lab.start(victim)
        return Change(gone, told() - able())


def asterisk_killed(federation: Federation, victim: str) -> Change:
    """Its Asterisk alone. It can take calls when it says that it has fully booted: our noticing counts."""
    lab = federation.lab
    with Naming(federation, victim) as naming:
        gone = naming.gone(partial(lab.kill, victim, "asterisk"))
        told = naming.all_say(there=True)
        lab.start(victim, "asterisk")
        able = time.monotonic()
        return Change(gone, told() - able)


def cut(federation: Federation, victim: str) -> Change:
    """Its cable. It can take calls all the time: it is back when the cable is."""
    lab = federation.lab
    with Naming(federation, victim) as naming:
        gone = naming.gone(partial(lab.cut, victim))
        time.sleep(AWAY)
        told = naming.all_say(there=True)
        began = time.monotonic()
        lab.heal()
        return Change(gone, told() - began)
