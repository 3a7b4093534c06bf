"""A machine of its own: a Debian root folder that systemd boots in namespaces (systemd-nspawn), with a layer of memory over it.

Packages are installed on it and daemons started as on any machine; when it is off, all of that is forgotten, and the root is
what it was. It has a network of its own: with nothing in it but loopback, or a namespace that it is given. It dies with the
process that has started it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.places import LabError
from lab.root import cache, debian, ensure_tools, hash_of, kept

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "setpriv": "util-linux",
    "nsenter": "util-linux",
}
BASE = ("systemd", "systemd-sysv", "python3", "adduser", "iproute2")
# Each machine has a control group of its own, else two would have one systemd's services between them.
ENTER = """set -e
count=$0
while [ "$count" -gt 0 ]; do echo $$ > "$1/cgroup.procs"; shift; count=$((count - 1)); done
exec "$@"
"""
# Namespaces alone are not enough where we are in a chroot ourselves: the root would be the one outside of it.
INTO = ("--all", "--root", "--wd")
BOOTS_WITHIN = 60.0  # seconds; 2 on an idle machine
ENDS_WITHIN = 20.0  # seconds


def ensure_base(suite: str, *packages: str) -> Path:
    """The root folder of a minimal Debian with systemd, Python and these packages, after making it if there is none."""
    ensure_tools(TOOLS)
    wanted = (*BASE, *packages)
    return kept(
        cache() / f"machine-{hash_of(suite, *wanted)}",
        f"a root folder of Debian {suite}",
        lambda folder, lock, what: debian(folder, suite, wanted, lock, what),
    )


class Machine:
    """One machine, on from `boot` to `off`."""

    def __init__(
        self, root: Path, log: Path, shared: Path, *, hostname: str = "", namespace: str = ""
    ) -> None:
        """`log` is what its console says; `shared` is a folder of ours that it sees, read-only, at /mnt.

        `namespace` is the network that it is in, by `ip netns`' name.
        """
        self._root, self._log, self._shared = root, log, shared
        self._network = "--private-network"
        if namespace:
            self._network = f"--network-namespace-path=/run/netns/{namespace}"
        self._hostname = [f"--hostname={hostname}"] if hostname else []
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._state = "nothing"
        name = f"machine-{secrets.token_hex(4)}"  # one for both trees: nspawn keeps them alike
        self._groups = [at / name for at in own_groups()]

    def boot(self) -> None:
        """Start it, and wait until all its units have been started.

        Raises: LabError.
        """
        self.switch_on()
        self.wait()

    def switch_on(self) -> None:
        """Start it. It goes off with the *thread* that calls this."""
        command = ["sh", "-c", ENTER, str(len(self._groups)), *map(str, self._groups)]
        command += ["setpriv", "--pdeathsig=TERM", "systemd-nspawn", "--quiet", "--register=no"]
        # killed itself, nspawn would leave the machine running; on SIGTERM it kills the machine
        command += ["--kill-signal=SIGKILL", "--keep-unit", "--volatile=overlay", "--console=pipe"]
        # its journal is nobody else's; and where we are there may be no machine id yet, as in a container
        command += ["--link-journal=no"]
        command += [self._network, *self._hostname]
        command += [f"--bind-ro={self._shared}:/mnt", f"--directory={self._root}", "--boot"]
        for group in self._groups:
            group.mkdir()
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )

    def wait(self) -> None:
        """Wait until all its units have been started.

        Raises: LabError.
        """
        assert self._nspawn is not None
        deadline = time.monotonic() + BOOTS_WITHIN
        while not self._is_up():
            if self._nspawn.poll() is not None or time.monotonic() > deadline:
                self.off()
                said = self._log.read_text()[-2000:]
                raise LabError(f"the machine does not start, systemd says: {self._state}\n{said}")
            time.sleep(0.2)

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        pid = self._nspawn.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return False
        if not children or _same_processes(children[0]):
            return False
        self._leader = int(children[0])
        done = self.run("systemctl", "is-system-running", check=False)
        self._state = done.stdout.strip() or done.stderr.strip()
        return self._state in ("running", "degraded")

    def run(
        self, *argv: str, check: bool = True, given: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on it, as root; `given` is its standard input.

        Raises: LabError, if it fails and that is not expected.
        """
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            ["nsenter", f"--target={self._leader}", *INTO, "--", *argv],
            input=given,
            env={**environment, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            said = (done.stdout + done.stderr)[-3000:]
            raise LabError(f"{' '.join(argv)}: exit code {done.returncode}\n{said}")
        return done

    def write(self, path: str, text: str, *, owner: str = "root:root", mode: str = "644") -> None:
        """Write a file on it; folders that are missing are made."""
        script = 'mkdir -p "${1%/*}" && cat > "$1" && chown "$2" "$1" && chmod "$3" "$1"'
        self.run("sh", "-c", script, "sh", path, owner, mode, given=text)

    def show(self, unit: str, *properties: str) -> Sequence[str]:
        """What systemd says of a unit, in this order."""
        asked = [word for name in properties for word in ("-p", name)]
        lines = self.run("systemctl", "show", *asked, unit).stdout.splitlines()
        said = dict(line.split("=", 1) for line in lines)
        return [said[name] for name in properties]

    def off(self) -> None:
        """Switch it off; what was written on it is gone."""
        if self._nspawn is None:
            return
        self._nspawn.terminate()
        self._nspawn.wait(ENDS_WITHIN)
        self._nspawn = None
        for group in self._groups:
            _remove_group(group)


def _same_processes(pid: str) -> bool:
    """Whether it is among our own processes still, where systemd's answers would be those of our own machine, or is no more."""
    try:
        return Path(f"/proc/{pid}/ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()
    except OSError:
        return True


def _remove_group(group: Path) -> None:
    """A control group with all in it; its last processes may be ending still."""
    deadline = time.monotonic() + ENDS_WITHIN
    while True:
        try:
            for folder in sorted(group.rglob("*/"), reverse=True):
                folder.rmdir()
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def own_groups() -> list[Path]:
    """Where this process stands in the trees of control groups that systemd uses: one tree, or two on an older host."""
    place: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        place[names] = path.lstrip("/")
    found: dict[str, Path] = {}  # by tree: one may be mounted several times
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.setdefault("", Path(mount) / place[""])
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            found.setdefault("name=systemd", Path(mount) / place["name=systemd"])
    return list(found.values())
