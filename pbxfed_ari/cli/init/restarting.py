"""Asterisk reads what was written, or forgets it: by a reload, or by a restart that the operator has agreed to."""

import re
import time
from typing import TYPE_CHECKING

import click

from pbxfed_ari.cli.init.options import Options

if TYPE_CHECKING:
    from pbxfed_ari.installing.machine import CommandLine
    from pbxfed_ari.installing.plan import Plan

PAUSE = 0.5  # seconds: Asterisk says yes, then it ends


def take_up(options: Options, plan: "Plan", cli: "CommandLine") -> str:
    """Let Asterisk read what was written; what is left to do, if the operator does not want it now."""
    from pbxfed_ari.installing.live import wait_for

    calls = _calls(cli)
    if calls is None:
        return "start Asterisk"
    if not plan.restart:
        for command in plan.reloads:
            cli.ask(command)
        return ""
    words = f"that ends {calls} channels" if calls else "no call is up"
    agreed = options.restart or (options.yes and not calls)
    if not agreed and options.asks:
        agreed = click.confirm(f"Asterisk must be restarted ({words}). Now?", default=not calls)
    if not agreed:
        return "Asterisk must be restarted yet: `asterisk -rx 'core restart when convenient'`, then `pbxfed init --check`"
    _restart(cli)
    return "" if wait_for(cli) else "Asterisk has not come back within a minute: look into its log"


def forget(options: Options, cli: "CommandLine") -> str:
    """Let Asterisk go on without our lines."""
    from pbxfed_ari.installing.live import wait_for

    calls = _calls(cli)
    if calls is None or not cli.ask("dialplan show pbxfed-ask"):
        return ""  # it does not run, or it has never read our lines
    if (
        options.restart
        or (options.yes and not calls)
        or (options.asks and click.confirm("Restart Asterisk now?"))
    ):
        _restart(cli)
        return (
            "" if wait_for(cli) else "Asterisk has not come back within a minute: look into its log"
        )
    return "Asterisk has it in mind until it is restarted: `asterisk -rx 'core restart when convenient'`"


def _restart(cli: "CommandLine") -> None:
    cli.ask("core restart now")
    time.sleep(PAUSE)


def _calls(cli: "CommandLine") -> int | None:
    """Channels that are up; None if Asterisk does not run."""
    found = re.match(r"(\d+) active channel", cli.ask("core show channels count"))
    return int(found[1]) if found else None
