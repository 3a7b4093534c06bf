"""Files out of Debian's packages, kept with the lab's other downloads. Nothing is installed or started."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.places import LabError, locked
from lab.root import cache


def taken(package: str, pattern: str) -> Path:
    """The file of a package that matches a pattern, as `usr/sbin/nats-server`; fetched at the first time.

    Raises: LabError, if it cannot be had.
    """
    kept = cache() / pattern.rpartition("/")[2]
    cache().mkdir(parents=True, exist_ok=True)
    with locked(cache() / f"{package}.lock"), tempfile.TemporaryDirectory(dir=cache()) as folder:
        if not kept.exists():
            sys.stderr.write(f"fetching {package}\n")
            _fetch(package, Path(folder))
            found = next((Path(folder) / "root").glob(pattern), None)
            if found is None:
                raise LabError(f"{package} holds no {pattern}")
            found.replace(kept)
    return kept


def unpacked(package: str) -> Path:
    """All files of a package, below one folder; fetched at the first time.

    Raises: LabError, if it cannot be had.
    """
    kept = cache() / f"package-{package}"
    cache().mkdir(parents=True, exist_ok=True)
    with locked(cache() / f"{package}.lock"), tempfile.TemporaryDirectory(dir=cache()) as folder:
        if not kept.exists():
            sys.stderr.write(f"fetching {package}\n")
            _fetch(package, Path(folder))
            (Path(folder) / "root").replace(kept)
    return kept


def _fetch(package: str, folder: Path) -> None:
    command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package]
    if _run(command, folder).returncode:
        _run(["apt-get", "update", "-q"], folder)
        done = _run(command, folder)
        if done.returncode:
            raise LabError(f"apt-get could not download {package}:\n{done.stderr[-2000:]}")
    archive = next(folder.glob(f"{package}_*.deb"))
    done = _run(["dpkg-deb", "-x", str(archive), "root"], folder)
    if done.returncode:
        raise LabError(f"{archive.name} cannot be unpacked: {done.stderr}")


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False
    )
