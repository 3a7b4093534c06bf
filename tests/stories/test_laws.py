"""The laws, whatever happens in whatever order. Hypothesis chooses what is done to a federation, and shrinks what fails."""

import os
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pbxfed_ari.core.messages import BookSet, Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.stamp import stamp_of
from tests.stories.matrix import SECRET, Ledger, contents, settle
from tests.stories.world import BEGAN, Node, World

EXAMPLES = int(os.environ.get("PBXFED_EXAMPLES", "15"))
MOST = 5  # nodes
pick = st.integers(0, MOST - 1)


class Laws(RuleBasedStateMachine):
    """A federation to which anything may happen."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(1, "abc", sealed=False)
        self.world.power_may_fail = True
        self.ledger = Ledger(self.world, Random(1))
        self.copies: dict[str, bytes] = {}

    def node(self, number: int) -> Node | None:
        running = self.world.running()
        return running[number % len(running)] if running else None

    # --- what people and phones do

    @rule(at=pick, what=st.sampled_from(["add", "change", "remove"]))
    def edit_alone(self, at: int, what: str) -> None:
        if node := self.node(at):
            getattr(self.ledger, what)(node)

    @rule(at=pick, number=st.sampled_from(["1001", "1002"]), name=st.sampled_from("xyz"))
    def edit_what_others_edit(self, at: int, number: str, name: str) -> None:
        if node := self.node(at):
            node.edit(number, name=name, secret=SECRET)

    @rule(at=pick, number=st.sampled_from(["1001", "1002"]))
    def remove_what_others_edit(self, at: int, number: str) -> None:
        if node := self.node(at):
            node.remove(number)

    @rule(at=pick, phone=st.integers(0, 1), comes=st.booleans())
    def phone(self, at: int, phone: int, comes: bool) -> None:
        if node := self.node(at):
            act = node.register if comes else node.unregister
            act("1001", f"sip:1001@10.1.0.{phone}:5060")

    # --- what networks do

    @rule(
        loss=st.sampled_from([0.0, 0.3]),
        doubled=st.sampled_from([0.0, 0.3]),
        overtaken=st.sampled_from([0.0, 0.3]),
    )
    def weather(self, loss: float, doubled: float, overtaken: float) -> None:
        network = self.world.network
        network.loss, network.doubled, network.overtaken = loss, doubled, overtaken

    @rule(side=st.sets(pick, min_size=1, max_size=2), one_way=st.booleans())
    def partition(self, side: set[int], one_way: bool) -> None:
        hosts = [n.address[0] for n in self.world.nodes.values()]
        some = [h for i, h in enumerate(hosts) if i in side]
        self.world.network.cut(some, [h for h in hosts if h not in some], one_way=one_way)

    @rule()
    def heal(self) -> None:
        self.world.network.heal()

    @rule(seconds=st.sampled_from([0.05, 0.7, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    # --- what machines do

    @rule(at=pick)
    def copy_the_disk(self, at: int) -> None:
        if node := self.node(at):
            self.copies[node.name] = self.world.snapshot(node.name)

    @rule(at=pick, disk=st.sampled_from(["kept", "flushed", "lost", "old"]))
    @precondition(lambda self: len(self.world.running()) > 1)
    def crash(self, at: int, disk: str) -> None:
        node = self.node(at)
        assert node is not None
        self.world.kill(node.name)
        if disk in ("lost", "old"):
            self.world.restore(node.name, self.copies.get(node.name) if disk == "old" else None)
            self._forgive_what_only(node)
        elif disk == "flushed" and node.name in self.world.flushed:
            self.world.restore(node.name, self.world.flushed[node.name])

    def _forgive_what_only(self, lost: Node) -> None:
        """Edits that no other living node had heard of went with the disk."""
        others = self.world.running()

        def known(number: str, name: str | None) -> bool:
            found = [n.phone(number) for n in others]
            return any((p.name if p else None) == name for p in found)

        ledger = self.ledger
        ledger.kept = {n: name for n, name in ledger.kept.items() if known(n, name)}
        ledger.removed = {n for n in ledger.removed if known(n, None)}

    @rule(at=pick)
    def start_again(self, at: int) -> None:
        dead = [n for n in self.world.nodes.values() if n.stopped]
        if dead:
            self.world.boot(dead[at % len(dead)].name)

    @rule()
    @precondition(lambda self: len(self.world.nodes) < MOST)
    def join(self) -> None:
        self.world.boot("abcde"[len(self.world.nodes)])

    @rule(at=pick, seconds=st.sampled_from([-3_600, -20, 20, 3_600]))
    def clock_steps(self, at: int, seconds: int) -> None:
        if node := self.node(at):
            node.skew_ms = seconds * 1_000

    # --- the laws

    @rule()
    def all_are_equal_in_the_end(self) -> None:
        """And nothing that was acknowledged is lost, nothing that was deleted is back."""
        network = self.world.network
        network.heal()
        network.loss = network.doubled = network.overtaken = 0.0
        for node in list(self.world.nodes.values()):
            node.skew_ms = 0
            if node.stopped:
                self.world.boot(node.name)
        self.world.run(3)
        settle(self.world, 20)
        self.ledger.check()

    @invariant()
    def who_holds_the_same_answers_the_same(self) -> None:
        known: dict[tuple[int, tuple[str, ...]], dict[str, object]] = {}
        for node in self.world.running():
            if not node.federation.joined:
                continue
            key = (node.federation.directory.fingerprint(), tuple(sorted([node.name, *node.up()])))
            found = contents(node)
            assert known.setdefault(key, found) == found

    @invariant()
    def no_vector_claims_what_was_never_written(self) -> None:
        for node in self.world.running():
            for origin, epoch, held in node.federation.directory.streams.vector():
                assert held <= self.world.written.get(origin, 0), (node.name, origin, epoch, held)

    def teardown(self) -> None:
        self.all_are_equal_in_the_end()


Laws.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLaws = Laws.TestCase

ORIGINS = [NodeName("a"), NodeName("b"), NodeName("c")]
values = st.none() | st.binary(min_size=1, max_size=3)
edits = st.builds(
    BookSet,
    st.sampled_from([b"yone", b"ytwo"]),  # of a kind that this release does not know
    st.integers(0, 2),
    st.integers(1, 5).map(lambda ms: stamp_of(BEGAN + ms)),
    st.just(""),
    values,
)
puts = st.builds(ShelfPut, st.sampled_from(["k1", "k2"]), st.binary(min_size=1, max_size=3))
drops = st.builds(ShelfDrop, st.sampled_from(["k1", "k2"]))
streams = st.tuples(*[st.lists(edits | puts | drops, max_size=6) for _ in ORIGINS])


def told(written: tuple[list[Record], ...], order: list[int], twice: bool) -> Directory:
    """What a replica holds that heard these streams, each in its own order, in this one."""
    directory = Directory()
    heard = [0, 0, 0]
    for origin in order:
        if heard[origin] < len(written[origin]):
            number = heard[origin] = heard[origin] + 1
            record = (number, written[origin][number - 1])
            for _ in range(1 + twice):
                directory.apply((ORIGINS[origin], 1), [record], number)
    return directory


@given(streams, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_the_order_of_hearing_does_not_matter_nor_hearing_twice(
    written: tuple[list[Record], ...], rng: Random
) -> None:
    """Merging is commutative, associative and idempotent."""
    order = [i for i, stream in enumerate(written) for _ in stream]
    other = rng.sample(order, len(order))
    one, two = told(written, order, False), told(written, other, True)
    assert one.streams.vector() == two.streams.vector()
    assert one.fingerprint() == two.fingerprint()
    for object_id in one.book.objects():
        assert one.book.groups(object_id) == two.book.groups(object_id)
        assert one.book.stamps(object_id) == two.book.stamps(object_id)
    for origin in ORIGINS:
        for key in "k1", "k2":
            assert one.shelves.value(origin, key) == two.shelves.value(origin, key)
