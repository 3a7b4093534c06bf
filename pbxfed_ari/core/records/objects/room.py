"""A conference room: a number at which all who call it meet."""

from dataclasses import dataclass
from typing import Annotated

from pbxfed_ari.core import names
from pbxfed_ari.core.records.objects.fields import Field, Named, Text, Whole, Word
from pbxfed_ari.core.records.objects.kind import Item, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Room(Item):
    """A room as it stands in the book."""

    name: Annotated[str, Field(2, Text(64), "What it is for.")] = ""
    pin: Annotated[
        str,
        Field(
            3,
            Word(r"[0-9]{4,16}", "4 to 16 digits"),
            "What whoever comes must key in; empty: nothing. It is never shown.",
            hidden=True,
        ),
    ] = ""
    most: Annotated[int, Field(4, Whole(0, 1_000), "How many may be in it; 0: no limit.")] = 0


class _Rooms(Kind):
    def known(self) -> list[str]:
        """The PIN can be given, although it is never shown."""
        return [*super().known(), "pin"]


ROOM = _Rooms(
    "room",
    b"r",
    Room,
    key=Named(names.dialable, names.DIALABLE),
    key_name="number",
    space="number",
    help="Conference rooms: a number at which all who call it meet, on whatever nodes they are.",
    example={"number": "800", "name": "Monday", "pin": "2580", "most": 20},
)
