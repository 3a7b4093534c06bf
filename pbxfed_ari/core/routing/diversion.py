"""Who has sent a call on, as others are told: phones and peers the extension, a provider a number of the outside's or nobody.

A carrier may refuse a call whose Diversion (RFC 5806) is no number of its customer's; who is inside is nobody's business there.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from pbxfed_ari.core.effects import Diverted, Leg, Outside
from pbxfed_ari.core.records.objects.did import Did
from pbxfed_ari.core.routing.tries import View

NOBODY = Diverted("", "", 0)


def inbound(number: str, view: View) -> Did | None:
    """The inbound number that it is, with or without its plus."""
    bare = number.removeprefix("+")
    found = (view.get("did", key) for key in (number, f"+{bare}", bare))
    return next((did for did in found if isinstance(did, Did)), None)


def toward(legs: Sequence[Leg | Outside], by: Diverted | None, view: View) -> Diverted | None:
    """What whoever is rung is told; None: nothing. By an outside line what that shows, or the inbound number called."""
    line = next((leg for leg in legs if isinstance(leg, Outside)), None)
    if line is None:
        return by
    if by is None:  # he may have said something himself
        return NOBODY
    shown = line.caller_id or (by.by if inbound(by.by, view) else "")
    return replace(by, by=shown) if shown else NOBODY
