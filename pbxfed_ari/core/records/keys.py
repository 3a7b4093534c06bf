"""The group's keys in time: which are held, which one seals, which ones still open, and when that changes.

A rotation makes a new key. Who gets it opens frames under it at once and seals with it a moment later, when the others have it
too; what it used before stays readable for a while. So a rotation loses no frame. An expulsion is a rotation in a hurry.

    held ──at once──▶ opens ──SWITCH──▶ seals ──a newer one──▶ opens ──GRACE──▶ opens introductions only

The last state is for members that were away: their introduction is understood, and answered with the newer key, sealed for
them alone (`gate.py`). Keys are ordered by the stamp of the rotation that made them, so of concurrent rotations one wins
everywhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from pbxfed_ari.core.effects import UseKeys

KEY = 32  # bytes
KEY_ID = 4  # bytes: tells keys apart on the wire, and says nothing of them
SWITCH, URGENT_SWITCH = 1.0, 0.5  # seconds from holding a key to sealing with it
GRACE, URGENT_GRACE = 60.0, 2.0  # seconds for which the older ones stay readable
MOST = 8  # keys held; who was away for more rotations is invited anew


class Signer(Protocol):
    """What the core asks of cryptography: this node's own key pairs, and signatures of others."""

    @property
    def public(self) -> bytes:
        """X25519: the pair's secrets come of it."""
        ...

    @property
    def signing(self) -> bytes:
        """Ed25519: others verify our signatures with it."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Our signature."""
        ...

    def verify(self, signing: bytes, signature: bytes, data: bytes) -> bool:
        """Is this that key's signature of the data?"""
        ...

    def agrees(self, public: bytes) -> bool:
        """Can a secret come of this and our own key? Of some bytes, right in number, none can."""
        ...

    def wrap(self, public: bytes, secret: bytes, context: bytes) -> bytes:
        """Seal a secret for one node. One context must never go with two secrets."""
        ...

    def unwrap(self, public: bytes, sealed: bytes, context: bytes) -> bytes | None:
        """Open what that node sealed for us; None if it is anything else."""
        ...

    def lock(self, material: bytes, secret: bytes, context: bytes) -> bytes:
        """Seal a secret that is kept, under a group key: always alike."""
        ...

    def unlock(self, material: bytes, sealed: bytes, context: bytes) -> bytes | None:
        """Open it; None if it is anything else."""
        ...


def key_id(material: bytes) -> bytes:
    """The short name of a group key."""
    return blake2b(material, digest_size=KEY_ID, person=b"pbxfed key id").digest()


@dataclass(frozen=True, slots=True)
class GroupKey:
    """One key of the group."""

    material: bytes = field(repr=False)
    made: int = 0  # stamp of the rotation; 0: the federation was born with it
    by: str = ""  # the node that made it
    urgent: bool = False  # made to leave somebody out

    @property
    def id(self) -> bytes:
        """Its short name."""
        return key_id(self.material)


class Keyring:
    """The keys that this node holds."""

    def __init__(
        self,
        keys: Iterable[GroupKey],
        closed: tuple[int, str] | None = None,
        holders: Mapping[str, bytes] | None = None,
    ) -> None:
        """`closed`: the first rotation ever, its stamp and its maker; None if there was none. `holders`: the other members
        and their X25519 keys, for a node that has lost its store.

        Raises: ValueError, if there is no key.
        """
        self.holders = dict(holders or {})
        self._keys = sorted(keys, key=_age, reverse=True)
        if not self._keys:
            raise ValueError("a keyring without a key")
        self.closed = closed
        self._sealing = self.newest
        self._switch_at = float("inf")
        self._until = {self.newest.id: float("inf")}  # readable ones, and until when

    def __repr__(self) -> str:
        return f"Keyring({len(self._keys)} keys, {self._sealing.id.hex()} seals)"

    @property
    def newest(self) -> GroupKey:
        """What all will seal with before long."""
        return self._keys[0]

    @property
    def sealing(self) -> GroupKey:
        """What we seal with."""
        return self._sealing

    def __iter__(self) -> Iterator[GroupKey]:
        """All, newest first."""
        return iter(self._keys)

    def get(self, name: bytes) -> GroupKey | None:
        """The key with this id, if it is held."""
        return next((key for key in self._keys if key.id == name), None)

    def readable(self, name: bytes) -> bool:
        """Do frames under this key count?"""
        return name in self._until

    def hold(
        self,
        key: GroupKey,
        now: float,
        *,
        closed: tuple[int, str] | None = None,
        at_once: bool = False,
    ) -> bool:
        """Take a key in. False if it is here already, or too old to be kept.

        `closed`: the first rotation, as far as the giver knows. `at_once`: others seal with it already.
        """
        if len(key.material) != KEY or self.get(key.id) is not None:
            return False
        kept = sorted([*self._keys, key], key=_age, reverse=True)[:MOST]
        if key not in kept:
            return False
        self._keys = kept
        made = (key.made, key.by) if key.made else None
        self.closed = min(filter(None, (self.closed, made, closed)), default=None)
        if key is self.newest:
            self._until[key.id] = float("inf")
            self._switch_at = now + (URGENT_SWITCH if key.urgent else SWITCH)
            if at_once:
                self._sealing, self._switch_at = key, float("inf")
        elif not any(other.urgent and _age(other) > _age(key) for other in kept):
            self._until[key.id] = now + GRACE
        end = now + (URGENT_GRACE if key.urgent else GRACE)
        for other in kept:
            if other.id in self._until and _age(other) < _age(key):
                self._until[other.id] = min(self._until[other.id], end)
        return True

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        return min(self._switch_at, *self._until.values()) if self._until else self._switch_at

    def tick(self, now: float) -> bool:
        """Let time pass. True if something is used otherwise from now on."""
        due = self.next_deadline() <= now
        if now >= self._switch_at:
            self._sealing, self._switch_at = self.newest, float("inf")
        self._until = {name: until for name, until in self._until.items() if until > now}
        return due

    def use(self) -> UseKeys:
        """How the seal shall use them, now."""
        return UseKeys(
            tuple(key.material for key in self._keys),
            self._sealing.material,
            frozenset(key.material for key in self._keys if key.id in self._until),
        )


def _age(key: GroupKey) -> tuple[int, bytes]:
    return key.made, key.id
