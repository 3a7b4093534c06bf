"""`pbxfed ext provision`: hand out the URL of a phone's settings, list what stands, take it back."""

from pathlib import Path
from typing import Any

import click

from pbxfed_ari.cli.daemon import Daemon, at, done
from pbxfed_ari.cli.secrets import from_stdin
from pbxfed_ari.cli.tables import as_json, show, table
from pbxfed_ari.provisioning import VENDORS

COLUMNS = ("id", "vendor", "mac", "once", "made")


HELP = (
    "Make a URL from which the phone of NUMBER fetches its settings, with its secret; it is shown this once.\n\n"
    "Without --vendor, list those that stand. From the first one on the secret is kept, encrypted, until the last is "
    "revoked.\n\n\b\nExamples:\n"
    "  pbxfed ext provision 1001 --vendor yealink --mac 00:15:65:aa:bb:cc\n"
    "  pbxfed ext provision 1001 --vendor linphone --new-secret --once --qr\n"
    "  pbxfed ext provision 1001 --revoke"
)


@click.command(help=HELP, short_help="Make a URL from which a phone fetches its settings")
@click.argument("number", metavar="NUMBER")
@click.option("--vendor", type=click.Choice(list(VENDORS)), help="Whose phone it is.")
@click.option("--mac", metavar="MAC", help="Only for this phone: it says it when it asks.")
@click.option("--once", is_flag=True, help="The URL ends when the file was fetched.")
@click.option(
    "--secret",
    metavar="SECRET",
    envvar="PBXFED_SECRET",
    help="The phone's secret, if only its digest is kept; - reads it from standard input.  [$PBXFED_SECRET]",
)
@click.option(
    "--new-secret",
    is_flag=True,
    help="Make a new secret: phones that hold the old one are refused from then on.",
)
@click.option("--qr", is_flag=True, help="Show the URL as a QR code, for a soft phone's camera.")
@click.option("--revoke", is_flag=True, help="End its URLs, or the one that --id names.")
@click.option("--id", "which", metavar="ID", help="One of its URLs, as the list shows it.")
@as_json
@click.pass_obj
def provision(
    path: Path | None,
    number: str,
    vendor: str | None,
    mac: str | None,
    once: bool,
    secret: str | None,
    new_secret: bool,
    qr: bool,
    revoke: bool,
    which: str | None,
    as_json: bool,
) -> None:
    """Hand out, list or revoke."""
    wanted: dict[str, Any] = {"mac": mac, "secret": secret}
    wanted |= {"once": once or None, "new_secret": new_secret or None}
    given = {name: value for name, value in wanted.items() if value}
    if vendor is None and (qr or {*given} - {"secret"}):
        raise click.UsageError("say whose phone it is: --vendor")
    if revoke and (vendor is not None or given.keys() - {"secret"}):
        raise click.UsageError("--revoke stands alone, or with --id")
    if which and not revoke:
        raise click.UsageError("--id says which URL to --revoke")
    where = at("extensions", number, "provisioning", id=which)
    daemon = Daemon(path)
    if revoke:
        body = done(daemon.ask("DELETE", where)).body
        return show(body, as_json, f"{number}: {which or 'all of its URLs'} revoked")
    if vendor is None:
        return _list(daemon.get(where), as_json)
    if secret == "-":
        given["secret"] = from_stdin("Secret")
    body = done(daemon.ask("POST", where, {"vendor": vendor, **given})).body
    assert isinstance(body, dict)
    lines = [str(body["url"])]
    lines += [f"  asks for {url}" for url in body["files"] if url != body["url"]]
    if qr:
        lines.append(_code(str(body["url"])))
    return show(body, as_json, "\n".join(lines))


def _list(body: object, as_json: bool) -> None:
    assert isinstance(body, dict)
    rows = body["urls"]
    text = table(rows, COLUMNS) if rows else f"{body['extension']} has no provisioning URL"
    if rows and not body["readable"]:
        text += "\nthis node cannot read the secret: set it again (`pbxfed ext set`)"
    show(body, as_json, text)


def _code(text: str) -> str:
    """A QR code (ISO/IEC 18004) of half blocks."""
    import io

    import segno

    out = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out, compact=True)
    return out.getvalue().rstrip("\n")
