"""`pbxfed init` as it is typed: what it asks, what it refuses, and that nothing is changed then."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pbxfed_ari.cli import main
from pbxfed_ari.cli.init import setting_up
from pbxfed_ari.installing import machine as machines
from pbxfed_ari.installing import writing
from pbxfed_ari.installing.facts import Asterisk, Interface, Machine, Socket
from pbxfed_ari.installing.judging import Check
from tests.installing.samples import machine

Type = Callable[..., Result]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Machine]:
    """The machine that is looked at; nothing is ever written."""
    seen = {"now": machine(member=False)}

    def fail(*given: Any) -> None:
        raise AssertionError("written")

    monkeypatch.setattr(machines, "look", lambda *given, **named: seen["now"])
    monkeypatch.setattr(writing, "write", fail)
    monkeypatch.setattr(writing, "take_back", fail)
    return seen


@pytest.fixture
def typed(found: dict[str, Machine], tmp_path: Path) -> Type:
    def type_(*argv: str, given: str = "") -> Result:
        env = {"PBXFED_CONFIG": str(tmp_path / "pbxfed.toml")}
        words = ["init", "--state", str(tmp_path / "state"), "--name", "a", *argv]
        return CliRunner(env=env).invoke(main, words, input=given, catch_exceptions=False)

    return type_


def refused(result: Result, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    return result.stderr


@pytest.mark.parametrize(
    "words",
    [("--check", "--remove"), ("--purge",), ("--json",), ("--remove", "--json")],
)
def test_wrong_usage(typed: Type, words: tuple[str, ...]) -> None:
    """Two things at once, or answers that nobody can give."""
    refused(typed(*words), 2)


@pytest.mark.parametrize(
    ("changed", "words", "said"),
    [
        ({"asterisk": Asterisk()}, (), "there is no Asterisk on this machine: install 22.10.1"),
        ({"asterisk": Asterisk("18", too_old="Asterisk 18 is too old")}, (), "too old: install"),
        ({}, (), "which domain shall the federation have? Name it (--domain"),
        ({}, ("--domain", "not good"), "must be a DNS name"),
        ({}, ("--domain", "x.y", "--address", "192.0.2.9"), "this machine has 10.0.0.11"),
        ({"interfaces": ()}, ("--domain", "x.y"), "no address but loopback"),
        (
            {"interfaces": (Interface("eth0", "10.0.0.11"), Interface("eth1", "10.1.0.1"))},
            ("--domain", "x.y"),
            "several addresses: 10.0.0.11 (eth0), 10.1.0.1 (eth1)",
        ),
        (
            {"sockets": (Socket("tcp", "127.0.0.1", 8088, "nginx", 9),)},
            ("--domain", "x.y"),
            "TCP port 8088 is taken by nginx (process 9)",
        ),
        ({}, ("--join", "abc"), "the token is damaged"),
    ],
)
def test_what_cannot_be_is_refused(
    typed: Type,
    found: dict[str, Machine],
    changed: dict[str, Any],
    words: tuple[str, ...],
    said: str,
) -> None:
    """With what to do; and --yes is no reason to guess."""
    found["now"] = replace(found["now"], **changed)
    assert said in refused(typed(*words, "--yes"))


def test_a_dry_run_shows_everything_and_no_secret(typed: Type) -> None:
    """A unified diff, as text and in JSON."""
    shown = typed("--domain", "pbx.example", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert '+#tryinclude "pbxfed/http.conf"' in shown.stdout
    assert "+++ /etc/asterisk/pbxfed/ari-password.conf: a new password, mode 640" in shown.stdout
    assert "make the federation's key" in shown.stdout
    assert "+password=" not in shown.stdout
    body = json.loads(typed("--domain", "pbx.example", "--dry-run", "--json").stdout)
    assert (body["domain"], body["written"], body["conflicts"]) == ("pbx.example", False, [])
    assert "+password=" not in json.dumps(body)


def test_questions_are_asked_and_no_is_an_answer(typed: Type) -> None:
    """Domain, then consent; without it nothing happens."""
    said = typed(given="pbx.example\nn\n")
    assert said.exit_code == 1
    assert "The federation's SIP domain" in said.stdout
    assert "Write this?" in said.stdout
    assert "nothing was changed" in said.stderr


def test_a_realm_that_is_there_is_the_domain(typed: Type, found: dict[str, Machine]) -> None:
    """His phones keep their digests."""
    found["now"] = machine(
        more={"pjsip.conf": "[global]\ntype=global\ndefault_realm=old.example\n"}
    )
    body = json.loads(typed("--dry-run", "--json").stdout)
    assert body["domain"] == "old.example"


def test_a_line_in_the_way_is_a_refusal_unless_overridden(
    typed: Type, found: dict[str, Machine]
) -> None:
    """Or the operator says so when asked."""
    found["now"] = machine(more={"http.conf": "\nenabled=no\n"})
    words = ("--domain", "pbx.example")
    said = refused(typed(*words, "--yes"))
    assert "/etc/asterisk/http.conf:5: http.conf [general] enabled = no; must be yes" in said
    assert "1 of your lines in the way" in said
    body = json.loads(typed(*words, "--yes", "--json").stdout)
    assert (body["written"], body["conflicts"][0]["value"]) == (False, "no")
    assert typed(*words, "--yes", "--override", "--dry-run").exit_code == 0
    asked = typed(*words, given="n\n")
    assert (asked.exit_code, "Let our line stand below yours?" in asked.stdout) == (1, True)
    agreed = typed(*words, given="y\nn\n")
    assert "Write this?" in agreed.stdout


def test_without_a_configuration_there_is_nothing_to_check_or_to_remove(typed: Type) -> None:
    """Said, each in its way."""
    assert "`pbxfed init` first" in refused(typed("--check"))
    done = typed("--remove", "--yes")
    assert (done.exit_code, "nothing of `pbxfed init` is here" in done.stdout) == (0, True)


def test_what_is_not_well_after_writing_is_said_with_the_way_back(
    typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the exit code tells scripts."""
    bad = [Check("sip", "bad", "nobody listens at 10.0.0.11:5060/udp", "restart Asterisk")]
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(writing, "write", lambda *given: None)
    monkeypatch.setattr(setting_up, "take_up", lambda *given: "")
    monkeypatch.setattr(setting_up, "look_again", lambda *given: bad)
    done = typed("--domain", "x.y", "--yes")
    assert done.exit_code == 1
    assert (
        "bad   sip          nobody listens at 10.0.0.11:5060/udp; restart Asterisk" in done.stdout
    )
    assert "`pbxfed init --remove` takes it back" in done.stdout


def test_only_root_writes(typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may read may still look."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert typed("--domain", "x.y", "--dry-run").exit_code == 0
    assert "run it as root; nothing was changed" in refused(typed("--domain", "x.y", "--yes"))
