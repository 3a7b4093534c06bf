"""A post without encoding and seal: messages are handed over as they are, in frames of the right length.

Sealing and opening each frame is half of what a simulated federation costs. Stories in which nothing depends on the seal go
without: no replay window then, so a doubled frame reaches the core, which must bear it. A damaged frame is dropped.
"""

from pbxfed_ari.core.events import Address, Introduced, Received, StrangerHeard
from pbxfed_ari.core.messages import AnyMessage, Grant, Hello, Refusal
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.links.post import Post
from pbxfed_ari.wire import codec
from pbxfed_ari.wire.identity import SIGNATURE
from pbxfed_ari.wire.seal import OVERHEAD, SALT


class PlainFrame(bytes):
    """As long as the sealed frame would be; the message travels beside it."""

    message: AnyMessage
    session: bytes
    key: bytes


class PlainPost(Post):
    """A post whose sessions are known by their salts, which nobody checks. For stories without notices."""

    def frame(self, message: AnyMessage, key: bytes = b"") -> bytes:
        assert not isinstance(message, Grant | Refusal), "keys are a matter of sealed stories"
        self.sent[type(message).__name__] += 1
        longer = SALT + SIGNATURE if isinstance(message, Hello) else 0
        frame = PlainFrame(OVERHEAD + longer + len(codec.encode(message)))
        frame.message, frame.session, frame.key = message, self.seal.salt, self.seal.sealing
        return frame

    def open(
        self, frame: bytes, source: Address, *, multicast: bool = False
    ) -> Received | Introduced | StrangerHeard | None:
        if not isinstance(frame, PlainFrame):
            self.dropped["seal"] += 1
            return None
        message, session = frame.message, frame.session
        if session == self.seal.salt:
            return None
        if isinstance(message, Hello):
            self._who[session] = (NodeName(message.name), message.epoch)
            self.received["Hello"] += 1
            return Introduced(message, source, multicast, session, frame.key)
        who = self._who.get(session)
        if who is None:
            self.dropped["session"] += 1
            return StrangerHeard(source)
        self.received[type(message).__name__] += 1
        return Received(*who, message, source, multicast, session)
