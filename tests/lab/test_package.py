"""The Debian package on a machine with a real Asterisk: installed, started, hung, upgraded, removed, purged."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.machine import Machine, ensure_base
from lab.root import ensure_tools
from pbxfed_ari import __version__
from tests.lab.furnishing import a_package

NEWER = "9.9.9"
PATIENCE = 30.0  # seconds
CONFIGURATION = """
[node]
name = "a"
address = "127.0.0.1"
[federation]
domain = "pbxfed.lab"
key_file = "/etc/pbxfed/federation.key"
[lan]
multicast = false
"""
# Included by Asterisk's own files, as dialplan/README.md says; what Debian's say beyond it is not needed here.
INCLUDING = {
    "extensions.conf": "[general]\n",
    "sorcery.conf": "",
    "extconfig.conf": "",
    "res_config_sqlite3.conf": "",
    "pjsip.conf": "[transport-udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1\n",
    "iax.conf": "",
    "ari.conf": "",
    "http.conf": "",
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, and a newer one that differs in nothing but its version."""
    folder = tmp_path_factory.mktemp("deb")
    shutil.copy(a_package(tmp_path_factory), folder / "pbxfed.deb")
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", folder / "pbxfed.deb", tree], check=True)
    for path, old, new in (
        ("DEBIAN/control", f"Version: {__version__}", f"Version: {NEWER}"),
        ("usr/lib/pbxfed/pbxfed_ari/__init__.py", f'"{__version__}"', f'"{NEWER}"'),
    ):
        text = (tree / path).read_text()
        assert old in text
        (tree / path).write_text(text.replace(old, new))
    subprocess.run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, folder / "newer.deb"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


@pytest.fixture(scope="module")
def machine(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with Debian's Asterisk, running, and the package just installed."""
    yield from _with_package(
        ensure_base("sid", "asterisk"), packages, tmp_path_factory.mktemp("sid")
    )


@pytest.fixture(scope="module")
def bookworm(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Debian 12, which has no Asterisk, and its Python of 2022."""
    yield from _with_package(ensure_base("bookworm"), packages, tmp_path_factory.mktemp("12"))


def _with_package(root: Path, packages: Path, folder: Path) -> Iterator[Machine]:
    machine = Machine(root, folder / "console.log", packages)
    machine.boot()
    try:
        said = machine.run("apt-get", "install", "-y", "/mnt/pbxfed.deb").stdout
        assert "next, 'pbxfed init' on the first node" in said
        yield machine
    finally:
        machine.off()


@pytest.fixture(scope="module")
def node(machine: Machine) -> Machine:
    """The same, configured and started."""
    password = secrets.token_urlsafe(12)
    for name, text in INCLUDING.items():
        included = f'#include "pbxfed/{name}"\n'
        # a [general] that stands in both would be two
        machine.write(f"/etc/asterisk/{name}", text + included, owner="asterisk:asterisk")
    machine.write("/etc/asterisk/pbxfed-ari-password.conf", f"password={password}\n")
    machine.run("cp", "-r", "/usr/lib/pbxfed/pbxfed_ari/dialplan", "/etc/asterisk/pbxfed")
    shared = "/var/lib/asterisk/pbxfed"
    machine.run("install", "-d", "-o", "asterisk", "-g", "asterisk", "-m", "2770", shared)
    objects = f"{shared}/objects.sqlite3"
    machine.write(objects, "", owner="asterisk:asterisk", mode="660")
    machine.run("systemctl", "restart", "asterisk")
    own = {"owner": "root:pbxfed", "mode": "640"}
    machine.write("/etc/pbxfed/pbxfed.toml", CONFIGURATION, **own)
    machine.write("/etc/pbxfed/ari.password", f"{password}\n", **own)
    machine.write("/etc/pbxfed/federation.key", f"{secrets.token_hex(32)}\n", **own)
    machine.run("systemctl", "start", "pbxfed")
    return machine


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def pbxfed(machine: Machine, *argv: str) -> str:
    return machine.run("pbxfed", *argv).stdout


def healthy(machine: Machine) -> bool:
    done = machine.run("pbxfed", "status", "--json", check=False)
    return not done.returncode and json.loads(done.stdout)["health"] == "ok"


def journal(machine: Machine, *argv: str) -> str:
    return machine.run("journalctl", "--no-pager", "-o", "cat", "-u", "pbxfed", *argv).stdout


def test_lintian_finds_nothing(packages: Path) -> None:
    """Neither an error nor a warning, but those that debian/pbxfed.lintian-overrides gives reasons for."""
    ensure_tools({"lintian": "lintian"})
    found = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", packages / "pbxfed.deb"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, ""), found.stderr


def test_it_waits_for_its_configuration(machine: Machine) -> None:
    """A package that fails to start before anybody could configure it is a failed installation."""
    active, condition, enabled = machine.show(
        "pbxfed", "ActiveState", "ConditionResult", "UnitFileState"
    )
    assert (active, condition, enabled) == ("inactive", "no", "enabled")
    assert pbxfed(machine, "version").strip() == f"pbxfed {__version__}"
    assert "asterisk" in machine.run("id", "-nG", "pbxfed").stdout.split()
    assert machine.run("pbxfed", "status", check=False).returncode == 1


def test_systemd_finds_the_unit_good_and_little_exposed(machine: Machine) -> None:
    """0 is the best mark and 10 the worst; most daemons of Debian have 9."""
    verified = machine.run("systemd-analyze", "verify", "--man=no", "pbxfed.service", check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    last = machine.run("systemd-analyze", "security", "--no-pager", "pbxfed.service").stdout
    found = re.search(r"exposure level for pbxfed.service: ([\d.]+)", last)
    assert found is not None
    assert float(found[1]) <= 2.0


def test_completion_asks_the_command_itself(machine: Machine) -> None:
    """So that it never lags behind."""
    script = (
        ". /usr/share/bash-completion/completions/pbxfed; COMP_WORDS=(pbxfed ext se) COMP_CWORD=2; "
        '_pbxfed_completion pbxfed; echo "${COMPREPLY[@]}"'
    )
    assert machine.run("bash", "-c", script).stdout == "set\n"


def test_started_it_serves(node: Machine) -> None:
    """`systemctl start` returns when the node is a member; edits reach Asterisk, through all that hardens the unit."""
    active, text = node.show("pbxfed", "ActiveState", "StatusText")
    assert active == "active"
    assert text.startswith("node a of pbxfed.lab: ")
    until(lambda: healthy(node), "healthy")
    pbxfed(node, "ext", "add", "1001", "--name", "Reception", "--secret", "correct-horse-9")
    shown = "pjsip show endpoint 1001"
    until(
        lambda: "1001/1001" in node.run("asterisk", "-rx", shown).stdout.replace(" ", ""),
        "the extension is in Asterisk",
    )
    until(
        lambda: "healthy" in node.show("pbxfed", "StatusText")[0],
        "`systemctl status` says that it is healthy",
    )
    assert "process_start_time_seconds" in node.run("python3", "-c", _fetch("/metrics")).stdout


def _fetch(path: str) -> str:
    return (
        "import urllib.request; "
        f"print(urllib.request.urlopen('http://127.0.0.1:8780{path}').read().decode())"
    )


def test_port_53_may_be_taken(node: Machine) -> None:
    """Without root: the one capability that the unit leaves."""
    node.write(
        "/etc/pbxfed/pbxfed.toml", CONFIGURATION + '[dns]\nlisten = ["127.0.0.1"]\n', mode="644"
    )
    node.run("systemctl", "restart", "pbxfed")
    assert "127.0.0.1:53" in node.run("ss", "-lun").stdout


def test_a_reload_reads_the_file_again(node: Machine) -> None:
    """And its lines have their priority in the journal."""
    node.write("/etc/pbxfed/pbxfed.toml", CONFIGURATION + '[log]\nlevel = "nonsense"\n', mode="644")
    node.run("systemctl", "reload", "pbxfed")
    until(lambda: "reload refused" in journal(node, "-p", "err"), "the mistake is in the journal")
    node.write("/etc/pbxfed/pbxfed.toml", CONFIGURATION, mode="644")
    assert "pbxfed starts as" not in journal(node, "-p", "err")
    assert node.show("pbxfed", "ActiveState") == ["active"]


def test_a_hung_daemon_is_started_again_and_says_where_it_hung(node: Machine) -> None:
    """What it knew it has kept."""
    drop_in = "/etc/systemd/system/pbxfed.service.d/test.conf"
    node.write(drop_in, "[Service]\nWatchdogSec=3\n")
    node.run("systemctl", "daemon-reload")
    node.run("systemctl", "restart", "pbxfed")
    before, restarts = node.show("pbxfed", "MainPID", "NRestarts")
    node.run("sh", "-c", f"kill -STOP {before}")
    until(
        lambda: (
            node.show("pbxfed", "ActiveState", "NRestarts") == ["active", str(int(restarts) + 1)]
        ),
        "started again",
    )
    assert node.show("pbxfed", "MainPID") != [before]
    assert "Fatal Python error: Aborted" in journal(node)
    assert "Reception" in pbxfed(node, "ext", "list")
    node.run("rm", "-r", drop_in.rpartition("/")[0])
    node.run("systemctl", "daemon-reload")


def test_an_upgrade_restarts_it_and_keeps_all(node: Machine) -> None:
    """Configuration, store, keys."""
    kept = node.run("sha256sum", "/etc/pbxfed/pbxfed.toml", "/var/lib/pbxfed/node.key").stdout
    before = node.show("pbxfed", "MainPID")
    node.run("apt-get", "install", "-y", "/mnt/newer.deb")
    assert node.show("pbxfed", "ActiveState") == ["active"]
    assert node.show("pbxfed", "MainPID") != before
    assert json.loads(pbxfed(node, "status", "--json"))["version"] == NEWER
    assert (
        node.run("sha256sum", "/etc/pbxfed/pbxfed.toml", "/var/lib/pbxfed/node.key").stdout == kept
    )
    assert "Reception" in pbxfed(node, "ext", "list")


def test_removed_it_leaves_what_is_the_operators_and_purged_nothing(node: Machine) -> None:
    """Debian's rules; and Asterisk goes on with what it holds."""
    said = node.run("apt-get", "remove", "-y", "pbxfed").stdout
    assert "rings local phones without it" in said
    assert node.show("pbxfed", "ActiveState", "LoadState") == ["inactive", "not-found"]
    for path in (
        "/etc/pbxfed/pbxfed.toml",
        "/etc/pbxfed/federation.key",
        "/var/lib/pbxfed/state.db",
    ):
        node.run("test", "-s", path)
    node.run("test", "!", "-e", "/usr/lib/pbxfed")
    assert node.show("asterisk", "ActiveState") == ["active"]

    node.run("apt-get", "purge", "-y", "pbxfed")
    left = node.run("find", "/", "-xdev", "-name", "*pbxfed*", "-not", "-path", "/proc/*").stdout
    assert sorted(left.split()) == [
        "/etc/asterisk/pbxfed",
        "/etc/asterisk/pbxfed-ari-password.conf",
        "/var/lib/asterisk/pbxfed",
    ]
    node.run("systemctl", "restart", "asterisk")
    assert "pbxfed-local" in node.run("asterisk", "-rx", "dialplan show pbxfed-local").stdout


def test_debian_12_without_asterisk(bookworm: Machine) -> None:
    """The oldest Python: the daemon starts, says what it misses, and goes without a trace."""
    own = {"owner": "root:pbxfed", "mode": "640"}
    bookworm.write("/etc/pbxfed/pbxfed.toml", CONFIGURATION, **own)
    bookworm.write("/etc/pbxfed/ari.password", "none\n", **own)
    bookworm.write("/etc/pbxfed/federation.key", f"{secrets.token_hex(32)}\n", **own)
    bookworm.run("mkdir", "-p", "/var/lib/asterisk/pbxfed")
    bookworm.run("systemctl", "start", "pbxfed")
    assert bookworm.show("pbxfed", "ActiveState") == ["active"]
    until(
        lambda: "127.0.0.1:8088" in bookworm.show("pbxfed", "StatusText")[0],
        "`systemctl status` says that Asterisk is not there",
    )
    bookworm.run("apt-get", "purge", "-y", "pbxfed")
    left = bookworm.run(
        "find", "/", "-xdev", "-name", "*pbxfed*", "-not", "-path", "/proc/*"
    ).stdout
    assert left.split() == ["/var/lib/asterisk/pbxfed"]
