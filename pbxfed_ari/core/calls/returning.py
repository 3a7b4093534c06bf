"""A call that was found after a restart: it talks, or rings, or its caller waits for us.

What its note (notebook.py) says of it is exact. What has happened since is taken from Asterisk, as far as that knows.
"""

from msgspec.structs import replace

from pbxfed_ari.core.calls import bridging
from pbxfed_ari.core.calls.call import NOWHERE, Call, Phase
from pbxfed_ari.core.calls.setup import BUSY, NEVER, Setup, patience
from pbxfed_ari.core.effects import (
    Attempted,
    Leg,
    Outside,
)
from pbxfed_ari.core.events import (
    BridgeSeen,
    LegSeen,
    TalkFound,
)
from pbxfed_ari.core.names import (
    ChannelId,
    Extension,
    attempt_of,
    key_of_name,
)
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.routing.tries import View

SOMETIME = 0.001  # after the clock's zero, which says: never


def adopt(call: Call, leg: ChannelId, seen: BridgeSeen, now: float, wall_ms: int) -> None:
    """It was found talking, by a bridge of ours, after a restart."""
    to = Leg(seen.leg.peer, seen.leg.trunk) if seen.leg else Leg()
    caller, present = call.arrival.channel, set(seen.channels)
    call.bridged = bridging.adopt(call.key, caller, seen.name, leg, to, present)
    call.caller_gone = bool(key_of_name(call.arrival.channel))  # he was, before a rescue
    _resume(call, seen.leg, attempt_of(leg), seen.answered_ms, now, wall_ms)
    if not key_of_name(leg):
        call.talks_with = ()  # whom it had called has transferred


def found(call: Call, event: TalkFound, attempt: int, now: float) -> None:
    """The same after a hand-over. If nobody knows when it was answered it counts as talking since its leg was made."""
    since = event.answered_ms or (event.leg.began_ms if event.leg else 0)
    _resume(call, event.leg, attempt, since, now, event.wall_ms)


def rung(seen: BridgeSeen) -> set[str]:
    """The numbers at which it rings for a bridge of ours, as Asterisk shows them."""
    dialed = seen.callers[0].number if seen.callers else ""
    return {leg.number or dialed for leg in seen.rings if not leg.silent}


def adopt_ringing(call: Call, seen: BridgeSeen, now: float, wall_ms: int, view: View) -> None:
    """It was found ringing phones, for a bridge of ours.

    If that is another number than the one of the phone that was dialed, a forward leads there: if nobody answers it goes on
    from there. From a group's members it does not.
    """
    numbers, dialed = rung(seen), call.arrival.number
    number = min(numbers) if len(numbers) == 1 else dialed
    if number != dialed and isinstance(view.get("number", dialed), Phone):
        call.asking = replace(call.asking, number=number)
    to = {
        leg.channel: Leg(leg.peer, leg.trunk, "" if leg.number == dialed else leg.number)
        for leg in seen.rings
    }
    legs, attempt = tuple(dict.fromkeys(to.values())), max(map(attempt_of, to))
    last = Attempted(number, legs, "it rang already when the daemon came back", 0.0)
    rings = _ring(call, attempt, last, now, wall_ms)
    if silent := {leg.peer for leg in seen.rings if leg.silent} - {None}:
        rings.spoke -= silent
        rings.deadline = now + patience(rings.attempt, view)
        rings.latest = rings.deadline + BUSY
    call.bridged = bridging.adopt_ringing(
        call.key, call.arrival.channel, seen.name, to, seen.channels
    )
    rings.legs |= call.bridged.peers()
    rings.phones |= call.bridged.phones(dialed)
    rings.numbers |= {end: attempt_of(leg) for leg, end in rings.legs.items()}


def found_ringing(call: Call, attempt: int, now: float, wall_ms: int) -> None:
    """It was found handed over and not answered yet, after a restart: whom it rings the note knows, or nobody."""
    why = "it rang already when the daemon came back: whom is not known any more"
    _ring(call, attempt, Attempted(call.arrival.number, (), why, 0.0), now, wall_ms)


def anew(call: Call, now: float, wall_ms: int) -> None:
    """Nobody rings for it any more: it goes on where it stood. Who rang when it was seen last is rung once more."""
    before = call.before
    if before is None or before.answered or before.by != call.arrival.by or not before.attempts:
        return
    _recall(call, 0, before.attempts[-1], now, wall_ms)
    call.history = [one.lost_sight(before.seconds) for one in call.history]
    call.asking = replace(call.asking, number=call.arrival.number, did=call.arrival.outside)
    call.known = list(call.history)


def passed(since_ms: int, wall_ms: int) -> float:
    """Seconds from then to now; none, if the clock was set back meanwhile."""
    return max(0, wall_ms - since_ms) / 1_000


def _ring(call: Call, attempt: int, last: Attempted, now: float, wall_ms: int) -> Setup:
    """It is in setup, and whoever it rings lives; the `last` try is all that Asterisk knows."""
    _recall(call, attempt, last, now, wall_ms)
    known = call.history[-1]
    ends = {leg.peer if isinstance(leg, Leg) else None for leg in known.legs}
    call.phase, call.forgotten, call.tried_at = Phase.DIALING, True, call.began + known.began
    call.route = replace(NOWHERE, number=Extension(known.number), payer=call.paid_by)
    call.setup = Setup(
        call.tried[-1], attempt, now, NEVER, NEVER, lives=True, rang=True, spoke=ends
    )
    return call.setup


def _resume(
    call: Call, to: LegSeen | None, attempt: int, answered_ms: int, now: float, wall_ms: int
) -> None:
    dialed = call.arrival.number
    number = (to.number if to else "") or dialed
    leads = Leg(to.peer, to.trunk, number if number != dialed else "") if to else None
    began = max(0, to.began_ms - call.arrival.wall_ms) / 1_000 if to else 0.0
    last = Attempted(
        number, (leads,) if leads else (), "it was found talking after a restart", began
    )
    if to is not None or call.before is not None:
        _recall(call, attempt, last, now, wall_ms)
        call.route = replace(NOWHERE, number=Extension(number), payer=call.paid_by)
    known, since = call.before, now - passed(answered_ms, wall_ms) if answered_ms else now
    if known is not None and known.answered:
        since, call.whose = call.began + known.seconds - known.talked, known.reached or known.number
    call.phase, call.answered = Phase.TALKING, max(since, call.began, SOMETIME)
    call.forgotten = False
    if call.history and leads:
        call.talks_with = _of_try(call.history[-1], leads, number)
    if call.history and not call.history[-1].outcome:
        rang = max(0.0, round(call.answered - call.began - call.history[-1].began, 3))
        call.history[-1] = replace(call.history[-1], outcome="answered", seconds=rang)


def _recall(call: Call, attempt: int, last: Attempted, now: float, wall_ms: int) -> None:
    """What the note says of its tries; and the `last`, if that has begun since."""
    before, tries = call.before, list[Attempted]()
    call.tries, call.left_out = attempt, attempt - 1
    if before is not None:
        call.began = now - max(passed(before.began_ms, wall_ms), before.seconds)
        call.arrival = replace(call.arrival, wall_ms=before.began_ms)
        if call.arrival.number:  # where his channel is now it may have been sent on
            came = {"caller": before.caller, "number": before.number, "outside": before.outside}
            call.arrival = replace(call.arrival, **came)
        call.tries = max(attempt, before.tries)
        call.left_out = before.left_out + max(0, attempt - before.tries - 1)
        call.dialed_out = any(isinstance(leg, Outside) for t in before.attempts for leg in t.legs)
        tries = list(before.attempts)
    if before is None or attempt > before.tries or not tries:
        tries = [*(one.lost_sight(last.began) for one in tries), last]
    call.recall(tries)


def _of_try(last: Attempted, to: Leg, number: str) -> tuple[Leg | Outside, ...]:
    """Of those that were rung, who is where this leg leads; several phones of one peer cannot be told apart."""
    same = [
        one
        for one in last.legs
        if (isinstance(one, Outside) and to.peer is None)
        or (
            isinstance(one, Leg)
            and (one.peer, one.trunk) == (to.peer, to.trunk)
            and (one.peer or (one.number or last.number) == number)
        )
    ]
    return tuple(same) or (to,)
