"""Asterisk is restarted when the operator agrees, and never under calls unless he says so."""

from dataclasses import replace

import pytest

from pbxfed_ari.cli.init import restarting
from pbxfed_ari.cli.init.options import Options
from pbxfed_ari.installing import live
from pbxfed_ari.installing.machine import CommandLine
from pbxfed_ari.installing.plan import Plan
from tests.installing.samples import WISH

OPTIONS = Options(
    *(None, None, None, None, None, None, None, None, None),
    dry_run=False,
    yes=True,
    override=False,
    restart=False,
    json=False,
)
PLAN = Plan(WISH, (), (), "", {}, restart=True, reloads=("module reload http",))


class Asterisk(CommandLine):
    """Says how many calls it has, and keeps what it is told."""

    def __init__(self, channels: int | None) -> None:
        self.channels, self.told = channels, list[str]()

    def ask(self, command: str) -> str:
        if command == "core show channels count":
            return "" if self.channels is None else f"{self.channels} active channels\n"
        if command == "dialplan show pbxfed-ask":
            return "[ Context 'pbxfed-ask' ]"
        self.told.append(command)
        return ""


@pytest.fixture(autouse=True)
def comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "wait_for", lambda cli: True)
    monkeypatch.setattr(restarting, "PAUSE", 0.0)


def up(asterisk: Asterisk) -> str:
    return restarting.take_up(OPTIONS, PLAN, asterisk)


def forgotten(asterisk: Asterisk) -> str:
    return restarting.forget(OPTIONS, asterisk)


def test_without_calls_yes_is_enough() -> None:
    """To take our lines up, and to forget them."""
    for do in up, forgotten:
        asterisk = Asterisk(0)
        assert do(asterisk) == ""
        assert asterisk.told == ["core restart now"]


def test_calls_are_not_ended_by_a_yes() -> None:
    """It is said what is left to do."""
    for do in up, forgotten:
        asterisk = Asterisk(4)
        assert "`asterisk -rx 'core restart when convenient'`" in do(asterisk)
        assert asterisk.told == []


def test_who_says_restart_means_it() -> None:
    """With calls, too."""
    asterisk = Asterisk(4)
    assert restarting.take_up(replace(OPTIONS, restart=True), PLAN, asterisk) == ""
    assert asterisk.told == ["core restart now"]


def test_a_reload_is_enough_where_it_is() -> None:
    """And ends nothing."""
    asterisk = Asterisk(4)
    assert restarting.take_up(OPTIONS, replace(PLAN, restart=False), asterisk) == ""
    assert asterisk.told == ["module reload http"]


def test_an_asterisk_that_does_not_run_is_to_be_started() -> None:
    """By whoever starts it."""
    assert restarting.take_up(OPTIONS, PLAN, Asterisk(None)) == "start Asterisk"
    assert restarting.forget(OPTIONS, Asterisk(None)) == ""


def test_an_asterisk_that_has_not_gone_yet_is_not_taken_for_one_that_came_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its uptime tells."""
    monkeypatch.undo()
    monkeypatch.setattr(live, "STEP", 0.0)
    answers = iter(["System uptime: 4000", "", "System uptime: 1"])

    class Slow(CommandLine):
        def __init__(self) -> None:
            pass

        def ask(self, command: str) -> str:
            return "Asterisk has fully booted." if "wait" in command else next(answers)

    assert live.wait_for(Slow())
    assert next(answers, None) is None
