"""Ring groups: whose phones ring, together or one after the other."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from msgspec.structs import replace

from pbxfed_ari.core.effects import Leg
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.group import ALL, LEAST_RECENT, RANDOM, Group
from pbxfed_ari.core.routing import reaching
from pbxfed_ari.core.routing.reaching import NOBODY, Ways
from pbxfed_ari.core.routing.tries import (
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
    found: dict[str, Ways] = {}
    left_out: list[str] = []
    for member in _ordered(item, asking, lines):
        if member == asking.payer:
            continue  # who calls his own group does not ring himself
        ways, why = reach(member, view, lines)
        if ways is not None:
            found[member] = ways
        else:
            left_out.append(f"{member} {why}")
    why = "".join(f"; {text}" for text in left_out)
    if not found:
        return Route((), ABSENT, f"group {number}: nobody to ring{why}", number, onward)
    way = _together if item.strategy == ALL else _in_turn
    tries = way(item, found, view, lines)
    first = replace(tries[0], reason=tries[0].reason + why)  # said once: a hunt may be long
    return Route((first, *tries[1:]), ABSENT, "", number, onward, item.control)


def _together(item: Group, found: Mapping[str, Ways], view: View, lines: Lines) -> list[Try]:
    """All at once; then once more by the peers' second kind of trunk, for whom nobody has spoken by then."""
    tries: list[Try] = []
    for rank in range(max(ways.ranks(view, lines) for ways in found.values())):
        legs = {member: ways.legs(view, lines, rank, member) for member, ways in found.items()}
        together = tuple(leg for of in legs.values() for leg in of)
        names = ", ".join(member for member, of in legs.items() if of)
        said = f"group {item.key}: all together: {names}{_by(together, rank)}"
        tries.append(Try(together, said, item.ring_seconds, reaching.patience(together)))
    return tries


def _in_turn(item: Group, found: Mapping[str, Ways], view: View, lines: Lines) -> list[Try]:
    """One after the other, each by all kinds of trunk until somebody speaks for him."""
    tries: list[Try] = []
    for member, ways in found.items():
        for rank in range(ways.ranks(view, lines)):
            legs = tuple(ways.legs(view, lines, rank, member))
            said = f"group {item.key}, {item.strategy}: {member}{_by(legs, rank)}"
            patience = reaching.patience(legs)
            tries.append(Try(legs, said, item.ring_seconds, patience, going_on=True))
    return tries


def _by(legs: Sequence[Leg], rank: int) -> str:
    kinds = dict.fromkeys(leg.trunk for leg in legs)
    return f" (by {' and '.join(kinds)})" if rank else ""


def _ordered(item: Group, asking: Asking, lines: Lines) -> tuple[str, ...]:
    if item.strategy == RANDOM:
        return tuple(
            sorted(item.members, key=lambda m: blake2b(f"{asking.seed} {m}".encode()).digest())
        )
    if item.strategy == LEAST_RECENT:
        return tuple(sorted(item.members, key=lines.last_call))
    return item.members


def legs(
    member: str, view: View, lines: Lines, silent: Mapping[NodeName, str] = NOBODY
) -> list[Leg]:
    """The legs to a member's phones, by each node's best trunk; by the second one, if that was `silent`."""
    found, _ = reach(member, view, lines)
    return found.legs(view, lines, 0, member, silent) if found is not None else []


def reach(member: str, view: View, lines: Lines) -> tuple[Ways | None, str]:
    """The ways to a member's phones; or why there are none."""
    phone = view.get("number", member)
    if not isinstance(phone, Phone):
        return None, "is no extension"
    if phone.dnd:
        return None, "is not to be disturbed"
    places = view.where(phone.number)
    found = reaching.ways(phone.number, places, view, lines)
    if not places and not found.nodes:
        return None, "is registered nowhere"
    if reaching.full(phone, found.nodes, view, lines):
        return None, "is busy"
    why = ", ".join(f"is on {node}, {why}" for node, why in found.skipped.items())
    return (found, why) if found.legs(view, lines, 0, member) else (None, why)
