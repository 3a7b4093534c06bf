"""What was recorded: by a phone that is not ours, what it has heard; by Asterisk, a conversation."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Sequence
from pathlib import Path

SHARE = 0.2  # of a window's power that each of two tones must have
LOUD = 100.0  # what a window of sound has at least, as the root of its mean square


def power(path: Path, hertz: int) -> float:
    """The power of one frequency in the last second of a recording (Goertzel)."""
    with wave.open(str(path)) as recording:
        rate, frames = recording.getframerate(), recording.getnframes()
        recording.setpos(max(0, frames - rate))
        data = recording.readframes(rate)
    return _goertzel(memoryview(data[: len(data) // 2 * 2]).cast("h"), hertz, rate)


def seconds_of(recording: bytes, hertz: int, *, last: float = 3600.0) -> float:
    """For how long this tone is a good part of what a WAV file holds, of its `last` seconds: by windows of 100 ms."""
    with wave.open(io.BytesIO(recording)) as read:
        rate = read.getframerate()
        read.setpos(max(0, read.getnframes() - round(last * rate)))
        samples = memoryview(read.readframes(read.getnframes())).cast("h")
    size, found = rate // 10, 0
    for start in range(0, len(samples) - size + 1, size):
        window = samples[start : start + size]
        loudness = sum(sample * sample for sample in window)
        if loudness > size * LOUD**2:
            found += 2 * _goertzel(window, hertz, rate) >= SHARE * size * loudness
    return found / 10


def _goertzel(samples: Sequence[int], hertz: int, rate: int) -> float:
    coefficient = 2 * math.cos(2 * math.pi * hertz / rate)
    last = before = 0.0
    for sample in samples:
        last, before = sample + coefficient * last - before, last
    return last * last + before * before - coefficient * last * before
