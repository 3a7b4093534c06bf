"""The peers' programs, fetched once into the cache beside the lab's root folder; nothing is installed into the system."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lab.places import LabError, locked
from lab.root import cache

PROGRAMS = {"serf": "usr/bin/serf", "nats-server": "usr/sbin/nats-server"}
LIBRARIES = ("eclipse-zenoh==1.10.2", "nats-py==2.16.0")


def program(package: str) -> str:
    """The path of a peer's program, from Debian's package of that name.

    Raises: LabError, if it cannot be had.
    """
    folder = cache() / f"peer-{package}"
    _made(folder, lambda new: _unpack(package, new))
    return str(folder / PROGRAMS[package])


def libraries() -> str:
    """The folder of the peers' Python libraries, for PYTHONPATH.

    Raises: LabError, if they cannot be had.
    """
    folder = cache() / ("peer-" + "-".join(LIBRARIES).replace("==", "-"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target"]
    _made(folder, lambda new: _run([*pip, str(new), *LIBRARIES], new))
    return str(folder)


def _made(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder, once; a crash leaves none half made."""
    cache().mkdir(parents=True, exist_ok=True)
    with locked(cache() / "peers.lock"):
        if folder.is_dir():
            return
        print(f"fetching {folder.name}", file=sys.stderr, flush=True)
        unfinished = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        make(unfinished)
        unfinished.replace(folder)


def _unpack(package: str, folder: Path) -> None:
    download = ["apt-get", "download", "-q", package]
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
