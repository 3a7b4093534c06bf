"""How to reach what is registered or stands on some node: by a leg here, or by a peer's trunk."""

from collections.abc import Sequence

from pbxfed_ari.core import between
from pbxfed_ari.core.directory import Registration
from pbxfed_ari.core.effects import Leg
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.objects.extension import Phone
from pbxfed_ari.core.objects.service import Service
from pbxfed_ari.core.tries import ABSENT, NO_ROUTE, Lead, Lines, Route, Try, View


def ring(
    number: Extension, places: Sequence[Registration], view: View, lines: Lines, seconds: int
) -> Route:
    """All registrations of a number together; then again by the peers' second kind of trunk."""
    nodes, skipped = passable([place.node for place in places], view, lines)
    why = "".join(f"; {node} skipped: {reason}" for node, reason in skipped.items())
    if not nodes:
        out = ", ".join(f"{node}, {reason}" for node, reason in skipped.items())
        return Route((), NO_ROUTE, f"{number} is registered on {out}", number)
    tries: list[Try] = []
    for rank in range(max(1 if node == view.me else len(view.trunks(node)) for node in nodes)):
        legs = [found for node in nodes if (found := leg(node, view, rank)) is not None]
        if legs:
            said = f"{number} is registered on {_spoken(legs, view.me)}{why}"
            tries.append(Try(tuple(legs), said, seconds))
    return Route(tuple(tries), ABSENT, "", number)


def full(phone: Phone, places: Sequence[Registration], view: View, lines: Lines) -> bool:
    """Has a phone that is registered here as many calls as it may have?"""
    here = any(place.node == view.me for place in places)
    return here and 0 < phone.call_limit <= lines.calls_of(phone.number)


def passable(
    nodes: Sequence[NodeName], view: View, lines: Lines
) -> tuple[list[NodeName], dict[NodeName, str]]:
    """The nodes to which a call may be sent from here now; and those to which not, with the reason."""
    skipped: dict[NodeName, str] = {}
    for node in nodes:
        if not view.reachable(node):
            skipped[node] = "out of reach from here"
        elif node != view.me and (crowded := between.crowded(node, view, lines)):
            skipped[node] = crowded
    return [node for node in dict.fromkeys(nodes) if node not in skipped], skipped


def willing(nodes: Sequence[NodeName], view: View) -> list[NodeName]:
    """Nodes that can do the same, in the order in which they are tried: who is sick or drained comes last."""
    return sorted(nodes, key=lambda node: not view.takes(node))


def service(item: Service, view: View, lines: Lines) -> Route:
    """Into the dialplan: here if we have it, then on the other nodes that do, in order; where it is not well, at last."""
    number = Extension(item.key)
    here = not item.nodes or view.me in item.nodes
    tries: list[Try] = []
    others = [NodeName(name) for name in item.nodes if name != view.me]
    nodes, skipped = passable(others, view, lines)
    for node in willing([view.me, *nodes] if here else nodes, view):
        if node == view.me:
            tries.append(lead(item))
            continue
        for rank in range(len(view.trunks(node))):
            found = leg(node, view, rank)
            if found is not None:
                tries.append(Try((found,), f"service {number} is on {node} (by {found.trunk})"))
    why = "".join(f"; {node} skipped: {reason}" for node, reason in skipped.items())
    left = f"service {number}: no node that has it is left{why}"
    return Route(tuple(tries), NO_ROUTE, left, number)


def lead(item: Service) -> Try:
    """Into the dialplan of this node."""
    into = Lead(item.context, item.exten or item.key)
    return Try((), f"service {item.key}: {into.context},{into.exten} here", lead=into)


def leg(node: NodeName, view: View, rank: int, number: str = "", line: str = "") -> Leg | None:
    """The leg to a node by its trunk of this rank; None if it has no such."""
    if node == view.me:
        return Leg(number=number) if rank == 0 else None
    kinds = view.trunks(node)
    if rank >= len(kinds):
        return None
    return Leg(node, kinds[rank], number, line, between.codec(node, view))


def _spoken(legs: Sequence[Leg], me: NodeName) -> str:
    return ", ".join(f"{one.peer} (by {one.trunk})" if one.peer else f"{me} (here)" for one in legs)
