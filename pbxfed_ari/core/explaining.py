"""The whole way of a call that is not made: its tries, and after each outcome the tries of where it would be forwarded."""

from dataclasses import dataclass

from pbxfed_ari.core.route import forwarded, route
from pbxfed_ari.core.tries import OUTCOMES, Asking, Lines, Onward, Route, View


@dataclass(frozen=True, slots=True)
class Explained:
    """A route, and what follows on it: (when and why, the way from there)."""

    route: Route
    then: tuple[tuple[Onward, "Explained"], ...]


def explain(asking: Asking, view: View, lines: Lines) -> Explained:
    """Ends where no number forwards any more; a loop of forwards is a route without tries that says so."""
    found = route(asking, view, lines)
    certain = OUTCOMES.get(found.cause, "") if not found.tries else ""
    ways = [way for way in found.onward if certain in ("", way.outcome)]
    asked = {way.to: forwarded(way, found.number, asking) for way in ways}  # often all the same
    after = {to: explain(onward, view, lines) for to, onward in asked.items()}
    return Explained(found, tuple((way, after[way.to]) for way in ways))
