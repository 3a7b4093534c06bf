"""A `callerid`, taken apart as Asterisk does it (`ast_callerid_parse`)."""

import re
from typing import NamedTuple


class Caller(NamedTuple):
    """Who calls; what is not said is empty."""

    name: str
    number: str


def caller(text: str) -> Caller:
    """`"Ann Lee" <1001>`, `Ann Lee <1001>`, `<1001>`, `1001` or `Ann Lee`."""
    before, bracket, after = text.strip().rpartition("<")
    if bracket:
        return Caller(_unquoted(before), after.partition(">")[0].strip())
    return Caller("", after) if re.fullmatch(r"[+*#0-9]+", after) else Caller(_unquoted(after), "")


def _unquoted(text: str) -> str:
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return re.sub(r"\\(.)", r"\1", text[1:-1] if quoted else text).strip()
