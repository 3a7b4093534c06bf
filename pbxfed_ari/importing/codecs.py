"""Asterisk's `allow` and `disallow`, applied in the order in which they stand (`ast_format_cap_update_by_allow_disallow`).

A list takes one codec after the other: `!x` does the opposite of the line's verb, `all` is every codec, `ulaw:20` asks for
packets of 20 ms. Who was allowed first is preferred. FreePBX writes `&` where Asterisk writes a comma.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pbxfed_ari.core.records.objects.extension import CODECS
from pbxfed_ari.importing.report import Notebook, Object

_SEPARATORS = re.compile(r"[,|&]")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What these lines leave allowed."""

    codecs: list[str]  # that an extension takes, best first
    others: list[str]  # that it does not
    everything: bool  # `all` was allowed


def choose(verbs: Iterable[tuple[str, str]]) -> Chosen:
    """The codecs that (`allow` or `disallow`, list) leave, one line after the other."""
    allowed: dict[str, None] = {}
    everything = False
    for verb, text in verbs:
        for word in _SEPARATORS.split(text):
            name, allow = word.strip(), verb == "allow"
            if name.startswith("!"):
                name, allow = name[1:].strip(), not allow
            name = name.partition(":")[0].lower()
            if name == "all":
                everything = allow
                if not allow:
                    allowed.clear()
            elif name and allow:
                allowed.setdefault(name)
            else:
                allowed.pop(name, None)
    return Chosen(
        [name for name in allowed if name in CODECS],
        [name for name in allowed if name not in CODECS],
        everything,
    )


def put_codecs(into: Object, verbs: Iterable[tuple[str, str]], book: Notebook) -> None:
    """The codecs of an extension; none stands for the node's default."""
    chosen = choose(verbs)
    if chosen.everything:
        book.add("allow=all", "the node's default codecs are used: name those that are wanted")
        return
    for name in chosen.others:
        book.add(f"codec {name!r}", f"an extension takes {', '.join(CODECS)}")
    if chosen.codecs:
        into["codecs"] = chosen.codecs
