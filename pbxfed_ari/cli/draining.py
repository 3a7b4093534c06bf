"""Draining a node before it is restarted, and taking that back."""

import time
from pathlib import Path
from typing import Any

import click

from pbxfed_ari.cli.daemon import REFUSED, Daemon, done, fail
from pbxfed_ari.cli.tables import as_json, show
from pbxfed_ari.core.membership.draining import LONGEST, PATIENCE

PATH = "/drain"
PAUSE = 0.5  # seconds between two looks
SHOWN = 10  # numbers of phones


@click.command()
@click.option(
    "--deadline",
    type=click.IntRange(1, LONGEST),
    metavar="SECONDS",
    help=f"After so many seconds what is left is told.  [default: {PATIENCE}]",
)
@click.option("--end", is_flag=True, help="Then end the calls that are left, but emergency calls.")
@click.option("--wait", is_flag=True, help="Wait until nobody is left, or for the deadline.")
@click.option("--show", "only_show", is_flag=True, help="Only show how far it is.")
@as_json
@click.pass_obj
def drain(
    path: Path | None,
    deadline: int | None,
    end: bool,
    wait: bool,
    only_show: bool,
    as_json: bool,
) -> None:
    """Drain this node: new calls and registrations go to others, running calls finish.

    It holds, restarts of the daemon included, until `pbxfed undrain`. With --wait the exit code is 1 if calls are left at the
    deadline; phones that stay are named.
    """
    daemon = Daemon(path)
    if only_show and (deadline is not None or end or wait):
        raise click.UsageError("--show only shows: leave the other options out")
    if only_show:
        state = _state(daemon.get(PATH))
        show(state, as_json, _text(state))
        return
    wanted: dict[str, object] = {"deadline": deadline} if deadline is not None else {}
    state = _state(done(daemon.ask("POST", PATH, {**wanted, "end": end})).body)
    if wait:
        state = _waited(daemon, state, quiet=as_json)
    show(state, as_json, _text(state))
    if wait and not state["drains"]:
        fail("the node is no longer drained: somebody has taken it back", REFUSED)
    if wait and state["calls"]:
        fail(f"{state['calls']} calls are left at the deadline; --end would end them", REFUSED)


@click.command()
@as_json
@click.pass_obj
def undrain(path: Path | None, as_json: bool) -> None:
    """Drain this node no longer: it takes calls and registrations as before."""
    state = _state(done(Daemon(path).ask("DELETE", PATH)).body)
    show(state, as_json, _text(state))


def _waited(daemon: Daemon, state: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """The state when nobody is left, the deadline has passed, or it was taken back."""
    told = ""
    while state["drains"] and not state["over"] and (state["calls"] or state["phones"]):
        if not quiet and (text := _left(state)) != told:
            told = text
            click.echo(f"{told}, {state['seconds_left']:.0f} s to the deadline")
        time.sleep(PAUSE)
        state = _state(daemon.get(PATH))
    if state["over"] and state["end"] and state["calls"]:
        time.sleep(PAUSE)  # those that are being ended
        state = _state(daemon.get(PATH))
    return state


def _state(body: object) -> dict[str, Any]:
    assert isinstance(body, dict)
    return body


def _left(state: dict[str, Any]) -> str:
    return f"{state['calls']} calls and {state['phones']} phones are left"


def _text(state: dict[str, Any]) -> str:
    if not state["drains"]:
        return "not drained: this node takes calls and registrations"
    numbers = state["numbers"]
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    who = f" ({', '.join(numbers[:SHOWN])}{more})" if numbers else ""
    left = f"{state['seconds_left'] or 0:.0f} s to the deadline"
    when = "the deadline has passed" if state["over"] else left
    return f"drained: {_left(state)}{who}; {when}"
