"""What this machine can carry, measured."""

from pathlib import Path

import click

from pbxfed_ari.cli.daemon import REFUSED, fail, settings
from pbxfed_ari.cli.tables import as_json, show
from pbxfed_ari.clock import wall_ms


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0.5, 60),
    default=3.0,
    show_default=True,
    help="How long to measure.",
)
@click.option("--dry-run", is_flag=True, help="Only measure; keep nothing.")
@as_json
@click.pass_obj
def calibrate(path: Path | None, seconds: float, dry_run: bool, as_json: bool) -> None:
    """Measure what this machine can carry, and keep it as the node's weight.

    All processors work at the lowest priority: calls that run go on. The weight stands where
    node.weight is not set; a daemon that runs takes it with SIGHUP.
    """
    from pbxfed_ari.sensors import capacity

    loaded = settings(path)
    before = capacity.kept(loaded.node.state)
    found = capacity.measure(seconds, wall_ms(), before.weight if before else 0)
    if not dry_run:
        try:
            found.save(loaded.node.state)
        except OSError as error:
            fail(f"{error}; the folder is made when the daemon first runs, and is its own", REFUSED)
    lines = [
        f"weight      {found.weight}" + (f" (was {before.weight})" if before else ""),
        f"measured    {found.pieces:.0f} pieces of work a second on each of {found.processors:g} processors",
    ]
    if loaded.node.weight:
        lines.append(f"but         node.weight = {loaded.node.weight} in {loaded.path} stands")
    elif not dry_run:
        lines.append("kept        a daemon that runs takes it with SIGHUP: systemctl reload pbxfed")
    body = {
        "weight": found.weight,
        "before": before.weight if before else None,
        "pieces": found.pieces,
        "processors": found.processors,
        "kept": not dry_run,
        "stands": loaded.node.weight or (found.weight if not dry_run else None),
    }
    show(body, as_json, "\n".join(lines))
