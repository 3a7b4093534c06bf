"""Calls that cross from node to node: what the other node says of them, and what is remembered of that.

Words and calls travel apart, so a word may come before its call, or after its end: what was given up is not rung when it comes
at last, and who has hung up is not rung when he is called once more.
"""

from pbxfed_ari.core.calls import rescuing
from pbxfed_ari.core.calls.call import Call, Phase
from pbxfed_ari.core.calls.calls import Calls
from pbxfed_ari.core.calls.rescue import Half
from pbxfed_ari.core.calls.setup import lateness
from pbxfed_ari.core.effects import Effect, HangUp, Leg
from pbxfed_ari.core.events import Arrived, PeerGaveUp, PeerHasCall, PeerLostCalls, SipSaid, Ticked
from pbxfed_ari.core.messages import CallOver
from pbxfed_ari.core.names import CallId, NodeName
from pbxfed_ari.core.records.objects.queue import Queue
from pbxfed_ari.core.routing.tries import NORMAL, View
from pbxfed_ari.core.routing.waybill import Waybill, parent

REMEMBERED = 10_000  # tries that peers have given up, and conversations that were hung up here


class Crossing:
    """What peers have said, and were told, of calls."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._given_up: dict[tuple[NodeName | None, str, int], None] = {}  # tries of peers, lately
        self._hung_up: dict[tuple[NodeName, CallId], int] = {}  # conversations with peers, lately
        self._rings_on: dict[str, int] = {}  # calls whose callers have gone while a try rang: which

    def __repr__(self) -> str:
        return f"Crossing({len(self._given_up)} given up, {len(self._hung_up)} hung up)"

    # --- a peer speaks

    def has(self, event: PeerHasCall, now: float, view: View, *, all_known: bool) -> list[Effect]:
        """Our try is there; if we have given it up meanwhile it must be told so.

        One that we do not know may be ours yet, as long as a boot has not read the channels: not `all_known`.
        """
        call = self._calls.named(event.call)
        if call is not None and call.expects(event.attempt, event.peer):
            self._calls.usage.acknowledged(call, event.peer, now)
            return self._calls.tell(call, event, now, view)
        rings_on = self._rings_on.get(event.call) == event.attempt
        if call is None and (not all_known or rings_on):
            return []
        return list(view.tell(event.peer, CallOver(event.call, event.attempt)))

    def gave_up(self, event: PeerGaveUp, now: float, view: View) -> list[Effect]:
        """Whether its call is here already, or still on its way."""
        self._given_up[event.peer, event.call, event.attempt] = None
        while len(self._given_up) > REMEMBERED:
            self._given_up.pop(next(iter(self._given_up)))
        calls = [c for c in self._calls.agenda.calls.values() if rescuing.ends_by(c, event)]
        return [effect for call in calls for effect in self._calls.tell(call, event, now, view)]

    def lost(self, event: PeerLostCalls, now: float, view: View) -> list[Effect]:
        """Whatever is in setup, whoever began it, and who talks."""
        talking = [call for call in self._calls if call.phase is Phase.TALKING]
        setting_up = [c for c in self._calls.agenda.calls.values() if c.phase is not Phase.TALKING]
        calls = [*setting_up, *talking]
        return [effect for call in calls for effect in self._calls.tell(call, event, now, view)]

    def sip_said(self, event: SipSaid, now: float, view: View) -> list[Effect]:
        """A peer is out of reach, where phones ring: does its Asterisk live?"""
        effects: list[Effect] = []
        for call in [c for c in self._calls.agenda.calls.values() if c.setup is not None]:
            assert call.setup is not None
            call.setup.sip_said(event.peer, event.lives)
            effects += self._calls.tell(call, Ticked(), now, view)
        return effects

    # --- a peer's call arrives

    def waiting_for(
        self, arrived: Arrived, bill: Waybill | None, now: float, view: View, *, held: bool = False
    ) -> Call | None:
        """For whose other half does a peer call again, after one of the two has lost the other?

        One that comes suspiciously late joins nobody before it was `held`, and its sender asked.
        """
        peer = arrived.peer
        if bill is None or peer is None or bill.attempt < 2:
            return None
        if not held and lateness(bill, peer, arrived, now, view):
            return None
        if (peer, bill.call, bill.attempt) in self._given_up:
            return None
        mine = self._calls.named(parent(bill.call))  # it is our call, or theirs
        calls = [mine] if mine else self._calls.parts_of(bill.call)
        return next(
            (c for c in calls if rescuing.is_called_again(c, arrived, bill, now, view)), None
        )

    def overtaken(
        self, peer: NodeName | None, bill: Waybill | None, now: float, view: View
    ) -> list[Effect]:
        """A peer tries again: what it had tried before of this call is over, though its word of that was lost."""
        if bill is None or peer is None or bill.attempt < 2:
            return []
        effects: list[Effect] = []
        for call in [c for c in self._calls.parts_of(bill.call) if c.is_try_before(peer, bill)]:
            event = PeerGaveUp(peer, call.id, bill.attempt)
            effects += self._calls.tell(call, event, now, view)
        return effects

    def was_given_up(self, call: Call) -> bool:
        """Has its sender said so before it came?"""
        bill, peer = call.bill, call.arrival.peer
        return bill is not None and (peer, bill.call, bill.attempt) in self._given_up

    def has_hung_up(self, arrived: Arrived, bill: Waybill | None, view: View) -> list[Effect]:
        """A peer calls again for somebody who has hung up: he is not rung."""
        if bill is None or arrived.peer is None:
            return []
        for call in (CallId(bill.call), CallId(parent(bill.call))):
            attempt = self._hung_up.get((arrived.peer, call))
            if attempt is not None:
                told = view.tell(arrived.peer, CallOver(call, attempt))
                return [HangUp(arrived.channel, NORMAL), *told]
        return []

    # --- and ends

    def caller_gone(self, call: Call) -> None:
        """While it rang: if a transfer has put another into his place Dial rings on, and no peer is told that it is over."""
        rang = call.setup is not None and call.setup.lives and not call.answered
        if call.phase is Phase.OVER and call.setup and rang and call.bridged is None:
            self._rings_on[call.key] = call.setup.number
            while len(self._rings_on) > REMEMBERED:
                self._rings_on.pop(next(iter(self._rings_on)))

    def hangs_up(self, call: Call, view: View, *, waited: bool) -> list[Effect]:
        """If who is here has hung up his peer hears it by the trunk; and from us, if he has `waited` for the other.

        So it does if he may wait in a queue there: nobody is to be rung for him, though no trunk tells of his end.
        """
        if call.finished and not call.answered and call.bill is None:
            self._never_answered(call)
        if (half := call.hung_up) is None:
            return []
        self._is_over(half)
        told = waited or isinstance(view.get("number", call.route.number), Queue)
        return list(view.tell(half.node, CallOver(half.call, half.attempt))) if told else []

    def _never_answered(self, call: Call) -> None:
        """Its caller has gone: a peer whose phone has answered, and who could not say so, need not call him back."""
        for attempt, one in enumerate(call.tried, call.tries - len(call.tried) + 1):
            last = call.setup if one is call.tried[-1] else None
            for leg in one.legs:
                if isinstance(leg, Leg) and leg.peer is not None:
                    number = last.number_to(leg.peer) if last else attempt
                    self._is_over(Half(leg.peer, call.id, number))

    def _is_over(self, half: Half) -> None:
        self._hung_up[half.node, half.call] = half.attempt
        while len(self._hung_up) > REMEMBERED:
            self._hung_up.pop(next(iter(self._hung_up)))
