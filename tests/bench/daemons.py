"""Our own federation on the ground: `pbxfed run` on each node, with a tiny ARI beside it where phones shall register."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

from aiohttp import web

from lab.netns import socket_in
from lab.node import DOMAIN, daemon_program
from pbxfed_ari.installing.daemon import toml
from tests.asterisk.fake import FakeAri
from tests.bench.ground import PARALLEL, Ground, until
from tests.bench.system import System

ARI_PORT, HTTP_PORT = 8088, 8780
_DOWN = re.compile(r"^(\S+ \S+),(\d+) .*member down node=(\S+)")
Settings = dict[str, dict[str, Any]]
_GOT = re.compile(r"^(\d+) got (\S+)")


class Asterisks:
    """A tiny ARI on each of some hosts, all served by one thread."""

    def __init__(self, ground: Ground, nodes: list[str]) -> None:
        self._ground = ground
        self._loop = asyncio.new_event_loop()
        self.fakes = {node: FakeAri() for node in nodes}
        self._runners: list[web.AppRunner] = []
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="asterisks", daemon=True
        )
        self._thread.start()
        for node in nodes:
            self._do(self._serve(node))

    def close(self) -> None:
        """Hang up on every daemon."""
        for runner in self._runners:
            self._do(runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def registered(self, node: str, numbers: list[str], uri: str = "") -> float:
        """Phones have registered at a node, each an event, all in one go; when, by the monotonic clock."""
        began: float = self._do(self._registered(self.fakes[node], numbers, uri))
        return began

    async def _serve(self, node: str) -> None:
        listener = socket_in(self._ground.hosts[node].namespace)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", ARI_PORT))
        runner = web.AppRunner(
            self.fakes[node].application(), access_log=None, shutdown_timeout=0.1
        )
        await runner.setup()
        self._runners.append(runner)
        await web.SockSite(runner, listener).start()

    async def _registered(self, fake: FakeAri, numbers: list[str], known: str) -> float:
        events: list[dict[str, object]] = []
        for number in numbers:
            port = 5060 + secrets.randbelow(50_000)
            uri = known or f"sip:{number}@10.77.0.{1 + hash(number) % 9}:{port}"
            fake.contacts[number] = [uri]
            events.append(
                {
                    "type": "ContactStatusChange",
                    "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "endpoint": {"technology": "PJSIP", "resource": number, "state": "online"},
                    "contact_info": {
                        "uri": uri,
                        "contact_status": "NonQualified",
                        "aor": number,
                        "roundtrip_usec": "0",
                    },
                    "application": "pbxfed",
                }
            )
        began = time.monotonic()
        for event in events:
            await fake.send(event)
        return began

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


class Daemons(System):
    """`asterisks`: the nodes that have an ARI; the others answer 503 to /health, and federate all the same.

    `extra`: settings beside the usual, by node and section.
    """

    kind = "pbxfed"

    def __init__(
        self,
        ground: Ground,
        nodes: list[str],
        *,
        asterisks: list[str] | None = None,
        watched: bool = True,
        extra: Mapping[str, Settings] | None = None,
    ) -> None:
        super().__init__(ground, nodes)
        self._with_ari = nodes if asterisks is None else asterisks
        self._watched = watched
        self._extra = extra or {}
        self._told: dict[str, tuple[str, float]] = {}
        self.asterisks: Asterisks | None = None

    def __enter__(self) -> Daemons:
        return self

    def __exit__(self, *_: object) -> None:
        if self.asterisks is not None:
            self.asterisks.close()

    def start(self) -> None:
        """Start every daemon and wait until each sees all others alive, and all hold the same."""
        self.asterisks = Asterisks(self.ground, self._with_ari)
        self.ground.places.key_file.touch(mode=0o600)
        self.ground.places.key_file.write_text(secrets.token_hex(32) + "\n")
        for node in self.nodes:
            self.configure(node)
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(self.run, self.nodes))
        until(self.whole, 60 + len(self.nodes), "the federation is whole", every=0.5)

    def configure(self, node: str) -> None:
        """Write a node's file."""
        folder = self.ground.folder(node)
        password = folder / "ari.password"
        password.touch(mode=0o600)
        password.write_text(FakeAri().password)
        settings: Settings = {
            "node": {
                "name": node,
                "address": self.ground.hosts[node].address,
                "state": str(folder / "state"),
            },
            "federation": {"domain": DOMAIN, "key_file": str(self.ground.places.key_file)},
            "asterisk": {
                "password_file": str(password),
                "iax_peers": str(folder / "iax.conf"),
                "objects": str(folder / "objects.sqlite3"),
            },
            "calls": {"trunks": ["sip"]},
            "health": {"ignore": ["sip", "peers", "load"]},  # no SIP behind this ARI; one machine
        }
        for section, values in self._extra.get(node, {}).items():
            settings.setdefault(section, {}).update(values)
        (folder / "pbxfed.toml").write_text(toml(settings))

    def run(self, node: str) -> float:
        """Start one daemon and wait until it answers; when it was started."""
        program = [sys.executable, "-m", "tests.bench.watched"]
        if not self._watched:
            program = [daemon_program()]
        began = time.monotonic()
        config = str(self.ground.folder(node) / "pbxfed.toml")
        running = self.ground.spawn(node, [*program, "run", "--config", config])
        until(lambda: self._answers(node) or running.poll() is not None, 30, f"{node} answers")
        if running.poll() is not None:
            raise RuntimeError(
                f"{node} ended at once:\n{self.ground.log(node).read_text()[-2000:]}"
            )
        return began

    def _answers(self, node: str) -> bool:
        with contextlib.suppress(OSError, HTTPException):
            return self.http(node, "GET", "/version")[0] == 200
        return False

    def http(self, node: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask a daemon: status and decoded answer."""
        with contextlib.closing(self.connect(node)) as connection:
            return ask(connection, method, path, body)

    def connect(self, node: str) -> HTTPConnection:
        """A connection to a daemon, for many questions."""
        connection = HTTPConnection("127.0.0.1", HTTP_PORT)
        connection.sock = socket_in(self.ground.hosts[node].namespace)
        connection.sock.settimeout(30)
        try:
            connection.sock.connect(("127.0.0.1", HTTP_PORT))
        except OSError:
            connection.close()
            raise
        return connection

    def status(self, node: str) -> dict[str, Any]:
        """A daemon's account of itself."""
        answer: dict[str, Any] = self.http(node, "GET", "/status")[1]
        return answer

    def messages(self) -> dict[str, int]:
        """Messages sent by all nodes so far, by kind."""
        total: dict[str, int] = {}
        for node in self.nodes:
            for kind, count in self.status(node)["counters"]["messages_sent"].items():
                total[kind] = total.get(kind, 0) + count
        return total

    # --- System

    def tell(self, node: str, fact: str) -> None:
        """A phone registers."""
        assert self.asterisks is not None
        self._told[fact] = (node, self.asterisks.registered(node, [fact]))

    def told(self, fact: str) -> float:
        """When its Asterisk said so."""
        return self._told[fact][1]

    def heard(self, fact: str) -> dict[str, float]:
        """When each other daemon had the registration in its directory."""
        return {
            node: at
            for node in self.nodes
            if node != self._told[fact][0] and (at := self.applied(node).get(fact)) is not None
        }

    def applied(self, node: str) -> dict[str, float]:
        """When a daemon first applied each thing."""
        found: dict[str, float] = {}
        for line in self.ground.log(node).read_text().splitlines():
            if got := _GOT.match(line):
                found.setdefault(got[2], int(got[1]) / 1e9)
        return found

    def missed(self, node: str, since: float) -> dict[str, float]:
        """When each other daemon has written that this one is down."""
        ahead = time.time() - time.monotonic()
        found: dict[str, float] = {}
        for other in self.nodes:
            for line in self.ground.log(other).read_text().splitlines():
                down = _DOWN.match(line)
                if other == node or down is None or down[3] != node:
                    continue
                clock = time.mktime(time.strptime(down[1], "%Y-%m-%d %H:%M:%S"))
                at = clock + int(down[2]) / 1000 - ahead
                if at > since:
                    found.setdefault(other, at)
        return found

    def whole(self) -> bool:
        """Every node sees all others alive, and all hold the same."""
        vectors: set[str] = set()
        for node in self.nodes:
            status = self.status(node)
            alive = sum(member["state"] == "alive" for member in status["members"])
            if alive != len(self.nodes):
                return False
            vectors.add(status["vector"])
        return len(vectors) == 1


def ask(connection: HTTPConnection, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Ask on a connection that stays open."""
    text = None if body is None else json.dumps(body)
    connection.request(method, path, body=text, headers={"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    return response.status, json.loads(answer) if answer else None
