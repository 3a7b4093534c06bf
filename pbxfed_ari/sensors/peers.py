"""Whether peers' SIP answers this node: by sample, for each question is traffic. Who was silent is asked again first."""

from collections.abc import Collection

from pbxfed_ari.core.membership.health import Reading
from pbxfed_ari.core.names import NodeName


class Peers:
    """Whom to ask next, and what those that were asked had to say."""

    def __init__(self) -> None:
        self._answered: dict[NodeName, bool] = {}  # in the order in which they were asked

    def next(self, peers: Collection[NodeName]) -> NodeName | None:
        """Of these, which are there now, one that was silent, or was never asked, or was asked longest ago."""
        self._answered = {name: ok for name, ok in self._answered.items() if name in peers}
        silent = (name for name, ok in self._answered.items() if not ok)
        fresh = (name for name in sorted(peers) if name not in self._answered)
        return next((name for some in (silent, fresh, self._answered) for name in some), None)

    def asked(
        self, name: NodeName, *, answered: bool, peers: Collection[NodeName]
    ) -> Reading | str:
        """It was asked; which part of all is silent. Who is no longer there was silent because it died, or its site was cut."""
        self._answered.pop(name, None)
        if answered or name in peers:
            self._answered[name] = answered
        if not self._answered:
            return "the peer that was asked has gone"
        silent = sorted(one for one, ok in self._answered.items() if not ok)
        of = f"{len(silent)} of {len(self._answered)}"
        said = f"{', '.join(silent)}, {of}" if silent else of
        return Reading(len(silent) / len(self._answered), said, "more than half")
