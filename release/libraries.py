"""The libraries of the Debian package: one folder that serves several minor versions of Python.

    python -m release.libraries FOLDER

Debian's own are too old, or not there. A compiled module carries the version that it was built for in its name
(`_core.cpython-311-x86_64-linux-gnu.so`), so those of all versions lie side by side, and what is not compiled is the same
file for all: this is how Debian's own python3-* packages do it. An `abi3` module serves its version and all later ones: the
oldest is taken. The versions of the libraries are those that this interpreter has, with which the tests ran; the files come
from PyPI, as wheels.
"""

import filecmp
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MINORS = (
    "3.11",
    "3.12",
    "3.13",
    "3.14",
)  # Debian 12, Ubuntu 24.04, Debian 13, sid; `Depends` in debian/control says the same
GLIBC = range(17, 37)  # 2.36 is Debian 12's
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
OF_ONE_VERSION = {
    "RECORD",
    "WHEEL",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
}  # notes of the installer
DEVELOPMENT = ("tests", "__pycache__")
TEXTS = {".c", ".h", ".pyx", ".pxd", ".pxi", ".pyi"}


def needed(name: str, minor: str) -> dict[str, str]:
    """Everything that a distribution needs on such a Python, by name, with the version that is installed here.

    Raises: importlib.metadata.PackageNotFoundError: run this in an environment that has it all.
    """
    found: dict[str, str] = {}
    missing = [name]
    environment = {"python_version": minor, "python_full_version": f"{minor}.0", "extra": ""}
    while missing:
        for text in distribution(missing.pop()).requires or ():
            wanted = Requirement(text)
            key = canonicalize_name(wanted.name)
            if key not in found and (not wanted.marker or wanted.marker.evaluate(environment)):
                found[key] = distribution(key).version
                missing.append(key)
    return found


def fetch(wanted: dict[str, str], minor: str, machine: str, folder: Path) -> None:
    """Unpack wheels for such a Python on such a machine into a folder."""
    platforms = [f"manylinux_2_{n}_{machine}" for n in GLIBC] + [f"manylinux2014_{machine}"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-compile", "--only-binary=:all:", "--implementation=cp"]
    command += [f"--python-version={minor}", f"--target={folder}"]
    command += [f"--platform={platform}" for platform in platforms]
    command += [f"{name}=={version}" for name, version in sorted(wanted.items())]
    subprocess.run(command, check=True)


def merge(source: Path, target: Path) -> None:
    """Add one version's files to those that are there.

    Raises: ValueError, if a file is another one than there.
    """
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir() or not wanted_file(path.relative_to(source)):
            continue
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        elif not path.name.endswith(".abi3.so") and not filecmp.cmp(path, place, shallow=False):
            raise ValueError(f"{path.relative_to(source)} is not the same for all versions")


def wanted_file(path: Path) -> bool:
    """Whether the daemon, or its licence, needs this file of a library."""
    if any(part in DEVELOPMENT for part in path.parts) or path.parts[0] == "bin":
        return False
    return path.name not in OF_ONE_VERSION and path.suffix not in TEXTS


def machine_of(architecture: str) -> str:
    """What wheels call a Debian architecture.

    Raises: ValueError, if nobody has tried it.
    """
    if architecture not in MACHINES:
        raise ValueError(f"architecture {architecture}: must be one of {', '.join(MACHINES)}")
    return MACHINES[architecture]


def recipe() -> dict[str, dict[str, str]]:
    """What `pbxfed-ari` needs, itself left out: for each minor version, names and versions."""
    return {minor: needed("pbxfed-ari", minor) for minor in MINORS}


def gather(folder: Path) -> None:
    """Fill a folder with all of it, for this machine's architecture."""
    machine = machine_of(architecture())
    for minor, wanted in recipe().items():
        with tempfile.TemporaryDirectory() as unpacked:
            fetch(wanted, minor, machine, Path(unpacked))
            merge(Path(unpacked), folder)


def architecture() -> str:
    """This machine's, as Debian calls it."""
    asked = ["dpkg", "--print-architecture"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
