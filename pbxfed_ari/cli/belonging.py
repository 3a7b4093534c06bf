"""Who belongs: invite, join, expel, and the group's keys."""

import os
from pathlib import Path

import click

from pbxfed_ari.cli.daemon import REFUSED, Daemon, at, done, fail
from pbxfed_ari.cli.secrets import from_stdin
from pbxfed_ari.cli.tables import as_json, show, table
from pbxfed_ari.errors import PbxfedError
from pbxfed_ari.logs import one_line


@click.command()
@click.option(
    "--ttl", type=int, default=3_600, show_default=True, help="Seconds until the token ends."
)
@as_json
@click.pass_obj
def invite(path: Path | None, ttl: int, as_json: bool) -> None:
    """Print a token that lets one new machine in: `pbxfed join TOKEN` there."""
    daemon = Daemon(path)
    body = done(daemon.ask("POST", "/invitations", {"ttl": ttl})).body
    assert isinstance(body, dict)
    show(body, as_json, str(body["token"]))


@click.command()
@click.argument("token")
@click.option("--name", help="This node's name.  [the host's, without its domain]")
@click.option("--address", help="This node's IPv4 address.  [the one toward the inviter]")
@click.option("--site", help="This node's site.  [the inviter's]")
@click.option("--state", type=click.Path(path_type=Path), help="Folder for store and keys.")
@as_json
@click.pass_obj
def join(
    path: Path | None,
    token: str,
    name: str | None,
    address: str | None,
    site: str | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Become a member, with the TOKEN of `pbxfed invite`; - reads it from standard input. As the daemon's user."""
    from pbxfed_ari import joining

    if token == "-":
        token = from_stdin("Token of `pbxfed invite`").strip()
    where = joining.config_path(path, os.environ.get("PBXFED_CONFIG"))
    try:
        done = joining.join(token, where, name=name, address=address, site=site, state=state)
    except (PbxfedError, OSError) as error:
        fail(str(error), REFUSED)
    body = {"node": done.name, "domain": done.domain, "config": str(done.config), "todo": done.todo}
    wrote = f"; wrote {done.config}" if done.written else ""
    lines = [
        f"node {done.name} is a member of {done.domain}{wrote}",
        *(f"  {t}" for t in done.todo),
    ]
    show(body, as_json, "\n".join(lines))


@click.command()
@click.argument("node")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@click.pass_obj
def expel(path: Path | None, node: str, yes: bool, as_json: bool) -> None:
    """Put NODE out, for good: it gets no new key, and its own is refused from now on."""
    question = f"Expel node {one_line(node)}? It comes back only by a new invitation"
    if not yes and not click.confirm(question, err=True):
        fail("nothing was changed", REFUSED)
    daemon = Daemon(path)
    body = done(daemon.ask("DELETE", at("members", node))).body
    show(body, as_json, f"{node} is expelled; all others have a new key within seconds")


@click.group()
def keys() -> None:
    """The group's keys: list, rotate. Secrets are never shown."""


@keys.command("list")
@as_json
@click.pass_obj
def keys_list(path: Path | None, as_json: bool) -> None:
    """List the group's keys that this node holds, newest first."""
    body = Daemon(path).get("/keys")
    show(body, as_json, table(body, ("key", "state", "made", "by")))


@keys.command("rotate")
@as_json
@click.pass_obj
def keys_rotate(path: Path | None, as_json: bool) -> None:
    """Make a new group key. All members have it a moment later; nothing is lost."""
    daemon = Daemon(path)
    body = done(daemon.ask("POST", "/keys/rotate")).body
    assert isinstance(body, dict)
    show(body, as_json, f"key {body['key']}; the older one is readable for a minute")
