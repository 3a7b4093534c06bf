"""The lab tested against plain Asterisk, without our daemon: what it claims about calls must be true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.lab import Lab
from lab.netns import Network
from lab.phone import PhoneRefused
from lab.places import CHECKOUT, LabError, Places
from lab.root import TOOLS, root_path

PHONES = [str(number) for number in range(2001, 2009)]

PJSIP = "".join(
    f"""
[{number}]
type=endpoint
context=test
disallow=all
allow=ulaw
auth={number}
aors={number}
callerid="Phone {number}" <{number}>
direct_media=no
[{number}]
type=auth
username={number}
password=secret-{number}
[{number}]
type=aor
max_contacts=2
remove_existing=no
"""
    for number in PHONES
)


def trunk_to(peer: str, address: str) -> str:
    """A static trunk as the daemon would push it."""
    return f"""
[pf-{peer}]
type=endpoint
context=test
disallow=all
allow=ulaw
aors=pf-{peer}
direct_media=no
trust_id_inbound=yes
send_pai=yes
from_user=pf-x
[pf-{peer}]
type=aor
contact=sip:{address}:5060
[pf-{peer}]
type=identify
endpoint=pf-{peer}
match={address}
"""


EXTRA = {
    "pjsip.conf": PJSIP,
    "a/pjsip.conf": trunk_to("b", "10.77.0.12"),
    "b/pjsip.conf": trunk_to("a", "10.77.0.11"),
    "a/iax.conf": "[pf-b]\ntype=peer\nhost=10.77.0.12\nusername=pf-a\nsecret=s\nauth=md5\n",
    "b/iax.conf": "[pf-a]\ntype=user\nsecret=s\nauth=md5\ncontext=test\n",
    "extensions.conf": """
[test]
exten => _2XXX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN})},30)
 same => n,Hangup(${HANGUPCAUSE})
exten => _8.,1,Dial(PJSIP/${EXTEN:1}@pf-b,30)
exten => _9.,1,Dial(IAX2/pf-b/${EXTEN:1},30)
exten => 700,1,Answer()
 same => n,Echo()
""",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A state folder of its own: the checkout's lab may be running."""
    return Places(tmp_path_factory.mktemp("lab") / "state")


@pytest.fixture(scope="module")
def lab(places: Places) -> Iterator[Lab]:
    """Two plain Asterisks with eight phones known to both."""
    made = Lab(places, extra=EXTRA)
    made.up(2, daemon=False)
    yield made
    made.down()


@pytest.fixture
def two(lab: Lab) -> Lab:
    """Phones 2001 and 2002 registered at a, with good manners."""
    for number in ("2001", "2002"):
        lab.register(number, "a", secret=f"secret-{number}")
        lab.manners(number)
    return lab


def test_a_call_is_ok_when_each_heard_the_other(two: Lab) -> None:
    """The lab's word for a call that works."""
    done = two.call("2001", "2002", hold=0.8)
    assert done.ok, done
    assert done.media == {"a_to_b": True, "b_to_a": True}
    assert done.nodes == ("a", "a")
    assert done.trunk is None
    assert done.caller_id == {"name": "Phone 2001", "number": "2001"}
    assert done.invites == 1
    assert done.cause is None
    assert done.setup_ms is not None
    assert done.setup_ms < 100


@pytest.mark.parametrize(
    ("outgoing", "media"),
    [(False, {"a_to_b": False, "b_to_a": True}), (True, {"a_to_b": True, "b_to_a": False})],
)
def test_one_way_sound_is_not_a_call(lab: Lab, outgoing: bool, media: dict[str, bool]) -> None:
    """An answered call in which only one hears is the commonest broken call there is."""
    lab.register("2001", "a", secret="secret-2001")
    lab.register("2003", "b", secret="secret-2003")
    lab.drop("phones:b", "udp dport 10000-20000", outgoing=outgoing)
    try:
        done = lab.call("2001", "82003", hold=0.8)
    finally:
        swallowed = lab.dropped("phones:b")
        lab.undrop("phones:b")
    assert not done.ok
    assert done.media == media
    assert done.cause is not None
    assert swallowed > 20


def test_an_echo_is_not_the_other_phone(two: Lab) -> None:
    """Hearing oneself proves nothing about anybody else."""
    done = two.call("2001", "700", hold=0.5)
    assert not done.ok
    assert done.media == {"a_to_b": False, "b_to_a": False}


@pytest.mark.parametrize(("digit", "trunk"), [("8", "sip"), ("9", "iax2")])
def test_a_call_across_a_trunk_names_the_trunk(lab: Lab, digit: str, trunk: str) -> None:
    """`trunk` is what the caller's PBX says, and the phone that heard is found whatever was dialed."""
    lab.register("2001", "a", secret="secret-2001")
    lab.register("2003", "b", secret="secret-2003")
    done = lab.call("2001", f"{digit}2003", hold=0.8)
    assert done.ok, done
    assert done.trunk == trunk
    assert done.nodes == ("a", "b")
    assert done.details["answered_by"] == "2003"


def test_a_failed_call_says_why_at_once(two: Lab) -> None:
    """A cause, as SIP says it, and no waiting."""
    begun = time.monotonic()
    assert two.call("2001", "6999").cause == "404 Not Found"
    two.manners("2002", refuse="486 Busy Here")
    busy = two.call("2001", "2002")
    assert (busy.ok, busy.cause, busy.invites) == (False, "486 Busy Here", 1)
    assert time.monotonic() - begun < 2


def test_a_phone_may_take_its_time_or_never_answer(two: Lab) -> None:
    """Setup time includes the ringing, and the caller's patience ends it."""
    two.manners("2002", answer_after_ms=300)
    late = two.call("2001", "2002", hold=0.5)
    assert late.ok
    assert late.setup_ms is not None
    assert 300 <= late.setup_ms < 400
    two.manners("2002", answer_after_ms=None)
    never = two.call("2001", "2002", timeout=0.5)
    assert (never.ok, never.cause, never.invites) == (False, "408 Request Timeout", 1)
    until = time.monotonic() + 5
    while (cause := two.calls_of("2002")[-1]["cause"]) == "" and time.monotonic() < until:
        time.sleep(0.02)  # the CANCEL is on its way
    assert cause == "cancelled"


def test_many_calls_at_once_are_told_apart(lab: Lab) -> None:
    """Each phone has a tone of its own, so no call is proved by another's sound."""
    for number in PHONES:
        lab.register(number, "a", secret=f"secret-{number}")
        lab.manners(number)
    pairs = list(zip(PHONES[::2], PHONES[1::2], strict=True))
    with ThreadPoolExecutor(len(pairs)) as pool:
        done = list(pool.map(lambda pair: lab.call(*pair, hold=0.8), pairs))
    assert [one.ok for one in done] == [True] * 4, done


def test_a_wrong_secret_is_said(lab: Lab) -> None:
    """With the status."""
    with pytest.raises(PhoneRefused, match="401: wrong secret"):
        lab.register("2008", "a", secret="wrong")
    assert lab.register("2008", "a", secret="secret-2008").ms < 200


def test_a_phone_moves_without_a_word_at_the_old_node(lab: Lab) -> None:
    """As a roaming phone: the old registrar is not told, the Contact stays the same, or does not."""
    first = lab.register("2004", "a", secret="secret-2004")
    moved = lab.register("2004", "b")
    assert moved.contact == first.contact
    assert moved.ms < 200
    assert first.contact in lab.asterisk("a", "pjsip show contacts")
    assert first.contact in lab.asterisk("b", "pjsip show contacts")
    assert lab.register("2004", "b", same_contact=False).contact != first.contact
    phones = {one["extension"]: one for one in lab.status()["phones"]}
    assert phones["2004"]["node"] == "b"
    assert phones["2004"]["address"] == "10.77.0.111"


def test_a_phone_with_a_second_server_leaves_a_dead_one(lab: Lab) -> None:
    """Killed Asterisk: within its patience the phone is at the next; the node starts again."""
    lab.register("2005", "a", secret="secret-2005", servers=["b"])
    lab.kill("a")
    assert [node["asterisk"] for node in lab.status()["nodes"]] == ["down", "up"]
    deadline = time.monotonic() + 5
    while lab.phone("2005")["server"] != "10.77.0.12" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert lab.phone("2005")["server"] == "10.77.0.12"
    lab.start("a")
    assert lab.register("2001", "a", secret="secret-2001").node == "a"


def test_a_cut_node_is_silent_and_its_phones_are_not(lab: Lab) -> None:
    """A cut takes the node's cable only; after heal it is as it was."""
    lab.register("2006", "b", secret="secret-2006", home="a")
    lab.cut("a")
    with pytest.raises(PhoneRefused, match="no answer within"):
        lab.register("2001", "a", secret="secret-2001", timeout=0.7)
    assert lab.register("2006", "b").ms < 200
    lab.heal()
    assert lab.register("2001", "a", timeout=2).ms < 600
    lab.register("2006", "a")
    assert lab.call("2001", "2006", hold=0.5).ok


def test_federation_frames_are_counted_and_lost_as_told(lab: Lab) -> None:
    """Bytes are Ethernet frames at the switch port: 100 of payload are 142; own echoes do not count."""
    sender = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for _ in range(5): s.sendto(b'x' * 100, ('239.255.77.80', 8781))"
    )
    before = lab.bytes()
    lab.drop("b", count=2)
    lab.exec("a", [sys.executable, "-c", sender], check=True)
    lab.drop("b")
    lab.exec("a", [sys.executable, "-c", sender], check=True)
    assert lab.dropped("b") == 7
    lab.undrop("b")
    lab.exec("a", [sys.executable, "-c", sender], check=True)
    after = lab.bytes()

    def grown(node: str, key: str) -> int:
        return int(after[node]["federation"][key] - before[node]["federation"][key])

    assert (grown("a", "tx_frames"), grown("a", "tx_bytes")) == (15, 15 * 142)
    assert (grown("b", "rx_frames"), grown("b", "rx_bytes")) == (8, 8 * 142)
    assert (grown("a", "rx_frames"), grown("b", "tx_frames")) == (0, 0)
    assert after["a"]["tx_bytes"] - before["a"]["tx_bytes"] >= 15 * 142


def test_exec_speaks_to_that_node(lab: Lab) -> None:
    """`asterisk -rx` in exec is that node's, with its real console."""
    done = lab.exec("b", ["asterisk", "-rx", "core show settings"], capture_output=True, check=True)
    assert "System name:                 b" in done.stdout
    shown = lab.exec("b", ["ip", "-brief", "address"], capture_output=True, check=True)
    assert "10.77.0.12" in shown.stdout


def test_a_second_up_is_refused(lab: Lab, places: Places) -> None:
    """A running lab is not to be trampled on."""
    with pytest.raises(LabError, match="a lab is running"):
        Lab(places).up(1, daemon=False)


def test_down_leaves_nothing(tmp_path: Path) -> None:
    """No namespace, process, mount or file; and a killed `up` leaves nothing the next cannot remove."""
    places = Places(tmp_path / "state")
    command = [sys.executable, "-m", "lab", "up", "--nodes", "2", "--no-daemon"]
    environment = {**os.environ, "PBXFED_LAB": str(places.state), "PYTHONPATH": str(CHECKOUT)}
    half = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not (places.run / "a.asterisk").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    half.send_signal(signal.SIGKILL)
    half.wait()
    network = Network(places.prefix)
    assert network.leftovers()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    lab = Lab(places)
    lab.remember_extension("2001", "x")
    with pytest.raises(PhoneRefused):
        lab.register("2001", "a")
    assert len(network.pids()) == 3
    lab.down()
    assert network.leftovers() == []
    assert not places.state.exists()
    assert str(root_path()) not in Path("/proc/mounts").read_text()
    processes = Path("/proc").glob("[0-9]*/cmdline")
    assert not [p for p in processes if str(places.state).encode() in _read(p)]
    assert not list(Path("/run/lock").glob(f"*{places.prefix}*"))


FAKE_DAEMON = """#!{python}
import http.server, json, os, signal, sys, tomllib
if sys.argv[1] == "ext":
    print(json.dumps(sys.argv[1:]), os.environ["PBXFED_CONFIG"])
    sys.exit(0)
path = sys.argv[3]
level = tomllib.load(open(path, "rb"))["log"]["level"]
def read_again(*_):
    global level
    level = tomllib.load(open(path, "rb"))["log"]["level"]
    print("reloaded", flush=True)
signal.signal(signal.SIGHUP, read_again)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({{"status": "ok", "level": level}}).encode())
http.server.ThreadingHTTPServer(("127.0.0.1", 8780), Handler).serve_forever()
"""


def test_a_daemon_is_started_asked_configured_and_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in that answers /health, so that the lab is tested and not the daemon."""
    program = tmp_path / "pbxfed"
    program.write_text(FAKE_DAEMON.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr("lab.node.daemon_program", lambda: str(program))
    lab = Lab(Places(tmp_path / "state"))
    lab.up(1)
    try:
        assert lab.http("a", "GET", "/health") == (200, {"status": "ok", "level": "info"})
        lab.configure("a", "log", "level", "debug")
        assert lab.http("a", "GET", "/health")[1]["level"] == "debug"
        secret = lab.add_extension("1001", name="Ada")
        said = lab.pbxfed("a", "ext", "add", "1001")
        assert said == f'["ext", "add", "1001"] {tmp_path}/state/nodes/a/pbxfed.toml\n'
        assert len(secret) == 16
        lab.kill("a", "daemon")
        one = lab.status()["nodes"][0]
        assert (one["asterisk"], one["daemon"]) == ("up", "down")
        lab.start("a")
        assert lab.http("a", "GET", "/health")[1]["level"] == "debug"
    finally:
        lab.down()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_host_has_the_tools() -> None:
    """What the lab installs by itself is what it calls."""
    assert {"ip", "nft", "mmdebstrap", "unshare"} == set(TOOLS)
