"""The Debian package: `make deb` builds it in a copy of the checkout, so that the checkout stays clean.

python -m release.deb [FOLDER]      the package goes to FOLDER, or to dist/
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.places import LabError
from lab.root import cache, ensure_tools, hash_of, kept
from release import libraries

CHECKOUT = Path(__file__).parents[1]
TOOLS = {"dh": "debhelper", "dpkg-buildpackage": "dpkg-dev"}
TAKEN = (
    *("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"),
    *("contrib", "debian", "dialplan", "docs", "pbxfed_ari", "release"),
)


class BuildError(Exception):
    """The package could not be built; the message is the end of what the tools said."""


def build(into: Path) -> Path:
    """Build the package. $COMPRESSION is an option for dpkg-deb, as debian/rules has one. Returns its path.

    Raises: BuildError, LabError (the tools cannot be installed).
    """
    ensure_tools(TOOLS)
    fetched = _libraries()
    with tempfile.TemporaryDirectory(prefix="pbxfed-deb-") as folder:
        copy = Path(folder) / "pbxfed"
        for name in TAKEN:
            _copy(CHECKOUT / name, copy / name)
        environment = {
            **os.environ,
            "PYTHON": sys.executable,
            "LIBRARIES": str(fetched),
        }
        done = subprocess.run(
            ["dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps"],
            cwd=copy,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildError("\n".join(done.stdout.splitlines()[-30:]))
        made = next(Path(folder).glob("*.deb"))
        into.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(made, into / made.name))


def _libraries() -> Path:
    """The folder of libraries: fetched once for each set of versions."""
    wanted = json.dumps([libraries.architecture(), libraries.recipe()], sort_keys=True)
    source = Path(libraries.__file__).read_text()
    return kept(
        cache() / f"libraries-{hash_of(wanted, source)}",
        "a folder of libraries",
        lambda folder, lock, what: libraries.gather(folder),
    )


def _copy(source: Path, target: Path) -> None:
    """A file, or a folder without what running left in it; links stay links."""
    if source.is_dir():
        left_out = shutil.ignore_patterns("__pycache__", "made")
        shutil.copytree(source, target, symlinks=True, ignore=left_out)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


if __name__ == "__main__":
    try:
        print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
    except (BuildError, LabError) as error:
        sys.exit(str(error))
