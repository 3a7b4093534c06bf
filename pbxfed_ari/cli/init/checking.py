"""`pbxfed init --check`, and the checks after each writing."""

from typing import TYPE_CHECKING

from pbxfed_ari.cli.init.options import Options, config_path, daemon_user
from pbxfed_ari.cli.init.shown import check_lines, row
from pbxfed_ari.cli.tables import show
from pbxfed_ari.errors import Refused

if TYPE_CHECKING:
    from pbxfed_ari.installing.judging import Check
    from pbxfed_ari.installing.machine import CommandLine


def check_only(options: Options) -> int:
    """Look, say how it is; 1 if anything is bad."""
    from pbxfed_ari import config

    path = config_path(options)
    if not path.exists():
        raise Refused(f"{path} is not there: `pbxfed init` first")
    config.load(path)
    from pbxfed_ari.installing.machine import CommandLine

    checks = look_again(CommandLine(options.asterisk), options)
    show([row(check) for check in checks], options.json, check_lines(checks))
    return int(any(check.state == "bad" for check in checks))


def look_again(cli: "CommandLine", options: Options) -> "list[Check]":
    """All checks, by what runs now."""
    from pbxfed_ari import config
    from pbxfed_ari.installing import live, writing
    from pbxfed_ari.installing.judging import judge
    from pbxfed_ari.installing.machine import look

    settings = config.load(config_path(options))
    user = daemon_user(options, writing.load(settings.node.state))
    machine = look(
        cli,
        config=settings.path,
        state=settings.node.state,
        password_file=settings.asterisk.password_file,
        user=user,
        objects=settings.asterisk.objects,
    )
    return judge(live.see(cli, machine, settings, user))
