"""A desk phone: registers, calls, answers, speaks a tone and remembers what it heard.

It is our own rather than baresip 1.1.0, because a lab phone must move to another registrar in milliseconds, with the
very same Contact and without a word at the old one. baresip un-registers when its account is deleted, and its Contact
holds a memory address, so a restarted one is another device; it waits 32 s for a silent server, and does not count the
INVITEs that reached it. What this phone puts on the wire is plain RFC 3261 over UDP, retransmissions included.

Setup times run from the clock at the INVITE's `sendto` to the kernel's timestamp of the 200, so a busy event loop does
not lengthen them. They include the digest challenge, as a person at the phone would count.

It holds and resumes (re-INVITE), transfers (REFER, RFC 3515 and 5589), sends on (302), speaks before it answers (183), presses
keys (RFC 4733), and shows who it is connected to (P-Asserted-Identity). What it does not do: TCP, TLS, SRTP, a second codec,
record routes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from lab import tones
from lab.sip import (
    KEYS,
    Message,
    Sound,
    digest_answer,
    display_name,
    host_port,
    tag,
    uri,
    user,
)

T1, T2 = 0.5, 4.0  # seconds: RFC 3261's first and longest retransmission interval
TIMER_F = 32.0  # seconds until a request counts as unanswered
AUDIO_KEPT = 60 * tones.RATE  # bytes of received sound that a call remembers
REMEMBERED = 500  # ended calls that a phone remembers
SO_TIMESTAMPNS = 35
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, UPDATE, INFO, MESSAGE, REFER"
DIGITS = "0123456789*#ABCD"  # by their RFC 4733 numbers
KEY_TICKS, KEY_PAUSE = (
    8,
    5,
)  # packets that a key is held for, the last three of them its end; and until the next

Address = tuple[str, int]


class Refused(Exception):
    """A SIP request ended badly; the text is the status, as `404 Not Found`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message, whence, and when by the kernel's clock (ns)."""

    message: Message
    source: Address
    at: int


@dataclass(slots=True)
class Manners:
    """What a phone does when it is called: answer after a while, let it ring, or refuse."""

    answer_after: float | None = 0.0  # seconds; None lets it ring
    refuse: str | None = None  # a status, as `486 Busy Here`
    send_to: str | None = None  # the number in a refusal's Contact, as with `302 Moved Temporarily`
    early: bool = False  # speak while it rings


@dataclass(slots=True)
class Call:
    """One call as one phone sees it."""

    id: str
    incoming: bool
    other: str  # the number called, or the caller's
    name: str  # the caller's name, as displayed
    local: str  # our From or To field, with tag
    remote: str
    target: str
    peer: Address
    audio: Audio
    started: float
    dialed: str = ""  # incoming: the user part of the request
    state: str = "calling"  # calling, ringing, answered, ended
    cause: str = ""
    setup_ms: float | None = None
    ringing_ms: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    sequence: itertools.count[int] = field(default_factory=lambda: itertools.count(100))
    version: itertools.count[int] = field(default_factory=lambda: itertools.count(10))  # of our SDP
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ack: Message | None = None
    display: dict[str, str] = field(default_factory=dict)  # number and name of who is connected
    reasons: list[str] = field(default_factory=list)  # what CANCEL or BYE says of why
    provisional: list[int] = field(default_factory=list)  # answers on the way to the final one
    early: bool = False  # sound came with one of them
    notified: list[str] = field(default_factory=list)  # what became of a transfer of it, as told

    def shows(self, message: Message) -> None:
        """The other side has said who it is."""
        if shown := message.get("p-asserted-identity"):
            self.display = {"number": user(shown), "name": display_name(shown)}

    def describe(self) -> dict[str, Any]:
        """The call as the lab reports it."""
        return {
            "call": self.id,
            "incoming": self.incoming,
            "other": self.other,
            "name": self.name,
            "dialed": self.dialed,
            "state": self.state,
            "cause": self.cause,
            "setup_ms": self.setup_ms,
            "ringing_ms": self.ringing_ms,
            "started": self.started,
            "answered_at": self.answered_at,
            "ended_at": self.ended_at,
            "rtp_sent": self.audio.sent,
            "rtp_received": self.audio.received,
            "display": self.display,
            "reasons": self.reasons,
            "provisional": self.provisional,
            "early": self.early,
            "notified": self.notified,
            "keys": self.audio.keys,
        }


class Audio:
    """The sound of one call: our tone out, whatever comes in kept."""

    def __init__(self, address: str, ports: range, hertz: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        for port in ports:
            with contextlib.suppress(OSError):
                self._socket.bind((address, port))
                break
        else:
            self._socket.close()
            raise Refused(486, "486 Busy Here")
        self.sound = Sound(address, port)
        self._packets = tones.packets(hertz)
        self._remote: Address | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._source = secrets.randbits(32)
        self._pressed: deque[int] = deque()  # keys that wait
        self._key: tuple[int, int, int] | None = None  # that is pressed: number, since which packet
        self._key_ended = -1  # the stamp of the last one that came
        self.keys = ""
        self.heard = bytearray()
        self.sent = self.received = 0
        self._loop.add_reader(self._socket, self._receive)

    def send_to(self, remote: Sound) -> None:
        """Speak to where the other side listens; be silent if it does not."""
        self._remote = (remote.host, remote.port)
        if remote.direction in ("sendonly", "inactive"):
            self._remote = None
        if self._timer is None and self._remote is not None:
            self._next = self._loop.time()
            self._tick()

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
            0x80 if number == 0 else 0,
            number * tones.FRAME & 0xFFFFFFFF,
            self._packets[number % tones.PERIOD],
        )
        header = struct.pack("!BBHII", 0x80, kind, number & 0xFFFF, stamp, self._source)
        with contextlib.suppress(OSError):
            self._socket.sendto(header + payload, self._remote)
        self.sent += 1
        self._next += tones.FRAME / tones.RATE
        self._timer = self._loop.call_at(self._next, self._tick)

    def _next_key(self, number: int) -> tuple[int, int, bytes] | None:
        """Marker and payload type, stamp and payload, if a key is pressed now."""
        if self._key is None:
            if not self._pressed:
                return None
            self._key = (self._pressed.popleft(), number, number * tones.FRAME & 0xFFFFFFFF)
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
                if len(data) < 12 or data[0] >> 6 != 2 or data[1] & 0x7F != 0:
                    continue
                self.received += 1
                self.heard += data[12 + 4 * (data[0] & 0x0F) :]
                if len(self.heard) > 2 * AUDIO_KEPT:
                    del self.heard[:-AUDIO_KEPT]

    def close(self) -> None:
        """Fall silent and deaf; what was heard stays."""
        self._remote = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()


class Phone:
    """One phone with one number, one SIP socket, and a list of servers."""

    def __init__(
        self,
        number: str,
        secret: str,
        *,
        address: str,
        index: int,
        domain: str,
        tasks: asyncio.TaskGroup,
        log: Callable[[str], None],
    ) -> None:
        self.number = number
        self.secret = secret
        self.name = number
        self.domain = domain
        self.hertz = tones.frequency(index)
        self.manners = Manners()
        self.calls: dict[str, Call] = {}
        self.invites = 0  # INVITE transactions received, ever
        self.servers: list[str] = []
        self.server: str | None = None  # where it is registered
        self.registered_at = 0.0
        self.expires = 300
        self.keepalive = 0.5  # seconds between questions to the server, if there is a second one
        self.patience = 2.0  # seconds of silence that make a server dead
        self.moves: list[dict[str, Any]] = []  # each registration elsewhere that it made by itself
        self._log = log
        self._group = tasks
        self._address = address
        self._port = 5100 + index
        self._rtp = range(12000 + 20 * index, 12000 + 20 * index + 20, 2)
        self._device = ""  # what tells a later device from the first one
        self._waiting: dict[str, asyncio.Queue[Arrived]] = {}
        self._answers: dict[str, Message] = {}  # last response per server transaction
        self._unacked: dict[str, asyncio.Event] = {}
        self._sequence = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._registering = asyncio.Lock()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((address, self._port))
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    # --- what the lab asks of it -----------------------------------------------------------------

    @property
    def contact(self) -> str:
        """The address it registers; the same wherever it registers, until it becomes a new device."""
        return f"sip:{self.number}{self._device}@{self._address}:{self._port}"

    def become_new_device(self) -> None:
        """Register under another Contact URI from now on."""
        self._device = f"-{secrets.token_hex(4)}"

    async def register(self, servers: list[str], *, patience: float) -> dict[str, Any]:
        """Register at the first of the servers, whatever the state elsewhere, and keep it alive."""
        self._stop_keeper()
        self.servers = servers
        async with self._registering:
            took = await self._register_at(servers[0], patience)
        self._keeper = self._start(self._keep(), f"keeper of {self.number}")
        return {"server": self.server, "ms": took, "contact": self.contact}

    async def unregister(self) -> None:
        """Tell the server that the phone is going, and stop keeping the registration."""
        self._stop_keeper()
        if self.server is not None:
            server, self.server = self.server, None
            await self._authenticated("REGISTER", server, self._registration(0), TIMER_F)

    async def dial(self, number: str, *, patience: float) -> Call:
        """Call a number through the server and wait for the end of the setup.

        Raises:
            Refused: the call was not answered; the text is the last status.
        """
        if self.server is None:
            raise Refused(0, f"phone {self.number} is not registered")
        audio = Audio(self._address, self._rtp, self.hertz)
        server = (self.server, 5060)
        call = Call(
            id=f"{secrets.token_hex(8)}@{self._address}",
            incoming=False,
            other=number,
            name="",
            local=f'"{self.name}" <sip:{self.number}@{self.domain}>;tag={secrets.token_hex(4)}',
            remote=f"<sip:{number}@{self.domain}>",
            target=f"sip:{number}@{self.server}",
            peer=server,
            audio=audio,
            started=time.time(),
        )
        self._remember(call)
        try:
            await self._invite(call, patience)
        except Refused as refusal:
            self._end(call, str(refusal))
            raise
        return call

    async def hang_up(self, call: Call) -> None:
        """End an answered call; a call that ended already is left alone."""
        if call.state != "answered":
            return
        self._end(call, "hung up")
        with contextlib.suppress(Refused):
            await self._authenticated(
                "BYE", call.peer[0], self._in_dialog(call, "BYE"), 4.0, call=call
            )

    async def hold(self, call: Call, on: bool) -> None:
        """Put the other side on hold, or talk again."""
        call.audio.sound = replace(call.audio.sound, direction="sendonly" if on else "sendrecv")
        await self._invite(call, 8.0)
        if on:
            call.audio.fall_silent()

    async def transfer(self, call: Call, number: str, other: Call | None) -> dict[str, Any]:
        """Blindly to a number, or to the other side of another call; what the server says of it."""
        target = f"sip:{number}@{self.domain}"
        if other is not None:
            dialog = f"{other.id};to-tag={tag(other.remote)};from-tag={tag(other.local)}"
            target += (
                f"?Replaces={dialog.replace('=', '%3D').replace(';', '%3B').replace('@', '%40')}"
            )
        fields = [
            *self._in_dialog(call, "REFER"),
            ("contact", f"<{self.contact}>"),
            ("refer-to", f"<{target}>"),
            ("referred-by", f"<sip:{self.number}@{self.domain}>"),
        ]
        answer = await self._authenticated("REFER", call.peer[0], fields, 8.0, call=call)
        return {"status": answer.message.status}

    def close(self) -> None:
        """Vanish without a word, as a phone whose plug is pulled."""
        self._stop_keeper()
        for task in self._tasks:
            task.cancel()
        for call in self.calls.values():
            call.audio.close()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def describe(self) -> dict[str, Any]:
        """The phone as the lab reports it."""
        return {
            "server": self.server,
            "contact": self.contact,
            "hertz": self.hertz,
            "invites": self.invites,
            "calls": sum(call.state == "answered" for call in self.calls.values()),
            "moves": self.moves,
        }

    # --- registration ----------------------------------------------------------------------------

    def _registration(self, expires: int) -> list[tuple[str, str]]:
        mine = f"<sip:{self.number}@{self.domain}>"
        return [
            ("from", f"{mine};tag={secrets.token_hex(4)}"),
            ("to", mine),
            ("call-id", f"{secrets.token_hex(8)}@{self._address}"),
            ("contact", f"<{self.contact}>;expires={expires}"),
            ("expires", str(expires)),
        ]

    async def _register_at(self, server: str, patience: float) -> float:
        """Return the milliseconds it took."""
        begun = time.time_ns()
        fields = self._registration(self.expires)
        done = await self._authenticated("REGISTER", server, fields, patience)
        self.server, self.registered_at = server, time.monotonic()
        return (done.at - begun) / 1e6

    def _stop_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None

    async def _keep(self) -> None:
        """Refresh in time; with a second server, also ask often and leave a dead one."""
        while True:
            watched = len(self.servers) > 1
            due = self.registered_at + self.expires / 2
            pause = due - time.monotonic()
            await asyncio.sleep(max(0.05, min(self.keepalive, pause) if watched else pause))
            try:
                current = self.server or self.servers[0]
                if time.monotonic() >= due:
                    await self._register_at(current, self.patience if watched else TIMER_F)
                elif watched:
                    await self._ask(current)
            except Refused as refusal:
                self._log(f"{self.number}: {current}: {refusal}")
                await self._leave(current)

    async def _leave(self, dead: str) -> None:
        """Register at the next server that answers, in order."""
        since = time.monotonic()
        self.server = None
        place = self.servers.index(dead) if dead in self.servers else 0
        for step in itertools.count(1):
            server = self.servers[(place + step) % len(self.servers)]
            try:
                await self._register_at(server, self.patience)
            except Refused as refusal:
                self._log(f"{self.number}: {server}: {refusal}")
                await asyncio.sleep(0.5 if refusal.status else 0)
                continue
            took = round((time.monotonic() - since) * 1000, 1)
            self.moves.append({"from": dead, "to": server, "at": time.time(), "ms": took})
            self._log(f"{self.number}: moved from {dead} to {server}")
            return

    async def _ask(self, server: str) -> None:
        """An OPTIONS; any answer at all is a sign of life."""
        mine = f"<sip:{self.number}@{self.domain}>"
        fields = [
            ("from", f"{mine};tag={secrets.token_hex(4)}"),
            ("to", f"<sip:{server}>"),
            ("call-id", f"{secrets.token_hex(8)}@{self._address}"),
        ]
        await self._request("OPTIONS", f"sip:{server}", (server, 5060), fields, self.patience)

    # --- client transactions ---------------------------------------------------------------------

    async def _authenticated(
        self,
        method: str,
        server: str,
        fields: list[tuple[str, str]],
        patience: float,
        *,
        call: Call | None = None,
    ) -> Arrived:
        """A request that may be challenged once."""
        target = call.target if call else f"sip:{server}"
        peer = call.peer if call else (server, 5060)
        answer = await self._request(method, target, peer, fields, patience)
        if answer.message.status in (401, 407):
            proof = self._proof(answer.message, method, target)
            again = [f for f in fields if f[0] != "cseq"] + [proof]
            answer = await self._request(method, target, peer, again, patience)
            if answer.message.status in (401, 407):
                raise Refused(answer.message.status, f"{answer.message.status}: wrong secret")
        if answer.message.status >= 300:
            raise Refused(answer.message.status, answer.message.status_text)
        return answer

    def _proof(self, challenged: Message, method: str, target: str) -> tuple[str, str]:
        kind = "www-authenticate" if challenged.status == 401 else "proxy-authenticate"
        for challenge in challenged.all(kind):
            with contextlib.suppress(ValueError):
                answer = digest_answer(
                    challenge, user=self.number, secret=self.secret, method=method, target=target
                )
                return (
                    "authorization" if challenged.status == 401 else "proxy-authorization"
                ), answer
        raise Refused(
            challenged.status, f"{challenged.status_text}: no challenge that we can answer"
        )

    async def _request(
        self,
        method: str,
        target: str,
        peer: Address,
        fields: list[tuple[str, str]],
        patience: float,
    ) -> Arrived:
        """Send until something final comes back."""
        message, branch = self._outgoing(method, target, fields)
        queue = self._waiting[branch] = asyncio.Queue()
        try:
            async with asyncio.timeout(patience):
                pause = T1
                while True:
                    self._send(message, peer)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            while (answer := await queue.get()).message.status < 200:
                                pass
                        return answer
                    pause = min(2 * pause, T2)
        except TimeoutError:
            raise Refused(0, f"{method} to {peer[0]}: no answer within {patience:g} s") from None
        finally:
            self._waiting.pop(branch, None)

    def _outgoing(
        self, method: str, target: str, fields: list[tuple[str, str]]
    ) -> tuple[Message, str]:
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        message = Message(f"{method} {target} SIP/2.0")
        message.headers = [
            ("via", f"SIP/2.0/UDP {self._address}:{self._port};rport;branch={branch}"),
            ("max-forwards", "70"),
            ("user-agent", "pbxfed-lab"),
            *fields,
        ]
        if not any(name == "cseq" for name, _ in fields):
            message.headers.append(("cseq", f"{next(self._sequence)} {method}"))
        return message, branch

    # --- calling ---------------------------------------------------------------------------------

    def _invitation(self, call: Call) -> list[tuple[str, str]]:
        return [
            ("from", call.local),
            ("to", call.remote),
            ("call-id", call.id),
            ("contact", f"<{self.contact}>"),
            ("allow", ALLOW),
            ("cseq", f"{next(call.sequence)} INVITE"),
            ("content-type", "application/sdp"),
        ]

    async def _invite(self, call: Call, patience: float) -> None:
        """Send the INVITE, answer a challenge once, and wait for the end of the setup."""
        begun = time.time_ns()
        deadline = time.monotonic() + patience
        fields = self._invitation(call)
        answer = await self._invite_once(call, fields, begun, deadline)
        if answer.message.status in (401, 407):
            proof = self._proof(answer.message, "INVITE", call.target)
            answer = await self._invite_once(
                call, [*self._invitation(call), proof], begun, deadline
            )
        message = answer.message
        if message.status >= 300:
            call.reasons = message.all("reason")
            raise Refused(message.status, message.status_text)
        if call.state != "answered":  # else it was held, or resumed
            call.setup_ms = round((answer.at - begun) / 1e6, 2)
            call.answered_at = answer.at / 1e9
            call.state = "answered"

    async def _invite_once(
        self, call: Call, fields: list[tuple[str, str]], begun: int, deadline: float
    ) -> Arrived:
        message, branch = self._outgoing("INVITE", call.target, fields)
        message.body = call.audio.sound.sdp(next(call.version))
        queue = self._waiting[branch] = asyncio.Queue()
        try:
            answer = await self._final(call, message, queue, begun, deadline)
            self._acknowledge(call, message, answer, branch)
        except TimeoutError:
            self._cancel(call, message, branch)
            answer = await self._after_cancel(call, message, queue, branch)
        finally:
            self._waiting.pop(branch, None)
        return answer

    async def _final(
        self,
        call: Call,
        message: Message,
        queue: asyncio.Queue[Arrived],
        begun: int,
        deadline: float,
    ) -> Arrived:
        """Retransmit until anything comes, then wait for the final answer."""
        pause: float | None = T1
        self._send(message, call.peer)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                async with asyncio.timeout(left if pause is None else min(pause, left)):
                    answer = await queue.get()
            except TimeoutError:
                if pause is not None:
                    self._send(message, call.peer)
                    pause = min(2 * pause, T2)
                continue
            pause = None
            self._learn(call, answer.message)
            if answer.message.status >= 200:
                return answer
            if call.state == "answered":
                continue
            call.early = call.early or Sound.of(answer.message.body) is not None
            call.provisional.append(answer.message.status)
            if answer.message.status >= 180 and call.ringing_ms is None:
                call.state = "ringing"
                call.ringing_ms = round((answer.at - begun) / 1e6, 2)

    def _learn(self, call: Call, message: Message) -> None:
        """Take over what an answer says about the other side."""
        if message.status < 300:
            call.shows(message)
            if tag(message.get("to")) and not call.incoming:
                call.remote = message.get("to")
            if message.get("contact"):
                call.target = uri(message.get("contact")) if message.status >= 200 else call.target
            sound = Sound.of(message.body)
            if sound is not None:
                call.audio.send_to(sound)

    def _acknowledge(self, call: Call, invite: Message, answer: Arrived, branch: str) -> None:
        """An ACK: of a refusal in the same transaction, of an answer in one of its own."""
        number = invite.get("cseq").split()[0]
        fields = [
            ("from", call.local),
            ("to", answer.message.get("to")),
            ("call-id", call.id),
            ("cseq", f"{number} ACK"),
        ]
        accepted = answer.message.status < 300
        target = call.target if accepted else invite.start.split()[1]
        ack, fresh = self._outgoing("ACK", target, fields)
        if not accepted:
            ack.headers[0] = ("via", ack.headers[0][1].replace(fresh, branch))
        else:
            call.ack = ack  # sent again should the answer come again
        self._send(ack, call.peer)

    def _cancel(self, call: Call, invite: Message, branch: str) -> None:
        fields = [
            ("from", call.local),
            ("to", invite.get("to")),
            ("call-id", call.id),
            ("cseq", f"{invite.get('cseq').split()[0]} CANCEL"),
        ]
        cancel, fresh = self._outgoing("CANCEL", invite.start.split()[1], fields)
        cancel.headers[0] = ("via", cancel.headers[0][1].replace(fresh, branch))
        self._send(cancel, call.peer)

    async def _after_cancel(
        self, call: Call, invite: Message, queue: asyncio.Queue[Arrived], branch: str
    ) -> Arrived:
        """Collect the 487; an answer that crossed our CANCEL is hung up again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                while True:
                    answer = await queue.get()
                    if answer.message.method == "INVITE" and answer.message.status >= 200:
                        self._learn(call, answer.message)
                        self._acknowledge(call, invite, answer, branch)
                        if answer.message.status < 300:
                            call.state = "answered"
                            await self.hang_up(call)
                        break
        raise Refused(408, "408 Request Timeout")

    def _in_dialog(self, call: Call, method: str) -> list[tuple[str, str]]:
        return [
            ("from", call.local),
            ("to", call.remote),
            ("call-id", call.id),
            ("cseq", f"{next(call.sequence)} {method}"),
        ]

    # --- being called ----------------------------------------------------------------------------

    def _serve(self, arrived: Arrived) -> None:
        """Take one request."""
        message = arrived.message
        method, branch = message.method, message.branch
        call = self.calls.get(message.get("call-id"))
        if method == "ACK":
            if event := self._unacked.get(message.get("call-id")):
                event.set()
        elif branch + method in self._answers:
            self._send(self._answers[branch + method], arrived.source)  # a retransmission
        elif method == "INVITE" and not tag(message.get("to")):
            self._reply(arrived, "100 Trying")
            self._start(self._be_called(arrived), f"incoming {self.number}")
        elif method == "CANCEL":
            self._reply(arrived, "200 OK")
            if call is not None and call.state == "ringing":
                call.reasons = message.all("reason")
                self._end(call, "cancelled")
        elif method == "BYE" and call is not None:
            self._reply(arrived, "200 OK")
            call.reasons = message.all("reason")
            self._end(call, "hung up by the other side")
        elif method == "NOTIFY" and call is not None:
            self._reply(arrived, "200 OK")
            self._hear_of_transfer(call, message)
        elif method in ("INVITE", "UPDATE") and call is not None:
            self._renegotiate(arrived, call)
        elif method in ("BYE", "INVITE", "UPDATE"):
            self._reply(arrived, "481 Call/Transaction Does Not Exist")
        else:
            self._reply(arrived, "200 OK", [("allow", ALLOW)])

    async def _be_called(self, arrived: Arrived) -> None:
        """Ring, then do what the manners say."""
        invite = arrived.message
        self.invites += 1
        shown = invite.get("p-asserted-identity") or invite.get("from")
        sound = Sound.of(invite.body)
        mine = f"{invite.get('to')};tag={secrets.token_hex(4)}"
        manners = self.manners
        if manners.refuse or sound is None:
            status = manners.refuse or "488 Not Acceptable Here"
            fields = [("to", mine)]
            if manners.send_to:
                fields.append(("contact", f"<sip:{manners.send_to}@{self.domain}>"))
            await self._reply_until_acked(arrived, status, fields)
            return
        try:
            audio = Audio(self._address, self._rtp, self.hertz)
        except Refused as busy:
            await self._reply_until_acked(arrived, str(busy), [("to", mine)])
            return
        call = Call(
            id=invite.get("call-id"),
            incoming=True,
            other=user(shown),
            name=display_name(shown),
            local=mine,
            remote=invite.get("from"),
            target=uri(invite.get("contact")),
            peer=host_port(invite.get("contact")),
            audio=audio,
            started=arrived.at / 1e9,
            dialed=user(invite.start.split(" ")[1]),
            state="ringing",
        )
        self._remember(call)
        ours = [("to", mine), ("contact", f"<{self.contact}>"), ("allow", ALLOW)]
        call.shows(invite)
        described = [*ours, ("content-type", "application/sdp")]
        if manners.early:
            audio.send_to(sound)
            self._reply(
                arrived, "183 Session Progress", described, audio.sound.sdp(next(call.version))
            )
        else:
            self._reply(arrived, "180 Ringing", ours)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(manners.answer_after):
                await call.ended.wait()
        if call.state == "ended":
            await self._reply_until_acked(arrived, "487 Request Terminated", [("to", mine)])
            return
        call.state, call.answered_at = "answered", time.time()
        call.setup_ms = round((call.answered_at - call.started) * 1000, 2)
        audio.send_to(sound)
        if not await self._reply_until_acked(
            arrived, "200 OK", described, audio.sound.sdp(next(call.version))
        ):
            await self.hang_up(call)

    def _hear_of_transfer(self, call: Call, message: Message) -> None:
        """How far it is, and at its end its outcome (RFC 3515 §2.4.5): then this phone has nothing more to do with the call."""
        found = re.match(r"SIP/2\.0 (\d+.*)", message.body)
        if found is None:
            return
        call.notified.append(found.group(1).strip())
        if int(found.group(1)[:3]) >= 200:
            self._start(self.hang_up(call), f"transferred by {self.number}")

    def _renegotiate(self, arrived: Arrived, call: Call) -> None:
        """The other side speaks from elsewhere now, or falls silent for a while, or is another one."""
        call.shows(arrived.message)
        sound = Sound.of(arrived.message.body)
        fields = [("contact", f"<{self.contact}>")]
        body = ""
        if sound is not None:
            call.audio.send_to(sound)
            back = {"sendonly": "recvonly", "recvonly": "sendonly"}.get(
                sound.direction, sound.direction
            )
            body = Sound(call.audio.sound.host, call.audio.sound.port, back).sdp(next(call.version))
        elif arrived.message.method == "INVITE":
            body = call.audio.sound.sdp(
                next(call.version)
            )  # an INVITE without an offer asks for ours
        if body:
            fields.append(("content-type", "application/sdp"))
        if arrived.message.method == "INVITE":
            waiting = self._reply_until_acked(arrived, "200 OK", fields, body)
            self._start(waiting, f"re-INVITE {self.number}")
        else:
            self._reply(arrived, "200 OK", fields, body)

    async def _reply_until_acked(
        self, arrived: Arrived, status: str, fields: list[tuple[str, str]], body: str = ""
    ) -> bool:
        """Repeat a final answer to an INVITE until its ACK comes; False if none does."""
        acked = self._unacked[arrived.message.get("call-id")] = asyncio.Event()
        pause, deadline = T1, time.monotonic() + TIMER_F
        while time.monotonic() < deadline:
            self._reply(arrived, status, fields, body)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await acked.wait()
                    self._unacked.pop(arrived.message.get("call-id"), None)
                    return True
            pause = min(2 * pause, T2)
        return False

    def _reply(
        self,
        arrived: Arrived,
        status: str,
        fields: list[tuple[str, str]] | None = None,
        body: str = "",
    ) -> None:
        request = arrived.message
        copied = [(n, v) for n, v in request.headers if n in ("via", "from", "call-id", "cseq")]
        fields = list(fields or [])
        if not any(name == "to" for name, _ in fields):
            fields.append(("to", request.get("to")))
        answer = Message(f"SIP/2.0 {status}", [*copied, *fields], body)
        if len(self._answers) > 2000:
            self._answers.pop(next(iter(self._answers)))
        self._answers[request.branch + request.method] = answer
        self._send(answer, arrived.source)

    # --- the socket ------------------------------------------------------------------------------

    def _receive(self) -> None:
        while True:
            try:
                data, notes, _, source = self._socket.recvmsg(65535, 128)
            except OSError:  # nothing more, or an ICMP error that a timer will deal with
                return
            at = time.time_ns()
            for level, kind, value in notes:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", value[:16])
                    at = seconds * 1_000_000_000 + nanoseconds
            try:
                message = Message.parse(data)
            except ValueError:
                continue
            self._note("<", message, source)
            self._dispatch(Arrived(message, source, at))

    def _dispatch(self, arrived: Arrived) -> None:
        message = arrived.message
        if not message.is_response:
            self._serve(arrived)
        elif queue := self._waiting.get(message.branch):
            if message.method != "CANCEL":
                queue.put_nowait(arrived)
        elif message.method == "INVITE" and message.status in range(200, 300):
            call = self.calls.get(message.get("call-id"))
            if call is not None and call.ack is not None:
                self._send(call.ack, call.peer)  # our ACK was lost

    def _send(self, message: Message, peer: Address) -> None:
        self._note(">", message, peer)
        with contextlib.suppress(OSError):  # a cut cable: retransmission or timeout follows
            self._socket.sendto(message.render(), peer)

    def _note(self, way: str, message: Message, peer: Address) -> None:
        """One log line, except for the questions that are asked twice a second."""
        if message.method != "OPTIONS":
            self._log(f"{self.number} {way} {peer[0]} {message.start} [{message.get('cseq')}]")

    # --- bookkeeping -----------------------------------------------------------------------------

    def _remember(self, call: Call) -> None:
        old = [known.id for known in self.calls.values() if known.state == "ended"]
        for known in old[: max(0, len(old) - REMEMBERED)]:
            del self.calls[known]
        self.calls[call.id] = call

    def _end(self, call: Call, cause: str) -> None:
        if call.state == "ended":
            return
        call.state, call.cause, call.ended_at = "ended", cause, time.time()
        call.audio.close()
        call.ended.set()

    def _start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[None]:
        task = self._group.create_task(self._guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """One phone's mishap must not end the other phones of its group."""
        try:
            await work
        except Exception as error:
            self._log(f"{self.number}: {name} failed: {error!r}")
