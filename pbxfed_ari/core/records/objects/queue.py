"""A queue: a number whose callers wait, with music, until a member has time for them."""

from dataclasses import dataclass
from typing import Annotated

from pbxfed_ari.core import names
from pbxfed_ari.core.records.objects.fields import (
    DIALED,
    Choice,
    Field,
    Flag,
    Named,
    Text,
    Whole,
    Word,
)
from pbxfed_ari.core.records.objects.group import ALL, HUNT, MEMBERS, RECORD_HELP
from pbxfed_ari.core.records.objects.kind import Item, Kind

ROUND_ROBIN = "round_robin"  # beside those of a ring group


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(Item):
    """A queue as it stands in the book."""

    name: Annotated[str, Field(2, Text(64), "What it is for.")] = ""
    strategy: Annotated[
        str,
        Field(
            3,
            Choice((ROUND_ROBIN, HUNT, ALL)),
            "Who of those that are free is rung: round_robin: whose phone rang longest ago; hunt: the first, in order; "
            "all: everybody at once.",
        ),
    ] = ROUND_ROBIN
    members: Annotated[tuple[str, ...], MEMBERS] = ()
    ring_seconds: Annotated[
        int, Field(5, Whole(1, 600), "How long a member's phone rings before the next one's does.")
    ] = 15
    wait_seconds: Annotated[
        int, Field(6, Whole(0, 86_400), "How long a caller waits at most; 0: as long as he likes.")
    ] = 600
    otherwise: Annotated[
        str, Field(7, DIALED, "Where who has waited so long goes; a number inside.")
    ] = ""
    music: Annotated[
        str,
        Field(
            8,
            Word(r"[A-Za-z0-9_-]{1,80}", "a class of musiconhold.conf", empty=False),
            "What callers hear: a class of musiconhold.conf.",
        ),
    ] = "default"
    retry_seconds: Annotated[
        int,
        Field(
            9,
            Whole(1, 600),
            "How long a member who did not answer, or was busy, is left alone before his phone rings again.",
        ),
    ] = 5
    record: Annotated[bool, Field(10, Flag(), RECORD_HELP)] = False


QUEUE = Kind(
    "queue",
    b"q",
    Queue,
    key=Named(names.dialable, names.DIALABLE),
    key_name="number",
    space="number",
    help="Queues: a number whose callers wait, with music, until one of its members has time for them.",
    example={"number": "700", "name": "Support", "members": ["1001", "1002"], "wait_seconds": 300},
)
