"""Number patterns as Asterisk's dialplan writes them (main/pbx.c, extension matching).

A text without `_` in front stands for itself. After it, X is 0-9, Z is 1-9, N is 2-9, `[1-35]` one of a set, `.` at the end
one character or more, `!` any number of them. Of several patterns that match, the most particular counts: at the first place
where they differ, the one that allows fewer digits.
"""

import re
from functools import lru_cache

from pbxfed_ari.errors import Refused

_SET = r"\[[0-9](?:-?[0-9]){0,9}\]"
PATTERN = rf"\+?[0-9*#]{{1,31}}|_\+?(?:[0-9XZN*#]|{_SET}){{0,31}}[.!]?"
_PATTERN = re.compile(PATTERN)
_CLASSES = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", "*": r"\*", "+": r"\+", "#": "#"}
_PARTS = re.compile(rf"{_SET}|.")
_WIDTHS = {"X": 10, "Z": 9, "N": 8, ".": 100, "!": 101}


def pattern(text: str) -> str:
    """A pattern, checked.

    Raises: Refused.
    """
    if text == "_" or not _PATTERN.fullmatch(text) or not _ordered(text):
        raise Refused(
            f"pattern {text!r}: must be a number, or begin with _ and go on with digits, X, Z, N, [sets], "
            "and . or ! at the end, as in Asterisk's dialplan"
        )
    return text


def matches(text: str, number: str) -> bool:
    """Does the number match this pattern?"""
    return _compiled(text).fullmatch(number) is not None


def best(texts: tuple[str, ...], number: str) -> str | None:
    """The most particular of the patterns that match, or None."""
    found = [text for text in texts if matches(text, number)]
    return min(found, key=particular, default=None)


def particular(text: str) -> tuple[int, ...]:
    """Sorts the more particular pattern first."""
    if not text.startswith("_"):
        return (*(1 for _ in text), 0)
    return (*(_width(part) for part in _PARTS.findall(text[1:])), 0)


def _width(part: str) -> int:
    if part.startswith("["):
        return len(re.findall(part, "0123456789"))
    return _WIDTHS.get(part, 1)


def _ordered(text: str) -> bool:
    """Does every range of a set run upwards?"""
    ranges = re.findall(r"([0-9])-([0-9])", text)
    return all(low <= high for low, high in ranges)


@lru_cache(4096)
def _compiled(text: str) -> re.Pattern[str]:
    if not text.startswith("_"):
        return re.compile(re.escape(text))
    made: list[str] = []
    for part in _PARTS.findall(text[1:]):
        if part == ".":
            made.append(".+")
        elif part == "!":
            made.append(".*")
        else:
            made.append(part if part.startswith("[") else _CLASSES.get(part, part))
    return re.compile("".join(made))
