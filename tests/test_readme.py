"""README, configuration reference and command reference are tested: what they name exists, and what exists is named."""

import re
from dataclasses import fields
from pathlib import Path

import click

from pbxfed_ari import cli, config
from pbxfed_ari.cli import objects
from pbxfed_ari.config.sections import CheckSettings

ROOT = Path(__file__).parents[1]
README = ROOT.joinpath("README.md").read_text()
KEYS = ROOT.joinpath("docs/configuration.md").read_text()
COMMANDS = ROOT.joinpath("docs/commands.md").read_text()


def test_every_key_is_in_the_table_with_its_default() -> None:
    """An operator looks there first."""
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \| [^|]*\| ([^|]*?) \|", KEYS, re.M))
    declared = {
        f"{section}.{field.name}": field
        for section, kind in config.SECTIONS.items()
        for field in fields(kind)
    }
    assert set(rows) == set(declared)
    for key, shown in rows.items():
        default = declared[key].default
        if shown not in ("needed", "none"):
            text = str(list(default) if isinstance(default, tuple) else default)
            text = text.lower() if isinstance(default, bool) else text.replace("'", '"')
            assert shown.strip("`") == text, key


def test_every_key_of_a_check_is_in_its_table() -> None:
    """It may stand in any number of sections, so it has a table of its own."""
    table = KEYS.partition("| key of a check |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]*\| ([^|]*?) \|", table, re.M))
    declared = {field.name: field.default for field in fields(CheckSettings)}
    assert set(rows) == set(declared)
    for key, shown in rows.items():
        assert shown == "needed" or shown.strip("`") == str(declared[key]).lower(), key


def test_every_command_is_named() -> None:
    """And none that does not exist."""
    commands = cli.main.list_commands(click.Context(cli.main))
    named = set(re.findall(r"`pbxfed (\w+)", COMMANDS))
    listed = {"check", "version", "members", "undrain"}  # named beside another in one row
    assert set(commands) == named | listed


def test_what_can_be_done_with_objects_is_named() -> None:
    """Each of it, once for all kinds."""
    row = next(line for line in COMMANDS.splitlines() if line.startswith("| `pbxfed ext add`"))
    for group in objects.commands().values():
        assert isinstance(group, click.Group)
        assert {f"`{verb}`" for verb in group.commands} <= {*re.findall("`[a-z]+`", row), "`add`"}


def test_the_two_commands_are_there() -> None:
    """What a newcomer types."""
    assert "`make demo`" in README
    assert "`make test`" in README


def test_the_package_is_built_before_unstable_comes() -> None:
    """On one machine, in README's order: what unstable's Asterisk brings along keeps debhelper out of Debian 13 (its perl)."""
    assert 0 < README.index("make deb ") < README.index("prepare.sh asterisk ")
