r"""The syntax of Asterisk's configuration files, as `main/config.c` reads it (22).

    [name]            a section              key = value   key => value   an option; a later one stands beside it
    [name](!)         a template: no section of its own, but others may inherit from it
    [name](a,b)       begins with all that a and b hold by then
    [name](+)         goes on with the section of that name; (+type=aor) with the one of that type
    key += value      appended to the last option of that name
    ; comment         ;-- comment, over lines if need be, nested too --;        \; a semicolon
    #include "file"   the file's lines here, or of all as "pjsip.d/*.conf"; #tryinclude: if there is any

Asterisk passes over what it cannot use (`#exec` by default, a line without `=`) with a warning, and so does this, in `skipped`;
where Asterisk refuses the file, so does this. No message shows a line: any may hold a password.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pbxfed_ari.errors import Refused

MAX_DEPTH = 10  # files that include one another, as in Asterisk
MAX_FILES = 1_000
MAX_OPTIONS = 5_000_000  # with all that is inherited

Include = Callable[
    [str], Sequence[tuple[str, str]]
]  # a name or pattern → (file, text) of each; empty if there is none

_BLANK = "".join(map(chr, range(33)))  # what ast_strip takes away
_PLAIN = re.compile(
    r"\^?([A-Za-z0-9_-]+)\$?"
)  # of the regular expressions in (+…), those that are in use


@dataclass(frozen=True, slots=True)
class Option:
    """One line of a section. Its value may be a secret."""

    key: str
    value: str = field(repr=False)
    where: str = field(default="", compare=False)  # file:line


@dataclass(slots=True)
class Section:
    """A section with all that it inherited, in order."""

    name: str
    file: str
    line: int
    template: bool = False
    options: list[Option] = field(default_factory=list)

    @property
    def where(self) -> str:
        """Where it begins."""
        return f"{self.file}:{self.line}"

    def all(self, *keys: str) -> list[Option]:
        """The options of these names, in order; their case does not matter."""
        return [option for option in self.options if option.key.lower() in keys]

    def last(self, key: str, default: str = "") -> str:
        """The value that counts where only one can."""
        found = self.all(key)
        return found[-1].value if found else default


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that Asterisk passes over with a warning."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file and all that it includes."""

    sections: list[Section]  # without templates
    skipped: list[Skipped]


def parse(text: str, *, file: str = "pjsip.conf", include: Include | None = None) -> Parsed:
    """The sections of a file. Without `include`, a file that includes another is refused.

    Raises: Refused, naming file, line and rule.
    """
    parser = _Parser(include)
    parser.read(file, text, 1)
    return Parsed([one for one in parser.sections if not one.template], parser.skipped)


class _Parser:
    def __init__(self, include: Include | None) -> None:
        self.sections: list[Section] = []
        self.skipped: list[Skipped] = []
        self._named: dict[str, list[Section]] = {}
        self._include = include
        self._current: Section | None = None  # where the first lines of an included file go
        self._files = self._options = 0

    def read(self, file: str, text: str, depth: int) -> None:
        self._files += 1
        section, nested, opened = self._current, 0, 0
        for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            line, before = raw, nested
            line, nested = _uncommented(line, nested)
            opened = number if nested and not before else opened
            line = line.strip(_BLANK)
            if line.startswith("["):
                section = self._current = self._header(line, file, number)
            elif line.startswith("#"):
                self._directive(line[1:], file, number, depth)
            elif line:
                if section is None:
                    raise _refused(file, number, "an option before any [section]")
                self._option(section, line, file, number)
        if nested:
            self._skip(
                file, opened, "a comment ;-- that never ends with --;: all after it is left out"
            )

    def _header(self, line: str, file: str, number: int) -> Section:
        name, closed, rest = line[1:].partition("]")
        if not closed:
            raise _refused(file, number, "a section without its closing ]")
        section, appending = Section(name, file, number), False
        if rest.startswith("("):
            words, closed, _ = rest[1:].partition(")")
            if not closed:
                raise _refused(
                    file, number, f"section [{name}] without the closing ) of its templates"
                )
            for word in (each.strip(_BLANK) for each in words.split(",")):
                if word == "!":
                    section.template = True
                elif word.startswith("+"):
                    section, appending = self._continued(section, word[1:], number), True
                else:
                    self._inherit(section, word, file, number)
        if not appending:
            self.sections.append(section)
            self._named.setdefault(name.lower(), []).append(section)
        return section

    def _continued(self, new: Section, wanted: str, number: int) -> Section:
        conditions = [_condition(text, new, number) for text in wanted.split("&") if text]
        for old in self._named.get(new.name.lower(), ()):
            if not old.template:
                held = {(option.key, option.value) for option in old.options}
                if held.issuperset(conditions):
                    old.options += new.options
                    old.template |= new.template
                    return old
        raise _refused(new.file, number, f"[{new.name}](+): there is no such section above it")

    def _inherit(self, section: Section, name: str, file: str, number: int) -> None:
        if name.lower() not in self._named:
            raise _refused(file, number, f"[{section.name}]({name}): no section {name!r} above it")
        base = self._named[name.lower()][0]
        self._grow(len(base.options), file, number)
        section.options += base.options

    def _option(self, section: Section, line: str, file: str, number: int) -> None:
        escaped = line.startswith("\\")
        at = line.find("=", 2 if escaped else 0)
        if at < 0:
            return self._skip(file, number, "a line without =")
        key, value = line[escaped:at], line[at + 1 :]
        appended = key.endswith("+")
        key = (key[:-1] if appended else key).strip(_BLANK)
        if not key:
            return self._skip(file, number, "a line without a name before =")
        self._grow(1, file, number)
        if appended:
            for index in range(len(section.options) - 1, -1, -1):
                if section.options[index].key == key:
                    whole = (section.options[index].value + value).strip(_BLANK)
                    section.options[index] = Option(key, whole, f"{file}:{number}")
                    return None
        elif value.startswith(">"):
            value = value[1:]
        section.options.append(Option(key, value.strip(_BLANK), f"{file}:{number}"))
        return None

    def _directive(self, line: str, file: str, number: int, depth: int) -> None:
        word, *rest = line.split(None, 1)[:2] or [""]
        name = rest[0].strip(_BLANK) if rest else ""
        if name[:1] in ('"', "<") and name[-1:] == {'"': '"', "<": ">"}[name[0]]:
            name = name[1:-1]
        if word.lower() not in ("include", "tryinclude"):
            return self._skip(file, number, f"#{word} is not followed: include what it yields")
        if not name:
            return self._skip(file, number, f"#{word} without a file")
        if self._include is None:
            raise _refused(
                file, number, f"#{word} {name!r}: one file only is read here; put it in its place"
            )
        found = self._include(name)
        if not found and word.lower() == "include":
            raise _refused(file, number, f"#include {name!r}: there is no such file")
        for included, text in found:
            if depth >= MAX_DEPTH or self._files >= MAX_FILES:
                raise _refused(
                    file,
                    number,
                    f"#include {name!r}: files include one another more than {MAX_DEPTH} deep, or more than {MAX_FILES} times",
                )
            self.read(included, text, depth + 1)
        return None

    def _grow(self, by: int, file: str, number: int) -> None:
        self._options += by
        if self._options > MAX_OPTIONS:
            raise _refused(
                file, number, f"more than {MAX_OPTIONS} options: templates inherit too much"
            )

    def _skip(self, file: str, number: int, why: str) -> None:
        self.skipped.append(Skipped(f"{file}:{number}", why))


def _uncommented(line: str, nested: int) -> tuple[str, int]:
    """What a line says outside of comments, and in how many block comments its end stands."""
    said, at = [], 0
    while (found := line.find(";", at)) >= 0:
        if found > at and line[found - 1] == "\\":
            if not nested:
                said.append(line[at : found - 1] + ";")
            at = found + 1
        elif line.startswith("--", found + 1) and line[found + 3 : found + 4] != "-":
            if not nested:
                said.append(line[at:found])
            nested, at = nested + 1, found + 3
        elif not nested:
            said.append(line[at:found])
            return "".join(said), 0
        else:
            nested -= line.endswith("--", at, found)
            at = found + 1
    if not nested:
        said.append(line[at:])
    return "".join(said), nested


def _condition(text: str, section: Section, number: int) -> tuple[str, str]:
    key, _, value = text.partition("=")
    plain = [_PLAIN.fullmatch(part.strip(_BLANK)) for part in (key, value)]
    if plain[0] is None or plain[1] is None:
        raise _refused(
            section.file,
            number,
            f"[{section.name}](+{text}): only (+key=word) is understood; write the word out",
        )
    return plain[0][1], plain[1][1]


def _refused(file: str, line: int, what: str) -> Refused:
    return Refused(f"{file}: line {line}: {what}")
