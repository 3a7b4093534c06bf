"""A group of phones as the lab sees it: start its process, send it requests."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from lab.forks import PHONES, ForkServer, start
from lab.netns import Host
from lab.places import CHECKOUT, LabError, Places
from lab.process import Process

STARTS_WITHIN = 10.0  # seconds


class PhoneRefused(LabError):
    """A phone could not do it; the text is the SIP status, or why it came to none."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Group(ABC):
    """Phones that one process holds. Equal groups are the same one."""

    home: str

    @property
    @abstractmethod
    def address(self) -> str:
        """The address that all of them have."""

    @abstractmethod
    def running(self) -> bool:
        """Tell whether the group's process lives."""

    @abstractmethod
    def start(self) -> None:
        """Start the group's process, unless it runs, and wait until it listens."""

    @abstractmethod
    def _exchange(self, line: bytes, patience: float) -> bytes:
        """Send one line to the process and bring its answer, or nothing."""

    def ask(self, do: str, *, patience: float = 120.0, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises:
            PhoneRefused: the phone could not do it.
            OSError: the group's process does not listen.
        """
        line = self._exchange(json.dumps({"do": do, **request}).encode() + b"\n", patience)
        if not line:
            raise LabError(f"the phones of {self.home} closed the connection; see their log")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PhoneRefused(answer["error"], answer["status"])
        return answer


@dataclass(frozen=True, slots=True)
class PhoneGroup(Group):
    """The phones whose home is one node: a namespace, an address, a process."""

    home: str
    host: Host
    domain: str
    places: Places
    forks: ForkServer | None = None

    @property
    def address(self) -> str:
        """The address that all of them have."""
        return self.host.address

    @property
    def _record(self) -> str:
        return f"{self.home}.phones"

    def running(self) -> bool:
        """Tell whether the group's process lives."""
        return Process.load(self.places.run / self._record) is not None

    def start(self) -> None:
        """Start the group's process and wait until it listens."""
        if self.running():
            return
        folder = self.places.phones
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.home}.sock").unlink(missing_ok=True)
        whose = [str(folder), self.home, self.host.address, self.domain]
        start(
            [sys.executable, "-m", "lab.phonebox", *whose],
            self.host.namespace,
            record=self.places.run / self._record,
            log=folder / f"{self.home}.log",
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            nice=-5,  # a late phone would look like a slow PBX
            forks=self.forks,
            entry=PHONES,
        )
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.ask("ping")
                return
            time.sleep(0.01)
        raise LabError(f"the phones of {self.home} do not start; see {folder}/{self.home}.log")

    def _exchange(self, line: bytes, patience: float) -> bytes:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(patience)
            folder = os.open(self.places.phones, os.O_PATH)
            try:  # through a handle: a socket's path may not be longer than 107 bytes
                control.connect(f"/proc/self/fd/{folder}/{self.home}.sock")
            finally:
                os.close(folder)
            control.sendall(line)
            with control.makefile("rb") as lines:
                return lines.readline()
