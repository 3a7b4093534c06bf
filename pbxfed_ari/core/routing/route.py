"""Where a call should go: a question to the directory, answered with an ordered list of tries, each with its reason.

    dialed ─▶ emergency? ─▶ short number of the site? ─▶ may the caller dial it? ─▶ an extension   where it is registered
                                                                                     a group       its members (hunting.py)
              an inbound number: by its time condition ─────────────────────────────▶ a service    the nodes that have it
                                                                                     a room, queue where it stands (rooms.py)
                                                                                     nobody's      PSTN trunks (outside.py)

A call from a phone may go anywhere; one that came by a trunk is delivered here, or let out here, or refused: never sent on (one
hop: a loop cannot be written). One that a peer's dialplan has sent without its daemon may have a phone here, and nothing else.

All registrations of a number ring together; where a peer offers a second kind of trunk, that is the next try. What comes after
the tries depends on what came of them: `Route.onward` says where a call is forwarded that found nobody, and why. Nothing is
decided in advance: the answer holds for this call, now.
"""

import dataclasses

from msgspec.structs import replace

from pbxfed_ari.core.effects import Diverted, Leg
from pbxfed_ari.core.names import Extension, dialable
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.group import Group
from pbxfed_ari.core.records.objects.queue import Queue
from pbxfed_ari.core.records.objects.room import Room
from pbxfed_ari.core.records.objects.service import Service
from pbxfed_ari.core.records.objects.site import SiteObject
from pbxfed_ari.core.records.objects.time import TimeCondition
from pbxfed_ari.core.routing import barring, diversion, hunting, outside, reaching, rooms
from pbxfed_ari.core.routing.tries import (
    ABSENT,
    ASK_ANOTHER,
    BUSY,
    BUSY_OUT,
    IDLE,
    LOOP,
    NO_ANSWER,
    NO_ROUTE,
    RANG_OUT,
    REJECTED,
    SENT_ON,
    UNALLOCATED,
    UNREACHABLE,
    Asking,
    Lines,
    Onward,
    Route,
    Try,
    View,
)
from pbxfed_ari.errors import Refused

__all__ = ["Asking", "Lines", "Onward", "Route", "Try", "View", "forwarded", "route"]

MOST_FORWARDS = 5
WHY = {BUSY_OUT: "cfb", RANG_OUT: "cfnr", UNREACHABLE: "unavailable", SENT_ON: "deflection"}
ALWAYS = "cfu"


def route(asking: Asking, view: View, lines: Lines = IDLE) -> Route:
    """The way of a call; `lines` tells what is going on at this node."""
    try:
        number = dialable(asking.number)
    except Refused as refused:
        return Route((), UNALLOCATED, str(refused), Extension(asking.number))
    if asking.peer is not None:
        return _deliver(number, asking, view, lines)
    if asking.listens:
        return _in_person(number, asking, view, lines)
    if asking.did:
        return _inbound(number, asking, view, lines)
    whole, short = _whole(number, asking, view)
    if outside.is_emergency(number, whole, view):
        return outside.emergency(number, asking, view, lines)
    number = whole
    if view.drained() and not (asking.outside or asking.path or asking.running):
        return Route(
            (), ASK_ANOTHER, f"{view.me} is being drained: call through another node", number
        )
    if number in asking.path or len(asking.path) > MOST_FORWARDS:
        way = " → ".join([*asking.path, number])
        said = "forwards go round" if number in asking.path else "too many forwards"
        return Route((), LOOP, f"{said}: {way}", number)
    refusal = barring.dials(number, asking.payer, view)
    if refusal:
        return Route((), REJECTED, refusal, number)
    return _found(number, asking, view, lines).because(short)


# --- the cases


def _found(number: Extension, asking: Asking, view: View, lines: Lines) -> Route:
    match view.get("number", number):
        case Phone() as phone:
            return _phone(phone, asking, view, lines)
        case Group() as group:
            return hunting.group(group, asking, view, lines)
        case (Room() | Queue()) as placed:
            return rooms.place(placed, view, lines)
        case Service() as service:
            return reaching.service(service, view, lines)
    places = view.where(number)
    if places:  # a phone of the administrator's own, registered under a number that is no object
        found = reaching.ways(number, places, view, lines)
        return reaching.ring(number, found, view, lines, 0)
    return outside.call(number, asking, view, lines)


def _phone(phone: Phone, asking: Asking, view: View, lines: Lines) -> Route:
    number = phone.number
    if phone.forward_always:
        why = f"{number} forwards every call to {phone.forward_always}"
        return _forwarded(phone, phone.forward_always, why, asking, view, lines)
    onward = _onward(phone)
    if phone.dnd:
        return Route((), BUSY, f"{number}: do not disturb", number, onward)
    places = view.where(number)
    found = reaching.ways(number, places, view, lines)
    if not places and not found.nodes:
        home = view.home(number)
        why = f"{number}: registered nowhere; its home by the ring is {home}"
        return Route((), ABSENT, why, number, onward)
    if reaching.full(phone, found.nodes, view, lines):
        why = f"{number}: {phone.call_limit} calls are its limit"
        return Route((), BUSY, why, number, onward)
    rings = reaching.ring(number, found, view, lines, phone.ring_seconds)
    return replace(rings, onward=onward, control=phone.control)


def _in_person(number: Extension, asking: Asking, view: View, lines: Lines) -> Route:
    """Who listens in does so himself: his phones ring, wherever they are; no forward holds, nor that this node is drained."""
    phone = view.get("number", number)
    if not isinstance(phone, Phone):
        return Route((), UNALLOCATED, f"{number}: no such extension", number)
    own = dataclasses.replace(phone, forward_always="")
    return replace(_phone(own, asking, view, lines), onward=())


def _onward(phone: Phone) -> tuple[Onward, ...]:
    ways = (
        (BUSY_OUT, phone.forward_busy, "when busy"),
        (RANG_OUT, phone.forward_no_answer, "when nobody answers"),
        (UNREACHABLE, phone.forward_unreachable, "when unreachable"),
    )
    return tuple(
        Onward(outcome, to, f"{phone.number} forwards to {to} {said}", phone.number)
        for outcome, to, said in ways
        if to
    )


def _forwarded(phone: Phone, to: str, why: str, asking: Asking, view: View, lines: Lines) -> Route:
    asking = forwarded(Onward("", to, why, phone.number), phone.number, asking)
    found = route(asking, view, lines).because(why)
    diverted, payer = found.diverted or asking.diverted, found.payer or asking.payer
    return replace(found, diverted=diverted, payer=payer)


def forwarded(onward: Onward, number: str, asking: Asking) -> Asking:
    """What is asked when `number` sends a call on: its own calling class counts from there."""
    path = (*asking.path, number)
    payer = onward.by or asking.payer
    by = Diverted(number, WHY.get(onward.outcome, ALWAYS), len(path))
    return replace(asking, number=onward.to, path=path, payer=payer, did=False, diverted=by)


def _deliver(number: Extension, asking: Asking, view: View, lines: Lines) -> Route:
    """A peer's call: it has decided already that it belongs here."""
    peer = asking.peer
    if asking.alone:
        return _deliver_alone(number, asking, view, lines)
    if asking.line:
        return outside.let_out(number, asking, view, lines)
    refusal = barring.dials(number, asking.payer, view)
    if refusal:  # a phone here sends it on, which may less than who called
        return Route((), REJECTED, refusal, number)
    item = view.get("number", number)
    if isinstance(item, Room | Queue) and peer is not None:
        return rooms.deliver(item, peer, view, running=asking.running)
    if isinstance(item, Service):
        if view.me in item.nodes or not item.nodes:
            return Route((reaching.lead(item),), NO_ROUTE, f"from {peer}", number)
        return Route((), NO_ROUTE, f"service {number} is not on {view.me}", number)
    return _ring_here(number, asking, view, lines)


def _deliver_alone(number: Extension, asking: Asking, view: View, lines: Lines) -> Route:
    """Nobody has decided that it belongs here; all peers were asked. A phone may have it; what two would begin, neither begins.

    A refusal is 404, not 480: of several, Dial takes a busy one for the answer only if it can count all others as such.
    """
    item, said = view.get("number", number), f"from {asking.peer}, whose daemon is away"
    if asking.path or (item is not None and not isinstance(item, Phone)):
        return Route((), UNALLOCATED, f"{said}: only a phone here may have it", number)
    if refusal := barring.dials(number, asking.payer, view):
        return Route((), REJECTED, refusal, number)
    if not any(place.node == view.me for place in view.where(number)):
        return Route((), UNALLOCATED, f"{said}: {number} is not registered here", number)
    if item is not None and item.forward_always:
        why = f"{said}: {number} forwards every call to {item.forward_always}"
        return Route((), UNALLOCATED, why, number)
    if item is not None and item.dnd:
        return Route((), BUSY, f"{number}: do not disturb", number)
    return _ring_here(number, asking, view, lines).because(said)


def _ring_here(number: Extension, asking: Asking, view: View, lines: Lines) -> Route:
    """The phones of a number that are registered here, and those that are called here in the stead of a node out of reach."""
    peer, item, places = asking.peer, view.get("number", number), view.where(number)
    here = [place for place in places if place.node == view.me]
    of = [node for heir, node in asking.heirs if heir == view.me]
    orphans = view.orphans(number, of) if of and isinstance(item, Phone) else []
    if item is None and not places:
        return Route((), UNALLOCATED, f"{number}: no such extension in the federation", number)
    if not here and not orphans:
        why = f"{number}: came from {peer} by trunk, is not registered here: refused, one hop only"
        return Route((), ABSENT, why, number)
    if isinstance(item, Phone) and reaching.full(item, [view.me], view, lines):
        return Route((), BUSY, f"{number}: {item.call_limit} calls are its limit", number)
    seconds, control = (item.ring_seconds, item.control) if isinstance(item, Phone) else (0, "")
    legs = [*([Leg()] if here else []), *reaching.instead(orphans)]
    out = " and ".join(dict.fromkeys(place.node for place in orphans))
    said = [
        *(["is registered here"] if here else []),
        *([f"is called here in the stead of {out}"] if orphans else []),
    ]
    once = Try(tuple(legs), f"{number} {' and '.join(said)}", seconds, reaching.patience(legs))
    return Route((once,), NO_ANSWER, f"from {peer}", number, control=control)


def _inbound(number: Extension, asking: Asking, view: View, lines: Lines) -> Route:
    """A call from the outside, to one of our inbound numbers."""
    did = diversion.inbound(number, view)
    if did is None:
        return Route((), UNALLOCATED, f"{number}: no such inbound number", number)
    to, why = did.destination, f"{number} goes to {did.destination}"
    if did.time:
        opened, said = _open(did.time, asking, view)
        to = did.destination if opened else did.otherwise
        why = f"{number}: {said}: to {to}" if to else f"{number}: {said}, and nothing else is named"
    if not to:
        return Route((), ABSENT, why, number)
    return route(replace(asking, number=to, did=False, outside=True), view, lines).because(why)


def _open(name: str, asking: Asking, view: View) -> tuple[bool, str]:
    condition = view.get("time", name)
    if not isinstance(condition, TimeCondition):
        return True, f"time condition {name} is not known, so it is open"
    now = view.local_time(condition.zone, asking.wall_ms)
    if now is None:
        return True, f"time zone {condition.zone} is not known here, so {name} is open"
    return condition.opens(now)


def _whole(number: Extension, asking: Asking, view: View) -> tuple[Extension, str]:
    """A short number of the caller's site becomes the whole one, if that is somebody's.

    Phones dial short numbers, and forward to them. Where an inbound number or a group leads does not depend on who calls.
    """
    forwards = asking.path[-1:]
    if forwards not in ((), (asking.payer,)) or (asking.outside and not asking.payer):
        return number, ""
    payer = view.get("number", asking.payer)
    site = (payer.site if isinstance(payer, Phone) else "") or view.site(view.me)
    described = view.get("site", site)
    prefix = described.prefix if isinstance(described, SiteObject) else ""
    whole = Extension(prefix + number)
    if not prefix or not number.isdecimal() or view.get("number", whole) is None:
        return number, ""
    return whole, f"{number} at site {site} is {whole}"
