"""What an import yields: objects, trunks to be completed, and notes on what could not be carried over.

    objects  [{"extension": "1001", "name": "Ann Lee", "secret": "…", "devices": 2}, …]   what differs from the default
    trunks   [{"trunk": "provider", "technology": "pjsip", "endpoint": "provider"}, …]    site, nodes, patterns are wanting
    notes    [Note("pjsip.conf:12", "extension 1001", "option dtmf_mode", "an extension has no such field: …"), …]

Objects may hold secrets: neither they nor any value that might be one stand in a note or in a repr.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

Object = dict[str, object]

NAMED = 5  # items that one line names; the others are counted


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that is not as it was."""

    where: str  # file and line, as "pjsip.conf:12"
    item: str  # as "extension 1001"; empty if it is about the whole
    what: str  # what could not be carried over
    remedy: str  # why, and what to do about it

    def shown(self) -> dict[str, str]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Imported:
    """All that one file became."""

    objects: list[Object] = field(repr=False)
    notes: list[Note]
    trunks: list[Object] = field(default_factory=list)

    def without_secret(self) -> list[str]:
        """The extensions for which a secret must be made."""
        return [
            str(one["extension"])
            for one in self.objects
            if "extension" in one and not {"secret", "ha1"} & one.keys()
        ]


class Notebook:
    """Notes on one item, taken while it is read."""

    def __init__(self, where: str, item: str) -> None:
        self.where, self.item = where, item
        self.notes: list[Note] = []

    def add(self, what: str, remedy: str) -> None:
        """Note it."""
        self.notes.append(Note(self.where, self.item, what, remedy))


def lines(notes: Iterable[Note]) -> list[str]:
    """The report for people: what befell many items alike is one line, in the order in which it was first met."""
    alike: dict[tuple[str, str], list[Note]] = {}
    for note in notes:
        alike.setdefault((note.what, note.remedy), []).append(note)
    return [_line(what, remedy, group) for (what, remedy), group in alike.items()]


def _line(what: str, remedy: str, group: list[Note]) -> str:
    items = list(dict.fromkeys(note.item for note in group if note.item))
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    named = f": {', '.join(items[:NAMED])}{more}" if items else ""
    where = f"{group[0].where}{named}".removeprefix(": ")
    return f"{where}: {what}: {remedy}".removeprefix(": ")
