"""From one try of a call to the next, until somebody answers or nothing is left.

To go onward is to ask for the way of the number to which the one that found nobody forwards, and to hand over its first try.
Who waits in a queue is the same: its members are the tries, and music is heard between them.
"""

from functools import partial

from msgspec.structs import replace

from pbxfed_ari.core.calls import remaining, setup, starting
from pbxfed_ari.core.calls.call import NOWHERE, SETTING_UP, Call, Input, Phase
from pbxfed_ari.core.calls.remaining import CAUSES, RANG_IN_VAIN
from pbxfed_ari.core.calls.setup import HELD, HELD_AFAR, NEVER
from pbxfed_ari.core.effects import (
    LOST_SIGHT,
    Effect,
    Hold,
    Leg,
    Outside,
    SendElsewhere,
)
from pbxfed_ari.core.events import (
    PeerHasCall,
    PeerLostCalls,
    Returned,
)
from pbxfed_ari.core.names import (
    CallId,
    is_dialable,
)
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.group import Group
from pbxfed_ari.core.records.objects.queue import Queue
from pbxfed_ari.core.records.objects.room import Room
from pbxfed_ari.core.routing import queueing
from pbxfed_ari.core.routing import route as routes
from pbxfed_ari.core.routing.tries import (
    ABSENT,
    ASK_ANOTHER,
    CONGESTION,
    FAILED,
    LOOP,
    MOVED,
    NO_ANSWER,
    NO_ROUTE,
    NORMAL,
    OUTCOMES,
    RANG_OUT,
    REJECTED,
    SENT_ON,
    UNALLOCATED,
    UNREACHABLE,
    Lines,
    Onward,
    Try,
    View,
)

IN_VAIN = {**CAUSES, UNREACHABLE: ABSENT}  # the same, where forwards lead nowhere
LEADS_NOWHERE = (LOOP, UNALLOCATED, REJECTED)  # of a forward; its caller has dialed right
FINAL = frozenset({"CANCEL", "ANSWER"})  # the caller has gone, or has talked
UNSETTLED = 0.1  # seconds after which it is looked again whether it is known who lives
LONGEST = 3.0  # seconds that this is waited for
HANGS = 0.8  # seconds in which a node that lives says that its Asterisk hangs, after both its trunks were silent
MOST_HOPS = 3  # trunks that a call may cross, from queue to queue


def arrived(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """A peer's call is looked at: is it still wanted? Who sends it again has waited already, and hears that it is here.

    One that an earlier life of ours has had came in time then, and its sender's clock may have been set since: he is asked.
    Who was transferred out of a bridge, and is found after a restart, is held a moment: his other end may have hung up.
    """
    arrival = call.arrival
    if arrival.again and arrival.by and not arrival.endpoint:
        call.phase, call.held_until = Phase.HELD, now + setup.AGAIN
        return []
    if call.bill is None or arrival.peer is None:
        return _begin(call, now, view, lines)
    late = setup.lateness(call.bill, arrival.peer, arrival, now, view)
    call.word_due = now + setup.words(arrival.peer, view)[0]
    told: list[Effect] = []
    if late or call.bill.attempt > 1:
        told = setup.here(call.bill, arrival.peer, view)
    if late == "late" and call.before is None:
        return [*told, *_too_late(call)]
    if late:
        afar = view.door(arrival.peer) is None
        call.phase, call.held_until = Phase.HELD, now + (HELD_AFAR if afar else HELD)
        return told
    return [*told, *_begin(call, now, view, lines)]


def _too_late(call: Call) -> list[Effect]:
    call.route = replace(NOWHERE, reason="it came too late: its sender has given it up")
    return call.give_up(ASK_ANOTHER)  # or was late himself, and waits


def _was_late(call: Call, now: float, view: View) -> bool:
    """Was it, as is known now? Just after our start we knew nobody's clock, and had nobody to ask."""
    bill, peer, clock = call.bill, call.arrival.peer, view.clock_ms(now)
    if bill is None or peer is None or not clock or call.before is not None or call.arrival.again:
        return False
    came = replace(call.arrival, again=True, wall_ms=clock - round((now - call.began) * 1_000))
    return setup.lateness(bill, peer, came, now, view) == "late"


def held_long_enough(
    call: Call, event: Input, now: float, view: View, lines: Lines
) -> list[Effect]:
    """A call that was held back, or whose sender was told something, has waited long enough."""
    if now < call.held_until:
        return []
    if call.leaves:
        return call.give_up(call.cause)
    if call.failed is None:
        return _too_late(call) if _was_late(call, now, view) else _begin(call, now, view, lines)
    failed, call.failed, call.held_until = call.failed, None, NEVER
    return _go_on(call, *failed, now, view, lines)


def is_there(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """A peer has got this try of ours; or its phone sends it on, and the try ends in a moment."""
    assert isinstance(event, PeerHasCall)
    if call.setup is not None:
        call.setup.alive(event.peer)
    if event.sent_to and call.phase is Phase.DIALING and call.own():
        call.sent_to = event.sent_to
    return []


def look_for_life(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Say that a peer's call is here, if that is due; give up what shows no life."""
    told: list[Effect] = []
    if now >= call.word_due and call.bill and call.arrival.peer:
        told = setup.here(call.bill, call.arrival.peer, view)
        last = call.began + setup.words(call.arrival.peer, view)[1]
        call.word_due = last if now < last else NEVER
    if call.setup is None:
        return told
    return [*told, *call.setup.tick(now, view, lines, CallId(call.key))]


def rings(call: Call, view: View) -> None:
    """Its sender hears it by the trunk: by IAX2 for certain; SIP says it once, and that may be lost as any word."""
    peer, sip = call.arrival.peer, bool(call.arrival.endpoint)
    if peer is None or not sip or call.word_due > call.began + setup.words(peer, view)[0]:
        call.word_due = NEVER


def peer_lost(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """A peer's Asterisk has died, with what was in setup there."""
    assert isinstance(event, PeerLostCalls)
    if call.arrival.peer == event.peer and call.phase in SETTING_UP:
        return not_wanted(call, event, now, view, lines)
    if call.setup is None:
        return []
    return call.setup.lose(event.peer, now, view, lines, CallId(call.key))


def not_wanted(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Who has sent it wants it no more."""
    lost = isinstance(event, PeerLostCalls)
    why = "its sender's Asterisk has died" if lost else "its sender has given it up"
    call.route = replace(call.route, reason=why)
    call.came_of_it("given_up", now)
    return call.give_up(NORMAL)


def way_failed(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """A try has come to nothing."""
    assert isinstance(event, Returned)
    elsewhere = event.cause == MOVED or (call.setup is not None and call.setup.elsewhere)
    line = any(isinstance(leg, Outside) for leg in call.tried[-1].legs)
    if line and elsewhere and event.status not in FINAL:
        event = replace(event, status="CHANUNAVAIL", cause=NO_ROUTE)  # which Dial calls busy
    said = 0 if event.cause == NORMAL else event.cause  # a leg that ends so has asked nobody
    if line and not said and event.status == "CONGESTION":  # of a line's silence, by chan_iax2
        said = CONGESTION
    nowhere = call.setup is not None and call.setup.nowhere
    if said == MOVED or nowhere:  # nobody has said whither: who was called is not to be had
        said = ABSENT
    call.cause = said or (FAILED if call.cause == NORMAL else call.cause)
    if event.status in FINAL:
        call.came_of_it("given_up", now)
        return call.give_up(event.cause or NO_ANSWER)
    if call.queue:
        return _line_up(call, event, now, view, lines)
    return _go_on(call, event, now, now, view, lines)


def once_more(call: Call, event: Returned, now: float, view: View, lines: Lines) -> list[Effect]:
    """Some were not asked, or nobody knows what they have said, as if our websocket was away: they are once more, not twice."""
    last, given_up = call.tried[-1], call.setup is not None and call.setup.gone
    refused = call.who_refused()
    heard = {*refused, *(call.bridged.told if call.bridged else ())}
    left = tuple(leg for leg in last.legs if leg not in heard)
    before = [set(one.legs) for one in call.history[-2:-1] if one.outcome == LOST_SIGHT]
    if given_up or not left or any(map(set(left).issubset, before)):
        return way_failed(call, event, now, view, lines)
    if refused:
        remaining.heed(call, refused)
    call.came_of_it(LOST_SIGHT, now)
    return _start(call, replace(last, legs=left), now, view, lines)


def _go_on(
    call: Call, event: Returned, failed: float, now: float, view: View, lines: Lines
) -> list[Effect]:
    """What comes after a try that has failed at that moment. Others may have it, but not before it is known who lives."""
    if call.asking.peer is None and _settles_yet(call, now, view):
        call.failed = event, failed
        return _until_settled(call, now)
    if call.forgotten:
        remaining.look_up(call, view, lines)
    if call.sent_to:
        call.came_of_it(SENT_ON, failed)
        return _send_on(call, now, view, lines)
    last, outcome = call.tried[-1], outcome_of(call, event, failed)
    call.cause = CAUSES.get(outcome, call.cause)
    call.came = outcome if outcome in CAUSES else call.came
    gone, missed = remaining.who_was_reached(
        call, outcome, event.status if event.cause not in (0, NORMAL) else ""
    )
    if last.going_on:
        remaining.hunt_on(call, last, view, lines)
    waits = any(attempt.queue for attempt in call.route.tries)  # and did before a restart
    if last.going_on or waits or (outcome != UNREACHABLE and missed):
        return _next_try(call, now, view, lines, outcome)
    if outcome != UNREACHABLE:
        return _onward(call, outcome, now, view, lines)
    call.cause = _why(call, last, event.cause, gone=gone)
    used_up = call.route.fresh or not any(
        map(partial(remaining.left_of, call, view), call.route.tries)
    )
    if used_up and _may_hang(call, failed, now, view):
        call.failed = event, failed
        return _until_settled(call, now)
    if gone or event.status == RANG_IN_VAIN or used_up:
        remaining.ask_again(call, view, lines)
    return _next_try(call, now, view, lines, outcome)


def _why(call: Call, last: Try, cause: int, *, gone: bool) -> int:
    """The cause of a try that has reached nobody: not what we hung up with, nor what a trunk says of its own.

    A phone that is where it was no more: who sent the call need not try again. A peer that is within reach, and has said
    nothing of it, has too much to do, or we have, or what lies between: another node may reach it.
    """
    watched = call.setup
    if watched is None or not last.legs:
        return call.cause
    if gone and all(isinstance(leg, Leg) and leg.uri for leg in last.legs):
        return ABSENT
    if gone:
        return CONGESTION if watched.overdue else NO_ROUTE
    return CONGESTION if watched.unheard and cause not in setup.SAID_NO else call.cause


def _may_hang(call: Call, failed: float, now: float, view: View) -> bool:
    """Was a node silent that could be reached? If its Asterisk hangs its phones are called by others, as soon as it says so."""
    silent = call.setup.overdue if call.setup is not None else set()
    here = call.asking.peer is None and not call.came and now < failed + HANGS
    return here and any(end is not None and view.reachable(end) for end in silent)


def _line_up(call: Call, event: Returned, now: float, view: View, lines: Lines) -> list[Effect]:
    """Who was rung for him had no time: he waits on."""
    outcome_of(call, event, now)
    if call.setup is not None:  # a node is called by its other trunk the next time, and back
        call.silent ^= {end for end in call.setup.missed if end is not None}
        remaining.was_silent(call, call.setup)
    return _wait(call, now, view, lines)


def outcome_of(call: Call, event: Returned, now: float) -> str:
    """What came of the last try, which its record says from now on."""
    seconds, lasted = call.tried[-1].ring_seconds or call.ring_seconds, now - call.tried_at
    outcome = UNREACHABLE
    if call.setup is not None:
        outcome = call.setup.came_of_it(event.status, event.cause, lasted, seconds)
    call.came_of_it(outcome, now)
    return outcome


def look_again(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Has a member of the queue time now?"""
    return _wait(call, now, view, lines) if now >= call.held_until else []


def _wait(call: Call, now: float, view: View, lines: Lines) -> list[Effect]:
    """Ring a member, or let him hear music until one has time, or send him on if that lasts too long."""
    item = view.get("number", call.queue)
    if not isinstance(item, Queue) or now >= call.patience:
        return _weary(call, item, now, view, lines)
    hold: list[Effect] = [] if call.on_hold else [Hold(call.caller, item.music)]
    call.music, call.word_due = item.music, NEVER  # he is answered: who sent him knows
    attempt = queueing.next_try(item, view, lines, now, call.silent_by)
    if attempt is None:
        call.phase, call.on_hold, call.setup = Phase.WAITING, True, None
        call.held_until = min(now + queueing.LOOK, call.patience)
        return hold
    call.on_hold, call.held_until = False, NEVER
    return [*hold, *_start(call, attempt, now, view, lines)]


def _weary(call: Call, item: object, now: float, view: View, lines: Lines) -> list[Effect]:
    """He has waited too long. From here he calls anew: a peer that has sent him cannot do it, for he is answered."""
    silence: list[Effect] = [Hold(call.caller, "")] if call.on_hold else []
    call.queue, call.patience, call.held_until, call.on_hold = "", NEVER, NEVER, False
    way = call.route.after(RANG_OUT) if isinstance(item, Queue) else None
    if way is None or (call.bill is not None and call.bill.hop >= MOST_HOPS):
        return call.give_up(NO_ANSWER)
    call.asking = replace(call.asking, peer=None, payer="", heirs=())
    call.route = replace(call.route, payer="")
    return [*silence, *_forward(call, way, now, view, lines)]


def _begin(call: Call, now: float, view: View, lines: Lines) -> list[Effect]:
    call.held_until = NEVER
    call.route = routes.route(call.asking, view, lines)
    if not _depends_on_nobody(call, view) and _settles_yet(call, now, view):
        return _until_settled(call, now)
    return _next_try(call, now, view, lines)


def _settles_yet(call: Call, now: float, view: View) -> bool:
    """Will it soon be known who lives? A node whose name another one has may never know, and does what it can."""
    if view.settled(now):
        return False
    call.unsettled = min(call.unsettled, now)
    return now < call.unsettled + LONGEST


def _until_settled(call: Call, now: float) -> list[Effect]:
    call.phase, call.held_until = Phase.HELD, now + UNSETTLED
    return []


def _depends_on_nobody(call: Call, view: View) -> bool:
    """Is its way the same, whoever else lives? A room may stand elsewhere, and of a group others are to be rung, too.

    Nor if it had gone on from this number before a restart.
    """
    number = call.route.number
    if any(one.number != number for one in call.known):
        return False
    item = view.get("number", number)
    if isinstance(item, Room | Queue):
        return view.me in view.stands(number)
    if not call.route.tries or call.asking.peer is not None:
        return bool(call.route.tries)
    return not isinstance(item, Group) and not (isinstance(item, Phone) and item.devices > 1)


def _start(call: Call, attempt: Try, now: float, view: View, lines: Lines) -> list[Effect]:
    if attempt.queue:
        item = view.get("number", attempt.queue)
        longest = item.wait_seconds if isinstance(item, Queue) else 0
        call.queue, call.patience = attempt.queue, now + longest if longest else NEVER
        return _wait(call, now, view, lines)
    return starting.start(call, attempt, now, view, lines)


def _next_try(call: Call, now: float, view: View, lines: Lines, outcome: str = "") -> list[Effect]:
    """The next try; without one the way onward after this outcome, which a route without tries says itself."""
    outcome = remaining.known(call) if call.known else outcome
    if outcome == SENT_ON:
        return _send_on(call, now, view, lines)
    gone_on = bool(outcome and call.known)
    tries = () if gone_on else call.route.tries
    left = next(filter(None, map(partial(remaining.left_of, call, view), tries)), None)
    if left is not None:
        return _start(call, left, now, view, lines)
    if not call.route.tries:
        outcome = OUTCOMES.get(call.route.cause, "")
    elif outcome == UNREACHABLE and call.came:
        outcome, call.cause = call.came, CAUSES[call.came]
    return _onward(call, outcome, now, view, lines)


def _onward(call: Call, outcome: str, now: float, view: View, lines: Lines) -> list[Effect]:
    way = call.route.after(outcome) or _back(call, outcome, view)
    if way is None:
        return _refuse(call, call.cause if call.route.tries else call.route.cause, now, view)
    return _forward(call, way, now, view, lines)


def _back(call: Call, outcome: str, view: View) -> Onward | None:
    """Who was transferred, and whom nobody takes, comes back to who has transferred him, once. Not who may not go there."""
    by, tried = call.arrival.by, call.route.number
    wrong = call.route.cause == UNALLOCATED and is_dialable(tried)
    if not (outcome or wrong) or by in (tried, *call.asking.path):
        return None
    if not isinstance(view.get("number", by), Phone):
        return None
    return Onward(
        outcome, by, f"nobody takes it at {tried}: back to {by}, who has transferred it", by
    )


def _refuse(call: Call, cause: int, now: float, view: View) -> list[Effect]:
    """Who has sent it hears that it was here, if nothing has rung: he need not send it by another trunk.

    The trunk's end must not overtake that word, so it waits if somebody was rung, unless its cause says as much.
    """
    told: list[Effect] = []
    if call.bill is not None and (peer := call.arrival.peer) and call.word_due < NEVER:
        call.word_due, told = NEVER, setup.here(call.bill, peer, view)
        if told and call.tried and cause not in setup.SAID_NO:
            _wait_for_word(call, cause, now, afar=view.door(peer) is None)
            return told
    return [*told, *call.give_up(cause)]


def _wait_for_word(call: Call, cause: int, now: float, *, afar: bool) -> None:
    """It ends when its sender has heard what was told."""
    call.phase, call.cause, call.leaves, call.setup = Phase.HELD, cause, True, None
    call.held_until = now + (setup.OVERTAKES_AFAR if afar else setup.OVERTAKES)


def _send_on(call: Call, now: float, view: View, lines: Lines) -> list[Effect]:
    """The phone has said whither. A peer's call is sent back with that: its own node looks for the way (one hop)."""
    number, (to, call.sent_to) = call.route.number, (call.sent_to, "")
    why = f"{number} is sent on to {to} by its phone"
    if call.bill is not None and (peer := call.asking.peer) and is_dialable(to):
        route = replace(call.route, reason=why)
        if call.arrival.endpoint:
            call.phase, call.cause, call.route = Phase.OVER, NORMAL, route
            legs = call.bridged.end() if call.bridged else []
            return [SendElsewhere(call.caller, to), *legs]
        if told := setup.here(call.bill, peer, view, to):  # by IAX2: heard before the try's end
            call.route = route
            _wait_for_word(call, ABSENT, now, afar=view.door(peer) is None)
            return told
    return _forward(call, Onward(SENT_ON, to, why, number), now, view, lines)


def _forward(call: Call, way: Onward, now: float, view: View, lines: Lines) -> list[Effect]:
    """If that leads nowhere, because phones stand in for one another or it was set wrong, what came of the last one counts."""
    asking = replace(call.asking, payer=call.payer)
    call.asking = routes.forwarded(way, call.route.number, asking)
    call.route = routes.route(call.asking, view, lines).because(way.reason)
    if call.route.cause in LEADS_NOWHERE and not call.route.tries:
        call.route = replace(call.route, cause=IN_VAIN.get(way.outcome, call.route.cause))
    call.reached.clear()
    call.had_turn.clear()
    call.came = ""
    if not call.known:  # else it is of the number that it had come to before a restart
        call.refused = ()
    return _next_try(call, now, view, lines)
