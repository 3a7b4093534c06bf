"""What has changed in the directory, in the past tense: each change of it says so, and the federation draws the conclusions."""

from dataclasses import dataclass

from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.objects.kind import Item
from pbxfed_ari.core.records.streams import Key, StreamId


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """A registration on a node's shelf is new, newer or gone (`stamp` None)."""

    node: NodeName
    extension: Extension
    uri: str
    stamp: int | None


@dataclass(frozen=True, slots=True)
class InfoChanged:
    """A node's description is new."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class FailuresChanged:
    """A node says how many authentications from an address have failed there, or says it no more."""

    node: NodeName
    address: str


@dataclass(frozen=True, slots=True)
class ObjectChanged:
    """What stands for a key in the book may be another object, a changed one, or none."""

    space: str
    key: str


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Two edits of one field group were made without knowing of one another; one of them stands, here and everywhere."""

    item: Item
    group: int
    stands: BookSet
    fell: BookSet


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """The book says something new of a node's membership."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class KeyGranted:
    """A group key was handed to a node, or taken from it."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class Absorbed:
    """An origin has published anew what it had written in an earlier epoch through a version: that index is gone."""

    node: NodeName
    epoch: int
    through: int


Change = (
    ContactChanged
    | InfoChanged
    | FailuresChanged
    | ObjectChanged
    | Conflicted
    | Absorbed
    | MemberChanged
    | KeyGranted
)


@dataclass(frozen=True, slots=True)
class Gone:
    """These keys left the index of a stream for good; its floor is now this."""

    stream: StreamId
    keys: tuple[Key, ...]
    floor: int
