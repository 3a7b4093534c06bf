"""A kind of configuration object: one frozen dataclass, whose annotations say everything that others must know of it.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Group(Item):
        name: Annotated[str, Field(2, Text(64), "What is displayed.")] = ""

    GROUP = Kind("group", b"g", Group, key=NUMBER, …)

From that come the checks of an edit, the bytes in the book, the command's options, the HTTP schema, and the columns of a CSV.

An object's id is its kind's byte and eight more. Its key is a claim in field group CLAIM: of two objects of one space that
claim the same key the oldest claim wins, the other stands disabled. A field of type SetOf does not stand in the object: each
entry is an object of its own (`Entry`), so that two operators who add one each both get their wish.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from hashlib import blake2b
from typing import Any, get_type_hints

import msgspec

from pbxfed_ari.core.names import ObjectId
from pbxfed_ari.core.records.book import LIFE
from pbxfed_ari.core.records.objects.fields import Field, Json, SetOf, Type
from pbxfed_ari.errors import Refused

CLAIM = 1  # the field group of the key, in objects of every kind
ENTRY = b"e"  # the first byte of an entry's id
PLACE = 1  # the field group of an entry: whose it is, what it is, where it stands
GAP = 1_000  # between the places of two neighbours, so that a third fits in

_pack = msgspec.msgpack.encode
_decode_entry = msgspec.msgpack.Decoder(tuple[bytes, int, str, int, str]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An object as it stands in the book. Each kind adds its fields."""

    id: ObjectId
    key: str
    claimed: tuple[int, str]  # stamp and writer of the claim: the oldest wins

    @property
    def age(self) -> tuple[tuple[int, str], ObjectId]:
        """Sorts the oldest claim first."""
        return self.claimed, self.id

    @property
    def called(self) -> str:
        """Its name, or its key if it has none."""
        return getattr(self, "name", "") or self.key


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a set field."""

    owner: bytes
    group: int
    value: str
    place: int
    adder: str  # the node where it was added: who adds it elsewhere makes an entry of his own


class Kind:
    """What is said of all objects of one kind."""

    def __init__(
        self,
        name: str,
        byte: bytes,
        item: type[Item],
        *,
        key: Type,
        key_name: str,
        help: str,
        example: Mapping[str, object],
        command: str = "",
        collection: str = "",
        space: str = "",
        others: Mapping[int, str] | None = None,
    ) -> None:
        """`key_name` says what the key is; `command` and `collection`: in CLI and HTTP; the keys of a `space` differ.

        `others`: field groups, with what they are called, that are no fields: nobody gives or is shown them.
        `example` is one for the documents: the key and a few fields, all that are needed among them.
        """
        self.name, self.byte, self.item = name, byte, item
        self.key, self.key_name, self.help, self.example = key, key_name, help, dict(example)
        self.command, self.space = command or name, space or name
        self.collection = collection or f"{name}s"
        hints = get_type_hints(item, include_extras=True)
        self.fields: dict[str, Field] = {}
        self.defaults: dict[str, Any] = {}
        for declared in fields(item):
            for meta in getattr(hints[declared.name], "__metadata__", ()):
                if isinstance(meta, Field):
                    self.fields[declared.name] = meta
                    self.defaults[declared.name] = (
                        () if declared.default is MISSING else declared.default
                    )
        self.needed = [n for n, f in self.fields.items() if item_needs(item, n)]
        self._names = {LIFE: "life", CLAIM: key_name, **(others or {})}
        self._names.update({field.group: name for name, field in self.fields.items()})
        self.sets = {n: f for n, f in self.fields.items() if isinstance(f.type, SetOf)}

    def __repr__(self) -> str:
        return f"Kind({self.name})"

    # --- reading

    def read(
        self,
        object_id: bytes,
        groups: Mapping[int, bytes],
        claimed: tuple[int, str],
        entries: Mapping[int, tuple[str, ...]],
    ) -> Item | None:
        """The object that these groups describe; None without a readable claim, or if another value breaks its rule."""
        try:
            key = self.key.check(self.key.unpack(groups[CLAIM]))
            values: dict[str, Any] = {}
            for name, field in self.fields.items():
                if name in self.sets:
                    values[name] = entries.get(field.group, ())
                elif field.group in groups:
                    values[name] = field.type.check(field.type.unpack(groups[field.group]))
            return self.item(id=ObjectId(object_id), key=str(key), claimed=claimed, **values)
        except (KeyError, TypeError, ValueError, msgspec.MsgspecError, RecursionError):
            return None

    def shown(self, item: Item) -> dict[str, object]:
        """What an operator may see."""
        found: dict[str, object] = {self.key_name: item.key, "id": item.id.hex()}
        for name, field in self.fields.items():
            if not field.hidden:
                value = getattr(item, name)
                found[name] = list(value) if isinstance(value, tuple) else value
        return found

    def field_name(self, group: int) -> str:
        """A field group as an operator calls it."""
        return self._names.get(group, str(group))

    def said(self, group: int, value: bytes | None) -> str:
        """A group's value as an operator may see it; a hidden one is not shown."""
        if value is None or group == LIFE:
            return "removed"
        field = self.fields.get(self._names.get(group, ""))
        kind = self.key if group == CLAIM else field.type if field and not field.hidden else None
        if kind is None:
            return "another"
        try:
            return repr(kind.unpack(value))
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return "unreadable"

    # --- editing

    def prepare(
        self, key: str, given: Mapping[str, Any], *, realm: str, new: bool
    ) -> dict[str, Any]:
        """The fields that are kept of those that were given; a kind may keep something else than it is given.

        Raises: Refused.
        """
        missing = [name for name in self.needed if new and name not in given]
        if missing:
            raise Refused(f"{self.name} {key}: {missing[0]} is needed", field=missing[0])
        return dict(given)

    def check_key(self, key: str) -> str:
        """A key that an operator gave.

        Raises: Refused.
        """
        try:
            return str(self.key.check(key))
        except ValueError as error:
            raise Refused(f"{self.name} {key!r}: {error}", field=self.key_name) from None

    def check(self, key: str, given: Mapping[str, object]) -> dict[str, Any]:
        """The fields of an edit, checked.

        Raises: Refused, naming the object, the field, its value (never a hidden one's) and the rule.
        """
        found: dict[str, Any] = {}
        for name, value in given.items():
            field = self.fields.get(name)
            if field is None:
                known = ", ".join(self.known())
                raise Refused(
                    f"{self.name} {key}: unknown field {name!r}; known are {known}", field=name
                )
            try:
                found[name] = field.type.check(value)
            except ValueError as error:
                said = "" if field.hidden else f" = {value!r}:"
                raise Refused(f"{self.name} {key}: {name}{said} {error}", field=name) from None
        return found

    def schemas(self) -> dict[str, Json]:
        """JSON schema of each field that may be given, with its help and default."""
        found: dict[str, Json] = {}
        for name, field in self.fields.items():
            default = self.defaults[name]
            plain = list(default) if isinstance(default, tuple) else default
            known = {} if field.hidden or name in self.needed else {"default": plain}
            hidden = {"writeOnly": True} if field.hidden else {}
            found[name] = {**field.type.schema(), "description": field.help, **known, **hidden}
        return found

    def known(self) -> list[str]:
        """The fields that an operator may give."""
        return [name for name, field in self.fields.items() if not field.hidden]


def item_needs(item: type[Item], name: str) -> bool:
    """Has this field no default?"""
    return any(f.name == name and f.default is MISSING for f in fields(item))


def entry_id(owner: bytes, group: int, value: str, adder: str) -> bytes:
    """The object that an entry of a set is.

    A removal takes away the entries that it has seen, whatever the clocks say: one that was added elsewhere has another id.
    """
    data = owner + bytes((group,)) + f"{value} {adder}".encode()
    return ENTRY + blake2b(data, digest_size=8, person=b"pbxfed entry").digest()


def pack_entry(entry: Entry) -> bytes:
    """What stands in its field group PLACE."""
    return _pack((entry.owner, entry.group, entry.value, entry.place, entry.adder))


def read_entry(object_id: bytes, groups: Mapping[int, bytes]) -> Entry | None:
    """The entry that these groups describe; None if it cannot be read, or is not where it belongs."""
    try:
        found = Entry(*_decode_entry(groups[PLACE]))
        owner, group = found.owner, found.group
        named = entry_id(owner, group, found.value, found.adder) if 0 < group < 256 else b""
    except (KeyError, ValueError, msgspec.MsgspecError):
        return None
    return found if named == object_id else None


def places(wanted: tuple[str, ...], held: Mapping[str, int]) -> dict[str, int]:
    """Where each entry shall stand. As few as possible move: who moves is touched, and a removal had not seen that."""
    staying = _rising([value for value in wanted if value in held], held)
    found: dict[str, int] = {}
    last = 0
    for i, value in enumerate(wanted):
        if value in staying:
            found[value] = last = held[value]
            continue
        later = next((held[v] for v in wanted[i:] if v in staying), None)
        place = last + GAP if later is None else (last + later) // 2
        if later is not None and not last < place < later:
            return {value: (i + 1) * GAP for i, value in enumerate(wanted)}  # no room: all anew
        found[value] = last = place
    return found


def _rising(values: list[str], held: Mapping[str, int]) -> set[str]:
    """The most of these values whose places rise already (longest increasing subsequence; lists are short)."""
    best: list[tuple[int, int]] = []  # of each: how many up to it, and which is before it
    for i, value in enumerate(values):
        place = (held[value], value)  # of two at one place the smaller is first, as they are read
        before = [(best[j][0], j) for j in range(i) if (held[values[j]], values[j]) < place]
        length, j = max(before, default=(0, -1))
        best.append((length + 1, j))
    at = max(range(len(values)), key=lambda i: best[i][0], default=-1)
    found: set[str] = set()
    while at >= 0:
        found.add(values[at])
        at = best[at][1]
    return found
