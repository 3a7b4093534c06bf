"""What a leg is called where Asterisk makes channels: `PJSIP/1002`, `PJSIP/1002@pf-b`, `IAX2/pf-b/1002`. Pure."""

import re

from pbxfed_ari.core.effects import Leg, Outside
from pbxfed_ari.core.names import Extension, dialable, trunk_to

_PLAIN = re.compile(
    r"[A-Za-z0-9@:;=._~%+\[\]!*?/-]+"
)  # no comma, ampersand, parenthesis, caret, brace, space


def plain(uri: str) -> bool:
    """May this Contact, which a phone chose, stand in a dial string?"""
    return _PLAIN.fullmatch(uri) is not None


def dial_string(leg: Leg | Outside, called: Extension) -> str:
    """The leg's dial string; `called` is the number where the leg says no other.

    Raises: Refused, if the number could not stand in one.
    """
    if isinstance(leg, Outside):
        if leg.technology == "iax2":
            return f"IAX2/{leg.endpoint}/{leg.digits}"
        return f"PJSIP/{leg.digits}@{leg.endpoint}"
    number = dialable(leg.number or called)
    if leg.peer is None:
        return f"PJSIP/{number}"
    peer = trunk_to(leg.peer)
    return f"IAX2/{peer}/{number}" if leg.trunk == "iax2" else f"PJSIP/{number}@{peer}"
