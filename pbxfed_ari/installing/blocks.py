"""The lines that an operator's file gets: an include of ours between two marks, at its end.

At the end, because a section goes on by `[name](+)` only below where it began. `#tryinclude`, because an `#include` of a file
that has gone keeps Asterisk from reading the whole. A text is all of a file, decoded so that it becomes the same bytes again.
"""

BEGIN = "; --- pbxfed: added by `pbxfed init`, taken away by `pbxfed init --remove`"
END = "; --- pbxfed: end"


def block(include: str) -> str:
    """The lines that include this file."""
    return f'{BEGIN}\n#tryinclude "{include}"\n{END}\n'


def with_block(text: str, include: str) -> str:
    """The text with our lines in it: where they were, or at its end. It stays as it is if they are right."""
    found = _find(text)
    if found is not None:
        begin, end = found
        return text[:begin] + block(include) + text[end:]
    return text + ("" if not text or text.endswith("\n") else "\n") + block(include)


def without_block(text: str) -> str:
    """The text without our lines; if they are not there, as it is."""
    found = _find(text)
    return text if found is None else text[: found[0]] + text[found[1] :]


def _find(text: str) -> tuple[int, int] | None:
    """From where to where our lines are."""
    begin = text.find(BEGIN)
    if begin < 0 or (begin and text[begin - 1] != "\n"):
        return None
    end = text.find(END, begin)
    if end < 0:
        return None
    after = end + len(END)
    return begin, after + text.startswith("\n", after)
