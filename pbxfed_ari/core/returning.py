"""A call that was found after a restart: it talks, or rings, and of its tries little is known."""

from msgspec.structs import replace

from pbxfed_ari.core import bridging
from pbxfed_ari.core.call import NOWHERE, Call, Phase
from pbxfed_ari.core.effects import (
    Attempted,
    Leg,
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
from pbxfed_ari.core.objects.extension import Phone
from pbxfed_ari.core.setup import NEVER, Setup
from pbxfed_ari.core.tries import Try, View

SOMETIME = 0.001  # after the clock's zero, which says: never


def adopt(call: Call, leg: ChannelId, seen: BridgeSeen, now: float, wall_ms: int) -> None:
    """It was found talking, by a bridge of ours, after a restart: of its tries the last is known, of others how many."""
    to = Leg(seen.leg.peer, seen.leg.trunk) if seen.leg else Leg()
    call.bridged = bridging.adopt(call.key, call.arrival.channel, leg, to, set(seen.channels))
    call.caller_gone = bool(key_of_name(call.arrival.channel))  # he was, before a rescue
    _resume(call, seen.leg, attempt_of(leg), seen.answered_ms, now, wall_ms)


def found(call: Call, event: TalkFound, attempt: int, now: float) -> None:
    """The same after a hand-over. If nobody knows when it was answered it counts as talking since its leg was made."""
    since = event.answered_ms or (event.leg.began_ms if event.leg else 0)
    _resume(call, event.leg, attempt, since, now, event.wall_ms)


def whom(seen: BridgeSeen) -> str:
    """The number for which a bridge of ours rings, as Asterisk shows it."""
    dialed = seen.callers[0].number if seen.callers else ""
    return (seen.leg.number if seen.leg else "") or dialed


def adopt_ringing(call: Call, leg: ChannelId, seen: BridgeSeen, now: float, view: View) -> None:
    """It was found ringing a phone, in a bridge of ours.

    If that is another number than the one of the phone that was dialed, a forward leads there: if nobody answers it goes on
    from there. From a group's member it does not.
    """
    number, dialed, attempt = whom(seen), call.arrival.number, attempt_of(leg)
    if number != dialed and isinstance(view.get("number", dialed), Phone):
        call.asking = replace(call.asking, number=number)
    peer, trunk = (seen.leg.peer, seen.leg.trunk) if seen.leg else (None, "")
    to = Leg(peer, trunk, "" if number == dialed else number)
    found_ringing(call, attempt, now)
    last = Try((to,), "it rang already when the daemon came back")
    call.tried, call.route = [last], replace(NOWHERE, number=Extension(number))
    call.history = [Attempted(number, last.legs, last.reason, 0.0)]
    call.setup = Setup(last, attempt, now, NEVER, NEVER, lives=True, rang=True)
    call.setup.legs[leg] = peer
    call.setup.spoke.add(peer)
    call.bridged = bridging.adopt_ringing(call.key, call.arrival.channel, leg, to)


def found_ringing(call: Call, attempt: int, now: float) -> None:
    """It was found handed over and not answered yet, after a restart: nobody knows whom it rings, and since when."""
    last = Try((), "it rang already when the daemon came back: whom is not known any more")
    number = Extension(call.arrival.number)
    call.phase, call.forgotten = Phase.DIALING, True
    call.setup = Setup(last, attempt, now, NEVER, NEVER, lives=True, rang=True)
    call.tries, call.left_out, call.tried = attempt, attempt - 1, [last]
    call.route = replace(NOWHERE, number=number)
    call.history = [Attempted(number, (), last.reason, 0.0)]


def _resume(
    call: Call, to: LegSeen | None, attempt: int, answered_ms: int, now: float, wall_ms: int
) -> None:
    since = (wall_ms - answered_ms) / 1_000 if answered_ms else 0.0
    call.phase, call.answered = Phase.TALKING, max(now - since, call.began, SOMETIME)
    call.forgotten = False
    if to is None:
        return
    dialed = call.arrival.number
    number = to.number if to.number != dialed else ""
    last = Try((Leg(to.peer, to.trunk, number),), "it was found talking after a restart")
    call.tries, call.left_out, call.tried = attempt, attempt - 1, [last]
    call.route = replace(NOWHERE, number=Extension(to.number or dialed))
    began = max(0, to.began_ms - call.arrival.wall_ms) / 1_000
    rang = max(0.0, round(call.answered - call.began - began, 3))
    call.history = [Attempted(call.route.number, last.legs, last.reason, began, rang, "answered")]
