"""The lab of Vagrant: three plain Debians become a federation by what the Vagrantfile says, and a second time nothing changes.

No hypervisor is needed: machines are booted by systemd in namespaces, and `vagrant_up.rb` stands for Vagrant, reading the
Vagrantfile itself. Debian's own Vagrant says whether it is valid.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.booted import PREPARE, SUITE, BootedLan, ensure_debian
from lab.places import CHECKOUT, Places
from lab.root import cache, debian, ensure_tools, hash_of, kept
from tests.lab.furnishing import a_package, known

STUB = Path(__file__).with_name("vagrant_up.rb")
RUBY = 'mount --bind "$1" "$2/mnt" && mount -t proc proc "$2/proc" && mount -t tmpfs t "$2/tmp" && shift && exec chroot "$@"'
CHANGED = "find /etc/asterisk /etc/pbxfed -type f | sort | xargs sha256sum; systemctl show -p MainPID asterisk pbxfed"


def ruby_root() -> Path:
    """Debian 12, the last that has Vagrant, and so with Ruby."""

    def build(root: Path, lock: int, what: str) -> None:
        debian(root, "bookworm", ["vagrant"], lock, what)

    return kept(
        cache() / f"ruby-{hash_of('bookworm', 'vagrant')}", "a root folder with Vagrant", build
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout, as far as Vagrant looks at it: mounted at /mnt in every machine and beside Ruby."""
    ensure_tools()
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CHECKOUT / "lab/vagrant", folder / "lab/vagrant")
    shutil.copy(PREPARE, folder / "lab")
    shutil.copy(STUB, folder)
    (folder / "dist").mkdir()
    shutil.copy(a_package(tmp_path_factory), folder / "dist")
    return folder


class Up:
    """`vagrant up`, as far as the Vagrantfile has it."""

    def __init__(self, folder: Path, places: Places) -> None:
        self.lan = BootedLan(places, "pbxfed.lab")
        self._folder = folder
        self.said: dict[str, str] = {}

    def run(self) -> None:
        """Do all that the Vagrantfile wants."""
        argv = ["unshare", "--mount", "sh", "-c", RUBY, "ruby", str(self._folder), str(ruby_root())]
        argv += ["ruby", "/mnt/vagrant_up.rb", "/mnt/lab/vagrant/Vagrantfile"]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as ruby:
            assert ruby.stdin is not None
            assert ruby.stdout is not None
            for line in ruby.stdout:
                ruby.stdin.write(json.dumps(self._do(json.loads(line))) + "\n")
                ruby.stdin.flush()
        assert ruby.returncode == 0

    def _do(self, wish: dict[str, Any]) -> dict[str, Any]:
        match wish:
            case {"do": "machines", "box": box, "machines": machines}:
                assert box.endswith(f"/{SUITE}64")
                assert all(one["hostname"] == one["name"] for one in machines)
                if not self.lan.nodes():
                    addresses = {one["name"]: one["addresses"][0] for one in machines}
                    self.lan.up(ensure_debian(), addresses, self._folder)
                return {"code": 0}
            case {"do": "file", "machine": name, "source": source, "destination": to}:
                copy = f"install -D -m 644 {source} {to}"
            case {"do": "shell", "machine": name, "inline": copy}:
                pass
            case {"do": "run", "machine": name, "command": copy, "sudo": True}:
                pass
            case _:
                raise AssertionError(wish)
        done = self.lan.machine(name).run("bash", "-l", given=copy, check=False)
        self.said[name] = self.said.get(name, "") + done.stdout + done.stderr
        return {"code": done.returncode, "out": done.stdout}


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Up]:
    """The three machines, up."""
    up = Up(folder, Places(CHECKOUT / ".lab-test-vagrant"))
    try:
        up.run()
        yield up
    finally:
        up.lan.down()


def test_vagrant_finds_it_valid(folder: Path) -> None:
    """With Debian's Vagrant, without a provider."""
    argv = ["unshare", "--mount", "sh", "-c", RUBY, "vagrant", str(folder), str(ruby_root())]
    argv += ["sh", "-c", "cd /mnt/lab/vagrant && HOME=/tmp vagrant validate --ignore-provider"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, "validated successfully" in done.stdout) == (0, True), done


def test_a_call_crosses(up: Up) -> None:
    """The extensions of the first machine, phones at the two others."""
    assert "phones: 1001 and 1002" in up.said["a"]
    for number, node in (("1001", "b"), ("1002", "c")):
        up.lan.remember_extension(number, "correct-horse-9")
        up.lan.register(number, node)
    known(up.lan, "1002", "c", by="b")
    result = up.lan.call("1001", "1002")
    assert result.ok, result
    assert (result.nodes, result.trunk) == (("b", "c"), "sip")


def test_a_second_time_nothing_changes(up: Up) -> None:
    """No file, no process; and no token is asked for."""
    before = [node.run("sh", "-c", CHANGED).stdout for node in up.lan.nodes()]
    assert all(text.count("\n") > 50 for text in before)
    up.run()
    assert [node.run("sh", "-c", CHANGED).stdout for node in up.lan.nodes()] == before


def test_without_a_package_it_is_said_what_to_do(folder: Path, up: Up) -> None:
    """`make deb`."""
    package = next((folder / "dist").iterdir())
    package.rename(folder / "kept.deb")
    try:
        with pytest.raises(AssertionError):
            up.run()
    finally:
        (folder / "kept.deb").rename(package)
    assert "run `make deb` in the checkout" in up.said["a"]
