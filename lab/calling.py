"""A phone that calls: at one of its servers, and at the next if that one is silent, gone or answers 503 (RFC 3263 §4.3).

Setup times run from the clock at the first INVITE's `sendto` to the kernel's timestamp of the 200, so a busy event loop does
not lengthen them. They include the digest challenge, and servers that were tried in vain, as a person at the phone would count.

It holds and resumes (re-INVITE), and transfers (REFER, RFC 3515 and 5589).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import replace
from typing import Any

from lab import tones
from lab.audio import Audio, NoPort
from lab.dialog import Call
from lab.registering import Registrant
from lab.sip import Message, Sound, Target, tag, uri
from lab.sockets import Arrived
from lab.transactions import Asked, Fields, Refused

REMEMBERED = 500  # ended calls that a phone remembers
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, UPDATE, INFO, MESSAGE, REFER"


class Caller(Registrant):
    """A phone as those see it whom it calls."""

    def __init__(self, *args: Any, index: int, **options: Any) -> None:
        """`index`: its place among the phones of its address; ports and tone follow from it."""
        super().__init__(*args, port=5100 + index, **options)
        self.name = self.number
        self.hertz = tones.frequency(index)
        self.codecs: tuple[int, ...] = (0,)  # RTP payload types, best first
        self.calls: dict[str, Call] = {}
        self._rtp = range(12000 + 20 * index, 12000 + 20 * index + 20, 2)

    def close(self) -> None:
        """Vanish without a word."""
        super().close()
        for call in self.calls.values():
            call.audio.close()

    async def dial(self, number: str, *, patience: float, diversion: str = "") -> Call:
        """Call a number, through the first server that takes the call, and wait for the end of the setup.

        `diversion`: who has sent the call on, as this phone says.

        Raises:
            Refused: the call was not answered; the text is the last status.
        """
        targets = await self._targets()
        if self.at is None and len(targets) == 1:
            raise Refused(0, f"phone {self.number} is not registered")
        call = self._new_call(number, targets[0])
        call.diversion = diversion
        begun, deadline = time.time_ns(), time.monotonic() + patience
        for target in targets:
            call.peer, call.target = target, f"sip:{number}@{self.servers.host(target)}"
            last = target == targets[-1]
            try:
                await self._invite(call, begun, deadline, None if last else self.timers.patience)
            except Refused as refusal:
                if last or not refusal.elsewhere:
                    self._end(call, str(refusal))
                    raise
                self._log(f"{self.number}: {target}: {refusal}")
                self.servers.shun(target)
            else:
                break
        return call

    def _new_call(self, number: str, target: Target) -> Call:
        try:
            audio = Audio(self._address, self._rtp, self.hertz, self.codecs)
        except NoPort:
            raise Refused(486, "486 Busy Here") from None
        call = Call(
            id=f"{secrets.token_hex(8)}@{self._address}",
            incoming=False,
            other=number,
            name="",
            local=f'"{self.name}" <sip:{self.number}@{self.domain}>;tag={secrets.token_hex(4)}',
            remote=f"<sip:{number}@{self.domain}>",
            target="",
            peer=target,
            audio=audio,
            started=time.time(),
        )
        self._remember(call)
        return call

    async def hang_up(self, call: Call, cause: int = 0) -> None:
        """End an answered call, for this Q.850 cause if there is one; a call that ended already is left alone."""
        if call.state != "answered":
            return
        self._end(call, "hung up")
        why: Fields = [("reason", f"Q.850;cause={cause}")] if cause else []
        with contextlib.suppress(Refused):
            fields = [*self._in_dialog(call, "BYE"), *why]
            await self._authenticated("BYE", call.target, call.peer, fields, 4.0)

    async def hold(self, call: Call, on: bool) -> None:
        """Put the other side on hold, or talk again."""
        call.audio.sound = replace(call.audio.sound, direction="sendonly" if on else "sendrecv")
        await self._invite(call, time.time_ns(), time.monotonic() + 8.0, None)
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
            ("contact", self.contact_for(call.peer)),
            ("refer-to", f"<{target}>"),
            ("referred-by", f"<sip:{self.number}@{self.domain}>"),
        ]
        answer = await self._authenticated("REFER", call.target, call.peer, fields, 8.0)
        return {"status": answer.message.status}

    async def press(self, call: Call, keys: str) -> None:
        """Press keys by SIP INFO, one after the other."""
        for key in keys:
            fields = [
                *self._in_dialog(call, "INFO"),
                ("content-type", "application/dtmf-relay"),
            ]
            body = f"Signal={key}\r\nDuration=160\r\n"
            await self._authenticated("INFO", call.target, call.peer, fields, 4.0, body)

    # --- the setup -------------------------------------------------------------------------------

    def _invitation(self, call: Call) -> Fields:
        return [
            ("from", call.local),
            ("to", call.remote),
            ("call-id", call.id),
            ("contact", self.contact_for(call.peer)),
            ("allow", ALLOW),
            ("cseq", f"{next(call.sequence)} INVITE"),
            ("content-type", "application/sdp"),
            *([("diversion", call.diversion)] if call.diversion and not call.incoming else []),
        ]

    async def _invite(self, call: Call, begun: int, deadline: float, silence: float | None) -> None:
        """Send the INVITE, answer a challenge once, and wait for the end of the setup.

        `begun`: the moment that setup times count from, ns; `silence`: seconds without a word that make the server dead.
        """
        fields = self._invitation(call)
        answer = await self._invite_once(call, fields, begun, deadline, silence)
        if answer.message.status in (401, 407):
            proof = self._proof(answer.message, "INVITE", call.target)
            answer = await self._invite_once(
                call, [*self._invitation(call), proof], begun, deadline, silence
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
        self, call: Call, fields: Fields, begun: int, deadline: float, silence: float | None
    ) -> Arrived:
        message, branch = self._outgoing("INVITE", call.target, call.peer, fields)
        message.body = call.audio.sound.sdp(next(call.version))
        asked = self._asked[branch] = Asked(call.peer)
        try:
            answer = await self._final(call, message, asked, begun, deadline, silence)
            self._acknowledge(call, message, answer, branch)
        except TimeoutError:
            self._cancel(call, message, branch)
            answer = await self._after_cancel(call, message, asked, branch)
        finally:
            self._asked.pop(branch, None)
        return answer

    async def _final(
        self,
        call: Call,
        message: Message,
        asked: Asked,
        begun: int,
        deadline: float,
        silence: float | None,
    ) -> Arrived:
        """Retransmit until anything comes, then wait for the final answer."""
        pauses = self._pauses(call.peer)
        pause = next(pauses)
        silent = time.monotonic() + silence if silence is not None else deadline
        self._send(message, call.peer)
        while True:
            left = min(deadline, silent) - time.monotonic()
            if left <= 0:
                if silent < deadline:
                    self._sockets.drop(call.peer)
                    raise Refused(0, f"INVITE to {call.peer}: no answer within {silence:g} s")
                raise TimeoutError
            try:
                async with asyncio.timeout(left if pause is None else min(pause, left)):
                    answer = await asked.next()
            except TimeoutError:
                if pause is not None and min(deadline, silent) > time.monotonic():
                    self._send(message, call.peer)
                    pause = next(pauses)
                continue
            pause, silent = None, deadline
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
        ack, fresh = self._outgoing("ACK", target, call.peer, fields)
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
        cancel, fresh = self._outgoing("CANCEL", invite.start.split()[1], call.peer, fields)
        cancel.headers[0] = ("via", cancel.headers[0][1].replace(fresh, branch))
        self._send(cancel, call.peer)

    async def _after_cancel(
        self, call: Call, invite: Message, asked: Asked, branch: str
    ) -> Arrived:
        """Collect the 487; an answer that crossed our CANCEL is hung up again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                while True:
                    answer = await asked.next()
                    if answer.message.method == "INVITE" and answer.message.status >= 200:
                        self._learn(call, answer.message)
                        self._acknowledge(call, invite, answer, branch)
                        if answer.message.status < 300:
                            call.state = "answered"
                            await self.hang_up(call)
                        break
        raise Refused(408, "408 Request Timeout")

    def _in_dialog(self, call: Call, method: str) -> Fields:
        return [
            ("from", call.local),
            ("to", call.remote),
            ("call-id", call.id),
            ("cseq", f"{next(call.sequence)} {method}"),
        ]

    def _stray(self, arrived: Arrived) -> None:
        message = arrived.message
        if message.method == "INVITE" and message.status in range(200, 300):
            call = self.calls.get(message.get("call-id"))
            if call is not None and call.ack is not None:
                self._send(call.ack, call.peer)  # our ACK was lost

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
