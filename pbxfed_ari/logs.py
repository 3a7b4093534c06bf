"""Log lines: with their time, or for the journal, which keeps the time itself, with their priority (sd-daemon(3))."""

import logging
import os
import sys
from collections.abc import Mapping

PLAIN = "%(asctime)s %(levelname)s %(name)s %(message)s"
PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # syslog(3)


class JournalFormatter(logging.Formatter):
    """Each line of a record with its priority, so that `journalctl -p warning` finds it, tracebacks whole."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Its lines."""
        priority = f"<{PRIORITIES.get(record.levelname, 6)}>"
        return priority + super().format(record).replace("\n", f"\n{priority}")


def set_up(level: str) -> None:
    """Log to standard error, as whoever reads it likes it."""
    handler = logging.StreamHandler()
    stat = os.fstat(sys.stderr.fileno())
    journal = is_journal(os.environ, stat.st_dev, stat.st_ino)
    handler.setFormatter(JournalFormatter() if journal else logging.Formatter(PLAIN))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def is_journal(environment: Mapping[str, str], device: int, inode: int) -> bool:
    """Whether a file is the journal's socket: it is inherited, and may since have been redirected."""
    return environment.get("JOURNAL_STREAM") == f"{device}:{inode}"
