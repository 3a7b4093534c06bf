"""A PSTN trunk: a way to the outside, through an endpoint that stands in the configuration of some nodes' Asterisks."""

from dataclasses import dataclass
from typing import Annotated

from pbxfed_ari.core.records.objects.fields import (
    LABEL,
    NODES,
    PATTERNS,
    Choice,
    Field,
    ListOf,
    Whole,
    Word,
)
from pbxfed_ari.core.records.objects.kind import Item, Kind

_DIGITS = Word(r"\+?[0-9*#]{1,32}", "digits")
_ENDPOINT = Word(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", "the name of an endpoint", empty=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PstnTrunk(Item):
    """A PSTN trunk as it stands in the book."""

    site: Annotated[
        str,
        Field(
            2,
            LABEL,
            "Where the line is; emergency numbers are called from the caller's own site only.",
        ),
    ]
    endpoint: Annotated[
        str, Field(3, _ENDPOINT, "Its name in pjsip.conf or iax.conf of the nodes that have it.")
    ]
    nodes: Annotated[
        tuple[str, ...],
        Field(4, NODES, "The nodes that have it."),
    ]
    patterns: Annotated[
        tuple[str, ...],
        Field(5, PATTERNS, "The numbers that it can call, as dialplan patterns: _0., _+49X."),
    ] = ()
    technology: Annotated[
        str, Field(6, Choice(("pjsip", "iax2")), "The channel driver of the endpoint.")
    ] = "pjsip"
    strip: Annotated[
        int, Field(7, Whole(0, 32), "How many digits are taken off in front of the dialed number.")
    ] = 0
    prepend: Annotated[str, Field(8, _DIGITS, "What is put in front of what is left.")] = ""
    cost: Annotated[
        int,
        Field(
            9,
            Whole(0, 10_000),
            "Of several trunks that can call a number the cheapest is tried first.",
        ),
    ] = 100
    capacity: Annotated[
        int, Field(10, Whole(0, 10_000), "Calls at once, at each of its nodes; 0: no limit.")
    ] = 0
    emergency: Annotated[
        tuple[str, ...],
        Field(
            11,
            ListOf(Word(r"[0-9]{2,6}", "2 to 6 digits", empty=False), 20),
            "Emergency numbers, sent out as dialed.",
        ),
    ] = ()
    caller_id: Annotated[
        str, Field(12, _DIGITS, "The number that the called side sees; empty: the caller's own.")
    ] = ""
    timer: Annotated[
        int,
        Field(
            13, Whole(2, 60), "Seconds without a sign of life after which the next way is tried."
        ),
    ] = 8
    spread: Annotated[
        str,
        Field(
            14,
            Choice(("share", "order")),
            "Of its nodes, each carries calls by its capacity; order: the first named that can.",
        ),
    ] = "share"


TRUNK = Kind(
    "trunk",
    b"t",
    PstnTrunk,
    key=LABEL,
    key_name="trunk",
    help="PSTN trunks: ways to the outside, by the numbers that they can call and what they cost.",
    example={
        "trunk": "berlin-1",
        "site": "berlin",
        "endpoint": "carrier",
        "nodes": ["a", "b"],
        "patterns": ["_0."],
        "strip": 1,
        "emergency": ["112", "110"],
    },
)
