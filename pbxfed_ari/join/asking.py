"""Asking to be let in, on the new machine, with a token and no daemon."""

import os
import secrets
import socket
import time
from collections.abc import Callable

from pbxfed_ari import __version__
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import Refused, WireError
from pbxfed_ari.wire import token
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.token import ANSWER, ASK, Answer, Ask, Token


class TurnedAway(Refused):
    """The inviter says no: this machine is no member, and its token not redeemed by it."""


TRIES, PAUSE = 16, 0.5  # asks to each address, and seconds between them


def ask(given: Token, name: NodeName, address: str, key: NodeKey) -> Answer:
    """What the inviter answers.

    Raises: TurnedAway, if it refuses; Refused, if nobody answers.
    """
    doors = [_door(text) for text in given.addresses]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError as error:
            raise Refused(
                f"node.address = {address!r}: {error.strerror}; it must be an address of this machine"
            ) from None
        for _ in range(TRIES):
            nonce = secrets.token_bytes(token.NONCE)
            question = Ask(name, address, key.signing, key.public, __version__, wall_ms())
            frame = token.seal(ASK, given.invitation, given.key, question, key, nonce)
            for door in doors:
                _send(sock, frame, door)
            answer = _listen(sock, given)
            if answer is not None and answer.error:
                raise TurnedAway(f"the inviter says: {answer.error}")
            if answer is not None:
                return answer
    raise Refused(
        f"no answer from {', '.join(given.addresses)}: is the daemon that invited us running, does UDP get through, "
        "and is the token the one that it made?"
    )


def own_address(given: Token) -> str:
    """This machine's address on the way to the inviter.

    Raises: Refused.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(_door(given.addresses[0]))
        except (OSError, IndexError):
            raise Refused("there is no way to the inviter: give --address") from None
        return str(sock.getsockname()[0])


def port_is_free(port: int) -> bool:
    """Is nobody listening on the federation's port, as a running daemon would?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("", port))
        except OSError:
            return False
    return True


def _listen(
    sock: socket.socket, given: Token, clock: Callable[[], float] = time.monotonic
) -> Answer | None:
    until = clock() + PAUSE
    while (left := until - clock()) > 0:
        sock.settimeout(left)
        try:
            frame = sock.recv(65_536)
            if token.invitation_of(frame) != given.invitation:
                continue
            answer = token.open_(ANSWER, frame, given.key, Answer)
        except (OSError, WireError):
            continue
        if token.fingerprint(answer.signing) == given.fingerprint:
            return answer
    return None


def _send(sock: socket.socket, frame: bytes, door: Address) -> None:
    try:
        sock.sendto(frame, door)
    except OSError:
        return  # told by the silence


def _door(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def hostname() -> str:
    """The first label of this machine's name, in lower case."""
    return os.uname().nodename.partition(".")[0].lower()
