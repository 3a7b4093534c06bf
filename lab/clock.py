"""Clocks that run wrong: a daemon that is told another time than the machine's (libfaketime, preloaded), and may be told anew.

Monotonic time is left alone, as it is when an operator or a time server steps a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab.package import taken


def set_wrong(file: Path, seconds: int) -> None:
    """Who has been started with this file is so many seconds ahead from now on."""
    fresh = file.with_suffix(".new")
    fresh.write_text(f"{seconds:+d}s\n")
    fresh.replace(file)


def environment(file: Path) -> Mapping[str, str]:
    """What a program must be started with to believe this file; nothing if there is none."""
    if not file.exists():
        return {}
    library = taken("libfaketime", "usr/lib/*/faketime/libfaketime.so.1")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
