"""Callers that go on to another node: SIPp with lab/wander.py's scenario, and two servers made of a few lines."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from lab.load import TOOLS
from lab.root import ensure_tools
from lab.sip import Message
from lab.wander import scenario

FULL, WORKING = "127.0.77.1", "127.0.77.2"
END = b"no more"
TALK = 1_000  # ms

Peer = tuple[str, int]


class Server(threading.Thread):
    """Challenges, and says `status` to who has authenticated; what it hears in a dialog that is not its own is answered 481."""

    def __init__(self, address: str, status: str, *, late: float = 0, again: str = "") -> None:
        """It takes `late` s to challenge, and sends what begins with `again` once more after half a second."""
        super().__init__()
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.link.bind((address, 5060))
        self._status, self._late, self._again = status, late, again
        self._timers: list[threading.Timer] = []

    def run(self) -> None:
        while (heard := self.link.recvfrom(65_535))[0] != END:
            asked = Message.parse(heard[0])
            match asked.start.split()[0], bool(asked.get("authorization")):
                case "ACK", _:
                    pass
                case "INVITE", False:
                    self._after(self._late, asked, heard[1], "401 Unauthorized")
                case "INVITE", True:
                    self._say(asked, heard[1], self._status)
                case _ if asked.get("to").endswith(f";tag={self._status[:3]}"):
                    self._say(asked, heard[1], "200 OK")
                case _:
                    self._say(asked, heard[1], "481 Call/Transaction Does Not Exist")
        for one in self._timers:
            one.cancel()
        self.link.close()

    def _say(self, asked: Message, peer: Peer, status: str, *, again: bool = False) -> None:
        """Each answer has a tag of its own, as Asterisk's have."""
        to = asked.get("to")
        fields = [(name, asked.get(name)) for name in ("via", "from", "call-id", "cseq")]
        fields.append(("to", to if ";tag=" in to else f"{to};tag={status[:3]}"))
        if status.startswith("401"):
            fields.append(("www-authenticate", 'Digest realm="x", nonce="x", algorithm=MD5'))
        self.link.sendto(Message(f"SIP/2.0 {status}", fields).render(), peer)
        if self._again and status.startswith(self._again) and not again:
            self._after(0.5, asked, peer, status, again=True)

    def _after(
        self, wait: float, asked: Message, peer: Peer, status: str, *, again: bool = False
    ) -> None:
        if not wait:
            return self._say(asked, peer, status, again=again)
        self._timers.append(
            threading.Timer(wait, self._say, (asked, peer, status), {"again": again})
        )
        return self._timers[-1].start()


@pytest.mark.parametrize(
    ("full", "working"),
    [
        pytest.param({"again": "503"}, {}, id="the refusal of who was asked first"),
        pytest.param({}, {"again": "401"}, id="the challenge of who has answered"),
        pytest.param({"late": 1.3}, {}, id="the challenge of who was given up"),
        pytest.param({"late": 1.1}, {"late": 0.3}, id="the same before the next one's"),
        pytest.param(
            {"status": "401 Unauthorized"}, {}, id="another challenge, as of one restarted"
        ),
    ],
)
def test_what_comes_late_amid_the_call_changes_nothing(
    full: dict[str, Any], working: dict[str, Any], tmp_path: Path
) -> None:
    """The BYE goes into the dialog of who has answered."""
    ensure_tools(TOOLS)
    (tmp_path / "wanderer.xml").write_text(scenario(2))
    row = f"1000;[authentication username=1000 password=x];1001;{FULL};{WORKING}"
    (tmp_path / "rows.csv").write_text(f"SEQUENTIAL\n{row}\n")
    command = ["sipp", f"{FULL}:5060", "-sf", "wanderer.xml", "-i", "127.0.0.1", "-nostdin"]
    command += ["-inf", "rows.csv", "-m", "1", "-d", str(TALK), "-trace_err"]
    servers = [
        Server(FULL, **{"status": "503 Service Unavailable", **full}),
        Server(WORKING, "200 OK", **working),
    ]
    for one in servers:
        one.start()
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=30, check=False)
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            for one in servers:
                link.sendto(END, one.link.getsockname())
        for one in servers:
            one.join()
    found = "\n".join(path.read_text() for path in tmp_path.glob("*_errors.log"))
    assert done.returncode == 0, found
