"""What tests of calls need beside the federation: phones, an outside, objects, ways to connect; and that nothing is left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from lab.calls import Dialled
from lab.lab import Lab
from lab.members import Members
from lab.phone import PhoneRefused
from lab.places import locked
from pbxfed_ari.asterisk.contacts import LOOK
from release import deb
from tests.lab.conftest import SECRET, Federation, a_lab

# of a package: debian/rules' own takes a minute, and nothing that is tested depends on it
HASTE = {"COMPRESSION": "-Zgzip -z1"}
TURNS = 12  # times that bridge mode is asked for
CALM = 6.0  # seconds between them: a busy node has none for five
# a line to the outside, written by hand; what plays the outside is a phone that registers there
PROVIDER = f"""
[provider]
type=auth
auth_type=userpass
username=provider
password={SECRET}
[provider]
type=aor
max_contacts=1
remove_existing=yes
[provider]
type=endpoint
context=pbxfed-did
aors=provider
auth=provider
disallow=all
allow=ulaw

[mobile]
type=auth
auth_type=userpass
username=mobile
password={SECRET}
[mobile]
type=aor
max_contacts=1
remove_existing=yes
[mobile]
type=endpoint
context=pbxfed-did
aors=mobile
auth=mobile
disallow=all
allow=ulaw
"""


def a_package(temporary: pytest.TempPathFactory) -> Path:
    """The Debian package, built once for all testers, in haste."""
    base = temporary.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "package"
    with locked(folder.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
        if not folder.exists():
            patch.setenv("COMPRESSION", HASTE["COMPRESSION"])
            deb.build(folder.with_suffix(".new"))
            folder.with_suffix(".new").replace(folder)
    (made,) = folder.iterdir()
    return made


@contextmanager
def furnished(
    name: str, phones: Mapping[str, str], extra: Mapping[str, str] | None = None
) -> Iterator[Lab]:
    """Three nodes of their own with these phones, each beside its node; c has a line to the outside."""
    with a_lab(name, 3, extra={"c/pjsip.conf": PROVIDER} | dict(extra or {})) as lab:
        found = Federation(lab)
        found.until(found.whole)
        for number, node in phones.items():
            found.phone(number, node)
        lab.register("provider", "c", secret=SECRET)
        yield lab


@contextmanager
def registered(federation: Federation, phones: Mapping[str, str]) -> Iterator[None]:
    """These phones, each at its node; afterwards they do as phones do that nobody has told anything."""
    for number, node in phones.items():
        federation.phone(number, node)
    yield
    for number in phones:
        federation.lab.manners(number)


@contextmanager
def connecting(lab: Lab, control: str) -> Iterator[None]:
    """All nodes connect calls so: the legs are Dial's, or ours."""
    nodes = [node.name for node in lab.nodes()]
    for node in nodes:
        lab.configure(node, "calls", "control", control)
    try:
        yield
    finally:
        for node in nodes:
            lab.configure(node, "calls", "control", "handover")


@contextmanager
def set_up(federation: Federation, control: str, trunk: str) -> Iterator[None]:
    """All nodes connect so, and c is called by this trunk."""
    lab = federation.lab
    second = {"sip": "iax2", "iax2": "sip"}[trunk]
    lab.configure("c", "calls", "trunks", [trunk, second])
    try:
        with connecting(lab, control):
            federation.until(
                lambda: federation.get("a", "/route/1003")["tries"][0]["legs"][0]["trunk"] == trunk
            )
            calm(federation, control)
            yield
    finally:
        lab.configure("c", "calls", "trunks", ["sip", "iax2"])


def two_devices(federation: Federation) -> None:
    """1030 has one at b, and 1030/2 at c."""
    lab = federation.lab
    federation.add("1030")
    lab.http("a", "PATCH", "/extensions/1030", {"devices": 2})
    federation.until(federation.whole)
    lab.register("1030", "b", home="b")
    lab.register("1030/2", "c", home="c")
    federation.until(lambda: sorted(federation.where("1030", "a")) == ["b", "c"])


def put(federation: Federation, kind: str, key: str, node: str = "a", **fields: Any) -> None:
    """Add or change an object; known to every node afterwards."""
    collection = {"extension": "extensions", "class": "classes"}.get(kind, f"{kind}s")
    status, body = federation.lab.http(node, "PUT", f"/{collection}/{key}", fields)
    assert status in (200, 201), body
    federation.until(federation.whole, what=f"{kind} {key} everywhere")


def talk(federation: Federation, caller: str, called: str, hold: float = 0.6) -> str:
    """Call, talk, hang up: who answered, having heard and been heard."""
    found = federation.lab.call(caller, called, hold=hold)
    assert found.ok, found
    return str(found.details["answered_by"])


def the_only(federation: Federation, found: Callable[[], list[str]]) -> str:
    """What is found, as soon as it is one thing."""
    federation.until(lambda: len(found()) == 1, 5, what="there is one")
    return found()[0]


def bridges(federation: Federation, node: str) -> list[str]:
    """The bridges of ours at a node's Asterisk."""
    text = federation.lab.asterisk(node, "bridge show all")
    return [line.split()[0] for line in text.splitlines() if line.startswith("pf-")]


def channels(federation: Federation, node: str) -> int:
    """How many there are at a node, without those of the daemon's own that only ask Asterisk where phones are."""
    text = federation.lab.asterisk(node, "core show channels concise")
    names = [line.rpartition("!")[2] for line in text.splitlines() if "!" in line]
    return sum(not name.startswith(LOOK) for name in names)


def known(lab: Members, number: str, at: str, *, by: str) -> None:
    """A node hears that this phone is registered at another one, before anybody calls it there."""
    until = time.monotonic() + 10
    while True:
        status, body = lab.http(by, "GET", f"/where/{number}")
        if status == 200 and [place["node"] for place in body["registrations"]] == [at]:
            return
        assert time.monotonic() < until, (status, body)
        time.sleep(0.05)


def nothing_left(federation: Federation) -> None:
    """No channel, no bridge, no call."""
    federation.until(lambda: all(channels(federation, n) == 0 for n in "abc"), 5)
    federation.until(lambda: all(bridges(federation, n) == [] for n in "abc"), 5)
    federation.until(lambda: all(federation.get(n, "/calls") == [] for n in "abc"), 5)


def turns() -> Iterator[None]:
    """What must be in bridge mode is begun anew until it is: a machine that is busy hands calls over. Whoever has it leaves."""
    for _ in range(TURNS):
        yield
        time.sleep(CALM)
    raise AssertionError("the machine is too busy for bridge mode")


def bridged(federation: Federation, since: float) -> bool:
    """Do all nodes own the legs of the calls that go on, and came to them since then (time.time())?"""
    live = [call for node in federation.names for call in federation.get(node, "/calls")]
    lately = time.time() - since
    return {call["control"] for call in live if call["seconds"] < lately} == {"bridge"}


def in_bridge_mode(federation: Federation, caller: str, called: str) -> Dialled:
    """A call of which all nodes that it crosses own the legs."""
    return in_mode("bridge", federation, caller, called)


def in_mode(control: str, federation: Federation, caller: str, called: str) -> Dialled:
    """The same in either mode."""
    for _ in turns():
        dialled = federation.lab.dial(caller, called)
        if control != "bridge" or bridged(federation, dialled.started):
            break
        federation.lab.hang_up(dialled)
    return dialled


def rings_in_mode(
    control: str,
    federation: Federation,
    pool: Executor,
    caller: str,
    called: str,
    rung: str = "",
) -> Future[Dialled]:
    """The same of a call for which a phone rings now: the one of that number, or of another one."""
    lab, rung = federation.lab, rung or called
    for _ in turns():
        since = time.time()
        call = pool.submit(lab.dial, caller, called, timeout=20)
        federation.until(
            lambda: [c["state"] for c in lab.calls_of(rung, since)] == ["ringing"],  # noqa: B023
            what=f"{rung} rings",
        )
        if control != "bridge" or bridged(federation, since):
            break
        with suppress(PhoneRefused):
            lab.hang_up(call.result())
    return call


def calm(federation: Federation, control: str, caller: str = "1001", called: str = "1003") -> None:
    """If that is bridge mode it is to be had just now: else a test of both modes would be about handover again."""
    if control == "bridge":
        federation.lab.hang_up(in_bridge_mode(federation, caller, called))
        federation.until(
            lambda: all(federation.get(n, "/calls") == [] for n in federation.names), 5
        )


def press_at_once(
    federation: Federation, calls: Mapping[str, str], keys: str, *, info: bool
) -> None:
    """Each phone presses the last of these keys in its call, at the same time; each has got all of them in four seconds."""
    lab = federation.lab
    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(lambda phone: lab.press(phone, calls[phone], keys[-1], info=info), calls))

    def got(phone: str) -> str:
        return next(str(c["keys"]) for c in lab.calls_of(phone) if c["call"] == calls[phone])

    federation.until(lambda: all(got(phone) == keys for phone in calls), 4, what="each comes once")


def packets(federation: Federation) -> int:
    """How many have come to a by the SIP trunk to c in the call that goes on."""
    for line in federation.lab.asterisk("a", "pjsip show channelstats").splitlines():
        if " pf-c-" in line:
            return int(line.split()[4])
    return 0


def both_hear(federation: Federation, dialled: Dialled) -> bool:
    """Within the next seconds."""
    return all(federation.lab.listen(dialled, last_seconds=1.0)[0].values())
