"""Imports: many edits, all of them or none, in slices that each take a few milliseconds.

First all are planned, and nothing is changed by that; a refusal ends it. Then what was planned is published, a slice at a
time, so that calls and heartbeats are not kept waiting and no receiver is flooded. An edit here of an object that is planned
is refused until the import has ended. What other nodes edit meanwhile meets it by stamp, and is told if it is a conflict. A
daemon that dies amid the publishing has published a part; the same import again does the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from pbxfed_ari.core.effects import Effect, Note, Reply
from pbxfed_ari.core.events import Edited, Imported
from pbxfed_ari.core.federation.editing import Edit, Editor
from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.errors import Refused

PLANNED = 200  # edits planned in one go
PUBLISHED = 50  # edits published in one go; each costs a few times what planning it did
COUNTED = ("added", "changed", "removed", "unchanged")
BUSY = "another import is going on here; repeat this one in a moment"
PLANNED_HERE = "an import that is going on here is about to change it; repeat this in a moment"
PAUSE = 0.004  # seconds between two slices, for whatever else is to be done
Publish = Callable[[Sequence[BookSet]], list[Effect]]


class Imports:
    """The import that is going on, if one is."""

    def __init__(self, publish: Publish) -> None:
        """`publish` puts records into our stream."""
        self._publish = publish
        self._slices: Iterator[list[Effect]] | None = None
        self._editor: Editor | None = None
        self._due = float("inf")

    def next_deadline(self) -> float:
        """When the next slice is due."""
        return self._due

    def begin(self, event: Imported, editor: Editor, now: float) -> list[Effect]:
        """Start an import, and do its first slice. One that is small enough is done at once."""
        if self._slices is not None:
            return [Reply(event.ticket, 503, error=BUSY)]
        slices = _slices(event, editor, self._publish)
        if len(event.edits) <= PUBLISHED:
            return [effect for effects in slices for effect in effects]
        self._slices, self._due, self._editor = slices, now, editor
        return self.tick(now)

    def has_planned(self, event: Edited) -> bool:
        """Is this import about to change the object that is edited? The edit would not see that, and be undone by it."""
        return self._editor is not None and self._editor.has_planned(event)

    def tick(self, now: float) -> list[Effect]:
        """The next slice, if it is due."""
        if self._slices is None or now < self._due:
            return []
        self._due = now + PAUSE
        effects = next(self._slices, None)  # None: it has raised, and is no more
        if effects is None or any(isinstance(e, Reply) for e in effects[-1:]):
            self._slices, self._editor, self._due = None, None, float("inf")
        return effects or []


def _slices(event: Imported, editor: Editor, publish: Publish) -> Iterator[list[Effect]]:
    """What is to be done, slice after slice; the Reply comes last."""
    done, shown, counts = list[Edit](), list[object](), dict.fromkeys(COUNTED, 0)
    try:
        for one in event.edits:
            with _located(one):
                done.append(editor.plan(one))
            if not len(done) % PLANNED:
                yield []
        for i, (one, edit) in enumerate(zip(event.edits, done, strict=True)):
            with _located(one):
                editor.complete([edit])
            counts[edit.what] += 1
            if edit.what != "unchanged":
                shown.append(edit.shown())
            if not i % PLANNED:
                yield []
    except Refused as refused:
        yield [Reply(event.ticket, refused.status, error=str(refused))]
        return
    changing = (edit for edit in done if edit.records and not event.dry_run)
    told = list[Note]()
    while many := list(islice(changing, PUBLISHED)):
        yield publish([record for edit in many for record in edit.records])
        told = [Note("objects imported", tuple(list(counts.items())[:3]))]
    yield [*told, Reply(event.ticket, 200, {**counts, "objects": shown})]


@contextmanager
def _located(edit: Edited) -> Iterator[None]:
    """A refusal says where in what was imported the edit stands."""
    try:
        yield
    except Refused as refused:
        if not edit.where:
            raise
        column = f", column {refused.field}" if refused.field else ""
        raise Refused(f"{edit.where}{column}: {refused}", status=refused.status) from None
