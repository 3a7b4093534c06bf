"""A NATS server for the lab and for the tests of the WAN link: Debian's, as a file and not as a service of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.package import taken

PACKAGE = "nats-server"
PORT = 4222


def ensure_nats() -> Path:
    """The server's program: this machine's, or one taken out of Debian's package. Nothing is installed or started."""
    found = shutil.which(PACKAGE)
    return Path(found) if found else taken(PACKAGE, f"usr/sbin/{PACKAGE}")


def options(address: str) -> list[str]:
    """The server's arguments: one port, no monitoring, no state."""
    return ["--addr", address, "--port", str(PORT)]
