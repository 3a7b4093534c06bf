"""What was written, kept in the state folder before any of it is: so that all of it can be taken back, come what may.

A file of ours is removed if nobody has changed it since; from a file of the operator's our lines are cut out, and what is left
is byte for byte what it was, or what he has made of it since. Only hashes of the operator's files are kept, never their texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from pbxfed_ari.errors import Refused
from pbxfed_ari.installing.blocks import without_block

NAME = "init.json"
SURROGATES = "surrogateescape"  # any bytes are a text, and come back


class Entry(msgspec.Struct, frozen=True):
    """One file."""

    path: str
    made: bool  # there was none before
    before: str  # SHA-256 of what it was
    after: str  # of what we wrote; empty: not known yet


class Manifest(msgspec.Struct):
    """All files, and what else was made."""

    release: str
    etc: str
    entries: list[Entry]
    folders: list[str] = []  # that we made
    objects: str = ""
    user: str = ""  # that we made
    group: str = ""  # that the daemon's user was put into
    daemon: str = ""  # his name
    accepted: list[str] = []  # conflicts that the operator has overridden


@dataclass(frozen=True, slots=True)
class Undo:
    """What becomes of one file. `text` None: it is removed."""

    path: str
    text: str | None
    note: str = ""  # what the operator should know


def digest(text: str) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    return sha256(text.encode(errors=SURROGATES)).hexdigest()


def write(manifest: Manifest) -> str:
    """The file's text."""
    return msgspec.json.format(msgspec.json.encode(manifest)).decode() + "\n"


def read(text: str, path: str) -> Manifest:
    """The manifest in a file.

    Raises: Refused.
    """
    try:
        return msgspec.json.decode(text.encode(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise Refused(
            f"{path}: {error}: what was installed is not known; take out by hand what stands between the marks "
            "of `pbxfed init` in Asterisk's files"
        ) from None


def joined(old: Manifest | None, new: Manifest) -> Manifest:
    """One manifest for what was written before and what is written now: what a file was before the first of it counts."""
    if old is None:
        return new
    first = {entry.path: entry for entry in old.entries}
    now = {entry.path: entry for entry in new.entries}
    entries = [
        msgspec.structs.replace(now[path], made=first[path].made, before=first[path].before)
        if path in first and path in now
        else now.get(path) or first[path]
        for path in {**first, **now}
    ]
    return Manifest(
        new.release,
        new.etc,
        entries,
        list(dict.fromkeys([*old.folders, *new.folders])),
        new.objects,
        new.user or old.user,
        new.group or old.group,
        new.daemon,
        sorted({*old.accepted, *new.accepted}),
    )


def undo(manifest: Manifest, texts: Mapping[str, str]) -> list[Undo]:
    """How to take it back, given what the files say now; a file that is not in `texts` is not there."""
    return [found for entry in manifest.entries if (found := _undo(entry, texts.get(entry.path)))]


def _undo(entry: Entry, text: str | None) -> Undo | None:
    if text is None:
        return None
    rest = without_block(text)
    if rest == text:  # no lines of ours: all of it was made by us, or it is the operator's
        if not entry.made:
            return None
        if entry.after in ("", digest(text)):
            return Undo(entry.path, None)
        return Undo(entry.path, text, "changed since it was written: left as it is")
    if entry.made and not rest:
        return Undo(entry.path, None)
    if digest(rest.removesuffix("\n")) == entry.before:  # a newline that was missing
        return Undo(entry.path, rest.removesuffix("\n"))
    same = digest(rest) == entry.before
    return Undo(
        entry.path, rest, "" if same else "changed since by hand: only our lines are taken out"
    )
