"""A SIP OPTIONS (RFC 3261, 11) by UDP, for the time until anything answers it. Whoever answers, even by a refusal, lives.

It comes from an endpoint that Asterisk knows, by the user of its From: else Asterisk writes a line of a stranger into its log
each time. Over UDP a request is repeated after half a second (17.1.2.2), so one lost datagram is no silence.
"""

import asyncio
import secrets
import time
from contextlib import suppress

from pbxfed_ari.core.events import Address

PATIENCE = 2.0  # seconds for an answer
REPEATED = 0.5  # seconds until the request is sent once more
NEVER = float("inf")


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, call: bytes) -> None:
        self._call = call
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, source: Address) -> None:
        if data.startswith(b"SIP/2.0 ") and self._call in data and not self.answered.done():
            self.answered.set_result(None)

    def error_received(self, error: Exception) -> None:
        """Nobody listens there: that may change within our patience, so it is waited for."""


async def ask(to: Address, user: str, patience: float = 0.0) -> float:
    """Seconds until an answer came; NEVER if none did within `patience`, or as long as usual.

    Raises: OSError: it cannot be asked from here.
    """
    loop = asyncio.get_running_loop()
    call = secrets.token_hex(8)
    transport, asking = await loop.create_datagram_endpoint(
        lambda: _Asking(call.encode()), remote_addr=to
    )
    try:
        text = _request(to, user, call, transport.get_extra_info("sockname"))
        began = time.monotonic()
        longest = patience or PATIENCE
        once_more = min(REPEATED, longest / 2)
        for wait in (once_more, longest - once_more):
            transport.sendto(text)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asking.answered), wait)
                return time.monotonic() - began
        return NEVER
    finally:
        transport.close()


def _request(to: Address, user: str, call: str, here: Address) -> bytes:
    lines = (
        f"OPTIONS sip:{to[0]}:{to[1]} SIP/2.0",
        f"Via: SIP/2.0/UDP {here[0]}:{here[1]};rport;branch=z9hG4bK{call}",
        f"From: <sip:{user}@{here[0]}>;tag={call}",
        f"To: <sip:{to[0]}>",
        f"Call-ID: {call}",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 1",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()
