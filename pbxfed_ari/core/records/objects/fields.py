"""What a field of a configuration object may hold.

A type checks a value that JSON gave, reads it from the text of a command line or a CSV cell, writes it as such a text, packs it
for the book, and describes itself as JSON schema. It refuses with the rule alone (`must be …`): the asker names the thing.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from pbxfed_ari.core import names
from pbxfed_ari.core.records import patterns
from pbxfed_ari.errors import Refused

MOST = 200  # entries of a list
_SEPARATORS = re.compile(r"[;,]")
_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
Json = dict[str, object]


class Type(ABC):
    """A kind of value."""

    @abstractmethod
    def check(self, value: object) -> object:
        """The value as it is kept.

        Raises: ValueError, with the rule.
        """

    def parse(self, text: str) -> object:
        """The value that a text stands for, not checked yet.

        Raises: ValueError.
        """
        return text

    def text(self, value: object) -> str:
        """The text that `parse` takes back."""
        return str(value)

    @abstractmethod
    def schema(self) -> Json:
        """JSON schema (draft 2020-12)."""

    def pack(self, value: object) -> bytes:
        """The bytes in the book."""
        return msgspec.msgpack.encode(value)

    def unpack(self, data: bytes) -> object:
        """What these bytes stand for, not checked yet. Raises: msgspec.MsgspecError, UnicodeDecodeError, RecursionError."""
        return msgspec.msgpack.decode(data)


@dataclass(frozen=True, slots=True)
class Text(Type):
    """A line of printable characters, safe in a dialplan and in a caller's name."""

    most: int

    def check(self, value: object) -> object:
        """As it is."""
        if not isinstance(value, str) or len(value) > self.most or not value.isprintable():
            raise ValueError(f"must be printable, {self.most} characters at most")
        if set(value) & set('"<>\\'):
            raise ValueError('must not hold any of " < > \\')
        return value

    def schema(self) -> Json:
        """A string."""
        return {"type": "string", "maxLength": self.most, "pattern": '^[^"<>\\\\\\x00-\\x1f]*$'}


@dataclass(frozen=True, slots=True)
class Whole(Type):
    """A whole number between two bounds."""

    low: int
    high: int

    def check(self, value: object) -> object:
        """As it is."""
        if not isinstance(value, int) or isinstance(value, bool) or not self._fits(value):
            raise ValueError(f"must be a whole number, {self.low} to {self.high}")
        return value

    def parse(self, text: str) -> object:
        """Decimal digits."""
        if not re.fullmatch(r"-?[0-9]{1,9}", text):
            raise ValueError(f"must be a whole number, {self.low} to {self.high}")
        return int(text)

    def schema(self) -> Json:
        """An integer."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def _fits(self, value: int) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Flag(Type):
    """Yes or no."""

    def check(self, value: object) -> object:
        """As it is."""
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value

    def parse(self, text: str) -> object:
        """As people say it."""
        said = text.lower()
        if said not in _YES | _NO:
            raise ValueError("must be yes or no")
        return said in _YES

    def text(self, value: object) -> str:
        """`yes` or `no`."""
        return "yes" if value else "no"

    def schema(self) -> Json:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice(Type):
    """One of a few words."""

    words: tuple[str, ...]

    def check(self, value: object) -> object:
        """As it is."""
        if value not in self.words:
            raise ValueError(f"must be one of {', '.join(self.words)}")
        return value

    def schema(self) -> Json:
        """An enumeration."""
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Word(Type):
    """A text that a regular expression takes whole; it may be left empty if `empty`."""

    pattern: str
    rule: str
    empty: bool = True

    def check(self, value: object) -> object:
        """As it is."""
        if isinstance(value, str) and (re.fullmatch(self.pattern, value) or self._absent(value)):
            return value
        raise ValueError(f"must be {self.rule}{' or empty' if self.empty else ''}")

    def schema(self) -> Json:
        """A string with a pattern."""
        whole = f"(?:{self.pattern})" + ("?" if self.empty else "")
        return {"type": "string", "pattern": f"^{whole}$"}

    def _absent(self, value: str) -> bool:
        return self.empty and value == ""


@dataclass(frozen=True, slots=True)
class Named(Type):
    """A text that one of our readers takes: a number, a pattern, a node."""

    read: Callable[[str], object]
    pattern: str
    empty: bool = False

    def check(self, value: object) -> object:
        """As it is."""
        if self.empty and value == "":
            return value
        if not isinstance(value, str):
            raise ValueError("must be a string")
        try:
            self.read(value)
        except Refused as refused:
            raise ValueError(str(refused).partition(": ")[2] or str(refused)) from None
        return value

    def schema(self) -> Json:
        """A string with a pattern."""
        whole = f"(?:{self.pattern})" + ("?" if self.empty else "")
        return {"type": "string", "pattern": f"^{whole}$"}


@dataclass(frozen=True, slots=True)
class ListOf(Type):
    """Values of one type in order, none of them twice; as a text with commas between them."""

    of: Type
    most: int = MOST

    def check(self, value: object) -> object:
        """As a tuple."""
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list")
        if len(value) > self.most:
            raise ValueError(f"must hold {self.most} entries at most")
        found: list[object] = []
        for entry in value:
            try:
                found.append(self.of.check(entry))
            except ValueError as error:
                raise ValueError(f"entry {entry!r} {error}") from None
            if found.count(found[-1]) > 1:
                raise ValueError(f"entry {entry!r} must not stand in it twice")
        return tuple(found)

    def parse(self, text: str) -> object:
        """Entries between commas or semicolons."""
        return [self.of.parse(part.strip()) for part in _SEPARATORS.split(text) if part.strip()]

    def text(self, value: object) -> str:
        """Entries with commas between them."""
        assert isinstance(value, list | tuple), "check has made it one"
        return ",".join(self.of.text(entry) for entry in value)

    def schema(self) -> Json:
        """An array."""
        items = self.of.schema()
        return {"type": "array", "items": items, "maxItems": self.most, "uniqueItems": True}


@dataclass(frozen=True, slots=True)
class SetOf(ListOf):
    """A list whose entries are added and removed one by one: of two such edits at once both stand, and adding wins."""


@dataclass(frozen=True, slots=True)
class Digest(Type):
    """32 hexadecimal digits, kept as 16 bytes."""

    def check(self, value: object) -> object:
        """In lower case."""
        if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{32}|", value):
            raise ValueError("must be 32 hexadecimal digits")
        return value.lower()

    def schema(self) -> Json:
        """A string with a pattern."""
        return {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}

    def pack(self, value: object) -> bytes:
        """16 bytes."""
        return bytes.fromhex(str(value))

    def unpack(self, data: bytes) -> object:
        """Of other lengths nothing can be made: no phone registers with it."""
        return data.hex() if len(data) == 16 else ""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where it stands in the book, what it may hold, and what an operator is told of it.

    A field is a field group of its own: of two edits of it the newer stands, and edits of others are left alone.
    """

    group: int
    type: Type
    help: str
    refers: tuple[str, ...] = ()  # kinds: what it holds must be the key of such an object
    hidden: bool = False  # never shown


NUMBER = Named(names.extension, names.EXTENSION)
DIALED = Named(names.dialable, names.DIALABLE, empty=True)
NODES = ListOf(Named(names.node_name, names.NODE), 32)
PATTERNS = ListOf(Named(patterns.pattern, patterns.PATTERN), 100)
LABEL = Word(names.NODE, "1 to 32 of a-z, 0-9 and -, as a DNS label", empty=False)
MAYBE_LABEL = Word(names.NODE, "1 to 32 of a-z, 0-9 and -, as a DNS label")
RING = Whole(0, 600)
