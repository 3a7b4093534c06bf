"""Routes as JSON. Where several outcomes lead to one place the first shows the way from there, and the others name that one."""

from collections.abc import Iterable

from pbxfed_ari.core.effects import Leg, Outside
from pbxfed_ari.core.routing.explaining import Explained
from pbxfed_ari.core.routing.tries import Try

Json = dict[str, object]


def shown(found: Explained, me: str) -> Json:
    """A route: number, tries in order, and where the call goes after which outcome; the cause if it ends."""
    route, first = found.route, dict[str, str]()
    then: list[Json] = []
    for way, after in found.then:
        head: Json = {"when": way.outcome, "to": way.to, "why": way.reason}
        as_when = first.setdefault(way.to, way.outcome)
        then.append(head | (shown(after, me) if as_when == way.outcome else {"as": as_when}))
    return {
        "number": route.number,
        "tries": [attempt(one, me) for one in route.tries],
        "cause": route.cause,
        "reason": route.reason,
        "then": then,
    }


def attempt(one: Try, me: str) -> Json:
    """One try; `lead` is the place of the dialplan into which the call is led."""
    body: Json = {"legs": legs(one.legs, me), "reason": one.reason}
    if one.lead is not None:
        body["lead"] = {"context": one.lead.context, "exten": one.lead.exten}
    return body


def legs(found: Iterable[Leg | Outside], me: str) -> list[Json]:
    """What rings together: node, trunk to it, the number there if it is another, the PSTN trunk.

    `instead_of`: nodes out of reach, whose phones that node calls.
    """
    return [_leg(leg, me) for leg in found]


def _leg(leg: Leg | Outside, me: str) -> Json:
    if isinstance(leg, Outside):
        return {"node": me, "trunk": None, "line": leg.line, "digits": leg.digits}
    body: Json = {"node": leg.peer or me, "trunk": leg.trunk or None}
    if leg.number:
        body["number"] = leg.number
    if leg.line:
        body["line"] = leg.line
    if leg.instead_of:
        body["instead_of"] = list(leg.instead_of)
    return body
