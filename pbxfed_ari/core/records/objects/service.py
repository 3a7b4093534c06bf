"""A service: a number that leads into the hand-written dialplan of named nodes (an IVR, paging, fax)."""

from dataclasses import dataclass
from typing import Annotated

from pbxfed_ari.core import names
from pbxfed_ari.core.records.objects.fields import NODES, Field, Named, Text, Word
from pbxfed_ari.core.records.objects.kind import Item, Kind

_CONTEXT = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,78}"
_EXTEN = r"[A-Za-z0-9*#+]{1,32}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Item):
    """A service as it stands in the book."""

    name: Annotated[str, Field(2, Text(64), "What it is.")] = ""
    context: Annotated[
        str,
        Field(
            3, Word(_CONTEXT, "a context of extensions.conf", empty=False), "The dialplan context."
        ),
    ]
    exten: Annotated[
        str,
        Field(
            4,
            Word(_EXTEN, "an extension in that context"),
            "The extension there; empty: the number dialed.",
        ),
    ] = ""
    nodes: Annotated[
        tuple[str, ...],
        Field(
            5,
            NODES,
            "The nodes that have it; the next one is tried when one is away. Empty: every node.",
        ),
    ] = ()


SERVICE = Kind(
    "service",
    b"s",
    Service,
    key=Named(names.dialable, names.DIALABLE),
    key_name="number",
    space="number",
    help="Services: a number that leads into your own dialplan (IVR, paging, fax) on the nodes that have it.",
    example={"number": "*97", "name": "Voicemail", "context": "voicemail", "nodes": ["a", "b"]},
)
