"""Who follows README alone reaches a call between two machines: its own blocks are typed, on two fresh Debians."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.booted import PREPARE, Booted, BootedLan, ensure_debian
from lab.places import CHECKOUT, Places
from lab.root import ensure_tools
from tests import documents
from tests.lab.furnishing import HASTE, known

ADDRESSES = {"a": "10.77.0.11", "b": "10.77.0.12"}
MINUTES = 10  # README's own
AGREED = "y\n" * 4  # whatever `pbxfed init` asks


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What people have from this checkout on their machines: where they type, /mnt."""
    ensure_tools()
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "lab").mkdir()
    shutil.copy(PREPARE, folder / "lab")
    return folder


@pytest.fixture(scope="module")
def lan(checkout: Path) -> Iterator[BootedLan]:
    """Two machines that know nothing of pbxfed."""
    lan = BootedLan(Places(CHECKOUT / ".lab-test-newcomer"), "pbx.example")
    try:
        lan.up(ensure_debian(), ADDRESSES, checkout)
        yield lan
    finally:
        lan.down()


def typed(machine: Booted, line: str, given: str = AGREED) -> str:
    """What it says."""
    return machine.run("bash", "-c", f"cd /mnt && {line}", given=given).stdout


def package(line: str, into: Path) -> None:
    """Build it here, as people do on one machine of theirs, in haste; dist/ is as before then."""
    dist = CHECKOUT / "dist"
    before = set(dist.glob("*"))
    environment = {**os.environ, **HASTE}
    subprocess.run(
        ["bash", "-c", line], cwd=CHECKOUT, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    shutil.copytree(dist, into / "dist")
    for made in set(dist.glob("*")) - before:
        made.unlink()
    if not before:
        dist.rmdir()


def test_a_call_between_two_machines_of_ones_own(lan: BootedLan, checkout: Path) -> None:
    """Block after block; with media both ways, within README's ten minutes."""
    mine = [block.text for block in documents.blocks() if block.by.endswith(Path(__file__).name)]
    on_each, on_the_first, on_the_other, on_any = map(documents.lines, mine)
    first, other = lan.machine("a"), lan.machine("b")
    began = time.monotonic()
    for line in on_each:
        if line.startswith("make deb"):
            package(line, checkout)
            continue
        with ThreadPoolExecutor() as pool:  # each is a machine of its own
            list(pool.map(typed, (first, other), (line, line)))
    for line in on_the_first:
        said = typed(first, line)
    token = said
    for line in on_the_other:
        said = typed(other, line, given=token + AGREED)
    for line in on_any:
        said = typed(other, line)
    assert said.count("alive") == 2
    for number, node in (("1001", "a"), ("1002", "b")):
        lan.remember_extension(number, "correct-horse-9")
        registered(lan, number, node)
    known(lan, "1002", "b", by="a")
    call = lan.dial("1001", "1002")
    took = time.monotonic() - began
    print(f"from nothing to a call: {took:.0f} s")
    assert took < MINUTES * 60
    assert re.search(r"1001 +1002 .* b", typed(first, "pbxfed calls"))
    time.sleep(1.5)
    result = lan.finish(call, ways=True)
    assert result.ok, result
    assert (result.nodes, result.trunk) == (("a", "b"), "sip")


def registered(lan: BootedLan, number: str, node: str) -> None:
    """A phone tries again as phones do, until its extension is there."""
    deadline = time.monotonic() + 10
    while "Aor:" not in lan.asterisk(node, f"pjsip show endpoint {number}"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    lan.register(number, node)
