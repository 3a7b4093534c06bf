"""Edits: what an operator's request becomes. Each answers with the records that change something, or refuses.

Nothing is published here; the federation does that, and answers the editor when the records are on the disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pbxfed_ari.core.book import LIFE, Entry, seen
from pbxfed_ari.core.directory import Directory
from pbxfed_ari.core.events import Edited
from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.core.names import Extension, NodeName, ObjectId
from pbxfed_ari.core.objects import extension as extensions
from pbxfed_ari.core.objects.extension import Phone
from pbxfed_ari.core.stamp import HybridClock
from pbxfed_ari.errors import Refused


@dataclass(frozen=True, slots=True)
class Edit:
    """What a request comes to. `body` is the answer, if it is not what stands afterwards."""

    records: tuple[BookSet, ...]
    what: str  # "added", "changed" or "removed"
    status: int  # as in HTTP
    object_id: bytes
    body: dict[str, object] | None = None


def edit(
    event: Edited, me: NodeName, directory: Directory, clock: HybridClock, *, realm: str
) -> Edit:
    """The records of an edit.

    Raises: Refused.
    """
    if event.kind != extensions.KIND:
        raise Refused(f"no such kind of object: {event.kind!r}", status=404)
    number = Extension(event.key)
    phone = _meant(number, event.object_id, directory)
    if phone is None and (event.update or event.fields is None):
        raise Refused(f"extension {event.key}: not known in the federation", status=404)
    if phone is not None and event.create:
        raise Refused(f"extension {number}: known here already, as {phone.name!r}", status=409)
    if event.fields is None:
        doomed = [phone] if phone and event.object_id else directory.claims(number)
        gone = _removal(doomed, me, directory, clock, event.wall_ms)
        return Edit(gone, "removed", 200, event.object_id, {"extension": number, "removed": True})
    new = phone is None
    groups = extensions.groups_of(event.key, event.fields, realm=realm, new=new)
    object_id = phone.id if phone else ObjectId(extensions.KIND_BYTE + event.fresh_id)
    made = records(object_id, groups, me, directory, clock, event.wall_ms)
    return Edit(made, *(("added", 201) if new else ("changed", 200)), object_id)


def records(
    object_id: bytes,
    groups: Mapping[int, bytes],
    me: NodeName,
    directory: Directory,
    clock: HybridClock,
    wall_ms: int,
) -> tuple[BookSet, ...]:
    """The groups that change; one stamp for all that were edited together."""
    held = directory.book.groups(object_id)
    changed = {g: value for g, value in sorted(groups.items()) if held.get(g) != value}
    newest = max((directory.book.stamp(object_id, group)[0] for group in changed), default=0)
    stamp = clock.next(wall_ms, over=newest) if changed else 0
    seen = {group: _seen(directory.book.get((object_id, group)), me) for group in changed}
    return tuple(BookSet(object_id, g, stamp, "", value, seen[g]) for g, value in changed.items())


def _seen(held: Entry | None, me: NodeName) -> int:
    """The newest stamp of another writer that an edit of ours replaces, itself or through our own earlier ones."""
    return 0 if held is None else held.over if held.writer == me else held.stamp


def _meant(number: Extension, object_id: bytes, directory: Directory) -> Phone | None:
    """The extension that an edit is about: the holder of the number, or the one of its claims that is named."""
    if not object_id:
        return directory.phone(number)
    claims = directory.claims(number)
    for phone in claims:
        if phone.id == object_id:
            return phone
    known = ", ".join(phone.id.hex() for phone in claims) or "nobody"
    raise Refused(
        f"extension {number}: no object {object_id.hex()} claims it, but {known}", status=404
    )


def _removal(
    doomed: list[Phone], me: NodeName, directory: Directory, clock: HybridClock, wall_ms: int
) -> tuple[BookSet, ...]:
    """A delete; without an id of every object that claims the number: a contested loser must not rise in its place."""
    gone: list[BookSet] = []
    for phone in doomed:
        known = seen(directory.book.stamps(phone.id))
        gone += records(phone.id, {LIFE: known}, me, directory, clock, wall_ms)
    return tuple(gone)
