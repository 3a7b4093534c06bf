"""`pbxfed init`: look, plan, show, ask, write, let Asterisk read it, look again."""

import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from pbxfed_ari.cli.daemon import REFUSED, fail
from pbxfed_ari.cli.init.checking import look_again
from pbxfed_ari.cli.init.options import (
    Options,
    config_path,
    configured,
    daemon_user,
    need_root,
    password_file,
    state_folder,
)
from pbxfed_ari.cli.init.restarting import take_up
from pbxfed_ari.cli.init.shown import end, start_line, tell
from pbxfed_ari.cli.init.wishing import wished
from pbxfed_ari.cli.tables import show
from pbxfed_ari.errors import Refused

if TYPE_CHECKING:
    from pbxfed_ari.config import Settings
    from pbxfed_ari.installing.facts import Machine
    from pbxfed_ari.installing.fitting import Conflict
    from pbxfed_ari.installing.machine import CommandLine
    from pbxfed_ari.installing.manifest import Entry, Manifest
    from pbxfed_ari.installing.plan import Plan, Wish
    from pbxfed_ari.installing.writing import Undoing


def set_up(options: Options) -> int:
    """All of it; the exit code."""
    from pbxfed_ari.installing import writing
    from pbxfed_ari.installing.plan import taken

    settings = configured(options)
    manifest = writing.load(state_folder(options, settings))
    machine, cli = look(options, settings, manifest)
    wish = wished(options, settings, machine, manifest)
    plan, wish = agreed(options, machine, wish, manifest)
    busy = taken(machine, plan)
    if busy:
        raise Refused("; ".join(busy))
    if not options.json:
        tell(plan, machine)
    if options.dry_run:
        return end(options, plan, machine, [], "nothing was changed (--dry-run)")
    if plan.empty:
        checks = look_again(cli, options)
        return end(options, plan, machine, checks, "all is in place: nothing was changed")
    need_root()
    if options.asks and not click.confirm("Write this?"):
        fail("nothing was changed", REFUSED)
    writing.write(plan, machine.asterisk, lambda undoing: _belong(options, plan, machine, undoing))
    late = take_up(options, plan, cli)
    checks = look_again(cli, options)
    bad = any(check.state == "bad" for check in checks)
    words = [
        "written; not all is well yet, see above; `pbxfed init --remove` takes it back"
        if bad
        else "written"
    ]
    words += [late] if late else []
    words += (
        ["a member already: the token was not used"] if options.token and not wish.joins else []
    )
    return end(
        options,
        plan,
        machine,
        checks,
        "; ".join(words) + f"; start the daemon: {start_line(wish)}",
        written=True,
    )


def look(
    options: Options, settings: "Settings | None", manifest: "Manifest | None"
) -> tuple["Machine", "CommandLine"]:
    """What there is. Refused, if there is no Asterisk that would do."""
    from pbxfed_ari.installing.machine import CommandLine, look

    cli = CommandLine(options.asterisk)
    password = settings.asterisk.password_file if settings else password_file(options)
    machine = look(
        cli,
        config=config_path(options),
        state=state_folder(options, settings),
        password_file=password,
        user=daemon_user(options, manifest),
        objects=settings.asterisk.objects if settings else None,
    )
    if settings is not None and settings.federation.key_file is not None:
        machine = replace(machine, member=True)  # the daemon takes its key from there
    asterisk = machine.asterisk
    if not asterisk.version:
        raise Refused(
            "there is no Asterisk on this machine: install 22.10.1 or later, start it, then `pbxfed init`"
        )
    if asterisk.too_old:
        raise Refused(f"{asterisk.too_old}: install 22.10.1 or later")
    if not machine.files:
        raise Refused(
            f"{asterisk.etc} holds no configuration of Asterisk: name its asterisk.conf (--asterisk)"
        )
    return machine, cli


def agreed(
    options: Options, machine: "Machine", wish: "Wish", manifest: "Manifest | None"
) -> tuple["Plan", "Wish"]:
    """The plan, once nothing stands in its way: conflicts are overridden with the operator's consent, or refused."""
    from pbxfed_ari.installing.plan import plan

    templates = _templates()
    made = plan(machine, wish, templates, manifest)
    may = [one for one in made.conflicts if one.override]
    if may and (options.override or (options.asks and len(may) == len(made.conflicts))):
        for one in may:
            if not options.override and not click.confirm(
                f"{one}\nLet our line stand below yours?"
            ):
                fail("nothing was changed", REFUSED)
        wish = replace(wish, accepted=wish.accepted | {one.thing for one in may})
        made = plan(machine, wish, templates, manifest)
    if made.conflicts:
        _conflicts(options, made.conflicts)
    return made, wish


def _conflicts(options: Options, found: "Sequence[Conflict]") -> NoReturn:
    """Name them all, and end."""
    if options.json:
        rows = [
            {
                "where": c.where,
                "thing": c.thing,
                "value": c.value,
                "wanted": c.wanted,
                "why": c.why,
                "override": c.override,
            }
            for c in found
        ]
        show({"written": False, "conflicts": rows}, True, "")
        sys.exit(REFUSED)
    for one in found:
        more = " (or --override: our line stands below yours)" if one.override else ""
        click.echo(f"pbxfed: {one}{more}", err=True)
    fail(
        f"{len(found)} of your lines in the way: change them, then again; nothing was changed",
        REFUSED,
    )


def _belong(
    options: Options, plan: "Plan", machine: "Machine", undoing: "Undoing"
) -> "list[Entry]":
    """The keys: made for the first node, or brought by the token, and then kept come what may. What was written beside them."""
    from pbxfed_ari import joining
    from pbxfed_ari.core.records.keys import GroupKey, Keyring
    from pbxfed_ari.installing.manifest import Entry, digest
    from pbxfed_ari.keys import KEYS, keep_keyring

    wish, config = plan.wish, Path(plan.wish.config)
    if options.token is None or not wish.joins:
        if not machine.member:
            keys = Keyring([GroupKey(secrets.token_bytes(32))])
            keep_keyring(Path(wish.state), keys, keys.newest.id.hex())
            undoing.append((Path(wish.state) / KEYS).unlink)
        return []
    before = config.exists()
    joining.join(
        options.token,
        config,
        name=wish.name,
        address=wish.address,
        site=wish.site or None,
        state=Path(wish.state),
        asterisk={key: plan.settings[key] for key in ("asterisk", "calls")},
    )
    return [] if before else [Entry(wish.config, True, "", digest(config.read_text()))]


def _templates() -> dict[str, str]:
    from pbxfed_ari.installing.rules import FILES

    folder = Path(__file__).parents[2] / "dialplan"
    return {file: (folder / file).read_text() for file in FILES}
