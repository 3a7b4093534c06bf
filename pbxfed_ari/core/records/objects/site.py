"""A site: a place with its own short numbers, and a line to the other places that carries so much."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pbxfed_ari.core.records.objects.extension import CODECS
from pbxfed_ari.core.records.objects.fields import (
    LABEL,
    Choice,
    Field,
    ListOf,
    Named,
    Text,
    Whole,
    Word,
)
from pbxfed_ari.core.records.objects.kind import Item, Kind
from pbxfed_ari.errors import Refused

_NET = r"[0-9A-Fa-f:.]{2,39}(?:/[0-9]{1,3})?"


def net(text: str) -> str:
    """An IPv4 or IPv6 network, with no bit set behind its prefix.

    Raises: Refused.
    """
    try:
        ip_network(text)
    except ValueError:
        raise Refused(f"network {text!r}: must be like 10.1.0.0/16 or fd00:1::/48") from None
    return text


@lru_cache(maxsize=4_096)
def network(text: str) -> IPv4Network | IPv6Network | None:
    """A network, or None if the text is not one."""
    try:
        return ip_network(text)
    except ValueError:
        return None


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
    nets: Annotated[
        tuple[str, ...],
        Field(
            7,
            ListOf(Named(net, _NET), 100),
            "Networks that its phones ask DNS from, as 10.1.0.0/16: they are told of its nodes first.",
        ),
    ] = ()


SITE = Kind(
    "site",
    b"l",
    SiteObject,
    key=LABEL,
    key_name="site",
    help="Sites: short numbers of a place, and how much its line to the others carries.",
    example={"site": "berlin", "name": "Berlin", "prefix": "71", "calls": 30},
)
