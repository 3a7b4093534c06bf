"""What the peers need beside this project's own, fetched once into the lab's cache; nothing is installed into the system."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lab.places import LabError, locked
from lab.root import cache

SERF = "serf"
NATS_CLIENT = "nats-py==2.16.0"
RING = "uhashring==2.5"


def serf() -> str:
    """The path of Debian's `serf`.

    Raises: LabError, if it cannot be had.
    """
    return str(_made(cache() / f"peer-{SERF}", _unpack_serf) / "usr" / "bin" / "serf")


def library(requirement: str) -> str:
    """The folder of a Python library, for PYTHONPATH.

    Raises: LabError, if it cannot be had.
    """
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target"]
    folder = cache() / f"peer-{requirement.replace('==', '-')}"
    return str(_made(folder, lambda new: _run([*pip, str(new), requirement], new)))


def _made(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder that is made once, and never half."""
    cache().mkdir(parents=True, exist_ok=True)
    with locked(cache() / "peers.lock"):
        if not folder.is_dir():
            print(f"fetching {folder.name}", file=sys.stderr, flush=True)
            unfinished = folder.with_name(f"{folder.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.replace(folder)
    return folder


def _unpack_serf(folder: Path) -> None:
    download = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", SERF]
    if subprocess.run(download, cwd=folder, capture_output=True, check=False).returncode:
        _run(["apt-get", "update", "-q"], folder)
        _run(download, folder)
    for archive in folder.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(archive), str(folder)], folder)
        archive.unlink()


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
