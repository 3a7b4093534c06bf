"""The federation's domain in DNS: for who keeps the zone by hand, and what delegates it to the nodes."""

from pathlib import Path

import click

from pbxfed_ari.cli.daemon import Daemon, at
from pbxfed_ari.cli.tables import as_json, show


@click.group()
def dns() -> None:
    """The SIP domain in DNS: how phones find a node that lives."""


@dns.command()
@click.option("--site", default="", metavar="SITE", help="Its nodes first: for its own phones.")
@click.option(
    "--delegation",
    is_flag=True,
    help="Only what the zone above must hold: the nodes that serve DNS, and their addresses.",
)
@as_json
@click.pass_obj
def zone(path: Path | None, site: str, delegation: bool, as_json: bool) -> None:
    """Print the domain as a zone file, for name servers that cannot delegate it to the nodes.

    It names all nodes, and does not follow their health: phones try one after the other.
    """
    body = Daemon(path).get(at("dns", "zone", site=site))
    assert isinstance(body, dict)
    part = "delegation" if delegation else "records"
    text = body["delegation_text" if delegation else "text"]
    show({"domain": body["domain"], "records": body[part]}, as_json, text.rstrip("\n"))
