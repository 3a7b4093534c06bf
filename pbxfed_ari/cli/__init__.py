"""pbxfed …: the operator's command. `run` is the daemon; every other command speaks to it over HTTP.

`daemon` is the way there, `tables` what is printed; `reading`, `routing` and `dns` ask, `belonging` says who is a member,
`capacity` measures this machine;
`objects` edits: one group of commands for each kind of object, their `options` of its fields, and `bulk` for many at once;
`provisioning` hands out the files of phones. A command's module is imported when it is called for: the shell waits for none of
the others.
"""

import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pbxfed_ari import __version__
from pbxfed_ari.cli.daemon import REFUSED, fail, settings
from pbxfed_ari.cli.tables import as_json, show
from pbxfed_ari.errors import ConfigError

SECTIONS = {
    "The daemon": {"init": "init", "run": "", "check": "", "version": "", "calibrate": "capacity"},
    "Questions": {
        **dict.fromkeys(("status", "members", "ring", "where"), "reading"),
        **dict.fromkeys(("route", "explain"), "routing"),
        **dict.fromkeys(("calls", "events"), "reading"),
        "dns": "dns",
    },
    "Maintenance": dict.fromkeys(("drain", "undrain"), "draining"),
    "Who belongs": dict.fromkeys(("invite", "join", "expel", "keys"), "belonging"),
}
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
WIDTH = 100  # of help, where the terminal is as wide
OBJECTS = "Configuration, edited on any node for all of them"
_MODULES = {name: module for section in SECTIONS.values() for name, module in section.items()}


class Commands(click.Group):
    """All commands, by section; those of other modules are imported when they are asked for."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """As ever. A standard input that is closed is empty; an output that takes nothing more is told in one line."""
        if sys.stdin is None:
            sys.stdin = open(os.devnull)  # noqa: SIM115  (as long as the command lasts)
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.filename or "pbxfed_ari.node.starting" in sys.modules:
                raise  # no output's; and the daemon tells where it stood
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left would be tried once more
            fail(f"{error.strerror or error}: what was to be printed is not all there", REFUSED)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As ever, but for bytes that are no text: nothing could be asked with them, nor said of them."""
        for one in args:
            if not one.isprintable() and any("\ud800" <= c <= "\udfff" for c in one):
                raise click.UsageError(f"{one[:60]!r}: must be UTF-8", context)
        return super().parse_args(context, args)

    def list_commands(self, context: click.Context) -> list[str]:
        """Their names."""
        return [*_MODULES, *groups()]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """One of them."""
        if module := _MODULES.get(name):
            found: click.Command = getattr(import_module(f"{__name__}.{module}"), name)
            return found
        if name in _MODULES:
            return super().get_command(context, name)
        from pbxfed_ari.cli.objects import commands

        return commands().get(name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Section by section."""
        for title, names in {**SECTIONS, OBJECTS: sorted(groups())}.items():
            found = [(name, self.get_command(context, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(n, c.get_short_help_str(WIDTH)) for n, c in found if c])


def groups() -> list[str]:
    """The groups of commands, one for each kind of object."""
    from pbxfed_ari.core.records.objects import KINDS

    return [kind.command for kind in KINDS.values()]


@click.group(cls=Commands, context_settings=SETTINGS)
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="Configuration file.  [$PBXFED_CONFIG, /etc/pbxfed/pbxfed.toml]",
)
@click.pass_context
def main(context: click.Context, path: Path | None) -> None:
    """Federates this Asterisk with others: any phone on any node."""
    context.obj = path


@main.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="Configuration file.")
@click.pass_obj
def run(given: Path | None, path: Path | None) -> None:
    """Run the daemon, until SIGTERM or ctrl-C."""
    loaded = settings(path or given)
    gc.disable()  # what is imported stays: to look through it again and again would be a sixth of the start
    from pbxfed_ari.node import starting  # the daemon's imports are not every command's

    gc.enable()
    try:
        starting.run(loaded)
    except ConfigError as error:
        fail(str(error), REFUSED)


@main.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="Configuration file.")
@click.pass_obj
def check(given: Path | None, path: Path | None) -> None:
    """Check the configuration and the files that it names; start nothing."""
    loaded = settings(path or given)
    from pbxfed_ari.config import credentials
    from pbxfed_ari.keys import open_keyring

    try:
        loaded.check_machine()
        open_keyring(loaded.node.state, credentials.federation_key(loaded), write=False)
        credentials.wan_access(loaded)
        credentials.ari_password(loaded)
        credentials.provisioning_tls(loaded)
        credentials.http_token(loaded)
    except ConfigError as error:
        fail(str(error), REFUSED)
    click.echo(f"{loaded.path}: good; node {loaded.node.name} of {loaded.federation.domain}")


@main.command()
@as_json
def version(as_json: bool) -> None:
    """Print the release."""
    show({"version": __version__}, as_json, f"pbxfed {__version__}")
