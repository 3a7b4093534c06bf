"""PSTN trunks: does this node's Asterisk hold them for online?

It knows if their aor has a `qualify_frequency`, by which it asks the provider. One trunk is asked about at a time, of our own
Asterisk: nothing goes over the network for it.
"""

from collections.abc import Callable, Sequence

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.core.membership.health import Reading
from pbxfed_ari.core.records.objects.trunk import PstnTrunk
from pbxfed_ari.errors import Declined, Unreachable

ASKED = 2.0  # seconds for an answer
TECHNOLOGY = {"pjsip": "PJSIP", "iax2": "IAX2"}


class Lines:
    """What is known of this node's PSTN trunks."""

    def __init__(self, ari: AriClient, trunks: Callable[[], Sequence[PstnTrunk]]) -> None:
        """`trunks` are those that this node has now."""
        self._ari = ari
        self._trunks = trunks
        self._offline: dict[str, str] = {}  # by trunk, what Asterisk says of it
        self._next = 0

    async def read(self) -> Reading | str:
        """Ask about the next one; which part of all is offline."""
        trunks = self._trunks()
        if not trunks:
            self._offline.clear()
            return "this node has no PSTN trunk"
        self._next = (self._next + 1) % len(trunks)
        await self._ask(trunks[self._next])
        found = {t.key: self._offline[t.key] for t in trunks if t.key in self._offline}
        self._offline = dict(found)
        named = ", ".join(f"{key} ({why})" for key, why in found.items())
        return Reading(len(found) / len(trunks), f"{named}, {len(found)} of {len(trunks)}", "none")

    async def _ask(self, trunk: PstnTrunk) -> None:
        technology = TECHNOLOGY[trunk.technology]
        try:
            state = (
                await self._ari.endpoints.get(technology, trunk.endpoint, deadline=ASKED)
            ).state
        except Unreachable:
            return  # the pings tell
        except Declined as declined:
            state = "not in Asterisk" if declined.status == 404 else "online"
        if state in ("offline", "not in Asterisk"):
            self._offline[trunk.key] = state
        else:  # "unknown": nobody asks the provider
            self._offline.pop(trunk.key, None)
