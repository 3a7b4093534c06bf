"""A call that somebody has answered: who talks, who has come in his place by a transfer, and who has gone.

A peer that has sent it here hears whom its caller talks with after a transfer, for in a queue there he who has transferred is
free, and who talks now is not.
"""

from msgspec.structs import replace

from pbxfed_ari.core.calls import rescuing, setup, trying
from pbxfed_ari.core.calls.bridging import ELSEWHERE
from pbxfed_ari.core.calls.call import ROOMED, Call, Input, Phase
from pbxfed_ari.core.calls.setup import NEVER
from pbxfed_ari.core.effects import (
    Effect,
    HangUp,
    HangUpLeg,
    Leg,
    Outside,
)
from pbxfed_ari.core.events import (
    Answered,
    CameIn,
    Ended,
    HungUp,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegRefused,
    PeerHasCall,
    Redirected,
    WentOut,
)
from pbxfed_ari.core.messages import CallHere
from pbxfed_ari.core.names import (
    CallId,
    ChannelId,
)
from pbxfed_ari.core.routing.tries import (
    ASK_ANOTHER,
    NORMAL,
    UNREACHABLE,
    Lines,
    View,
)

NEWS = (LegLives, Answered, LegEnded, LegEntered, LegRefused)  # of a leg, the frequent ones first
MOVED = 302  # SIP: the phone wants the call to go elsewhere
SOMEBODY = "?"  # who is nobody's number
NOBODY = ChannelId("")
PARTING = 1.0  # seconds in which who was left by who has answered ends, too, or comes back, if nobody has put him through
ANSWERING = 2.0  # seconds after the answer; half a second by Asterisk's clock, but a busy machine's events come late


def leg_dialed(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Dial has begun a leg."""
    assert isinstance(event, LegDialed)
    if call.setup is not None and call.bridged is None:
        call.setup.dialed(event.leg, event.name, now)
    return []


def leg_news(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Of Dial's legs, or our own."""
    assert isinstance(event, NEWS)
    if type(event) is LegEnded:
        if lost := rescuing.lost_end(call, event.leg, event.cause, now, view):
            return rescuing.hold(call, lost, now, view, lines)
        rescuing.leaves_half(call, event.leg)
        if call.setup is not None:
            call.setup.ended(event.leg, event.cause)
        if event.sip == MOVED:
            call.sent_to = call.moved.get(event.leg, "")
    elif type(event) is LegRefused and call.setup is not None:
        call.setup.ended(event.leg, event.cause)
    elif type(event) is LegEntered and call.setup is not None:
        call.setup.entered(event.leg, now)
    elif type(event) is LegLives and call.setup is not None:
        call.setup.hears(event.leg, event.how, now)
        if event.how in setup.RINGS:
            trying.rings(call, view)
    elif type(event) is Answered and call.setup is not None:
        call.setup.answers(event.leg)
    if call.bridged is None:
        if type(event) is Answered and call.phase is Phase.DIALING:
            _talks(call, now, event.leg)
            call.leg, call.leg_lives = event.leg, bool(event.leg)
        if type(event) is LegEnded:
            return _without(call, event.leg, now, lines)
        late = type(event) is LegEntered  # of a try before this one
        return [HangUpLeg(call.arrival.channel, event.leg, NORMAL)] if late else []
    effects, outcome = call.bridged.handle(event)
    if type(event) is LegEnded and call.bridged.has_talked(event.leg):
        call.talks_with, call.put_through = (), True  # if the conversation goes on
    if isinstance(outcome, Answered):
        _talks(call, now, outcome.leg)
    elif outcome is not None:
        failed = trying.once_more if call.bridged.untold else trying.way_failed
        return [*effects, *failed(call, outcome, now, view, lines)]
    return [*effects, *_talked(call, now)]


def _talked(call: Call, now: float) -> list[Effect]:
    """Bridge mode: have they? If the caller has gone before, by a transfer, this is the end."""
    if call.phase is not Phase.TALKING or call.bridged is None or not call.bridged.over:
        return []
    call.phase, call.cause = Phase.OVER, NORMAL
    return [call.record(now)] if call.caller_gone else []


def _without(call: Call, leg: ChannelId, now: float, lines: Lines) -> list[Effect]:
    """Dial's leg has gone, or goes another way: without a caller, too, this is the end."""
    if leg != call.leg:
        return []
    call.leg_lives, call.talks_with = False, ()
    call.parted = now + PARTING if call.sender else NEVER
    _half_gone(call, leg, now, lines)
    if not call.caller_gone or call.phase is not Phase.TALKING:
        return []
    call.phase, call.cause = Phase.OVER, NORMAL
    return [call.record(now)]


def left_behind(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Who has answered has gone, and the caller is here still."""
    if now >= call.parted:
        call.parted, call.put_through = NEVER, True
    return []


def _half_gone(call: Call, channel: ChannelId, now: float, lines: Lines) -> None:
    """If the other half talks on a moment later, he has put it through. Where ends come late nobody knows."""
    if lines.may_bridge():
        call.leaves_to_others(channel, now + PARTING)


def led_on(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """A peer says who talks there now: the trunk to it is the same."""
    assert isinstance(event, PeerHasCall)
    if event.sent_to:
        call.leaves_to_others(NOBODY, now)
        call.talks_with = tuple(
            replace(leg, number=event.sent_to)
            if isinstance(leg, Leg) and leg.peer == event.peer
            else leg
            for leg in call.legs
        )
    return []


def whereabouts(call: Call, view: View) -> list[Effect]:
    """What its sender hears, if a transfer has led its caller to somebody else than he knows."""
    moved = call.put_through or call.bill is None  # since then it is no call of a peer's
    if call.sender is None or not moved or call.phase not in ROOMED or call.parted < NEVER:
        return []
    numbers = {_number_of(call, leg) for leg in call.legs}
    number = numbers.pop() if len(numbers) == 1 else SOMEBODY
    if number == call.told:
        return []
    call.told = number
    half = call.sender
    return list(view.tell(half.node, CallHere(half.call, half.attempt, number)))


def redirected(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """A phone says where else to go. Nobody is sent to himself: so a 302 without a Contact reads in bridge mode."""
    assert isinstance(event, Redirected)
    if call.setup is not None and call.bridged is None:
        call.setup.elsewhere = not call.own()
    if not call.own():
        return []
    if event.to == call.arrival.caller:
        if call.setup is not None:
            call.setup.nowhere = True
        return []
    if call.bridged is None:
        call.sent_to = event.to
    else:
        call.moved[event.leg] = event.to
    return []


def came_in(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Somebody has come into our bridge."""
    assert isinstance(event, CameIn)
    if call.bridged is None or call.is_of_before(event.channel):
        return []
    before = call.caller
    effects = call.bridged.came(event.channel)
    call.caller = call.bridged.caller
    replaced = [before] if call.caller != before else []
    replaced += [
        one.leg if isinstance(one, HangUpLeg) else one.channel
        for one in effects
        if isinstance(one, HangUp | HangUpLeg)
    ]
    for one in replaced:
        if one == call.arrival.channel or one in call.bridged.legs:
            call.leaves_to_others(one, now)
    return effects


def went_out(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Somebody has left our bridge."""
    assert isinstance(event, WentOut)
    if call.bridged is not None:
        call.bridged.went(event.channel)
    return []


def hung_up(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Who was answered in a bridge, and has sent no sound yet, is read from for half a second, and his hang-up is forgotten.

    Asterisk's main/channel.c, __ast_answer, called by main/bridge_channel.c. Later, or with sound, the bridge reads it, and the
    channel has ended before we hear of this.
    """
    assert isinstance(event, HungUp)
    if call.bridged is None or event.channel not in call.bridged.present:
        return []
    late = now - call.answered > ANSWERING
    return [] if late else [call.bridged.hang_up(event.channel, event.cause or NORMAL)]


def callee_gone(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """Who was called has ended it, and the caller came back."""
    return call.give_up(NORMAL)


def ended(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """The caller's channel is no more: nothing of the call stays, unless a transfer has put somebody in its place."""
    assert isinstance(event, Ended)
    call.caller_gone = call.caller_gone or event.channel == call.arrival.channel
    if lost := rescuing.lost_end(call, event.channel, event.cause, now, view):
        return rescuing.hold(call, lost, now, view, lines)
    if call.phase is Phase.RESCUING:
        return rescuing.left_alone(call, now, view) if event.channel == call.caller else []
    if call.phase is Phase.TALKING and call.bridged is not None:
        rescuing.leaves_half(call, event.channel)
        return [*call.bridged.gone(event.channel, event.cause or NORMAL), *_talked(call, now)]
    if call.phase is Phase.TALKING and call.leg_lives:
        _half_gone(call, event.channel, now, lines)
        return []  # it ends in a moment, or he has put it through to somebody
    rescuing.leaves_half(call, event.channel)
    if call.phase is Phase.DIALING and event.channel != call.caller:
        return []
    # His time was over: extension T of the dialplan
    unserved = event.cause == ASK_ANOTHER and call.phase is not Phase.OVER
    if unserved:
        call.cause = ASK_ANOTHER
    if call.phase is Phase.DIALING or call.failed:
        call.came_of_it(UNREACHABLE if unserved else "given_up", now)
    over: list[Effect] = []
    if call.phase is Phase.DIALING and call.setup and (call.bridged or not call.setup.lives):
        over = call.setup.over(
            view, CallId(call.key)
        )  # a Dial may go on without him, by a transfer
    live, call.phase = call.phase is not Phase.OVER, Phase.OVER
    elsewhere = event.cause == ELSEWHERE
    legs = call.bridged.end(ELSEWHERE if elsewhere else NORMAL) if call.bridged and live else []
    return [*legs, *over, call.record(now)]


def _talks(call: Call, now: float, leg: ChannelId) -> None:
    if call.setup is not None:
        call.talks_with = call.setup.whom(leg, call.route.number)
    call.whose = _whose(call)
    call.phase, call.answered, call.cause = Phase.TALKING, now, NORMAL
    call.came_of_it("answered", now)


def _whose(call: Call) -> str:
    """The number that has answered; of several at one peer nobody knows which."""
    numbers = {_number_of(call, leg) for leg in call.talks_with or () if isinstance(leg, Leg)}
    return numbers.pop() if len(numbers) == 1 else str(call.route.number)


def _number_of(call: Call, leg: Leg | Outside) -> str:
    return (isinstance(leg, Leg) and leg.number) or str(call.route.number)
