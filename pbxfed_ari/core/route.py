"""Where a call should go: a question to the directory, answered with an ordered list of tries, each with its reason.

A call from a phone may go anywhere; a call that came by a trunk is delivered here or refused, never sent on (one hop: a loop
cannot be written). All registrations of a number ring together; where a peer offers a second kind of trunk, that is the next
try. Nothing is decided in advance: the answer holds for this call, now.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pbxfed_ari.core.directory import Registration
from pbxfed_ari.core.effects import Leg
from pbxfed_ari.core.names import Extension, NodeName, extension
from pbxfed_ari.core.objects.extension import Phone
from pbxfed_ari.errors import Refused

# Q.850 causes, as Asterisk maps them to SIP (main/channel.c, hangup_cause2sip)
UNALLOCATED = 1  # 404: nobody has this number
NO_ROUTE = 27  # 502: the node cannot be reached
NORMAL = 16
BUSY = 17  # 486
NO_ANSWER = 19  # 480
ABSENT = 20  # 480: a phone of that number is registered nowhere


class View(Protocol):
    """What a route may ask of the federation. Read-only."""

    me: NodeName

    def phone(self, number: Extension) -> Phone | None:
        """The extension that holds a number."""
        ...

    def where(self, number: Extension) -> list[Registration]:
        """Where a number stands registered, on nodes that live, newest first."""
        ...

    def reachable(self, node: NodeName) -> bool:
        """Whether calls may be sent to a node from here."""
        ...

    def trunks(self, node: NodeName) -> Sequence[str]:
        """How a node wants to be called, best first."""
        ...

    def home(self, number: Extension) -> NodeName:
        """The ring's owner of a number."""
        ...


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: these legs ring together."""

    legs: tuple[Leg, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Route:
    """The tries in order; if none is left, or there was none, the call ends with this cause."""

    tries: tuple[Try, ...]
    cause: int
    reason: str


def route(number: str, view: View, *, from_peer: NodeName | None = None) -> Route:
    """The way of a call to this number, from a phone of ours or from a peer."""
    try:
        ext = extension(number)
    except Refused as refused:
        return Route((), UNALLOCATED, str(refused))
    places = view.where(ext)
    if not places and view.phone(ext) is None:
        return Route((), UNALLOCATED, f"{ext}: no such extension in the federation")
    if from_peer is not None:
        return _deliver(ext, places, view.me, from_peer)
    if not places:
        home = view.home(ext)
        return Route((), ABSENT, f"{ext}: registered nowhere; its home by the ring is {home}")
    return _ring_all(ext, places, view)


def _deliver(ext: Extension, places: list[Registration], me: NodeName, peer: NodeName) -> Route:
    if any(place.node == me for place in places):
        return Route((Try((Leg(),), f"{ext} is registered here"),), NO_ANSWER, f"from {peer}")
    return Route(
        (),
        ABSENT,
        f"{ext}: came from {peer} by trunk, is not registered here: refused, one hop only",
    )


def _ring_all(ext: Extension, places: list[Registration], view: View) -> Route:
    nodes = list(dict.fromkeys(place.node for place in places))
    skipped = [node for node in nodes if not view.reachable(node)]
    nodes = [node for node in nodes if node not in skipped]
    why = "".join(f"; {node} skipped: out of reach" for node in skipped)
    if not nodes:
        return Route(
            (), NO_ROUTE, f"{ext} is registered on {', '.join(skipped)}, out of reach from here"
        )
    tries: list[Try] = []
    for rank in range(max(1 if node == view.me else len(view.trunks(node)) for node in nodes)):
        legs = [leg for node in nodes if (leg := _leg(node, view, rank)) is not None]
        if legs:
            tries.append(Try(tuple(legs), f"{ext} is registered on {_spoken(legs, view.me)}{why}"))
    return Route(tuple(tries), ABSENT, "")


def _leg(node: NodeName, view: View, rank: int) -> Leg | None:
    if node == view.me:
        return Leg() if rank == 0 else None
    kinds = view.trunks(node)
    return Leg(node, kinds[rank]) if rank < len(kinds) else None


def _spoken(legs: Sequence[Leg], me: NodeName) -> str:
    return ", ".join(f"{leg.peer} (by {leg.trunk})" if leg.peer else f"{me} (here)" for leg in legs)
