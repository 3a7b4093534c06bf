"""A WebRTC client registers by secure WebSocket, is called across the federation, speaks and is spoken to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.asterisk import WSS_PORT
from lab.node import DOMAIN
from lab.places import CHECKOUT
from tests.lab.conftest import SECRET, Federation
from tests.lab.recording import power

NUMBER, TONE = "1052", 700


@pytest.fixture
def extension(federation: Federation) -> Iterator[str]:
    """It was `secure` before it became `webrtc`: nothing of that may stay."""
    federation.add(NUMBER, "A Browser")
    for profile in ("secure", "webrtc"):
        change = {"profile": profile}
        assert federation.lab.http("a", "PATCH", f"/extensions/{NUMBER}", change)[0] == 200
        federation.until(federation.whole)
    yield NUMBER
    federation.lab.http("a", "DELETE", f"/extensions/{NUMBER}")


@pytest.fixture
def browser(federation: Federation, extension: str) -> Iterator[Path]:
    """It stands beside the phones of node c, whose certificate it checks; yields where it writes what it heard."""
    lab, node = federation.lab, federation.lab.node("c")
    folder = lab.places.state / "browser"
    folder.mkdir(exist_ok=True)
    url = f"wss://{node.host.address}:{WSS_PORT}/ws"
    certificate, heard = str(node.folder / "lib/keys/sip.crt"), folder / "heard.wav"
    account = [url, extension, SECRET, DOMAIN, certificate, str(TONE), str(heard)]
    program = [sys.executable, "-m", "tests.lab.webphone", *account]
    with (folder / "log").open("wb") as log:
        phone = subprocess.Popen(
            ["ip", "netns", "exec", node.phones.namespace, *program],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield heard
    finally:
        phone.kill()
        phone.wait()
        print((folder / "log").read_text(errors="replace")[-3000:])


def test_a_webrtc_client_is_called_across_the_federation(
    federation: Federation, browser: Path
) -> None:
    """Digest by WebSocket, trunk, ICE and DTLS-SRTP, media both ways: 700 Hz from it to us, our tone in its recording."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.until(
        lambda: federation.where(NUMBER, "a") == ["c"], what="the client is registered at c"
    )
    assert "transport=ws" in lab.asterisk("c", f"pjsip show aor {NUMBER}")
    call = lab.dial("1001", NUMBER)
    assert lab.way("1001").peer == "c"

    def spoken() -> bool:
        heard = lab.group("a").ask(
            "call", phone="1001", call=call.id, tones=[TONE], last_seconds=1.0
        )["heard"]
        return bool(heard[str(TONE)] >= 0.8)

    federation.until(spoken, what="the client is heard")
    lab.hang_up(call)
    federation.until(browser.exists, what="what the client heard is written")
    ours = int(lab.phone("1001")["hertz"])
    assert power(browser, ours) > 10 * power(browser, ours + 130)


def test_a_webrtc_extension_hears_nothing_in_the_clear(
    federation: Federation, extension: str
) -> None:
    """A desk phone, which knows no DTLS, is sent no packet of sound; as soon as the extension is its own again, it is."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone(extension, "c")
    call = lab.dial(extension, "1001")
    time.sleep(0.5)
    ours = lab.group("c").ask("call", phone=extension, call=call.id, tones=[], last_seconds=0.5)
    lab.hang_up(call)
    assert ours["rtp_sent"] > 10
    assert ours["rtp_received"] == 0
    assert lab.call("1001", extension, hold=0.3).media["a_to_b"] is False
    assert lab.http("a", "PATCH", f"/extensions/{extension}", {"profile": "nat"})[0] == 200
    federation.until(federation.whole)
    assert lab.call("1001", extension, hold=0.3).ok
    assert lab.call(extension, "1001", hold=0.3).ok
