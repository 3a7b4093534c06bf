"""All shelves, and what they say, by subject: who nodes are, where rooms stand, who failed to log in, where phones are."""

from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records import shelf
from pbxfed_ari.core.records.changes import Absorbed, Change, FailuresChanged, InfoChanged
from pbxfed_ari.core.records.contents import Contents
from pbxfed_ari.core.records.graves import Graves
from pbxfed_ari.core.records.registrations import Registrations
from pbxfed_ari.core.records.shelf import NodeInfo
from pbxfed_ari.core.records.streams import Streams


class Shelves:
    """Every node's shelf. What changes one says what has changed."""

    def __init__(
        self, streams: Streams, contents: Contents, graves: Graves, registrations: Registrations
    ) -> None:
        self.hidden: frozenset[NodeName] = frozenset()  # nodes whose shelf counts no more
        self.failures: dict[str, dict[NodeName, int]] = {}  # address → node → told by it
        self.places: dict[str, dict[NodeName, int]] = {}  # number of a room → node → stamp
        self._streams, self._contents, self._graves = streams, contents, graves
        self._registrations = registrations
        self._shelves: dict[NodeName, dict[str, bytes]] = {}
        self._infos: dict[NodeName, NodeInfo] = {}

    def __repr__(self) -> str:
        return f"Shelves({sorted(self._shelves)})"

    # --- asking

    def info(self, node: NodeName) -> NodeInfo | None:
        """A node's description, if it was heard."""
        return None if node in self.hidden else self._infos.get(node)

    def known(self) -> list[NodeName]:
        """Every node that ever described itself."""
        return sorted(self._infos)

    def infos(self) -> dict[NodeName, NodeInfo]:
        """All descriptions, by node."""
        return self._infos

    def value(self, node: NodeName, key: str) -> bytes | None:
        """What stands under a key of a node's shelf."""
        return self._shelves.get(node, {}).get(key)

    def contacts_of(self, node: NodeName) -> set[tuple[Extension, str]]:
        """The registrations on one node's shelf."""
        keys = (shelf.contact_of_key(key) for key in self._shelves.get(node, ()))
        return {contact for contact in keys if contact is not None}

    # --- changing

    def put(self, node: NodeName, key: str, value: bytes | None) -> list[Change]:
        """A value has come to a shelf, or gone from it."""
        on = self._shelves.setdefault(node, {})
        if value is None:
            self._graves.bury((node, key))
        else:
            self._graves.open((node, key))
        before = on.get(key)
        if before == value:
            return []
        self._contents.shelf(node, key, before, -1)
        self._contents.shelf(node, key, value, 1)
        if value is None:
            del on[key]
        else:
            on[key] = value
        if key == shelf.INFO_KEY:
            return self._describe(node, value)
        if key == shelf.ABSORBED_KEY:
            pairs = shelf.decode_absorbed(value) if value is not None else ()
            done = [pair for pair in pairs if self._streams.absorb((node, pair[0]), pair[1])]
            return [Absorbed(node, *pair) for pair in done]
        if address := shelf.address_of_key(key):
            return self._failed(node, address, value)
        if number := shelf.number_of_key(key):
            return self._place(node, number, value)
        contact = shelf.contact_of_key(key)
        return [] if contact is None else [self._registrations.put(node, *contact, value)]

    def _describe(self, node: NodeName, value: bytes | None) -> list[Change]:
        info = shelf.decode_info(value) if value is not None else None
        if info is None:
            self._infos.pop(node, None)
        else:
            self._infos[node] = info
        return [InfoChanged(node)]

    def _failed(self, node: NodeName, address: str, value: bytes | None) -> list[Change]:
        count = shelf.decode_count(value) if value is not None else 0
        if count:
            self.failures.setdefault(address, {})[node] = count
        elif address in self.failures:
            self.failures[address].pop(node, None)
            if not self.failures[address]:
                del self.failures[address]
        return [FailuresChanged(node, address)]

    def _place(self, node: NodeName, number: str, value: bytes | None) -> list[Change]:
        """A room stands at a node, or does so no more."""
        found = shelf.decode_contact(value) if value is not None else None
        on = self.places.setdefault(number, {})
        if found is None:
            on.pop(node, None)
        else:
            on[node] = found.stamp
        if not on:
            del self.places[number]
        return []
