"""What the documentation tells people to type, so that it can be typed.

A block of shell (```sh) is typed as it stands. `pbxfed …` in the text is typed, too, unless it names a place to fill in
(capitals, …) or only a command. A comment before a block, `<!-- typed by tests/… -->`, says which test types it instead, for
what no lab node can do.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

CHECKOUT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?:<!-- typed by ([\w/.]+) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"`(pbxfed [^`]+)`")
_TO_FILL_IN = re.compile(r"\b[A-Z]{2,}\b|…|\[|\.\.\.")


@dataclass(frozen=True, slots=True)
class Typed:
    """Some commands, where they stand, and which test types them if not the general one."""

    page: str
    line: int
    text: str
    by: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """All that is written for users."""
    found = [CHECKOUT / "README.md", CHECKOUT / "dialplan" / "README.md"]
    docs = (CHECKOUT / "docs").rglob("*.md")
    return [*found, *sorted(p for p in docs if p.parent.name != "decisions")]


def blocks() -> Iterator[Typed]:
    """Each block of shell."""
    for page in pages():
        text = page.read_text()
        for found in _BLOCK.finditer(text):
            if found[2] == "sh":
                line = text.count("\n", 0, found.start()) + 1
                yield Typed(_name(page), line, found[3], found[1] or "")


def written(page: str, language: str) -> list[str]:
    """The blocks of a page that are no shell."""
    found = _BLOCK.finditer((CHECKOUT / page).read_text())
    return [block[3] for block in found if block[2] == language]


def inline() -> Iterator[Typed]:
    """Each whole command within a text."""
    for page in pages():
        text = _BLOCK.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())
        for found in _INLINE.finditer(text):
            command = " ".join(found[1].replace("\\|", "|").split())
            if not _TO_FILL_IN.search(command):
                yield Typed(_name(page), text.count("\n", 0, found.start()) + 1, command)


def words(command: str) -> list[str]:
    """The arguments of an inline command."""
    return shlex.split(command)[1:]


def _name(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def whole(command: str, main: click.Group) -> bool:
    """Can it be typed as it stands? A group, or a command that needs more, cannot.

    Raises: click.UsageError, if there is no such command or option.
    """
    found: click.Command = main
    context = click.Context(main, info_name="pbxfed")
    rest = words(command)
    while isinstance(found, click.Group):
        if not rest or rest[0] in ("--help", "-h"):
            return bool(rest)
        if found.invoke_without_command and rest[0].startswith("-"):
            break  # it does something itself, as `pbxfed calls --ended`
        name, *rest = rest
        deeper = found.get_command(context, name)
        if deeper is None:
            raise click.UsageError(f"{command}: there is no {name}")
        found, context = deeper, click.Context(deeper, context, info_name=name)
    try:
        found.make_context(found.name, list(rest), parent=context.parent, resilient_parsing=False)
    except click.MissingParameter:
        return False
    except (click.BadParameter, click.exceptions.Exit):  # a file that is not here; --help
        return True
    return True


def lines(text: str) -> list[str]:
    """The commands of a block, one each, without comments."""
    joined = text.replace("\\\n", " ")
    bare = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in bare if line]


def verb(line: str) -> str:
    """What a command does: the first word after the program, or after `-m lab`, that is no option."""
    return next(w for w in line.split()[1:] if not w.startswith("-") and w not in ("lab", "pbxfed"))


def links(text: str) -> list[str]:
    """Where a page leads within the project."""
    bare = _BLOCK.sub("", text)
    found = re.findall(r"\]\(([^)\s]+)\)", bare)
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def headings(text: str) -> set[str]:
    """The anchors of a page's headings."""
    found = re.findall(r"^#+ (.*)$", _BLOCK.sub("", text), re.M)
    return {re.sub(r"[^\w -]", "", one.lower()).strip().replace(" ", "-") for one in found}
