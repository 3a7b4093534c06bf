"""Kinds of objects: what each field takes, refuses, packs and shows; the same for all of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.names import ObjectId
from pbxfed_ari.core.records.objects import BY_BYTE, KINDS
from pbxfed_ari.core.records.objects.calling_class import CallingClass
from pbxfed_ari.core.records.objects.extension import EXTENSION, ha1
from pbxfed_ari.core.records.objects.kind import (
    CLAIM,
    GAP,
    Entry,
    Kind,
    entry_id,
    pack_entry,
    places,
    read_entry,
)
from pbxfed_ari.core.records.objects.time import LocalTime, TimeCondition
from pbxfed_ari.errors import Refused

ALL = list(KINDS.values())
GOOD: dict[str, dict[str, Any]] = {
    "extension": {
        "name": "Reception",
        "devices": 2,
        "calling_class": "office",
        "site": "berlin",
        "profile": "secure",
        "codecs": ["g722", "alaw"],
        "forward_busy": "1002",
        "dnd": True,
        "ring_seconds": 20,
        "call_limit": 2,
    },
    "group": {"name": "Sales", "strategy": "hunt", "ring_seconds": 15, "overflow": "1001"},
    "queue": {
        "name": "Support",
        "strategy": "hunt",
        "wait_seconds": 60,
        "otherwise": "1001",
        "music": "calm",
    },
    "room": {"name": "Monday", "pin": "2580", "most": 20},
    "service": {"context": "ivr", "exten": "s1", "nodes": ["a", "b"]},
    "did": {"destination": "600", "time": "office", "otherwise": "*97"},
    "trunk": {
        "site": "berlin",
        "endpoint": "provider",
        "nodes": ["a"],
        "patterns": ["_0.", "_+49X."],
        "technology": "iax2",
        "strip": 1,
        "prepend": "+49",
        "cost": 5,
        "capacity": 30,
        "emergency": ["112", "110"],
        "caller_id": "+4930123",
        "timer": 10,
    },
    "time": {
        "zone": "Europe/Berlin",
        "hours": ["mon-fri 08:00-18:00"],
        "holidays": ["12-25", "2026-12-24"],
        "override": "auto",
    },
    "class": {"allow": ["_0."], "deny": ["_0900."], "pstn_calls": 2, "pstn_per_hour": 20},
    "site": {"name": "Berlin", "prefix": "71", "calls": 20, "kbps": 2000, "codec": "g729"},
}
BAD: list[tuple[str, str, object]] = [
    ("extension", "devices", 0),
    ("extension", "devices", True),
    ("extension", "name", 'a"b'),
    ("extension", "name", "a\nb"),
    ("extension", "codecs", ["mp3"]),
    ("extension", "codecs", ["ulaw", "ulaw"]),
    ("extension", "forward_busy", "1001&PJSIP/x"),
    ("extension", "profile", "open"),
    ("extension", "ring_seconds", 601),
    ("extension", "dnd", "yes"),
    ("group", "members", "1001"),
    ("group", "members", ["1001", "x,y"]),
    ("room", "most", -1),
    ("queue", "music", "a)b"),
    ("queue", "ring_seconds", 0),
    ("service", "context", "a,b"),
    ("service", "context", ""),
    ("service", "exten", "s;1"),
    ("trunk", "endpoint", "x/y"),
    ("trunk", "endpoint", "pf-b&x"),
    ("trunk", "patterns", ["_0.1"]),
    ("trunk", "prepend", "0049)"),
    ("trunk", "nodes", ["A"]),
    ("time", "hours", ["mon 8-9"]),
    ("time", "hours", ["mon 08:00-24:30"]),
    ("time", "holidays", ["13-01"]),
    ("time", "holidays", ["02-30"]),
    ("time", "holidays", ["2026-02-29"]),
    ("time", "holidays", ["04-31"]),
    ("time", "zone", "../etc"),
    ("did", "destination", ""),
    ("site", "prefix", "1a"),
]


def object_of(kind: Kind, fields: dict[str, Any], key: str = "1001") -> Any:
    """What stands after these fields were packed and read again."""
    groups = {
        kind.fields[n].group: kind.fields[n].type.pack(v)
        for n, v in kind.check(key, fields).items()
    }
    groups[CLAIM] = kind.key.pack(kind.check_key(key))
    return kind.read(kind.byte + bytes(8), groups, (1, "a"), {})


@pytest.mark.parametrize("kind", ALL, ids=repr)
def test_what_was_set_is_what_stands(kind: Kind) -> None:
    """Through the book's bytes and through text."""
    item = object_of(kind, GOOD[kind.name])
    shown = kind.shown(item)
    for name, value in GOOD[kind.name].items():
        assert shown.get(name) == (None if kind.fields[name].hidden else value)
        text = kind.fields[name].type.text(getattr(item, name))
        again = kind.fields[name].type.check(kind.fields[name].type.parse(text))
        assert again == getattr(item, name), name


@pytest.mark.parametrize("kind", ALL, ids=repr)
def test_each_field_is_described(kind: Kind) -> None:
    """Once, with a group of its own, a help text that is a sentence, and a schema that its default satisfies."""
    groups = [field.group for field in kind.fields.values()]
    assert len(set(groups)) == len(groups)
    assert CLAIM not in groups
    for name, field in kind.fields.items():
        assert field.help.endswith("."), name
        assert field.type.schema()["type"] in {"string", "integer", "boolean", "array"}
        if name not in kind.needed:
            assert field.type.check(kind.defaults[name]) == kind.defaults[name], name
    assert kind.help.endswith(".")
    assert BY_BYTE[kind.byte] is kind


@pytest.mark.parametrize(("kind", "field", "value"), BAD)
def test_what_breaks_a_rule_is_refused_with_thing_field_value_and_rule(
    kind: str, field: str, value: object
) -> None:
    """The operator need not guess."""
    with pytest.raises(Refused) as refused:
        KINDS[kind].check("1001", {field: value})
    assert str(refused.value).startswith(f"{kind} 1001: {field} = {value!r}: ")
    assert "must" in str(refused.value)
    assert refused.value.field == field


def test_an_unknown_field_is_refused_with_those_that_are_known() -> None:
    """The digest is not among them."""
    with pytest.raises(Refused, match="unknown field 'nmae'; known are secret, name, devices"):
        EXTENSION.check("1001", {"nmae": "x"})
    assert "ha1" not in EXTENSION.known()


def test_a_secret_becomes_its_digest_and_is_never_shown() -> None:
    """Not in what is refused either."""
    kept = EXTENSION.prepare("1001", {"secret": "correct-horse-9"}, realm="r", new=True)
    assert kept == {"ha1": ha1("1001", "r", "correct-horse-9")}
    assert "ha1" not in EXTENSION.shown(object_of(EXTENSION, kept))
    for weak in "short", "10011001", "aaaaaaaaaaaa", "with space 9", "ünïcödé-1234":
        with pytest.raises(Refused) as refused:
            EXTENSION.prepare("1001", {"secret": weak}, realm="r", new=True)
        assert weak not in str(refused.value)
    with pytest.raises(Refused) as refused:
        EXTENSION.check("1001", {"ha1": "my-digest"})
    assert "my-digest" not in str(refused.value)


def test_what_is_needed_is_asked_for() -> None:
    """A service without a context leads nowhere."""
    with pytest.raises(Refused, match="context is needed"):
        KINDS["service"].prepare("600", {}, realm="r", new=True)
    with pytest.raises(Refused, match="a secret is needed"):
        EXTENSION.prepare("1001", {}, realm="r", new=True)


@given(st.dictionaries(st.integers(0, 20), st.binary(max_size=40)))
def test_whatever_a_peer_wrote_is_read_or_not(groups: dict[int, bytes]) -> None:
    """Never an error."""
    for kind in ALL:
        kind.read(kind.byte + bytes(8), groups, (1, "a"), {})
    read_entry(b"e" + bytes(8), groups)


def test_an_entry_stands_only_where_it_belongs() -> None:
    """Its id is a hash of what it says."""
    entry = Entry(b"g12345678", 4, "1001", GAP, "a")
    where = entry_id(entry.owner, entry.group, entry.value, entry.adder)
    assert read_entry(where, {1: pack_entry(entry)}) == entry
    assert read_entry(b"e" + bytes(8), {1: pack_entry(entry)}) is None


def test_as_few_entries_as_possible_move() -> None:
    """One that is added, at whatever place, moves no other."""
    assert places(("a", "b"), {}) == {"a": GAP, "b": 2 * GAP}
    held = {"a": GAP, "b": 2 * GAP}
    assert places(("a", "x", "b"), held) == {"a": GAP, "x": GAP + GAP // 2, "b": 2 * GAP}
    assert places(("x", "a", "b"), held) == {"x": GAP // 2, **held}
    assert places(("a", "b", "x"), held) == {**held, "x": 3 * GAP}
    assert places(("b",), held) == {"b": 2 * GAP}
    assert places(("b", "a"), held) == {"b": 2 * GAP, "a": 3 * GAP}
    assert places(("a", "b", "c"), {"a": GAP, "b": GAP}) == {"a": GAP, "b": GAP, "c": 2 * GAP}
    three = {"a": GAP, "b": 2 * GAP, "c": 3 * GAP}
    assert places(("b", "c", "a"), three) == {"b": 2 * GAP, "c": 3 * GAP, "a": 4 * GAP}
    assert places(("a", "x", "b"), {"a": 1, "b": 2}) == {"a": GAP, "x": 2 * GAP, "b": 3 * GAP}


def time(**fields: Any) -> TimeCondition:
    return TimeCondition(id=ObjectId(b"i"), key="office", claimed=(1, "a"), **fields)


@pytest.mark.parametrize(
    ("weekday", "minute", "opened"),
    [
        (0, 8 * 60, True),
        (0, 8 * 60 - 1, False),
        (4, 18 * 60 - 1, True),
        (4, 18 * 60, False),
        (5, 9 * 60, False),
        (5, 22 * 60, True),  # saturday night …
        (6, 60, True),  # … until sunday
        (6, 3 * 60, False),
        (0, 60, False),
    ],
)
def test_hours(weekday: int, minute: int, opened: bool) -> None:
    """Spans of days, and one that ends on the next day."""
    office = time(hours=("mon-fri 08:00-18:00", "sat 21:00-02:00"))
    assert office.opens(LocalTime("2026-11-23", weekday, minute))[0] is opened


def test_holidays_and_overrides() -> None:
    """Each says why."""
    eve = LocalTime("2026-12-24", 3, 600)
    assert time().opens(eve)[0]
    assert time(holidays=("12-24",)).opens(eve) == (False, "office: 12-24 is a holiday")
    assert not time(holidays=("2026-12-24",)).opens(eve)[0]
    assert time(holidays=("2025-12-24",)).opens(eve)[0]
    assert time(holidays=("12-24",), override="open").opens(eve)[0]
    assert not time(override="closed").opens(eve)[0]


def test_a_calling_class() -> None:
    """The more particular pattern decides."""
    one = CallingClass(
        id=ObjectId(b"c"),
        key="office",
        claimed=(1, "a"),
        allow=("_0.", "_0900123."),
        deny=("_0900.",),
    )
    assert one.allows("030123") == (True, "class office allows it")
    assert one.allows("09001234")[0]
    assert one.allows("0900999") == (False, "class office denies _0900.")
    assert one.allows("112") == (False, "class office does not allow 112")
