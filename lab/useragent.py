"""A desk phone: registers, calls, answers, speaks a tone and remembers what it heard.

It is our own rather than baresip 1.1.0, because a lab phone must move to another registrar in milliseconds, with the
very same Contact and without a word at the old one. baresip un-registers when its account is deleted, and its Contact
holds a memory address, so a restarted one is another device; it waits 32 s for a silent server, and does not count the
INVITEs that reached it. What this phone puts on the wire is plain RFC 3261 over UDP or TCP, retransmissions included.

From below: sockets, transactions, registering (with locating: RFC 3263), calling, and here being called. It answers, refuses,
sends on (302), speaks before it answers (183), shows who it is connected to (P-Asserted-Identity). What it does not do: TLS,
SRTP, G.722, record routes, taking TCP connections (over TCP it is called through the one that it has opened).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from dataclasses import replace
from typing import Any

from lab.audio import Audio, NoPort
from lab.calling import ALLOW, Caller
from lab.dialog import Call, Manners
from lab.sip import Message, Sound, Target, display_name, tag, target_of, uri, user
from lab.sockets import Arrived
from lab.transactions import TIMER_F, Fields


class Phone(Caller):
    """One phone with one number, a port of its own, and the servers that it may go to."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.manners = Manners()
        self.invites = 0  # INVITE transactions received, ever
        self._unacked: dict[str, asyncio.Event] = {}

    def describe(self) -> dict[str, Any]:
        """The phone as the lab reports it."""
        return {
            "server": self.at and self.at.host,
            "transport": self.at and self.at.transport,
            "contact": self.contact,
            "hertz": self.hertz,
            "invites": self.invites,
            "calls": sum(call.state == "answered" for call in self.calls.values()),
            "moves": self.moves,
        }

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
        if sound is None or (manners.refuse and not manners.answer_after):
            await asyncio.sleep(manners.ring_after)
            status = manners.refuse or "488 Not Acceptable Here"
            fields = [("to", mine)]
            if manners.send_to:
                fields.append(("contact", f"<sip:{manners.send_to}@{self.domain}>"))
            await self._reply_until_acked(arrived, status, fields)
            return
        try:
            audio = Audio(self._address, self._rtp, self.hertz, self.codecs)
            audio.answers(sound)
        except NoPort:
            await self._reply_until_acked(arrived, "486 Busy Here", [("to", mine)])
            return
        call = Call(
            id=invite.get("call-id"),
            incoming=True,
            other=user(shown),
            name=display_name(shown),
            local=mine,
            remote=invite.get("from"),
            target=uri(invite.get("contact")),
            peer=self._way_back(arrived),
            audio=audio,
            started=arrived.at / 1e9,
            dialed=user(invite.start.split(" ")[1]),
            fields=[name for name, _ in invite.headers],
            diversion=invite.get("diversion"),
            state="ringing",
        )
        self._remember(call)
        ours = [("to", mine), ("contact", self.contact_for(arrived.source)), ("allow", ALLOW)]
        call.shows(invite)
        described = [*ours, ("content-type", "application/sdp")]
        await self._pass(manners.ring_after, call)
        if call.state == "ended":
            pass
        elif manners.early:
            audio.send_to(sound)
            self._reply(
                arrived, "183 Session Progress", described, audio.sound.sdp(next(call.version))
            )
        else:
            self._reply(arrived, "180 Ringing", ours)
        await self._pass(manners.answer_after, call)
        if call.state == "ended":
            await self._reply_until_acked(arrived, "487 Request Terminated", [("to", mine)])
            return
        if manners.refuse:
            self._end(call, f"refused: {manners.refuse}")
            await self._reply_until_acked(arrived, manners.refuse, [("to", mine)])
            return
        call.state, call.answered_at = "answered", time.time()
        call.setup_ms = round((call.answered_at - call.started) * 1000, 2)
        audio.send_to(sound)
        if not await self._reply_until_acked(
            arrived, "200 OK", described, audio.sound.sdp(next(call.version))
        ):
            await self.hang_up(call)

    async def _pass(self, seconds: float | None, call: Call) -> None:
        """So much time, unless the call ends before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await call.ended.wait()

    def _way_back(self, arrived: Arrived) -> Target:
        """Where requests within the call go: what the Contact says, by UDP; by TCP the connection that there is."""
        stream = arrived.source.transport == "tcp"
        return arrived.source if stream else target_of(arrived.message.get("contact"))

    def _hear_of_transfer(self, call: Call, message: Message) -> None:
        """How far it is, and at its end its outcome (RFC 3515 §2.4.5): after a success this phone leaves the call."""
        found = re.match(r"SIP/2\.0 (\d+.*)", message.body)
        if found is None:
            return
        call.notified.append(found.group(1).strip())
        if 200 <= int(found.group(1)[:3]) < 300:
            self._start(self.hang_up(call), f"transferred by {self.number}")

    def _renegotiate(self, arrived: Arrived, call: Call) -> None:
        """The other side speaks from elsewhere now, or falls silent for a while, or is another one."""
        call.shows(arrived.message)
        sound = Sound.of(arrived.message.body)
        fields = [("contact", self.contact_for(arrived.source))]
        body = ""
        if sound is not None:
            call.audio.send_to(sound)
            back = {"sendonly": "recvonly", "recvonly": "sendonly"}.get(
                sound.direction, sound.direction
            )
            body = replace(call.audio.sound, direction=back).sdp(next(call.version))
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
        self, arrived: Arrived, status: str, fields: Fields, body: str = ""
    ) -> bool:
        """Repeat a final answer to an INVITE until its ACK comes; False if none does."""
        acked = self._unacked[arrived.message.get("call-id")] = asyncio.Event()
        pause, deadline = self.timers.t1, time.monotonic() + TIMER_F
        while time.monotonic() < deadline:
            self._reply(arrived, status, fields, body)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await acked.wait()
                    self._unacked.pop(arrived.message.get("call-id"), None)
                    return True
            pause = min(2 * pause, self.timers.t2)
        return False
