"""Bridge mode: who was silent by one trunk is called by the other one while the others ring on.

Dial takes no new leg; a bridge of ours does. It is a try of its own to its peer, whose waybill has the next number, for what
was given up is not wanted there any more; to everybody else, and in the record, it is the same one.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from pbxfed_ari.core.calls import remaining, setup, starting, trying
from pbxfed_ari.core.calls.call import Call, Input
from pbxfed_ari.core.calls.setup import Setup
from pbxfed_ari.core.effects import Effect, Leg
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.routing.tries import Lines, View


def look_for_life(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """As for every call; then call whom that has given up by his other trunk, if others ring on."""
    effects = trying.look_for_life(call, event, now, view, lines)
    if call.setup is None or call.setup.abandoned or not call.setup.overdue:
        return effects
    return [*effects, *_ring(call, call.setup, now, view, lines)]


def _ring(call: Call, late: Setup, now: float, view: View, lines: Lines) -> list[Effect]:
    legs = _others(call, late.overdue)
    if not legs or call.bridged is None:
        return []
    remaining.was_silent(call, late)
    last, number = call.tried[-1], call.route.number
    ends = {leg.peer for leg in legs}
    stays = (leg for leg in last.legs if not isinstance(leg, Leg) or leg.peer not in ends)
    said = ", ".join(f"{leg.peer} by {leg.trunk}" for leg in legs)
    attempt = replace(last, legs=(*stays, *legs), reason=f"{last.reason}; meanwhile {said}")
    more = replace(attempt, legs=tuple(legs))
    call.tries, call.tried[-1] = call.tries + 1, attempt
    call.history[-1] = replace(call.history[-1], legs=attempt.legs, reason=attempt.reason)
    call.done |= {(number, leg) for leg in legs}
    waits = setup.once_more(setup.patience(more, view)) * (2 if lines.hurried() else 1)
    late.again(attempt, ends, call.tries, now, waits, setup.spare_of(more, lines))
    bill = str(starting.waybill_of(call, more, late, now, view))
    known = set(call.bridged.legs)
    made = call.bridged.ring(more, call.tries, number, bill, view, call.shown)
    to = call.bridged.peers().items()
    late.makes({leg: end for leg, end in to if leg not in known})
    return made


def _others(call: Call, late: set[NodeName]) -> Sequence[Leg]:
    """By the first trunk to each that was not tried yet, to the same numbers."""
    number = call.route.number
    asked = {(leg.peer, leg.number) for leg in call.tried[-1].legs if isinstance(leg, Leg)}
    found: dict[tuple[NodeName | None, str], Leg] = {}
    for attempt in call.route.tries:
        for leg in attempt.legs:
            if not isinstance(leg, Leg) or leg.peer not in late or (number, leg) in call.done:
                continue
            if (whom := (leg.peer, leg.number)) in asked:
                found.setdefault(whom, leg)
    return list(found.values())
