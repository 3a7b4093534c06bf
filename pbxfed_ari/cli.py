"""pbxfed …: the operator's command. `run` is the daemon; every other command speaks to it over HTTP.

Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 3 the daemon cannot be reached.
"""

import json
import os
import secrets
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import click

from pbxfed_ari import __version__, config
from pbxfed_ari.errors import ConfigError, PbxfedError

REFUSED, UNREACHABLE = 1, 3
ASK_SECONDS = 10  # for an answer
STREAM_SECONDS = 60  # of silence: the daemon says something every 15
MOST_EVENTS = 1_000  # a daemon keeps no more
SECRET_BYTES = 12  # of a secret that we make: 96 bits, 16 characters


class _Daemon:
    """The way to the daemon's HTTP API."""

    def __init__(self, settings: config.Settings) -> None:
        self._listen = settings.http.listen
        self._token = settings.http_token()

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, object]:
        """(status, decoded body). Exits with 3 if nobody answers."""
        connection, own = self._connection(ASK_SECONDS)
        headers.update(own)
        payload = None if body is None else json.dumps(body)
        if payload is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, HTTPException) as error:
            self._away(error)
        try:
            return response.status, json.loads(text)
        except ValueError:
            _fail(f"http://{self._listen} is not pbxfed: another program has the port", UNREACHABLE)

    def stream(self, path: str) -> Iterator[dict[str, Any]]:
        """The objects of an event stream, as they come. Exits with 3 when the daemon goes away."""
        connection, headers = self._connection(STREAM_SECONDS)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            if response.status >= 400:
                self.done(response.status, json.loads(response.read()))
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))
        except (OSError, HTTPException, ValueError) as error:
            self._away(error)
        _fail("the daemon has ended the stream; it stops, or this reader was too slow", UNREACHABLE)

    def get(self, path: str) -> object:
        """The answer to a question; exits with 1 on an error."""
        return self.done(*self.ask("GET", path))

    def _connection(self, seconds: float) -> tuple[HTTPConnection, dict[str, str]]:
        """A connection, not open yet, and the headers that every request needs."""
        host, _, port = self._listen.rpartition(":")
        at = host.strip("[]") if host != "0.0.0.0" else "127.0.0.1"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return HTTPConnection(at, int(port), timeout=seconds), headers

    def _away(self, error: Exception) -> NoReturn:
        _fail(
            f"the daemon cannot be reached at http://{self._listen}: {error}; is `pbxfed run` running?",
            UNREACHABLE,
        )

    @staticmethod
    def done(status: int, body: object) -> object:
        """The body of a good answer; exits with 1 and the detail of a bad one."""
        if status >= 400:
            detail = body.get("detail") if isinstance(body, dict) else None
            _fail(str(detail or f"HTTP {status}"), REFUSED)
        return body


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"pbxfed: {message}", err=True)
    sys.exit(code)


def _settings(path: Path | None) -> config.Settings:
    try:
        return config.load(path)
    except ConfigError as error:
        _fail(str(error), REFUSED)


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def _print(value: object, as_json: bool, text: str) -> None:
    click.echo(json.dumps(value, indent=2) if as_json else text)


def _table(rows: object, columns: tuple[str, ...]) -> str:
    """Rows of objects as aligned columns."""
    assert isinstance(rows, list)
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    head = [column.replace("_", " ") for column in columns]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(columns))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in [head, *cells]
    )


def _site(site: dict[str, object], link: dict[str, object] | None) -> str:
    by = f"forwarder {site['forwarder'] or 'none'}"
    if not site.get("self"):
        return f"{site['site']}: {by}, heard {site['silent_seconds']} s ago"
    if link is None:
        return f"{site['site']} (this one): {by}; wan.link is not set here"
    up = "up" if link["up"] else f"down: {link['reason']}"
    return f"{site['site']} (this one): {by}; {link['link']} link {up}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) or "-" if isinstance(value, list) else str(value)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
    settings = _settings(path or given)
    from pbxfed_ari import node  # the daemon's imports are not every command's

    try:
        node.run(settings)
    except ConfigError as error:
        _fail(str(error), REFUSED)


@main.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="Configuration file.")
@click.pass_obj
def check(given: Path | None, path: Path | None) -> None:
    """Check the configuration and the files that it names; start nothing."""
    settings = _settings(path or given)
    from pbxfed_ari.keys import open_keyring

    try:
        settings.check_machine()
        open_keyring(settings.node.state, settings.federation_key(), write=False)
        settings.wan_access()
        settings.ari_password()
        settings.http_token()
    except ConfigError as error:
        _fail(str(error), REFUSED)
    click.echo(f"{settings.path}: good; node {settings.node.name} of {settings.federation.domain}")


@main.command()
@_as_json
def version(as_json: bool) -> None:
    """Print the release."""
    _print({"version": __version__}, as_json, f"pbxfed {__version__}")


@main.command()
@_as_json
@click.pass_obj
def status(path: Path | None, as_json: bool) -> None:
    """Show the node at a glance: health, Asterisk, members, counts."""
    body = _Daemon(_settings(path)).get("/status")
    assert isinstance(body, dict)
    health = body["health"] if body["health"] == "ok" else "; ".join(body["health"])
    asterisk = body["asterisk"]
    text = [
        f"node        {body['node']}, pbxfed {body['version']}, domain {body['domain']}",
        f"health      {health}",
        f"asterisk    {asterisk['state']}{' ' + str(asterisk['version']) if asterisk.get('version') else ''}",
        *[f"warning     {warning}" for warning in asterisk.get("warnings", []) + body["warnings"]],
        f"extensions  {body['extensions']}, {body['registered']} registered",
        f"calls       {body['calls']}",
        *[
            f"contested   {number}: claimed twice, the older claim stands; see `pbxfed ext list`"
            for number in body["contested"]
        ],
        *[f"site        {_site(site, body['wan'])}" for site in body["sites"]],
        "",
        _table(
            body["members"],
            (
                "node",
                "state",
                "takes_calls",
                "address",
                "site",
                "weight",
                "heard_by",
                "multicast_loss",
                "silent_seconds",
            ),
        ),
    ]
    _print(body, as_json, "\n".join(text))
    sys.exit(0)


@main.command()
@_as_json
@click.pass_obj
def members(path: Path | None, as_json: bool) -> None:
    """List every node as seen from here."""
    body = _Daemon(_settings(path)).get("/members")
    _print(
        body,
        as_json,
        _table(
            body,
            (
                "node",
                "state",
                "takes_calls",
                "address",
                "site",
                "weight",
                "trunks",
                "heard_by",
                "told_by",
                "multicast_loss",
                "silent_seconds",
            ),
        ),
    )


@main.command()
@click.argument("key", required=False)
@_as_json
@click.pass_obj
def ring(path: Path | None, key: str | None, as_json: bool) -> None:
    """Show the ring, or who owns KEY."""
    body = _Daemon(_settings(path)).get("/ring" if key is None else f"/ring/{quote(key, safe='')}")
    assert isinstance(body, dict)
    if key is None:
        text = f"fingerprint {body['fingerprint']}\n" + _table(
            body["members"], ("node", "weight", "share")
        )
    else:
        text = f"{key}: {body['owner']}, then {', '.join(body['preference'][1:]) or 'nobody'}"
    _print(body, as_json, text)


@main.command()
@click.argument("ext")
@_as_json
@click.pass_obj
def where(path: Path | None, ext: str, as_json: bool) -> None:
    """Show where EXT is registered."""
    body = _Daemon(_settings(path)).get(f"/where/{quote(ext, safe='')}")
    assert isinstance(body, dict)
    nowhere = f"{ext} is registered nowhere; its home by the ring is {body['home']}"
    text = (
        _table(body["registrations"], ("node", "uri", "since"))
        if body["registrations"]
        else nowhere
    )
    _print(body, as_json, text)


@main.command()
@click.argument("ext")
@click.option("--from", "caller", default="", help="The caller's extension.")
@_as_json
@click.pass_obj
def route(path: Path | None, ext: str, caller: str, as_json: bool) -> None:
    """Show how a call to EXT would go from here, and why. No call is made."""
    query = f"?{urlencode({'from': caller})}" if caller else ""
    body = _Daemon(_settings(path)).get(f"/route/{quote(ext, safe='')}{query}")
    assert isinstance(body, dict)
    lines = [f"try {i}: {t['reason']}" for i, t in enumerate(body["tries"], 1)]
    _print(body, as_json, "\n".join(lines) or f"no way: {body['reason']} (cause {body['cause']})")
    sys.exit(0 if body["tries"] else REFUSED)


@main.command()
@_as_json
@click.pass_obj
def calls(path: Path | None, as_json: bool) -> None:
    """List calls that came in here and are not over."""
    body = _Daemon(_settings(path)).get("/calls")
    _print(body, as_json, _table(body, ("call", "state", "from", "to", "came_by", "seconds")))


@main.command()
@click.option("--follow", is_flag=True, help="Go on with what happens, until ctrl-C.")
@click.option("--since", type=int, default=0, help="Only what came after the event of this id.")
@_as_json
@click.pass_obj
def events(path: Path | None, follow: bool, since: int, as_json: bool) -> None:
    """Show what the federation decided: the last thousand events of this boot."""
    daemon = _Daemon(_settings(path))
    if not follow:
        found = daemon.get(f"/events?since={since}&limit={MOST_EVENTS}")
        assert isinstance(found, list)
        _print(found, as_json, "\n".join(map(_event, found)))
        return
    try:
        for event in daemon.stream(f"/events?since={since}"):
            click.echo(json.dumps(event) if as_json else _event(event))
    except KeyboardInterrupt:
        return


def _event(event: dict[str, Any]) -> str:
    fields = " ".join(f"{name}={value}" for name, value in event["fields"].items())
    return (
        f"{event['id']}  {event['time']}  {event['level']:7}  {event['event']}  {fields}".rstrip()
    )


@main.group()
def ext() -> None:
    """Extensions: add, set, show, list, rm. On any node, for all of them."""


def _given_fields(name: str | None, secret: str | None, devices: int | None) -> dict[str, object]:
    if secret == "-":
        secret = sys.stdin.readline().rstrip("\r\n")
    given = {"name": name, "secret": secret, "devices": devices}
    return {key: value for key, value in given.items() if value is not None}


_name = click.option("--name", help="What is displayed.")
_secret = click.option(
    "--secret",
    envvar="PBXFED_SECRET",
    help="The phone's secret; - reads it from standard input.  [$PBXFED_SECRET]",
)
_devices = click.option("--devices", type=int, help="How many phones may be registered at once.")


_id = click.option(
    "--id", "object_id", help="One of several that claim NUMBER, as `ext list` shows."
)


def _extension(number: str, object_id: str | None) -> str:
    path = f"/extensions/{quote(number, safe='')}"
    return f"{path}?{urlencode({'id': object_id})}" if object_id else path


@ext.command("add")
@click.argument("number")
@_name
@_secret
@_devices
@_as_json
@click.pass_obj
def ext_add(
    path: Path | None,
    number: str,
    name: str | None,
    secret: str | None,
    devices: int | None,
    as_json: bool,
) -> None:
    """Add extension NUMBER. Without --secret one is made, and printed this once."""
    fields = _given_fields(name, secret, devices)
    made = "secret" not in fields
    if made:
        fields["secret"] = secrets.token_urlsafe(SECRET_BYTES)
    daemon = _Daemon(_settings(path))
    body = daemon.done(
        *daemon.ask(
            "PUT", f"/extensions/{quote(number, safe='')}", fields, **{"If-None-Match": "*"}
        )
    )
    assert isinstance(body, dict)
    shown = {**body, "secret": fields["secret"]} if made else body
    _print(
        shown,
        as_json,
        f"{number} added" + (f", secret {fields['secret']} (not shown again)" if made else ""),
    )


@ext.command("set")
@click.argument("number")
@_name
@_secret
@_devices
@_id
@_as_json
@click.pass_obj
def ext_set(
    path: Path | None,
    number: str,
    name: str | None,
    secret: str | None,
    devices: int | None,
    object_id: str | None,
    as_json: bool,
) -> None:
    """Change extension NUMBER: only what is given."""
    fields = _given_fields(name, secret, devices)
    if not fields:
        raise click.UsageError("nothing to change: give --name, --secret or --devices")
    daemon = _Daemon(_settings(path))
    body = daemon.done(*daemon.ask("PATCH", _extension(number, object_id), fields))
    _print(body, as_json, f"{number} changed")


@ext.command("show")
@click.argument("number")
@_as_json
@click.pass_obj
def ext_show(path: Path | None, number: str, as_json: bool) -> None:
    """Show extension NUMBER."""
    body = _Daemon(_settings(path)).get(f"/extensions/{quote(number, safe='')}")
    _print(body, as_json, _table([body], ("extension", "name", "devices", "registered")))


@ext.command("list")
@_as_json
@click.pass_obj
def ext_list(path: Path | None, as_json: bool) -> None:
    """List all extensions. Of those that claim the same number the older holds it; the other is contested."""
    body = _Daemon(_settings(path)).get("/extensions")
    assert isinstance(body, list)
    contested = any(row["state"] == "contested" for row in body)
    more = ("state", "id") if contested else ()
    _print(body, as_json, _table(body, ("extension", "name", "devices", "registered", *more)))


@ext.command("rm")
@click.argument("number")
@_id
@_as_json
@click.pass_obj
def ext_rm(path: Path | None, number: str, object_id: str | None, as_json: bool) -> None:
    """Remove extension NUMBER, everywhere; with --id only that one of several that claim it."""
    daemon = _Daemon(_settings(path))
    body = daemon.done(*daemon.ask("DELETE", _extension(number, object_id)))
    _print(body, as_json, f"{number} removed")


@main.command()
@click.option(
    "--ttl", type=int, default=3_600, show_default=True, help="Seconds until the token ends."
)
@_as_json
@click.pass_obj
def invite(path: Path | None, ttl: int, as_json: bool) -> None:
    """Print a token that lets one new machine become a member: `pbxfed join TOKEN` there."""
    daemon = _Daemon(_settings(path))
    body = daemon.done(*daemon.ask("POST", "/invitations", {"ttl": ttl}))
    assert isinstance(body, dict)
    _print(body, as_json, str(body["token"]))


@main.command()
@click.argument("token")
@click.option("--name", help="This node's name.  [the host's, without its domain]")
@click.option("--address", help="This node's IPv4 address.  [the one toward the inviter]")
@click.option("--site", help="This node's site.  [the inviter's]")
@click.option("--state", type=click.Path(path_type=Path), help="Folder for store and keys.")
@_as_json
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
        token = sys.stdin.readline().strip()
    where = joining.config_path(path, os.environ.get("PBXFED_CONFIG"))
    try:
        done = joining.join(token, where, name=name, address=address, site=site, state=state)
    except (PbxfedError, OSError) as error:
        _fail(str(error), REFUSED)
    body = {"node": done.name, "domain": done.domain, "config": str(done.config), "todo": done.todo}
    wrote = f"; wrote {done.config}" if done.written else ""
    lines = [
        f"node {done.name} is a member of {done.domain}{wrote}",
        *(f"  {t}" for t in done.todo),
    ]
    _print(body, as_json, "\n".join(lines))


@main.command()
@click.argument("node")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_as_json
@click.pass_obj
def expel(path: Path | None, node: str, yes: bool, as_json: bool) -> None:
    """Put NODE out, for good: it gets no new key, and its own is refused from now on."""
    if not yes and not click.confirm(f"Expel node {node}? It comes back only by a new invitation"):
        _fail("nothing was changed", REFUSED)
    daemon = _Daemon(_settings(path))
    body = daemon.done(*daemon.ask("DELETE", f"/members/{quote(node, safe='')}"))
    _print(body, as_json, f"{node} is expelled; all others have a new key within seconds")


@main.group()
def keys() -> None:
    """The group's keys: list, rotate. Secrets are never shown."""


@keys.command("list")
@_as_json
@click.pass_obj
def keys_list(path: Path | None, as_json: bool) -> None:
    """List the group's keys that this node holds, newest first."""
    body = _Daemon(_settings(path)).get("/keys")
    _print(body, as_json, _table(body, ("key", "state", "made", "by")))


@keys.command("rotate")
@_as_json
@click.pass_obj
def keys_rotate(path: Path | None, as_json: bool) -> None:
    """Make a new group key. All members have it a moment later; nothing is lost."""
    daemon = _Daemon(_settings(path))
    body = daemon.done(*daemon.ask("POST", "/keys/rotate"))
    assert isinstance(body, dict)
    _print(body, as_json, f"key {body['key']}; the older one is readable for a minute")


if __name__ == "__main__":
    main()
