"""`pbxfed init --remove`: everything is taken back."""

import click

from pbxfed_ari.cli.daemon import REFUSED, fail
from pbxfed_ari.cli.init.options import (
    Options,
    config_path,
    configured,
    need_root,
    password_file,
    state_folder,
)
from pbxfed_ari.cli.init.restarting import forget
from pbxfed_ari.cli.init.shown import undo_line
from pbxfed_ari.cli.tables import show
from pbxfed_ari.errors import Refused


def take_back(options: Options, *, purge: bool) -> int:
    """Show what would be undone, ask, do it."""
    from pbxfed_ari.installing import writing
    from pbxfed_ari.installing.machine import CommandLine, sockets

    settings = configured(options)
    state = state_folder(options, settings)
    manifest = writing.load(state)
    if manifest is None or not (manifest.entries or purge):
        show(
            {"removed": [], "kept": []}, options.json, f"nothing of `pbxfed init` is here ({state})"
        )
        return 0
    password = settings.asterisk.password_file if settings else password_file(options)
    undos = writing.undone(state, manifest, [config_path(options).absolute(), password.absolute()])
    running = [s for s in sockets() if s.program == "pbxfed"]
    if running and not options.dry_run:
        raise Refused(
            f"the daemon runs (process {running[0].pid}): stop it first; nothing was changed"
        )
    if not options.json:
        click.echo("\n".join(undo_line(undo) for undo in undos) or "no file is left to take back")
        if purge:
            click.echo(f"remove {state}: keys, extensions, records of calls")
    if options.dry_run:
        show({"removed": [], "kept": []}, options.json, "nothing was changed (--dry-run)")
        return 0
    need_root()
    if options.asks and not click.confirm("Take this back?"):
        fail("nothing was changed", REFUSED)
    left = writing.take_back(state, manifest, undos, purge=purge)
    kept = [f"{undo.path}: {undo.note}" for undo in undos if undo.note] + [
        f"{f}: not empty" for f in left
    ]
    cli = CommandLine(options.asterisk)
    late = forget(options, cli)
    body = {"removed": [u.path for u in undos if not u.note], "kept": kept, "todo": late}
    words = ["taken back", *kept, *([late] if late else [])]
    words += [] if purge else [f"keys and state stay in {state} (--purge removes them)"]
    show(body, options.json, "\n".join(words))
    return 0
