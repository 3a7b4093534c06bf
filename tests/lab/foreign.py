"""Debian's baresip, run beside the phones of a node: a phone that is not ours."""

from __future__ import annotations

import math
import struct
import subprocess
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.calls import Dialled
from lab.lab import Lab
from lab.root import INSIDE, inside
from tests.lab.conftest import Federation

MODULES = "/usr/lib/baresip/modules"
TONE = 700  # Hz: what it says


@contextmanager
def running(lab: Lab, home: str, folder: Path) -> Iterator[Path]:
    """It runs with the `config` and `accounts` in this folder of the lab's; what it says, and its log, go there, too."""
    node = lab.node(home)
    (folder / "contacts").write_text("")
    _speak(folder / "speaks.wav")
    argv = ["baresip", "-f", f"{INSIDE}/{folder.name}"]
    command = inside(node.root, lab.places.state, node.hosts, argv)
    with (folder / "log").open("wb") as log:
        phone = subprocess.Popen(
            ["ip", "netns", "exec", node.phones.namespace, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield folder
    finally:
        phone.kill()
        phone.wait()
        print((folder / "log").read_text(errors="replace")[-1500:])


def is_heard(federation: Federation, home: str, phone: str, call: Dialled) -> None:
    """Who has called it hears what it says, for most of a second; it has been spoken to for as long then."""

    def heard() -> bool:
        group = federation.lab.group(home)
        found = group.ask("call", phone=phone, call=call.id, tones=[TONE], last_seconds=1.0)
        return bool(found["heard"][str(TONE)] >= 0.8)

    federation.until(heard, what="it is heard")


def _speak(path: Path) -> None:
    """Ten seconds of one tone, for the phone to say."""
    samples = [round(12_000 * math.sin(2 * math.pi * TONE * i / 8_000)) for i in range(80_000)]
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 8_000, 0, "NONE", ""))
        out.writeframes(struct.pack(f"<{len(samples)}h", *samples))
