"""Calls to the outside: which PSTN trunk, in which order. Who may is asked of barring.py, for each trunk that would be used.

Of the trunks whose patterns match, the cheapest goes first, then those of the caller's own site (local breakout); those that
are alike share the numbers among them, by weighted rendezvous hashing as on the ring. Each of a trunk's nodes is a try of its
own: this one first, since nothing is nearer, until it carries a quarter more of this node's calls than its capacity's share;
else who has most room (shares.py); who is sick or drained comes last. The node that has the line looks again, counts its calls
and refuses beyond its capacity; the call then goes on to the next try. Emergency numbers are for whoever calls from inside, and
nobody is asked; a line that counts as full is tried last.
"""

from pbxfed_ari.core.effects import Outside
from pbxfed_ari.core.membership import ring
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records import patterns
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.trunk import PstnTrunk
from pbxfed_ari.core.routing import barring, reaching, shares
from pbxfed_ari.core.routing.tries import (
    CONGESTION,
    NO_ROUTE,
    REJECTED,
    UNALLOCATED,
    Asking,
    Lines,
    Route,
    Try,
    View,
)

ANSWERED_WITHIN = 90  # seconds that a call to the outside rings


def is_emergency(number: str, whole: str, view: View) -> bool:
    """Is this an emergency number here? One of other sites alone is, unless somebody inside has it (`whole`)."""
    sites = {trunk.site for trunk in _trunks(view) if number in trunk.emergency}
    return view.site(view.me) in sites or bool(sites and view.get("number", whole) is None)


def emergency(number: Extension, asking: Asking, view: View, lines: Lines) -> Route:
    """By a trunk of the site where the caller is, whatever it costs: help comes to where the line is.

    Whom the outside calls may transfer it there, but no forward leads it back out to those who help.
    """
    if asking.outside and (asking.path or not asking.payer):
        why = f"{number} is an emergency number: a call from the outside is not forwarded to it"
        return Route((), REJECTED, why, number)
    site = view.site(view.me)
    found = [t for t in _trunks(view) if number in t.emergency and t.site == site]
    found.sort(key=lambda t: (_full(t, lines), t.cost, t.key))
    tries = _tries(found, number, view, lines, f"emergency number {number}")
    why = f"emergency number {number}: site {site} has no trunk for it that can be reached"
    return Route(tuple(tries), NO_ROUTE, why, number)


def call(number: Extension, asking: Asking, view: View, lines: Lines) -> Route:
    """A number that nobody inside has."""
    found = [t for t in _trunks(view) if patterns.best(t.patterns, number) is not None]
    if not found or number[0].isalpha():  # no name is sent out, though `_.` takes it
        return Route((), UNALLOCATED, f"{number}: no such extension in the federation", number)
    refusal = barring.leaves(asking.payer, view, lines)
    if refusal:
        return Route((), REJECTED, f"{number}: {refusal}", number)
    barred = {t.key: why for t in found if (why := _barred(t, number, asking.payer, view))}
    found = [t for t in found if t.key not in barred]
    if not found:
        why = "; ".join(dict.fromkeys(barred.values()))
        return Route((), REJECTED, f"{number}: {why}", number)
    site = view.site(view.me)
    found.sort(
        key=lambda t: (t.cost, t.site != site, -ring.score(t.key, t.capacity or 100, number))
    )
    tries = _tries(found, number, view, lines, f"{number} is outside")
    return Route(tuple(tries), CONGESTION, f"{number}: no trunk is left", number)


def let_out(number: Extension, asking: Asking, view: View, lines: Lines) -> Route:
    """A peer's call that shall leave by a trunk of ours. One that we do not know yet pays as its own node says."""
    trunk = view.get("trunk", asking.line)
    if not isinstance(trunk, PstnTrunk) or view.me not in trunk.nodes:
        return Route((), NO_ROUTE, f"trunk {asking.line} is not on {view.me}", number)
    refusal = _refused(trunk, number, asking.payer, view, lines)
    if refusal:
        return Route((), REJECTED, f"{number}: {refusal}", number)
    if number not in trunk.emergency and _full(trunk, lines):
        return Route(
            (), CONGESTION, f"trunk {trunk.key}: all {trunk.capacity} lines are taken", number
        )
    legs = (_line(trunk, number, number in trunk.emergency),)
    said = f"let out for {asking.peer} by trunk {trunk.key}"
    once = Try(legs, said, ANSWERED_WITHIN, float(trunk.timer))
    return Route((once,), CONGESTION, "", number)


def _refused(trunk: PstnTrunk, number: Extension, payer: str, view: View, lines: Lines) -> str:
    """Why a peer's call may not leave by this trunk; "" if it may."""
    if number in trunk.emergency:
        return ""
    if patterns.best(trunk.patterns, number) is None or number[0].isalpha():
        return f"trunk {trunk.key} is not for it"
    if not isinstance(view.get("number", payer), Phone):
        return _barred(trunk, number, "", view)
    return (
        barring.dials(number, payer, view)
        or barring.leaves(payer, view, lines)
        or _barred(trunk, number, payer, view)
    )


def _barred(trunk: PstnTrunk, number: Extension, payer: str, view: View) -> str:
    """Why this trunk is not used for this number and this payer; "" if it may be."""
    digits = _digits(trunk, number)
    if not digits:
        return f"trunk {trunk.key} strips {trunk.strip} digits, and nothing is left"
    return barring.sends(digits, number, payer, view)


def _tries(
    trunks: list[PstnTrunk], number: Extension, view: View, lines: Lines, why: str
) -> list[Try]:
    """Each trunk at each of its nodes; then again by the peers' second kind of trunk."""
    tries: list[Try] = []
    for trunk in trunks:
        nodes = _nodes(trunk, number, view, lines)
        there, _ = reaching.passable([node for node in nodes if node != view.me], view, lines)
        said = f"{why}; trunk {trunk.key} (cost {trunk.cost}, site {trunk.site})"
        ranks = max((len(lines.trunks(node, view)) for node in there), default=1)
        for rank in range(ranks):
            for node in reaching.willing(nodes, view):
                if node == view.me and rank == 0:
                    tries += _here(trunk, number, lines, said)
                found = (
                    reaching.leg(node, view, lines, rank, line=trunk.key) if node in there else None
                )
                if found is not None:
                    way = f"{said} on {node} (by {found.trunk})"
                    tries.append(Try((found,), way, ANSWERED_WITHIN))
    return tries


def _nodes(trunk: PstnTrunk, number: Extension, view: View, lines: Lines) -> list[NodeName]:
    """The nodes that have it, in the order in which they are tried for this number."""
    known = [NodeName(name) for name in trunk.nodes]
    if trunk.spread == "order" or len(known) < 2 or number in trunk.emergency:
        return known
    weights = {str(node): view.capacity(node) for node in known if view.reachable(node)}
    draw = {node: ring.score(node, weight, number) for node, weight in weights.items()}
    best = shares.order(lines.sent(trunk.key), weights, view.me, draw)
    return [*map(NodeName, best), *(node for node in known if node not in weights)]


def _here(trunk: PstnTrunk, number: Extension, lines: Lines, said: str) -> list[Try]:
    urgent = number in trunk.emergency
    if not urgent and _full(trunk, lines):
        return []
    legs = (_line(trunk, number, urgent),)
    return [Try(legs, f"{said} here", ANSWERED_WITHIN, float(trunk.timer))]


def _line(trunk: PstnTrunk, number: Extension, urgent: bool) -> Outside:
    digits = number if urgent else _digits(trunk, number)
    return Outside(trunk.key, trunk.technology, trunk.endpoint, digits, trunk.caller_id)


def _digits(trunk: PstnTrunk, number: Extension) -> str:
    """What it sends for a number."""
    return trunk.prepend + number[trunk.strip :]


def _full(trunk: PstnTrunk, lines: Lines) -> bool:
    return 0 < trunk.capacity <= lines.on_line(trunk.key)


def _trunks(view: View) -> list[PstnTrunk]:
    return [item for item in view.lines_out() if isinstance(item, PstnTrunk)]
