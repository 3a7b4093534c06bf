"""Barring: what the calling class of who pays for a call lets him dial, send out and spend. Each answer is a refusal, or "".

It is asked where the call is made, and once more at the node whose trunk lets it out: what that node lets out it has counted.
So a limit holds for all nodes together where one node has the lines, and else at each that has some.
"""

from pbxfed_ari.core.records.objects.calling_class import CallingClass
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.routing.tries import Lines, View


def dials(number: str, payer: str, view: View) -> str:
    """Why he may not dial this number."""
    phone = view.get("number", payer)
    if not isinstance(phone, Phone) or not phone.calling_class:
        return ""
    found = view.get("class", phone.calling_class)
    if not isinstance(found, CallingClass):
        inside = view.get("number", number) is not None
        return "" if inside else f"{payer}: its class {phone.calling_class} is not known"
    allowed, why = found.allows(number)
    return "" if allowed else f"{payer} may not dial {number}: {why}"


def sends(digits: str, number: str, payer: str, view: View) -> str:
    """Why these digits may not be sent out for what he dialed: a trunk makes one number of another."""
    found = _class(payer, view)
    why = found.bars(digits, number) if found is not None else ""
    return f"{payer} may not send {digits}: {why}" if why else ""


def leaves(payer: str, view: View, lines: Lines) -> str:
    """Why he may have no call more to the outside."""
    if not isinstance(view.get("number", payer), Phone):
        return f"{payer or 'the caller'} is no extension, and may not call the outside"
    found = _class(payer, view)
    if found is None:
        return ""
    now, hour = lines.outside_of(payer)
    if 0 < found.pstn_calls <= now:
        return (
            f"{payer} has {now} calls to the outside; class {found.key} allows {found.pstn_calls}"
        )
    if 0 < found.pstn_per_hour <= hour:
        return (
            f"{payer} made {hour} calls to the outside within an hour, as class {found.key} allows"
        )
    return ""


def _class(payer: str, view: View) -> CallingClass | None:
    phone = view.get("number", payer)
    name = phone.calling_class if isinstance(phone, Phone) else ""
    found = view.get("class", name) if name else None
    return found if isinstance(found, CallingClass) else None
