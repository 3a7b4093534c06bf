"""The post: messages to sealed frames and back. It knows which session belongs to which node, and counts what it drops.

Synchronous and without a clock, so that the simulator uses the very same code as the daemon.
"""

from collections import Counter

from pbxfed_ari.core.events import (
    Address,
    Introduced,
    OtherWireHeard,
    Received,
    StrangerHeard,
)
from pbxfed_ari.core.messages import AnyMessage, Hello
from pbxfed_ari.core.names import NodeName, node_name
from pbxfed_ari.errors import Malformed, Refused, UnknownSession, WireError, WrongVersion
from pbxfed_ari.wire import codec
from pbxfed_ari.wire.seal import Seal

MAX_SESSIONS = 4_096  # bindings kept; only who holds the key can make one


class Post:
    """Outgoing and incoming mail of one node."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._who: dict[bytes, tuple[NodeName, int]] = {}  # session → node and epoch
        self.dropped: Counter[str] = Counter()  # frames not taken, by reason
        self.sent: Counter[str] = Counter()  # messages, by kind
        self.received: Counter[str] = Counter()

    def prove(self, name: NodeName, epoch: int) -> None:
        """This node has answered a question of ours in this epoch: its session's past is closed."""
        for session, who in self._who.items():
            if who == (name, epoch):
                self._seal.prove(session)

    @property
    def worn(self) -> bool:
        """No more than a goodbye can be sent in this session."""
        return self._seal.worn

    def frame(self, message: AnyMessage) -> bytes:
        """The sealed frame of a message."""
        self.sent[type(message).__name__] += 1
        return self._seal.seal(codec.encode(message), introducing=isinstance(message, Hello))

    def open(
        self, frame: bytes, source: Address, *, multicast: bool = False
    ) -> Received | Introduced | StrangerHeard | OtherWireHeard | None:
        """What a frame tells us. None if it told nothing that we may believe: it is counted, nothing else happens."""
        if frame[1:5] == self._seal.session or frame[1:17] == self._seal.salt:
            return None  # our own, looped back
        try:
            return self._open(frame, source, multicast=multicast)
        except UnknownSession:
            self.dropped[UnknownSession.reason] += 1
            return StrangerHeard(source)
        except WrongVersion as error:
            self.dropped[error.reason] += 1
            return OtherWireHeard(source, error.version)
        except WireError as error:
            self.dropped[error.reason] += 1
            return None

    def _open(self, frame: bytes, source: Address, *, multicast: bool) -> Received | Introduced:
        session, payload, introducing = self._seal.open(frame)
        if introducing:
            hello = codec.decode_hello(payload)
            self._bind(session, hello)
            self.received["Hello"] += 1
            return Introduced(hello, source, multicast)
        message = codec.decode(payload)
        if session not in self._who or isinstance(message, Hello):
            raise Malformed("a session that has not said who it is")
        self.received[type(message).__name__] += 1
        return Received(*self._who[session], message, source, multicast)

    def _bind(self, session: bytes, hello: Hello) -> None:
        try:
            name = node_name(hello.name)
        except Refused as refused:
            raise Malformed(str(refused)) from None
        if len(self._who) >= MAX_SESSIONS and session not in self._who:
            oldest = next(iter(self._who))
            del self._who[oldest]
            self._seal.forget(oldest)
        self._who[session] = (name, hello.epoch)
