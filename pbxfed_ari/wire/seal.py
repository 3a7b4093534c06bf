"""The seal: authenticated encryption of every frame, by sessions that only holders of the federation's key can make.

A boot draws a random salt of 16 bytes; its session key is HKDF-SHA256(federation key, salt) (RFC 5869). A frame is sealed with
ChaCha20-Poly1305 (RFC 8439) under that key, its counter the nonce: as long as no salt repeats, no nonce does, whatever became
of the disk. The header is authenticated too.

    plain        1 byte  0x11 | session 4 | counter 4 | ciphertext | tag 16        25 bytes around the message
    introducing  1 byte  0x12 | salt 16   | counter 4 | ciphertext | tag 16        carries a Hello, opens the session

The first byte's upper half is the wire version. A receiver accepts each counter of a session once, and none older than
WINDOW behind the newest.
"""

from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pbxfed_ari.core.messages import WIRE_VERSION
from pbxfed_ari.errors import BadSeal, Malformed, Replayed, UnknownSession, WrongVersion

PLAIN = WIRE_VERSION << 4 | 1
INTRODUCING = WIRE_VERSION << 4 | 2
SALT, SESSION, COUNTER, TAG = 16, 4, 4, 16  # bytes
OVERHEAD = 1 + SESSION + COUNTER + TAG
WINDOW = 1_024  # frames that may overtake one another
KEY = 32  # bytes
LAST_COUNTER = (1 << 8 * COUNTER) - 100_000  # some frames are left for a goodbye


class _Session:
    """One peer's boot: its key, and which of its counters have come."""

    __slots__ = ("_newest", "_seen", "cipher", "id")

    def __init__(self, federation_key: bytes, salt: bytes) -> None:
        derived = HKDF(SHA256(), KEY, salt, b"pbxfed session 1").derive(federation_key)
        self.cipher = ChaCha20Poly1305(derived)
        self.id = blake2b(salt, digest_size=SESSION).digest()
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

    def __init__(self, federation_key: bytes, salt: bytes) -> None:
        """`federation_key` of 32 bytes, `salt` of 16 random ones, new at each boot."""
        if len(federation_key) != KEY or len(salt) != SALT:
            raise ValueError(f"a key of {KEY} and a salt of {SALT} bytes are needed")
        self._key = federation_key
        self._salt = salt
        self._own = _Session(federation_key, salt)
        self._counter = 0
        self._sessions: dict[bytes, _Session] = {}

    @property
    def session(self) -> bytes:
        """Our own session's id."""
        return self._own.id

    @property
    def salt(self) -> bytes:
        """Our own session's salt."""
        return self._salt

    @property
    def worn(self) -> bool:
        """Nearly all counters of this session are used: a new boot must begin another one."""
        return self._counter >= LAST_COUNTER

    def seal(self, payload: bytes, *, introducing: bool = False) -> bytes:
        """A frame that holds the payload."""
        self._counter += 1
        counter = self._counter.to_bytes(COUNTER, "big")
        who = bytes((INTRODUCING,)) + self._salt if introducing else bytes((PLAIN,)) + self._own.id
        header = who + counter
        return header + self._own.cipher.encrypt(bytes(8) + counter, payload, header)

    def open(self, frame: bytes) -> tuple[bytes, bytes, bool]:
        """(session, payload, introducing) of a frame; an introducing one makes its session known once it verifies.

        Raises: Malformed, WrongVersion, UnknownSession, Replayed, BadSeal; nothing has changed then.
        """
        if len(frame) < OVERHEAD:
            raise Malformed(f"a frame of {len(frame)} bytes is too short")
        if frame[0] >> 4 != WIRE_VERSION:
            raise WrongVersion(frame[0] >> 4)
        if frame[0] not in (PLAIN, INTRODUCING):
            raise Malformed(f"a frame begins with {PLAIN} or {INTRODUCING}, not with {frame[0]}")
        introducing = frame[0] == INTRODUCING
        name_end = 1 + (SALT if introducing else SESSION)
        if len(frame) < name_end + COUNTER + TAG:
            raise Malformed(f"a frame of {len(frame)} bytes is too short")
        session = (
            self._introduced(frame[1:name_end]) if introducing else self._known(frame[1:name_end])
        )
        counter = frame[name_end : name_end + COUNTER]
        number = int.from_bytes(counter, "big")
        if not session.fresh(number):
            raise Replayed(f"counter {number}")
        body = name_end + COUNTER
        try:
            payload = session.cipher.decrypt(bytes(8) + counter, frame[body:], frame[:body])
        except InvalidTag:
            raise BadSeal("the seal does not verify") from None
        session.mark(number)
        if introducing:
            self._sessions.setdefault(session.id, session)
        return session.id, payload, introducing

    def prove(self, session: bytes) -> None:
        """The session has answered a question of ours: recordings of what it said before are refused from now on."""
        if session in self._sessions:
            self._sessions[session].close_past()

    def forget(self, session: bytes) -> None:
        """A session of the past; its frames are a stranger's from now on."""
        self._sessions.pop(session, None)

    def _known(self, session_id: bytes) -> _Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise UnknownSession(session_id.hex())
        return session

    def _introduced(self, salt: bytes) -> _Session:
        session_id = blake2b(salt, digest_size=SESSION).digest()
        return self._sessions.get(session_id) or _Session(self._key, salt)
