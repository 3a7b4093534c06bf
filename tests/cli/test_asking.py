"""Questions, and the way to the daemon: exit codes, tokens, and what an explained route says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from pbxfed_ari.cli import SECTIONS, groups, main
from pbxfed_ari.cli.reading import _event, _tries
from pbxfed_ari.cli.tables import table
from pbxfed_ari.core.events import AsteriskUp, ContactAdded
from pbxfed_ari.core.names import Extension
from tests.cli.conftest import Shell

Ext = Callable[..., None]
SLOW = ("asyncio", "aiohttp", "ssl", "http.client", "msgspec", "cryptography", "pbxfed_ari.node")


def imported(*argv: str) -> set[str]:
    """The modules that a command has imported when it is done."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(chr(10).join(sys.modules), file=sys.stderr))\n"
        "from pbxfed_ari.cli import main\n"
        f"main({list(argv)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    return set(done.stderr.split())


def test_a_command_imports_what_it_needs() -> None:
    """The shell waits for it; the daemon's imports are not every command's."""
    assert imported("version").isdisjoint(SLOW)
    assert imported("status", "--help").isdisjoint(SLOW)
    for argv in ["ext", "add", "--help"], ["--help"], ["--config", "/nowhere", "ext", "list"]:
        assert imported(*argv).isdisjoint({"asyncio", "aiohttp", "cryptography"}), argv


def test_python_runs_it_too() -> None:
    """As a module."""
    done = subprocess.run(
        [sys.executable, "-m", "pbxfed_ari.cli", "version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("pbxfed ")


def test_every_command_stands_in_a_section_of_the_help(shell: Shell) -> None:
    """With a text that is not cut off."""
    text = shell("--help")
    context = click.Context(main)
    assert sorted(main.list_commands(context)) == sorted({*groups(), *sum_of_sections()})
    for name in main.list_commands(context):
        assert f"\n  {name} " in text, name
    assert "..." not in text.partition("\n\n")[2]


def sum_of_sections() -> list[str]:
    return [name for section in SECTIONS.values() for name in section]


def test_a_command_that_does_not_exist_is_wrong_usage(shell: Shell) -> None:
    """2."""
    assert "No such command 'nothing'" in shell.refused("nothing", code=2)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("where", "10\udcff01"), "'10\\udcff01': must be UTF-8"),
        (("ext", "set", "1001", "--name=\udcff"), "must be UTF-8"),
        (("expel", "\udcff"), "must be UTF-8"),
        (("where", "1" * 9_000), "'11111111111111111111' and so on: 9000 characters are too many"),
        (("ext", "list", "--find", "x" * 9_000), "9000 characters are too many"),
        (("ext", "rm", "1001", "--match", "ä"), "--match 'ä': must be an etag"),
        (("ext", "rm", "1001", "--match", "a\nb"), "must be an etag, as `show` prints it"),
        (("calls", "--csv", "--json"), "--csv and --json exclude one another"),
    ],
)
def test_what_cannot_be_asked_is_wrong_usage(
    shell: Shell, argv: tuple[str, ...], words: str
) -> None:
    """Not a daemon that is away, and no traceback. What a shell gives for bytes that are no UTF-8 are lone surrogates."""
    assert words in shell.refused(*argv, code=2)


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        (
            "ext list >/dev/full",
            1,
            "No space left on device: what was to be printed is not all there",
        ),
        ("ext list --json >/dev/full", 1, "No space left on device"),
        ("ext export >/dev/full", 1, "No space left on device"),
        ("ext list >&-", 0, ""),
        ("expel b <&-", 1, "Aborted!"),
        ("ext add 1009 --secret - <&-", 1, "the secret is too weak"),
        ("ext import - --format csv <&-", 1, "line 1: the names of the columns must stand there"),
        ("ext add 1009 --secret - <<<$'secret-\\xff-secret'", 2, "the secret must be UTF-8"),
    ],
)
def test_what_is_full_or_closed_is_told_without_a_traceback(
    shell: Shell, ext: Callable[..., None], typed: str, code: int, words: str
) -> None:
    """As cron may have it."""
    ext("1001")
    command = f"{sys.executable} -m pbxfed_ari.cli {typed}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={"PBXFED_CONFIG": str(shell.config)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_asked_before_a_deed_stands_not_in_its_answer(shell: Shell) -> None:
    """Nor does a name in it move the cursor."""
    done = shell.run("expel", "\x1b[2J", "--json", given="n\n")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Expel node \\x1b[2J? It comes back only by a new invitation" in done.stderr


def test_a_daemon_that_is_away_is_3(shell: Shell) -> None:
    """And so is another program on its port."""
    text = shell.config.read_text()
    shell.config.write_text(text.rpartition(":")[0] + ':9"\n')
    for argv in ["ext", "list"], ["ext", "export"], ["ext", "rm", "1001"], ["events", "--follow"]:
        said = shell.refused(*argv, code=3)
        assert "cannot be reached at http://127.0.0.1:9" in said


def test_another_program_on_the_port_is_3(shell: Shell) -> None:
    """It does not speak JSON."""
    shell.daemon.strange = True
    assert "is not pbxfed" in shell.refused("ext", "list", code=3)


def test_the_token_is_sent_and_a_wrong_one_is_told(shell: Shell) -> None:
    """From http.token_file, as the daemon's own."""
    shell.daemon.token = "open-sesame"
    assert "needs `Authorization: Bearer TOKEN`" in shell.refused("ext", "list")
    file = shell.config.with_name("token")
    file.write_text("open-sesame\n")
    file.chmod(0o600)
    shell.config.write_text(f'{shell.config.read_text()}token_file = "{file}"\n')
    assert shell.json("ext", "list") == []


def test_a_wrong_configuration_is_refused(shell: Shell) -> None:
    """Before anybody is asked."""
    shell.config.write_text("[nodes]\n")
    assert "unknown section [nodes]" in shell.refused("ext", "list")
    assert shell.daemon.asked == []


def test_a_route_is_explained_try_by_try(shell: Shell, ext: Ext) -> None:
    """Whom it rings, why, and how it would end."""
    ext("1001", "1002")
    registered(shell, "1002")
    assert shell("explain", "1002", "--from", "1001").splitlines() == [
        "1001 calls 1002",
        "  1. rings the phones at node a (here)",
        "     because 1002 is registered on a (here)",
        "  else it ends with cause 20 (no phone is registered; SIP 480)",
    ]
    assert shell("route", "1002") == "try 1: 1002 is registered on a (here)"
    assert shell.json("explain", "1002", "--from", "1001")["from"] == "1001"


def test_what_follows_on_each_outcome_is_explained(shell: Shell, ext: Ext) -> None:
    """Further in; somebody rings in the end, so it is no failure."""
    ext("1001", "1002", "1003")
    registered(shell, "1002")
    shell("ext", "set", "1001", "--dnd", "--forward-busy", "1002", "--forward-no-answer", "1003")
    shell("ext", "set", "1002", "--forward-busy", "1001")
    assert shell("explain", "1001").splitlines() == [
        "somebody calls 1001",
        "  if busy: on to 1002, because 1001 forwards to 1002 when busy",
        "    1. rings the phones at node a (here)",
        "       because 1002 is registered on a (here)",
        "    if busy: on to 1001, because 1002 forwards to 1001 when busy",
        "      ends with cause 25 (forwards go round; SIP 483), because forwards go round: 1001 → 1002 → 1001",
        "    else it ends with cause 20 (no phone is registered; SIP 480)",
        "  rings nothing itself, because 1001: do not disturb",
    ]
    assert shell("route", "1001").splitlines() == [
        "no way: 1001: do not disturb (cause 17)",
        "then, if busy: 1001 forwards to 1002 when busy",
    ]


def test_the_dialplan_and_the_outside_are_explained(shell: Shell, ext: Ext) -> None:
    """Services, PSTN trunks, inbound numbers."""
    ext("1001")
    shell("service", "add", "700", "--context", "ivr", "--exten", "s")
    shell("site", "add", "main")
    where = ("--site", "main", "--endpoint", "provider", "--nodes", "a")
    shell("trunk", "add", "line", *where, "--patterns", "_0.")
    shell("did", "add", "4930123", "--destination", "700")
    assert "  1. goes into the dialplan here: extension s of context ivr" in shell("explain", "700")
    assert "rings 030555 by the PSTN trunk line of node a (here)" in shell(
        "explain", "030555", "--from", "1001"
    )
    said = shell("explain", "4930123", "--inbound")
    assert said.startswith("somebody outside calls 4930123\n")
    assert "4930123 goes to 700" in said


def test_no_way_is_explained_and_1(shell: Shell, ext: Ext) -> None:
    """Nobody has the number, or no phone is there."""
    ext("1001")
    done = shell.run("explain", "1009")
    assert done.exit_code == 1
    first, second = done.stdout.splitlines()
    assert first == "somebody calls 1009"
    assert second.startswith("  ends with cause 1 (nobody has this number; SIP 404), because ")
    done = shell.run("explain", "1001", "--json")
    assert (done.exit_code, json.loads(done.stdout)["cause"]) == (1, 20)


def registered(shell: Shell, number: str) -> None:
    """A phone of this number is registered here, and the Asterisk takes calls."""
    phone = ContactAdded(Extension(number), f"sip:{number}@10.0.0.9", 1_800_000_001_000)
    shell.daemon.news += [AsteriskUp("22.10.1", False), phone]


def test_no_caller_writes_to_the_terminal() -> None:
    """Who looks at calls and events sees what a caller has sent, and his terminal does nothing of it."""
    evil = "7\x1b]0;mine\x07\n1001"
    assert table([{"from": evil}], ("from",)).splitlines()[1] == r"7\x1b]0;mine\x07\n1001"
    event = {"id": 1, "time": "now", "level": "info", "event": "x", "fields": {"from": evil}}
    assert _event(event).isprintable()


def test_of_a_call_that_is_tried_all_day_the_last_tries_stand_in_the_table() -> None:
    """In one line, with how many there were before."""
    one = {"number": "1001", "outcome": "no_answer", "seconds": 15.0}
    call = {"attempts": [one] * 50, "tries_left_out": 650}
    assert _tries(call) == ["695 before", *["1001 no answer 15.0s"] * 5]
    assert _tries({"attempts": [one], "tries_left_out": 0}) == ["1001 no answer 15.0s"]


def test_who_shall_listen_in_is_asked_for(shell: Shell) -> None:
    """What the daemon says of it is said; not all goes together. Without a word all calls are listed, as ever."""
    said = "pbxfed: no call f00 here: ask at the node whose `pbxfed calls` shows it\n"
    refused = shell.run("calls", "listen", "f00", "1003", "--whisper", "called")
    assert (refused.exit_code, refused.stderr) == (1, said)
    assert shell.daemon.asked[-1].path == "/calls/f00/listeners"
    assert (
        shell.run("calls", "listen", "f00", "1003", "--whisper", "caller", "--barge").exit_code == 2
    )
    assert shell("calls").split() == [
        "call",
        "state",
        "from",
        "to",
        "came",
        "by",
        "seconds",
        "tries",
        "way",
    ]


@pytest.mark.parametrize("command", ["ring", "explain"])
def test_nothing_that_is_printed_moves_the_cursor(shell: Shell, command: str) -> None:
    """What phones, peers and other users have chosen to be called stands in it."""
    printed = shell.run(command, "10\u202e01\a").output
    assert "10\\u202e01\\x07" in printed
    assert all(line.isprintable() for line in printed.split("\n"))


def test_nor_does_a_refusal(shell: Shell) -> None:
    """The daemon says what was asked."""
    assert "no call \\x1b[2J here" in shell.refused("calls", "listen", "\x1b[2J", "1001")
