"""A Docker engine of the lab's own: Debian's, in a root folder and in namespaces of its own; nothing of it is installed.

    python -m lab.engine up                start it, and make the image's base, which takes a minute at the first time
    eval "$(python -m lab.engine env)"     in this shell `docker` is its client
    python -m lab.engine down              end it and all that runs in it

Neither an engine that runs on this machine nor the machine's network is touched: processes, mounts and bridges are in
namespaces of the engine's, and die with it. Its containers reach one another and nothing else; so what an image begins with is
not pulled: it is a Debian root made here, with what the Dockerfile would fetch in it. Images stay in the lab's cache.

There is one at a time, because images are kept in one place.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from lab import process
from lab.places import CHECKOUT, LabError, locked
from lab.process import Process
from lab.root import (
    cache,
    debian,
    ensure_root,
    ensure_tools,
    forbid_starts,
    hash_of,
    kept,
    remove_tree,
    root_path,
    run_in,
)

SUITE = "trixie"  # the first Debian with Docker's compose in its present form
PACKAGES = ("docker.io", "docker-cli", "docker-compose", "iptables")
TOOLS = {"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "nsenter": "util-linux"}
PREPARE = CHECKOUT / "lab/prepare.sh"
PROJECT = CHECKOUT / "pyproject.toml"
MACHINES = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")  # of wheels
STARTS_WITHIN = 30.0  # seconds
ENDS_WITHIN = 15.0  # seconds
WAITS = 600.0  # seconds for another's engine to end

# The shell that prepares the mounts and becomes the engine.
START = """set -e
root=$1 data=$2 run=$3 checkout=$4 parent=$5
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/var/lib/docker" "$root$run" "$root$checkout"
mount --bind "$data" "$root/var/lib/docker"
mount --bind "$run" "$root$run"
mount --bind "$checkout" "$root$checkout"
mount -o remount,bind,ro "$root$checkout"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
ip link set lo up
cd "$root"
mkdir run/before
pivot_root . run/before
cd /
umount -l run/before
exec dockerd --host "unix://$run/docker.sock" --iptables=false --ip6tables=false --cgroup-parent "$parent"
"""


# Its client is Debian's, too, in the engine's root, where the checkout is at its place.
CLIENT = """#!/bin/sh
engine=$(sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' {folder}/engine 2>/dev/null)
init=$(cat "/proc/$engine/task/$engine/children" 2>/dev/null)
if [ -z "$init" ]; then
    echo "Cannot connect to the Docker daemon: the lab's own engine does not run; start it: python -m lab.engine up" >&2
    exit 1
fi
here=$PWD; cd / && exec nsenter --target "${{init%% *}}" --mount --net --root --wd \\
    sh -c 'cd "$0" 2>/dev/null; exec /usr/bin/docker --host unix://{folder}/docker.sock "$@"' "$here" "$@"
"""


class NoEngine(LabError):
    """This machine lets no engine run."""


class Engine:
    """The lab's engine on this machine."""

    def __init__(self) -> None:
        self._folder = cache() / "docker-engine"
        self._record = self._folder / "engine"
        self._log = self._folder / "log"
        self._data = cache() / "docker"

    @property
    def client(self) -> Path:
        """The folder to put first in PATH: its `docker` is this engine's client."""
        return self._folder / "bin"

    @property
    def base(self) -> str:
        """The image that others begin with."""
        project = tomllib.loads(PROJECT.read_text())
        needs = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
        return f"pbxfed-base:{hash_of(root_path().name, PREPARE.read_text(), *needs)}"

    def environment(self) -> dict[str, str]:
        """What lets `docker`, and a lab, mean this engine."""
        path = f"{self.client}:{os.environ.get('PATH', '')}"
        return {"PATH": path, "PBXFED_BASE": self.base}

    def running(self) -> bool:
        """Tell whether it lives."""
        return Process.load(self._record) is not None

    def docker(self, *argv: str) -> str:
        """Run its client; what it printed.

        Raises: LabError, with what it said.
        """
        command = [str(self.client / "docker"), *argv]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"docker {shlex.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def start(self) -> None:
        """Start it, unless it runs for this checkout; what a killed one left is removed.

        Raises:
            NoEngine: this machine lets none run; the reason is in the text.
            LabError: one runs for another checkout.
        """
        if os.geteuid():
            raise NoEngine("a Docker engine needs root")
        ensure_tools(TOOLS)
        with locked(cache() / "docker-engine.lock"):
            if self.running():
                if self._owner() == CHECKOUT:
                    return
                raise LabError(f"a Docker engine runs for {self._owner()}: end that first")
            self._start(engine_root())
        for container in self.docker("ps", "-aq").split():  # of an engine that was killed
            self.docker("rm", "-f", "-v", container)

    def wait_free(self) -> None:
        """Wait until no other checkout's engine runs."""
        until = time.monotonic() + WAITS
        while self.running() and self._owner() != CHECKOUT and time.monotonic() < until:
            time.sleep(1.0)

    def stop(self) -> None:
        """End it, and with it all that runs in it."""
        engine = Process.load(self._record)
        if engine is not None:
            init = _child(engine.pid)
            if init is not None:
                with contextlib.suppress(LabError):
                    init.signal(signal.SIGTERM, wait=ENDS_WITHIN)
            engine.signal(signal.SIGKILL, wait=10)
        self._record.unlink(missing_ok=True)
        _remove_cgroups(self._parent)

    def kill(self) -> None:
        """By kill -9, as a machine dies."""
        process.kill_recorded(self._record)

    def ensure_base(self) -> str:
        """Make the image that others begin with, unless it is there; its name."""
        if not self.docker("images", "-q", self.base).strip():
            with tempfile.TemporaryDirectory(dir=cache(), prefix="base-") as folder:
                root = Path(folder) / "root"
                _make_base(root)
                pack = f"tar -C {shlex.quote(str(root))} -c . | {self.client}/docker import - {self.base}"
                subprocess.run(
                    ["bash", "-o", "pipefail", "-c", pack], check=True, capture_output=True
                )
                remove_tree(root)
        return self.base

    @property
    def _parent(self) -> str:
        return "pbxfed-lab-docker"

    def _owner(self) -> Path:
        return Path((self._folder / "checkout").read_text())

    def _start(self, root: Path) -> None:
        _remove_cgroups(self._parent)
        for folder in (self._folder, self._data, self.client):
            folder.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        (self._folder / "checkout").write_text(str(CHECKOUT))
        command = [
            "unshare",
            "--mount",
            "--pid",
            "--net",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
        ]
        values = [str(root), str(self._data), str(self._folder), str(CHECKOUT), self._parent]
        command += ["sh", "-c", START, "engine", *values]
        try:
            started = process.spawn(command, record=self._record, log=self._log)
        except LabError:  # it has ended before anybody looked
            raise self._refused() from None
        self._write_client()
        until = time.monotonic() + STARTS_WITHIN
        while True:
            with contextlib.suppress(LabError):
                self.docker("version")
                return
            if not started.alive() or time.monotonic() > until:
                self.stop()
                raise self._refused()
            time.sleep(0.1)

    def _refused(self) -> NoEngine:
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
        return NoEngine(f"dockerd does not start here, see {self._log}:\n{tail}")

    def _write_client(self) -> None:
        client = self.client / "docker"
        client.write_text(CLIENT.format(folder=shlex.quote(str(self._folder))))
        client.chmod(0o755)


def engine_root() -> Path:
    """The root folder with the engine in it, after making it if there is none."""
    folder = cache() / f"docker-{hash_of(SUITE, *PACKAGES)}"

    def build(root: Path, lock: int, what: str) -> None:
        debian(root, SUITE, PACKAGES, lock, what)

    return kept(folder, "a root folder with a Docker engine", build)


def _make_base(root: Path) -> None:
    """A Debian with all that the Dockerfile would fetch: Asterisk's root of the native lab, and what prepare.sh adds."""
    subprocess.run(["cp", "-a", str(ensure_root()), str(root)], check=True)  # devices, too
    forbid_starts(root)
    work = root / "tmp/pbxfed"
    (work / "wheels").mkdir(parents=True)
    (root / "opt/pbxfed").mkdir()
    shutil.copy(PREPARE, work)
    shutil.copy(PROJECT, work)
    run_in(root, "sh", "/tmp/pbxfed/prepare.sh", "packages")
    version = run_in(root, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    fetch_wheels(work / "wheels", version.strip())
    prepare = ["sh", "/tmp/pbxfed/prepare.sh", "python", "/tmp/pbxfed/pyproject.toml"]
    run_in(root, "env", "WHEELS=/tmp/pbxfed/wheels", *prepare)
    shutil.rmtree(work)


def fetch_wheels(folder: Path, version: str) -> None:
    """Fetch what pbxfed depends on, for another Python: with this machine's pip, and its ways to PyPI."""
    project = tomllib.loads(PROJECT.read_text())
    needs = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    machines = [f"--platform={machine}_{os.uname().machine}" for machine in MACHINES]
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", f"--python-version={version}", *machines, "-d", str(folder)]
    done = subprocess.run([*command, *needs], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"pip could not fetch what pbxfed depends on:\n{done.stderr[-2000:]}")


def _child(pid: int) -> Process | None:
    """The first process of the namespace that `unshare` made."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return Process.of(int(children[0])) if children else None
    return None


def _remove_cgroups(parent: str) -> None:
    """The kernel keeps a killed engine's groups, empty."""
    for found in Path("/sys/fs/cgroup").glob(f"**/{parent}"):
        for folder in sorted(found.rglob("*"), reverse=True):
            if folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()
        with contextlib.suppress(OSError):
            found.rmdir()


def main(argv: list[str]) -> None:
    """`up`, `env`, `down`."""
    engine = Engine()
    match argv:
        case ["up"]:
            engine.start()
            sys.stderr.write(f"engine up; the base is {engine.ensure_base()}\n")
        case ["env"]:
            for name, value in engine.environment().items():
                print(f"export {name}={shlex.quote(value)}")
        case ["down"]:
            engine.stop()
        case _:
            sys.exit("python -m lab.engine up | env | down")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except LabError as error:
        sys.exit(f"lab: {error}")
