"""One question to the daemon of a machine, asked by a Python there: over HTTP, on the loopback."""

import json
import subprocess
from typing import Any

ASK = """import http.client, sys
c = http.client.HTTPConnection('127.0.0.1', 8780, timeout=10)
c.request(sys.argv[1], sys.argv[2], sys.stdin.read() or None, {'Content-Type': 'application/json'})
r = c.getresponse(); print(r.status); print(r.read().decode())
"""


def question(method: str, path: str) -> list[str]:
    """The command that asks; the body stands on its standard input."""
    return ["python3", "-c", ASK, method, path]


def answered(done: subprocess.CompletedProcess[str]) -> tuple[int, Any]:
    """Status and decoded answer; 0 and why, if nobody answers."""
    status, _, answer = done.stdout.partition("\n")
    if not status.isdecimal():
        return 0, done.stderr.strip().rpartition("\n")[2]
    return int(status), json.loads(answer) if answer[:1] in ("{", "[") else answer
