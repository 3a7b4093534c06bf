"""Registrations: where phones stand, by number, as all shelves together say."""

from collections import Counter
from collections.abc import Callable

import msgspec

from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records import shelf
from pbxfed_ari.core.records.changes import ContactChanged

MOST_UNSURE = 3  # registrations of unknown time that ring along


class Registration(msgspec.Struct, frozen=True, gc=False):
    """Where a phone is registered, and since when."""

    node: NodeName
    uri: str
    stamp: int
    sure: bool = True


class Registrations:
    """All registrations of the federation, on nodes that live or not."""

    def __init__(self, devices: Callable[[Extension], int]) -> None:
        """`devices`: how many phones may be registered under a number at once."""
        self._devices = devices
        self._contacts: dict[Extension, tuple[Registration, ...]] = {}  # one of each node and URI
        self._on: Counter[NodeName] = Counter()  # how many on each shelf

    def __repr__(self) -> str:
        return f"Registrations({len(self._contacts)} numbers)"

    def of(self, number: Extension, counts: Callable[[NodeName], bool]) -> list[Registration]:
        """Where a number is registered, newest first, on nodes that count.

        Of one URI on several shelves only the newest stands (a phone that moved); beyond the device limit, the newest.
        An unsure one rings along until something sure has happened after it: it may be where the phone really is.
        """
        standing = [r for r in self._contacts.get(number, ()) if counts(r.node)]
        if len(standing) < 2:
            return standing
        standing.sort(key=lambda r: (not r.sure, -r.stamp, r.node, r.uri))
        newest: dict[str, Registration] = {}
        for registration in standing:
            newest.setdefault(registration.uri, registration)
        sure = [r for r in newest.values() if r.sure][: self._devices(number)]
        last = sure[0].stamp if sure else 0
        unsure = [r for r in newest.values() if not r.sure and r.stamp >= last]
        return sure + unsure[:MOST_UNSURE]

    def numbers(self, counts: Callable[[NodeName], bool] = lambda node: True) -> list[Extension]:
        """All numbers that stand registered on any shelf, of a node that counts."""
        found = self._contacts.items()
        return sorted(number for number, known in found if any(counts(r.node) for r in known))

    def count_at(self, node: NodeName) -> int:
        """How many registrations stand on one node's shelf."""
        return self._on[node]

    def at(self, node: NodeName, number: Extension) -> set[tuple[Extension, str]]:
        """The registrations of one number on one node's shelf."""
        return {(number, r.uri) for r in self._contacts.get(number, ()) if r.node == node}

    def newest_stamp(self, number: Extension) -> int:
        """The newest registration's stamp of a number, on any shelf; 0 if there is none."""
        return max((r.stamp for r in self._contacts.get(number, ())), default=0)

    def stamps(self) -> list[int]:
        """Every stamp that stands."""
        return [r.stamp for known in self._contacts.values() for r in known]

    def put(
        self, node: NodeName, number: Extension, uri: str, value: bytes | None
    ) -> ContactChanged:
        """One has come to a node's shelf, in another's place perhaps, or gone from it."""
        contact = shelf.decode_contact(value) if value is not None else None
        before = self._contacts.get(number, ())
        known = tuple(r for r in before if r.node != node or r.uri != uri)
        self._on[node] += (contact is not None) - (len(known) < len(before))
        if contact is not None:
            known = (*known, Registration(node, uri, contact.stamp, contact.sure))
        if known:
            self._contacts[number] = known
        else:
            self._contacts.pop(number, None)
        return ContactChanged(node, number, uri, contact.stamp if contact else None)
