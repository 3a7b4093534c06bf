"""The nodes of a lab, whatever kind of lab it is: which there are, and what can be asked of each.

A lab is native (`lab.lab`: namespaces and cables) or in containers (`lab.compose`). They differ in how a node is started,
executed in, killed and reached, and in nothing else: phones and calls are the same, and so is what is remembered.
"""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lab.places import LabError, Places

PARTS = {"all": ("daemon", "asterisk"), "daemon": ("daemon",), "asterisk": ("asterisk",)}
LOGS = ("pbxfed.log", "full", "console")

Say = Callable[[str], None]


class Member(Protocol):
    """One node: an Asterisk and the pbxfed beside it."""

    @property
    def name(self) -> str:
        """What the federation calls it."""

    @property
    def site(self) -> str:
        """The LAN that it is on."""

    @property
    def address(self) -> str:
        """Where phones and peers reach it."""

    def asterisk_up(self) -> bool:
        """Tell whether the Asterisk process lives."""

    def daemon_up(self) -> bool:
        """Tell whether the daemon process lives."""

    def http(
        self, method: str, path: str, body: object = None, *, patience: float = 10.0
    ) -> tuple[int, Any]:
        """Ask the daemon over HTTP: status and decoded answer."""

    def asterisk(self, command: str) -> str:
        """Ask Asterisk's command line, as `asterisk -rx` does."""

    def exec(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as the node would; `options` are subprocess.run's."""

    def tail(self, log: str, lines: int = 20) -> str:
        """The last lines of one of its logs, named in LOGS."""


class Members(ABC):
    """A lab's memory and its nodes."""

    places: Places

    @abstractmethod
    def nodes(self) -> Sequence[Member]:
        """The nodes of this lab, in order."""

    def node(self, name: str) -> Member:
        """One node by its name."""
        found = self.nodes()
        for node in found:
            if node.name == name:
                return node
        raise LabError(f"no node {name}: there are {', '.join(node.name for node in found)}")

    def http(self, node: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask a node's daemon over HTTP: status and decoded answer."""
        return self.node(node).http(method, path, body)

    def asterisk(self, node: str, command: str) -> str:
        """Ask a node's Asterisk, as `asterisk -rx` does."""
        return self.node(node).asterisk(command)

    def exec(
        self, node: str, argv: Sequence[str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as that node would; `options` are subprocess.run's."""
        return self.node(node).exec(argv, **options)

    def pbxfed(self, node: str, *argv: str, check: bool = True) -> str:
        """Run the daemon's command line on a node and return what it printed."""
        done = self.exec(node, ["pbxfed", *argv], capture_output=True)
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"{node}: pbxfed {' '.join(argv)}: exit {done.returncode}: {said}")
        return done.stdout

    def logs(self, node: str, lines: int = 40) -> str:
        """The ends of a node's logs."""
        member = self.node(node)
        return "\n".join(f"==> {node}: {name}\n{member.tail(name, lines)}" for name in LOGS)

    def _node_at(self, address: str | None) -> str | None:
        return next((node.name for node in self.nodes() if node.address == address), None)

    # --- memory ----------------------------------------------------------------------------------

    def _load(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self._text())
        return record

    def _text(self) -> str:
        try:
            return self.places.record.read_text()
        except FileNotFoundError:
            raise LabError(f"no lab in {self.places.state}: `up` first") from None

    def _save(self, record: Mapping[str, Any]) -> None:
        temporary = self.places.record.with_suffix(".new")
        temporary.write_text(json.dumps(record, indent=1))
        temporary.replace(self.places.record)
