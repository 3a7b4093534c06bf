"""The manual pages against the command line and the configuration: nothing is missing, nothing is there that is not."""

import re
from collections.abc import Iterator
from dataclasses import fields

import click

from pbxfed_ari import config
from pbxfed_ari.cli import main
from release import manual


def plain(page: str) -> str:
    """As it is read, without the markup's escapes."""
    page = page.replace("\\(ga", "`").replace("\\(ha", "^").replace("\\(ti", "~")
    return page.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")


def commands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every command that can be typed, with all its words."""
    for name in context.command.list_commands(context):  # type: ignore[attr-defined]
        command = context.command.get_command(context, name)  # type: ignore[attr-defined]
        below = click.Context(command, info_name=name, parent=context)
        yield below.command_path, command
        if isinstance(command, click.Group):
            yield from commands(below)


COMMANDS = dict(commands(click.Context(main, info_name="pbxfed")))
PAGE = plain(manual.commands_page())
CHAPTERS = {
    match[1]: match[2]
    for match in re.finditer(
        r"^\.SS (pbxfed(?: [a-z]+)+)\b(.*?)(?=^\.S[SH]|\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
}


def test_each_command_has_its_chapter_and_no_other_has() -> None:
    """Those of the parser."""
    assert sorted(CHAPTERS) == sorted(COMMANDS)
    assert len(COMMANDS) > 40


def test_each_option_stands_in_the_chapter_of_its_command() -> None:
    """And no other does."""
    for path, command in COMMANDS.items():
        known = {
            word for one in command.params if isinstance(one, click.Option) for word in one.opts
        }
        known |= {word for one in command.params for word in one.secondary_opts}
        told = set(re.findall(r"^\.B ([^\n]*)", CHAPTERS[path], re.MULTILINE))
        named = {word for line in told for word in re.findall(r"(?<![\w-])--?[a-z][\w-]*", line)}
        assert named == known, path


def test_each_key_of_the_configuration_is_explained() -> None:
    """As section.key."""
    page = plain(manual.configuration_page())
    told = re.findall(r"^\.B ([\w.]+)$", page, re.MULTILINE)
    known = [f"{name}.{one.name}" for name, kind in config.SECTIONS.items() for one in fields(kind)]
    assert told == known
