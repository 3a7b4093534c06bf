"""What of a call's way is left to try: nobody who has refused, was spoken for, or had his turn, in this life or an earlier."""

from collections.abc import Sequence

from msgspec.structs import replace

from pbxfed_ari.core.calls import setup
from pbxfed_ari.core.calls.call import Call, Tried
from pbxfed_ari.core.effects import Leg, Outside
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.routing import route as routes
from pbxfed_ari.core.routing.tries import (
    BUSY,
    BUSY_OUT,
    FAILED,
    NO_ANSWER,
    OUTCOMES,
    RANG_OUT,
    SENT_ON,
    UNREACHABLE,
    Lines,
    Try,
    View,
)

RANG_IN_VAIN = "NOANSWER"  # Dial's word: it rang out, or a node answered 480 at once
CAUSES = {BUSY_OUT: BUSY, RANG_OUT: NO_ANSWER}  # what the caller is told of them


def left_of(call: Call, view: View, attempt: Try) -> Try | None:
    """What of it has not been tried yet, but for phones that somebody has spoken for, and nodes out of reach by now."""
    number = call.route.number
    if not attempt.legs:
        return None if marks(number, attempt) <= call.done else attempt
    left = [leg for leg in attempt.legs if (number, leg) not in call.done]
    left = [leg for leg in left if _at(leg) not in call.reached and _in_reach(leg, view)]
    if len(left) == len(attempt.legs):
        return attempt
    reason = f"{attempt.reason}; of these, who was not rung yet"
    return replace(attempt, legs=tuple(left), reason=reason) if left else None


def _in_reach(leg: Leg | Outside, view: View) -> bool:
    return isinstance(leg, Outside) or leg.peer is None or view.reachable(leg.peer)


def who_was_reached(call: Call, outcome: str, status: str) -> tuple[bool, bool]:
    """Whoever has spoken for a phone, or had time to ring it, is not asked for it again by another way.

    Was anybody given up, and has any of them shown no life at all?
    """
    setup_, last = call.setup, call.tried[-1]
    if setup_ is None:
        return False, False
    call.silent |= {end for end in setup_.gone if end is not None}
    was_silent(call, setup_)
    decided = outcome != UNREACHABLE or status == RANG_IN_VAIN
    for leg in last.legs:
        end = leg.peer if isinstance(leg, Leg) else None
        spoke = end is not None and end in setup_.spoke
        if spoke or (decided and end not in setup_.missed):
            call.reached.add(_at(leg))
    return bool(setup_.gone), bool(setup_.missed)


def was_silent(call: Call, setup_: setup.Setup) -> None:
    """By which trunk a node has shown no life, though it could be reached."""
    for leg in setup_.attempt.legs:
        if isinstance(leg, Leg) and leg.peer is not None and leg.peer in setup_.silent:
            call.silent_by[leg.peer] = leg.trunk


def hunt_on(call: Call, last: Try, view: View, lines: Lines) -> None:
    """Who comes next is asked anew: he may stand elsewhere by now, or not be disturbed.

    Nobody has two turns, nor is who was asked where he stands called from elsewhere: his phone may ring there yet.
    """
    found, number = routes.route(replace(call.asking, running=True), view, lines), call.route.number
    if call.setup is not None and call.setup.rang:
        call.had_turn |= _members(last.legs)
    tried = [one for one in call.history if one.number == number]
    for one in tried:
        if one.outcome in CAUSES:
            call.had_turn |= _members(one.legs)
    asked = {member for one in tried for member in _members(one.legs)}
    if found.number == number:
        left = (t for t in found.tries if call.had_turn.isdisjoint(_members(t.legs)))
        left = (t for t in left if asked.isdisjoint(_members(t.legs, instead=True)))
        call.route = replace(call.route, tries=(last, *(t for t in left if t.going_on)))


def _members(legs: Sequence[Leg | Outside], *, instead: bool = False) -> set[str]:
    """Who are rung; or who of them in the stead of their node."""
    ours = (leg for leg in legs if isinstance(leg, Leg))
    return {leg.number for leg in ours if leg.instead_of or not instead}


def ask_again(call: Call, view: View, lines: Lines) -> None:
    """What the directory says now; if that is nothing, what it said before stands."""
    found = routes.route(replace(call.asking, running=True), view, lines)
    call.route = found if found.tries else replace(call.route, onward=found.onward)


def look_up(call: Call, view: View, lines: Lines) -> None:
    """What there is to try was tried perhaps, and is not rung once more: it goes onward from there, or waits in a queue.

    What was tried stands in the note of an earlier life. If it knows this try, what is left is tried yet.
    """
    call.forgotten = False
    call.route = routes.route(replace(call.asking, running=True), view, lines)
    number, known = call.route.number, [one for one in call.history if one.legs]
    call.done |= {(one.number, leg) for one in known for leg in one.legs}
    rung = [one for one in known if one.number == number and one.outcome in CAUSES]
    call.reached |= {_at(leg) for one in rung for leg in one.legs}
    last = call.history[-1]
    same = [one for one in call.route.tries if (number, one.legs) == (last.number, last.legs)]
    if same:
        call.tried[-1] = same[0]
    for attempt in call.route.tries:
        if not attempt.queue and not (same and last.legs and attempt.legs):
            call.done |= marks(number, attempt)
    before = dict.fromkeys(one.number for one in call.history if one.number != number)
    call.asking = replace(call.asking, path=(*before,))  # else forwards that go round ring anew


def known(call: Call) -> str:
    """What an earlier life has tried of this number is not tried again. What came of it?"""
    number, outcome = call.route.number, ""
    while call.known and call.known[0].number == number:
        one = call.known.pop(0)
        if one.outcome == SENT_ON and call.known:
            outcome, call.sent_to = SENT_ON, call.known[0].number
        elif one.outcome in OUTCOMES.values():
            outcome, call.cause = one.outcome, CAUSES.get(one.outcome, FAILED)
            call.done |= {(number, leg) for leg in one.legs}
        if one.outcome in CAUSES:
            call.came = outcome
            call.reached |= {_at(leg) for leg in one.legs}
        if call.refused and not call.known:
            heed(call, call.refused)
            outcome, call.cause = call.came, CAUSES[call.came]
    return outcome


def heed(call: Call, refused: Sequence[Leg | Outside]) -> None:
    """Of those who ring together these have said no: they are rung by no other way either."""
    call.refused = tuple(refused)
    call.reached |= {_at(leg) for leg in refused}
    call.came = call.came or BUSY_OUT


def marks(number: str, attempt: Try) -> set[Tried]:
    """By what it is known again: its legs, or the place in a dialplan that it leads to."""
    return {(number, leg) for leg in attempt.legs} or {(number, attempt.lead)}


def _at(leg: Leg | Outside) -> tuple[NodeName | None, str]:
    peer = leg.peer if isinstance(leg, Leg) else None
    return peer, f"line {leg.line}" if leg.line else leg.number if isinstance(leg, Leg) else ""
