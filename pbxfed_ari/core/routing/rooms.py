"""Conference rooms and queues: whoever calls the number, anywhere, comes to one conference, or one line, at one node.

    800 ─▶ does it stand somewhere? ── yes ─▶ there (if it stands at two, at the older one)
                  └── no ─▶ its home by the ring, unless that has more rooms than its share: then who has most room (shares.py)

Who starts a room says so on its own shelf: so it is known everywhere a moment later, and forgotten when that node dies; it is
taken back when nobody is in it any more. Until it is known two nodes may each start it: the older stamp stands for all who
come later; who is in the other stays there. A drained or sick node starts none; what stands there may be joined.

A peer's call is delivered where the room stands, and where it stands nowhere. Where it is known to stand elsewhere it goes
back (one hop), and its sender, who will have heard of it by then, tries the next way; his own node is the last one.
"""

from collections.abc import Iterator

from pbxfed_ari.core.membership import ring
from pbxfed_ari.core.messages import Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.objects.queue import Queue
from pbxfed_ari.core.records.objects.room import Room
from pbxfed_ari.core.records.shelf import Contact, encode, place_key
from pbxfed_ari.core.routing import reaching, shares
from pbxfed_ari.core.routing.tries import (
    NO_ROUTE,
    RANG_OUT,
    UNREACHABLE,
    Lead,
    Lines,
    Meet,
    Onward,
    Route,
    Try,
    View,
)
from pbxfed_ari.core.stamp import stamp_of

CONTEXT = "pbxfed-room"
OTHERS = 3  # nodes that are tried if the one that should have it is not to be had


def place(item: Room | Queue, view: View, lines: Lines) -> Route:
    """To where it stands, or where it should begin."""
    number = Extension(item.key)
    stands = view.stands(number)
    found, skipped = reaching.passable(stands, view, lines)
    order, crowded = reaching.passable(places(number, view), view, lines)
    others = [node for node in order if node not in found]
    last = [view.me] if view.takes(view.me) and view.me not in [*found, *others[:OTHERS]] else []
    tries: list[Try] = []
    for node in (*found, *others[:OTHERS], *last):
        said = "stands on" if node in found else "begins on"
        tries += _tries(item, node, view, lines, said)
    why = "".join(f"; {node} skipped: {why}" for node, why in {**skipped, **crowded}.items())
    left = f"{_called(item)}: no node is left{why}"
    return Route(tuple(tries), NO_ROUTE, left, number, onward(item), fresh=True)


def onward(item: Room | Queue) -> tuple[Onward, ...]:
    """Where who has waited too long goes."""
    if isinstance(item, Room) or not item.otherwise:
        return ()
    why = f"nobody of queue {item.key} had time: to {item.otherwise}"
    return tuple(Onward(outcome, item.otherwise, why) for outcome in (RANG_OUT, UNREACHABLE))


def deliver(item: Room | Queue, peer: NodeName, view: View, *, running: bool) -> Route:
    """A peer's call, that shall meet others here. Who has waited in a queue here is answered: nobody can send him elsewhere."""
    number = Extension(item.key)
    stands = view.stands(number)
    stays = view.me in stands or (running and isinstance(item, Queue))
    elsewhere = [node for node in stands if view.reachable(node)]
    if not stays and elsewhere:
        return Route((), NO_ROUTE, f"{_called(item)} stands on {elsewhere[0]}", number)
    others = [node for node in view.nodes() if node != view.me and view.takes(node)]
    if not stays and view.drained() and others:
        why = f"{view.me} is being drained: {_called(item)} begins elsewhere"
        return Route((), NO_ROUTE, why, number)
    return Route((_here(item, "is here"),), NO_ROUTE, f"from {peer}", number, onward(item))


def places(number: Extension, view: View) -> list[NodeName]:
    """Where it should begin, best first."""
    weights = view.shares()
    draw = {node: ring.score(node, weight, number) for node, weight in weights.items()}
    first = str(view.home(number))
    return [NodeName(node) for node in shares.order(view.placed(), weights, first, draw)]


def _tries(
    item: Room | Queue, node: NodeName, view: View, lines: Lines, said: str
) -> Iterator[Try]:
    if node == view.me:
        yield _here(item, f"{said} {node} (here)")
        return
    for rank in range(len(lines.trunks(node, view))):
        leg = reaching.leg(node, view, lines, rank)
        if leg is not None:
            yield Try((leg,), f"{_called(item)} {said} {node} (by {leg.trunk})")


def _called(item: Room | Queue) -> str:
    return f"{'room' if isinstance(item, Room) else 'queue'} {item.key}"


def _here(item: Room | Queue, said: str) -> Try:
    if isinstance(item, Queue):
        return Try((), f"{_called(item)} {said}", queue=item.key)
    meet = Meet(item.key, item.most, item.pin)
    return Try((), f"{_called(item)} {said}", lead=Lead(CONTEXT, item.key), meet=meet)


class Standing:
    """The rooms and queues that stand at this node: those into which a call was led, and those that Asterisk has."""

    def __init__(self, me: NodeName, directory: Directory) -> None:
        self._me, self._directory = me, directory
        self._led: frozenset[str] = frozenset()
        self._listed: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Standing({sorted(self._led | self._listed)})"

    def led(self, numbers: frozenset[str], wall_ms: int) -> list[Record]:
        """Calls of ours are in these, or at their doors. What peers must hear of it."""
        self._led = numbers
        return self._news(wall_ms)

    def listed(self, numbers: frozenset[str], wall_ms: int) -> list[Record]:
        """Asterisk has these: by a transfer somebody may be in one who came by no call of ours."""
        self._listed = numbers
        return self._news(wall_ms)

    def _news(self, wall_ms: int) -> list[Record]:
        rooms = self._led | self._listed
        known = {
            n for n in rooms if isinstance(self._directory.catalogue.get("number", n), Room | Queue)
        }
        held = {number for number, on in self._directory.shelves.places.items() if self._me in on}
        stamp = encode(Contact(stamp_of(wall_ms)))
        gone: list[Record] = [ShelfDrop(place_key(number)) for number in sorted(held - known)]
        return [*gone, *(ShelfPut(place_key(number), stamp) for number in sorted(known - held))]
