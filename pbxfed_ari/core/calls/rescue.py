"""Rescue: when the node at a call's other end dies, who is left is not hung up. He waits, and is connected again.

Only in bridge mode, where both legs are ours, and only between the two who began: a caller, or a phone of ours that was called,
and an extension at the dead node. Whom a transfer has put there nobody knows, and no call to the outside is made twice.

    lost ──▶ he hears that he waits ──▶ the other's number, wherever it is registered now ──answers──▶ they talk
                     │        ▲── busy, no answer, nowhere: a pause, and again ──┘
                     └── `calls.rescue` seconds are over: the call ends, "network out of order"

What counts as a death: the node's own daemon says that its Asterisk has died; or the node is out of reach, its SIP does not
answer and nothing is heard (asterisk/deadends.py); or, by IAX2, the leg has ended because nobody acknowledges (cause 27 of our
own Asterisk) while the node is out of reach. What we give up ourselves never ends with that cause: one hop back it would be a
death.

**Each side may have lost the other**, if the network was cut. The caller's side calls. The called side waits to be called. By
itself it calls only when the caller's node is declared down, or the caller's phone is registered elsewhere only, or that node
could have called for some seconds and has not: its Asterisk has died and is back. Whoever calls, the call's id says whose other
half that is, and it is joined with who waits: no phone rings. So it is if he talks yet, as he believes, for only the other side
has noticed. When the time is over each side ends what it has.

**A phone that hangs up is not called again**: its node remembers the conversation, refuses the other half of it, and tells the
other side that it is over. Nor is one that declines the call of a rescue.
"""

from dataclasses import dataclass
from typing import NamedTuple

from pbxfed_ari.core.names import CallId, Extension, NodeName
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.routing import route as routes
from pbxfed_ari.core.routing.tries import Asking, Lines, Try, View

LOOK = 1.0  # seconds between two looks for the other's number
PAUSE = 3.0  # seconds after a try that failed: his phone may be busy with the dead call
FIRST = 8.0  # seconds in which a caller's node that can be reached has called, if it will
DEAD = 38  # Q.850, network out of order: with which what leads to the dead is ended
OUT_OF_ORDER = 27  # Q.850: destination out of order; so chan_iax2.c ends what is not acknowledged


class Half(NamedTuple):
    """The other half of a conversation: at which node, and as what that node and ours know it."""

    node: NodeName
    call: CallId  # as the waybill says
    attempt: int


@dataclass(slots=True)
class Rescue:
    """Somebody waits for who was at the dead node."""

    number: str  # the other's
    half: Half  # at the node that has died
    called: bool  # who waits was called, and waits to be called again
    until: float  # no try begins later
    look: float  # when the next may
    away: float  # when his node was last out of reach, or this began
    tries: int = 0

    @property
    def node(self) -> NodeName:
        """That has died."""
        return self.half.node

    def attempt(self, now: float, view: View, lines: Lines) -> Try | None:
        """How to reach him now: the ways there are, one after the other; None if there is none, or not for us."""
        number = Extension(self.number)
        if not view.reachable(self.node):
            self.away = now
        if self.called and not self._ours_to_call(now, view):
            return None
        found = routes.route(Asking(number, running=True), view, lines)
        if not found.tries or found.number != number:  # it is forwarded: not who it was
            return None
        return found.tries[self.tries % len(found.tries)]

    def _ours_to_call(self, now: float, view: View) -> bool:
        if not view.alive(self.node) or now - self.away >= FIRST:
            return True
        places = view.where(Extension(self.number))
        moved = bool(places) and all(place.node != self.node for place in places)
        return moved and any(view.reachable(place.node) for place in places)


def died(node: NodeName | None, trunk: str, cause: int, view: View) -> bool:
    """Does the end of a leg to this node, by itself, tell of the node's death?"""
    unheard = trunk == "iax2" and cause == OUT_OF_ORDER
    return unheard and node is not None and not view.reachable(node)


def may_be_called(number: str, view: View) -> bool:
    """Is it an extension, and of those that exist?"""
    return isinstance(view.get("number", number), Phone)
