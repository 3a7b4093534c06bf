"""A federation of three real Asterisks for each file of tests; a test that breaks something mends it."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab.forks import ForkServer
from lab.lab import Lab
from lab.places import CHECKOUT, LabError, Places

SECRET = "correct-horse-9"
# Asterisk pings who has a connection to it (RFC 5626 §3.5.1), by default each 90 s: here amid every call
PINGED = {"c/pjsip.conf": "[global](+)\nkeep_alive_interval=1\n"}
# Sensors of what other testers do to the machine, and of calls that tests let fail: read where health is what is tested
TESTERS = ("load", "lag", "ari", "sip", "queues", "failures")
POLLS = 0.03  # of the time waited so far: who asks without a pause keeps others from work
# Files that take a minute and more, longest first: begun early, they leave no tester alone at the end
LONG = (
    "failures",
    "transfers",
    "setup",
    "sites",
    "network",
    "documents",
    "init",
    "object_commands",
    "package",
    "shares",
    "torture",
    "garbled",
    "newcomer",
    "news",
    "keys",
    "dns",
    "queues",
    "alone",
    "vagrant",
    "objects_in_calls",
    "rescue",
    "outside",
    "health",
    "knowing",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With --no-loadscope-reorder testers take files in this order."""
    here = Path(__file__).parent
    rank = {here / f"test_{name}.py": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path, len(LONG)))


class Federation:
    """The lab, with the questions that tests ask of it."""

    def __init__(self, lab: Lab, names: str = "abc") -> None:
        self.lab, self.names = lab, names

    def until(self, holds: Callable[[], bool], seconds: float = 15.0, *, what: str = "") -> float:
        """Wait until something holds; how long it took. Fails if it does not come true."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > seconds:
                raise AssertionError(f"not within {seconds} s: {what or holds}")
            time.sleep(min(0.1, max(0.02, POLLS * (time.monotonic() - began))))
        return time.monotonic() - began

    def get(self, node: str, path: str) -> Any:
        status, body = self.lab.http(node, "GET", path)
        assert status == 200, (path, status, body)
        return body

    def state(self, node: str, peer: str) -> str:
        """What a node holds of a peer."""
        return next(
            (str(m["state"]) for m in self.get(node, "/members") if m["node"] == peer), "unknown"
        )

    def where(self, number: str, node: str) -> list[str]:
        status, body = self.lab.http(node, "GET", f"/where/{number}")
        return [place["node"] for place in body["registrations"]] if status == 200 else []

    def whole(self, names: str = "") -> bool:
        """Every node (or these) is healthy, sees every other, and all hold the same."""
        names = names or self.names
        try:
            found = [self.lab.http(name, "GET", "/status") for name in names]
        except LabError:
            return False
        good = all(status == 200 and body["health"] == "ok" for status, body in found)
        return (
            good
            and all(
                sum(m["state"] == "alive" for m in body["members"]) == len(names)
                for _, body in found
            )
            and len({body["vector"] for _, body in found}) == 1
            and all(body["asterisk"]["objects_to_push"] == 0 for _, body in found)
        )

    def objects(self) -> list[Any]:
        """What every node holds of what was written, digests included. Vectors tell of phones and of health, too."""
        return [self.get(node, "/export?secrets=digests") for node in self.names]

    def add(self, number: str, name: str = "", node: str = "a") -> None:
        """An extension, unless it is there; known to every node's Asterisk afterwards."""
        status, _ = self.lab.http(node, "GET", f"/extensions/{number}")
        if status == 404:
            name = name or f"Phone {number}"
            fields = {"name": name, "secret": SECRET}
            assert self.lab.http(node, "PUT", f"/extensions/{number}", fields)[0] == 201
            self.lab.remember_extension(number, SECRET, name=name)
        self.until(self.whole, what=f"{number} everywhere")

    def phone(self, number: str, node: str, *, name: str = "", known: str = "abc") -> None:
        """A phone, registered there and seen by all."""
        self.add(number, name)
        self.lab.register(number, node)
        self.until(
            lambda: all(self.where(number, n) == [node] for n in known), what=f"{number} at {node}"
        )

    def fails(self, caller: str, called: str) -> tuple[int, list[str]]:
        """A call that must fail, at once: the SIP status, and what its Reason fields say (RFC 3326)."""
        since = time.time() - 0.001
        result = self.lab.call(caller, called)
        assert result.cause is not None, result
        (call,) = [one for one in self.lab.calls_of(caller, since) if not one["incoming"]]
        return int(str(result.cause).split()[0]), call["reasons"]

    def quiet(self) -> None:
        """Phones whose extension is no more would go on asking, be refused, and be told of in the whole federation."""
        for phone in self.lab.status()["phones"]:
            number = str(phone["extension"]).partition("/")[0]
            if number.isdecimal() and self.lab.http("a", "GET", f"/extensions/{number}")[0] == 404:
                self.lab.unplug(str(phone["extension"]))

    def settings(self) -> dict[str, str]:
        """What stands in each daemon's file."""
        return {name: self.lab.node(name).config.read_text() for name in self.names}

    def mend(self, settings: Mapping[str, str]) -> None:
        """What a test leaves that has failed: nodes run, with these settings, nobody talks, phones answer, no cable is cut."""
        for name in self.names:
            print(f"── {name}\n{self.lab.node(name).tail('pbxfed.log', 30)}")
        self.lab.heal()
        for name, text in self.settings().items():
            self.lab.undrop(name)
            if text != settings[name]:
                self.lab.kill(name, "daemon")
                self.lab.node(name).config.write_text(settings[name])
        self.lab.start_all(self.names)
        for name in self.names:
            with suppress(OSError, LabError):  # it has no phones
                group = self.lab.group(name)
                for call in group.ask("calls")["calls"]:
                    if call["state"] == "answered":
                        group.ask("hang_up", phone=call["phone"], call=call["call"])
        for phone in self.lab.status()["phones"]:
            self.lab.manners(phone["extension"])

    def refused(self, node: str, *argv: str) -> str:
        """The one line that a refused command prints; it must exit with 1."""
        done = self.lab.exec(node, ["pbxfed", *argv], capture_output=True, text=True)
        assert done.returncode == 1, done
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr.strip()


@cache
def fork_server() -> ForkServer:
    """For all labs of this tester. Who is killed and started again is started as users do."""
    server = ForkServer()
    atexit.register(server.close)
    return server


@contextmanager
def a_lab(
    name: str,
    nodes: int,
    *,
    extra: Mapping[str, str] | None = None,
    unread: Sequence[str] = TESTERS,
    forked: bool = True,
    **how: Any,
) -> Iterator[Lab]:
    """So many nodes, a, b, c …, from nothing; everything is removed at the end.

    `extra`: lines of Asterisk's files; `forked`: daemons are forked, not started as users do.
    """
    place = Places(CHECKOUT / f".lab-{name}")
    lab = Lab(place, extra=extra, unread=unread, forks=fork_server() if forked else None)
    lab.down()
    try:
        lab.up(nodes, **how)
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three nodes, new for each file: what happens in it does not depend on which others were run before, nor where."""
    tester = os.environ.get("PYTEST_XDIST_WORKER", "")
    with a_lab(f"test{tester}", 3, extra=PINGED, dns=True) as lab:
        yield lab


@contextmanager
def looked_after(found: Federation, request: pytest.FixtureRequest) -> Iterator[Federation]:
    """Whole before a test; what it leaves if it fails is mended."""
    failed, settings = request.session.testsfailed, found.settings()
    try:
        found.until(found.whole, what="the federation is whole")
    except AssertionError:
        found.mend(settings)
        raise
    yield found
    if request.session.testsfailed > failed:
        found.mend(settings)


@pytest.fixture
def federation(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Federation]:
    """The federation, whole. A test that fails shows what the daemons had said."""
    with looked_after(Federation(lab), request) as found:
        yield found
    found.quiet()
