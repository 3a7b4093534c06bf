"""Checks that the operator defines: a command each, whose exit code says whether this node is well.

    [checks.fax]
    command = ["/usr/local/bin/check-fax", "--quick"]

Exit code 0 is well, any other is not, and the first line that it prints says why. It gets no input and no shell (unless its
configuration asks for one), and a process group of its own, which is killed when the command ends, whatever it has left
behind; when it takes longer than its timeout; and when it prints more than MOST. Both of these count as failed. A command that
cannot be killed (it hangs in the kernel) is not started a second time.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress

from pbxfed_ari.core.health import Reading
from pbxfed_ari.sensors.command import Command

MOST = 64 << 10  # bytes of output
SHOWN = 120  # characters of it
REST = 0.2  # seconds for the last output of a command that has ended
DYING = 1.0  # seconds for one that was killed
_LIMIT = "exit code 0"


class _Watching(asyncio.SubprocessProtocol):
    """Hears one run."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.output = bytearray()
        self.spoken: asyncio.Future[None] = loop.create_future()  # all of it, or too much
        self.exited: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data[: MOST + 1 - len(self.output)]
        if len(self.output) > MOST:
            _set(self.spoken)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        _set(self.spoken)

    def process_exited(self) -> None:
        _set(self.exited)


class Check:
    """One check, run again and again, never twice at once."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._running: asyncio.Future[None] | None = None  # one that would not die

    async def read(self) -> Reading:
        """Run it."""
        command = self.command
        if self._running is not None and not self._running.done():
            return _failed("the last run hangs in the kernel and cannot be killed")
        loop = asyncio.get_running_loop()
        try:
            transport, watching = await loop.subprocess_exec(
                _Watching,
                *command.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return _failed(f"{command.argv[0]} cannot be run: {error.strerror}")
        try:
            return await self._result(transport, watching)
        finally:
            with suppress(ProcessLookupError, PermissionError):  # gone, or another user's now
                os.killpg(transport.get_pid(), signal.SIGKILL)
            await asyncio.wait([watching.exited], timeout=DYING)
            self._running = watching.exited
            transport.close()

    async def _result(self, transport: asyncio.SubprocessTransport, watching: _Watching) -> Reading:
        timeout = self.command.timeout
        ends: Sequence[asyncio.Future[None]] = (watching.exited, watching.spoken)
        deadline = asyncio.get_running_loop().time() + timeout
        await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not watching.exited.done() and len(watching.output) <= MOST:
            left = deadline - asyncio.get_running_loop().time()  # it has closed its output
            await asyncio.wait([watching.exited], timeout=max(0.0, left))
        if len(watching.output) > MOST:
            return _failed(f"printed more than {MOST >> 10} kB, cut off")
        if not watching.exited.done():
            return _failed(f"did not end within {timeout:g} s, cut off{_line(watching.output)}")
        await asyncio.wait([watching.spoken], timeout=REST)
        code = transport.get_returncode() or 0
        if len(watching.output) > MOST:
            return _failed(f"printed more than {MOST >> 10} kB, cut off")
        if code == 0:
            return Reading(0.0, f"exit code 0{_line(watching.output)}", _LIMIT)
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return _failed(how + _line(watching.output))


def _failed(why: str) -> Reading:
    return Reading(1.0, why, _LIMIT)


def _line(output: bytearray) -> str:
    """The first line that says something, made harmless."""
    text = output[: 4 * SHOWN].decode(errors="replace")
    found = next((line.strip() for line in text.splitlines() if line.strip()), "")
    shown = "".join(c if c.isprintable() else "?" for c in found)[:SHOWN]
    return f", says {shown!r}" if shown else ""


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
