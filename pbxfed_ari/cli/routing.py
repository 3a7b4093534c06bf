"""The way of a call that is not made: `route` in a line for each try, `explain` with all that led to it and what follows."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pbxfed_ari.cli.daemon import REFUSED, Daemon, at
from pbxfed_ari.cli.tables import as_json, show

# Q.850 causes, and the SIP answer that Asterisk makes of each (main/channel.c, hangup_cause2sip)
CAUSES = {
    1: "nobody has this number; SIP 404",
    17: "busy; SIP 486",
    19: "nobody answered; SIP 480",
    20: "no phone is registered; SIP 480",
    21: "not allowed; SIP 403",
    25: "forwards go round; SIP 483",
    27: "out of reach; SIP 502",
    34: "all lines are taken; SIP 503",
    38: "out of order; SIP 500",
    42: "congestion; SIP 503",
}
OUTCOMES = {"busy": "busy", "no_answer": "nobody answers", "unreachable": "no phone can be reached"}

_caller = click.option("--from", "caller", metavar="NUMBER", help="The extension that calls.")
_inbound = click.option(
    "--inbound", is_flag=True, help="EXT is an inbound number, called from outside."
)


@click.command()
@click.argument("ext")
@_caller
@_inbound
@as_json
@click.pass_obj
def route(path: Path | None, ext: str, caller: str | None, inbound: bool, as_json: bool) -> None:
    """Show how a call to EXT would go from here. No call is made."""
    body = _asked(path, ext, caller, inbound=inbound)
    lines = [f"try {i}: {t['reason']}" for i, t in enumerate(body["tries"], 1)]
    if not lines:
        lines = [f"no way: {body['reason']} (cause {body['cause']})"]
    lines += [f"then, if {_outcome(way)}: {way['why']}" for way in body.get("then", [])]
    show(body, as_json, "\n".join(lines))
    sys.exit(0 if _rings(body) else REFUSED)


@click.command()
@click.argument("ext")
@_caller
@_inbound
@as_json
@click.pass_obj
def explain(path: Path | None, ext: str, caller: str | None, inbound: bool, as_json: bool) -> None:
    """Explain how a call to EXT would go from here: every try, whom it rings, why, and what follows.

    No call is made. Tries follow one another until one is answered; the legs of one try ring together. Calling
    class and site of the caller count (--from); only an extension may call the outside.
    """
    body = _asked(path, ext, caller, inbound=inbound)
    who = "somebody outside" if inbound else body.get("from") or "somebody"
    lines = [f"{who} calls {body['extension']}", *(f"  {line}" for line in _explained(body))]
    show(body, as_json, "\n".join(lines))
    sys.exit(0 if _rings(body) else REFUSED)


def _asked(path: Path | None, ext: str, caller: str | None, *, inbound: bool) -> dict[str, Any]:
    query = {"from": caller, "inbound": "true" if inbound else None}
    body = Daemon(path).get(at("route", ext, **query))
    assert isinstance(body, dict)
    return body


def _rings(body: dict[str, Any]) -> bool:
    """Does the call get anywhere, forwards included?"""
    return bool(body.get("tries")) or any(map(_rings, body.get("then", [])))


def _explained(body: dict[str, Any]) -> Iterator[str]:
    """The tries in order; what follows on each outcome, further in; how it ends where nothing follows."""
    for i, one in enumerate(body["tries"], 1):
        yield f"{i}. {_done(one)}"
        yield f"   because {one['reason']}"
    ways = body.get("then", [])
    for way in ways:
        if "as" in way:
            yield f"if {_outcome(way)}: on to {way['to']}, as if {_outcome({'when': way['as']})}"
            continue
        yield f"if {_outcome(way)}: on to {way['to']}, because {way['why']}"
        yield from (f"  {line}" for line in _explained(way))
    cause, reason = body["cause"], body["reason"]
    meaning = f"cause {cause} ({CAUSES[cause]})" if cause in CAUSES else f"cause {cause}"
    why = f", because {reason}" if reason else ""
    if not body["tries"] and not ways:
        yield f"ends with {meaning}{why}"
    elif body["tries"]:
        yield f"else it ends with {meaning}{why}"
    else:
        yield f"rings nothing itself{why}"


def _outcome(way: dict[str, Any]) -> str:
    return OUTCOMES.get(way["when"], str(way["when"]))


def _done(one: dict[str, Any]) -> str:
    """What a try does: ring phones, or lead the call into the dialplan."""
    lead = one.get("lead")
    if lead:
        return (
            f"goes into the dialplan here: extension {lead['exten']} of context {lead['context']}"
        )
    if not one["legs"]:
        return "waits here, with music, until a member has time"
    return f"rings {' and '.join(map(_leg, one['legs']))}"


def _leg(leg: dict[str, Any]) -> str:
    """One leg: phones of this node, of another by one of its trunks, or the outside by a PSTN trunk."""
    where = (
        f"node {leg['node']} by {leg['trunk']}"
        if leg.get("trunk")
        else f"node {leg['node']} (here)"
    )
    if leg.get("digits"):
        return f"{leg['digits']} by the PSTN trunk {leg['line']} of {where}"
    if leg.get("line"):
        return f"the PSTN trunk {leg['line']} of {where}"
    if leg.get("instead_of"):
        where += f" in the stead of {' and '.join(leg['instead_of'])}"
    return f"{leg['number']} at {where}" if leg.get("number") else f"the phones at {where}"
