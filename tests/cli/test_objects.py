"""The commands of each kind: what they send, what they print, how they end."""

import re
import shlex
from collections.abc import Callable

import click
import pytest

from pbxfed_ari.cli.objects import EXAMPLES, commands
from pbxfed_ari.core.records.objects import KINDS
from tests.cli.conftest import SECRET, Shell

VERBS = ["add", "set", "show", "list", "rm", "import", "export"]
WORLD = [  # what the kinds' examples name
    f"ext add 1001 --secret {SECRET}",
    f"ext add 1002 --secret {SECRET}",
    f"ext add 1003 --secret {SECRET}",
]
# kind → key, an `add`, a `set` and what both come to
STEPS: list[tuple[str, str, str, str, dict[str, object]]] = [
    ("class", "office", "--deny _0900.,_00.", "--pstn-calls 2 --deny ''", {"deny": [], "pstn_calls": 2}),
    ("site", "berlin", "--prefix 71 --codec g729", "--calls 3", {"prefix": "71", "codec": "g729", "calls": 3}),
    ("ext", "2001", "--dnd --codecs g722,alaw --class office --site berlin", "--no-dnd --name Desk",
     {"dnd": False, "codecs": ["g722", "alaw"], "calling_class": "office", "site": "berlin", "name": "Desk"}),
    ("group", "600", "--members 1001,1002 --strategy hunt", "--overflow 1003 --ring-seconds 5",
     {"members": ["1001", "1002"], "strategy": "hunt", "overflow": "1003", "ring_seconds": 5}),
    ("queue", "700", "--members 1001,1002 --strategy hunt", "--otherwise 1003 --wait-seconds 60",
     {"members": ["1001", "1002"], "strategy": "hunt", "otherwise": "1003", "wait_seconds": 60, "stands": []}),
    ("room", "800", "--pin 2580", "--most 20 --name Monday", {"most": 20, "name": "Monday", "has_pin": True, "stands": []}),
    ("service", "*97", "--context ivr", "--nodes a,b --exten s", {"context": "ivr", "nodes": ["a", "b"], "exten": "s"}),
    ("time", "office", "--zone Europe/Berlin --hours 'mon-fri 08:00-12:00,mon-thu 13:00-17:00'", "--override closed",
     {"hours": ["mon-fri 08:00-12:00", "mon-thu 13:00-17:00"], "zone": "Europe/Berlin", "override": "closed"}),
    ("did", "+493012345", "--destination 600", "--time office --otherwise 1001",
     {"destination": "600", "time": "office", "otherwise": "1001"}),
    ("trunk", "line", "--site berlin --endpoint provider --nodes a", "--cost 5 --patterns _0.,_+49X. --emergency 112",
     {"site": "berlin", "nodes": ["a"], "cost": 5, "patterns": ["_0.", "_+49X."], "emergency": ["112"]}),
]  # fmt: skip


def typed(text: str) -> list[str]:
    return shlex.split(text)


def test_every_kind_has_its_group_with_all_commands() -> None:
    """Made of its description."""
    assert list(commands()) == [kind.command for kind in KINDS.values()]
    for kind in KINDS.values():
        group = commands()[kind.command]
        assert isinstance(group, click.Group)
        more = ["provision"] if kind.name == "extension" else []
        assert list(group.commands) == VERBS + more
        options = {o for p in group.commands["add"].params for o in p.opts}
        assert {"--" + name.replace("_", "-") for name in kind.known()} < options


def test_the_steps_of_an_object_of_each_kind(shell: Shell) -> None:
    """Added, changed, shown, listed, found and removed again."""
    for line in WORLD:
        shell(*typed(line))
    assert [step[0] for step in STEPS] == sorted(commands(), key=[s[0] for s in STEPS].index)
    for command, key, first, later, stands in STEPS:
        kind = next(k for k in KINDS.values() if k.command == command)
        said = shell(command, "add", key, *typed(first))
        assert said.startswith(f"{key} added"), said
        assert shell(command, "set", key, *typed(later)) == f"{key} changed"
        shown = shell.json(command, "show", key)
        assert {**shown, **stands, kind.key_name: key} == shown
        assert len(shown["etag"]) == 16
        listed = shell.json(command, "list", "--find", key)
        assert [row[kind.key_name] for row in listed] == [key]
        assert shell.json(command, "list", "--find", "no such thing") == []
    for command, key, *_ in reversed(STEPS):
        assert shell(command, "rm", key) == f"{key} removed"
        assert "not known in the federation" in shell.refused(command, "show", key)


def test_the_examples_of_the_help_work(shell: Shell) -> None:
    """Each in a federation where what it names stands."""
    assert set(EXAMPLES) == set(KINDS)
    for line in WORLD[1:]:
        shell(*typed(line))
    order = (
        "extension",
        "group",
        "queue",
        "room",
        "service",
        "time",
        "site",
        "did",
        "trunk",
        "class",
    )
    for name in order:
        shell(*typed(EXAMPLES[name]))
    shell("ext", "set", "1001", "--class", "office")


@pytest.mark.parametrize("kind", KINDS.values(), ids=repr)
def test_help_says_what_it_is_for_and_reads_well(shell: Shell, kind: object) -> None:
    """Sentence, example, defaults, and names for what is to be typed."""
    assert isinstance(kind, type(KINDS["group"]))
    text = shell(kind.command, "--help")
    assert kind.help in re.sub(r"\s+", " ", text)
    assert f"  Example:\n    pbxfed {EXAMPLES[kind.name]}\n" in text
    added = re.sub(r"\s+", " ", shell(kind.command, "add", "--help"))
    for name, field in kind.fields.items():
        assert (field.help in added) is (name in kind.known()), name
        default = kind.defaults[name]
        if name in kind.known() and name not in kind.needed and default not in ("", (), False):
            assert f"{field.help} [default: {field.type.text(default)}]" in added, name
    assert added.count("[required]") == len(kind.needed)
    assert "[default" not in shell(kind.command, "set", "--help")
    for verb in VERBS:
        said = shell(kind.command, verb, "--help")
        assert "VALUE" not in said
        assert "…" not in said.splitlines()[0] or verb == "rm"


def test_values_are_named_for_who_types_them() -> None:
    """NUMBER, SECONDS, PATTERN: what the field holds, not how it is stored."""
    metavars = {
        f"{command}.{p.opts[0].removeprefix('--')}": p.metavar
        for command, group in commands().items()
        for p in group.commands["add"].params  # type: ignore[attr-defined]
        if p.metavar
    }
    wanted = {
        "ext.key": "NUMBER", "did.key": "NUMBER", "service.key": "NUMBER", "trunk.key": "NAME", "time.key": "NAME",
        "ext.forward-busy": "NUMBER", "ext.ring-seconds": "SECONDS", "ext.devices": "N", "ext.calling-class": "CLASS",
        "ext.codecs": "CODEC,…", "ext.profile": "[nat|lan|secure|webrtc]", "group.members": "NUMBER,…",
        "service.context": "CONTEXT", "service.nodes": "NODE,…", "did.time": "TIME", "trunk.patterns": "PATTERN,…",
        "trunk.site": "SITE", "trunk.endpoint": "ENDPOINT", "trunk.timer": "SECONDS", "trunk.prepend": "DIGITS",
        "time.zone": "ZONE", "time.hours": "HOURS,…", "time.holidays": "HOLIDAY,…",
    }  # fmt: skip
    assert {name: metavars.get(name) for name in wanted} == wanted


def test_a_secret_is_made_or_read_and_shown_once(shell: Shell) -> None:
    """By hand, from standard input, from the environment; never afterwards."""
    said = shell("ext", "add", "1001")
    made = re.fullmatch(r"1001 added, secret (\S{16}) \(not shown again\)", said)
    assert made
    assert shell.json("ext", "add", "1002")["secret"] != made[1]
    assert shell("ext", "add", "1003", "--secret", "-", given=f"{SECRET}\n") == "1003 added"
    etag = shell.json("ext", "show", "1003")["etag"]
    shell("ext", "set", "1003", "--secret", SECRET)
    assert shell.json("ext", "show", "1003")["etag"] == etag
    assert made[1] not in shell("ext", "show", "1001")
    assert shell.refused("ext", "add", "1001") == "pbxfed: extension 1001: known here already"
    assert "too weak" in shell.refused("ext", "set", "1001", "--secret", "1234")


def test_what_the_daemon_refuses_is_one_line_and_1(shell: Shell) -> None:
    """Thing, value, rule; wrong usage is 2 and never asked."""
    lines = [
        (["ext", "set", "1009", "--name", "x"], "extension 1009: not known in the federation"),
        (["group", "add", "600", "--strategy", "al"], "strategy = 'al': must be one of all, hunt"),
        (["group", "add", "600", "--members", "1009"], "'1009': no such extension; add it first"),
        (["trunk", "rm", "x", "y"], "object 1: trunk x: not known in the federation"),
        (["time", "add", "o", "--hours", "8-17"], "must be like `mon-fri 08:00-18:00`"),
    ]
    for argv, words in lines:
        assert words in shell.refused(*argv), argv
    asked = len(shell.daemon.asked)
    for argv in (
        ["ext", "set", "1001"],
        ["ext", "add"],
        ["ext", "add", "1001", "--devices", "many"],
        ["ext", "add", "1001", "--nmae", "x"],
        ["service", "add", "700"],
        ["group", "set", "600", "--members", "1001", "--add-members", "1002"],
        ["group", "rm", "600", "601", "--match", "ab"],
        ["group", "rm"],
        ["group", "import", "-"],
    ):
        assert shell.refused(*argv, code=2), argv
    assert len(shell.daemon.asked) == asked


def test_show_has_a_line_for_each_field(shell: Shell, ext: Callable[..., None]) -> None:
    """And the etag, for `--match`."""
    ext("1001", "1002")
    shell("group", "add", "600", "--members", "1001,1002")
    lines = shell("group", "show", "600").splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["number", "id", "name", "strategy"]
    assert "members       1001, 1002" in lines
    assert re.fullmatch(r"etag          [0-9a-f]{16}", lines[-1])


def test_list_shows_what_somebody_has_set_and_follows_the_pages(
    shell: Shell, ext: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns in which all have the default are left out."""
    assert shell("ext", "list") == "extension  name  registered"
    monkeypatch.setattr("pbxfed_ari.cli.objects.PAGE", "2")
    ext(*(f"10{i:02}" for i in range(7)))
    shell("ext", "set", "1003", "--name", "Third", "--dnd")
    assert len(shell.json("ext", "list")) == 7
    assert shell("ext", "list").splitlines()[:5] == [
        "extension  name   dnd  registered",
        "1000       -      no   -",
        "1001       -      no   -",
        "1002       -      no   -",
        "1003       Third  yes  -",
    ]
    assert [r["extension"] for r in shell.json("ext", "list", "--find", "Thi")] == ["1003"]


def test_entries_of_a_set_come_and_go_one_by_one(shell: Shell, ext: Callable[..., None]) -> None:
    """Whatever others change meanwhile."""
    ext("1001", "1002", "1003", "1004")
    shell("group", "add", "600", "--members", "1001,1002")
    shell("group", "set", "600", "--add-members", "1003,1001", "--add-members", "1004")
    assert shell.json("group", "show", "600")["members"] == ["1001", "1002", "1003", "1004"]
    shell.daemon.meddling = 2
    shell(
        "group",
        "set",
        "600",
        "--drop-members",
        "1002",
        "--drop-members",
        "1004",
        "--overflow",
        "1002",
    )
    found = shell.json("group", "show", "600")
    assert (found["members"], found["overflow"]) == (["1001", "1003"], "1002")
    assert found["name"] == "Meddled 0"
    shell.daemon.meddling = 99
    said = shell.refused("group", "set", "600", "--add-members", "1004")
    assert "somebody has changed it since you read it" in said


def test_an_edit_of_what_was_read_only(shell: Shell, ext: Callable[..., None]) -> None:
    """--match: a stale etag is refused, and not tried again."""
    ext("1001")
    etag = shell.json("ext", "show", "1001")["etag"]
    shell("ext", "set", "1001", "--name", "One", "--match", etag)
    for argv in (["set", "1001", "--name", "Two"], ["rm", "1001"]):
        assert "somebody has changed it" in shell.refused("ext", *argv, "--match", etag)
    shell("group", "add", "600")
    etag = shell.json("group", "show", "600")["etag"]
    shell("group", "set", "600", "--name", "x")
    asked = len(shell.daemon.asked)
    shell.refused("group", "set", "600", "--add-members", "1001", "--match", etag)
    assert len(shell.daemon.asked) == asked + 2
    shell("ext", "rm", "1001", "--match", shell.json("ext", "show", "1001")["etag"])


def test_several_are_removed_all_or_none(shell: Shell, ext: Callable[..., None]) -> None:
    """One that is not there keeps the others."""
    ext("1001", "1002", "1003")
    assert "1009: not known" in shell.refused("ext", "rm", "1001", "1009")
    assert len(shell.json("ext", "list")) == 3
    assert shell("ext", "rm", "1001", "1003") == "1001 removed\n1003 removed"
    assert [row["extension"] for row in shell.json("ext", "list")] == ["1002"]


def test_keys_with_signs_in_them_stay_whole(shell: Shell, ext: Callable[..., None]) -> None:
    """*, # and + mean something in a URL."""
    for number in ("*97", "*9#1", "0#"):
        shell("service", "add", number, "--context", "ivr")
        assert shell.json("service", "show", number)["number"] == number
    ext("1001")
    shell("did", "add", "+4930123", "--destination", "*97")
    assert shell.json("did", "show", "+4930123")["destination"] == "*97"
    shell("service", "rm", "*97", "*9#1", "0#")
