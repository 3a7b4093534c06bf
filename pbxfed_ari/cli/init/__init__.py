"""`pbxfed init`: an Asterisk that is there becomes a node's; `--check` only looks, `--remove` takes it back."""

import sys
from pathlib import Path

import click

from pbxfed_ari.cli.daemon import REFUSED, fail
from pbxfed_ari.cli.secrets import from_stdin
from pbxfed_ari.cli.tables import as_json
from pbxfed_ari.errors import PbxfedError

STATE = "/var/lib/pbxfed"


@click.command()
@click.option(
    "--join",
    "token",
    metavar="TOKEN",
    help="Become a member; - reads the token from standard input.",
)
@click.option("--domain", help="The federation's SIP domain.  [default_realm of pjsip.conf]")
@click.option("--name", help="This node's name.  [the host's, without its domain]")
@click.option("--address", help="This node's IPv4 address.  [where the default route begins]")
@click.option("--site", help="This node's site.  [main, or the inviter's]")
@click.option(
    "--state", type=click.Path(path_type=Path), help=f"Folder for store and keys.  [{STATE}]"
)
@click.option(
    "--user",
    help="Who runs the daemon; made if there is none.  [as before, or pbxfed]",
)
@click.option(
    "--asterisk",
    type=click.Path(path_type=Path),
    help="Its asterisk.conf.  [/etc/asterisk/asterisk.conf]",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option(
    "--yes", is_flag=True, help="Do not ask. A line of yours that stands in the way is a refusal."
)
@click.option(
    "--override", is_flag=True, help="Let pbxfed's lines stand below yours where they differ."
)
@click.option(
    "--restart", is_flag=True, help="Restart Asterisk if need be, even if that ends calls."
)
@click.option("--check", is_flag=True, help="Only check what runs.")
@click.option("--remove", is_flag=True, help="Take everything back; state and keys stay.")
@click.option("--purge", is_flag=True, help="With --remove: state and keys, too.")
@as_json
@click.pass_obj
def init(
    path: Path | None, /, check: bool, remove: bool, purge: bool, as_json: bool, **typed: object
) -> None:
    """Prepare the Asterisk of this machine: show what would be added, add it, check it live."""
    if check + remove > 1 or (purge and not remove):
        raise click.UsageError("--check, or --remove with or without --purge")
    if typed["token"] == "-":
        typed["token"] = from_stdin("Token of `pbxfed invite`").strip()
    from pbxfed_ari.cli.init.options import Options

    options = Options(path, json=as_json, **typed)  # type: ignore[arg-type]
    if as_json and options.asks and not check:
        raise click.UsageError("--json asks nothing: add --yes, or --dry-run")
    try:
        if check:
            from pbxfed_ari.cli.init.checking import check_only

            sys.exit(check_only(options))
        if remove:
            from pbxfed_ari.cli.init.removing import take_back

            sys.exit(take_back(options, purge=purge))
        from pbxfed_ari.cli.init.setting_up import set_up

        sys.exit(set_up(options))
    except (PbxfedError, OSError) as error:
        fail(str(error), REFUSED)
