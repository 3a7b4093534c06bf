"""A phone that knows a URL and nothing else: its files come by HTTPS from one node, and from another when that is dead."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lab import tls
from lab.lab import Lab
from lab.root import INSIDE, ensure_tools
from tests.lab.conftest import Federation
from tests.lab.foreign import MODULES, is_heard, running
from tests.lab.recording import power

NUMBER, CALLER, PORT = "1022", "1023", 8783
SERVING = "ab"
SOUND = f"""
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports 11200-11300
net_interface e0
sip_listen 0.0.0.0:5310
module_path {MODULES}
"""


@pytest.fixture(scope="module")
def serving(lab: Lab) -> Lab:
    """Nodes a and b serve files, each with a certificate of its own for its address."""
    ensure_tools({"curl": "curl"})
    for name in SERVING:
        node = lab.node(name)
        lab.kill(name, "daemon")
        certify(lab, name)
        keys = node.folder / "lib/keys"
        for key, value in {
            "listen": f"{node.host.address}:{PORT}",
            "host": node.host.address,
            "certificate_file": str(keys / "phones.crt"),
            "key_file": str(keys / "phones.key"),
        }.items():
            lab.configure(name, "provisioning", key, value)
        lab.start(name, "daemon")
    return lab


def certify(lab: Lab, name: str) -> None:
    """A new certificate for a node's phones."""
    keys = lab.node(name).folder / "lib/keys"
    tls.write(keys / "phones.crt", keys / "phones.key", lab.node(name).host.address)


def curl(lab: Lab, node: str, path: str) -> subprocess.CompletedProcess[str]:
    """What a phone beside node c gets from a node; it believes that node's certificate only."""
    host = lab.node(node).host.address
    trusted = lab.node(node).folder / "lib/keys/phones.crt"
    asks = ["curl", "--silent", "--fail", "--max-time", "5", "--cacert", str(trusted)]
    return subprocess.run(
        [
            "ip",
            "netns",
            "exec",
            lab.node("c").phones.namespace,
            *asks,
            f"https://{host}:{PORT}{path}",
        ],
        text=True,
        capture_output=True,
        check=False,
    )


@contextmanager
def baresip(lab: Lab, node: str, base: str) -> Iterator[Path]:
    """A baresip with the files that a node gives it. The lab has no sound card, nobody to answer, no resolver but the nodes."""
    folder = lab.places.state / f"provisioned-{node}"
    folder.mkdir(exist_ok=True)
    found = {name: curl(lab, node, base + name) for name in ("accounts", "config")}
    assert all(done.returncode == 0 for done in found.values()), found
    config = found["config"].stdout
    heard, speaks = (f"{INSIDE}/{folder.name}/{name}.wav" for name in ("heard", "speaks"))
    for old, new in (
        ("module alsa.so", "module aufile.so"),
        ("audio_player alsa,default", f"audio_player aufile,{heard}"),
        ("audio_source alsa,default", f"audio_source aufile,{speaks}"),
        ("audio_alert alsa,default", f"audio_alert aufile,{INSIDE}/{folder.name}/alert.wav"),
        ("module stdio.so\n", ""),
    ):
        assert old in config
        config = config.replace(old, new)
    resolvers = "".join(f"dns_server {one.address}:53\n" for one in reversed(lab.nodes()))
    (folder / "config").write_text(SOUND + resolvers + config)
    (folder / "accounts").write_text(f"{found['accounts'].stdout.strip()};answermode=auto\n")
    with running(lab, "c", folder):
        yield folder


def registered(federation: Federation, folder: Path, dead: str = "") -> None:
    """It says so itself (its predecessor's registration may stand still), and all know."""
    told = folder / "log"
    federation.until(lambda: "200 OK" in told.read_text(errors="replace"), what="it is registered")
    federation.until(lambda: {*federation.where(NUMBER, "c")} - {dead} != set(), what="c knows it")


def calls_with_media(federation: Federation, folder: Path) -> None:
    """A phone at c calls it: each hears the other's tone."""
    lab = federation.lab
    call = lab.dial(CALLER, NUMBER)
    is_heard(federation, "c", CALLER, call)
    lab.hang_up(call)
    time.sleep(0.5)
    spoken = int(lab.phone(CALLER)["hertz"])
    assert power(folder / "heard.wav", spoken) > 10 * power(folder / "heard.wav", spoken + 130)


def test_a_phone_is_provisioned_by_one_node_and_by_another_when_that_is_dead(
    serving: Lab, federation: Federation
) -> None:
    """Its files, by its URL; it registers with what stands in them, and speaks. Nobody keeps the secret in the clear."""
    lab = serving
    federation.add(NUMBER, 'Odd "; Name'.replace('"', "'"))
    argv = ["pbxfed", "ext", "provision", NUMBER, "--vendor", "baresip", "--new-secret", "--json"]
    done = lab.exec("a", argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["url"].startswith(f"https://{lab.node('a').host.address}:{PORT}/{NUMBER}/")
    base = urlsplit(made["url"]).path.removesuffix("accounts")
    token = base.split("/")[2]
    federation.until(federation.whole)
    federation.phone(CALLER, "c")
    with baresip(lab, "a", base) as folder:
        account = (folder / "accounts").read_text()
        secret = account.split(";auth_pass=")[1].split(";")[0]
        registered(federation, folder)
        calls_with_media(federation, folder)
    assert curl(lab, "a", base.replace(token, token[::-1]) + "accounts").returncode == 22
    lab.kill("a")
    try:
        federation.until(lambda: federation.state("b", "a") == "down", what="a is down for b")
        with baresip(lab, "b", base) as folder:
            account = (folder / "accounts").read_text()
            assert f";auth_pass={secret};" in account
            assert lab.node("a").host.address not in account
            registered(federation, folder, dead="a")
            calls_with_media(federation, folder)
    finally:
        lab.start("a")
    federation.until(federation.whole, 30.0)
    kept = [
        p for n in lab.nodes() for d in ("state", "log", "lib") for p in (n.folder / d).rglob("*")
    ]
    for path in kept:
        if path.is_file():
            content = path.read_bytes()
            assert secret.encode() not in content, path
            assert token.encode() not in content, path
    assert any("fetched" in (n.folder / "log/pbxfed.log").read_text() for n in lab.nodes())
    certify(lab, "b")
    lab.configure("b", "provisioning", "expires", 90)  # and reads its file, and certificate, again
    federation.until(lambda: ";regint=90" in curl(lab, "b", f"{base}accounts").stdout)
    lab.exec("b", ["pbxfed", "ext", "provision", NUMBER, "--revoke"], capture_output=True)
    federation.until(federation.whole)
    assert curl(lab, "a", f"{base}accounts").returncode == 22
    assert curl(lab, "b", f"{base}accounts").returncode == 22
