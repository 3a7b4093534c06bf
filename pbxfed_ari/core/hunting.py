"""Ring groups: whose phones ring, together or one after the other."""

from hashlib import blake2b

from pbxfed_ari.core import reaching
from pbxfed_ari.core.effects import Leg
from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.objects.extension import Phone
from pbxfed_ari.core.objects.group import ALL, LEAST_RECENT, RANDOM, Group
from pbxfed_ari.core.tries import (
    ABSENT,
    BUSY_OUT,
    RANG_OUT,
    UNREACHABLE,
    Asking,
    Lines,
    Onward,
    Route,
    Try,
    View,
)


def group(item: Group, asking: Asking, view: View, lines: Lines) -> Route:
    """The tries of a group: one for all members, or one for each.

    A member's own forwards count for calls to itself, not for the group's; one that is not to be disturbed is left out.
    """
    number = Extension(item.key)
    onward = tuple(
        Onward(outcome, item.overflow, f"nobody of group {number} took it: to {item.overflow}")
        for outcome in (BUSY_OUT, RANG_OUT, UNREACHABLE)
        if item.overflow
    )
    ways: list[tuple[str, list[Leg]]] = []
    left_out: list[str] = []
    for member in _ordered(item, asking, lines):
        if member == asking.payer:
            continue  # who calls his own group does not ring himself
        found, why = legs(member, view, lines)
        if found:
            ways.append((member, found))
        else:
            left_out.append(f"{member} {why}")
    why = "".join(f"; {text}" for text in left_out)
    if not ways:
        return Route((), ABSENT, f"group {number}: nobody to ring{why}", number, onward)
    said = f"group {number}"
    if item.strategy == ALL:
        together = tuple(leg for _, found in ways for leg in found)
        names = ", ".join(member for member, _ in ways)
        once = Try(
            together,
            f"{said}: all together: {names}{why}",
            item.ring_seconds,
            reaching.patience(together),
        )
        return Route((once,), ABSENT, "", number, onward, item.control)
    tries = tuple(  # who is left out is said once: a hunt may have hundreds of tries
        Try(
            tuple(legs),
            f"{said}, {item.strategy}: {member}{'' if i else why}",
            item.ring_seconds,
            reaching.patience(legs),
            going_on=True,
        )
        for i, (member, legs) in enumerate(ways)
    )
    return Route(tries, ABSENT, "", number, onward, item.control)


def _ordered(item: Group, asking: Asking, lines: Lines) -> tuple[str, ...]:
    if item.strategy == RANDOM:
        return tuple(
            sorted(item.members, key=lambda m: blake2b(f"{asking.seed} {m}".encode()).digest())
        )
    if item.strategy == LEAST_RECENT:
        return tuple(sorted(item.members, key=lines.last_call))
    return item.members


def legs(member: str, view: View, lines: Lines) -> tuple[list[Leg], str]:
    """The legs to a member's phones, by each node's best trunk; or why there are none."""
    phone = view.get("number", member)
    if not isinstance(phone, Phone):
        return [], "is no extension"
    if phone.dnd:
        return [], "is not to be disturbed"
    places = view.where(phone.number)
    found = reaching.ways(phone.number, places, view, lines)
    if not places and not found.nodes:
        return [], "is registered nowhere"
    if reaching.full(phone, found.nodes, view, lines):
        return [], "is busy"
    why = ", ".join(f"is on {node}, {why}" for node, why in found.skipped.items())
    return found.legs(view, 0, member), why
