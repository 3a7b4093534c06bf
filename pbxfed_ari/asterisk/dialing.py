"""What Dial is given: `PJSIP/1002`, `PJSIP/1002@pf-b`, `IAX2/pf-b/1002`; how long, and how. Pure.

Each variable costs Asterisk some tens of µs (its news goes to all who listen), and each line of the dialplan as much. Hence
one variable with all of Dial's arguments, and three ways through `[pbxfed-dial]` in dialplan/extensions.conf.
"""

import re
from collections.abc import Callable, Sequence

from pbxfed_ari.core.effects import Diverted, HandOver, Lead, Leg, Outside
from pbxfed_ari.core.names import Extension, dialable, trunk_to

Devices = Callable[[Extension], list[str]]  # as Contacts.devices

PEERS, NUMBER = "PBXFED_PEERS", "${PBXFED_NUMBER}"  # what `[pbxfed-local]` reads, and makes
OTHERS, HERE, BOTH = "others", "here", "both"  # labels in [pbxfed-dial]
_PLAIN = re.compile(
    r"[A-Za-z0-9@:;=._~%+\[\]!*?/-]+"
)  # no comma, ampersand, parenthesis, caret, brace, space

_UNSPEAKABLE = str.maketrans({'"': "'", "\\": "/", "<": "(", ">": ")"})


def identity(name: str, number: str) -> str:
    """Who somebody is, for Asterisk's caller id parser, which keeps backslashes as they are: nothing in it needs an escape."""
    spoken = "".join(c for c in name.translate(_UNSPEAKABLE) if c.isprintable()).strip()[:80]
    return f'"{spoken}" <{number}>'


def plain(uri: str) -> bool:
    """May this Contact, which a phone chose, stand in a dial string?"""
    return _PLAIN.fullmatch(uri) is not None


def hand_over(effect: HandOver, devices: Devices = lambda phone: []) -> tuple[str, dict[str, str]]:
    """At which label of `[pbxfed-dial]` the call goes on, and the variables that are set on its channel before.

    Raises: Refused, if a number could not stand in a dial string.
    """
    number = dialable(effect.extension)
    own = Leg() in effect.legs
    others = [_dial(leg, number, devices) for leg in effect.legs if leg != Leg()]
    several = own and bool(devices(number))
    codecs = {leg.codec for leg in effect.legs if isinstance(leg, Leg) and leg.peer is not None}
    callers = {leg.caller_id for leg in effect.legs if isinstance(leg, Outside)}
    codec = codecs.pop() if len(codecs) == 1 else ""
    caller = callers.pop() if len(callers) == 1 else ""
    special = bool(codec or caller) or any(isinstance(leg, Leg) and leg.line for leg in effect.legs)
    handler = _handler(effect.legs, special=special, recorded=bool(effect.record))
    music = f"m({effect.music})" if effect.music else ""
    record = f"U(pbxfed-record^{effect.record})" if effect.record else ""
    how = f"{effect.ring_seconds},i{handler}{music}{record}"
    told = {
        "PBXFED_DIAL": f"{'&'.join(others)},{how}",
        "PBXFED_SEVERAL": "1" if several else "",
        # inherited by the legs, where the pre-dial handler reads them
        ("__" if handler else "") + "PBXFED_CALL": effect.note,
        "__PBXFED_CALLER": caller,
        "__PBXFED_CODEC": codec,
    }
    told = {name: value for name, value in told.items() if value}
    if effect.diverted is not None:
        told |= redirecting(effect.diverted)
    if not own:
        return OTHERS, told
    if several or others:
        return BOTH, told | {"PBXFED_DIAL": f"{''.join(f'&{one}' for one in others)},{how}"}
    return HERE, told | {"PBXFED_DIAL": f"PJSIP/{number},{how}"}


def redirecting(diverted: Diverted) -> dict[str, str]:
    """What is set on a caller's channel, or a leg's: PJSIP sends it as Diversion (RFC 5806). `i`: no 181 to the caller."""
    if not diverted.by:
        return {"REDIRECTING(from-num,i)": ""}
    return {
        "REDIRECTING(from-num,i)": diverted.by,
        "REDIRECTING(reason,i)": diverted.why,
        "REDIRECTING(count,i)": str(diverted.times),
    }


def lead(effect: Lead) -> dict[str, str]:
    """What is set on the channel of who is led into the hand-written dialplan.

    Who has forwarded him stands in variables of ours: what his phone or provider chooses, with any character in it, stands in
    REDIRECTING with the next re-INVITE that has a Diversion (res_pjsip_diversion.c).
    """
    by = effect.diverted or Diverted("", "")
    return {
        "PBXFED_LEAD": f"{effect.context},{effect.exten},1",
        "PBXFED_BY": by.by,
        "PBXFED_WHY": by.why,
        **redirecting(by),
    }


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


def together(legs: Sequence[Leg]) -> str:
    """For Dial, by the dialplan: the number stands there in a variable (`[pbxfed-local]` evaluates this)."""
    peers = [(trunk_to(leg.peer), leg.trunk) for leg in legs if leg.peer is not None]
    return "&".join(
        f"IAX2/{peer}/{NUMBER}" if kind == "iax2" else f"PJSIP/{NUMBER}@{peer}"
        for peer, kind in peers
    )


def _dial(leg: Leg | Outside, called: Extension, devices: Devices) -> str:
    """What Dial is given for a leg: each device of a phone of ours by itself, if there are several."""
    string = dial_string(leg, called)
    if isinstance(leg, Leg) and leg.uri:
        return f"{string}/{leg.uri}"
    if isinstance(leg, Leg) and leg.peer is None:
        number = Extension(leg.number) if leg.number else called
        return "&".join(f"{string}/{uri}" for uri in devices(number)) or string
    return string


def _handler(legs: Sequence[Leg | Outside], *, special: bool, recorded: bool) -> str:
    """Dial's option for what each leg is told: `s` finds out for itself what it is. Nothing where nobody is told anything."""
    ways = {leg.trunk if isinstance(leg, Leg) and leg.peer is not None else "" for leg in legs}
    if ways <= {""} and not special:
        return ""
    exten = "s" if special or recorded or len(ways) > 1 else ways.pop()
    return f"b(pbxfed-leg^{exten}^1)"
