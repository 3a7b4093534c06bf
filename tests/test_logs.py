"""Log lines, as the journal wants them."""

import logging
import sys

import pytest

from pbxfed_ari.logs import JournalFormatter, PlainFormatter, is_journal


def test_every_line_has_the_priority_of_its_record() -> None:
    """Else `journalctl -p err` shows the first line of a traceback alone."""
    try:
        raise ValueError("no\nsense")
    except ValueError:
        record = logging.LogRecord(
            "pbxfed", logging.ERROR, "", 1, "could not %s", ("do",), sys.exc_info()
        )
    lines = JournalFormatter().format(record).split("\n")

    assert lines[0] == "<3>ERROR pbxfed could not do"
    assert lines[-1] == "<3>sense"
    assert all(line.startswith("<3>") for line in lines)


def test_the_journal_is_known_by_its_socket() -> None:
    """The variable is inherited by whoever we start, and by whoever has redirected us since."""
    assert is_journal({"JOURNAL_STREAM": "8:4711"}, 8, 4711)
    assert not is_journal({"JOURNAL_STREAM": "8:4711"}, 8, 4712)
    assert not is_journal({}, 8, 4711)


def test_a_line_is_what_the_library_would_have_written() -> None:
    """Our own formatter is quicker, and no different."""
    library = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        raise ValueError("no\nsense")
    except ValueError:
        failed = sys.exc_info()
    ours = PlainFormatter()
    for moment, failure in ((1_764_111_000.25, None), (1_764_111_000.5, failed), (1.0, None)):
        record = logging.LogRecord("pbxfed", logging.INFO, "", 1, "call %s", ("x",), failure)
        record.created, record.msecs = moment, moment % 1 * 1_000
        assert ours.format(record) == library.format(record)


@pytest.mark.parametrize("ours", [PlainFormatter(), JournalFormatter()], ids=["plain", "journal"])
def test_no_caller_writes_a_line_of_his_own(ours: logging.Formatter) -> None:
    """Nor moves the cursor of who reads: he chooses his number."""
    caller = "7\n2026-11-25 10:00:00,000 ERROR pbxfed all is lost\x1b[2J"
    record = logging.LogRecord("pbxfed", logging.INFO, "", 1, "call from=%s", (caller,), None)
    line = ours.format(record)
    assert line.isprintable()
    assert line.endswith("all is lost\\x1b[2J")
