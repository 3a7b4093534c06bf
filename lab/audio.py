"""The sound of one call: a tone out, keys among it (RFC 4733), and whatever comes in kept."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
from collections import Counter, deque
from dataclasses import replace

from lab import tones
from lab.sip import CODECS, KEYS, Sound

KEPT = 60 * tones.RATE  # bytes of received sound that a call remembers
DIGITS = "0123456789*#ABCD"  # by their RFC 4733 numbers
KEY_TICKS, KEY_PAUSE = (
    8,
    5,
)  # packets that a key is held for, the last three of them its end; and until the next


class NoPort(Exception):
    """Every port of the phone carries sound already."""


class Audio:
    """The sound of one call: our tone out, whatever comes in kept."""

    def __init__(self, address: str, ports: range, hertz: int, codecs: tuple[int, ...]) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        for port in ports:
            with contextlib.suppress(OSError):
                self._socket.bind((address, port))
                break
        else:
            self._socket.close()
            raise NoPort
        self.sound = Sound(address, port, codecs=codecs)
        self._hertz = hertz
        self._speak(codecs[0])
        self._remote: tuple[str, int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._source, self._since = secrets.randbits(32), secrets.randbits(31)
        self._pressed: deque[int] = deque()  # keys that wait
        self._key: tuple[int, int, int] | None = None  # that is pressed: number, since which packet
        self._key_ended = -1  # the stamp of the last one that came
        self.keys = ""
        self.heard = bytearray()
        self.sent = self.received = 0
        self.codecs: Counter[str] = Counter()  # packets received in each
        self._loop.add_reader(self._socket, self._receive)

    def send_to(self, remote: Sound) -> None:
        """Speak to where the other side listens; be silent if it does not."""
        self._remote = (remote.host, remote.port)
        if common := remote.common(self.sound.codecs):
            self._speak(common[0])
        if remote.direction in ("sendonly", "inactive"):
            self._remote = None
        if self._timer is None and self._remote is not None:
            self._next = self._loop.time()
            self._tick()

    def answers(self, offer: Sound) -> None:
        """From now on only what the offer has in common with us is said."""
        self.sound = replace(self.sound, codecs=offer.common(self.sound.codecs))

    def _speak(self, codec: int) -> None:
        self._codec, self._packets = codec, tones.packets(self._hertz, codec)

    def fall_silent(self) -> None:
        """Send nothing until told whither again: the other side is on hold."""
        self._remote = None

    def press(self, keys: str) -> None:
        """Press these keys, one after the other."""
        self._pressed.extend(DIGITS.index(key) for key in keys)

    def _tick(self) -> None:
        if self._remote is None:
            self._timer = None
            return
        number = self.sent
        kind, stamp, payload = self._next_key(number) or (
            self._codec | (0x80 if number == 0 else 0),
            self._stamp(number),
            self._packets[number % tones.PERIOD],
        )
        header = struct.pack(
            "!BBHII", 0x80, kind, number + self._since & 0xFFFF, stamp, self._source
        )
        with contextlib.suppress(OSError):
            self._socket.sendto(header + payload, self._remote)
        self.sent += 1
        self._next += tones.FRAME / tones.RATE
        self._timer = self._loop.call_at(self._next, self._tick)

    def _stamp(self, number: int) -> int:
        """Of a packet, from anywhere on (RFC 3550 §5.1)."""
        return (number * tones.FRAME + self._since) & 0xFFFFFFFF

    def _next_key(self, number: int) -> tuple[int, int, bytes] | None:
        """Marker and payload type, stamp and payload, if a key is pressed now."""
        if self._key is None:
            if not self._pressed:
                return None
            self._key = (self._pressed.popleft(), number, self._stamp(number))
        key, since, stamp = self._key
        step = number - since
        if step >= KEY_TICKS:
            if step >= KEY_TICKS + KEY_PAUSE:
                self._key = None
            return None
        end = 0x80 if step >= KEY_TICKS - 3 else 0
        lasted = min(step + 1, KEY_TICKS - 2) * tones.FRAME
        return KEYS | (0x80 if step == 0 else 0), stamp, struct.pack("!BBH", key, end | 10, lasted)

    def _hear_key(self, data: bytes) -> None:
        stamp, (key, flags) = struct.unpack("!I", data[4:8])[0], data[12:14]
        if flags & 0x80 and stamp != self._key_ended and key < len(DIGITS):
            self._key_ended = stamp
            self.keys += DIGITS[key]

    def _receive(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = self._socket.recv(2048)
                if len(data) >= 16 and data[0] == 0x80 and data[1] & 0x7F == KEYS:
                    self._hear_key(data)
                codec = data[1] & 0x7F if len(data) >= 12 and data[0] >> 6 == 2 else KEYS
                if codec not in CODECS:
                    continue
                self.received += 1
                self.codecs[CODECS[codec]] += 1
                payload = data[12 + 4 * (data[0] & 0x0F) :]
                self.heard += payload.translate(tones.TO_MU) if codec == 8 else payload
                if len(self.heard) > 2 * KEPT:
                    del self.heard[:-KEPT]

    def close(self) -> None:
        """Fall silent and deaf; what was heard stays."""
        self._remote = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
