"""The post: messages to sealed frames and back. It knows which session belongs to which node, and counts what it drops.

Synchronous and without a clock, so that the simulator uses the very same code as the daemon. Beside the frames of the seal:

    introducing   its payload is a signature of 64 bytes (over salt and Hello), then the Hello
    notice        1 byte 0x13 | salt 16 | counter 4 | sender's X25519 key 32 | ciphertext | tag 16      for one node alone
"""

from collections import Counter
from collections.abc import Callable

from pbxfed_ari.core.events import (
    Address,
    Introduced,
    Noticed,
    OtherWireHeard,
    Received,
    StrangerHeard,
)
from pbxfed_ari.core.messages import WIRE_VERSION, AnyMessage, Grant, Hello, Refusal
from pbxfed_ari.core.names import NodeName, node_name
from pbxfed_ari.core.records.keys import Signer
from pbxfed_ari.errors import (
    BadSeal,
    BadSignature,
    Malformed,
    Refused,
    UnknownKey,
    UnknownSession,
    WireError,
    WrongVersion,
)
from pbxfed_ari.wire import codec
from pbxfed_ari.wire.identity import SIGNATURE
from pbxfed_ari.wire.seal import COUNTER, SALT, Opened, Seal

NOTICE = WIRE_VERSION << 4 | 3
PUBLIC = 32  # bytes
MAX_SESSIONS = 4_096  # bindings kept; only who holds the key can make one
Event = Received | Introduced | Noticed | StrangerHeard | OtherWireHeard


class Post:
    """Outgoing and incoming mail of one node."""

    def __init__(
        self, seal: Seal, signer: Signer, *, who: Callable[[bytes], NodeName | None]
    ) -> None:
        """`who`: the member that has this X25519 key."""
        self.seal = seal
        self._signer = signer
        self._member = who
        self._who: dict[bytes, tuple[NodeName, int]] = {}  # salt → node and epoch
        self.dropped: Counter[str] = Counter()  # frames not taken, by reason
        self.sent: Counter[str] = Counter()  # messages, by kind
        self.received: Counter[str] = Counter()

    @property
    def worn(self) -> bool:
        """No more than a goodbye can be sent in this session."""
        return self.seal.worn

    def forget(self, salt: bytes) -> None:
        """A boot that is not taken for a member; its frames are a stranger's from now on."""
        self._who.pop(salt, None)
        self.seal.forget(salt)

    def frame(self, message: AnyMessage, key: bytes = b"") -> bytes:
        """The sealed frame of a message, under the group key with this id or the one that seals now."""
        self.sent[type(message).__name__] += 1
        if isinstance(message, Grant | Refusal):
            return self._notice(message)
        payload = codec.encode(message)
        if isinstance(message, Hello):
            signed = self._signer.sign(self.seal.salt + payload) + payload
            return self.seal.seal(signed, introducing=True, key=key)
        return self.seal.seal(payload, key=key)

    def open(self, frame: bytes, source: Address, *, multicast: bool = False) -> Event | None:
        """What a frame tells us. None if it told nothing that we may believe: it is counted, nothing else happens."""
        if self.seal.own(frame):
            return None  # our own, looped back
        try:
            if frame[:1] == bytes((NOTICE,)):
                return self._noticed(frame)
            return self._open(frame, source, multicast=multicast)
        except (UnknownSession, UnknownKey) as error:
            self.dropped[error.reason] += 1
            return StrangerHeard(source, isinstance(error, UnknownKey))
        except WrongVersion as error:
            self.dropped[error.reason] += 1
            return OtherWireHeard(source, error.version)
        except WireError as error:
            self.dropped[error.reason] += 1
            return None

    def _open(self, frame: bytes, source: Address, *, multicast: bool) -> Received | Introduced:
        opened = self.seal.open(frame)
        if opened.key:
            hello = self._introduction(opened)
            self._bind(opened.salt, hello)
            self.received["Hello"] += 1
            return Introduced(hello, source, multicast, opened.salt, opened.key)
        message = codec.decode(opened.payload)
        if opened.salt not in self._who or isinstance(message, Hello | Grant | Refusal):
            raise Malformed("a session that has not said who it is")
        self.received[type(message).__name__] += 1
        return Received(*self._who[opened.salt], message, source, multicast, opened.salt)

    def _introduction(self, opened: Opened) -> Hello:
        signature, text = opened.payload[:SIGNATURE], opened.payload[SIGNATURE:]
        hello = codec.decode_hello(text)
        signed = self._signer.verify(hello.signing, signature, opened.salt + text)
        if not signed or not self._signer.agrees(hello.public):
            raise BadSignature(f"an introduction as {hello.name!r}")
        return hello

    def _bind(self, salt: bytes, hello: Hello) -> None:
        try:
            name = node_name(hello.name)
        except Refused as refused:
            raise Malformed(str(refused)) from None
        if len(self._who) >= MAX_SESSIONS and salt not in self._who:
            self.forget(next(iter(self._who)))
        self._who[salt] = (name, hello.epoch)

    # --- notices

    def _notice(self, message: Grant | Refusal) -> bytes:
        header = bytes((NOTICE,)) + self.seal.salt + self.seal.count() + self._signer.public
        return header + self._signer.wrap(message.to, codec.encode(message), header)

    def _noticed(self, frame: bytes) -> Noticed:
        body = 1 + SALT + COUNTER + PUBLIC
        header, public = frame[:body], frame[body - PUBLIC : body]
        sender = self._member(public)
        if sender is None:
            raise BadSeal("a notice of a node that is no member")
        payload = self._signer.unwrap(public, frame[body:], header)
        if payload is None:
            raise BadSeal("a notice for somebody else")
        message = codec.decode(payload)
        if not isinstance(message, Grant | Refusal) or message.to != self._signer.public:
            raise Malformed(f"{type(message).__name__} as a notice")
        self.received[type(message).__name__] += 1
        return Noticed(sender, message)
