"""An inbound number (DID): where a call from the outside goes."""

from dataclasses import dataclass
from typing import Annotated

from pbxfed_ari.core import names
from pbxfed_ari.core.records.objects.fields import DIALED, MAYBE_LABEL, Field, Named, Text, Word
from pbxfed_ari.core.records.objects.kind import Item, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Did(Item):
    """An inbound number as it stands in the book."""

    name: Annotated[str, Field(2, Text(64), "What it is.")] = ""
    destination: Annotated[
        str,
        Field(
            3,
            Named(names.dialable, names.DIALABLE),
            "The extension, group or service that it rings.",
        ),
    ]
    time: Annotated[
        str,
        Field(
            4,
            MAYBE_LABEL,
            "The time condition under which it rings there; empty: always.",
            ("time",),
        ),
    ] = ""
    otherwise: Annotated[
        str, Field(5, DIALED, "Where the call goes at other times; empty: it finds nobody.")
    ] = ""


DID = Kind(
    "did",
    b"d",
    Did,
    key=Word(r"\+?[0-9]{1,31}", "digits, with + in front or not", empty=False),
    key_name="did",
    help="Inbound numbers (DIDs): where a call from the outside goes, and when.",
    example={"did": "+493012345", "destination": "600", "time": "office", "otherwise": "*97"},
)
