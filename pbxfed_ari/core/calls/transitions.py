"""What each event does to a call in each state: one table, which docs/call.md draws."""

from collections.abc import Callable
from typing import NamedTuple

from pbxfed_ari.core.calls import meanwhile, rescuing, talking, trying
from pbxfed_ari.core.calls.call import (
    DIALING,
    HELD_BACK,
    NEW,
    OVER,
    RESCUING,
    SETTING_UP,
    TALKING,
    WAITING,
    Call,
    Input,
    Phase,
)
from pbxfed_ari.core.effects import (
    Effect,
)
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CameIn,
    Ended,
    FarEndDied,
    HungUp,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegRefused,
    PeerGaveUp,
    PeerHasCall,
    PeerLostCalls,
    Redirected,
    Returned,
    Ticked,
    WentOut,
)
from pbxfed_ari.core.routing.tries import (
    Lines,
    View,
)


class Row(NamedTuple):
    """What an event does in these states: the action, the states that may follow, and both in words."""

    states: tuple[Phase, ...]
    event: type[Input]
    then: Callable[[Call, Input, float, View, Lines], list[Effect]]
    to: tuple[Phase, ...]
    what: str


TABLE = (
    Row(
        (NEW,),
        Arrived,
        trying.arrived,
        (DIALING, WAITING, HELD_BACK, OVER),
        "ask for its way and hand over the first try, or let him wait in a queue here; "
        "hold a peer's call that may be given up, one that was transferred and is found after a restart, "
        "and one in whose way others may have a part as long as this node does not know yet who lives; "
        "hang up if there is no way",
    ),
    Row(
        (HELD_BACK,),
        Ticked,
        trying.held_long_enough,
        (HELD_BACK, DIALING, WAITING, OVER),
        "nothing was said against it: as if it had arrived now, or its way had failed now; "
        "or its sender has heard what came of it: hang up",
    ),
    Row(
        (WAITING,),
        Ticked,
        trying.look_again,
        (WAITING, DIALING, OVER),
        "in a queue: ring a member who has time, if nobody waits who came before; go onward if that lasts too long",
    ),
    Row(
        (DIALING,),
        Ticked,
        meanwhile.look_for_life,
        (DIALING,),
        "no sign of life in time: abandon its legs, which come back as a way that failed; "
        "bridge mode: call who was silent by his other trunk, if others ring on",
    ),
    Row(SETTING_UP, PeerGaveUp, trying.not_wanted, (OVER,), "its sender has given it up: hang up"),
    Row(
        SETTING_UP,
        PeerLostCalls,
        trying.peer_lost,
        (HELD_BACK, WAITING, DIALING, OVER),
        "a peer's Asterisk has died: hang up what it had sent; abandon the legs to it, which come back as a way that failed",
    ),
    Row(
        (DIALING,),
        PeerHasCall,
        trying.is_there,
        (DIALING,),
        "it lives; note whither its phone sends the call, if it says so",
    ),
    Row((DIALING,), LegDialed, talking.leg_dialed, (DIALING,), "note the leg"),
    Row((DIALING,), LegEntered, talking.leg_news, (DIALING,), "bridge mode: dial the leg"),
    Row(
        (DIALING,),
        LegLives,
        talking.leg_news,
        (DIALING,),
        "it lives; bridge mode: let the caller hear it",
    ),
    Row(
        (DIALING,),
        Redirected,
        talking.redirected,
        (DIALING,),
        "note whither the phone sends the call: there it goes when this try has ended",
    ),
    Row(
        (DIALING,),
        Answered,
        talking.leg_news,
        (DIALING, TALKING),
        "they talk; bridge mode: answer the caller, join both, stop the other legs",
    ),
    Row(
        (DIALING,),
        LegEnded,
        talking.leg_news,
        (DIALING, WAITING, HELD_BACK, OVER),
        "bridge mode: when all legs are gone the way has failed",
    ),
    Row(
        (DIALING,),
        LegRefused,
        talking.leg_news,
        (DIALING, WAITING, HELD_BACK, OVER),
        "bridge mode: a line is busy, or cannot: end its leg, which is as if it had ended by itself",
    ),
    Row(
        (DIALING,),
        Returned,
        trying.way_failed,
        (DIALING, WAITING, HELD_BACK, OVER),
        "the way failed: hand over the next try, wait on in the queue, "
        "ask the directory again, or go onward by what came of it, but not before this node knows who lives; "
        "tell its sender if its phone sends a peer's call on, or nothing has rung; "
        "hang up when nothing is left, or when the caller gave up",
    ),
    Row(
        (TALKING,),
        LegEntered,
        talking.leg_news,
        (TALKING,),
        "bridge mode: a leg that came too late, end it",
    ),
    Row((TALKING,), LegLives, talking.leg_news, (TALKING,), "nothing"),
    Row(
        (TALKING,),
        Answered,
        talking.leg_news,
        (TALKING,),
        "somebody else was first; bridge mode: end it",
    ),
    Row(
        (OVER,),
        LegEntered,
        talking.leg_news,
        (OVER,),
        "bridge mode: a leg that came too late, end it",
    ),
    Row(
        (DIALING, TALKING),
        CameIn,
        talking.came_in,
        (DIALING, TALKING),
        "bridge mode: a transfer has put somebody in the place of one who was here: hang up who was replaced",
    ),
    Row(
        (TALKING,),
        WentOut,
        talking.went_out,
        (TALKING,),
        "bridge mode: note it: he ends, or is replaced",
    ),
    Row(
        (TALKING,),
        LegEnded,
        talking.leg_news,
        (TALKING, RESCUING, OVER),
        "keep the record, if the caller has gone, too; "
        "bridge mode: one who talked has gone, hang up who is left alone and end the bridge; "
        "or, if his node has died, let who is left wait",
    ),
    Row(
        (TALKING,),
        Ticked,
        talking.left_behind,
        (TALKING,),
        "who has answered has gone, and the caller is here still: a transfer has put him through",
    ),
    Row(
        (TALKING,),
        PeerHasCall,
        talking.led_on,
        (TALKING,),
        "its phone has transferred: note who talks there now",
    ),
    Row(
        (TALKING,),
        FarEndDied,
        rescuing.far_end_died,
        (TALKING,),
        "note it: this channel's end, which comes next, is the death of a node",
    ),
    Row(
        (TALKING,),
        HungUp,
        talking.hung_up,
        (TALKING,),
        "bridge mode: if that was right after the answer, hang up the channel: Asterisk may have missed it",
    ),
    Row(
        (RESCUING,),
        Ticked,
        rescuing.look_for_him,
        (RESCUING, OVER),
        "ring who was lost wherever he is registered, after each failure again; abandon a try without a sign of life; "
        "hang up when the time is over",
    ),
    Row(
        (TALKING,),
        PeerLostCalls,
        rescuing.talks_with_dead,
        (TALKING,),
        "end what leads to that peer; bridge mode: who is left is rescued",
    ),
    Row(
        (RESCUING,),
        PeerLostCalls,
        rescuing.nobody_will_call,
        (RESCUING,),
        "abandon the legs to it; if it was the caller's node it will not call: ring him from here",
    ),
    Row((RESCUING,), PeerHasCall, trying.is_there, (RESCUING,), "it lives"),
    Row((RESCUING,), LegEntered, rescuing.rescue_news, (RESCUING,), "dial the leg"),
    Row((RESCUING,), LegLives, rescuing.rescue_news, (RESCUING,), "it lives"),
    Row(
        (RESCUING,),
        Answered,
        rescuing.rescue_news,
        (RESCUING, TALKING),
        "they talk again: join both, stop the other legs",
    ),
    Row(
        (RESCUING,),
        LegEnded,
        rescuing.rescue_news,
        (RESCUING, OVER),
        "when all legs are gone the try has failed: pause, and look again; if it was who waits, end all",
    ),
    Row(
        (RESCUING,),
        Arrived,
        rescuing.called_again,
        (RESCUING, TALKING),
        "the other side calls again for who waits here: answer it, and join both",
    ),
    Row(
        (TALKING,),
        Arrived,
        rescuing.called_again,
        (TALKING,),
        "bridge mode: the other side has lost us, and calls again: hang up its old channel, and as if we had waited",
    ),
    Row(
        (RESCUING,),
        PeerGaveUp,
        rescuing.other_hung_up,
        (OVER,),
        "who was lost has hung up at his own node: hang up who waits for him",
    ),
    Row(
        (TALKING,),
        Returned,
        talking.callee_gone,
        (OVER,),
        "the callee has gone, the caller is ours again: hang up",
    ),
    Row(
        (NEW, HELD_BACK, WAITING, DIALING, TALKING, RESCUING, OVER),
        Ended,
        talking.ended,
        (DIALING, TALKING, RESCUING, OVER),
        "keep the record, unless its leg talks on, by a transfer; "
        "bridge mode: end all legs and the bridge, unless a transfer has put somebody in the caller's place; "
        "or, if his node has died, let who is left wait",
    ),
)
ROWS = {(state, row.event): row for row in TABLE for state in row.states}


def handle(call: Call, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
    """What the event means to this call: the row of TABLE for it, or nothing."""
    row = ROWS.get((call.phase, type(event)))
    return row.then(call, event, now, view, lines) if row is not None else []
