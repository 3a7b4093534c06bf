"""The ring: who is responsible for a key when nobody says. Weighted rendezvous hashing over the living nodes.

Each node draws a score for each key, `-weight / ln(h)` with h in (0, 1) from a hash of both; the highest wins
(Schindelhauer and Schomaker, SPAA 2005; draft-ietf-bess-weighted-hrw). A node's score does not depend on the others, so a
node that comes only takes, one that goes only gives, and a changed weight moves only that node's keys.

A ring is a value: a change builds a new one. `get_node` and `iterate_nodes` are named as in the `hashring` package.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from math import log

CACHE_KEYS = 65_536  # preference lists kept; about 10 MB at most, then begun anew
_SPAN = float(2**64)


class Ring:
    """An immutable ring of weighted nodes."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        """Weights are whole numbers above 0; shares are in proportion to them.

        Raises: ValueError, for a weight below 1.
        """
        for name, weight in weights.items():
            if weight < 1:
                raise ValueError(f"weight of {name} = {weight}: must be 1 or more")
        self.weights = dict(sorted(weights.items()))
        self._cache: dict[str, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"Ring({self.weights})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ring) and self.weights == other.weights

    def __hash__(self) -> int:
        return hash(tuple(self.weights.items()))

    def get_node(self, key: str) -> str | None:
        """The key's owner, or None on an empty ring."""
        ranked = self._cache.get(key)
        if ranked is None:
            ranked = self.preference(key)
        return ranked[0] if ranked else None

    def iterate_nodes(self, key: str) -> Iterator[str]:
        """All nodes, in the order in which they would own the key."""
        return iter(self.preference(key))

    def preference(self, key: str) -> tuple[str, ...]:
        """All nodes, in the order in which they would own the key; kept for the next time."""
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= CACHE_KEYS:
                self._cache.clear()
            found = self._cache[key] = self._rank(key)
        return found

    def share(self, node: str) -> float:
        """The part of all keys that a node is to own, 0 to 1."""
        return self.weights.get(node, 0) / sum(self.weights.values()) if self.weights else 0.0

    def fingerprint(self) -> str:
        """16 hex digits, equal on nodes whose rings are equal."""
        return blake2b(repr(self.weights).encode(), digest_size=8).hexdigest()

    def _rank(self, key: str) -> tuple[str, ...]:
        scored = [(score(node, weight, key), node) for node, weight in self.weights.items()]
        scored.sort(key=lambda entry: (-entry[0], entry[1]))
        return tuple(node for _, node in scored)


def score(node: str, weight: int, key: str) -> float:
    """What a node bids for a key: above 0, the more the heavier it is."""
    draw = blake2b(f"{node}\0{key}".encode(), digest_size=8).digest()
    return -weight / log((int.from_bytes(draw, "big") + 0.5) / _SPAN)
