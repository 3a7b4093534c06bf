"""One try of a call is begun: who is rung, how, and what travels with it."""

from math import ceil

from pbxfed_ari.core.calls import recording, remaining, setup
from pbxfed_ari.core.calls.bridging import Bridged
from pbxfed_ari.core.calls.call import Call, Phase
from pbxfed_ari.core.calls.setup import NEVER
from pbxfed_ari.core.effects import (
    Divert,
    Diverted,
    Effect,
    Enter,
    HandOver,
    Lead,
    Leg,
    Outside,
)
from pbxfed_ari.core.routing import diversion
from pbxfed_ari.core.routing.tries import Lines, Try, View
from pbxfed_ari.core.routing.waybill import Waybill


def start(call: Call, attempt: Try, now: float, view: View, lines: Lines) -> list[Effect]:
    """Hand him over, make bridge and legs, or let him enter a room or a dialplan. What the last try left of a bridge ends."""
    call.phase = Phase.DIALING
    number = call.route.number
    call.done |= remaining.marks(number, attempt)
    call.recording = recording.name(call, view) if attempt.legs else ""
    note = call.note_try(attempt, number, now)
    spare = _spare(call, attempt, view, lines)
    call.setup = setup.begin(attempt, call.tries, now, view, lines, spare, call.silent)
    left: list[Effect] = []
    bridges = not attempt.meet and not attempt.lead and _wants_bridge(call, lines)
    if not bridges and call.bridged is not None:
        left, call.bridged = call.bridged.end(), None
    if attempt.meet is not None:
        meet, bill = attempt.meet, str(Waybill(call.id, call.tries))
        return [*left, Enter(call.caller, meet.number, meet.most, meet.pin, bill), note]
    channel, news = call.caller, _diversion_news(call, attempt, view)
    if attempt.lead is not None:
        place = attempt.lead
        return [*left, Lead(channel, place.context, place.exten, call.diverted), note]
    said = str(waybill_of(call, attempt, call.setup, now, view))
    seconds = attempt.ring_seconds or call.ring_seconds
    if not bridges:
        handed = HandOver(
            channel, number, attempt.legs, said, seconds, call.music, news, call.recording
        )
        return [*left, handed, note]
    steady = _listens(call)  # he is translated where he listens
    before, call.bridged = call.bridged, Bridged(call.key, channel, seconds, steady=steady)
    call.bridged.discreet = call.arrival.outside
    made = call.bridged.begin(attempt, call.tries, number, said, view, call.shown, before)
    call.setup.makes(call.bridged.peers())
    call.setup.phones.update(call.bridged.phones(number))
    return [*([Divert(channel, news)] if news else []), *made, note]


def _diversion_news(call: Call, attempt: Try, view: View) -> Diverted | None:
    """What his channel must say of who has sent him on, before this try; None if it does."""
    leaves = any(isinstance(leg, Outside) for leg in attempt.legs)
    by = call.diverted_outside if leaves else call.diverted
    if attempt.lead is None:
        by = diversion.toward(attempt.legs, by, view)
    by = by or (diversion.NOBODY if call.shown or attempt.lead else None)
    if by is None or by == call.shown:
        return None
    call.shown = by
    return by


def waybill_of(call: Call, attempt: Try, watched: setup.Setup, now: float, view: View) -> Waybill:
    """What travels with a try: of which call, and for how long it is wanted.

    Our clock may have been set since the call came, or a moment ago: what counts is what peers believe of it.
    """
    arrival, legs = call.arrival, [leg for leg in attempt.legs if isinstance(leg, Leg)]
    line = next((leg.line for leg in legs if leg.line), "")
    clock = view.told_ms(now) if watched.latest < NEVER else 0
    until = round(clock + (watched.latest - now) * 1_000) if clock else 0
    spare = ceil(watched.spare) if clock and watched.spare > setup.BUSY else 0
    heirs = tuple((leg.peer, node) for leg in legs if leg.peer for node in leg.instead_of)
    leaves = any(leg.peer for leg in legs)
    hop = call.bill.hop + 1 if call.bill and leaves else 1
    name = call.key if hop > 1 else call.id  # a peer that has it too must tell them apart
    payer = call.payer if line else ""
    outside = arrival.outside or (call.bill is not None and call.bill.outside)
    by = call.diverted_outside if line else call.diverted
    listens, recorded = bool(call.listens), _is_recorded(call)
    whose = outside, by, listens, recorded
    return Waybill(name, call.tries, line, until, hop, payer, heirs, *whose, spare=spare)


def _spare(call: Call, attempt: Try, view: View, lines: Lines) -> float:
    """How many seconds more a peer has that answers others: no more than ever if the next try asks none of these peers."""
    spare = setup.spare_of(attempt, lines)
    if spare <= setup.BUSY:
        return spare
    left = next(filter(None, (remaining.left_of(call, view, t) for t in call.route.tries)), None)
    others = left is not None and setup.ends_of(left).isdisjoint(setup.ends_of(attempt))
    return setup.BUSY if others else spare


def _wants_bridge(call: Call, lines: Lines) -> bool:
    """Bridge mode, as the called object or the node wants it, while this node has time for it.

    And for a peer's listener in any case: handed over, the numbers of what he says jump as soon as the phones are connected.
    """
    wanted = (call.route.control or call.control) == "bridge" or _listens(call)
    wanted = wanted and not call.queue and not _is_recorded(call)
    return wanted and lines.may_bridge()


def _listens(call: Call) -> bool:
    """Has a peer called him to listen in on a call there?"""
    return call.bill is not None and call.bill.listens


def _is_recorded(call: Call) -> bool:
    """Here, or by the node that leads it."""
    return bool(call.recording) or (call.bill is not None and call.bill.recorded)
