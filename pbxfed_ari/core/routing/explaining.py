"""The whole way of a call that is not made: its tries, and after each outcome the tries of where it would be forwarded."""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.routing.route import forwarded, route
from pbxfed_ari.core.routing.tries import LOOP, OUTCOMES, Asking, Lines, Onward, Route, View

MOST = 100  # routes that are looked at: forwards may fan out


@dataclass(frozen=True, slots=True)
class Explained:
    """A route, and what follows on it: (when and why, the way from there)."""

    route: Route
    then: tuple[tuple[Onward, "Explained"], ...]


def explain(asking: Asking, view: View, lines: Lines) -> Explained:
    """Ends where no number forwards any more; a loop of forwards is a route without tries that says so."""
    return _explain(asking, view, lines, iter(range(MOST)))


def _explain(asking: Asking, view: View, lines: Lines, left: Iterator[int]) -> Explained:
    if next(left, None) is None:
        why = f"not followed further: there are more than {MOST} ways"
        return Explained(Route((), LOOP, why, Extension(asking.number)), ())
    found = route(asking, view, lines)
    certain = OUTCOMES.get(found.cause, "") if not found.tries else ""
    ways = [way for way in found.onward if certain in ("", way.outcome)]
    asking = replace(asking, payer=found.payer or asking.payer)
    asked = {way.to: forwarded(way, found.number, asking) for way in ways}  # often all the same
    after = {to: _explain(onward, view, lines, left) for to, onward in asked.items()}
    return Explained(found, tuple((way, after[way.to]) for way in ways))
