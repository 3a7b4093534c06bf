"""Log lines: with their time, or for the journal, which keeps the time itself, with their priority (sd-daemon(3))."""

import logging
import os
import sys
import time
from collections.abc import Mapping

PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # syslog(3)


def one_line(text: str) -> str:
    """The same, if it can be shown; else what ends a line or moves a cursor is written as Python would write it.

    Callers choose their names and numbers.
    """
    if text.isprintable():
        return text
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)


class PlainFormatter(logging.Formatter):
    """Time, level, name and message, as a busy node can afford it: the second is put into words once."""

    def __init__(self) -> None:
        super().__init__()
        self._second, self._words = -1, ""

    def format(self, record: logging.LogRecord) -> str:
        """Its line, and its traceback if it has one."""
        second = int(record.created)
        if second != self._second:
            self._second = second
            self._words = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        traced = record.exc_info or record.stack_info
        what = super().format(record) if traced else one_line(record.getMessage())
        return f"{self._words},{int(record.msecs):03d} {record.levelname} {record.name} {what}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        """What is said, without its traceback."""
        return one_line(super().formatMessage(record))


class JournalFormatter(logging.Formatter):
    """Each line of a record with its priority, so that `journalctl -p warning` finds it, tracebacks whole."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Its lines."""
        priority = f"<{PRIORITIES.get(record.levelname, 6)}>"
        return priority + super().format(record).replace("\n", f"\n{priority}")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """What is said, without its traceback."""
        return one_line(super().formatMessage(record))


def set_up(level: str) -> None:
    """Log to standard error, as whoever reads it likes it."""
    handler = logging.StreamHandler()
    stat = os.fstat(sys.stderr.fileno())
    journal = is_journal(os.environ, stat.st_dev, stat.st_ino)
    handler.setFormatter(JournalFormatter() if journal else PlainFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # What no line of ours holds need not be found out for each (Logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    setattr(logging, "_srcfile", None)  # noqa: B010


def is_journal(environment: Mapping[str, str], device: int, inode: int) -> bool:
    """Whether a file is the journal's socket: it is inherited, and may since have been redirected."""
    return environment.get("JOURNAL_STREAM") == f"{device}:{inode}"
