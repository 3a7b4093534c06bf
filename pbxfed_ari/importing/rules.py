"""What an extension takes, and what becomes of a value that it does not take. Only this module asks the kind itself.

A number beyond its bounds and a name with forbidden characters become the nearest that are allowed, and that is noted. A secret
is never altered: the kind takes it, or a new one must be made.
"""

import re

from pbxfed_ari.core.records.objects.extension import EXTENSION
from pbxfed_ari.core.records.objects.fields import Text, Whole
from pbxfed_ari.errors import Refused
from pbxfed_ari.importing.report import Notebook, Object

TRUE = frozenset({"yes", "true", "y", "t", "1", "on"})  # as Asterisk's ast_true

_WHOLE = re.compile(r"[0-9]{1,9}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{32}")
_SPEAKABLE = str.maketrans({'"': "'", "\\": "/", "<": "(", ">": ")"})


def true(text: str) -> bool:
    """Does Asterisk take this for yes?"""
    return text.strip().lower() in TRUE


def whole(text: str) -> int | None:
    """A whole number, or None."""
    return int(text) if _WHOLE.fullmatch(text) else None


def is_digest(text: str) -> bool:
    """Can this be md5(number:realm:secret) in hexadecimal digits?"""
    return _DIGEST.fullmatch(text) is not None


def weakness(number: str, secret: str) -> str:
    """Why an extension does not take this secret, or an empty text. Never the secret itself."""
    try:
        EXTENSION.prepare(number, {"secret": secret}, realm="", new=False)
    except Refused as refused:
        return str(refused).removeprefix(f"extension {number}: ")
    return ""


def put_secret(into: Object, number: str, secret: str, book: Notebook) -> None:
    """The secret, if the extension takes it."""
    if weak := weakness(number, secret):
        book.add("its secret", f"a new one must be set, also in the phone: {weak}")
    else:
        into["secret"] = secret


def put_name(into: Object, name: str, number: str, book: Notebook) -> None:
    """The name, in characters that every part of the way speaks; none, if it is but the number."""
    taken = EXTENSION.fields["name"].type
    assert isinstance(taken, Text)
    spoken = "".join(c for c in name.translate(_SPEAKABLE) if c.isprintable()).strip()
    spoken = spoken[: taken.most].strip()
    if spoken != name:
        book.add(f"its name {name!r}", f'became {spoken!r}: no " < > \\, {taken.most} at most')
    if spoken and spoken != number:
        into["name"] = spoken


def put_whole(into: Object, field: str, value: int, said: str, book: Notebook) -> None:
    """A number, within the bounds of its field; `said` is how the other system calls it."""
    bounds = EXTENSION.fields[field].type
    assert isinstance(bounds, Whole)
    taken = min(max(value, bounds.low), bounds.high)
    if taken != value:
        book.add(
            f"{said} {value}", f"{field} became {taken}: it must be {bounds.low} to {bounds.high}"
        )
    if taken != EXTENSION.defaults[field]:
        into[field] = taken
