"""Asterisk's task processors: which of their queues are above high water. PJSIP refuses requests as long as one of its own is.

Neither ARI nor any dialplan function tells it (22.10.1), only the command line does. So the daemon asks as `asterisk -rx` does,
by the control socket, without a process for each question. The sum of the alerts is asked, a few lines; the table of all queues
grows with the number of phones. Who may write to that socket may do anything with Asterisk, as may who has the ARI password.
"""

import asyncio
import re
from pathlib import Path

from pbxfed_ari.core.membership.health import Reading

PATIENCE = 2.0  # seconds
MOST = 64 << 10  # bytes of an answer
_ROW = re.compile(r"^(\S.*?)\s+([0-9]+)$", re.M)


async def alerted(control: Path) -> Reading | str:
    """How many queues are above high water; or why that cannot be asked."""
    try:
        async with asyncio.timeout(PATIENCE):
            text = await _command(control, "core show taskprocessor alerted subsystems")
    except TimeoutError:
        return f"asterisk.control = {control}: no answer within {PATIENCE:g} s"
    except OSError as error:
        why = error.strerror or type(error).__name__
        return f"asterisk.control = {control}: {why}; see docs/health.md"
    if "subsystems" not in text:
        return f"asterisk.control = {control}: not understood: {text.strip()[:80]!r}"
    found = {name: int(count) for name, count in _ROW.findall(text)}
    said = ", ".join(f"{name} {count}" for name, count in found.items())
    return Reading(sum(found.values()), said)


async def _command(control: Path, command: str) -> str:
    """What a command prints. Raises: OSError."""
    reader, writer = await asyncio.open_unix_connection(str(control))
    try:
        await reader.read(512)  # its greeting: host/pid/version
        writer.write(f"cli quit after {command}\0".encode())
        answer = b""
        while len(answer) < MOST and (piece := await reader.read(8192)):
            answer += piece
    finally:
        writer.close()
    return answer.decode(errors="replace").replace("\0", "")
