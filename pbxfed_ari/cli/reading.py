"""Questions: the node at a glance, members, ring, registrations, calls, events. None changes anything, but `calls listen`."""

import json
from pathlib import Path
from typing import Any

import click

from pbxfed_ari.cli.daemon import Daemon, at, done
from pbxfed_ari.cli.tables import as_json, show, table
from pbxfed_ari.logs import one_line

RINGS = 1_530.0  # seconds that a phone may ring, and more
MOST_EVENTS = 1_000  # a daemon keeps no more
SHOWN = 5  # addresses that fail to authenticate; tries of a call that goes on


@click.command()
@as_json
@click.pass_obj
def status(path: Path | None, as_json: bool) -> None:
    """Show the node at a glance: health, Asterisk, members, counts."""
    body = Daemon(path).get("/status")
    assert isinstance(body, dict)
    health = body["health"] if body["health"] == "ok" else "; ".join(body["health"])
    asterisk = body["asterisk"]
    text = [
        f"node        {body['node']}, pbxfed {body['version']}, domain {body['domain']}",
        f"health      {health}",
        *([f"score       {body['score']:g}"] if body["sensors"] else []),
        *[f"reason      {_reason(sensor)}" for sensor in body["sensors"]],
        f"asterisk    {asterisk['state']}{' ' + str(asterisk['version']) if asterisk.get('version') else ''}",
        *[f"warning     {warning}" for warning in asterisk.get("warnings", []) + body["warnings"]],
        f"extensions  {body['extensions']}, {body['registered']} registered",
        f"calls       {body['calls']}",
        *[
            f"contested   {number}: claimed twice, the older claim stands; see `pbxfed ext list`"
            for number in body["contested"]
        ],
        *[f"site        {_site(site, body['wan'])}" for site in body["sites"]],
        *_failures(body["failed_authentications"]),
        "",
        table(
            body["members"],
            (
                "node",
                "state",
                "takes_calls",
                "condition",
                "address",
                "site",
                "weight",
                "heard_by",
                "multicast_loss",
                "silent_seconds",
            ),
        ),
    ]
    show(body, as_json, "\n".join(text))


@click.command()
@as_json
@click.pass_obj
def members(path: Path | None, as_json: bool) -> None:
    """List every node as seen from here."""
    body = Daemon(path).get("/members")
    show(
        body,
        as_json,
        table(
            body,
            (
                "node",
                "state",
                "takes_calls",
                "condition",
                "address",
                "site",
                "weight",
                "trunks",
                "avoided_trunks",
                "heard_by",
                "told_by",
                "multicast_loss",
                "silent_seconds",
            ),
        ),
    )


@click.command()
@click.argument("key", required=False)
@as_json
@click.pass_obj
def ring(path: Path | None, key: str | None, as_json: bool) -> None:
    """Show the ring, or who owns KEY."""
    body = Daemon(path).get(at("ring") if key is None else at("ring", key))
    assert isinstance(body, dict)
    if key is None:
        text = f"fingerprint {body['fingerprint']}\n" + table(
            body["members"], ("node", "weight", "share")
        )
    else:
        text = f"{key}: {body['owner']}, then {', '.join(body['preference'][1:]) or 'nobody'}"
    show(body, as_json, text)


@click.command()
@click.argument("ext")
@as_json
@click.pass_obj
def where(path: Path | None, ext: str, as_json: bool) -> None:
    """Show where EXT is registered; and on nodes out of reach, where it is called in their stead."""
    body = Daemon(path).get(at("where", ext))
    assert isinstance(body, dict)
    standing, taken = body["registrations"], body["taken_over"]
    said = [table(standing, ("node", "uri", "since"))] if standing else []
    if taken:
        said += [
            "Their nodes are out of reach, others call them:",
            table(taken, ("node", "uri", "by")),
        ]
    text = "\n".join(said) or f"{ext} is registered nowhere; its home by the ring is {body['home']}"
    show(body, as_json, text)


@click.group(invoke_without_command=True)
@click.option("--ended", is_flag=True, help="Calls that are over, the last of them.")
@click.option(
    "--last", type=click.IntRange(1, 1_000), default=20, show_default=True, help="So many."
)
@click.option("--number", default="", metavar="NUMBER", help="Only calls from or to NUMBER.")
@click.option(
    "--since",
    default="",
    metavar="TIME",
    help="Only calls that began at or after TIME, as 2026-11-25T08:30:00Z.",
)
@click.option("--parts", is_flag=True, help="Also calls that a peer's node has the record of.")
@click.option("--csv", "as_csv", is_flag=True, help="All calls that are over, for spreadsheets.")
@as_json
@click.pass_context
def calls(
    context: click.Context,
    ended: bool,
    last: int,
    number: str,
    since: str,
    parts: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List calls that came in here and are not over; with --ended or --csv those that are."""
    if context.invoked_subcommand is not None:
        return
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude one another")
    daemon = Daemon(context.obj)
    chosen = {
        "number": number or None,
        "since": since or None,
        "parts": "true" if parts else None,
    }
    if as_csv:
        for block in daemon.blocks(at("calls", "records", **chosen), "text/csv"):
            click.echo(block, nl=False)
        return
    if ended:
        body = daemon.get(at("calls", "records", last="true", limit=str(last), **chosen))
        assert isinstance(body, list)
        columns = ("began", "from", "to", "reached", "answered", "cause", "talked_seconds", "tries")
        show(body, as_json, table(body, (*columns, "recording")))
        return
    body = daemon.get("/calls")
    assert isinstance(body, list)
    rows = [
        {
            **one,
            "came_by": _came_by(one),
            "listened_by": [who["by"] for who in one["listened"]],
            "tries": _tries(one),
            "way": one["tries"][-1]["reason"] if one["tries"] else "",
        }
        for one in body
    ]
    listened = ("listened_by",) if any(one["listened"] for one in body) else ()
    columns = ("call", "state", "from", "to", "came_by", *listened, "seconds", "tries", "way")
    show(body, as_json, table(rows, columns))


@calls.command()
@click.argument("call")
@click.argument("extension")
@click.option(
    "--whisper",
    type=click.Choice(("caller", "called")),
    help="Who of them hears EXTENSION, too.",
)
@click.option("--barge", is_flag=True, help="Both of them hear EXTENSION, too.")
@as_json
@click.pass_obj
def listen(
    path: Path | None, call: str, extension: str, whisper: str | None, barge: bool, as_json: bool
) -> None:
    """Let EXTENSION listen in on CALL, a call's id: its phone rings, and hears both sides when it is answered.

    It ends when that phone hangs up, or with the call, whose record says who has listened.
    """
    if whisper and barge:
        raise click.UsageError("--barge lets both of them hear: leave out --whisper")
    heard_by = "both" if barge else whisper or "nobody"
    wanted = {"extension": extension, "heard_by": heard_by}
    asked = Daemon(path).ask("POST", at("calls", call, "listeners"), wanted, seconds=RINGS)
    said = f"{extension} listens in on call {call}, and is heard by {heard_by}"
    show(done(asked).body, as_json, said)


def _came_by(one: dict[str, Any]) -> str:
    if one["listens_to"]:
        return f"listens to {one['listens_to']}"
    return f"transfer by {by}" if (by := one["transferred_by"]) else str(one["came_by"])


def _tries(one: dict[str, Any]) -> list[str]:
    """The last ones, and how many there were before."""
    last = one["attempts"][-SHOWN:]
    before = one["tries_left_out"] + len(one["attempts"]) - len(last)
    return [*([f"{before} before"] if before else []), *map(_attempt, last)]


def _attempt(one: dict[str, Any]) -> str:
    """A try, what came of it, and after how many seconds; one that goes on tells how long it has lasted."""
    what = f"{one['number']} {one['outcome']}".rstrip().replace("_", " ")
    return f"{what} {one['seconds']:.1f}s"


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what happens, until ctrl-C.")
@click.option("--since", type=int, default=0, help="Only what came after the event of this id.")
@as_json
@click.pass_obj
def events(path: Path | None, follow: bool, since: int, as_json: bool) -> None:
    """Show what the federation decided: the last thousand events of this boot."""
    daemon = Daemon(path)
    if not follow:
        found = daemon.get(f"/events?since={since}&limit={MOST_EVENTS}")
        assert isinstance(found, list)
        show(found, as_json, "\n".join(map(_event, found)))
        return
    try:
        for event in daemon.stream(f"/events?since={since}"):
            click.echo(json.dumps(event) if as_json else _event(event))
    except KeyboardInterrupt:
        return


def _failures(found: dict[str, Any]) -> list[str]:
    """The addresses that fail to authenticate most."""
    read, rows = found["read_from"], found["addresses"]
    lines = [
        f"failing     {row['address']}: {row['failures']} failed authentications at {', '.join(row['nodes']) or 'no node'}"
        + (f", {row['forgeable']} more here that may be forged" if row["forgeable"] else "")
        for row in rows[:SHOWN]
    ]
    if rows[SHOWN:]:
        lines.append(f"failing     {len(rows) - SHOWN} addresses more: `pbxfed status --json`")
    if read["trouble"]:
        lines.append(f"failing     not counted here: {read['file']}: {read['trouble']}")
    return lines


def _event(event: dict[str, Any]) -> str:
    fields = " ".join(f"{name}={value}" for name, value in event["fields"].items())
    said = f"{event['id']}  {event['time']}  {event['level']:7}  {event['event']}  {fields}"
    return one_line(said.rstrip())


def _site(site: dict[str, object], link: dict[str, object] | None) -> str:
    by = f"forwarder {site['forwarder'] or 'none'}"
    if not site.get("self"):
        return f"{site['site']}: {by}, heard {site['silent_seconds']} s ago"
    if link is None:
        return f"{site['site']} (this one): {by}; wan.link is not set here"
    up = "up" if link["up"] else f"down: {link['reason']}"
    return f"{site['site']} (this one): {by}; {link['link']} link {up}"


def _reason(sensor: dict[str, Any]) -> str:
    """Why a node is not quite well, in one line."""
    said = f"{sensor['what']} (limit {sensor['limit']}), costs {sensor['costs']} of 10"
    return f"{said}; {sensor['remedy']}"
