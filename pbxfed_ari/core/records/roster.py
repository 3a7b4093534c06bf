"""The roster: which name belongs to which node key, and who was expelled. Signed, in the book, alike on all nodes.

    object b"m" + name, group ADMITTED    this name has these keys; signed by who admitted it
                        group EXPELLED    this name and its key are out; signed by who expelled it
    object b"k" + name, group GRANT       a group key, sealed for this name's node alone; signed by who made it

As long as the federation has only the key that it was born with (a file, copied by hand), a node admits itself: who has the
file belongs. The first rotation closes that: who makes it confirms those that are there, and from then on only a member admits,
by invitation. An expelled key is out for good; an expelled name can be admitted again, with another key.

A signature names its stamp, so what was signed once cannot stand up later as something newer. It tells who did it; that the
others believe it is the trust that members have in one another.
"""

from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from pbxfed_ari.core.messages import UNREADABLE, BookSet, Name
from pbxfed_ari.core.names import NodeName, node_name
from pbxfed_ari.core.records.book import Book
from pbxfed_ari.core.records.keys import GroupKey, Keyring, Signer, key_id
from pbxfed_ari.errors import Refused

MEMBER, KEYS = b"m", b"k"  # the first byte of an object's id
ADMITTED, EXPELLED, GRANT = 1, 2, 1  # groups

IS_EXPELLED = "expelled"
OTHER_KEY = "other key"
NOT_ADMITTED = "not admitted"

_pack = msgspec.msgpack.encode


class Admission(msgspec.Struct, frozen=True, array_like=True):
    """A name's keys, and who says so."""

    signing: bytes
    public: bytes
    by: Name
    by_key: bytes
    signature: bytes = b""


class Expulsion(msgspec.Struct, frozen=True, array_like=True):
    """A name is out, and the key that it had (empty, if none was known)."""

    signing: bytes
    by: Name
    by_key: bytes
    signature: bytes = b""


class Granted(msgspec.Struct, frozen=True, array_like=True):
    """A group key for one node: its id, who made it, whether in a hurry, and the key itself, sealed for that node."""

    key: bytes
    by: Name
    by_key: bytes
    urgent: bool
    sealed: bytes
    signature: bytes = b""


_Signed = Admission | Expulsion | Granted


class Roster:
    """Who belongs, as the book says. Signatures are checked once, when an entry is new."""

    def __init__(self, me: NodeName, signer: Signer, book: Book, keys: Keyring) -> None:
        """`keys` knows whether nodes may still admit themselves."""
        self._me = me
        self._signer = signer
        self._book = book
        self._keys = keys
        self._admitted: dict[NodeName, tuple[int, Admission]] = {}
        self._expelled: dict[NodeName, tuple[int, Expulsion]] = {}
        self._void: dict[bytes, int] = {}  # signing keys that were expelled, and when
        for object_id in book.objects():
            name = name_of(object_id) if object_id[:1] == MEMBER else None
            if name is not None:
                self.read(name)

    def __repr__(self) -> str:
        return f"Roster({len(self._admitted)} admitted, {len(self._expelled)} expelled)"

    def __iter__(self) -> Iterator[NodeName]:
        return iter(sorted(name for name in self._admitted if self.confirmed(name)))

    # --- asking

    def admission(self, name: NodeName) -> Admission | None:
        """A name's keys, if it belongs."""
        stamp, admission = self._admitted.get(name, (0, None))
        if admission is None or stamp <= self._expelled.get(name, (0,))[0]:
            return None
        if admission.signing in self._void or self._void.get(admission.by_key, stamp) < stamp:
            return None
        return admission if self._may_admit(name, admission, stamp) else None

    def confirmed(self, name: NodeName) -> Admission | None:
        """A name's keys, if new group keys may be given to it."""
        admission = self.admission(name)
        if admission is None or admission.by != name or self._keys.closed is None:
            return admission
        return admission if self._keys.closed[1] == name else None

    def expelled(self) -> list[NodeName]:
        """The names that are out."""
        return sorted(name for name in self._expelled if self.admission(name) is None)

    def expulsion(self, name: NodeName) -> Expulsion | None:
        """Who expelled this name, if it is out."""
        return self._expelled[name][1] if name in self.expelled() else None

    def who(self, public: bytes) -> NodeName | None:
        """The member that has this X25519 key."""
        for name, (_, admission) in self._admitted.items():
            if admission.public == public and self.admission(name) is admission:
                return name
        unread = (name for name in self._unread() if self._keys.holders[name] == public)
        return next(unread, None)

    def holders(self) -> dict[str, bytes]:
        """The other members and their X25519 keys, to be kept outside the book, in case that is lost."""
        if self.lost():
            return self._keys.holders
        known = {name: self.confirmed(name) for name in self if name != self._me}
        return {str(name): found.public for name, found in known.items() if found is not None}

    def lost(self) -> list[NodeName]:
        """Members that hold the group's keys, if the book is older than these or empty: the store was lost. Else nobody."""
        if self._keys.newest.made > max([self.stamp(), *self._grants()]):
            return sorted(NodeName(name) for name in self._keys.holders)
        return self._unread()

    def _unread(self) -> list[NodeName]:
        """Members of whom the book says nothing."""
        known = self._admitted.keys() | self._expelled.keys()
        return sorted(NodeName(name) for name in self._keys.holders.keys() - known)

    def has_rotation(self, key: GroupKey) -> bool:
        """Does the book hold what this key's rotation wrote? Whom it leaves out stands before whom it serves."""
        return (
            key.made == 0
            or key.by == self._me
            or key.made in self._grants()
            or any(key.made == stamp for stamp, _ in self._expelled.values())
        )

    def _grants(self) -> list[int]:
        """When the group keys were made that the book hands out."""
        return [self._book.stamp(KEYS + name.encode(), GRANT)[0] for name in self._admitted]

    def is_out(self, signing: bytes) -> bool:
        """Was this key expelled?"""
        return signing in self._void

    def refusal(self, name: NodeName, signing: bytes, *, newest: bool = True) -> str:
        """Why a node that shows this key must not speak as `name`; empty if it may.

        `newest`: it knows the newest group key, so somebody gave it that. A node that has joined a moment ago, or has lost
        its store, and does not find itself in its book yet, believes whoever does.
        """
        if signing in self._void:
            return IS_EXPELLED
        admission = self.admission(name)
        if admission is not None and admission.signing != signing:
            return OTHER_KEY
        if admission is not None:
            return "" if newest or self.confirmed(name) else NOT_ADMITTED
        if name in self._expelled:
            return IS_EXPELLED
        fresh = self.confirmed(self._me) is None or self.lost()
        return "" if newest and (fresh or not self._keys.closed) else NOT_ADMITTED

    def stamp(self) -> int:
        """The newest stamp of all that is signed here."""
        return max(
            (stamp for known in (self._admitted, self._expelled) for stamp, _ in known.values()),
            default=0,
        )

    # --- changing

    def read(self, name: NodeName) -> None:
        """Something was written under this name."""
        object_id = MEMBER + name.encode()
        admission = self._signed(object_id, ADMITTED, Admission)
        expulsion = self._signed(object_id, EXPELLED, Expulsion)
        if isinstance(admission, Admission) and self._signer.agrees(admission.public):
            self._admitted[name] = (self._book.stamp(object_id, ADMITTED)[0], admission)
        if isinstance(expulsion, Expulsion):
            stamp = self._book.stamp(object_id, EXPELLED)[0]
            self._expelled[name] = (stamp, expulsion)
            if expulsion.signing:
                self._void[expulsion.signing] = stamp

    def granted(self, name: NodeName) -> tuple[int, Granted] | None:
        """The newest key that was made for a name, and its stamp; None if there is none, or its maker is no member."""
        object_id = KEYS + name.encode()
        granted = self._signed(object_id, GRANT, Granted)
        if not isinstance(granted, Granted):
            return None
        maker = self.admission(NodeName(granted.by))
        if maker is None or maker.signing != granted.by_key:
            return None
        return self._book.stamp(object_id, GRANT)[0], granted

    # --- writing

    def admit(
        self, name: NodeName, signing: bytes, public: bytes, me: NodeName, stamp: int
    ) -> BookSet:
        """The record that admits a name with these keys."""
        made = Admission(signing, public, me, self._signer.signing)
        return self._record(MEMBER + name.encode(), ADMITTED, made, stamp)

    def admit_self(self, me: NodeName) -> list[BookSet]:
        """The record by which a node with the key file admits itself, if it may and has not."""
        if self._keys.closed or me in self._admitted or me in self._expelled:
            return []
        signing = self._signer.signing
        return [self.admit(me, signing, self._signer.public, me, _birth(signing))]

    def confirm(self, me: NodeName, stamp: int) -> list[BookSet]:
        """At the first rotation: those that admitted themselves are admitted by us. Who makes it needs nobody's word."""
        if self._keys.closed:
            return []
        found = [(name, self.admission(name)) for name in self if name != me]
        return [
            self.admit(name, admission.signing, admission.public, me, stamp)
            for name, admission in found
            if admission is not None and admission.by == name
        ]

    def expel(self, name: NodeName, signing: bytes, me: NodeName, stamp: int) -> BookSet:
        """The record that puts a name and its key out."""
        made = Expulsion(signing, me, self._signer.signing)
        return self._record(MEMBER + name.encode(), EXPELLED, made, stamp)

    def grants(self, key: GroupKey, without: NodeName | None = None) -> list[BookSet]:
        """The records that hand a new key to all others that belong; who was expelled has none any more."""
        records: list[BookSet] = []
        for name in self:
            admission = self.confirmed(name)
            if admission is None or name in (without, key.by):
                continue
            object_id = KEYS + name.encode()
            context = _context(key.made, key.by, name, key.id)
            sealed = self._signer.wrap(admission.public, key.material, context)
            made = Granted(key.id, key.by, self._signer.signing, key.urgent, sealed)
            records.append(self._record(object_id, GRANT, made, key.made))
        for out in {*self.expelled(), *filter(None, [without])}:
            object_id = KEYS + out.encode()
            if GRANT in self._book.groups(object_id):
                records.append(BookSet(object_id, GRANT, key.made, "", None))
        return records

    def unwrap(self, me: NodeName) -> GroupKey | None:
        """The key that stands here for us, if a member made it."""
        found = self.granted(me)
        if found is None:
            return None
        stamp, granted = found
        maker = self.admission(NodeName(granted.by))
        assert maker is not None, "granted() has looked"
        context = _context(stamp, granted.by, me, granted.key)
        material = self._signer.unwrap(maker.public, granted.sealed, context)
        if material is None or key_id(material) != granted.key:
            return None
        return GroupKey(material, stamp, granted.by, granted.urgent)

    # --- helpers

    def _may_admit(self, name: NodeName, admission: Admission, stamp: int) -> bool:
        """Could who signed this admit the name then? A later key of the same member says nothing against it."""
        if admission.by == name:
            itself = admission.by_key == admission.signing
            return itself and stamp == _birth(admission.signing)
        since, maker = self._admitted.get(NodeName(admission.by), (stamp, None))
        return maker is None or maker.signing == admission.by_key or since > stamp

    def _record(self, object_id: bytes, group: int, made: _Signed, stamp: int) -> BookSet:
        signature = self._signer.sign(_text(object_id, group, stamp, made))
        value = _pack(msgspec.structs.replace(made, signature=signature))
        return BookSet(object_id, group, stamp, "", value)

    def _signed(self, object_id: bytes, group: int, kind: type[_Signed]) -> _Signed | None:
        """What stands there, if it is whole and its signature holds."""
        value = self._book.groups(object_id).get(group)
        if value is None:
            return None
        try:
            found: _Signed = msgspec.msgpack.decode(value, type=kind)
        except UNREADABLE:
            return None
        text = _text(object_id, group, self._book.stamp(object_id, group)[0], found)
        return found if self._signer.verify(found.by_key, found.signature, text) else None


def _birth(signing: bytes) -> int:
    """The stamp of a node's admission by itself: older than any other, and one for each key."""
    return 1 + int.from_bytes(blake2b(signing, digest_size=4).digest(), "big")


def name_of(object_id: bytes) -> NodeName | None:
    """The node that an object of ours speaks of; None if no node can have that name."""
    try:
        return node_name(object_id[1:].decode(errors="replace"))
    except Refused:
        return None


def _text(object_id: bytes, group: int, stamp: int, made: _Signed) -> bytes:
    """What is signed."""
    unsigned = msgspec.structs.replace(made, signature=b"")
    return b"pbxfed roster 1" + _pack((object_id, group, stamp, unsigned))


def _context(stamp: int, by: str, to: str, key: bytes) -> bytes:
    return _pack((stamp, by, to, key))
