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
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pbxfed_ari.core.membership.health import Reading
from pbxfed_ari.sensors.command import Command

MOST = 64 << 10  # bytes of output
SHOWN = 120  # characters of it
REST = 0.2  # seconds for the last output of a command that has ended
DYING = 1.0  # seconds for one that was killed
_LIMIT = "exit code 0"


class _Run(asyncio.Protocol):
    """One run, and what is heard of it.

    It is started by `subprocess`, not by the loop: uvloop copies the whole process, runs Python in the copy, without the
    threads of the original, and waits for it: ten milliseconds instead of two.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        """Raises: OSError: it cannot be run."""
        self._loop = asyncio.get_running_loop()
        self.output = bytearray()
        self.spoken: asyncio.Future[None] = self._loop.create_future()  # all of it, or too much
        self.exited: asyncio.Future[int] = self._loop.create_future()  # its code, or less a signal
        self._pipe: asyncio.BaseTransport | None = None
        self._process = subprocess.Popen(
            argv,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._end = os.pidfd_open(self._process.pid)  # can be read when it has ended
        except OSError:
            with self._process:
                self.kill()
            raise
        self._loop.add_reader(self._end, self._reap)

    async def listen(self) -> None:
        """Take what it says from now on."""
        self._pipe, _ = await self._loop.connect_read_pipe(lambda: self, self._process.stdout)

    def kill(self) -> None:
        """It and what it has left behind."""
        with suppress(ProcessLookupError, PermissionError):  # gone, or another user's now
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Take no more."""
        if self._pipe is not None:
            self._pipe.close()

    def _reap(self) -> None:
        self._loop.remove_reader(self._end)
        os.close(self._end)
        self.exited.set_result(self._process.wait())

    # --- asyncio

    def data_received(self, data: bytes) -> None:
        """It has said something."""
        self.output += data[: MOST + 1 - len(self.output)]
        if len(self.output) > MOST:
            _set(self.spoken)

    def connection_lost(self, exc: Exception | None) -> None:
        """It says no more."""
        _set(self.spoken)


class Check:
    """One check, run again and again, never twice at once."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._running: asyncio.Future[int] | None = None  # one that would not die

    async def read(self) -> Reading:
        """Run it."""
        command = self.command
        if self._running is not None and not self._running.done():
            return _failed("the last run hangs in the kernel and cannot be killed")
        try:
            run = _Run(command.argv)
        except OSError as error:
            return _failed(f"{command.argv[0]} cannot be run: {error.strerror}")
        try:
            await run.listen()
            return await self._result(run)
        finally:
            run.kill()
            await asyncio.wait([run.exited], timeout=DYING)
            self._running = run.exited
            run.close()

    async def _result(self, run: _Run) -> Reading:
        timeout = self.command.timeout
        ends: Sequence[asyncio.Future[Any]] = (run.exited, run.spoken)
        deadline = time.monotonic() + timeout
        await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not run.exited.done() and len(run.output) <= MOST:
            left = deadline - time.monotonic()  # it has closed its output
            await asyncio.wait([run.exited], timeout=max(0.0, left))
        if len(run.output) > MOST:
            return _failed(f"printed more than {MOST >> 10} kB, cut off")
        if not run.exited.done():
            return _failed(f"did not end within {timeout:g} s, cut off{_line(run.output)}")
        await asyncio.wait([run.spoken], timeout=REST)
        code = run.exited.result()
        if len(run.output) > MOST:
            return _failed(f"printed more than {MOST >> 10} kB, cut off")
        if code == 0:
            return Reading(0.0, f"exit code 0{_line(run.output)}", _LIMIT)
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return _failed(how + _line(run.output))


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
