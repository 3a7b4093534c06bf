"""One file of ours, as it fits beside an operator's: a section that he has goes on by `(+)`, what already holds is left out.

Where his lines and ours cannot both hold there is a conflict, which names his line. No message shows an option that could be a
secret: only those that ours name are compared.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pbxfed_ari.importing.asterisk_conf import Option, Parsed, Section, parse
from pbxfed_ari.installing.rules import rule


@dataclass(frozen=True, slots=True)
class Conflict:
    """A line of the operator's that stands in the way."""

    where: str  # file:line
    thing: str  # as `http.conf [general] enabled`
    value: str  # what he has
    wanted: str  # what would be right; empty: that it were not there
    why: str
    override: bool = False  # our line can stand below his, if he agrees

    def __str__(self) -> str:
        wanted = f"; must be {self.wanted}" if self.wanted else ""
        return f"{self.where}: {self.thing} = {self.value}{wanted}: {self.why}"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What our file says; empty if all of it holds already."""

    text: str
    conflicts: tuple[Conflict, ...] = ()


def fit(
    file: str,
    template: str,
    his: Iterable[Section],
    *,
    accepted: Iterable[str] = (),
    without: Iterable[tuple[str, str]] = (),
) -> Fitted:
    """Our file beside his sections. `accepted` are the things of conflicts that he has overridden, `without` (section, key) of
    what is left out though he has not set it.
    """
    plain = template.replace("](+)", "]")  # of logger.conf, which says that it goes below his
    ours = parse(plain, file=file, include=lambda name: [("", "")])
    lines = template.split("\n")
    gone: set[int] = set()
    conflicts: list[Conflict] = []
    alike = list(his)
    for section in ours.sections:
        old = _counterpart(file, section, alike)
        span = range(section.line, _end(section, ours, len(lines)))
        dropped, against = _compare(file, section, old, set(accepted), set(without))
        included = any(lines[number].startswith("#") for number in span)
        if old is not None and included and old.name.startswith("pbxfed"):
            against.append(_taken(file, old))
        conflicts += against
        gone |= {_line(option) for option in section.options if option.key in dropped}
        if not any(
            lines[n].strip(" \t\r") and not _comment(lines[n]) for n in span if n not in gone
        ):
            gone.add(section.line - 1)
        elif old is not None:
            lines[section.line - 1] = f"[{old.name}](+)"
    kept = [line for number, line in enumerate(lines) if number not in gone]
    said = any(line.startswith(("[", "#")) for line in kept)
    return Fitted("\n".join(kept) if said else "", tuple(conflicts))


def _compare(
    file: str,
    section: Section,
    old: Section | None,
    accepted: set[str],
    without: set[tuple[str, str]],
) -> tuple[set[str], list[Conflict]]:
    """The keys that are left out of our section, and the conflicts."""
    dropped: set[str] = {key for name, key in without if name == section.name}
    conflicts: list[Conflict] = []
    for key in dict.fromkeys(option.key for option in section.options):
        found = old.all(key.lower()) if old is not None else []
        if old is None or (not found and rule(file, section.name, key).kind != "alone"):
            continue
        one = _conflict(file, section, key, old, found)
        if one is None:
            dropped.add(key)
        elif not (one.override and one.thing in accepted):
            dropped.add(key)
            conflicts.append(one)
    return dropped, conflicts


def _conflict(
    file: str, section: Section, key: str, old: Section, found: list[Option]
) -> Conflict | None:
    """Why his options of this key and ours cannot both hold; None if his will do."""
    ours, theirs = [o.value for o in section.all(key.lower())], [o.value for o in found]
    known = rule(file, section.name, key)
    if known.kind != "same" or ours == theirs:
        return None
    if known.good is not None and known.good(theirs[-1]):
        return None
    return Conflict(
        found[-1].where,
        f"{file} [{old.name}] {key}",
        theirs[-1],
        ours[-1] if len(ours) == 1 else "",
        known.why,
        known.override,
    )


def _counterpart(file: str, section: Section, his: list[Section]) -> Section | None:
    """His section that ours goes on with: of that name, or where PJSIP looks for a type, of that type."""
    if file == "pjsip.conf":
        kind = section.last("type")
        return next((s for s in his if s.last("type") == kind), None) if kind == "global" else None
    return next((s for s in his if s.name.lower() == section.name.lower()), None)


def _taken(file: str, old: Section) -> Conflict:
    why = "this name is pbxfed's; give yours another one, or take it out"
    return Conflict(old.where, f"{file} [{old.name}]", "a section of yours", "", why)


def _end(section: Section, parsed: Parsed, last: int) -> int:
    return min((s.line - 1 for s in parsed.sections if s.line > section.line), default=last)


def _line(option: Option) -> int:
    return int(option.where.rpartition(":")[2]) - 1


def _comment(line: str) -> bool:
    return line.lstrip().startswith(";")
