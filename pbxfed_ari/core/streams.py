"""Streams: how shelf and book travel. A stream is what one origin has published in one epoch,
numbered through: a first epoch from 1, a later one from where the one that it continues was left.

A replica holds of each stream a version, which claims: *of every key that the origin wrote up to here, I hold that value or
a newer one*. Per key only the newest number of a stream matters, so a stream is an index `version → key` with holes, never a
log that grows; its values stand on the shelf and in the book.

The claim is what makes pulling from third parties right. When the book entry that origin A wrote as its number 5 was later
replaced by B, whoever passes on A's number 5 sends B's value, with B's stamp: the receiver's claim about A holds even if it
never hears of B's stream.

A boot starts a new epoch, and says which earlier ones it continues and through which version (its *lineage*). A replica that
holds no more than that renames what it has: nothing travels twice. A replica that holds more (the origin was restored from an
old copy, or lost its disk) keeps the rest as a stream of its own, whose shelf keys are void; the origin finds it in its peers'
vectors, pulls it, and so regains its own unsent edits.
"""

from collections.abc import Iterator
from hashlib import blake2b

from pbxfed_ari.core.book import BookKey
from pbxfed_ari.core.names import NodeName

Key = str | BookKey  # a shelf key, or an object and field group of the book
StreamId = tuple[NodeName, int]  # origin and epoch
Ancestry = tuple[tuple[int, int], ...]  # (epoch, through version), newest first
MAX_LINEAGE = 8  # boots remembered; a replica away for longer pulls that origin's stream anew


class Stream:
    """One origin's index in one epoch, from `base` (nearly always 0) through `held`."""

    __slots__ = ("_newest", "_order", "base", "held")

    def __init__(self, base: int = 0) -> None:
        self.base = base  # entries up to here belong to a later epoch, which continues this one
        self.held = base  # everything above base and up to here is held
        self._order: dict[
            int, Key
        ] = {}  # version → key, growing; superseded versions are taken out
        self._newest: dict[Key, int] = {}

    def __repr__(self) -> str:
        return f"Stream(held={self.held}, keys={len(self._newest)})"

    def __len__(self) -> int:
        return len(self._newest)

    def note(self, version: int, key: Key) -> None:
        """The origin wrote `key` as number `version`; versions must come in growing order."""
        older = self._newest.get(key)
        if older is not None:
            del self._order[older]
        self._newest[key] = version
        self._order[version] = key

    def above(self, version: int) -> list[tuple[int, Key]]:
        """The entries above a version, in order. Costs what it returns, not what the stream holds."""
        found: list[tuple[int, Key]] = []
        for v in reversed(self._order):
            if v <= version:
                break
            found.append((v, self._order[v]))
        found.reverse()
        return found

    def entries(self) -> Iterator[tuple[int, Key]]:
        """All entries, in order."""
        return iter(self._order.items())

    def split(self, through: int) -> "Stream":
        """Cut off what lies above `through`, as a stream of its own; this one ends there."""
        tail = Stream(through)
        tail.held = max(self.held, through)
        for version, key in self.above(through):
            del self._order[version]
            del self._newest[key]
            tail.note(version, key)
        self.held = min(self.held, through)
        return tail


class Streams:
    """All streams that a node holds, its own among them."""

    def __init__(self) -> None:
        self._streams: dict[StreamId, Stream] = {}
        self._current: dict[NodeName, int] = {}  # the newest epoch heard of each origin
        self._lineage: dict[StreamId, Ancestry] = {}
        self._hash: int | None = None  # of the vector, until it changes

    def __repr__(self) -> str:
        return f"Streams({self.vector()})"

    def current_epoch(self, origin: NodeName) -> int:
        """The newest epoch of an origin, 0 if it was never heard."""
        return self._current.get(origin, 0)

    def next_epoch(self, origin: NodeName, wall_seconds: int) -> tuple[int, Ancestry]:
        """The epoch of a new boot, and what it continues: above all that was kept, and with the clock."""
        last = self.current_epoch(origin)
        epoch = max(wall_seconds, last + 1)
        held = self.held((origin, last))
        earlier = self._lineage.get((origin, last), ())
        return epoch, ((last, held), *earlier)[:MAX_LINEAGE] if held else earlier

    def held(self, stream: StreamId) -> int:
        """Through which version a stream is held; what a later epoch of it continues counts as held."""
        found = self._streams.get(stream)
        return found.held if found else self._floor(stream)

    def get(self, stream: StreamId) -> Stream | None:
        """The stream, if anything of it is held."""
        return self._streams.get(stream)

    def ids(self) -> list[StreamId]:
        """All streams, in a fixed order."""
        return sorted(self._streams)

    def lineage(self, stream: StreamId) -> Ancestry | None:
        """What a stream continues; None if that was never heard."""
        return self._lineage.get(stream)

    def vector(self) -> list[tuple[NodeName, int, int]]:
        """The version vector: (origin, epoch, held) in a fixed order; empty streams are left out."""
        return [(o, e, s.held) for (o, e), s in sorted(self._streams.items()) if s.held > s.base]

    def vector_hash(self) -> int:
        """64 bits of the version vector: equal on two nodes if they hold the same."""
        if self._hash is None:
            text = repr(self.vector()).encode()
            self._hash = int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
        return self._hash

    def open(self, stream: StreamId, base: int = 0) -> Stream:
        """The stream, made empty if it is new, from `base` or from where a later epoch ends to vouch for it."""
        self._current[stream[0]] = max(self.current_epoch(stream[0]), stream[1])
        return self._streams.setdefault(stream, Stream(max(base, self._floor(stream))))

    def _floor(self, stream: StreamId) -> int:
        lineage = self._lineage.get((stream[0], self.current_epoch(stream[0])), ())
        return dict(lineage).get(stream[1], 0)

    def advance(self, stream: StreamId, version: int) -> None:
        """Everything of the stream up to `version` is held now."""
        found = self.open(stream)
        if version > found.held:
            found.held = version
            self._hash = None

    def note(self, stream: StreamId, version: int, key: Key) -> None:
        """An entry of the stream has been applied."""
        self.open(stream).note(version, key)

    def adopt(self, origin: NodeName, epoch: int, lineage: Ancestry) -> list[Key]:
        """A newer epoch of an origin has begun. Returns the shelf keys that it does not vouch for.

        Nothing happens if the epoch is known already or older than the newest.
        """
        if epoch <= self.current_epoch(origin) and (origin, epoch) in self._lineage:
            return []
        if epoch < self.current_epoch(origin):
            return []
        before = max((e for o, e in self._streams if o == origin and e < epoch), default=0)
        self._current[origin] = epoch
        self._lineage[(origin, epoch)] = lineage[:MAX_LINEAGE]
        self._hash = None
        kept = dict(lineage)
        heir = self._streams.pop((origin, epoch), Stream())
        void: list[Key] = []
        for old in sorted(e for o, e in self._streams if o == origin):
            earlier = self._streams.pop((origin, old))
            tail = earlier.split(max(earlier.base, kept.get(old, 0)))
            if earlier.base == 0 and earlier.held > heir.held:
                heir = earlier  # the same numbering, held further
            if len(tail):
                self._streams[(origin, old)] = tail
                if old == before:  # what still older ones held went when they ended
                    void += [key for _, key in tail.entries() if isinstance(key, str)]
        self._streams[(origin, epoch)] = heir
        return void
