"""A NATS server for the lab and for the tests of the WAN link: Debian's, as a file and not as a service of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.places import LabError, locked
from lab.root import cache

PACKAGE = "nats-server"
PORT = 4222


def ensure_nats() -> Path:
    """The server's program: this machine's, or one taken out of Debian's package. Nothing is installed or started."""
    found = shutil.which(PACKAGE)
    if found:
        return Path(found)
    program = cache() / PACKAGE
    if program.exists():
        return program
    cache().mkdir(parents=True, exist_ok=True)
    with locked(cache() / "nats.lock"), tempfile.TemporaryDirectory(dir=cache()) as folder:
        if not program.exists():
            sys.stderr.write(f"fetching {PACKAGE}\n")
            _fetch(Path(folder))
            (Path(folder) / "root" / "usr" / "sbin" / PACKAGE).replace(program)
    return program


def _fetch(folder: Path) -> None:
    command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", PACKAGE]
    if _run(command, folder).returncode:
        _run(["apt-get", "update", "-q"], folder)
        done = _run(command, folder)
        if done.returncode:
            raise LabError(f"apt-get could not download {PACKAGE}:\n{done.stderr[-2000:]}")
    package = next(folder.glob(f"{PACKAGE}_*.deb"))
    done = _run(["dpkg-deb", "-x", str(package), "root"], folder)
    if done.returncode:
        raise LabError(f"{package.name} cannot be unpacked: {done.stderr}")


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False
    )


def options(address: str) -> list[str]:
    """The server's arguments: one port, no monitoring, no state."""
    return ["--addr", address, "--port", str(PORT)]
