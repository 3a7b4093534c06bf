"""News of what two operators did without knowing of one another: numbers claimed twice, and fields edited at once.

Both are decided by rule, alike everywhere, when the edits meet; an operator must hear of it, since one of two wishes fell.
"""

from pbxfed_ari.core.book import LIFE
from pbxfed_ari.core.directory import Conflicted, Directory
from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.objects import extension as extensions
from pbxfed_ari.core.objects.extension import Phone
from pbxfed_ari.core.stamp import utc, wall_ms_of


class Contests:
    """The numbers that several objects claim, as last told."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._told: dict[Extension, list[Phone]] = {}

    def everything(self) -> list[Note]:
        """What is contested at the start."""
        numbers = dict.fromkeys(phone.number for phone in self._directory.contested())
        return [note for number in numbers for note in self.look(number)]

    def look(self, number: Extension) -> list[Note]:
        """What is new about who claims a number: contests that arise, and one that ends."""
        claims = self._directory.claims(number)
        told = self._told.pop(number, [])
        if len(claims) > 1:
            self._told[number] = claims
        elif not told:
            return []
        holder, known = claims[0] if claims else None, {phone.id for phone in told[1:]}
        same = bool(told) and holder is not None and holder.id == told[0].id
        fresh = [phone for phone in claims[1:] if not same or phone.id not in known]
        notes = [_contested(holder, loser) for loser in fresh if holder is not None]
        return notes if len(claims) > 1 else [_settled(number, holder)]


def conflict(change: Conflicted) -> Note:
    """Which of two edits stands, and which fell."""
    stands, fell, group = change.stands, change.fell, change.group
    life = group == LIFE
    fields = (
        ("extension", change.number),
        ("field", extensions.GROUPS[group] if group < len(extensions.GROUPS) else group),
        ("winner", stands.writer),
        ("won", "edited" if life else extensions.shown(group, stands.value)),
        ("won_at", utc(wall_ms_of(stands.stamp))),
        ("loser", fell.writer),
        ("lost", extensions.shown(group, fell.value)),
        ("lost_at", utc(wall_ms_of(fell.stamp))),
        (
            "remedy",
            f"`pbxfed ext {'rm' if life else 'set'} {change.number}` again, if the other shall stand",
        ),
    )
    return Note("conflict", fields, "warning")


def _contested(holder: Phone, loser: Phone) -> Note:
    number = holder.number
    fields = (
        ("extension", number),
        ("winner", holder.name),
        ("winner_id", holder.id.hex()),
        ("winner_by", holder.claimed[1]),
        ("loser", loser.name),
        ("loser_id", loser.id.hex()),
        ("loser_by", loser.claimed[1]),
        (
            "remedy",
            f"`pbxfed ext rm {number} --id ID` removes one; the older claim stands until then",
        ),
    )
    return Note("number contested", fields, "warning")


def _settled(number: Extension, holder: Phone | None) -> Note:
    held = (("holder", holder.name), ("holder_id", holder.id.hex())) if holder else ()
    return Note("number settled", (("extension", number), *held))
