"""The lower half of a phone: requests that are repeated until an answer comes, challenges, answers said again (RFC 3261 §17).

What a request does when its server is silent is not decided here: it is refused, and the refusal says whether another server
may do better.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.sip import Message, Target, digest_answer
from lab.sockets import Arrived, Sockets

TIMER_F = 32.0  # seconds until a request counts as unanswered, if there is nobody else to ask
REMEMBERED = 2_000  # answers that may have to be said again
UNAVAILABLE = 503

Fields = list[tuple[str, str]]


class Refused(Exception):
    """A SIP request ended badly; the text is the status, as `404 Not Found`. Status 0: no answer came."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    @property
    def elsewhere(self) -> bool:
        """Another server may do better: silence, a lost connection, 503 (RFC 3263 §4.3)."""
        return self.status in (0, UNAVAILABLE)


@dataclass(slots=True)
class Timers:
    """How long a phone waits, in seconds. Desk phones give up sooner than the RFC's 32 s, if they are told to."""

    t1: float = 0.5  # the first repetition of a request (RFC 3261)
    t2: float = 4.0  # the longest pause between two
    patience: float = 2.0  # silence that makes a server dead, if there is another one to go to
    keepalive: float = 0.5  # between two questions to the server, if there is another one; 0: never
    expires: float = 300  # a registration; it is renewed after half of it
    retry: float = 0.5  # after a registration that nobody took
    dns: float = 1.0  # for each resolver to answer


@dataclass(slots=True)
class Asked:
    """A request that waits for its answers; None says that the connection is lost."""

    target: Target
    answers: asyncio.Queue[Arrived | None] = field(default_factory=asyncio.Queue)

    async def next(self) -> Arrived:
        """The next answer. Raises: Refused, if none can come any more."""
        answer = await self.answers.get()
        if answer is None:
            raise Refused(0, f"{self.target}: the connection is lost")
        return answer


class Endpoint(ABC):
    """A number with a secret, an address, and what it says and hears there."""

    def __init__(
        self,
        number: str,
        secret: str,
        *,
        address: str,
        port: int,
        domain: str,
        tasks: asyncio.TaskGroup,
        log: Callable[[str], None],
    ) -> None:
        self.number, self.secret, self.domain = number, secret, domain
        self.timers = Timers()
        self._address, self._port, self._group, self._log = address, port, tasks, log
        self._asked: dict[str, Asked] = {}  # by branch
        self._answers: dict[str, Message] = {}  # last response per server transaction
        self._sequence = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets = Sockets(
            address, port, heard=self._heard, lost=self._disconnected, start=self._start
        )

    def close(self) -> None:
        """Vanish without a word, as a phone whose plug is pulled."""
        for task in self._tasks:
            task.cancel()
        self._sockets.close()

    @abstractmethod
    def _serve(self, arrived: Arrived) -> None:
        """Take one request."""

    @abstractmethod
    def _stray(self, arrived: Arrived) -> None:
        """Take an answer that nothing waits for."""

    def _disconnected(self, target: Target) -> None:
        """What waits for an answer over a lost connection need not wait on."""
        for asked in self._asked.values():
            if asked.target == target:
                asked.answers.put_nowait(None)

    # --- asking ----------------------------------------------------------------------------------

    async def _authenticated(
        self,
        method: str,
        uri: str,
        target: Target,
        fields: Fields,
        patience: float,
        body: str = "",
    ) -> Arrived:
        """A request that may be challenged once. Raises: Refused."""
        answer = await self._request(method, uri, target, fields, patience, body)
        if answer.message.status in (401, 407):
            proof = self._proof(answer.message, method, uri)
            again = [f for f in fields if f[0] != "cseq"] + [proof]
            answer = await self._request(method, uri, target, again, patience, body)
            if answer.message.status in (401, 407):
                raise Refused(answer.message.status, f"{answer.message.status}: wrong secret")
        if answer.message.status >= 300:
            raise Refused(answer.message.status, answer.message.status_text)
        return answer

    def _proof(self, challenged: Message, method: str, uri: str) -> tuple[str, str]:
        kind = "www-authenticate" if challenged.status == 401 else "proxy-authenticate"
        for challenge in challenged.all(kind):
            with contextlib.suppress(ValueError):
                answer = digest_answer(
                    challenge, user=self.number, secret=self.secret, method=method, target=uri
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
        uri: str,
        target: Target,
        fields: Fields,
        patience: float,
        body: str = "",
    ) -> Arrived:
        """Send until something final comes back. Raises: Refused."""
        message, branch = self._outgoing(method, uri, target, fields)
        message.body = body
        asked = self._asked[branch] = Asked(target)
        try:
            async with asyncio.timeout(patience):
                for pause in self._pauses(target):
                    self._send(message, target)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            while (answer := await asked.next()).message.status < 200:
                                pass
                        return answer
        except TimeoutError:
            pass
        finally:
            self._asked.pop(branch, None)
        self._sockets.drop(target)
        raise Refused(0, f"{method} to {target}: no answer within {patience:g} s")

    def _pauses(self, target: Target) -> Iterator[float | None]:
        """How long to wait before each repetition; TCP repeats by itself."""
        pause: float | None = self.timers.t1 if target.transport == "udp" else None
        while True:
            yield pause
            pause = pause and min(2 * pause, self.timers.t2)

    def _outgoing(
        self, method: str, uri: str, target: Target, fields: Fields
    ) -> tuple[Message, str]:
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        by = f"SIP/2.0/{target.transport.upper()} {self._address}:{self._port}"
        message = Message(f"{method} {uri} SIP/2.0")
        message.headers = [
            ("via", f"{by};rport;branch={branch}"),
            ("max-forwards", "70"),
            ("user-agent", "pbxfed-lab"),
            *fields,
        ]
        if not any(name == "cseq" for name, _ in fields):
            message.headers.append(("cseq", f"{next(self._sequence)} {method}"))
        return message, branch

    # --- answering -------------------------------------------------------------------------------

    def _reply(
        self, arrived: Arrived, status: str, fields: Fields | None = None, body: str = ""
    ) -> None:
        request = arrived.message
        copied = [(n, v) for n, v in request.headers if n in ("via", "from", "call-id", "cseq")]
        fields = list(fields or [])
        if not any(name == "to" for name, _ in fields):
            fields.append(("to", request.get("to")))
        answer = Message(f"SIP/2.0 {status}", [*copied, *fields], body)
        if len(self._answers) > REMEMBERED:
            self._answers.pop(next(iter(self._answers)))
        self._answers[request.branch + request.method] = answer
        self._send(answer, arrived.source)

    # --- what comes and goes ---------------------------------------------------------------------

    def _heard(self, arrived: Arrived) -> None:
        message = arrived.message
        self._note("<", message, arrived.source)
        if not message.is_response:
            self._serve(arrived)
        elif asked := self._asked.get(message.branch):
            if message.method != "CANCEL":
                asked.answers.put_nowait(arrived)
        else:
            self._stray(arrived)

    def _send(self, message: Message, target: Target) -> None:
        self._note(">", message, target)
        self._sockets.send(message, target)

    def _note(self, way: str, message: Message, target: Target) -> None:
        """One log line, except for the questions that are asked twice a second."""
        if message.method != "OPTIONS":
            self._log(f"{self.number} {way} {target.host} {message.start} [{message.get('cseq')}]")

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
