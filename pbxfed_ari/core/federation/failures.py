"""Failed authentications, by the address that they came from: counted at each node, known to all.

Two kinds. A *proven* one came from where it says: its sender had got our challenge, or a TCP connection. A *forgeable* one is
a single UDP datagram, in which anybody may write any address: it is counted and shown here, told to nobody, and nobody should
be shut out for it.

Peers hear steps only: at the third proven failure of an address, and whenever they have doubled since, the count goes on our
shelf ("f" and the address), which is one record for all nodes. It leaves the shelf when an hour has passed without another.
What an address has done in the federation is then known everywhere to within a factor of two, or exactly where it was done.
Of one IPv6 host any address of its /64 is its own: the network counts. The table is bounded: whoever has few proven failures
makes room first.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.events import AuthenticationsFailed
from pbxfed_ari.core.messages import Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records import shelf
from pbxfed_ari.core.records.directory import Directory

FIRST_TOLD = 3  # proven failures of an address here, before peers hear of it
ALARM = 10  # of all nodes, before an event says so; another one whenever they have doubled
QUIET = 3_600.0  # seconds without a failure after which an address is forgotten
LOOK = 60.0  # seconds between two looks at who is
MOST = 100  # addresses in the table
NEVER = float("inf")
REMEDY = "see whose phone it is, or shut it out (contrib/fail2ban)"


@dataclass(slots=True)
class Tally:
    """What an address has done here."""

    proven: int = 0
    forgeable: int = 0
    last: float = 0.0
    told: int = 0  # of the proven, to peers


@dataclass(frozen=True, slots=True)
class Row:
    """What an address has done in the federation."""

    address: str
    failures: int  # proven
    forgeable: int  # here
    nodes: tuple[NodeName, ...]  # where, of the proven


class Failures:
    """The table of one node."""

    def __init__(
        self, me: NodeName, directory: Directory, counts: Callable[[NodeName], bool]
    ) -> None:
        """`counts`: does a node's shelf count?"""
        self.proven = self.forgeable = 0  # since the start, of all addresses
        self._me, self._directory, self._counts = me, directory, counts
        self._here: dict[str, Tally] = {}
        self._alarmed: dict[str, int] = {}
        self._next = NEVER

    def __repr__(self) -> str:
        return f"Failures({len(self._here)} addresses)"

    def next_deadline(self) -> float:
        """When `tick` is due."""
        return self._next

    def recall(self, now: float) -> None:
        """What our shelf holds of an earlier boot stands, as if it had happened now."""
        for address, found in self._directory.shelves.failures.items():
            if self._me in found:
                count = found[self._me]
                self._here[address] = Tally(count, 0, now, count)
                self._next = now + LOOK

    def failed(self, event: AuthenticationsFailed, now: float) -> list[Record]:
        """Some have failed here. What peers must hear of it."""
        records: list[Record] = []
        self._next = min(self._next, now + LOOK)
        for text, proven, forgeable in event.found:
            address = whose(text)
            self.proven += proven
            self.forgeable += forgeable
            tally = self._here.setdefault(address, Tally())
            tally.proven += proven
            tally.forgeable += forgeable
            tally.last = now
            if tally.proven >= max(FIRST_TOLD, 2 * tally.told):
                tally.told = tally.proven
                records.append(ShelfPut(shelf.failure_key(address), shelf.encode_count(tally.told)))
        while len(self._here) > MOST:
            weakest = min(self._here, key=self._weight)
            records += self._forget(weakest)
        return records

    def tick(self, now: float) -> list[Record]:
        """Who has been quiet for an hour is forgotten."""
        if now < self._next:
            return []
        old = [a for a, tally in self._here.items() if now >= tally.last + QUIET]
        records = [record for address in old for record in self._forget(address)]
        self._next = now + LOOK if self._here else NEVER
        return records

    def alarms(self, sources: Iterable[str]) -> list[Note]:
        """Which of these have failed so often that an operator, or fail2ban, should look. Nodes of ours are no strangers."""
        infos = self._directory.shelves.infos().values()
        ours = {whose(a) for info in infos for a in shelf.addresses(info) if is_address(a)}
        found = []
        for address in sorted(set(sources) - ours):
            row = self.row(address)
            if row.failures < ALARM:
                self._alarmed.pop(address, None)
            if row.failures >= max(ALARM, 2 * self._alarmed.get(address, 0)):
                self._alarmed[address] = row.failures
                seen = (("failures", row.failures), ("nodes", ",".join(row.nodes)))
                told = (("address", address), *seen, ("remedy", REMEDY))
                found.append(Note("failed authentications", told, "warning"))
        return found

    def row(self, address: str) -> Row:
        """What an address has done: here exactly, elsewhere as far as it was told."""
        told = self._directory.shelves.failures.get(address, {})
        by_node = {n: count for n, count in told.items() if n != self._me and self._counts(n)}
        here = self._here.get(address, Tally())
        if here.proven:
            by_node[self._me] = here.proven
        return Row(address, sum(by_node.values()), here.forgeable, tuple(sorted(by_node)))

    def table(self) -> list[Row]:
        """The addresses that have failed most, in the federation."""
        rows = map(self.row, {*self._here, *self._directory.shelves.failures})
        worst = sorted(rows, key=lambda row: (-row.failures, -row.forgeable, row.address))
        return [row for row in worst if row.failures or row.forgeable][:MOST]

    # --- helpers

    def _weight(self, address: str) -> tuple[int, int, float]:
        tally = self._here[address]
        return tally.proven, tally.forgeable, tally.last

    def _forget(self, address: str) -> list[Record]:
        told = self._here.pop(address).told
        return [ShelfDrop(shelf.failure_key(address))] if told else []


def is_address(text: str) -> bool:
    """Is it an IPv4 or IPv6 address?"""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def whose(text: str) -> str:
    """The address, or the /64 of an IPv6 host; IPv4 within IPv6 is IPv4."""
    address = ip_address(text)
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address) >> 64 << 64, 64)))
