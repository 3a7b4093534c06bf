"""What travels with a call over a trunk, as one SIP header or IAX2 variable: whose try of which call it is, and until when.

    <call id>/<hop>/<try>/<line>/<until>        `line` and `until` may be missing

Only characters that `dialplan/extensions.conf` lets through (FILTER) and that no dialplan argument minds.
"""

import re
from dataclasses import dataclass

from pbxfed_ari.core.names import NODE

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

    def __str__(self) -> str:
        return f"{self.call}/{self.hop}/{self.attempt}/{self.line}/{self.until_ms or ''}".rstrip(
            "/"
        )


def read(text: str) -> Waybill | None:
    """What a peer wrote; None if it makes no sense."""
    call, *rest = text.split("/")
    hop, attempt, line, until = (*rest, "", "", "", "")[:4]
    if not _ID.fullmatch(call) or (line and not _LINE.fullmatch(line)):
        return None
    return Waybill(call, _number(attempt) or 1, line, _number(until), _number(hop) or 1)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0
