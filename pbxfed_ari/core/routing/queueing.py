"""Queues: whom of its members a waiting caller rings next.

A queue stands at one node, as a room does (rooms.py), and its callers wait there, so that who came first is served first. A
member is free if no call of this queue's node rings him or talks with him, if his phone is registered, if he may be disturbed,
and if he was not rung in vain within the last `retry_seconds` of the queue: who did not answer is left alone for as long, and
who is busy with a call of his own, which his phone says (or the call limit of his extension). His own forwards do not count.
"""

from collections.abc import Mapping

from pbxfed_ari.core.effects import Leg
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.objects.group import ALL
from pbxfed_ari.core.records.objects.queue import ROUND_ROBIN, Queue
from pbxfed_ari.core.routing import hunting, reaching
from pbxfed_ari.core.routing.reaching import NOBODY
from pbxfed_ari.core.routing.tries import Lines, Try, View

LOOK = 0.5  # seconds until who waits looks again for a free member


def next_try(
    item: Queue, view: View, lines: Lines, now: float, silent: Mapping[NodeName, str] = NOBODY
) -> Try | None:
    """Who is rung now; None if nobody is free, or somebody waits who came before.

    `silent`: the kind of trunk by which a node is not to be called, if it has another one.
    """
    if lines.ahead(item.key):
        return None
    ways = [
        (member, legs)
        for member in _ordered(item, lines)
        if _rested(member, item, lines, now) and not lines.engaged(member)
        for legs in [hunting.legs(member, view, lines, silent)]
        if legs
    ]
    if not ways:
        return None
    chosen = ways if item.strategy == ALL else ways[:1]
    together: tuple[Leg, ...] = tuple(leg for _, legs in chosen for leg in legs)
    who = ", ".join(member for member, _ in chosen)
    said = f"queue {item.key}, {item.strategy}: {who}"
    return Try(together, said, item.ring_seconds, reaching.patience(together))


def _ordered(item: Queue, lines: Lines) -> list[str]:
    if item.strategy == ROUND_ROBIN:
        return sorted(item.members, key=lines.last_call)
    return list(item.members)


def _rested(member: str, item: Queue, lines: Lines, now: float) -> bool:
    last = lines.in_vain(member)
    return not last or now - last >= item.retry_seconds
