"""What travels with a call over a trunk, as one SIP header or IAX2 variable: whose try of which call it is, and until when.

    <call id>/<hop>/<try>/<line>/<until>/<payer>        the last three may be missing

Only characters that `dialplan/extensions.conf` lets through (FILTER) and that no dialplan argument minds: a `+` of the payer is
written as `=`.
"""

import re
from dataclasses import dataclass

from pbxfed_ari.core.names import NODE, is_extension

_ID = re.compile(r"[0-9A-Za-z.=]{1,64}")
_LINE = re.compile(NODE)


@dataclass(frozen=True, slots=True)
class Waybill:
    """One try of one call."""

    call: str
    attempt: int = 1
    line: str = ""  # the PSTN trunk by which the receiver shall let the call out
    until_ms: int = (
        0  # when its sender gives it up if it hears nothing; his clock, 0: he does not say
    )
    hop: int = 1
    payer: str = ""  # the extension whose calling class counts, of a call that shall be let out

    def __str__(self) -> str:
        head = f"{self.call}/{self.hop}/{self.attempt}/{self.line}/{self.until_ms or ''}"
        return f"{head}/{self.payer.replace('+', '=')}".rstrip("/")


def read(text: str) -> Waybill | None:
    """What a peer wrote; None if it makes no sense."""
    call, *rest = text.split("/")
    hop, attempt, line, until, payer = (*rest, "", "", "", "", "")[:5]
    payer = payer.replace("=", "+")
    if not _ID.fullmatch(call) or (line and not _LINE.fullmatch(line)):
        return None
    payer = payer if is_extension(payer) else ""
    return Waybill(call, _number(attempt) or 1, line, _number(until), _number(hop) or 1, payer)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0
