"""News of what two operators did without knowing of one another: keys claimed twice, and fields edited at once.

Both are decided by rule, alike everywhere, when the edits meet; an operator must hear of it, since one of two wishes fell.
"""

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.records.book import LIFE
from pbxfed_ari.core.records.catalogue import NUMBER
from pbxfed_ari.core.records.changes import Conflicted
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.objects import kind_of
from pbxfed_ari.core.records.objects.kind import Item, Kind
from pbxfed_ari.core.stamp import utc, wall_ms_of


class Contests:
    """The keys that several objects claim, as last told."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._told: dict[tuple[str, str], list[Item]] = {}

    def everything(self) -> list[Note]:
        """What is contested at the start."""
        keys = dict.fromkeys((_kind(i).space, i.key) for i in self._directory.catalogue.contested())
        return [note for space, key in keys for note in self.look(space, key)]

    def look(self, space: str, key: str) -> list[Note]:
        """What is new about who claims a key: contests that arise, and one that ends."""
        claims = self._directory.catalogue.claims(key, space)
        told = self._told.pop((space, key), [])
        if len(claims) > 1:
            self._told[space, key] = claims
        elif not told:
            return []
        holder, known = claims[0] if claims else None, {item.id for item in told[1:]}
        same = bool(told) and holder is not None and holder.id == told[0].id
        fresh = [item for item in claims[1:] if not same or item.id not in known]
        notes = [_contested(holder, loser) for loser in fresh if holder is not None]
        return notes if len(claims) > 1 else [_settled(space, key, holder)]


def conflict(change: Conflicted) -> Note:
    """Which of two edits stands, and which fell."""
    stands, fell, group, item = change.stands, change.fell, change.group, change.item
    kind = _kind(item)
    life = group == LIFE
    fields = (
        (kind.name, item.key),
        ("field", kind.field_name(group)),
        ("winner", stands.writer),
        ("won", "edited" if life else kind.said(group, stands.value)),
        ("won_at", utc(wall_ms_of(stands.stamp))),
        ("loser", fell.writer),
        ("lost", kind.said(group, fell.value)),
        ("lost_at", utc(wall_ms_of(fell.stamp))),
        (
            "remedy",
            f"`pbxfed {kind.command} {'rm' if life else 'set'} {item.key}` again, if the other shall stand",
        ),
    )
    return Note("conflict", fields, "warning")


def _contested(holder: Item, loser: Item) -> Note:
    fields = (
        (_word(_kind(holder).space), holder.key),
        ("winner", holder.called),
        ("winner_id", holder.id.hex()),
        ("winner_by", holder.claimed[1]),
        ("loser", loser.called),
        ("loser_id", loser.id.hex()),
        ("loser_by", loser.claimed[1]),
        (
            "remedy",
            f"`pbxfed {_kind(loser).command} rm {loser.key} --id {loser.id.hex()}` removes the younger one, "
            "which is disabled until then",
        ),
    )
    return Note("number contested", fields, "warning")


def _settled(space: str, key: str, holder: Item | None) -> Note:
    held = (("holder", holder.called), ("holder_id", holder.id.hex())) if holder else ()
    return Note("number settled", ((_word(space), key), *held))


def _kind(item: Item) -> Kind:
    kind = kind_of(item.id)
    assert kind is not None, "every object is of a kind"
    return kind


def _word(space: str) -> str:
    return "extension" if space == NUMBER else space
