"""Which calls are recorded, and under what name: an object says `record`, and who leads the call sees to it, once.

Who leads it is the node at which it came in: objects are everywhere, so a node that gets a call by a peer's trunk has nothing
to do. Recorded is a conversation from an extension that says so, or to an extension, ring group or queue that does.
To a group or queue it is, too, if a member says so, whoever takes the call: who that will be is not known when Dial is told.
Who has forwarded a call is one to whom it was. Who has transferred it takes no part in it any more; whom he has transferred is
known by his number.

Such a call is handed over, whatever mode its object or node wants: Asterisk's MixMonitor records it, on the leg that has
answered, begun there in the moment of the answer (`[pbxfed-record]`). So a try that fails leaves nothing, a daemon that dies
ends nothing, and nobody's sound goes another way than without it. The name is of our own making, from the call's id, which
nobody else has chosen.
"""

from pbxfed_ari.core.calls.call import Call
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.group import Group
from pbxfed_ari.core.records.objects.queue import Queue
from pbxfed_ari.core.records.objects.room import Room
from pbxfed_ari.core.records.objects.service import Service
from pbxfed_ari.core.routing.tries import View

FOLDER = "pbxfed"  # in Asterisk's folder for recordings


def name(call: Call, view: View) -> str:
    """Under what name this call is to be recorded, if somebody answers; "": it is not."""
    if (
        call.listens
        or call.arrival.peer is not None
        or not (call.id.isascii() and call.id.isalnum())
    ):
        return ""
    to = str(call.route.number) or call.asking.number
    if isinstance(view.get("number", to), Room | Service):
        return ""
    came, by = call.arrival, call.diverted.by if call.diverted else ""
    numbers = {came.endpoint, came.number, *call.asking.path, by, to}
    numbers.add(came.caller if came.by else "")
    return f"{FOLDER}/{call.id}" if any(_is_marked(number, view) for number in numbers) else ""


def _is_marked(number: str, view: View) -> bool:
    match view.get("number", number):
        case Phone(record=record):
            return record
        case Group() | Queue() as several:
            return several.record or any(_says_so(member, view) for member in several.members)
    return False


def _says_so(member: str, view: View) -> bool:
    phone = view.get("number", member)
    return isinstance(phone, Phone) and phone.record
