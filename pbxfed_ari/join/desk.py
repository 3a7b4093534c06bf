"""The desk of a member: makes invitations, and redeems each of them once.

An invitation belongs to the first node key that asks with it, so an answer that was lost can be asked for again, and nobody
else gets one. It lives in a file of its own, outlives a restart, and is not told to other members. Whoever is refused hears
why, if it has the token's secret; the operator reads it in the log.
"""

import os
import secrets
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec

from pbxfed_ari.core.effects import Note, Reply
from pbxfed_ari.core.events import Address, Admit
from pbxfed_ari.core.messages import WIRE_VERSION
from pbxfed_ari.core.names import node_name
from pbxfed_ari.core.records.clocks import OFF
from pbxfed_ari.core.stamp import utc
from pbxfed_ari.errors import ConfigError, Refused, WireError
from pbxfed_ari.keys import write_private
from pbxfed_ari.wire import token
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.token import ANSWER, ASK, Answer, Ask, Token

INVITATIONS = "invitations"
DAY = (
    86_400  # seconds for which an invitation is remembered after its end, to say why it is refused
)
MOST = 1_000  # invitations that are open at once
NOTE_PAUSE = (
    10.0  # seconds between two lines about frames that nobody could have made with a token of ours
)


class Invitation(msgspec.Struct):
    """One invitation."""

    id: str  # hexadecimal, as all bytes here
    secret: str  # the token's key
    expires: int  # seconds since 1970
    key: str = ""  # the signing key that it belongs to
    name: str = ""  # the node that came of it
    used: int = 0  # when


class Desk:
    """All invitations of this node."""

    def __init__(
        self,
        state: Path,
        key: NodeKey,
        *,
        admit: Callable[[Admit], None],
        send: Callable[[bytes, Address], None],
        note: Callable[[Note], None],
        welcome: Callable[[], Answer],
    ) -> None:
        """`welcome` says what a new member gets.

        Raises: ConfigError, if the file is damaged.
        """
        self._path = state / INVITATIONS
        self._key = key
        self._admit, self._send, self._note, self._welcome = admit, send, note, welcome
        self._tickets = count(-1, -1)  # the API counts upwards
        self._waiting: dict[int, tuple[Invitation, Ask, Address]] = {}
        self._quiet_until = 0.0
        self.refused = 0  # asks that got nothing
        try:
            text = self._path.read_bytes() if self._path.exists() else b"[]"
            self._open = {i.id: i for i in msgspec.json.decode(text, type=list[Invitation])}
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError(
                f"node.state: {self._path}: {error}; remove it: open invitations end with it"
            ) from None

    def invite(self, domain: str, addresses: tuple[str, ...], ttl: int, wall_ms: int) -> str:
        """A new token, good once and for so many seconds.

        Raises: Refused; if it cannot be kept, with 507.
        """
        self._forget(wall_ms)
        if len(self._open) >= MOST:
            raise Refused(f"{MOST} invitations are open: wait until some have ended", status=409)
        made = Token(
            WIRE_VERSION,
            domain,
            addresses,
            os.urandom(token.INVITATION),
            os.urandom(token.SECRET),
            token.fingerprint(self._key.signing),
            wall_ms // 1_000 + ttl,
        )
        invitation = Invitation(made.invitation.hex(), made.key.hex(), made.expires)
        self._open[invitation.id] = invitation
        if why := self._keep():
            del self._open[invitation.id]
            raise Refused(why, status=507)
        fields = (("invitation", invitation.id), ("until", utc(made.expires * 1_000)))
        self._note(Note("node invited", fields))
        return token.write(made)

    def receive(self, frame: bytes, source: Address, wall_ms: int) -> None:
        """A frame of somebody who asks."""
        try:
            name = token.invitation_of(frame).hex()
            invitation = self._open.get(name)
            if invitation is None:
                return self._ignore(name, source, "no such invitation", wall_ms)
            ask = token.open_(ASK, frame, bytes.fromhex(invitation.secret), Ask)
            node = node_name(ask.name)
        except (WireError, Refused) as error:
            return self._ignore(frame[1:9].hex(), source, str(error), wall_ms)
        reason = self._reason(invitation, ask, wall_ms)
        if reason:
            return self._refuse(invitation, ask, source, reason)
        if not invitation.key:
            invitation.key = ask.signing.hex()
            if why := self._keep():  # after a restart it could be redeemed once more
                invitation.key = ""
                return self._refuse(invitation, ask, source, why)
        ticket = next(self._tickets)
        self._waiting[ticket] = (invitation, ask, source)
        if len(self._waiting) > MOST:
            del self._waiting[next(iter(self._waiting))]
        self._admit(Admit(ticket, node, ask.signing, ask.public, wall_ms))
        return None

    def reply(self, reply: Reply, wall_ms: int) -> None:
        """The federation has decided about somebody who asks."""
        waiting = self._waiting.pop(reply.ticket, None)
        if waiting is None:
            return
        invitation, ask, source = waiting
        if reply.error:
            if not invitation.name:
                invitation.key = ""  # nobody has used it yet
                self._keep()
            return self._refuse(invitation, ask, source, reply.error)
        if not invitation.name:
            invitation.key = ask.signing.hex()
            invitation.name, invitation.used = ask.name, wall_ms // 1_000
            self._keep()
            fields = (("node", ask.name), ("address", ask.address), ("invitation", invitation.id))
            self._note(Note("node admitted", fields))
        return self._answer(invitation, self._welcome(), source)

    # --- helpers

    def _reason(self, invitation: Invitation, ask: Ask, wall_ms: int) -> str:
        """Why this invitation is not redeemed, if it is not."""
        ours = invitation.key == ask.signing.hex()
        if invitation.key and not ours:
            when = f", at {utc(invitation.used * 1_000)}" if invitation.used else ""
            by = f"node {invitation.name}" if invitation.name else "another machine"
            return f"the token was used by {by}{when}: make another with `pbxfed invite`"
        if invitation.name not in ("", ask.name):
            return f"the token was used for node {invitation.name}: make another for {ask.name}"
        if wall_ms // 1_000 > invitation.expires and not invitation.name:
            return (
                f"the token ended at {utc(invitation.expires * 1_000)}: "
                "make another with `pbxfed invite`"
            )
        if ask.wall_ms and abs(ask.wall_ms - wall_ms) > OFF * 1_000:
            return (
                f"clocks far apart: there it is {utc(ask.wall_ms)}, here {utc(wall_ms)}: "
                "set the clock that is wrong (chrony, timedatectl), then join again; the token is still good"
            )
        if not self._key.agrees(ask.public):
            return "the node's public key is none"
        return ""

    def _refuse(self, invitation: Invitation, ask: Ask, source: Address, reason: str) -> None:
        self.refused += 1
        fields = (
            ("invitation", invitation.id),
            ("node", ask.name),
            ("address", source[0]),
            ("why", reason),
        )
        self._note(Note("token refused", fields, "warning"))
        self._answer(invitation, Answer(self._key.signing, reason), source)

    def _ignore(self, name: str, source: Address, why: str, wall_ms: int) -> None:
        """Nothing can be said to who does not have the secret."""
        self.refused += 1
        if wall_ms / 1_000 >= self._quiet_until:
            self._quiet_until = wall_ms / 1_000 + NOTE_PAUSE
            fields = (("invitation", name), ("address", source[0]), ("why", why))
            self._note(Note("token refused", fields, "warning"))

    def _answer(self, invitation: Invitation, answer: Answer, source: Address) -> None:
        while not token.fits(answer) and answer.seeds:
            answer = msgspec.structs.replace(answer, seeds=answer.seeds[:-1])
        name, secret = bytes.fromhex(invitation.id), bytes.fromhex(invitation.secret)
        nonce = secrets.token_bytes(token.NONCE)
        self._send(token.seal(ANSWER, name, secret, answer, self._key, nonce), source)

    def _forget(self, wall_ms: int) -> None:
        past = wall_ms // 1_000 - DAY
        self._open = {n: i for n, i in self._open.items() if max(i.expires, i.used) > past}

    def _keep(self) -> str:
        """Why they cannot be kept, or ""."""
        text = msgspec.json.encode(list(self._open.values())).decode() + "\n"
        try:
            write_private(self._path, text)
        except OSError as error:
            return f"node.state: {self._path}: {error.strerror}: make room on the disk of the node that invites"
        return ""
