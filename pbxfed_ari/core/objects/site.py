"""A site: a place with its own short numbers, and a line to the other places that carries so much."""

from dataclasses import dataclass
from typing import Annotated

from pbxfed_ari.core.objects.extension import CODECS
from pbxfed_ari.core.objects.fields import LABEL, Choice, Field, Text, Whole, Word
from pbxfed_ari.core.objects.kind import Item, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteObject(Item):
    """A site as it stands in the book; `node.site` says which nodes are there."""

    name: Annotated[str, Field(2, Text(64), "What it is called.")] = ""
    prefix: Annotated[
        str,
        Field(
            3,
            Word(r"[0-9]{1,8}", "1 to 8 digits"),
            "Its numbers begin so, and its own phones may leave that out: so two places can have a 1001 each.",
        ),
    ] = ""
    calls: Annotated[
        int, Field(4, Whole(0, 10_000), "Calls at once between it and other sites; 0: no limit.")
    ] = 0
    kbps: Annotated[
        int,
        Field(
            5,
            Whole(0, 10_000_000),
            "What its line carries of calls, in kbit/s each way; 0: no limit.",
        ),
    ] = 0
    codec: Annotated[
        str,
        Field(
            6,
            Choice(("", *CODECS)),
            "The codec of calls over its line; empty: as the phones agree.",
        ),
    ] = ""


SITE = Kind(
    "site",
    b"l",
    SiteObject,
    key=LABEL,
    key_name="site",
    help="Sites: short numbers of a place, and how much its line to the others carries.",
    example={"site": "berlin", "name": "Berlin", "prefix": "71", "calls": 30},
)
