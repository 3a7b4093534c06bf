"""How to reach what is registered or stands on some node: by a leg here, or by a peer's trunk."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from pbxfed_ari.core.effects import Leg
from pbxfed_ari.core.membership import takeover
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.service import Service
from pbxfed_ari.core.records.registrations import Registration
from pbxfed_ari.core.routing import between
from pbxfed_ari.core.routing.tries import ABSENT, NO_ROUTE, Lead, Lines, Route, Try, View

NOBODY: Mapping[NodeName, str] = {}


def ring(number: Extension, found: "Ways", view: View, lines: Lines, seconds: int) -> Route:
    """All phones of a number together; then again by the peers' second kind of trunk."""
    why = "".join(f"; {node} skipped: {reason}" for node, reason in found.skipped.items())
    if not found.nodes:
        out = ", ".join(f"{node}, {reason}" for node, reason in found.skipped.items())
        return Route((), NO_ROUTE, f"{number} is registered on {out}", number)
    tries: list[Try] = []
    for rank in range(found.ranks(view, lines)):
        legs = found.legs(view, lines, rank)
        if legs:
            said = f"{number} is registered on {_spoken(legs, view.me)}{why}"
            tries.append(Try(tuple(legs), said, seconds, patience(legs)))
    return Route(tuple(tries), ABSENT, "", number)


class Ways(Struct, frozen=True):
    """Where the phones of a number can be called."""

    nodes: Sequence[NodeName]  # all that are called
    registered: Sequence[NodeName]
    orphans: Mapping[NodeName, Sequence[Registration]]  # by who calls them
    skipped: Mapping[NodeName, str]  # nodes that cannot be called now, and why

    def ranks(self, view: View, lines: Lines) -> int:
        """How many kinds of trunks there are to try, one after the other."""
        return max(1 if node == view.me else len(lines.trunks(node, view)) for node in self.nodes)

    def legs(
        self,
        view: View,
        lines: Lines,
        rank: int,
        number: str = "",
        silent: Mapping[NodeName, str] = NOBODY,
    ) -> list[Leg]:
        """All that ring together, by each node's trunk of this rank; by the next one, if that was `silent`."""
        found: list[Leg] = []
        for node in self.nodes:
            lost = self.orphans.get(node, ())
            if node == view.me:
                found += [Leg(number=number)] if node in self.registered and rank == 0 else []
                found += instead(lost, number) if rank == 0 else []
                continue
            kinds = lines.trunks(node, view)
            other = silent.get(node) in kinds[rank : rank + 1] and rank + 1 < len(kinds)
            by = rank + 1 if other else rank
            if by < len(kinds):
                of = tuple(dict.fromkeys(place.node for place in lost))
                found.append(Leg(node, kinds[by], number, "", between.codec(node, view), of))
        return found


def ways(number: Extension, places: Sequence[Registration], view: View, lines: Lines) -> Ways:
    """Of these registrations, and of those on nodes out of reach (core/membership/takeover.py)."""
    registered, skipped = passable([place.node for place in places], view, lines)
    heirs: dict[NodeName, list[Registration]] = {}
    for place, who in view.heirs(number):
        heirs.setdefault(who, []).append(place)
    able, crowded = passable(list(heirs), view, lines)
    nodes = list(dict.fromkeys([*registered, *able]))
    return Ways(nodes, registered, {node: heirs[node] for node in able}, {**skipped, **crowded})


def instead(places: Sequence[Registration], number: str = "") -> list[Leg]:
    """The legs from here to phones whose nodes are out of reach."""
    return [Leg(number=number, instead_of=(place.node,), uri=place.uri) for place in places]


def patience(legs: Sequence[Leg]) -> float:
    """How long these may show no sign of life: a phone that may have gone long ago, not for ever."""
    return takeover.ASK if all(leg.uri for leg in legs) else 0.0


def full(phone: Phone, nodes: Sequence[NodeName], view: View, lines: Lines) -> bool:
    """Has a phone that is called from here as many calls as it may have?"""
    return view.me in nodes and 0 < phone.call_limit <= lines.calls_of(phone.number)


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
        for rank in range(len(lines.trunks(node, view))):
            found = leg(node, view, lines, rank)
            if found is not None:
                tries.append(Try((found,), f"service {number} is on {node} (by {found.trunk})"))
    why = "".join(f"; {node} skipped: {reason}" for node, reason in skipped.items())
    left = f"service {number}: no node that has it is left{why}"
    return Route(tuple(tries), NO_ROUTE, left, number)


def lead(item: Service) -> Try:
    """Into the dialplan of this node."""
    into = Lead(item.context, item.exten or item.key)
    return Try((), f"service {item.key}: {into.context},{into.exten} here", lead=into)


def leg(
    node: NodeName, view: View, lines: Lines, rank: int, number: str = "", line: str = ""
) -> Leg | None:
    """The leg to a node by its trunk of this rank; None if it has no such."""
    if node == view.me:
        return Leg(number=number) if rank == 0 else None
    kinds = lines.trunks(node, view)
    if rank >= len(kinds):
        return None
    return Leg(node, kinds[rank], number, line, between.codec(node, view))


def _spoken(legs: Sequence[Leg], me: NodeName) -> str:
    return ", ".join(_place(one, me) for one in legs)


def _place(one: Leg, me: NodeName) -> str:
    who = f"{one.peer} (by {one.trunk})" if one.peer else f"{me} (here)"
    out = " and ".join(one.instead_of)
    return f"{out}, which is out of reach: {who} calls its phones" if out else who
