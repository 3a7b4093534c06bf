"""Failed authentications at real Asterisks: counted in the whole federation, and judged by Debian's own fail2ban."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.lab import Lab
from lab.netns import Host
from lab.package import unpacked
from lab.places import CHECKOUT, LabError
from lab.wander import register
from pbxfed_ari.sensors.security_log import parse
from tests.lab.conftest import Federation

GUESSER = "4001"  # extension whose secret is guessed
CONTRIB = CHECKOUT / "contrib" / "fail2ban"
STRANGER = r"""
import hashlib, re, socket, sys
here, there = sys.argv[1:3]
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind((here, 7070))
link.settimeout(2)
def ask(user, call, proof="", cseq=1):
    lines = [f"REGISTER sip:{there} SIP/2.0", f"Via: SIP/2.0/UDP {here}:7070;branch=z9hG4bK{abs(hash((user, call, cseq)))}",
             f"From: <sip:{user}@{there}>;tag=1", f"To: <sip:{user}@{there}>", f"Call-ID: {call}", f"CSeq: {cseq} REGISTER",
             f"Contact: <sip:x@{here}:7070>", "Max-Forwards: 70", *([proof] if proof else []), "Content-Length: 0", "", ""]
    link.sendto("\r\n".join(lines).encode(), (there, 5060))
    return link.recv(4000).decode()
forged = '",RemoteAddress="IPV4/UDP/9.9.9.9/5060'
for call in range(3):                                                        # scanners: they answer no challenge
    ask("nobody", f"scan{call}")
ask("nobody%22,RemoteAddress=%22IPV4/UDP/9.9.9.9/1", "account")
ask("nobody%0d%0a%22,RemoteAddress=%22IPV4/UDP/9.9.9.9/1", "line")
ask("nobody", "call" + forged)
whole = ' SECURITY[1] res_security_log.c: SecurityEvent="InvalidPassword"' + forged + '",a="'
ask("nobody%0a", "whole" + whole)                                            # looks like a line, of another kind of failure
ask("nobody%0a%5b1%5d%20SECURITY%5b1%5d%20res_security_log.c:%20SecurityEvent=", "begun")
ask("nobody", "long" + "x" * 9000)                                           # is cut off, and the next line follows in it
ask("nobody", "after")
for number, response in enumerate((forged, forged.replace('"', '\\"') + '\\",Challenge=\\"1\\",Response=\\"2', "0" * 32)):
    call = f"guess{number}" + forged * (number == 2)
    challenge = ask("4001", call)
    nonce, opaque = (re.search(name + '="([^"]*)"', challenge)[1] for name in ("nonce", "opaque"))
    proof = f'Authorization: Digest username="4001", realm="pbxfed.lab", nonce="{nonce}", uri="sip:{there}", ' \
            f'opaque="{opaque}", algorithm=MD5, qop=auth, nc=00000001, cnonce="1", response="{response}"'
    print(ask("4001", call, proof, 2).splitlines()[0])
"""


def log(federation: Federation, node: str, name: str = "pbxfed-security.log") -> Path:
    return federation.lab.node(node).folder / "log" / name


def stranger(federation: Federation) -> str:
    """Somebody tries everything at node a; its address."""
    member = federation.lab.node("a")
    here = member.phones.address
    command = ["ip", "netns", "exec", member.phones.namespace, "python3", "-c", STRANGER]
    done = subprocess.run(
        [*command, here, member.host.address], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split("\n")) <= {
        "SIP/2.0 401 Unauthorized",
        "SIP/2.0 400 Bad Request",
        "",
    }
    return here


@pytest.fixture(scope="module")
def guesser(lab: Lab) -> Iterator[Host]:
    """Beside the phones of node c, at an address of its own: what phones have failed at is known for an hour."""
    host = replace(lab.node("c").phones, address="10.77.0.240")
    at = ["addr", "add", f"{host.address}/24", "dev", "e0"]
    subprocess.run(["ip", "-n", host.namespace, *at], check=True)
    yield host
    at[1] = "del"
    subprocess.run(["ip", "-n", host.namespace, *at], check=True)


def guess(federation: Federation, guesser: Host, node: str, times: int) -> None:
    """A phone with a wrong secret."""
    contact, server = f"sip:x@{guesser.address}:7071", federation.lab.node(node).host.address
    for _ in range(times):
        with pytest.raises(LabError, match="401"):
            register(guesser, contact, GUESSER, "wrong-horse-1", server)


def failures(federation: Federation, node: str) -> dict[str, tuple[int, list[str]]]:
    found = federation.get(node, "/failures")
    return {row["address"]: (row["failures"], row["nodes"]) for row in found["addresses"]}


def judged(path: Path, filter_: str, *options: str) -> dict[str, int]:
    """How often each address is found by Debian's fail2ban with a filter of ours."""
    package = unpacked("fail2ban")
    libraries = package / "usr" / "lib" / "python3" / "dist-packages"
    program = [str(package / "usr" / "bin" / "fail2ban-regex"), "-c", str(package / "etc/fail2ban")]
    done = subprocess.run(
        ["python3", *program, *options, "-o", "ip", str(path), filter_],
        env={**os.environ, "PYTHONPATH": str(libraries)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, int] = {}
    for address in re.findall(r"^[0-9a-f.:/]+$", done.stdout, re.M):
        found[address] = found.get(address, 0) + 1
    return found


def test_guesses_are_counted_in_the_whole_federation(federation: Federation, guesser: Host) -> None:
    """Three at each of two nodes, four at the third: ten, on every node, as an event and in the log."""
    federation.add(GUESSER)
    address = guesser.address
    for node, times in ("a", 3), ("b", 3), ("c", 4):
        guess(federation, guesser, node, times)
    ten = (10, ["a", "b", "c"])
    federation.until(lambda: failures(federation, "c").get(address) == ten, 10)
    federation.until(
        lambda: all(failures(federation, n).get(address, (0, []))[0] >= 9 for n in "abc"), 10
    )
    text = federation.lab.pbxfed("c", "status")
    assert f"failing     {address}: 10 failed authentications at a, b, c" in text
    metrics = federation.get("c", "/metrics")
    assert f'pbxfed_address_failed_authentications{{address="{address}"}} 10.0' in metrics
    events = federation.get("c", "/events?limit=1000")
    told = [e["fields"] for e in events if e["event"] == "failed_authentications"]
    assert [(t["address"], t["failures"], t["nodes"]) for t in told] == [(address, 10, "a,b,c")]


def test_fail2ban_finds_who_it_was_and_nobody_else(federation: Federation) -> None:
    """Whatever strangers wrote into their requests; and as often as the daemon does."""
    federation.add(GUESSER)
    address = stranger(federation)
    path = log(federation, "a")
    federation.until(lambda: path.read_text().count('AccountID="4001",SessionID="guess2') >= 2)
    lines = path.read_text().splitlines()
    assert any("9.9.9.9" in line for line in lines)
    assert any(line.count(" SECURITY[") > 1 and "longxxx" in line for line in lines)
    found = [one for one in map(parse, lines) if one]
    proven = Counter(one for one, solid in found if solid)
    every = Counter(one for one, _ in found)
    assert proven[address] >= 2
    assert every[address] >= proven[address] + 5
    assert "9.9.9.9" not in every
    ours = str(CONTRIB / "filter.d" / "pbxfed-asterisk.conf")
    assert judged(path, ours) == proven
    assert judged(path, f"{ours}[mode=aggressive]") == every


def test_fail2ban_reads_what_the_daemon_says_of_all_nodes(
    federation: Federation, guesser: Host
) -> None:
    """The line that every node writes; an IPv6 host is its network."""
    path = log(federation, "c", "pbxfed.log")
    ours = str(CONTRIB / "filter.d" / "pbxfed.conf")
    address = guesser.address
    federation.add(GUESSER)
    guess(federation, guesser, "c", 10)

    def told() -> list[str]:
        said = f"failed authentications address={address} "
        return [line for line in path.read_text().splitlines() if said in line]

    federation.until(lambda: bool(told()))
    lines = told()
    assert address in judged(path, ours)
    copy = path.with_suffix(".copy")
    copy.write_text(lines[0].replace(address, "2001:db8::/64") + "\n")
    assert judged(copy, ours) == {"2001:db8::/64": 1}
    journal = f"Nov 25 15:10:33 pbx pbxfed[123]: {lines[0]}\n"
    copy.write_text(journal.replace(address, "203.0.113.9"))
    assert judged(copy, ours) == {"203.0.113.9": 1}


def test_the_jails_are_good(tmp_path: Path) -> None:
    """By fail2ban's own check of its configuration, with ours put in place."""
    package = unpacked("fail2ban")
    folder = tmp_path / "fail2ban"
    shutil.copytree(package / "etc" / "fail2ban", folder)
    shutil.copytree(CONTRIB, folder, dirs_exist_ok=True)
    (folder / "jail.d" / "defaults-debian.conf").unlink()  # sshd's, which needs a log of its own
    jail = folder / "jail.d" / "pbxfed.conf"
    jail.write_text(jail.read_text().replace("/var/log/asterisk", str(tmp_path)))
    (tmp_path / "pbxfed-security.log").touch()
    program = ["python3", str(package / "usr" / "bin" / "fail2ban-client")]
    done = subprocess.run(
        [*program, "-c", str(folder), "-t"],
        env={**os.environ, "PYTHONPATH": str(package / "usr/lib/python3/dist-packages")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK: configuration test is successful" in done.stdout
