"""What operators are told: numbers claimed twice, edits that met, each on every node that could know."""

import pytest

from pbxfed_ari.core.effects import Note, Reply
from pbxfed_ari.core.events import Edited
from pbxfed_ari.core.names import Extension
from tests.stories.world import Node, World

SECRET = "abcdEFGH1234"
LEFT, RIGHT = ["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"]


def told(node: Node, what: str) -> list[dict[str, object]]:
    """The notes of one kind that a node has given, as their fields."""
    return [dict(e.fields) for e in node.effects if isinstance(e, Note) and e.what == what]


def change(node: Node, number: str, object_id: str, fields: dict[str, object] | None) -> Reply:
    """An edit of one of several objects that claim a number."""
    one = bytes.fromhex(object_id)
    effects = node.handle(
        Edited(1, "extension", number, fields, node.wall_ms(), bytes(8), object_id=one)
    )
    return next(e for e in effects if isinstance(e, Reply))


@pytest.fixture
def contested() -> World:
    """1001 was added on both sides of a cut, which is healed."""
    world = World(names="abcd")
    world.network.cut(LEFT, RIGHT)
    world["a"].edit("1001", name="first", secret=SECRET)
    world.run(0.2)
    world["d"].edit("1001", name="second", secret=SECRET)
    world.run(4)
    world.network.heal()
    assert world.run(5, world.agree)
    world.run(1)
    return world


def test_a_contested_number_is_told_on_every_node_alike(contested: World) -> None:
    """Number, winner, loser and remedy, once; the nodes of either side say the same."""
    news = [told(node, "number contested") for node in contested.running()]
    assert all(len(found) == 1 for found in news)
    assert len({tuple(found[0].items()) for found in news}) == 1
    one = news[0][0]
    assert (one["extension"], one["winner"], one["winner_by"]) == ("1001", "first", "a")
    assert (one["loser"], one["loser_by"]) == ("second", "d")
    assert "ext rm 1001 --id" in str(one["remedy"])


@pytest.mark.parametrize("removed", ["winner", "loser"])
def test_one_of_two_claims_can_be_removed_by_its_id(contested: World, removed: str) -> None:
    """Its rival holds the number from then on, and every node says that the contest is over."""
    one = told(contested["b"], "number contested")[0]
    left = one["loser" if removed == "winner" else "winner"]
    assert change(contested["c"], "1001", str(one[f"{removed}_id"]), None).status == 200
    contested.run(0.5)
    for node in contested.running():
        phone = node.phone("1001")
        assert phone is not None
        assert phone.name == left
        assert not node.federation.directory.catalogue.contested()
        assert [found["holder"] for found in told(node, "number settled")] == [left]


def test_a_claim_that_lost_can_be_edited_by_its_id(contested: World) -> None:
    """The winner is untouched, and an id that claims nothing is refused with those that do."""
    one = told(contested["a"], "number contested")[0]
    reply = change(contested["a"], "1001", str(one["loser_id"]), {"name": "other"})
    contested.run(0.5)
    assert (reply.status, reply.body["name"]) == (200, "other")
    names = [
        p.called for p in contested["c"].federation.directory.catalogue.claims(Extension("1001"))
    ]
    assert names == ["first", "other"]
    refused = change(contested["a"], "1001", "78ff", {"name": "x"})
    assert refused.status == 404
    assert str(one["winner_id"]) in refused.error


def test_what_is_contested_is_told_again_after_a_restart(contested: World) -> None:
    """Events live as long as the daemon; the contest lives on."""
    contested.kill("b")
    contested.run(4)
    assert len(told(contested.boot("b"), "number contested")) == 1


def test_two_edits_that_met_are_told_where_both_were_seen() -> None:
    """One field, edited on both sides of a cut: decided alike everywhere, and the loser's side hears of it."""
    world = World(names="abcd")
    world["a"].edit("1001", name="old", secret=SECRET)
    world.run(1)
    world.network.cut(LEFT, RIGHT)
    world["a"].edit("1001", name="left")
    world.run(1)
    world["d"].edit("1001", name="right")
    world["d"].edit("1001", name="right again")
    world["d"].edit("1001", devices=2)
    world.run(4)
    world.network.heal()
    assert world.run(5, world.agree)
    for name in "ab":
        found = told(world[name], "conflict")
        assert [(f["field"], f["winner"], f["won"], f["loser"], f["lost"]) for f in found] == [
            ("name", "d", "'right again'", "a", "'left'")
        ]


def test_a_delete_that_met_an_edit_is_told() -> None:
    """The edit stands; who deleted must hear of it."""
    world = World(names="abcd")
    world["a"].edit("1001", name="old", secret=SECRET)
    world.run(1)
    world.network.cut(LEFT, RIGHT)
    world["d"].edit("1001", name="new")
    world["a"].remove("1001")
    world.run(4)
    world.network.heal()
    assert world.run(5, world.agree)
    for name in "abcd":
        found = told(world[name], "conflict")
        assert [(f["field"], f["winner"], f["loser"]) for f in found] == [("life", "d", "a")]


@pytest.mark.parametrize("seed", range(5))
def test_edits_that_knew_of_one_another_are_no_conflict(seed: int) -> None:
    """Whatever is lost and comes late; a joiner finds none either."""
    world = World(seed, "abcd", loss=0.3, settle=6)
    for i in range(40):
        editor = world["abcd"[i % 4]]
        editor.edit("1001", name=f"{i}", secret=SECRET)
        assert world.run(20, world.agree)
    world["b"].remove("1001")
    world.run(5)
    world.boot("e")
    world.run(10, world.agree)
    assert not [found for node in world.running() for found in told(node, "conflict")]
