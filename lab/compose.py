"""The lab in containers: what `docker compose` made of lab/compose.yaml or lab/compose.sites.yaml, used as the native lab is.

Everything goes by the `docker` program, so that it does not matter whose engine it is and where it runs. A node is a container
in which lab/container.py keeps Asterisk and daemon running; the phones of a site are one container, too. Containers are found
by their labels: who says `docker compose up` needs no `lab up`. There are no cables here: cutting and counting are the native
lab's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

from lab.calls import Calls
from lab.hub import HUB
from lab.members import PARTS, Say
from lab.phone import Group
from lab.places import CHECKOUT, LabError, Places

LABEL = "pbxfed.lab"
FILES = {1: CHECKOUT / "lab/compose.yaml", 2: CHECKOUT / "lab/compose.sites.yaml"}
DOMAIN = "pbxfed.lab"
DAEMON_PORT = 8780
CONTROL = "unix:/run/pbxfed/control"
PHONES = "unix:/run/pbxfed/phones.sock"
PYTHON = "/opt/pbxfed/bin/python"
LOG = "/var/log/asterisk/full"
STARTS_WITHIN = 60.0  # seconds; a container with all in it


def docker(*argv: str, patience: float | None = None, text: bytes | None = None) -> bytes:
    """Run the `docker` program; what it printed.

    Raises: LabError, with what it said, and what can be done about it.
    """
    if not shutil.which("docker"):
        raise LabError("docker: there is no such program here; `python -m lab.engine up` has one")
    try:
        done = subprocess.run(
            ["docker", *argv], input=text, capture_output=True, check=False, timeout=patience
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"docker {argv[0]}: no answer within {patience:g} s") from None
    if done.returncode:
        raise LabError(_refusal(argv, done.stderr.decode(errors="replace")))
    return done.stdout


def _refusal(argv: Sequence[str], said: str) -> str:
    last = (said.strip().splitlines() or ["it failed"])[-1]
    remedies = {
        "Cannot connect to the Docker daemon": "start the engine; `python -m lab.engine up` is one",
        "compose": "",
        "Pool overlaps": "another network of this engine, or of this machine, has these addresses: "
        "`docker network ls`, `docker network rm`",
        "is not running": "`python -m lab start NODE`",
        "No such container": "`docker compose up` again",
    }
    remedy = next((text for sign, text in remedies.items() if sign in last and text), "")
    return f"docker {argv[0]}: {last}" + (f": {remedy}" if remedy else "")


@dataclass(frozen=True, slots=True)
class Container:
    """One container of the lab, as the engine describes it."""

    id: str
    service: str
    role: str  # node, phones, hub or router
    site: str
    address: str
    project: str

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Container:
        """From what `docker inspect` tells."""
        labels = found["Config"]["Labels"]
        networks = list(found["NetworkSettings"]["Networks"].values())
        own = [n["IPAddress"] or (n["IPAMConfig"] or {}).get("IPv4Address", "") for n in networks]
        return cls(
            id=found["Name"].removeprefix("/"),
            service=labels["com.docker.compose.service"],
            role=labels[LABEL],
            site=labels.get("pbxfed.site", ""),
            address=own[0] if own else "",
            project=labels["com.docker.compose.project"],
        )

    def up(self) -> bool:
        """Tell whether it runs."""
        state = docker("inspect", "--format", "{{.State.Running}}", self.id)
        return state.strip() == b"true"

    def relay(self, target: str, request: bytes, *, patience: float) -> bytes:
        """Bring a request to a socket in the container (lab/relay.py), and its answer."""
        relay = [PYTHON, "-m", "lab.relay", target]
        return docker("exec", "--interactive", self.id, *relay, patience=patience, text=request)


@dataclass(frozen=True, slots=True)
class ComposeNode:
    """A node in a container."""

    container: Container

    @property
    def name(self) -> str:
        """What the federation calls it."""
        return self.container.service

    @property
    def site(self) -> str:
        """The LAN that it is on."""
        return self.container.site

    @property
    def address(self) -> str:
        """Where phones and peers reach it."""
        return self.container.address

    def parts(self, do: str = "status") -> dict[str, bool]:
        """Which of its parts live, after `start daemon`, `kill asterisk` … is done."""
        if not self.container.up():
            return {"asterisk": False, "daemon": False}
        answer = self.container.relay(CONTROL, do.encode() + b"\n", patience=30.0)
        found: dict[str, bool] = json.loads(answer)
        return found

    def asterisk_up(self) -> bool:
        """Tell whether the Asterisk process lives."""
        return self.parts()["asterisk"]

    def daemon_up(self) -> bool:
        """Tell whether the daemon process lives."""
        return self.parts()["daemon"]

    def http(
        self, method: str, path: str, body: object = None, *, patience: float = 10.0
    ) -> tuple[int, Any]:
        """Ask the daemon over HTTP, inside the container."""
        data = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if data else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{DAEMON_PORT}\r\nConnection: close\r\n"
        request = f"{head}{kind}Content-Length: {len(data)}\r\n\r\n".encode() + data
        raw = self.container.relay(f"tcp:{DAEMON_PORT}", request, patience=patience)
        response = HTTPResponse(_Answer(raw), method=method)  # type: ignore[arg-type]
        response.begin()
        text = response.read().decode(errors="replace")
        if "json" in response.headers.get("Content-Type", ""):
            return response.status, json.loads(text) if text else None
        return response.status, text

    def asterisk(self, command: str) -> str:
        """Ask Asterisk's command line, as `asterisk -rx` does."""
        return docker("exec", self.container.id, "asterisk", "-rx", command).decode()

    def exec(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the container; `options` are subprocess.run's."""
        options = {"text": True, "check": False, **options}
        keep = ["--interactive"] if "input" in options or "stdin" in options else []
        command = ["docker", "exec", *keep, self.container.id, *argv]
        done: subprocess.CompletedProcess[str] = subprocess.run(command, **options)
        return done

    def tail(self, log: str, lines: int = 20) -> str:
        """The last lines: of `full`, which Asterisk writes, or of what the container printed."""
        if log == "full":
            return docker("exec", self.container.id, "tail", "-n", str(lines), LOG).decode()
        if log == "console":
            return "(see pbxfed.log: the container prints both)"
        printed = subprocess.run(
            ["docker", "logs", "--tail", str(lines), self.container.id],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return printed.stdout


class _Answer(BytesIO):
    """What came back, as the socket that HTTPResponse wants."""

    def makefile(self, mode: str) -> BytesIO:
        return self


@dataclass(frozen=True, slots=True)
class ComposePhones(Group):
    """The phones of a site: one container."""

    home: str
    container: Container

    @property
    def address(self) -> str:
        """The address that all of them have."""
        return self.container.address

    def running(self) -> bool:
        """Tell whether the container runs."""
        return self.container.up()

    def start(self) -> None:
        """Start the container, unless it runs."""
        if not self.running():
            docker("start", self.container.id)

    def _exchange(self, line: bytes, patience: float) -> bytes:
        return self.container.relay(PHONES, line, patience=patience)


class ComposeLab(Calls):
    """The lab in containers. `project` is compose's name for it, needed where several run."""

    domain = DOMAIN

    def __init__(
        self,
        places: Places | None = None,
        *,
        project: str | None = None,
        say: Say = lambda text: None,
    ) -> None:
        self.places = places or Places.of_containers()
        self._project = project or os.environ.get("COMPOSE_PROJECT_NAME")
        self._say = say

    # --- the whole -------------------------------------------------------------------------------

    def up(self, sites: int = 1) -> None:
        """Build the image, start every container and wait until all are well.

        Raises: LabError, with compose's last line.
        """
        if sites not in FILES:
            raise LabError(f"sites = {sites}: the lab in containers has 1 or 2; the native one any")
        self._forget()
        self._say(f"docker compose -f {FILES[sites]} up")
        docker("compose", "-f", str(FILES[sites]), "up", "-d", "--build", "--wait", "--quiet-pull")
        for node in self.nodes():
            self._wait(node)
            self._say(f"{node.name}: up")

    def down(self) -> None:
        """Remove everything: containers, networks, volumes, memory. The image stays."""
        for project in {one.project for one in self._containers}:
            docker("compose", "-p", project, "down", "--volumes", "--remove-orphans", "-t", "10")
        if self.places.state.exists():
            shutil.rmtree(self.places.state)
        self._forget()

    def running(self) -> bool:
        """Tell whether there are containers of a lab."""
        return bool(self._containers)

    def status(self) -> dict[str, Any]:
        """The contract of `status --json`."""
        hubs = [one for one in self._containers if one.role == "hub"]
        up = {True: "up", False: "down"}

        def told(node: ComposeNode) -> dict[str, Any]:
            parts = {part: up[lives] for part, lives in node.parts().items()}
            return {"name": node.name, "site": node.site, "address": node.address, **parts}

        hub = {"address": hubs[0].address, "state": up[hubs[0].up()]} if hubs else None
        with ThreadPoolExecutor(8) as pool:
            nodes = list(pool.map(told, self.nodes()))
        return {
            "domain": self.domain,
            "wan": {"link": "nats" if hubs else "none", "nat": [], "hub": hub},
            "nodes": nodes,
            "phones": self._phones_told(),
        }

    # --- nodes -----------------------------------------------------------------------------------

    def nodes(self) -> list[ComposeNode]:
        """The nodes of this lab, in order."""
        if not self._containers:
            raise LabError(f"no lab in containers: `docker compose -f {FILES[1]} up -d` first")
        return [ComposeNode(one) for one in self._containers if one.role == "node"]

    def node(self, name: str) -> ComposeNode:
        """One node by its name."""
        found = super().node(name)
        assert isinstance(found, ComposeNode)
        return found

    def group(self, home: str) -> ComposePhones:
        """The phones at home at one node: those of its site."""
        site = self.node(home).site
        for one in self._containers:
            if one.role == "phones" and one.site == site:
                return ComposePhones(site, one)
        raise LabError(f"no container with phones at site {site}")

    def start(self, node: str, what: str = "all") -> None:
        """Start what does not run of a node, and wait until it is well; or the `hub`."""
        if node == HUB:
            docker("start", self._hub().id)
            return
        member = self.node(node)
        if not member.container.up():
            docker("start", member.container.id)
        else:
            for part in PARTS[what]:
                member.parts(f"start {part}")
        self._wait(member, daemon=what != "asterisk")

    def kill(self, node: str, what: str = "all") -> None:
        """Kill -9 a node's `asterisk`, its `daemon`, or the whole container; or the `hub`."""
        if node == HUB or what == "all":
            container = self._hub() if node == HUB else self.node(node).container
            if container.up():
                docker("kill", container.id)
        else:
            self.node(node).parts(f"kill {what}")

    def _hub(self) -> Container:
        for one in self._containers:
            if one.role == "hub":
                return one
        raise LabError(f"no hub here: {FILES[2]} has one")

    def _wait(self, node: ComposeNode, *, daemon: bool = True) -> None:
        until = time.monotonic() + STARTS_WITHIN
        answer: object = "nothing"
        while time.monotonic() < until:
            try:
                if daemon:
                    status, answer = node.http("GET", "/health")
                    if status == 200:
                        return
                else:
                    node.asterisk("core waitfullybooted")
                    return
            except LabError as error:
                answer = error
            if not node.container.up():
                break
            time.sleep(0.2)
        raise LabError(f"{node.name} is not well: {answer}\n{node.tail('pbxfed.log')}")

    # --- containers ------------------------------------------------------------------------------

    @cached_property
    def _containers(self) -> list[Container]:
        """Every container of the lab, by service; of the one project that there is."""
        listed = docker("ps", "-aq", "--filter", f"label={LABEL}", patience=10.0).decode().split()
        found = json.loads(docker("inspect", *listed)) if listed else []
        containers = sorted((Container.of(one) for one in found), key=lambda one: one.service)
        projects = sorted({one.project for one in containers})
        if self._project:
            return [one for one in containers if one.project == self._project]
        if len(projects) > 1:
            choice = f"COMPOSE_PROJECT_NAME={projects[0]}"
            raise LabError(f"there are several labs: {', '.join(projects)}; choose one: {choice}")
        return containers

    def _forget(self) -> None:
        self.__dict__.pop("_containers", None)

    # --- memory ----------------------------------------------------------------------------------

    def _load(self) -> dict[str, Any]:
        if not self.places.record.exists():
            self.places.state.mkdir(parents=True, exist_ok=True)
            self._save({"extensions": {}, "phones": {}})
        return super()._load()
