"""Machines as operators have them: Debian with its own Asterisk and its own /etc/asterisk, and pbxfed installed beside it.

Each machine is a fresh root folder (an overlay over the cached one), a namespace of the network with a phone group beside it,
and a process namespace: when its first process ends, all of it ends. pbxfed is installed by pip, from this checkout and from
wheels that were fetched once; nothing on a machine can reach beyond the lab.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import process
from lab.asking import answered, question
from lab.calls import Calls
from lab.netns import Host, Network
from lab.phone import PhoneGroup
from lab.places import CHECKOUT, LabError, Places, locked
from lab.process import Process
from lab.root import cache, ensure_root
from lab.sweep import sweep

PACKAGES = ("asterisk", "python3-venv", "nftables")
DOMAIN = "pbx.example"
NAMES = "abcdefgh"
INSTALLED = "/opt/pbxfed"  # the virtual environment
SOURCE = ("pbxfed_ari", "dialplan", "pyproject.toml", "README.md", "LICENSE")
STARTS_WITHIN = 40.0  # seconds

# $1 the folders below, $2 this machine's, $3 its name. What it becomes is its first process.
BOOT = """set -e
mount --make-rprivate /
hostname "$3"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount -t tmpfs tmpfs "$2/root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$2/root/run"
touch "$2/root/tmp/booted"
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine."""

    name: str
    host: Host
    phones: Host
    places: Places
    below: str  # the folders under its own

    @property
    def site(self) -> str:
        """The LAN that it is on."""
        return "main"

    @property
    def address(self) -> str:
        """Where phones and peers reach it."""
        return self.host.address

    @property
    def folder(self) -> Path:
        """Where its own files are kept."""
        return self.places.node(self.name)

    def boot(self) -> None:
        """Start its first process; there is no Asterisk yet."""
        for part in ("upper/etc", "work", "root"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        hosts = f"127.0.0.1 localhost\n{self.address} {self.name}\n"
        (self.folder / "upper/etc/hosts").write_text(hosts)
        own = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c"]
        script = BOOT + 'exec chroot "$2/root" sleep infinity\n'
        process.spawn(
            [
                *("ip", "netns", "exec", self.host.namespace),
                *(*own, script, "boot", self.below, str(self.folder), self.name),
            ],
            record=self._record("machine"),
            log=self.folder / "boot.log",
        )
        end = time.monotonic() + STARTS_WITHIN
        while self.run(["test", "-e", "/tmp/booted"]).returncode:
            if time.monotonic() > end:
                raise LabError(f"{self.name} does not boot: {self.tail('boot')}")
            time.sleep(0.02)

    def _record(self, part: str) -> Path:
        return self.places.run / f"{self.name}.{part}"

    def _inside(self, argv: Sequence[str]) -> list[str]:
        """The command that runs another inside."""
        outer = Process.load(self._record("machine"))
        first = _children(outer.pid) if outer else []
        where = ["--mount", "--uts", "--net", "--pid", "--root", "--wd"]
        return ["nsenter", "--target", str(first[0] if first else 0), *where, *argv]

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as root of this machine."""
        given = {"capture_output": True, "text": True, "env": _ENVIRONMENT, "timeout": 120}
        done: subprocess.CompletedProcess[str] = subprocess.run(
            self._inside(argv), check=False, **{**given, **options}
        )
        return done

    def spawn(self, part: str, argv: Sequence[str]) -> None:
        """Start a process that goes on; what it says stands in the log of that name."""
        process.spawn(
            self._inside(argv),
            record=self._record(part),
            log=self.folder / f"{part}.log",
            env=_ENVIRONMENT,
        )

    # --- Asterisk and the daemon

    def start_asterisk(self) -> None:
        """As Debian's unit does: as its own user, with its own configuration."""
        self.run(["install", "-d", "-o", "asterisk", "-g", "asterisk", "/run/asterisk"])
        self.spawn("asterisk", ["asterisk", "-U", "asterisk", "-G", "asterisk", "-f"])
        end = time.monotonic() + STARTS_WITHIN
        while "fully booted" not in self.asterisk("core waitfullybooted"):
            if time.monotonic() > end:
                raise LabError(f"Asterisk of {self.name} does not start:\n{self.tail('asterisk')}")
            time.sleep(0.1)

    def start_daemon(self, user: str = "pbxfed") -> float:
        """Run the daemon as its user until it is well; the seconds that took."""
        begun = time.monotonic()
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        self.spawn("daemon", [*become, f"{INSTALLED}/bin/pbxfed", "run"])
        answer: object = ""
        while time.monotonic() - begun < STARTS_WITHIN and self.daemon_up():
            status, answer = self.http("GET", "/health")
            if status == 200:
                return time.monotonic() - begun
            time.sleep(0.1)
        raise LabError(f"pbxfed of {self.name} is not well: {answer}\n{self.tail('daemon')}")

    def stop(self, part: str) -> None:
        """End a process that was started here, and wait until it has."""
        found = Process.load(self._record(part))
        inner = [Process.of(pid) for pid in _children(found.pid)] if found else []
        for one in inner:
            if one is not None:
                one.signal(signal.SIGTERM, wait=20)
        if found is not None:
            found.signal(signal.SIGTERM, wait=20)

    def asterisk_up(self) -> bool:
        """Tell whether the Asterisk process lives."""
        return Process.load(self._record("asterisk")) is not None

    def daemon_up(self) -> bool:
        """Tell whether the daemon process lives."""
        return Process.load(self._record("daemon")) is not None

    def http(
        self, method: str, path: str, body: object = None, *, patience: float = 10.0
    ) -> tuple[int, Any]:
        """Ask the daemon over HTTP: status and decoded answer; 0 and why, if nobody answers."""
        text = "" if body is None else json.dumps(body)
        return answered(self.run(question(method, path), input=text, timeout=patience + 10))

    def asterisk(self, command: str) -> str:
        """Ask Asterisk's command line."""
        return self.run(["asterisk", "-rx", command]).stdout

    def exec(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as the node would."""
        return self.run(argv, **options)

    def tail(self, log: str, lines: int = 20) -> str:
        """The last lines of a log: boot, asterisk, daemon."""
        path = self.folder / f"{log}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


class Machines(Calls):
    """Some machines on one LAN. Their phones and calls are as in any lab."""

    domain = DOMAIN

    def __init__(self, places: Places) -> None:
        self.places = places
        self.network = Network(places.prefix)

    def up(self, count: int) -> None:
        """Boot machines with Asterisk's package on them, and pbxfed installed; neither runs."""
        root = ensure_root(PACKAGES)
        self.down()
        installed = self.places.state / "installed"
        for part in ("upper", "work", "root"):
            (installed / part).mkdir(parents=True)
        _install(root, installed)
        below = f"{installed}/upper:{root}"
        self._save({"count": count, "below": below, "extensions": {}, "phones": {}})
        self.network.build([h for one in self.nodes() for h in (one.host, one.phones)], 1)
        for one in self.nodes():
            one.boot()

    def down(self) -> None:
        """End and remove everything."""
        sweep(self.places, self.network)

    def nodes(self) -> list[Machine]:
        """The machines, in order."""
        record, prefix = self._load(), self.places.prefix
        return [
            Machine(
                name,
                Host(f"{prefix}-{name}", f"n-{name}", 0, f"10.77.0.{11 + index}"),
                Host(f"{prefix}-{name}-phones", f"p-{name}", 0, f"10.77.0.{111 + index}"),
                self.places,
                record["below"],
            )
            for index, name in enumerate(NAMES[: record["count"]])
        ]

    def machine(self, name: str) -> Machine:
        """One of them."""
        return next(one for one in self.nodes() if one.name == name)

    def group(self, home: str) -> PhoneGroup:
        """The phones at home at one machine."""
        return PhoneGroup(home, self.machine(home).phones, self.domain, self.places)


_ENVIRONMENT = {
    "PATH": f"{INSTALLED}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
}


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def _install(root: Path, folder: Path) -> None:
    """`pip install` of this checkout, once for all machines, in a layer of its own."""
    wheels = _wheels(root)
    source = folder / "upper" / "src"
    source.mkdir(parents=True)
    for name in SOURCE:
        path = CHECKOUT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    pip = f"{INSTALLED}/bin/pip install --quiet --no-index --no-compile --find-links /mnt /src"
    script = BOOT + (
        f'mount --bind {shlex.quote(str(wheels))} "$2/root/mnt"\n'
        f'chroot "$2/root" sh -c "python3 -m venv {INSTALLED} && {pip}"\n'
    )
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--uts",
            "--net",
            "sh",
            "-c",
            script,
            "install",
            str(root),
            str(folder),
            "new",
        ],
        capture_output=True,
        text=True,
        env=_ENVIRONMENT,
        check=False,
    )
    if done.returncode:
        raise LabError(f"pip install failed:\n{done.stderr[-3000:]}")


def _wheels(root: Path) -> Path:
    """What pbxfed depends on, as wheels for the Python of that root; fetched at the first time."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    python = next(path.name for path in (root / "usr/bin").glob("python3.*"))
    version = python.removeprefix("python")
    recipe = hashlib.sha256("\n".join([version, *wanted]).encode()).hexdigest()[:12]
    kept = cache() / f"wheels-{recipe}"
    with locked(cache() / "wheels.lock"):
        if not kept.is_dir():
            sys.stderr.write("fetching wheels\n")
            unfinished = kept.with_name(f"{kept.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            kinds = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
            command += [f"--platform={kind}_{platform.machine()}" for kind in kinds]
            command += [f"--python-version={version}", "--dest", str(unfinished), *wanted]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise LabError(f"pip download failed:\n{done.stderr[-2000:]}")
            unfinished.replace(kept)
    return kept
