"""Edits: what an operator's request becomes. Each answers with the records that change something, or refuses.

Nothing is published here; the federation does that, and answers the editor when the records are on the disk. Many edits at
once are planned one after the other, as if those before stood already, and refused whole if one of them is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pbxfed_ari.core.events import Edited
from pbxfed_ari.core.handouts import Issue, Lock, Wish, changed, pack, unpack
from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.core.names import NodeName, ObjectId
from pbxfed_ari.core.records.book import LIFE, seen
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.objects import KINDS, kind_of
from pbxfed_ari.core.records.objects.extension import HANDOUTS, Phone
from pbxfed_ari.core.records.objects.kind import (
    CLAIM,
    PLACE,
    Entry,
    Item,
    Kind,
    entry_id,
    pack_entry,
    places,
)
from pbxfed_ari.core.records.objects.time import Zone
from pbxfed_ari.core.stamp import HybridClock
from pbxfed_ari.errors import Refused

NO_SECRET = (
    "only the digest of its secret is kept, and a provisioning file needs the secret itself: give it, or have a new one "
    "made (new_secret, --new-secret), which phones that hold the old one must then be told"
)
Groups = dict[tuple[bytes, int], bytes]  # what shall stand: object and field group → value


@dataclass(frozen=True, slots=True)
class Edit:
    """What a request comes to."""

    kind: Kind
    key: str
    object_id: bytes
    what: str  # "added", "changed", "removed" or "unchanged"
    records: tuple[BookSet, ...]
    changes: dict[str, tuple[object, object]] = field(default_factory=dict)  # field → before, after

    @property
    def status(self) -> int:
        """As in HTTP."""
        return 201 if self.what == "added" else 200

    def shown(self) -> dict[str, object]:
        """For who asks what would change."""
        return {
            "kind": self.kind.name,
            "key": self.key,
            "what": self.what,
            "changes": {name: list(pair) for name, pair in self.changes.items()},
        }


class Editor:
    """Plans the edits of one request."""

    def __init__(
        self,
        me: NodeName,
        directory: Directory,
        clock: HybridClock,
        *,
        realm: str,
        wall_ms: int,
        is_zone: Callable[[str], bool] = lambda zone: True,
        lock: Lock | None = None,
    ) -> None:
        """`realm` is what digests are made for; `is_zone`: does this machine know such a time zone? `lock` seals secrets."""
        self._lock = lock
        self._is_zone = is_zone
        self._me, self._directory, self._clock = me, directory, clock
        self._realm, self._wall_ms = realm, wall_ms
        self._planned: dict[tuple[str, str], Edit] = {}  # by space and key

    def plan(self, event: Edited) -> Edit:
        """What an edit comes to.

        Raises: Refused.
        """
        kind = KINDS.get(event.kind)
        if kind is None:
            raise Refused(f"no such kind of object: {event.kind!r}", status=404)
        key = kind.check_key(event.key)
        twice = self._planned.get((kind.space, key))
        if twice is not None:
            raise Refused(f"{kind.name} {key}: stands there twice", field=kind.key_name)
        item = self._meant(kind, key, event.object_id)
        if item is None and (event.update or event.fields is None or event.match):
            status = 412 if event.match else 404
            raise Refused(f"{kind.name} {key}: not known in the federation", status=status)
        if item is not None and event.create:
            name = getattr(item, "name", "")
            said = f", as {name!r}" if name else ""
            raise Refused(f"{kind.name} {key}: known here already{said}", status=409)
        if item is not None and event.match not in (
            "",
            "*",
            self._directory.catalogue.etag(item.id),
        ):
            raise Refused(
                f"{kind.name} {key}: somebody has changed it since you read it; read it again",
                status=412,
            )
        edit = (
            self._removal(kind, key, item, event)
            if event.fields is None
            else self._setting(kind, key, item, event, event.fields)
        )
        self._planned[kind.space, key] = edit
        return edit

    def has_planned(self, event: Edited) -> bool:
        """Is an edit of the same object planned?"""
        kind = KINDS.get(event.kind)
        return kind is not None and (kind.space, event.key) in self._planned

    def complete(self, edits: Iterable[Edit]) -> None:
        """What the edits name must be there, now that all of them are planned.

        Raises: Refused.
        """
        for edit in edits:
            for name, field_ in edit.kind.fields.items():
                if field_.refers and name in edit.changes:
                    self._refers(edit, name, field_.refers)

    # --- helpers

    def _meant(self, kind: Kind, key: str, object_id: bytes) -> Item | None:
        """The object that an edit is about: the holder of the key, or the one of its claims that is named."""
        if not object_id:
            held = self._directory.catalogue.get(kind.space, key)
            other = kind_of(held.id) if held else kind
            if other is not kind and other is not None:
                raise Refused(
                    f"{kind.name} {key}: {key} is {_a(other.name)} already",
                    status=409,
                    field=kind.key_name,
                )
            return held
        claims = [
            c for c in self._directory.catalogue.claims(key, kind.space) if kind_of(c.id) is kind
        ]
        for item in claims:
            if item.id == object_id:
                return item
        known = ", ".join(item.id.hex() for item in claims) or "nobody"
        raise Refused(
            f"{kind.name} {key}: no object {object_id.hex()} claims it, but {known}", status=404
        )

    def _setting(
        self, kind: Kind, key: str, item: Item | None, event: Edited, given: Mapping[str, Any]
    ) -> Edit:
        new = item is None
        kept = kind.prepare(key, given, realm=self._realm, new=new)
        values = kind.check(key, kept)
        object_id = item.id if item else ObjectId(kind.byte + event.fresh_id)
        wanted: Groups = {(object_id, CLAIM): kind.key.pack(key)} if new else {}
        if isinstance(item, Phone):
            wanted |= self._handouts(item, given, values, event.wish)
        gone: list[bytes] = []
        for name, value in values.items():
            if name in kind.sets:
                gone += self._entries(object_id, kind.fields[name].group, value, wanted)
            elif not _stands(kind, item, name, value):
                group, type_ = kind.fields[name].group, kind.fields[name].type
                if isinstance(type_, Zone) and not self._is_zone(value):
                    said = "no such time zone is known here; write it as Europe/Berlin"
                    raise Refused(f"{kind.name} {key}: {name} = {value!r}: {said}", field=name)
                wanted[object_id, group] = type_.pack(value)
        records = [*self._records(wanted), *self._deaths(gone)]
        what = "added" if new else "changed" if records else "unchanged"
        changes = _changes(kind, item, values)
        return Edit(kind, key, object_id, what, tuple(records), changes)

    def _removal(self, kind: Kind, key: str, item: Item | None, event: Edited) -> Edit:
        """A delete; without an id of every such object that claims the key: a contested loser must not rise in its place."""
        assert item is not None, "the caller has looked"
        claims = self._directory.catalogue.claims(key, kind.space)
        doomed = [item] if event.object_id else [c for c in claims if kind_of(c.id) is kind]
        dead: list[bytes] = []
        for one in doomed:
            dead += [one.id, *self._directory.catalogue.entries(one.id)]
        records = self._deaths(dead)
        return Edit(kind, key, item.id, "removed", tuple(records))

    def _handouts(
        self, phone: Phone, given: Mapping[str, Any], values: Mapping[str, Any], wish: Wish | None
    ) -> Groups:
        """Its provisioning files, and the secret in them, as they stand after an edit."""
        before = unpack(self._directory.book.groups(phone.id).get(HANDOUTS))

        def seal() -> tuple[bytes, bytes] | None:
            if self._lock is not None and "secret" in given:
                return self._lock(phone.id, given["secret"])
            if values.get("ha1", phone.ha1) != phone.ha1:
                return None  # of the new one only the digest is known
            return (before.key, before.sealed) if before.sealed else None

        try:
            after = changed(before, wish, seal)
        except Refused as refused:
            raise Refused(f"extension {phone.key}: {refused}", status=refused.status) from None
        if isinstance(wish, Issue) and not after.each:
            raise Refused(f"extension {phone.key}: {NO_SECRET}", status=409, field="secret")
        return {} if after == before else {(phone.id, HANDOUTS): pack(after)}

    def _entries(
        self, owner: bytes, group: int, values: tuple[str, ...], wanted: Groups
    ) -> list[bytes]:
        """Puts the entries of a set that shall stand into `wanted`; which ones go."""
        held: dict[str, dict[bytes, Entry]] = {}
        for i, entry in self._directory.catalogue.entries(owner).items():
            if entry.group == group:
                held.setdefault(entry.value, {})[i] = entry
        stand = {value: min(e.place for e in found.values()) for value, found in held.items()}
        for value, place in places(values, stand).items():
            if stand.get(value) == place:
                continue
            mine = Entry(owner, group, value, place, self._me)
            fresh = {entry_id(owner, group, value, self._me): mine}
            for i, entry in held.get(value, fresh).items():
                wanted[i, PLACE] = pack_entry(replace(entry, place=place))
        return [i for value, found in held.items() if value not in values for i in found]

    def _records(self, wanted: Groups) -> list[BookSet]:
        """The groups that change; one stamp for all that were edited together."""
        book = self._directory.book
        changed = {
            key: value
            for key, value in wanted.items()
            if not book.lives(key[0]) or book.groups(key[0]).get(key[1]) != value
        }
        if not changed:
            return []
        newest = max(max(book.stamp(*key)[0], book.stamp(key[0], LIFE)[0]) for key in changed)
        stamp = self._clock.next(self._wall_ms, over=newest)
        return [
            BookSet(*key, stamp, "", value, _seen(book.get(key), self._me))
            for key, value in sorted(changed.items())
        ]

    def _deaths(self, objects: Iterable[bytes]) -> list[BookSet]:
        book = self._directory.book
        gone: list[BookSet] = []
        for object_id in objects:
            known = seen(book.stamps(object_id))
            gone += self._records({(object_id, LIFE): known}) if book.lives(object_id) else []
        return gone

    def _refers(self, edit: Edit, name: str, kinds: tuple[str, ...]) -> None:
        """What it names from now on must be there; what it named before may have been removed meanwhile."""
        before, value = edit.changes[name]
        held = before if isinstance(before, list) else []
        for key in value if isinstance(value, list) else [value]:
            if (
                key
                and key not in held
                and not any(self._there(KINDS[kind], str(key)) for kind in kinds)
            ):
                raise Refused(
                    f"{edit.kind.name} {edit.key}: {name} = {key!r}: no such {' or '.join(kinds)}; add it first",
                    field=name,
                )

    def _there(self, kind: Kind, key: str) -> bool:
        planned = self._planned.get((kind.space, key))
        if planned is not None:
            return planned.kind is kind and planned.what != "removed"
        held = self._directory.catalogue.get(kind.space, key)
        return held is not None and kind_of(held.id) is kind


def _changes(
    kind: Kind, item: Item | None, values: Mapping[str, Any]
) -> dict[str, tuple[object, object]]:
    """The fields whose value becomes another; of a hidden one only that it does."""
    found: dict[str, tuple[object, object]] = {}
    for name, after in values.items():
        before = getattr(item, name) if item else kind.defaults[name]
        if before == after:
            continue
        if kind.fields[name].hidden:
            found[name] = (None, "set")
        else:
            found[name] = (_plain(before), _plain(after))
    return found


def _stands(kind: Kind, item: Item | None, name: str, value: object) -> bool:
    """Is the field so already, be it by default? Then nothing need be written."""
    if item is None:
        return name not in kind.needed and value == kind.defaults[name]
    return bool(value == getattr(item, name))


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _seen(held: BookSet | None, me: NodeName) -> int:
    """The newest stamp of another writer that an edit of ours replaces, itself or through our own earlier ones."""
    return 0 if held is None else held.over if held.writer == me else held.stamp


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
