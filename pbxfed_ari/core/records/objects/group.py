"""A ring group: one number for several extensions."""

from dataclasses import dataclass
from typing import Annotated

from pbxfed_ari.core.records.objects.extension import CONTROL_HELP, CONTROLS
from pbxfed_ari.core.records.objects.fields import (
    DIALED,
    NUMBER,
    RING,
    Choice,
    Field,
    Flag,
    SetOf,
    Text,
)
from pbxfed_ari.core.records.objects.kind import Item, Kind

RECORD_HELP = (
    "Whether conversations of calls to it are recorded, at the node at which the call comes in."
)
ALL, HUNT, RANDOM, LEAST_RECENT = "all", "hunt", "random", "least_recent"
MEMBERS = Field(
    4, SetOf(NUMBER), "Extensions, in the order in which they are hunted.", ("extension",)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Item):
    """A ring group as it stands in the book."""

    name: Annotated[
        str, Field(2, Text(64), "What its members' phones display beside the caller.")
    ] = ""
    strategy: Annotated[
        str,
        Field(
            3,
            Choice((ALL, HUNT, RANDOM, LEAST_RECENT)),
            "all: everybody at once; hunt: one after the other, in order; random: in any order; "
            "least_recent: whose last call here is longest ago first.",
        ),
    ] = ALL
    members: Annotated[tuple[str, ...], MEMBERS] = ()
    ring_seconds: Annotated[
        int, Field(5, RING, "How long each try rings; 0: as calls.ring_seconds of the node says.")
    ] = 0
    overflow: Annotated[str, Field(6, DIALED, "Where a call goes that nobody took.")] = ""
    control: Annotated[str, Field(7, Choice(CONTROLS), CONTROL_HELP)] = ""
    record: Annotated[bool, Field(8, Flag(), RECORD_HELP)] = False


GROUP = Kind(
    "group",
    b"g",
    Group,
    key=NUMBER,
    key_name="number",
    space="number",
    help="Ring groups: one number for several extensions, on whatever nodes their phones are.",
    example={"number": "600", "name": "Sales", "strategy": "hunt", "members": ["1001", "1002"]},
)
