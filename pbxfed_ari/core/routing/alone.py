"""Alone: whom Asterisk asks for a number of nobody here while there is no daemon of ours, and what may be had of it then.

    phone ─▶ a, whose daemon is away ─┬─▶ b: no such phone here: refused at once
             (all at once)            └─▶ c: it rings

Asterisk is told beforehand (`[pbxfed-local]` in dialplan/extensions.conf), whenever the answer has changed. Nobody has looked
for such a call into directory, calling class and forwards, and it comes without a waybill: by that who is asked knows it, and
gives a phone that is registered right there, or nothing (route.py).
"""

from itertools import chain, islice

from pbxfed_ari.core.effects import Effect, Leg, WhenAlone
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.routing import between, reaching
from pbxfed_ari.core.routing.tries import IDLE, View

Ways = frozenset[tuple[NodeName, str]]  # kinds of trunk to peers
MOST = 8  # peers: each is one more INVITE of such a call, and one more that may be dead by then


def asked(view: View, blocked: Ways = frozenset()) -> tuple[Leg, ...]:
    """Each by its preferred trunk that is not blocked; those of our own site first.

    Else by a draw of this node's own, in which weights count.
    """
    if view.drained():
        return ()
    ours, order = view.site(view.me), view.preference(view.me)
    near = (node for node in order if view.site(node) == ours)
    far = (node for node in order if view.site(node) != ours)
    able = (node for node in chain(near, far) if _able(node, view))
    legs = (reaching.leg(node, view, IDLE, _rank(node, view, blocked)) for node in able)
    return tuple(islice((leg for leg in legs if leg is not None), MOST))


def _able(node: NodeName, view: View) -> bool:
    other = node != view.me and view.takes(node) and view.reachable(node)
    return other and not between.narrow(node, view)


def _rank(node: NodeName, view: View, blocked: Ways) -> int:
    kinds = enumerate(view.trunks(node))
    return next((rank for rank, kind in kinds if (node, kind) not in blocked), 0)


class Alone:
    """What Asterisk was told last."""

    def __init__(self) -> None:
        self.blocked: Ways = frozenset()
        self._told: tuple[Leg, ...] | None = None

    def __repr__(self) -> str:
        return f"Alone({[leg.peer for leg in self._told or ()]})"

    def look(self, view: View, now: float) -> list[Effect]:
        """What it must be told. Before this node has heard who lives, what an earlier life of ours has told stands."""
        if not view.settled(now) or (legs := asked(view, self.blocked)) == self._told:
            return []
        self._told = legs
        return [WhenAlone(legs)]
