"""`pbxfed init` beside Debian's own /etc/asterisk: three machines become a federation, calls go across, all is taken back."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from lab.machines import DOMAIN, Machine, Machines
from lab.places import CHECKOUT, Places
from pbxfed_ari.wire import token as words
from tests.lab.furnishing import known

SECRET = "correct-horse-9"
EVERYTHING = "cd /etc/asterisk && find . -printf '%p %y %m %u %g\\n' | sort && find . -type f | sort | xargs sha256sum"
# `pbxfed init`, killed as with -9 just before the file of that number takes its place
KILLED = """import os, pathlib, sys
left, replace = int(sys.argv.pop(1)), pathlib.Path.replace
def dying(self, target):
    global left
    left -= 1
    if left < 0: os.kill(os.getpid(), 9)
    return replace(self, target)
pathlib.Path.replace = dying
from pbxfed_ari.cli import main
main()
"""
# `pbxfed …` two minutes ahead of everybody
AHEAD = """import time
now = time.time_ns
time.time_ns = lambda: now() + 120 * 10**9
from pbxfed_ari.cli import main
main()
"""


@pytest.fixture(scope="module")
def three() -> Iterator[Machines]:
    """Three machines with a running Asterisk that knows nothing of pbxfed."""
    machines = Machines(Places(CHECKOUT / ".lab-test-init"))
    try:
        machines.up(3)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Machine.start_asterisk, machines.nodes()))
        yield machines
    finally:
        machines.down()


@pytest.fixture
def a(three: Machines) -> Machine:
    return three.machine("a")


def fingerprint(machine: Machine) -> str:
    """All of /etc/asterisk: names, rights, owners, contents."""
    done = machine.run(["sh", "-c", EVERYTHING])
    assert done.stdout.count("\n") > 200, done
    return done.stdout


def init(machine: Machine, *argv: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return machine.run(["pbxfed", "init", *argv], input=given)


def done(machine: Machine, *argv: str, given: str = "") -> str:
    """What it says, if it is done."""
    found = init(machine, *argv, given=given)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def refused(machine: Machine, *argv: str, given: str = "") -> str:
    """What it says when it refuses; nothing has changed then."""
    before = fingerprint(machine)
    found = init(machine, *argv, given=given)
    assert found.returncode == 1, found.stdout + found.stderr
    assert fingerprint(machine) == before
    assert not machine.run(["ls", "-A", "/etc/pbxfed", "/var/lib/pbxfed"]).stdout
    assert machine.run(["id", "pbxfed"]).returncode
    return found.stderr


@contextmanager
def line(machine: Machine, file: str, text: str) -> Iterator[None]:
    """One of the operator's files ends with this for a while."""
    machine.run(["sh", "-c", f"cp -a {file} /tmp/kept && cat >> {file}"], input=text)
    try:
        yield
    finally:
        machine.run(["cp", "-a", "/tmp/kept", file])


def instead(machine: Machine, script: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """`pbxfed init` where `asterisk` is this script."""
    machine.run(
        ["sh", "-c", "cat > /tmp/fake && chmod 755 /tmp/fake"], input=f"#!/bin/sh\n{script}\n"
    )
    command = 'mount --bind /tmp/fake /usr/sbin/asterisk && exec pbxfed init "$@"'
    return machine.run(["unshare", "--mount", "sh", "-c", command, "init", *argv])


# --- what is refused changes nothing


def test_no_root_and_no_domain(a: Machine) -> None:
    """The two things that are forgotten first."""
    found = a.run(
        [
            "setpriv",
            "--reuid=nobody",
            "--clear-groups",
            "pbxfed",
            "init",
            "--domain",
            DOMAIN,
            "--yes",
        ]
    )
    assert (found.returncode, "run this as root" in found.stderr) == (1, True)
    assert "--domain pbx.example.com" in refused(a, "--yes")


def test_an_asterisk_that_is_not_there_or_too_old(a: Machine) -> None:
    """It is said which one is needed."""
    found = instead(a, "exit 1", "--domain", DOMAIN, "--yes")
    assert (found.returncode, "there is no Asterisk on this machine" in found.stderr) == (1, True)
    found = instead(a, '[ "$1" = -V ] && echo Asterisk 18.9.0', "--domain", DOMAIN, "--yes")
    assert found.returncode == 1
    assert "Asterisk 18.9.0 is too old: 20 or later is needed" in found.stderr


def test_a_line_of_the_operator_that_stands_in_the_way(a: Machine) -> None:
    """File, line, value and remedy; and the operator may let ours stand below his."""
    with line(a, "/etc/asterisk/ari.conf", "[general](+)\nenabled=no\n"):
        said = refused(a, "--domain", DOMAIN, "--yes")
        assert re.search(
            r"/etc/asterisk/ari.conf:\d+: ari.conf \[general\] enabled = no; must be yes", said
        )
        dry = json.loads(done(a, "--domain", DOMAIN, "--yes", "--override", "--dry-run", "--json"))
        assert any("+enabled=yes" in edit["diff"] for edit in dry["edits"])
        assert not dry["written"]
    with line(a, "/etc/asterisk/modules.conf", "[modules](+)\nnoload=res_ari.so\n"):
        assert "modules.conf noload = res_ari.so" in refused(
            a, "--domain", DOMAIN, "--yes", "--override"
        )


def test_a_port_that_another_program_has(a: Machine) -> None:
    """Who it is, and what to do."""
    program = "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 5060)); time.sleep(60)"
    a.spawn("squatter", ["python3", "-c", program])
    deadline = time.monotonic() + 10
    while ":13C4" not in a.run(["cat", "/proc/net/udp"]).stdout:
        assert time.monotonic() < deadline
    said = refused(a, "--domain", DOMAIN, "--yes")
    a.stop("squatter")
    assert "UDP port 5060 is taken by python3 (process" in said


def test_killed_in_the_middle_it_is_completed_or_taken_back(a: Machine) -> None:
    """Whatever was written by then."""
    before = fingerprint(a)
    words = ["init", "--domain", DOMAIN, "--yes"]
    for number in 1, 12:
        assert (
            a.run([f"{'/opt/pbxfed'}/bin/python", "-c", KILLED, str(number), *words]).returncode
            == -9
        )
        done(a, "--remove", "--yes")
        assert fingerprint(a) == before
    assert a.run(["/opt/pbxfed/bin/python", "-c", KILLED, "12", *words]).returncode == -9
    assert fingerprint(a) != before
    assert "\nwritten" in done(a, "--yes", "--domain", DOMAIN)
    done(a, "--remove", "--purge", "--yes")
    assert fingerprint(a) == before


# --- from nothing to a call, and back


def test_three_machines_become_one_telephone_system_and_are_what_they_were(three: Machines) -> None:
    """Init, invite, join, a call with media across, removal: Asterisk's folder is byte for byte as before."""
    a, b, c = three.nodes()
    before = {machine.name: fingerprint(machine) for machine in (a, b, c)}
    said = done(a, "--domain", DOMAIN, "--yes")
    assert "bad " not in said
    again = fingerprint(a)
    assert "nothing was changed" in done(a, "--yes")
    assert fingerprint(a) == again
    a.start_daemon()
    invited_wrongly(three)
    tokens = [a.run(["pbxfed", "invite"]).stdout for _ in "bc"]
    with ThreadPoolExecutor() as pool:
        list(pool.map(joined, (b, c), tokens))
    assert "was used by node c" in init_of_a_fourth(three, tokens[1])
    checks = {row["name"]: row["state"] for row in json.loads(done(c, "--check", "--json"))}
    assert set(checks.values()) == {"good"}, checks
    assert "application" in checks

    three.add_extension("1001", secret=SECRET, node="a")
    three.add_extension("1002", secret=SECRET, node="a")
    began = time.monotonic()
    registered(three, "1001", "b")
    registered(three, "1002", "c")
    known(three, "1002", "c", by="b")
    result = three.call("1001", "1002")
    assert result.ok, result
    assert (result.nodes, result.trunk) == (("b", "c"), "sip")
    assert time.monotonic() - began < 10
    dropped(c)

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda machine: taken_back(machine, before[machine.name]), (a, b, c)))


def joined(machine: Machine, token: str) -> None:
    """A member, with a daemon that is well."""
    assert "bad " not in done(machine, "--join", "-", "--yes", given=token)
    machine.start_daemon()


def taken_back(machine: Machine, before: str) -> None:
    """First while the daemon runs; then what the operator has written meanwhile stays, and all else is what it was."""
    assert "the daemon runs" in init(machine, "--remove", "--yes").stderr
    machine.stop("daemon")
    machine.run(["sh", "-c", "echo '; mine' >> /etc/asterisk/extensions.conf"])
    said = done(machine, "--remove", "--yes", "--restart")
    assert "extensions.conf: changed since by hand: only our lines are taken out" in said
    machine.run(["sed", "-i", "$d", "/etc/asterisk/extensions.conf"])
    assert fingerprint(machine) == before
    assert machine.asterisk("dialplan show pbxfed-ask").startswith("There is no existence")
    assert machine.run(["test", "-e", "/var/lib/pbxfed/keys"]).returncode == 0
    done(machine, "--remove", "--purge", "--yes")
    assert machine.run(["ls", "/var/lib/pbxfed", "/etc/pbxfed"]).stdout == ""
    assert machine.run(["id", "pbxfed"]).returncode == 1


def invited_wrongly(three: Machines) -> None:
    """A token that is late, of another version, or redeemed by a wrong clock: said, and nothing has changed."""
    a, b, _ = three.nodes()
    late = a.run(["pbxfed", "invite", "--ttl", "1"]).stdout.strip()
    good = a.run(["pbxfed", "invite"]).stdout.strip()
    foreign = words.write(replace(words.read(good), version=2))
    said = refused(b, "--join", foreign, "--yes")
    assert "speaks wire version 2, this release 1: install the same release" in said
    before = fingerprint(b)
    found = b.run(["/opt/pbxfed/bin/python", "-c", AHEAD, "init", "--join", good, "--yes"])
    assert found.returncode == 1
    assert "the inviter says: clocks far apart: there it is" in found.stderr
    assert fingerprint(b) == before
    time.sleep(2)  # it has ended, whoever's clock says so
    assert "the token ended at" in refused(b, "--join", late, "--yes")


def init_of_a_fourth(three: Machines, used: str) -> str:
    """What a machine hears that comes with a token which c has used: b, as if it were new."""
    folders = "mount -t tmpfs t /var/lib/pbxfed && mount -t tmpfs t /etc/pbxfed"
    command = f"unshare --mount sh -c '{folders} && pbxfed init --join - --name d --yes'"
    b = three.machine("b")
    b.stop("daemon")
    found = b.run(["sh", "-c", command], input=used)
    b.start_daemon()
    assert found.returncode == 1, found
    return found.stderr


def registered(three: Machines, number: str, node: str) -> None:
    """A phone that registers as soon as its extension is there."""
    deadline = time.monotonic() + 10
    while not three.machine(node).asterisk(f"pjsip show endpoint {number}").count("Aor:"):
        assert time.monotonic() < deadline
    three.register(number, node)


def dropped(machine: Machine) -> None:
    """A firewall that drops calls is seen."""
    rules = "add table inet t\nadd chain inet t in { type filter hook input priority 0; policy accept; }\n"
    rules += "add rule inet t in udp dport { 5060, 10000-20000 } drop\n"
    machine.run(["nft", "-f", "-"], input=rules)
    found = init(machine, "--check")
    machine.run(["nft", "delete", "table", "inet", "t"])
    assert found.returncode == 1
    assert "rules of this machine drop UDP to: SIP 5060, media 10000, media 20000" in found.stdout
