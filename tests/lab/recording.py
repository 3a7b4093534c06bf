"""What a phone that is not ours has heard: the power of a tone in its recording."""

from __future__ import annotations

import math
import wave
from pathlib import Path


def power(path: Path, hertz: int) -> float:
    """The power of one frequency in the last second of a recording (Goertzel)."""
    with wave.open(str(path)) as recording:
        rate, frames = recording.getframerate(), recording.getnframes()
        recording.setpos(max(0, frames - rate))
        data = recording.readframes(rate)
    samples = memoryview(data[: len(data) // 2 * 2]).cast("h")
    coefficient = 2 * math.cos(2 * math.pi * hertz / rate)
    last = before = 0.0
    for sample in samples:
        last, before = sample + coefficient * last - before, last
    return last * last + before * before - coefficient * last * before
