"""The sound of a phone, and the proof of who heard whom.

Each phone speaks one steady tone, a multiple of 10 Hz, as G.711: mu-law, or A-law, which is kept as mu-law when heard. Over a
window of 100 ms such tones are orthogonal, so a Goertzel filter tells them apart exactly: a phone *heard* another if that one's
tone made up most of what arrived in at least two windows. Silence, a ringback tone, a stranger's tone or one's own echo
do not pass for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

RATE = 8000  # samples a second
FRAME = 160  # samples in a packet of 20 ms
WINDOW = 800  # samples: 100 ms, resolves 10 Hz
PERIOD = WINDOW // FRAME  # packets after which a tone repeats itself
AMPLITUDE = 8000
SHARE = 0.5  # of a window's power that must be the tone
ENOUGH = 0.2  # seconds of a tone that make it heard

_LOWEST, _TONES, _STRIDE = 400, 290, 97  # 400 to 3290 Hz; the stride keeps neighbours far apart


def frequency(index: int) -> int:
    """The tone of the phone with this index, in Hz; the first 290 are all different."""
    return _LOWEST + 10 * (index * _STRIDE % _TONES)


def packets(hertz: int, codec: int = 0) -> list[bytes]:
    """The payloads of one full period of a tone: five packets, to be sent round and round. `codec`: its RTP payload type."""
    step = 2 * math.pi * hertz / RATE
    encode = _ENCODERS[codec]
    encoded = bytes(encode(round(AMPLITUDE * math.sin(step * n))) for n in range(WINDOW))
    return [encoded[start : start + FRAME] for start in range(0, WINDOW, FRAME)]


def seconds_heard(audio: bytes, hertz: int, share: float = SHARE) -> float:
    """How long a tone was the main thing in received mu-law audio, or at least such a share of it."""
    found = 0
    for start in range(0, len(audio) - WINDOW + 1, WINDOW):
        samples = [_DECODED[byte] for byte in audio[start : start + WINDOW]]
        power = sum(sample * sample for sample in samples)
        if power > WINDOW * 100**2 and _goertzel(samples, hertz) >= share * power:
            found += 1
    return found * WINDOW / RATE


def _goertzel(samples: list[int], hertz: int) -> float:
    """The power of one frequency, in the unit of the sum of squares."""
    turn = 2 * math.cos(2 * math.pi * hertz / RATE)
    last = before = 0.0
    for sample in samples:
        last, before = sample + turn * last - before, last
    return 2 * (last * last + before * before - turn * last * before) / len(samples)


def _encode(sample: int) -> int:
    """One sample as G.711 mu-law."""
    sign, magnitude = (0x80, -sample) if sample < 0 else (0, sample)
    magnitude = min(magnitude, 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> (exponent + 3) & 0x0F) & 0xFF


def _decode(byte: int) -> int:
    """One byte of G.711 mu-law as a sample."""
    byte = ~byte & 0xFF
    magnitude = (((byte & 0x0F) << 3) + 132 << (byte >> 4 & 7)) - 132
    return -magnitude if byte & 0x80 else magnitude


def _encode_a(sample: int) -> int:
    """One sample as G.711 A-law."""
    sign, magnitude = (0x80, sample >> 3) if sample >= 0 else (0, ~sample >> 3)
    exponent = max(0, magnitude.bit_length() - 5)
    return (sign | exponent << 4 | magnitude >> max(exponent, 1) & 0x0F) ^ 0x55


def _decode_a(byte: int) -> int:
    """One byte of G.711 A-law as a sample."""
    byte ^= 0x55
    exponent, magnitude = byte >> 4 & 7, (byte & 0x0F) << 4 | 8
    magnitude = magnitude + 0x100 << exponent - 1 if exponent else magnitude
    return magnitude if byte & 0x80 else -magnitude


_DECODED = [_decode(byte) for byte in range(256)]
_ENCODERS: dict[int, Callable[[int], int]] = {0: _encode, 8: _encode_a}
TO_MU = bytes(_encode(_decode_a(byte)) for byte in range(256))  # of A-law, for bytes.translate
