"""What travels with a call over a trunk, as one SIP header or IAX2 variable: whose try of which call it is, and until when.

    <call id>/<hop>/<try>/<line>/<until>/<payer>/<heirs>/<from>/<diverted>/<recorded>/<spare>     the last eight may be missing

Only characters that `dialplan/extensions.conf` lets through (FILTER) and that no dialplan argument minds: a `+` of the payer is
written as `=`. Heirs are written `c=b.c=d`: c calls the phones of b and of d, which are out of reach
(core/membership/takeover.py). `o` is from the outside: whose number it shows is nobody's phone here; `l` is to who shall listen
in on another call; `e` is no call, but who listens in on this one, and the number dialed says who hears him
(core/calls/listening.py). `1003.cfb`: 1003 was busy and has sent the call on; over SIP its Diversion (RFC 5806) says so, too,
over IAX2 nothing else does. `r`: the node that leads the call records it, so nobody bridges it (core/calls/recording.py). `18`:
its sender has given it up 18 s before <until> unless its peer answers others meanwhile (core/calls/setup.py).
"""

import re

from msgspec import Struct

from pbxfed_ari.core.effects import Diverted
from pbxfed_ari.core.names import NODE, NodeName, is_extension

_ID = re.compile(r"[0-9A-Za-z.=]{1,64}")
_LINE = re.compile(NODE)
_HEIR = re.compile(rf"({NODE})=({NODE})")
_DIVERTED = re.compile(r"(=?[0-9A-Za-z]{1,40})\.([a-z]{1,16})")
MOST_HEIRS = 10

Heirs = tuple[tuple[NodeName, NodeName], ...]  # (who calls the phones, of which node)


class Waybill(Struct, frozen=True):
    """One try of one call."""

    call: str
    attempt: int = 1
    line: str = ""  # the PSTN trunk by which the receiver shall let the call out
    until_ms: int = (
        0  # when its sender gives it up if it hears nothing; his clock, 0: he does not say
    )
    hop: int = 1
    payer: str = ""  # the extension whose calling class counts, of a call that shall be let out
    heirs: Heirs = ()
    outside: bool = False  # it came from the outside
    diverted: Diverted | None = None  # who has sent it on
    listens: bool = False  # who is called shall listen in on another call
    recorded: bool = False  # by the node that leads the call
    ear: bool = False  # by this trunk somebody listens in on the call
    spare: int = (
        0  # seconds by which it is given up sooner, if its peer answers nobody else; 0: as usual
    )

    def __str__(self) -> str:
        head = f"{self.call}/{self.hop}/{self.attempt}/{self.line}/{self.until_ms or ''}"
        heirs = ".".join(f"{heir}={node}" for heir, node in self.heirs[:MOST_HEIRS])
        origin = "o" if self.outside else "l" if self.listens else "e" if self.ear else ""
        by = f"{self.diverted.by.replace('+', '=')}.{self.diverted.why}" if self.diverted else ""
        by = by if _DIVERTED.fullmatch(by) else ""
        tail = f"{heirs}/{origin}/{by}/{'r' if self.recorded else ''}/{self.spare or ''}"
        return f"{head}/{self.payer.replace('+', '=')}/{tail}".rstrip("/")


def read(text: str) -> Waybill | None:
    """What a peer wrote; None if it makes no sense."""
    call, *rest = text.split("/")
    hop, attempt, line, until, payer, heirs, origin, by, kept, spare = (*rest, *[""] * 10)[:10]
    payer = payer.replace("=", "+")
    if not _ID.fullmatch(call) or (line and not _LINE.fullmatch(line)):
        return None
    payer = payer if is_extension(payer) else ""
    return Waybill(
        call,
        _number(attempt) or 1,
        line,
        _number(until),
        _number(hop) or 1,
        payer,
        _heirs(heirs),
        origin == "o",
        Diverted(found[1].replace("=", "+"), found[2])
        if (found := _DIVERTED.fullmatch(by))
        else None,
        origin == "l",
        kept == "r",
        origin == "e",
        _number(spare),
    )


def parent(call: str) -> str:
    """Of which call this is a part: who has got `f00` from a peer calls his part of it `f00.e1`; "" if of none."""
    return call.rpartition(".")[0]


def _heirs(text: str) -> Heirs:
    found = (_HEIR.fullmatch(part) for part in text.split(".")[:MOST_HEIRS])
    return tuple((NodeName(pair[1]), NodeName(pair[2])) for pair in found if pair)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0
