"""The lab's way into a container: standard input goes into a socket there, what it answers to standard output.

python -m lab.relay unix:/run/pbxfed/control    a line, and a line back
python -m lab.relay tcp:8780                    a request to this port of loopback, and all until the other side closes
"""

from __future__ import annotations

import socket
import sys


def main(target: str) -> None:
    """Bring one request and its answer."""
    kind, _, where = target.partition(":")
    if kind == "unix":
        link = socket.socket(socket.AF_UNIX)
        link.connect(where)
    else:
        link = socket.create_connection(("127.0.0.1", int(where)))
    with link, link.makefile("rb") as answers:
        link.sendall(sys.stdin.buffer.read())
        sys.stdout.buffer.write(answers.readline() if kind == "unix" else answers.read())


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror or error}")
