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
vectors, pulls it, and so regains its own unsent edits. It publishes them anew and says that the old stream is *absorbed*
through where it pulled it: its index leaves all nodes, so no stream is left for good.

What is dead and was heard of by all leaves the index too (core/records/graves.py). A stream's `floor` is the highest number
that left it so: who holds less than that, but something, may have what is dead, and cannot be told by the numbers above.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.book import BookKey
from pbxfed_ari.core.records.clocks import NO_CLOCK

Key = str | BookKey  # a shelf key, or an object and field group of the book
StreamId = tuple[NodeName, int]  # origin and epoch
Ancestry = tuple[tuple[int, int], ...]  # (epoch, through version), newest first
LEAP = (
    1 << 14
)  # by up to so much an epoch is above the last, if no clock tells it apart from others above that
ASIDE: StreamId = (NodeName(""), 0)  # where a store keeps what belongs to no stream any more
MAX_LINEAGE = 32  # boots remembered; a replica away for longer pulls that origin's stream anew


class Stream:
    """One origin's index in one epoch, from `base` (nearly always 0) through `held`."""

    __slots__ = ("_keys", "_newest", "_versions", "base", "floor", "held")

    def __init__(self, base: int = 0) -> None:
        self.base = base  # entries up to here belong to a later epoch, which continues this one
        self.held = base  # everything above base and up to here is held
        self.floor = 0  # the highest number that was collected, here or where this came from
        self._newest: dict[Key, int] = {}
        self._versions: list[int] = []  # growing; beside each its key, or what was once its key
        self._keys: list[Key] = []

    def __repr__(self) -> str:
        return f"Stream(held={self.held}, keys={len(self._newest)})"

    def __len__(self) -> int:
        return len(self._newest)

    def __contains__(self, key: Key) -> bool:
        return key in self._newest

    def number(self, key: Key) -> int:
        """The newest number of a key; 0 if it is not in this stream."""
        return self._newest.get(key, 0)

    def note(self, version: int, key: Key) -> None:
        """The origin wrote `key` as number `version`; an older number than is known says nothing new."""
        if self._newest.get(key, 0) >= version:
            return
        self._newest[key] = version
        at = len(self._versions)
        if at and self._versions[-1] >= version:
            at = bisect_right(self._versions, version)
            if key in self._keys[bisect_left(self._versions, version) : at]:
                return  # it was collected, and is back
        self._versions.insert(at, version)
        self._keys.insert(at, key)
        if len(self._keys) > 2 * len(self._newest) + 16:
            self._sweep()

    def drop(self, keys: Iterable[Key]) -> list[Key]:
        """These keys are collected: they leave the index, and the floor rises. Returns those that were in it."""
        gone = [key for key in keys if key in self._newest]
        for key in gone:
            self.floor = max(self.floor, self._newest.pop(key))
        return gone

    def raise_floor(self, floor: int) -> None:
        """Up to here something was collected where this came from."""
        self.floor = max(self.floor, floor)

    def above(self, version: int) -> Iterator[tuple[int, Key]]:
        """The entries above a version, in order. Costs what is taken from it, not what the stream holds."""
        for at in range(bisect_right(self._versions, version), len(self._versions)):
            number, key = self._versions[at], self._keys[at]
            if self._newest.get(key) == number:
                yield number, key

    def __iter__(self) -> Iterator[Key]:
        """All keys, in no order."""
        return iter(self._newest)

    def split(self, through: int) -> "Stream":
        """Cut off what lies above `through`, as a stream of its own; this one ends there."""
        tail = Stream(through)
        tail.held = max(self.held, through)
        tail.floor = self.floor if self.floor > through else 0
        for version, key in list(self.above(through)):
            tail.note(version, key)
            del self._newest[key]
        self._sweep()
        self.held = min(self.held, through)
        self.floor = min(self.floor, through)
        return tail

    def _sweep(self) -> None:
        living = list(self.above(0))
        self._versions = [version for version, _ in living]
        self._keys = [key for _, key in living]


class Streams:
    """All streams that a node holds, its own among them."""

    def __init__(self) -> None:
        self._streams: dict[StreamId, Stream] = {}
        self._current: dict[NodeName, int] = {}  # the newest epoch heard of each origin
        self._lineage: dict[StreamId, Ancestry] = {}
        self._absorbed: dict[StreamId, int] = {}  # through where the origin has published it anew
        self._hash: int | None = None  # of the vector, until it changes

    def __repr__(self) -> str:
        return f"Streams({self.vector()})"

    def current_epoch(self, origin: NodeName) -> int:
        """The newest epoch of an origin, 0 if it was never heard."""
        return self._current.get(origin, 0)

    def next_epoch(
        self, origin: NodeName, wall_seconds: int, leap: int = 0
    ) -> tuple[int, Ancestry]:
        """The epoch of a new boot, and what it continues: above all that was kept, and with the clock.

        `leap`: a random number below LEAP. A clock that stands still, and a disk that is an old copy, would lead two boots to
        one epoch, and to two meanings of its numbers.
        """
        last = self.current_epoch(origin)
        told = wall_seconds > last and wall_seconds >= NO_CLOCK
        epoch = wall_seconds if told else max(wall_seconds, last + 1) + leap
        held = self.held((origin, last))
        earlier = self._lineage.get((origin, last), ())
        return epoch, ((last, held), *earlier)[:MAX_LINEAGE] if held else earlier

    def held(self, stream: StreamId) -> int:
        """Through which version a stream is held; what a later epoch of it continues counts as held."""
        found = self._streams.get(stream)
        return found.held if found is not None else self.base(stream)

    def floor(self, stream: StreamId) -> int:
        """The highest number of a stream that was collected."""
        found = self._streams.get(stream)
        return found.floor if found is not None else 0

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
        """64 bits of the version vector: equal on two nodes if they hold the same numbers."""
        if self._hash is None:
            text = repr(self.vector()).encode()
            self._hash = int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
        return self._hash

    def open(self, stream: StreamId, base: int = 0) -> Stream:
        """The stream, made empty if it is new, from `base` or from where a later epoch ends to vouch for it."""
        self._current[stream[0]] = max(self.current_epoch(stream[0]), stream[1])
        return self._streams.setdefault(stream, Stream(max(base, self.base(stream))))

    def base(self, stream: StreamId) -> int:
        """Up to where a later epoch vouches for a stream: one that was told of, and stands, or that has absorbed it."""
        lineage = self._lineage.get((stream[0], self.current_epoch(stream[0])), ())
        return max(dict(lineage).get(stream[1], 0), self._absorbed.get(stream, 0))

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
            if tail.held > tail.base:
                self._streams[(origin, old)] = tail
                if old == before:  # what still older ones held went when they ended
                    void += [k for k in tail if isinstance(k, str) and k not in heir]
        self._streams[(origin, epoch)] = heir
        return void

    def absorb(self, stream: StreamId, through: int) -> bool:
        """The origin has published anew what it had written in an earlier epoch up to here: that index goes."""
        self._absorbed[stream] = max(through, self._absorbed.get(stream, 0))
        found = self._streams.get(stream)
        if found is None or stream[1] >= self.current_epoch(stream[0]) or found.base >= through:
            return False
        tail = found.split(through)
        del self._streams[stream]
        if tail.held > tail.base:
            self._streams[stream] = tail
        self._hash = None
        return True

    def absorbed(self, stream: StreamId) -> int:
        """Through where a stream was absorbed; 0 if it was not."""
        return self._absorbed.get(stream, 0)

    def left_over(self, origin: NodeName) -> list[StreamId]:
        """Streams of an origin's earlier epochs that still stand."""
        current = self.current_epoch(origin)
        return [stream for stream in self.ids() if stream[0] == origin and stream[1] != current]

    def forget(self, origin: NodeName, through: int) -> list[StreamId]:
        """All epochs of an origin up to this one are gone for good. Returns them."""
        gone = [stream for stream in self.ids() if stream[0] == origin and stream[1] <= through]
        for stream in gone:
            del self._streams[stream]
        for known in [k for k in self._lineage if k[0] == origin and k[1] <= through]:
            del self._lineage[known]
        if self.current_epoch(origin) <= through:
            self._current.pop(origin, None)
        self._hash = None
        return gone
