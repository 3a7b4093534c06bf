"""Objects of every kind, edited on several nodes: added, changed, removed, at once, across cuts, many at a time."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pbxfed_ari.core.effects import Effect, Reply
from pbxfed_ari.core.events import Edited, Imported
from pbxfed_ari.core.federation.editing import Editor
from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.group import Group
from pbxfed_ari.core.records.objects.kind import CLAIM
from pbxfed_ari.core.stamp import HybridClock
from tests.stories.world import Node, World

SECRET = "correct-horse-9"
LEFT, RIGHT = ["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"]


def world(*extensions: str) -> World:
    found = World(names="abcd")
    found.run(1)
    for number in extensions:
        assert found["a"].edit(number, secret=SECRET).status == 201
    found.run(0.2)
    return found


def members(node: Node, number: str = "600") -> list[str]:
    shown = node.shown("group", number)
    assert shown is not None
    assert isinstance(shown["members"], list)
    return shown["members"]


def line(number: str, i: int = 0, **fields: object) -> Edited:
    return Edited(1, "extension", number, fields, 1, bytes([i]) * 8, where=f"line {i + 2}")


def test_an_object_of_each_kind_is_added_changed_and_removed_everywhere() -> None:
    """On whatever node."""
    there = world("1001")
    made: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
        ("group", "600", {"members": ["1001"]}, {"strategy": "hunt"}),
        ("service", "*97", {"context": "voicemail"}, {"exten": "s"}),
        ("time", "office", {"hours": ["mon-fri 08:00-18:00"]}, {"override": "closed"}),
        ("did", "+493012345", {"destination": "600", "time": "office"}, {"otherwise": "1001"}),
        ("site", "berlin", {"prefix": "71"}, {"calls": 3}),
        ("trunk", "line", {"site": "berlin", "endpoint": "x", "nodes": ["a"]}, {"cost": 1}),
        ("class", "office", {"deny": ["_0900."]}, {"pstn_calls": 2}),
    ]
    for kind, key, first, later in made:
        assert there["b"].put(kind, key, create=True, **first).status == 201, kind
        there.run(0.2)
        assert there["c"].put(kind, key, **later).status == 200, kind
        there.run(0.2)
        for node in there.running():
            shown = node.shown(kind, key)
            assert shown is not None
            assert {**shown, **first, **later} == shown
    assert there.agree()
    for kind, key, _, _ in reversed(made):
        assert there["d"].drop(kind, key).status == 200
    there.run(0.5)
    assert all(n.shown(kind, key) is None for n in there.running() for kind, key, _, _ in made)
    assert there.agree()


def test_an_id_names_no_object_of_another_kind() -> None:
    """A group that is edited as if it were an extension stays what it is, whatever is asked."""
    there = world("1001")
    a = there["a"]
    a.put("group", "600", members=["1001"])
    before = a.shown("group", "600")
    assert before is not None
    named = bytes.fromhex(str(before["id"]))
    edits: list[dict[str, object] | None] = [{"name": "Sales"}, {"secret": SECRET}, None]
    for fields in edits:
        asked = Edited(1, "extension", "600", fields, a.wall_ms(), bytes(8), object_id=named)
        (reply,) = [e for e in a.handle(asked) if isinstance(e, Reply)]
        assert reply.status == 404, fields
    there.run(0.2)
    assert a.shown("group", "600") == before


def test_what_is_set_to_what_it_is_changes_nothing() -> None:
    """Be it by default: a table that was exported and comes back writes nothing; what is needed is always written."""
    there = world("1001")
    a = there["a"]
    a.put("group", "600", members=["1001"])
    a.put("trunk", "line", site="berlin", endpoint="x", nodes=[])
    assert a.shown("trunk", "line") is not None
    version = a.federation.directory.streams.held(a.federation.ledger.own)
    for kind, key in (("extension", "1001"), ("group", "600"), ("trunk", "line")):
        shown = a.shown(kind, key)
        assert shown is not None
        known = {n: v for n, v in shown.items() if n in KINDS[kind].fields}
        reply = a.load(Edited(1, kind, key, known, 1, bytes(8)))
        assert reply.body["unchanged"] == 1, kind
    assert a.federation.directory.streams.held(a.federation.ledger.own) == version
    a.put("group", "600", name="Sales")
    a.put("group", "600", name="")
    shown = there["a"].shown("group", "600")
    assert shown is not None
    assert shown["name"] == ""


def test_two_operators_who_add_a_member_each_both_get_their_wish() -> None:
    """At the same time, on two sides of a cut, and whatever the order."""
    there = world("1001", "1002", "1003")
    there["a"].put("group", "600", members=["1001"])
    there.run(0.2)
    there.network.cut(LEFT, RIGHT)
    there["a"].put("group", "600", members=["1001", "1002"])
    there["d"].put("group", "600", members=["1003", "1001"])
    there.run(4)
    there.network.heal()
    assert there.run(5, there.agree)
    assert all(members(n) == ["1003", "1001", "1002"] for n in there.running())


def test_adding_wins_over_removing() -> None:
    """The side that removed had not seen that it was added anew; the removal of what it had seen stands."""
    there = world("1001", "1002", "1003")
    there["a"].put("group", "600", members=["1001", "1002", "1003"])
    there.run(0.2)
    there.network.cut(LEFT, RIGHT)
    there["a"].put("group", "600", members=["1001", "1003"])
    there["a"].put("group", "600", members=["1001", "1002", "1003"])  # 1002 again
    there["d"].put("group", "600", members=["1001"])  # later: without 1002 and 1003
    there.run(4)
    there.network.heal()
    assert there.run(5, there.agree)
    assert all(members(n) == ["1001", "1002"] for n in there.running())


def test_adding_wins_over_removing_whatever_the_clocks_say() -> None:
    """Added and removed on one side, added on the other, whose clock is behind."""
    there = world("1001", "1002")
    there["a"].put("group", "600", members=["1001"])
    there.run(0.2)
    there.network.cut(LEFT, RIGHT)
    there["d"].skew_ms = -5_000
    there["a"].put("group", "600", members=["1001", "1002"])
    there["a"].put("group", "600", members=["1001"])
    there["d"].put("group", "600", members=["1001", "1002"])
    there.run(4)
    there.network.heal()
    assert there.run(5, there.agree)
    assert all(members(n) == ["1001", "1002"] for n in there.running())
    there["b"].put("group", "600", members=["1002"])
    there["b"].put("group", "600", members=["1002", "1001"])
    there.run(0.5)
    assert all(members(n) == ["1002", "1001"] for n in there.running())


acts = st.tuples(
    st.integers(0, 1), st.sampled_from(["add", "remove", "meet"]), st.sampled_from(["1001", "1002"])
)


@settings(max_examples=100)
@given(st.lists(acts, max_size=12))
def test_a_member_is_in_if_some_add_was_seen_by_no_remove(
    history: list[tuple[int, str, str]],
) -> None:
    """Held against the textbook: tags, one for each add; a remove takes those that it sees (Shapiro et al. 2011)."""
    nodes, owner = [NodeName("a"), NodeName("b")], b"g12345678"
    directories, clocks = [Directory(), Directory()], [HybridClock(), HybridClock()]
    start: list[Any] = [BookSet(owner, CLAIM, 1, "", KINDS["group"].key.pack("600"))]
    for directory in directories:
        directory.write((NodeName("z"), 1), start)
    adds: list[set[tuple[str, int]]] = [set(), set()]  # that a node has heard of
    removed: list[set[tuple[str, int]]] = [set(), set()]

    def inside(at: int) -> list[str]:
        item = directories[at].catalogue.get("number", "600")
        assert isinstance(item, Group)
        return list(item.members)

    for number, (at, what, member) in enumerate([*history, (0, "meet", "")]):
        if what == "meet":
            for origin in 0, 1:
                stream, other = (nodes[origin], 1), directories[1 - origin]
                for piece in directories[origin].pieces(stream, other.streams.held(stream), 100):
                    other.apply(stream, piece.records, piece.to)
            for heard in adds, removed:
                heard[:] = [heard[0] | heard[1] for _ in nodes]
        else:
            wall = 1_800_000_000_000 - at * 5_000 + number
            editor = Editor(nodes[at], directories[at], clocks[at], realm="r", wall_ms=wall)
            others = [m for m in inside(at) if m != member]
            fresh = what == "add" and member not in inside(at)
            wanted = others if what == "remove" else [*inside(at), *([member] if fresh else [])]
            edit = editor.plan(Edited(1, "group", "600", {"members": wanted}, wall, bytes(8)))
            directories[at].write((nodes[at], 1), edit.records)
            if fresh:
                adds[at].add((member, number))
            elif what == "remove":
                removed[at] |= {one for one in adds[at] if one[0] == member}
        for i in 0, 1:
            assert set(inside(i)) == {one for one, _ in adds[i] - removed[i]}
    assert directories[0].fingerprint() == directories[1].fingerprint()


def test_a_member_comes_back_and_one_change_of_order_is_one_record() -> None:
    """What was removed can be added again; who stays in order does not travel."""
    there = world("1001", "1002", "1003")
    there["a"].put("group", "600", members=["1001", "1002", "1003"])
    there["a"].put("group", "600", members=["1001"])
    there["a"].put("group", "600", members=["1001", "1003"])
    there.run(0.2)
    version = there["a"].federation.directory.streams.held(there["a"].federation.ledger.own)
    there["a"].put("group", "600", members=["1002", "1001", "1003"])
    there.run(0.2)
    after = there["a"].federation.directory.streams.held(there["a"].federation.ledger.own)
    assert after == version + 1
    assert all(members(n) == ["1002", "1001", "1003"] for n in there.running())


def test_a_number_is_held_by_one_object_of_whatever_kind() -> None:
    """Refused where it is seen, decided by the oldest claim where it is not, and told."""
    there = world("1001")
    assert "1001 is an extension already" in there["b"].put("group", "1001").error
    there.network.cut(LEFT, RIGHT)
    there["a"].put("group", "600", members=["1001"])
    there.run(0.1)
    there["d"].put("service", "600", context="ivr")
    there.run(4)
    there.network.heal()
    assert there.run(5, there.agree)
    for node in there.running():
        assert node.shown("group", "600") is not None
        assert [i.key for i in node.federation.directory.catalogue.contested()] == ["600"]


def test_what_is_named_must_be_there() -> None:
    """A group of nobody, a class that is none: refused with the remedy."""
    there = world("1001")
    assert (
        "no such extension; add it first" in there["a"].put("group", "600", members=["1009"]).error
    )
    assert "no such class" in there["a"].put("extension", "1001", calling_class="nil").error
    assert there["a"].shown("group", "600") is None


def test_a_member_that_was_removed_keeps_nobody_from_editing_the_group() -> None:
    """It stays named, and rings nobody; it could not be named anew."""
    there = world("1001", "1002", "1003")
    node = there["a"]
    node.put("group", "600", members=["1001", "1002"])
    assert node.remove("1001").status == 200
    assert node.put("group", "600", members=["1001", "1002", "1003"]).status == 200
    assert members(node) == ["1001", "1002", "1003"]
    assert node.put("group", "600", members=["1002"]).status == 200
    assert "no such extension" in node.put("group", "600", members=["1001", "1002"]).error


def test_an_edit_of_what_somebody_else_has_changed_is_refused() -> None:
    """412, by the tag that its editor had seen."""
    there = world("1001")
    node = there["a"]
    item = node.phone("1001")
    assert item is not None
    tag = node.federation.directory.catalogue.etag(item.id)
    assert node.put("extension", "1001", name="new").status == 200
    now = node.wall_ms()
    stale = Edited(1, "extension", "1001", {"name": "old"}, now, bytes(8), match=tag)
    assert node._edit(stale).status == 412
    fresh = node.federation.directory.catalogue.etag(item.id)
    right = Edited(1, "extension", "1001", {"name": "x"}, now, bytes(8), match=fresh)
    assert node._edit(right).status == 200


def test_many_edits_are_taken_whole_or_not_at_all() -> None:
    """The refusal says where; nothing of the others stands."""
    there = world("1001")
    good, bad = line("1002", 1, secret=SECRET), line("1003", 2, secret=SECRET, devices=99)
    refused = there["a"].load(good, bad)
    assert refused.status == 422
    assert refused.error.startswith("line 4, column devices: extension 1003: devices = 99: must be")
    assert there["a"].phone("1002") is None
    twice = there["a"].load(good, line("1002", 3, secret=SECRET))
    assert "line 5, column extension: extension 1002: stands there twice" in twice.error
    done = there["a"].load(
        good, line("1001", 4, name="Reception"), line("1001x", 5, secret=SECRET), dry_run=True
    )
    assert done.status == 422
    shown = there["a"].load(good, line("1001", 4, name="Reception"), dry_run=True)
    assert (shown.body["added"], shown.body["changed"]) == (1, 1)
    assert there["a"].phone("1002") is None
    assert there["a"].load(good, line("1001", 4, name="Reception")).status == 200
    there.run(0.5)
    assert all(n.phone("1002") for n in there.running())
    again = there["b"].load(good, line("1001", 4, name="Reception"))
    assert (again.body["unchanged"], again.body["added"], again.body["changed"]) == (2, 0, 0)
    assert SECRET not in str(shown.body)


def test_a_group_may_come_with_its_members() -> None:
    """In one import, whatever the order."""
    there = world()
    group = Edited(1, "group", "600", {"members": ["1001"]}, 1, bytes([9]) * 8)
    assert there["a"].load(group, line("1001", 1, secret=SECRET)).status == 200
    there.run(0.5)
    assert all(members(n) == ["1001"] for n in there.running())


def test_a_thousand_extensions_at_once() -> None:
    """Are everywhere, and nobody asks for anything twice."""
    there = world()
    many = [
        Edited(
            1,
            "extension",
            str(20_000 + i),
            {"secret": SECRET, "name": f"Phone {i}"},
            1,
            i.to_bytes(8, "big"),
        )
        for i in range(1_000)
    ]
    assert there["a"].load(*many).body["added"] == 1_000
    assert there.run(5, there.agree)
    assert all(len(n.federation.directory.catalogue.phones()) == 1_000 for n in there.running())


def thousand(last: str = SECRET, **fields: object) -> tuple[Edited, ...]:
    many = [line(str(20_000 + i), 0, secret=SECRET, **fields) for i in range(999)]
    many.append(line("30000", secret=last))
    return tuple(replace(e, fresh_id=i.to_bytes(8, "big")) for i, e in enumerate(many))


def replies(effects: list[Effect]) -> list[int]:
    return [e.status for e in effects if isinstance(e, Reply)]


def test_a_large_import_keeps_nobody_waiting() -> None:
    """It goes on in slices; edits in between are answered at once, and stand; a second import waits for its turn."""
    there = world("1001")
    node = there["a"]
    assert replies(node.handle(Imported(7, thousand(), node.wall_ms()))) == []
    assert replies(node.handle(Imported(8, thousand(), node.wall_ms()))) == [503]
    there.run(0.05)
    assert node.put("extension", "20999", create=True, secret=SECRET).status == 201
    assert node.put("extension", "1001", name="Meanwhile").status == 200
    assert there.run(5, lambda: replies(node.effects)[-1:] == [200] and there.agree())
    assert all(len(n.federation.directory.catalogue.phones()) == 1_002 for n in there.running())


def test_an_edit_of_what_an_import_is_about_to_change_is_refused() -> None:
    """Set back to what it was before, it would change nothing now, and be undone in a moment. Afterwards it is taken."""
    there = world("20500", "20501")
    there["a"].put("extension", "20500", name="Phone 20500")
    node = there["a"]
    assert replies(node.handle(Imported(7, thousand(name="New"), node.wall_ms()))) == []
    there.run(0.02)
    refused = node.put("extension", "20500", name="Phone 20500")
    assert (refused.status, "about to change it; repeat this in a moment" in refused.error) == (
        503,
        True,
    )
    assert node.drop("extension", "20501").status == 503
    assert there.run(5, lambda: replies(node.effects)[-1:] == [200] and there.agree())
    assert {name_of(one, "20500") for one in there.running()} == {"New"}
    assert node.put("extension", "20500", name="Phone 20500").status == 200
    assert node.drop("extension", "20501").status == 200


def name_of(node: Node, number: str) -> object:
    shown = node.shown("extension", number)
    return shown["name"] if shown else None


def test_a_large_import_whose_last_line_is_bad_changes_nothing() -> None:
    """Nothing was published before all was planned; what refers to nobody is told with its line."""
    there = world("1001")
    before = there["a"].vector()
    refused = there["a"].load(*thousand(last="weak"))
    assert refused.error.startswith(
        "line 2, column secret: extension 30000: the secret is too weak"
    )
    nobody = replace(line("600", 5, members=["1009"]), kind="group")
    assert (
        there["a"]
        .load(nobody)
        .error.startswith("line 7, column members: group 600: members = '1009'")
    )
    there.run(1)
    assert {n.vector() for n in there.running()} == {before}
