"""Edits: what an operator's request becomes. Each answers with the records that change something, or refuses.

Nothing is published here; the federation does that, and answers the editor when the records are on the disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pbxfed_ari.core.directory import Directory
from pbxfed_ari.core.events import Edited
from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.core.names import Extension, ObjectId
from pbxfed_ari.core.objects import extension as extensions
from pbxfed_ari.core.stamp import HybridClock
from pbxfed_ari.errors import Refused


@dataclass(frozen=True, slots=True)
class Edit:
    """What a request comes to. `body` is the answer, if it is not what stands afterwards."""

    records: tuple[BookSet, ...]
    what: str  # "added", "changed" or "removed"
    status: int  # as in HTTP
    body: dict[str, object] | None = None


def edit(event: Edited, directory: Directory, clock: HybridClock, *, realm: str) -> Edit:
    """The records of an edit.

    Raises: Refused.
    """
    if event.kind != extensions.KIND:
        raise Refused(f"no such kind of object: {event.kind!r}", status=404)
    number = Extension(event.key)
    phone = directory.phone(number)
    if phone is None and (event.update or event.fields is None):
        raise Refused(f"extension {event.key}: not known in the federation", status=404)
    if phone is not None and event.create:
        raise Refused(f"extension {number}: known here already, as {phone.name!r}", status=409)
    if event.fields is None:
        gone = _removal(number, directory, clock, event.wall_ms)
        return Edit(gone, "removed", 200, {"extension": number, "removed": True})
    new = phone is None
    groups = extensions.groups_of(event.key, event.fields, realm=realm, new=new)
    object_id = phone.id if phone else ObjectId(extensions.KIND_BYTE + event.fresh_id)
    made = records(object_id, groups, directory, clock, event.wall_ms)
    return Edit(made, "added", 201) if new else Edit(made, "changed", 200)


def records(
    object_id: bytes,
    groups: Mapping[int, bytes],
    directory: Directory,
    clock: HybridClock,
    wall_ms: int,
) -> tuple[BookSet, ...]:
    """The groups that change; one stamp for all that were edited together."""
    held = directory.book.groups(object_id)
    changed = {g: value for g, value in sorted(groups.items()) if held.get(g) != value}
    over = max((directory.book.stamp(object_id, group)[0] for group in changed), default=0)
    stamp = clock.next(wall_ms, over=over) if changed else 0
    return tuple(BookSet(object_id, group, stamp, "", value) for group, value in changed.items())


def _removal(
    number: Extension, directory: Directory, clock: HybridClock, wall_ms: int
) -> tuple[BookSet, ...]:
    """A delete of every object that claims the number: a contested loser must not rise in its place."""
    gone: list[BookSet] = []
    for object_id in directory.claims(number):
        seen = extensions.seen(directory.book.stamps(object_id))
        gone += records(object_id, {extensions.LIFE: seen}, directory, clock, wall_ms)
    return tuple(gone)
