"""The fault matrix: what networks, disks, clocks and processes do, row by row, and what must hold all the same.

A row is a function of seed and size; everything that it does follows from them. `make test` plays SEEDS seeds of each row,
others every day (PBXFED_SEED_BASE names the first one); `make stories` plays a thousand in each size. A seed that failed and
was mended stands in KNOWN and is played each time.

    python -m tests.stories 3 8 20774000      plays row 3 with 8 nodes and that seed
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from random import Random

from pbxfed_ari.core.effects import Note
from tests.stories.world import Node, World

SEEDS = 20  # a row in `make test`
SIZES = (3, 8, 32)
SECRET = "abcdEFGH1234"
KNOWN: tuple[tuple[int, int, int], ...] = (  # (row, size, seed)
    (
        3,
        8,
        66,
    ),  # who could not help was asked, one after the other, before the origin was asked again
    (3, 8, 20),  # vectors were compared before all had met who had come back
    (3, 3, 187),  # who had not taken part in a comparison waited for the next one
    (13, 3, 0),  # a return that was learned late was stamped late, and beat a later one
)


@dataclass(frozen=True, slots=True)
class Row:
    """One fault, and the function that plays it."""

    number: int
    what: str
    play: Callable[[int, int], None]
    module: str


@dataclass(frozen=True, slots=True)
class Case:
    """A row in one size with one seed."""

    row: int
    size: int
    seed: int

    def __str__(self) -> str:
        return f"row{self.row}-{self.size}nodes-seed{self.seed}"

    @property
    def command(self) -> str:
        """What plays just this case."""
        return f"python -m tests.stories {self.row} {self.size} {self.seed}"

    def play(self) -> None:
        """Raises whatever did not hold, with the command that shows it again."""
        try:
            ROWS[self.row].play(self.seed, self.size)
        except BaseException as error:
            error.add_note(f"replay: {self.command}")
            raise


ROWS: dict[int, Row] = {}


def row(
    number: int, what: str
) -> Callable[[Callable[[int, int], None]], Callable[[int, int], None]]:
    """This function (seed, size) plays a row."""

    def add(play: Callable[[int, int], None]) -> Callable[[int, int], None]:
        ROWS[number] = Row(number, what, play, play.__module__)
        return play

    return add


def first_seed() -> int:
    """Today's, unless PBXFED_SEED_BASE says another."""
    today = (datetime.now(UTC).date() - date(1970, 1, 1)).days
    return int(os.environ.get("PBXFED_SEED_BASE", today * 1_000))


def cases(module: str) -> list[Case]:
    """What `make test` plays of a module's rows: mostly three nodes, every fourth time eight."""
    base = first_seed()
    numbers = [r.number for r in ROWS.values() if r.module == module]
    fresh = [Case(n, 8 if i % 4 == 3 else 3, base + i) for n in numbers for i in range(SEEDS)]
    return [Case(*known) for known in KNOWN if known[0] in numbers] + fresh


# --- what rows share


def names(size: int) -> list[str]:
    """n01, n02, …"""
    return [f"n{i + 1:02}" for i in range(size)]


def outset(seed: int, size: int) -> "tuple[Random, World, Ledger]":
    """Chance, so many nodes, and what they shall not lose."""
    rng = Random(seed)
    world = World(seed, names(size), sealed=False, settle=3)
    return rng, world, Ledger(world, rng)


class Ledger:
    """Edits that were acknowledged, under numbers that nobody else edits: none of them may be lost."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world, self.rng = world, rng
        self.kept: dict[str, str] = {}  # number → name
        self.removed: set[str] = set()
        self._number = 2_000

    def add(self, node: Node) -> None:
        self._number += 1
        number, name = str(self._number), f"by {node.name} at {self.world.now:.3f}"
        if node.edit(number, name=name, secret=SECRET).status == 201:
            self.kept[number] = name

    def change(self, node: Node) -> None:
        """One of them, from a node that knows it."""
        known = [n for n in sorted(self.kept) if (p := node.phone(n)) and p.name == self.kept[n]]
        if known:
            number, name = self.rng.choice(known), f"changed by {node.name} at {self.world.now:.3f}"
            if node.edit(number, name=name).status == 200:
                self.kept[number] = name
            elif node.stopped:
                del self.kept[number]  # perhaps done, perhaps not: nobody was told

    def remove(self, node: Node) -> None:
        """One of them, from a node that knows it as it is now."""
        known = [n for n in sorted(self.kept) if (p := node.phone(n)) and p.name == self.kept[n]]
        if known:
            number = self.rng.choice(known)
            name = self.kept.pop(number)
            if node.remove(number).status == 200:
                self.removed.add(number)
            elif not node.stopped:
                self.kept[number] = name

    def churn(self, node: Node) -> None:
        """What happens on a node: an edit, a phone that comes or goes, a number that others edit as well."""
        number = str(self.rng.randrange(1_000, 1_006))
        uri = f"sip:{number}@10.1.0.{self.rng.randrange(3)}:5060"
        what = self.rng.randrange(10)
        if what < 3:
            self.add(node)
        elif what == 3:
            self.change(node)
        elif what == 4 and self.rng.random() < 0.3:
            self.remove(node)
        elif what < 7:
            node.register(number, uri)
        elif what == 7:
            node.unregister(number, uri)
        elif what == 8:
            node.edit(number, name=f"{node.name} {self.world.now:.2f}", secret=SECRET)
        else:
            node.remove(number)

    def work(self, seconds: float, at: Iterable[str] = (), pause: float = 0.3) -> None:
        """Time passes, and things happen on running nodes (these, or all)."""
        end = self.world.now + seconds
        while self.world.now < end:
            nodes = [n for n in self.world.running() if not at or n.name in set(at)]
            if nodes:
                self.churn(self.rng.choice(nodes))
            self.world.run(min(self.rng.random() * 2 * pause, end - self.world.now))

    def check(self) -> None:
        """All that was acknowledged stands everywhere, and what was deleted does not."""
        for node in self.world.running():
            found = {p.number: p.name for p in node.federation.directory.catalogue.phones()}
            lost = {n: name for n, name in self.kept.items() if found.get(n) != name}  # type: ignore[call-overload]
            assert not lost, f"{node.name} lost {lost}"
            risen = self.removed & set(found)
            assert not risen, f"{node.name} holds {risen}, which were deleted"


def contents(node: Node) -> dict[str, object]:
    """All that a node knows of the others and of configuration, as values that can be compared."""
    federation = node.federation
    directory, book = federation.directory, federation.directory.book
    return {
        "up": sorted([node.name, *node.up()]),
        "infos": dict(directory.shelves.infos()),
        "book": {
            o: {g: (book.groups(o).get(g), book.stamp(o, g)) for g in sorted(book.stamps(o))}
            for o in book.objects()
        },
        "phones": directory.catalogue.phones(),
        "contested": directory.catalogue.contested(),
        "contacts": {
            name: sorted(directory.shelves.contacts_of(name))
            for name in [*federation.directory.shelves.infos()]
        },
        "registered": {n: federation.view.where(n) for n in directory.registrations.numbers()},
        "ring": federation.view.ring.weights,
    }


def differences(nodes: Iterable[Node]) -> list[str]:
    """In what nodes differ from the first one."""
    first, *others = nodes
    ours = contents(first)
    found = []
    for other in others:
        theirs = contents(other)
        found += [
            f"{key} of {first.name} and {other.name}: {ours[key]} / {theirs[key]}"
            for key in ours
            if ours[key] != theirs[key]
        ]
    return found


def whole(world: World) -> bool:
    """Do all running nodes see one another, and hold the same?"""
    everyone = len(world.running()) - 1
    return world.agree() and all(len(n.up()) == everyone for n in world.running())


def settle(world: World, within: float) -> float:
    """All running nodes see one another and hold the same, by vectors and by contents. Returns the seconds it took."""
    began = world.now
    assert world.run(within, lambda: whole(world)), "\n".join(
        [f"not settled after {within} s"]
        + [
            f"{n.name} up={n.up()} {n.federation.directory.streams.vector()}"
            for n in world.running()
        ]
    )
    took = world.now - began
    world.run(0.2)  # what they conclude from it is published too
    assert world.run(
        1.0 + 20 * world.network.loss, lambda: whole(world)
    )  # and may be lost, or somebody be missed
    assert not differences(world.running()), differences(world.running())[0]
    return took


def said(world: World, what: str) -> Iterator[tuple[Node, dict[str, object]]]:
    """Notes of this kind of all nodes."""
    for node in world.nodes.values():
        for effect in node.effects:
            if isinstance(effect, Note) and effect.what == what:
                yield node, dict(effect.fields)


def deaths_of(world: World, living: Iterable[str]) -> list[tuple[str, object]]:
    """Verdicts on nodes that lived all the time: (by, of)."""
    lived = set(living)
    return [(n.name, f["node"]) for n, f in said(world, "member down") if f["node"] in lived]
