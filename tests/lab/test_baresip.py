"""A phone that is not ours: baresip registers, is called across the federation, speaks and is spoken to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.root import INSIDE
from tests.lab.conftest import SECRET, Federation
from tests.lab.foreign import MODULES, is_heard, running
from tests.lab.recording import power

NUMBER = "1020"
CONFIG = f"""
module_path {MODULES}
module g711.so
module srtp.so
module aufile.so
module account.so
module menu.so
sip_listen 0.0.0.0:5300
audio_player aufile,{INSIDE}/baresip/heard.wav
audio_source aufile,{INSIDE}/baresip/speaks.wav
audio_alert aufile,{INSIDE}/baresip/alert.wav
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports 11000-11100
net_interface e0
"""


@pytest.fixture(params=["nat", "secure"])
def baresip(federation: Federation, request: pytest.FixtureRequest) -> Iterator[Path]:
    """It stands beside the phones of node c and registers there, with its digest, by itself; `secure`: by TLS, SRTP only."""
    federation.add(NUMBER, "Not Ours")
    profile = {"profile": request.param}
    assert federation.lab.http("a", "PATCH", f"/extensions/{NUMBER}", profile)[0] == 200
    federation.until(federation.whole)
    secure = request.param == "secure"
    encrypted = ";mediaenc=srtp-mand" if secure else ""
    way = ":5061;transport=tls" if secure else ";transport=udp"
    lab, node = federation.lab, federation.lab.node("c")
    folder = lab.places.state / "baresip"
    folder.mkdir(exist_ok=True)
    believed = f"sip_cafile {INSIDE}/nodes/c/lib/keys/sip.crt\nsip_verify_server yes\n"
    (folder / "config").write_text(CONFIG + (believed if secure else ""))
    account = f"<sip:{NUMBER}@{node.host.address}{way}>;auth_user={NUMBER};auth_pass={SECRET}"
    (folder / "accounts").write_text(
        f"{account};answermode=auto;audio_codecs=PCMU/8000/1;regint=60{encrypted}\n"
    )
    with running(lab, "c", folder):
        yield folder


def test_a_baresip_phone_is_called_across_the_federation(
    federation: Federation, baresip: Path
) -> None:
    """Digest, trunk, media both ways: 700 Hz from it to us, our tone in its recording."""
    lab = federation.lab
    federation.phone("1001", "a")
    told = baresip / "log"  # what its predecessor has registered may stand still
    federation.until(lambda: "200 OK" in told.read_text(errors="replace"), what="it is registered")
    federation.until(
        lambda: federation.where(NUMBER, "a") == ["c"], what="baresip is registered at c"
    )
    call = lab.dial("1001", NUMBER)
    assert lab.way("1001").peer == "c"
    secure = "transport=tls" in (baresip / "accounts").read_text()
    assert ("transport=tls" in lab.asterisk("c", f"pjsip show aor {NUMBER}").lower()) is secure
    is_heard(federation, "a", "1001", call)
    lab.hang_up(call)
    time.sleep(0.5)
    spoken = int(lab.phone("1001")["hertz"])
    assert power(baresip / "heard.wav", spoken) > 10 * power(baresip / "heard.wav", spoken + 130)


def test_a_secure_extension_takes_no_call_in_the_clear(federation: Federation) -> None:
    """A phone that knows no SRTP is not spoken to."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1021", "c")
    assert lab.http("a", "PATCH", "/extensions/1021", {"profile": "secure"})[0] == 200
    federation.until(federation.whole)
    try:
        assert not lab.call("1001", "1021", hold=0.3).ok
        assert not lab.call("1021", "1001", hold=0.3).ok
    finally:
        lab.http("a", "DELETE", "/extensions/1021")
