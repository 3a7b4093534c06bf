"""What a rescue (rescue.py) does to a call: who is left waits in its bridge, and the other is rung where he is now."""

from msgspec.structs import replace

from pbxfed_ari.core.calls import rescue, setup, starting, trying
from pbxfed_ari.core.calls.bridging import PATIENCE, Bridged
from pbxfed_ari.core.calls.call import Call, Input, Phase
from pbxfed_ari.core.calls.rescue import DEAD, Half, Rescue
from pbxfed_ari.core.calls.setup import NEVER
from pbxfed_ari.core.effects import (
    Effect,
    HangUp,
    HangUpLeg,
    Indicate,
    Leg,
    Note,
    Soothe,
)
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    FarEndDied,
    LegEnded,
    LegEntered,
    LegLives,
    PeerGaveUp,
    PeerLostCalls,
)
from pbxfed_ari.core.names import (
    CallId,
    ChannelId,
    Extension,
    NodeName,
    attempt_of,
    key_of_name,
)
from pbxfed_ari.core.routing import waybill
from pbxfed_ari.core.routing.tries import (
    BUSY,
    BUSY_OUT,
    NORMAL,
    Lines,
    View,
)
from pbxfed_ari.core.routing.waybill import Waybill


def is_called_again(call: Call, arrived: Arrived, bill: Waybill, now: float, view: View) -> bool:
    """Is this the other half of our conversation: does the node at its other end call anew for who is here?

    Who is here waits for it, or has not noticed yet that the other has lost him.
    """
    theirs, peer = _is_of_our_caller(call, bill), arrived.peer
    if peer is None or not (theirs or waybill.parent(bill.call) == call.key):
        return False
    if arrived.number != (call.arrival.number if theirs else call.arrival.caller):
        return False
    for came in (call.arrival, call.again):
        known = waybill.read(came.note) if came is not None and came.peer else None
        if known is not None and known.call == bill.call and known.attempt >= bill.attempt:
            return False
    if call.phase is Phase.RESCUING and call.rescue is not None:
        return call.rescue.node == peer
    return _left_without(call, peer, now, view) is not None


def _is_of_our_caller(call: Call, bill: Waybill) -> bool:
    """Else, if it is of this conversation, it is of who was called from here."""
    return call.bill is not None and call.bill.call == bill.call


def ends_by(call: Call, event: PeerGaveUp) -> bool:
    """Is it of this try of a peer's, or of the conversation for whose other half somebody waits here?"""
    said = (event.peer, event.call, event.attempt)
    if call.phase is Phase.RESCUING and call.rescue is not None:
        return call.rescue.half == said
    bill = call.bill
    return bill is not None and said == (call.arrival.peer, bill.call, bill.attempt)


def far_end_died(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """The other end of this channel is dead: its own end follows."""
    assert isinstance(event, FarEndDied)
    call.dead.add(event.channel)
    return []


def talks_with_dead(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """The peer's own daemon says that its Asterisk has died: what leads there ends at once."""
    assert isinstance(event, PeerLostCalls)
    if call.bridged is None:
        return _end_of_dial(call, event.peer)
    here = sorted(call.bridged.present - call.surely)
    lost = [channel for channel in here if _leads_to(call, channel)[0] == event.peer]
    call.dead.update(lost)
    call.surely.update(lost)
    return [call.bridged.hang_up(channel, DEAD) for channel in lost]


def _end_of_dial(call: Call, peer: NodeName) -> list[Effect]:
    """End the channel of a conversation in Dial that leads to a peer; who talks with whom by now is Asterisk's to know."""
    caller = call.arrival.channel
    if call.arrival.peer == peer and not call.caller_gone:
        return [HangUp(caller, DEAD)]
    whither = {leg.peer if isinstance(leg, Leg) else None for leg in call.talks_with or ()}
    return [HangUpLeg(caller, call.leg, DEAD)] if call.leg_lives and whither == {peer} else []


def nobody_will_call(
    call: Call, event: Input, now: float, view: View, lines: Lines
) -> list[Effect]:
    """The same while somebody waits: its caller is lost there, too, and any leg to it."""
    assert isinstance(event, PeerLostCalls)
    if call.rescue is not None and call.rescue.node == event.peer:
        call.rescue.called = False
    if call.setup is None:
        return []
    return call.setup.lose(event.peer, now, view, lines, CallId(call.key))


def lost_end(
    call: Call, channel: ChannelId, cause: int, now: float, view: View
) -> tuple[Rescue, ChannelId] | None:
    """Has a node died with this end of a conversation? Then who is to be called, and who waits for him."""
    node, trunk = _leads_to(call, channel)
    if node is None:
        return None
    dead = channel in call.dead and (cause != NORMAL or not view.reachable(node))
    died = dead or rescue.died(node, trunk, cause, view)
    return _without_end(call, channel, now, view) if died else None


def _without_end(
    call: Call, channel: ChannelId, now: float, view: View
) -> tuple[Rescue, ChannelId] | None:
    """The same, if this end is lost for certain. None if it is a conversation of others than those who began it."""
    bridged, half = call.bridged, _half(call, channel)
    if call.phase is not Phase.TALKING or bridged is None or not call.rescue_seconds:
        return None
    survivor = bridged.left_by(channel)
    if survivor is None or half is None:
        return None
    called = channel not in bridged.legs
    mine = called and survivor != call.arrival.channel
    number = _caller_of(call, survivor) if mine else _callee_of(call, survivor)
    if not rescue.may_be_called(number, view):
        return None
    called = called and channel not in call.surely
    return Rescue(number, half, called, now + call.rescue_seconds, now, now), survivor


def _left_without(
    call: Call, peer: NodeName, now: float, view: View
) -> tuple[ChannelId, tuple[Rescue, ChannelId]] | None:
    """The end of this conversation that leads to a peer, and who is left without it."""
    for channel in sorted(call.bridged.present) if call.bridged else ():
        if _leads_to(call, channel)[0] == peer and (lost := _without_end(call, channel, now, view)):
            return channel, lost
    return None


def _half(call: Call, channel: ChannelId) -> Half | None:
    """As what the node to which this channel leads knows its half of the conversation."""
    node, _ = _leads_to(call, channel)
    if node is None:
        return None
    for came in (call.arrival, call.again):
        if came is not None and came.channel == channel:
            bill = waybill.read(came.note)
            return Half(node, CallId(bill.call), bill.attempt) if bill else None
    attempt = attempt_of(channel) if call.bridged else call.tries
    return Half(node, CallId(call.key), attempt)


def leaves_half(call: Call, channel: ChannelId) -> None:
    """One of two who talked has hung up, here: the other's node may not know it, and call again."""
    if call.bridged is None:
        _ends(call, channel)
        return
    left = call.bridged.left_by(channel)
    if left is not None and _half(call, channel) is None:
        call.hung_up = _half(call, left)


def _ends(call: Call, channel: ChannelId) -> None:
    """The same of a conversation that was handed over: here nobody is rescued, but there. To put it through ends nothing."""
    if call.phase is not Phase.TALKING:
        return
    if channel == call.leg:
        call.hung_up = _half(call, call.leg if call.caller_gone else call.arrival.channel)
    elif channel == call.arrival.channel and call.leg and not call.leg_lives:
        call.hung_up = _half(call, call.leg)


def _leads_to(call: Call, channel: ChannelId) -> tuple[NodeName | None, str]:
    """To which node, and by which trunk; whom a transfer has put there leads nowhere."""
    for came in (call.arrival, call.again):
        if came is not None and came.channel == channel:
            return came.peer, "sip" if came.endpoint else "iax2"
    if call.bridged is not None:
        return call.bridged.leads_to(channel)
    return call.setup.legs.get(channel) if call.setup else None, ""


def _callee_of(call: Call, survivor: ChannelId) -> str:
    """Whom who is left had called; "" if it is not he who had."""
    if survivor != call.arrival.channel and not key_of_name(survivor):
        return ""
    return call.rescue.number if call.rescue else call.whose or str(call.route.number)


def _caller_of(call: Call, survivor: ChannelId) -> str:
    """Who had called who is left, if that is a phone here; "" if it was somebody outside."""
    inside = call.bill is not None and not call.bill.outside
    here = bool(key_of_name(survivor)) and _leads_to(call, survivor)[0] is None
    return call.arrival.caller if inside and here and not call.dialed_out else ""


def hold(
    call: Call, lost: tuple[Rescue, ChannelId], now: float, view: View, lines: Lines
) -> list[Effect]:
    """Who is left waits in the bridge, and the other is looked for at once."""
    _keep(call, lost)
    assert call.rescue is not None
    longest = call.rescue_seconds + call.ring_seconds + PATIENCE
    fields = (("node", call.rescue.node), ("waits_for", call.rescue.number))
    told = Note("call held for rescue", (*call.names(), *fields))
    held = Soothe(call.caller, call.rescue_music, longest)
    return [held, told, *_seek(call, now, view, lines)]


def _keep(call: Call, lost: tuple[Rescue, ChannelId]) -> None:
    call.rescue, call.caller = lost
    call.phase, call.setup = Phase.RESCUING, None
    call.bridged = _waits(call, call.ring_seconds)


def _waits(call: Call, seconds: int) -> Bridged:
    """Who is left, in the bridge in which he is."""
    assert call.bridged is not None
    bridge, music = call.bridged.bridge, call.rescue_music
    return Bridged(call.key, call.caller, seconds, bridge, held=True, music=music)


def look_for_him(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Is there a way to the other now?"""
    if call.setup is not None:
        return call.setup.tick(now, view, lines, CallId(call.key))
    return _seek(call, now, view, lines)


def _seek(call: Call, now: float, view: View, lines: Lines) -> list[Effect]:
    """Ring him, if there is a way; or look again later, until the time is over."""
    assert call.rescue is not None
    if now >= call.rescue.until:
        return _not_rescued(call, now)
    attempt = call.rescue.attempt(now, view, lines) if now >= call.rescue.look else None
    if attempt is None:
        if now >= call.rescue.look:
            call.rescue.look = now + rescue.LOOK
        call.held_until = min(call.rescue.look, call.rescue.until)
        return []
    call.rescue.tries += 1
    call.held_until = NEVER
    number = Extension(call.rescue.number)
    attempt = replace(attempt, reason=f"rescue: {attempt.reason}")
    note = call.note_try(attempt, number, now)
    spare = setup.spare_of(attempt, lines)
    call.setup = setup.begin(attempt, call.tries, now, view, lines, spare)
    seconds = min(attempt.ring_seconds or call.ring_seconds, call.ring_seconds)
    call.bridged = _waits(call, seconds)
    said = str(replace(starting.waybill_of(call, attempt, call.setup, now, view), diverted=None))
    made = call.bridged.begin(attempt, call.tries, number, said, view)
    call.setup.makes(call.bridged.peers())
    call.setup.phones.update(call.bridged.phones(number))
    return [*made, note]


def rescue_news(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Of the legs that ring him, or of who waits, if that is a leg, too."""
    assert isinstance(event, LegEntered | LegLives | LegEnded | Answered)
    if isinstance(event, LegEnded) and event.leg == call.caller:
        return left_alone(call, now, view)
    if call.bridged is None or call.rescue is None:
        return []
    if isinstance(event, LegEntered) and call.setup is not None:
        call.setup.entered(event.leg, now)
    if isinstance(event, LegLives) and call.setup is not None:
        call.setup.hears(event.leg, event.how, now)
    effects, outcome = call.bridged.handle(event)
    if isinstance(outcome, Answered):
        if call.setup is not None:
            call.talks_with = call.setup.whom(outcome.leg, call.rescue.number)
        return [*effects, *_rescued(call, "answered", now)]
    if outcome is not None:
        declined = (
            trying.outcome_of(call, outcome, now) == BUSY_OUT and call.setup and call.setup.rang
        )
        if declined:
            return [*effects, *_not_rescued(call, now, BUSY)]
        call.setup, call.rescue.look = None, now + rescue.PAUSE
        call.held_until = min(call.rescue.look, call.rescue.until)
    return effects


def called_again(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """The other side calls anew: its call is joined with who waits here, or has not noticed yet that he is alone.

    If both sides call each other in the same moment it is the caller's call that is joined.
    """
    assert isinstance(event, Arrived)
    if call.bridged is None or event.peer is None:
        return []
    ended: list[Effect] = []
    if call.phase is Phase.TALKING:
        found = _left_without(call, event.peer, now, view)
        if found is None:
            return []
        ended = [call.bridged.hang_up(found[0], NORMAL)]
        _keep(call, found[1])
    bill = waybill.read(event.note)
    theirs = bill is not None and _is_of_our_caller(call, bill)
    if call.setup and not theirs and event.peer in call.setup.watched - call.setup.gone:
        return [HangUp(event.channel, NORMAL)]
    over = call.setup.over(view, CallId(call.key)) if call.setup else []
    call.again = event
    answer = Indicate(event.channel, "answer")
    joined = call.bridged.resume(event.channel)
    return [*ended, answer, *joined, *over, *_rescued(call, "given_up", now)]


def _rescued(call: Call, came: str, now: float) -> list[Effect]:
    assert call.rescue is not None
    if call.setup is not None:
        call.came_of_it(came, now)
    waited = round(now - call.rescue.until + call.rescue_seconds, 3)
    call.phase, call.cause, call.setup, call.held_until = Phase.TALKING, NORMAL, None, NEVER
    return [Note("call rescued", (*call.names(), ("waited_seconds", waited)))]


def _not_rescued(call: Call, now: float, cause: int = DEAD) -> list[Effect]:
    """The time is over, or the other one does not want to talk any more."""
    assert call.rescue is not None
    call.phase, call.cause, call.held_until = Phase.OVER, cause, NEVER
    fields = (("node", call.rescue.node), ("waited_for", call.rescue.number))
    told = Note("call not rescued", (*call.names(), *fields, ("cause", call.cause)))
    legs = call.bridged.end() if call.bridged else []
    record = [call.record(now)] if call.caller_gone else []
    return [HangUp(call.caller, call.cause), *legs, told, *record]


def other_hung_up(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """The other half of the conversation was ended on purpose."""
    over = call.setup.over(view, CallId(call.key)) if call.setup else []
    if call.setup is not None:
        call.came_of_it("given_up", now)
    return [*_not_rescued(call, now, NORMAL), *over]


def left_alone(call: Call, now: float, view: View) -> list[Effect]:
    """Who waited has hung up."""
    over = call.setup.over(view, CallId(call.key)) if call.setup else []
    if call.setup is not None:
        call.came_of_it("given_up", now)
    call.hung_up = call.rescue.half if call.rescue else None
    call.phase, call.cause, call.held_until = Phase.OVER, NORMAL, NEVER
    return [*(call.bridged.end() if call.bridged else []), *over, call.record(now)]
