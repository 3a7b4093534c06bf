"""Every command of every kind of object, typed on one node and seen on another; bulk, pages, refusals and explained routes."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pbxfed_ari.core.records.objects import KINDS
from tests.lab.conftest import SECRET, Federation

KIND = {kind.command: kind for kind in KINDS.values()}
# command, key, what is added, what is set, and what stands afterwards; in an order in which each finds what it names
STEPS: list[tuple[str, str, str, str, dict[str, object]]] = [
    ("class", "c7", "--deny _0900.,_00. --pstn-calls 2", "--deny '' --allow _0.",
     {"deny": [], "allow": ["_0."], "pstn_calls": 2}),
    ("site", "s7", "--prefix 77 --codec g729", "--calls 3 --name Seven", {"prefix": "77", "calls": 3, "name": "Seven"}),
    ("ext", "7002", f"--secret {SECRET} --dnd --codecs g722,alaw --class c7", "--no-dnd --name Desk --devices 2",
     {"dnd": False, "codecs": ["g722", "alaw"], "calling_class": "c7", "name": "Desk", "devices": 2}),
    ("group", "7600", "--members 7001,7002 --strategy hunt", "--drop-members 7001 --overflow 7001",
     {"members": ["7002"], "strategy": "hunt", "overflow": "7001"}),
    ("queue", "7800", "--strategy hunt", "--wait-seconds 60", {"strategy": "hunt", "wait_seconds": 60}),
    ("room", "8800", "--pin 2580", "--most 20", {"most": 20, "has_pin": True}),
    ("service", "*77", "--context ivr", "--nodes a,b --exten s", {"context": "ivr", "nodes": ["a", "b"], "exten": "s"}),
    ("time", "t7", "--hours 'mon-fri 08:00-18:00' --holidays 12-25", "--override closed --zone Europe/Berlin",
     {"hours": ["mon-fri 08:00-18:00"], "holidays": ["12-25"], "override": "closed", "zone": "Europe/Berlin"}),
    ("did", "+49307", "--destination 7600", "--time t7 --otherwise *77",
     {"destination": "7600", "time": "t7", "otherwise": "*77"}),
    ("trunk", "l7", "--site s7 --endpoint provider --nodes a", "--cost 5 --patterns _07. --strip 1 --emergency 117",
     {"site": "s7", "nodes": ["a"], "cost": 5, "patterns": ["_07."], "strip": 1, "emergency": ["117"]}),
]  # fmt: skip
MINE = re.compile(r"7\d{3,4}|[cslt]7|\*77|\+49307")
WITHIN = 3.0  # seconds
MANY = 1_050  # more than a page


def pbxfed(federation: Federation, node: str, *argv: str, given: str = "") -> str:
    """What a command that is done prints."""
    done = federation.lab.exec(node, ["pbxfed", *argv], capture_output=True, input=given)
    assert done.returncode == 0, (node, argv, done.stdout, done.stderr)
    return done.stdout.rstrip("\n")


def ask(federation: Federation, node: str, *argv: str) -> Any:
    return json.loads(pbxfed(federation, node, *argv, "--json"))


def keys(federation: Federation, node: str, command: str) -> list[str]:
    return [row[KIND[command].key_name] for row in ask(federation, node, command, "list")]


def has(federation: Federation, node: str, command: str, key: str) -> tuple[int, Any]:
    """Status and answer, without a command: one takes as long as an edit to travel."""
    return federation.lab.http(node, "GET", f"/{KIND[command].collection}/{quote(key, safe='')}")


def listed(
    federation: Federation, node: str, command: str, key: str, *, there: bool = True
) -> None:
    """Wait until a node has an object, or no longer has it."""
    federation.until(
        lambda: (has(federation, node, command, key)[0] == 200) is there,
        WITHIN,
        what=f"{key} on {node}",
    )


def shows(
    federation: Federation, node: str, command: str, key: str, fields: dict[str, object]
) -> None:
    """Wait until a node has an object with these fields."""

    def holds() -> bool:
        status, shown = has(federation, node, command, key)
        return status == 200 and {**shown, **fields} == shown

    federation.until(holds, WITHIN, what=f"{key} on {node} with {fields}")


def wrong(federation: Federation, *argv: str) -> str:
    """What wrong usage is told."""
    done = federation.lab.exec("a", ["pbxfed", *argv], capture_output=True, input="")
    assert done.returncode == 2, done
    return done.stderr


@pytest.fixture
def clean(federation: Federation) -> Iterator[Federation]:
    """With extension 7001, and without what these tests have added afterwards."""
    federation.add("7001")
    yield federation
    order = [
        "did",
        "trunk",
        "group",
        "queue",
        "room",
        "service",
        "extension",
        "time",
        "class",
        "site",
    ]
    found = [(KINDS[one["kind"]], one) for one in federation.get("a", "/export")["objects"]]
    mine = [(kind, one[kind.key_name]) for kind, one in found if MINE.fullmatch(one[kind.key_name])]
    mine.sort(key=lambda one: order.index(one[0].name))
    gone = [{"kind": kind.name, kind.key_name: key, "remove": True} for kind, key in mine]
    status, said = federation.lab.http("a", "POST", "/import", {"objects": gone})
    assert status == 200, said
    federation.until(federation.whole, what="all is removed everywhere")


def test_every_kind_is_added_changed_shown_listed_and_removed(clean: Federation) -> None:
    """Typed on a, changed on b, seen on c, within a second of the command's return."""
    assert [step[0] for step in STEPS] == list(dict.fromkeys(step[0] for step in STEPS))
    assert {step[0] for step in STEPS} == set(KIND)
    for command, key, first, later, stands in STEPS:
        said = pbxfed(clean, "a", command, "add", key, *shlex.split(first))
        assert said.startswith(f"{key} added")
        listed(clean, "b", command, key)
        assert pbxfed(clean, "b", command, "set", key, *shlex.split(later)) == f"{key} changed"

        shows(clean, "c", command, key, stands)
        shown = ask(clean, "c", command, "show", key)
        assert {**shown, **stands} == shown
        text = pbxfed(clean, "c", command, "show", key)
        assert re.search(r"^etag +[0-9a-f]{16}$", text, re.M)
        assert key in pbxfed(clean, "c", command, "list")
        found = ask(clean, "c", command, "list", "--find", key)
        assert [row[KIND[command].key_name] for row in found] == [key]
        assert "known here already" in clean.refused("c", command, "add", key, *shlex.split(first))
    for command, key, *_ in reversed(STEPS):
        assert pbxfed(clean, "c", command, "rm", key) == f"{key} removed"
        assert "not known in the federation" in clean.refused("c", command, "show", key)
        listed(clean, "a", command, key, there=False)


def test_every_kind_is_exported_and_imported_again(clean: Federation) -> None:
    """As CSV and as JSON; what came in is what had gone out, and once more changes nothing."""
    for command, key, first, *_ in STEPS:
        pbxfed(clean, "a", command, "add", key, *shlex.split(first))
    for command, key, *_ in STEPS:
        if command == "ext":
            continue  # its secret does not go out: see below
        before = ask(clean, "a", command, "show", key)
        for form in "csv", "json":
            text = pbxfed(clean, "a", command, "export", "--format", form) + "\n"
            said = pbxfed(clean, "a", command, "import", "-", "--format", form, given=text)
            assert re.fullmatch(r"\d+ unchanged", said), (command, said)
        pbxfed(clean, "a", command, "set", key, *again(command))
        said = pbxfed(clean, "a", command, "import", "-", "--format", "json", given=text)
        assert said.startswith("1 changed"), (command, said)
        after = ask(clean, "a", command, "show", key)
        assert {**after, "etag": ""} == {**before, "etag": ""}
    rows = list(csv.DictReader(io.StringIO(pbxfed(clean, "b", "ext", "export"))))
    assert "7001" in [row["extension"] for row in rows]
    assert not {"secret", "ha1"} & set(rows[0])


def again(command: str) -> list[str]:
    """A change that each kind takes."""
    named = {"class": "--pstn-calls 9", "time": "--override open", "trunk": "--cost 9"}
    return shlex.split(named.get(command, "--name Changed"))


def test_extensions_come_in_by_csv_all_or_none(clean: Federation, tmp_path: Path) -> None:
    """--dry-run changes nothing; a bad line neither, and is named; a good file is live on every node."""
    file = tmp_path / "phones.csv"
    lines = [f"{7100 + i},{SECRET},Phone {i},alaw" for i in range(20)]
    file.write_text("\n".join(["extension,secret,name,codecs", *lines]) + "\n")
    said = pbxfed(clean, "b", "ext", "import", str(file), "--dry-run")
    assert "extension 7100: added\n" in said
    assert "  name: '' → 'Phone 0'\n" in said
    assert said.endswith("20 added; nothing was changed, this was a dry run")
    assert SECRET not in said
    assert "7100" not in keys(clean, "b", "ext")
    bad = file.read_text() + "7199,1234,Bad,alaw\n"
    done = clean.lab.exec(
        "b", ["pbxfed", "ext", "import", "-", "--format", "csv"], capture_output=True, input=bad
    )
    assert done.returncode == 1
    assert "line 22, column secret" in done.stderr
    assert "the secret is too weak" in done.stderr
    assert "7100" not in keys(clean, "b", "ext")
    assert pbxfed(clean, "b", "ext", "import", str(file)) == "20 added"
    clean.until(clean.whole, what="twenty phones everywhere")
    clean.lab.register("7119", "c", secret=SECRET)
    clean.until(lambda: clean.where("7119", "a") == ["c"], what="7119 at c")
    file.write_text(file.read_text().replace("Phone 3,", "Third,") + f"7120,{SECRET},New,alaw\n")
    assert pbxfed(clean, "a", "ext", "import", str(file)) == "1 added, 1 changed, 19 unchanged"
    text = pbxfed(clean, "a", "ext", "export", "--format", "json", "--digests")
    assert all(len(one["ha1"]) == 32 for one in json.loads(text)["objects"])


def test_a_list_of_many_pages_is_whole(clean: Federation) -> None:
    """And many objects take few seconds."""
    text = "number,name\n" + "".join(f"7{i:04},Group {i}\n" for i in range(MANY))
    began = time.monotonic()
    said = pbxfed(clean, "a", "group", "import", "-", "--format", "csv", given=text)
    assert said == f"{MANY} added"
    assert time.monotonic() - began < 15
    assert len(keys(clean, "a", "group")) == MANY
    assert ask(clean, "a", "group", "list", "--find", f"Group {MANY - 1}")[0]["number"] == "71049"
    clean.until(lambda: len(keys(clean, "c", "group")) == MANY, what="all of them on c")
    assert len(pbxfed(clean, "a", "group", "export").splitlines()) == MANY + 1


def test_several_are_removed_all_or_none(clean: Federation) -> None:
    """One that is not there keeps the others."""
    for number in ("7601", "7602"):
        pbxfed(clean, "a", "group", "add", number)
    assert "7609: not known" in clean.refused("a", "group", "rm", "7601", "7609")
    assert pbxfed(clean, "a", "group", "rm", "7601", "7602") == "7601 removed\n7602 removed"


def test_members_come_one_by_one_on_whatever_node(clean: Federation) -> None:
    """On two nodes, one after the other; with --match only who has seen the last change is heard."""
    for number in ("7002", "7003"):
        clean.add(number)
    pbxfed(clean, "a", "group", "add", "7600", "--members", "7001")
    listed(clean, "b", "group", "7600")
    pbxfed(clean, "a", "group", "set", "7600", "--add-members", "7002")
    shows(clean, "b", "group", "7600", {"members": ["7001", "7002"]})
    pbxfed(clean, "b", "group", "set", "7600", "--add-members", "7003")
    for node in "abc":
        shows(clean, node, "group", "7600", {"members": ["7001", "7002", "7003"]})
    etag = ask(clean, "a", "group", "show", "7600")["etag"]
    pbxfed(clean, "a", "group", "set", "7600", "--name", "Seen", "--match", etag)
    for argv in (["set", "7600", "--name", "Late"], ["rm", "7600"]):
        said = clean.refused("a", "group", *argv, "--match", etag)
        assert "somebody has changed it since you read it" in said


def test_a_secret_is_made_and_shown_once(clean: Federation) -> None:
    """A phone registers with it; a changed one cuts it off."""
    said = pbxfed(clean, "a", "ext", "add", "7003")
    made = re.fullmatch(r"7003 added, secret (\S{16}) \(not shown again\)", said)
    assert made
    clean.until(clean.whole, what="7003 everywhere")
    clean.lab.register("7003", "b", secret=made[1])
    clean.until(lambda: clean.where("7003", "a") == ["b"], what="7003 at b")
    for node in "abc":
        assert made[1] not in pbxfed(clean, node, "ext", "show", "7003")
    pbxfed(clean, "a", "ext", "set", "7003", "--secret", "-", given="another-secret-7\n")
    logs = [node.tail("pbxfed.log", 1_000) for node in clean.lab.nodes()]
    assert not any(made[1] in log for log in logs)


def test_a_route_is_explained(clean: Federation) -> None:
    """Whom each try rings, why, and what follows."""
    clean.phone("7001", "c")
    clean.add("7002")
    pbxfed(clean, "a", "ext", "set", "7002", "--forward-unreachable", "7001")
    clean.until(clean.whole)
    said = pbxfed(clean, "a", "explain", "7001", "--from", "7002").splitlines()
    assert said[0] == "7002 calls 7001"
    assert said[1].startswith("  1. rings the phones at node c by ")
    assert said[2].startswith("     because 7001 is registered on c")
    assert said[-1].startswith("  else it ends with cause 20")
    text = pbxfed(clean, "a", "explain", "7002")
    assert "if no phone can be reached: on to 7001, because 7002 forwards to 7001" in text
    assert ask(clean, "a", "explain", "7002")["then"][0]["to"] == "7001"
    assert pbxfed(clean, "a", "route", "7001").startswith("try 1: 7001 is registered on c")
    done = clean.lab.exec("a", ["pbxfed", "explain", "7999"], capture_output=True)
    assert done.returncode == 1
    assert "nobody has this number" in done.stdout


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("group add 7600 --strategy al", "group 7600: strategy = 'al': must be one of all, hunt"),
        ("group add 7600 --members 7999", "members = '7999': no such extension; add it first"),
        ("group add 7001", "7001 is an extension already"),
        ("service add 7700 --context a,b", "context = 'a,b': must be a context"),
        ("did add 12a --destination 7001", "did '12a': must be digits"),
        ("trunk add L7 --site s --endpoint x --nodes a", "trunk 'L7': must be 1 to 32 of"),
        ("time add t7 --hours 'mon 8-9'", "must be like `mon-fri 08:00-18:00`"),
        ("class add c7 --deny _0.1", "deny"),
        ("site add s7 --prefix 1a", "prefix = '1a': must be 1 to 8 digits"),
        ("ext set 7001 --class c9", "calling_class = 'c9': no such class; add it first"),
        ("ext set 7999 --name x", "extension 7999: not known in the federation"),
        ("group rm 7999", "group 7999: not known in the federation"),
        ("did show 79", "did 79: not known in the federation"),
    ],
)
def test_what_breaks_a_rule_is_one_line_and_1(clean: Federation, argv: str, words: str) -> None:
    """Thing, value, rule; nothing is written."""
    before = clean.objects()
    assert words in clean.refused("a", *shlex.split(argv))
    assert clean.objects() == before


@pytest.mark.parametrize("command", KIND)
def test_wrong_usage_is_2(clean: Federation, command: str) -> None:
    """An unknown option, a missing key, nothing to change."""
    assert "No such option" in wrong(clean, command, "add", "7999", "--nmae", "x")
    assert "Missing argument" in wrong(clean, command, "show")
    assert "nothing to change" in wrong(clean, command, "set", "7999")
    assert "Say so with --format" in wrong(clean, command, "import", "-")
