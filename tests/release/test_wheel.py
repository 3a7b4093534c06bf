"""The wheel, installed where no checkout is in reach: it has all that it needs."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from pbxfed_ari import __version__
from release.deb import CHECKOUT, TAKEN, _copy

EVERY_MODULE = """
import importlib, pkgutil, sys, pbxfed_ari
for found in pkgutil.walk_packages(pbxfed_ari.__path__, "pbxfed_ari."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
print(pbxfed_ari.__file__, len([name for name in sys.modules if name.startswith("pbxfed_ari.")]))
"""
THE_DIALPLAN = """
import pathlib, pbxfed_ari
for path in sorted((pathlib.Path(pbxfed_ari.__file__).parent / "dialplan").iterdir()):
    print(path.name)
"""
CONFIGURATION = """
[node]
name = "a"
address = "127.0.0.1"
state = "{folder}/state"
[federation]
domain = "pbx.example"
key_file = "{folder}/federation.key"
[asterisk]
password_file = "{folder}/ari.password"
iax_peers = "{folder}/iax-peers.conf"
objects = "{folder}/objects.sqlite3"
"""


@pytest.fixture(scope="module")
def bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of a virtual environment are, with the wheel in it, and what it depends on taken from ours."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in TAKEN:
        _copy(CHECKOUT / name, folder / "source" / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*build, "-w", folder, folder / "source"], check=True)
    (wheel,) = folder.glob("pbxfed_ari-*.whl")
    venv.create(folder / "venv", with_pip=False)
    into = next((folder / "venv/lib").glob("python*/site-packages"))
    install = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    install += ["--python", str(folder / "venv"), "install", "--no-deps", str(wheel)]
    subprocess.run(install, check=True)
    (into / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder / "venv/bin"


def run(*argv: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=cwd, env={}, capture_output=True, text=True, check=False)


def test_every_module_is_in_it(bin: Path) -> None:
    """And can be imported."""
    done = run(bin / "python", "-c", EVERY_MODULE, cwd=bin)
    assert done.returncode == 0, done.stderr
    where, count = done.stdout.split()
    assert bin.parent in Path(where).parents
    here = len(list((CHECKOUT / "pbxfed_ari").rglob("*.py")))
    assert int(count) + 1 >= here - 1  # pbxfed_ari itself; __main__


def test_the_dialplan_is_in_it(bin: Path) -> None:
    """`pbxfed init` copies it."""
    done = run(bin / "python", "-c", THE_DIALPLAN, cwd=bin)
    assert done.stdout.split() == sorted(path.name for path in (CHECKOUT / "dialplan").iterdir())


def test_the_command_works(bin: Path, tmp_path: Path) -> None:
    """From the folder of anybody."""
    assert run(bin / "pbxfed", "version", cwd=tmp_path).stdout.split() == ["pbxfed", __version__]
    for name, text in (("federation.key", "0" * 64), ("ari.password", "x")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    config = tmp_path / "pbxfed.toml"
    config.write_text(CONFIGURATION.format(folder=tmp_path))
    done = run(bin / "pbxfed", "--config", config, "check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    refused = run(bin / "pbxfed", "--config", config, "status", cwd=tmp_path)
    assert refused.returncode == 3, refused
