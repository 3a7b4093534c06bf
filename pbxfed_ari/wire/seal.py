"""The seal: authenticated encryption of every frame, by sessions that only holders of the group's key can make.

A boot draws a random salt of 16 bytes; its session key is HKDF-SHA256(group key, salt) (RFC 5869). A frame is sealed with
ChaCha20-Poly1305 (RFC 8439) under that key, its counter the nonce: as long as no salt repeats, no nonce does, whatever became
of the disk. The header is authenticated too.

    plain        1 byte  0x11 | session 4         | counter 4 | ciphertext | tag 16        25 bytes around the message
    introducing  1 byte  0x12 | salt 16 | key 4   | counter 4 | ciphertext | tag 16        carries a Hello, opens the session

The first byte's upper half is the wire version. `session` is a hash of salt and key id, so who knows a boot's salt opens its
frames under every group key that it holds itself: a rotation needs no new introduction. The counter goes on through all keys
of a boot. A receiver accepts each counter of a boot once, and none older than WINDOW behind the newest.
"""

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pbxfed_ari.core.messages import WIRE_VERSION
from pbxfed_ari.core.records.keys import KEY, KEY_ID, key_id
from pbxfed_ari.errors import (
    BadSeal,
    Malformed,
    Replayed,
    UnknownKey,
    UnknownSession,
    WrongVersion,
)

PLAIN = WIRE_VERSION << 4 | 1
INTRODUCING = WIRE_VERSION << 4 | 2
SALT, SESSION, COUNTER, TAG = 16, 4, 4, 16  # bytes
OVERHEAD = 1 + SESSION + COUNTER + TAG
WINDOW = 1_024  # frames that may overtake one another
LAST_COUNTER = (1 << 8 * COUNTER) - 100_000  # some frames are left for a goodbye


class Opened(NamedTuple):
    """What a frame held."""

    salt: bytes  # which boot said it
    payload: bytes
    key: bytes  # id of the group key of an introducing frame; empty for a plain one


class _Boot:
    """One peer's boot: which of its counters have come."""

    __slots__ = ("_newest", "_seen", "salt")

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        self._newest = -1
        self._seen = 0  # bit i: counter newest - i has come

    def fresh(self, counter: int) -> bool:
        """Has this counter not come yet, and is it not too old?"""
        age = self._newest - counter
        return age < 0 or (age < WINDOW and not self._seen >> age & 1)

    def close_past(self) -> None:
        """Nothing older than the newest frame counts any more, whether it came or not."""
        self._seen = (1 << WINDOW) - 1

    def mark(self, counter: int) -> None:
        """This counter has come, and verified."""
        if counter > self._newest:
            self._seen = (self._seen << (counter - self._newest) | 1) & ((1 << WINDOW) - 1)
            self._newest = counter
        else:
            self._seen |= 1 << (self._newest - counter)


class Seal:
    """Seals our frames and opens those of others."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        """`key` of 32 bytes, the only one until `use` says otherwise; `salt` of 16 random ones, new at each boot."""
        if len(salt) != SALT:
            raise ValueError(f"a salt of {SALT} bytes is needed")
        self.salt = salt
        self._counter = 0
        self._keys: dict[bytes, bytes] = {}  # all that are held, by id
        self._readable: dict[bytes, bytes] = {}  # those that open plain frames
        self._boots: dict[bytes, _Boot] = {}  # by salt
        self._sessions: dict[bytes, tuple[_Boot, ChaCha20Poly1305]] = {}  # by session id
        self._own: dict[bytes, tuple[bytes, ChaCha20Poly1305]] = {}  # by key id: session id, cipher
        self.use([key], key, [key])

    @property
    def worn(self) -> bool:
        """Nearly all counters of this boot are used: a new one must begin."""
        return self._counter >= LAST_COUNTER

    def use(self, held: Sequence[bytes], sealing: bytes, readable: Collection[bytes]) -> None:
        """From now on these keys are held, this one seals, these ones open plain frames."""
        if any(len(key) != KEY for key in held):
            raise ValueError(f"keys of {KEY} bytes are needed")
        self._keys = {key_id(key): key for key in held}
        self.sealing = key_id(sealing)  # the id of the key that seals
        self._own = {name: _session(key, self.salt) for name, key in self._keys.items()}
        self._readable = {key_id(key): key for key in readable}
        self._sessions.clear()
        for boot in self._boots.values():
            self._open_sessions(boot)

    def seal(self, payload: bytes, *, introducing: bool = False, key: bytes = b"") -> bytes:
        """A frame that holds the payload, under the key with this id or the one that seals now."""
        name = key or self.sealing
        session, cipher = self._own[name]
        who = bytes((INTRODUCING,)) + self.salt + name if introducing else bytes((PLAIN,)) + session
        counter = self.count()
        header = who + counter
        return header + cipher.encrypt(bytes(8) + counter, payload, header)

    def count(self) -> bytes:
        """The next counter of this boot; whoever takes it must use it."""
        self._counter += 1
        return self._counter.to_bytes(COUNTER, "big")

    def own(self, frame: bytes) -> bool:
        """Is it one of ours, looped back?"""
        if frame[1 : 1 + SALT] == self.salt:
            return True
        return any(frame[1 : 1 + SESSION] == session for session, _ in self._own.values())

    def open(self, frame: bytes) -> Opened:
        """What a frame holds; an introducing one makes its boot known once it verifies.

        Raises: Malformed, WrongVersion, UnknownSession, UnknownKey, Replayed, BadSeal; nothing has changed then.
        """
        if len(frame) < OVERHEAD:
            raise Malformed(f"a frame of {len(frame)} bytes is too short")
        if frame[0] >> 4 != WIRE_VERSION:
            raise WrongVersion(frame[0] >> 4)
        if frame[0] not in (PLAIN, INTRODUCING):
            raise Malformed(f"a frame begins with {PLAIN} or {INTRODUCING}, not with {frame[0]}")
        introducing = frame[0] == INTRODUCING
        at = 1 + (SALT + KEY_ID if introducing else SESSION)
        if len(frame) < at + COUNTER + TAG:
            raise Malformed(f"a frame of {len(frame)} bytes is too short")
        name = frame[1 + SALT : at] if introducing else b""
        boot, cipher = (
            self._introduced(frame[1 : 1 + SALT], name) if introducing else self._known(frame[1:at])
        )
        counter = frame[at : at + COUNTER]
        number = int.from_bytes(counter, "big")
        if not boot.fresh(number):
            raise Replayed(f"counter {number}")
        body = at + COUNTER
        try:
            payload = cipher.decrypt(bytes(8) + counter, frame[body:], frame[:body])
        except InvalidTag:
            raise BadSeal("the seal does not verify") from None
        boot.mark(number)
        if boot.salt not in self._boots:
            self._boots[boot.salt] = boot
            self._open_sessions(boot)
        return Opened(boot.salt, payload, name)

    def prove(self, salt: bytes) -> None:
        """The boot has answered a question of ours: recordings of what it said before are refused from now on."""
        if salt in self._boots:
            self._boots[salt].close_past()

    def forget(self, salt: bytes) -> None:
        """A boot of the past; its frames are a stranger's from now on."""
        boot = self._boots.pop(salt, None)
        self._sessions = {name: s for name, s in self._sessions.items() if s[0] is not boot}

    def _known(self, session: bytes) -> tuple[_Boot, ChaCha20Poly1305]:
        found = self._sessions.get(session)
        if found is None:
            raise UnknownSession(session.hex())
        return found

    def _introduced(self, salt: bytes, name: bytes) -> tuple[_Boot, ChaCha20Poly1305]:
        key = self._keys.get(name)
        if key is None:
            raise UnknownKey(name.hex())
        return self._boots.get(salt) or _Boot(salt), _session(key, salt)[1]

    def _open_sessions(self, boot: _Boot) -> None:
        for key in self._readable.values():
            session, cipher = _session(key, boot.salt)
            self._sessions[session] = boot, cipher


def _session(key: bytes, salt: bytes) -> tuple[bytes, ChaCha20Poly1305]:
    """The id and the cipher of a boot's session under a group key."""
    derived = HKDF(SHA256(), KEY, salt, b"pbxfed session 1").derive(key)
    name = blake2b(salt + key_id(key), digest_size=SESSION).digest()
    return name, ChaCha20Poly1305(derived)
