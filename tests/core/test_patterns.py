"""Dialplan patterns: what matches, what is refused, and which of several counts."""

import pytest

from pbxfed_ari.core.records.patterns import best, matches, pattern
from pbxfed_ari.errors import Refused


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("112", "112", True),
        ("112", "1120", False),
        ("_0.", "0301234567", True),
        ("_0.", "0", False),
        ("_0!", "0", True),
        ("_NXX", "199", False),
        ("_NXX", "299", True),
        ("_Z", "0", False),
        ("_+49X.", "+49301", True),
        ("_+49X.", "49301", False),
        ("_[1-35]X", "50", True),
        ("_[1-35]X", "40", False),
        ("_*9X", "*97", True),
        ("_0.", "0;drop", True),  # numbers are checked before they are matched
    ],
)
def test_matching(text: str, number: str, expected: bool) -> None:
    """As Asterisk's dialplan does it."""
    assert matches(pattern(text), number) is expected


@pytest.mark.parametrize(
    "text", ["", "_", "_0.1", "0.", "_[3-1]X", "_[", "_x y", "a", "_X" * 40, "_0.\n"]
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    """With the rule."""
    with pytest.raises(Refused, match="dialplan"):
        pattern(text)


def test_the_most_particular_pattern_counts() -> None:
    """Not the first, and not the last."""
    assert best(("_0.", "_0900.", "_09X."), "0900123") == "_0900."
    assert best(("_X!", "_X.", "_[1-3]1X"), "112") == "_[1-3]1X"
    assert best(("_1XX", "112"), "112") == "112"
    assert best(("_2.",), "112") is None
