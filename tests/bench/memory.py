"""A daemon's memory and its file, with few and with many records: three of four are an extension's, one is a contact."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.daemons import Daemons, Settings
from tests.bench.ground import Ground, resident
from tests.bench.seed import seed
from tests.bench.table import Row

FEW, MANY = 1_000, 100_000
OBJECTS = "a record is an entry of the book and one of its stream, and a phone is made of three: Python objects all"
SETTLE = 3.0  # seconds
ZENOH = 8782  # TCP port


class _Held(NamedTuple):
    records: int
    memory: float  # MB
    disk: int  # bytes


def rows() -> list[Row]:
    """Memory with few and with many records, and what one takes."""
    few, many = _daemon(FEW), _daemon(MANY)
    afar = _daemon(FEW, wan=True)
    more = many.records - few.records
    ram = (many.memory - few.memory) * 1024 * 1024 / more
    disk = (many.disk - few.disk) / more
    anchor = "bare imports with zenoh: 62 MB (published)"
    return [
        Row(f"a daemon's memory, {few.records:,} records", f"{few.memory:.0f} MB", anchor,
            "≤ 75 MB", few.memory <= 75),
        Row(f"a daemon's memory, {afar.records:,} records, with a WAN link (zenoh)", f"{afar.memory:.0f} MB", anchor,
            "≤ 95 MB", afar.memory <= 95),
        Row(f"a daemon's memory, {many.records:,} records", f"{many.memory:.0f} MB", anchor,
            "≤ 150 MB", many.memory <= 150, why=OBJECTS),
        Row("a record, in memory and on the disk", f"{ram:.0f} B, {disk:.0f} B",
            "a dict with a tuple 274 B, a row of SQLite 40 B (published)", "≤ 400 B, ≤ 100 B",
            ram <= 400 and disk <= 100, why=OBJECTS),
    ]  # fmt: skip


def _daemon(records: int, *, wan: bool = False) -> _Held:
    with Ground(1) as ground:
        [node] = ground.names
        door = f"{ground.hosts[node].address}:{ZENOH}"
        link: Settings = {"wan": {"link": "zenoh", "listen": door, "connect": [door]}}
        extra = {node: link} if wan else {}
        state = ground.folder(node) / "state"
        extensions = records // 4
        written = seed(state, node, ground.hosts[node].address, extensions, extensions)
        with Daemons(ground, [node], asterisks=[], watched=False, extra=extra) as daemons:
            daemons.start()
            assert daemons.status(node)["extensions"] == extensions
            time.sleep(SETTLE)
            memory = resident(ground.running[node].pid)
        return _Held(written, memory, _size(state))


def _size(state: Path) -> int:
    return sum(path.stat().st_size for path in state.iterdir())
