"""Stories of failed authentications: who knows of them, when, and what it costs."""

from collections import Counter

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.events import AuthenticationsFailed
from pbxfed_ari.core.federation import failures
from pbxfed_ari.core.federation.failures import ALARM, FIRST_TOLD, MOST, QUIET, Row, whose
from pbxfed_ari.core.names import NodeName
from tests.stories.world import World

A, B, C = map(NodeName, "abc")
BAD = "203.0.113.9"


def fail(world: World, node: str, times: int = 1, address: str = BAD, forgeable: int = 0) -> None:
    world[node].handle(AuthenticationsFailed(((address, times, forgeable),)))


def row(world: World, node: str, address: str = BAD) -> Row:
    return world[node].federation.failures.row(address)


def alarms(world: World, node: str) -> list[dict[str, object]]:
    notes = [e for e in world[node].effects if isinstance(e, Note)]
    return [dict(n.fields) for n in notes if n.event == "failed_authentications"]


def told(world: World, node: str) -> int:
    """How many records it has published."""
    federation = world[node].federation
    return federation.directory.streams.held(federation.ledger.own)


def started() -> World:
    world = World(names="abc")
    world.run(2)
    return world


def test_steps_are_told_and_nothing_between_them() -> None:
    """A hundred failures, six records."""
    world = started()
    before = told(world, "a")
    for n in range(1, 101):
        fail(world, "a")
        world.run(0.1)
        known = row(world, "b").failures
        assert known <= n
        assert n < FIRST_TOLD or 2 * known > n
    assert told(world, "a") - before == 6  # at 3, 6, 12, 24, 48, 96
    assert row(world, "a") == Row(BAD, 100, 0, (A,))
    assert row(world, "b") == row(world, "c") == Row(BAD, 96, 0, (A,))


def test_all_nodes_sum_up() -> None:
    """Who spreads his guesses over the nodes is found all the same, once by each node, and again when it has doubled."""
    world = started()
    for node, times in ("a", 4), ("b", 3), ("c", 3):
        fail(world, node, times)
        world.run(0.5)
    assert row(world, "a") == row(world, "b") == Row(BAD, 10, 0, (A, B, C))
    for node in "abc":
        assert [(a["address"], a["failures"], a["nodes"]) for a in alarms(world, node)] == [
            (BAD, ALARM, "a,b,c")
        ]
    fail(world, "a", 10)
    world.run(0.5)
    assert [a["failures"] for a in alarms(world, "c")] == [10, 20]


def test_what_may_be_forged_is_told_to_nobody() -> None:
    """One datagram with any address in it must not have that one shut out."""
    world = started()
    before = told(world, "a")
    fail(world, "a", 0, forgeable=1_000)
    world.run(1)
    assert row(world, "a") == Row(BAD, 0, 1_000, ())
    assert row(world, "b") == Row(BAD, 0, 0, ())
    assert told(world, "a") == before
    assert alarms(world, "a") == []


def test_nodes_of_the_federation_are_no_strangers() -> None:
    """A trunk with a wrong secret is no reason to shut a peer out; it is counted."""
    world = started()
    address = world["b"].address[0]
    fail(world, "a", 50, address)
    world.run(1)
    assert row(world, "c", address).failures == 50
    assert alarms(world, "a") == alarms(world, "c") == []


def test_after_a_quiet_hour_it_is_forgotten_everywhere() -> None:
    """And an alarm may come again."""
    world = started()
    fail(world, "a", 12)
    world.run(QUIET / 2)
    assert row(world, "b").failures == 12
    world.run(QUIET / 2 + failures.LOOK + 1)
    assert row(world, "a").failures == row(world, "b").failures == 0
    assert world["b"].federation.failures.table() == []
    fail(world, "a", 12)
    world.run(0.5)
    for node in "abc":
        assert len(alarms(world, node)) == 2


def test_it_survives_a_restart_and_is_hidden_with_its_node() -> None:
    """What was told stands on the shelf."""
    world = started()
    fail(world, "a", 13)
    world.run(0.5)
    world.kill("a")
    world.run(5)
    assert row(world, "b").failures == 0
    world.boot("a")
    world.run(2)
    assert row(world, "a").failures == row(world, "b").failures == 13
    fail(world, "a", 13)
    world.run(0.5)
    assert row(world, "b").failures == 26


def test_the_table_is_bounded_and_keeps_the_worst() -> None:
    """A flood of addresses pushes out who has done little."""
    world = started()
    fail(world, "a", 40)
    for n in range(3 * MOST):
        fail(world, "a", 3 if n % 2 else 0, f"198.51.{n // 250}.{n % 250}", forgeable=n)
    world.run(1)
    for node in "ab":
        table = world[node].federation.failures.table()
        assert len(table) <= MOST
        assert table[0].address == BAD
    assert len(world["b"].federation.directory.shelves.failures) <= MOST


def test_an_ipv6_host_has_one_network() -> None:
    """It may take any of its addresses; IPv4 in IPv6 is IPv4."""
    assert whose("2001:db8:1:2:3:4:5:6") == whose("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert whose("::ffff:203.0.113.9") == whose(BAD) == BAD
    world = started()
    fail(world, "a", 3, "2001:db8::1")
    fail(world, "a", 3, "2001:db8::2")
    world.run(0.5)
    assert row(world, "b", "2001:db8::/64").failures == 6


def test_many_addresses_of_one_moment_are_one_frame() -> None:
    """An attack by a hundred hosts must not become a hundred frames a second."""
    world = started()
    before = Counter(world.network.bytes)
    found = tuple((f"198.51.100.{n}", 3, 0) for n in range(60))
    world["a"].handle(AuthenticationsFailed(found))
    world.run(0.4)
    assert len(world["b"].federation.directory.shelves.failures) == 60
    assert world.network.bytes["10.0.0.1"] - before["10.0.0.1"] < 2_400
