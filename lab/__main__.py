"""The lab's command line. Exit 0: done; 1: refused or failed; 2: wrong usage."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, TypeVar

import click

from lab.compose import ComposeLab
from lab.hub import KINDS
from lab.lab import Lab
from lab.members import PARTS
from lab.places import LabError
from lab.transactions import Timers

TIMERS = [one.name for one in fields(Timers)]
F = TypeVar("F", bound=Callable[..., None])


def refusals(command: F) -> F:
    """Turn a LabError into one line and exit 1."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except (LabError, OSError) as error:
            click.echo(f"lab: {error}", err=True)
            sys.exit(1)

    return run  # type: ignore[return-value]


def told() -> Callable[[str], None]:
    """What tells each step as it is done, with the time that it took."""
    begun = time.monotonic()
    return lambda text: click.echo(f"[{time.monotonic() - begun:5.1f} s] {text}")


def native_lab() -> Lab:
    """The lab of this checkout, in namespaces."""
    return Lab(say=told())


def the_lab() -> Lab | ComposeLab:
    """The lab that is up: the native one of this checkout, otherwise one in containers."""
    native = native_lab()
    if native.places.record.exists() or not shutil.which("docker"):
        return native
    containers = ComposeLab(say=told())
    try:
        return containers if containers.running() else native
    except LabError as error:
        raise LabError(f"no lab in {native.places.state}, and {error}") from None


def cabled_lab() -> Lab:
    """The lab that is up, for what only a native one has."""
    lab = the_lab()
    if isinstance(lab, ComposeLab):
        raise LabError(
            "a lab in containers has no cables to cut or count at: "
            "`kill` and `start`, or a native lab (`down`, then `up`)"
        )
    return lab


def parts(command: F) -> F:
    """The options --daemon, --asterisk, --all."""
    for part in PARTS:
        chosen = click.option(f"--{part}", "what", flag_value=part, default=part == "all")
        command = chosen(command)
    return command


@click.group()
def main() -> None:
    """Real Asterisks, phones and cables on this machine."""


@main.command()
@click.option("--nodes", default=3, show_default=True, type=click.IntRange(1))
@click.option("--sites", default=1, show_default=True, type=click.IntRange(1))
@click.option(
    "--wan",
    type=click.Choice(KINDS),
    help="How the sites meet: zenoh (at nodes of two sites; the default of several sites) or nats (at a hub).",
)
@click.option(
    "--nat", multiple=True, metavar="SITE", help="A site that can dial out and not be dialled."
)
@click.option("--dns", is_flag=True, help="Every node answers for the domain.")
@click.option("--no-daemon", is_flag=True, help="Asterisk only.")
@click.option("--docker", is_flag=True, help="In containers: three nodes, or four on two sites.")
@refusals
def up(
    nodes: int,
    sites: int,
    wan: str | None,
    nat: tuple[str, ...],
    dns: bool,
    no_daemon: bool,
    docker: bool,
) -> None:
    """Make the lab and start every node. Sites are called main, branch1, branch2 …"""
    if docker:
        ComposeLab(say=told()).up(sites)
        return
    native_lab().up(nodes, sites=sites, daemon=not no_daemon, wan=wan, nat=nat, dns=dns)


@main.command()
@refusals
def down() -> None:
    """Remove everything."""
    found: Lab | ComposeLab = native_lab()
    with contextlib.suppress(LabError):  # no engine runs: then nothing runs in it
        found = the_lab()
    found.down()


@main.command()
@click.option("--json", "as_json", is_flag=True)
@refusals
def status(as_json: bool) -> None:
    """Nodes and phones."""
    found = the_lab().status()
    if as_json:
        click.echo(json.dumps(found))
        return
    for node in found["nodes"]:
        click.echo(
            "{name:4} {address:14} {site:8} asterisk {asterisk:5} daemon {daemon}".format(**node)
        )
    if hub := found["wan"]["hub"]:
        click.echo("{:4} {:14} {:8} nats     {}".format("hub", hub["address"], "", hub["state"]))
    for phone in found["phones"]:
        where = f"registered at {phone['node']}" if phone["registered"] else "not registered"
        click.echo(f"{phone['extension']:8} {phone['address']:14} {where}")


@main.group()
def phone() -> None:
    """SIP phones."""


@phone.command("register")
@click.argument("ext")
@click.argument("node")
@click.option("--secret", help="Default: the one with which the lab added it.")
@click.option("--server", "servers", multiple=True, help="A node to go to when NODE is silent.")
@click.option("--home", help="The node whose phones it stands beside. Default: NODE, or the first.")
@click.option("--new-device", is_flag=True, help="Register under another Contact URI.")
@click.option("--transport", type=click.Choice(["udp", "tcp"]), help="Default: UDP, or by NAPTR.")
@click.option(
    "--timer",
    "timers",
    multiple=True,
    metavar="NAME=SECONDS",
    help=f"How long it waits: {', '.join(TIMERS)}.",
)
@refusals
def phone_register(
    ext: str,
    node: str,
    secret: str | None,
    servers: tuple[str, ...],
    home: str | None,
    new_device: bool,
    transport: str | None,
    timers: tuple[str, ...],
) -> None:
    """Register phone EXT at NODE; one that is elsewhere moves there.

    NODE may be the domain: the phone finds its nodes by DNS (RFC 3263). `up --dns` lets the nodes answer.
    """
    done = the_lab().register(
        ext,
        node,
        secret=secret,
        servers=servers,
        home=home,
        same_contact=not new_device,
        transport=transport,
        timers=_seconds(timers),
    )
    click.echo(f"{ext} registered at {done.node} in {done.ms:.1f} ms as {done.contact}")


def _seconds(timers: tuple[str, ...]) -> dict[str, float]:
    """`t1=0.1` as a number by its name. Raises: click.BadParameter."""
    found = {}
    for text in timers:
        name, _, seconds = text.partition("=")
        if name not in TIMERS or not seconds.replace(".", "", 1).isdecimal():
            raise click.BadParameter(f"{text}: NAME=SECONDS, with {', '.join(TIMERS)} as names")
        found[name] = float(seconds)
    return found


@phone.command("unregister")
@click.argument("ext")
@refusals
def phone_unregister(ext: str) -> None:
    """Sign phone EXT off."""
    the_lab().unregister(ext)


@phone.command("manners")
@click.argument("ext")
@click.option("--answer-after", type=float, default=0.0, help="Milliseconds.")
@click.option("--never", is_flag=True, help="Let it ring.")
@click.option("--refuse", help="A SIP status, as '486 Busy Here'.")
@refusals
def phone_manners(ext: str, answer_after: float, never: bool, refuse: str | None) -> None:
    """What phone EXT does when it is called."""
    the_lab().manners(ext, answer_after_ms=None if never else answer_after, refuse=refuse)


@main.command()
@click.argument("caller", metavar="FROM")
@click.argument("called", metavar="TO")
@click.option("--hold", default=1.5, show_default=True, help="Seconds to talk.")
@click.option("--timeout", default=40.0, show_default=True, help="Seconds to ring at most.")
@click.option("--json", "as_json", is_flag=True)
@refusals
def call(caller: str, called: str, hold: float, timeout: float, as_json: bool) -> None:
    """Call, talk, hang up. Exit 0 only if each heard the other."""
    done = the_lab().call(caller, called, hold=hold, timeout=timeout)
    if as_json:
        click.echo(json.dumps(done.as_json()))
    elif done.ok:
        way = f"over {done.trunk}" if done.trunk else "within one node"
        nodes = " → ".join(node or "?" for node in done.nodes)
        click.echo(
            f"{caller} → {called} ({nodes}, {way}): answered in {done.setup_ms:.1f} ms, both heard"
        )
    else:
        click.echo(f"{caller} → {called}: {done.cause}")
    sys.exit(0 if done.ok else 1)


@main.command()
@click.argument("node")
@parts
@refusals
def kill(node: str, what: str) -> None:
    """Kill -9 NODE's processes (`hub`: the NATS server)."""
    the_lab().kill(node, what)


@main.command()
@click.argument("node")
@parts
@refusals
def start(node: str, what: str) -> None:
    """Start what does not run of NODE (`hub`: the NATS server)."""
    the_lab().start(node, what)


@main.command()
@click.argument("nodes", nargs=-1, required=True)
@refusals
def cut(nodes: tuple[str, ...]) -> None:
    """Pull the cables of NODES (site:NAME cuts a site off, `hub` the NATS server)."""
    cabled_lab().cut(*nodes)


@main.command()
@refusals
def heal() -> None:
    """Plug every cable in again."""
    cabled_lab().heal()


@main.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@refusals
def execute(node: str, command: tuple[str, ...]) -> None:
    """Run COMMAND as NODE would: `pbxfed …` and `asterisk -rx …` mean that node's."""
    sys.exit(the_lab().exec(node, command).returncode)


@main.command("bytes")
@click.option("--json", "as_json", is_flag=True)
@refusals
def count(as_json: bool) -> None:
    """Frames and bytes per node, and of each site's way to the others, counted by the kernel."""
    lab = cabled_lab()
    found = lab.bytes()
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [
        (name, kind, traffic.get(kind, traffic))
        for name, traffic in found.items()
        for kind in ("all", "federation", "wan")
    ]
    rows += [(site, "edge", asdict(traffic)) for site, traffic in lab.edge_bytes().items()]
    for name, kind, one in rows:
        out = f"out {one['tx_bytes']:>10} bytes {one['tx_frames']:>7} frames"
        click.echo(
            f"{name:8} {kind:10} {out}   in {one['rx_bytes']:>10} bytes {one['rx_frames']:>7} frames"
        )


@main.command()
@click.argument("node")
@click.option("--lines", default=40, show_default=True)
@refusals
def logs(node: str, lines: int) -> None:
    """The ends of NODE's logs."""
    click.echo(the_lab().logs(node, lines))


if __name__ == "__main__":
    main(prog_name="python -m lab")
