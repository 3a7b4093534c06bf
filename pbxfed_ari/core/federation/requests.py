"""Requests: what an operator, a program or an invited node asks of the federation. Each is answered by a Reply, in the end."""

from pbxfed_ari.core.effects import Effect, Note, Reply
from pbxfed_ari.core.events import Admit, Edited, Imported, Rotate
from pbxfed_ari.core.federation import editing, vault
from pbxfed_ari.core.federation.gate import Gate
from pbxfed_ari.core.federation.importing import PLANNED_HERE, Imports
from pbxfed_ari.core.federation.ourselves import Ourselves
from pbxfed_ari.core.federation.outlook import Outlook
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.membership.watch import Watch
from pbxfed_ari.core.replication.ledger import Ledger
from pbxfed_ari.core.stamp import HybridClock
from pbxfed_ari.errors import Refused

Request = Edited | Imported | Rotate | Admit


class Requests:
    """Takes requests: plans what they mean, stamps and publishes it, or refuses."""

    def __init__(
        self,
        ourselves: Ourselves,
        view: Outlook,
        ledger: Ledger,
        members: Members,
        watch: Watch,
        gate: Gate,
    ) -> None:
        self.imports = Imports(lambda records: ledger.publish(records, durable=True))
        self._me, self._directory = view.me, ledger.directory
        self._ourselves, self._view, self._ledger = ourselves, view, ledger
        self._members, self._watch, self._gate = members, watch, gate
        self._clock = HybridClock()

    def start(self) -> None:
        """Stamps begin above all that stand."""
        self._clock.last = max([self._clock.last, *self._directory.stamps()])

    def handle(self, event: Request, now: float) -> list[Effect]:
        """What is to be done for a request."""
        match event:
            case Edited():
                return self._edited(event, now)
            case Imported():
                return self._imported(event, now)
            case Rotate():
                return self._rotate(event, now)
            case Admit():
                return self._admit(event)

    def _edited(self, event: Edited, now: float) -> list[Effect]:
        """Publish an edit: on the disk before anybody hears of it, and the editor last."""
        if self.imports.has_planned(event):
            said = f"{event.kind} {event.key}: {PLANNED_HERE}"
            return [Reply(event.ticket, 503, error=said)]
        off = self._clock_off(event.wall_ms, now)
        if off:
            return [Reply(event.ticket, 503, error=f"{event.kind} {event.key}: {off}")]
        editor = self._editor(event.wall_ms)
        try:
            edit = editor.plan(event)
            editor.complete([edit])
        except Refused as refused:
            return [Reply(event.ticket, refused.status, error=str(refused))]
        effects = self._ledger.publish(edit.records, durable=True)
        item = self._directory.catalogue.by_id(edit.object_id)
        shown = edit.kind.shown(item) if item else {}
        if edit.what == "removed":
            shown = {edit.kind.key_name: edit.key, "removed": True}
        told = [Note(f"{edit.kind.name} {edit.what}", ((edit.kind.name, edit.key),))]
        return [*effects, *(told if effects else []), Reply(event.ticket, edit.status, shown)]

    def _imported(self, event: Imported, now: float) -> list[Effect]:
        """Begin an import."""
        off = self._clock_off(event.wall_ms, now)
        if off:
            return [Reply(event.ticket, 503, error=off)]
        return self.imports.begin(event, self._editor(event.wall_ms), now)

    def _clock_off(self, wall_ms: int, now: float) -> str:
        """Why nothing may be edited with this clock, or an empty text."""
        self._ourselves.read_clock(wall_ms, now)
        return self._watch.clock_off(now)

    def _editor(self, wall_ms: int) -> editing.Editor:
        return editing.Editor(
            self._me,
            self._directory,
            self._clock,
            realm=self._ourselves.identity.realm,
            wall_ms=wall_ms,
            is_zone=lambda zone: self._view.local_time(zone, wall_ms) is not None,
            lock=vault.lock(self._gate.keys, self._gate.signer),
        )

    def _rotate(self, event: Rotate, now: float) -> list[Effect]:
        """Make a new group key, and put a node out if that is asked."""
        if event.ticket == 0 and self._gate.needless():
            return []
        try:
            expel = self._gate.may_rotate(event, self._members, self._directory)
        except Refused as refused:
            return [Reply(event.ticket, refused.status, error=str(refused))]
        stamp = self._clock.next(event.wall_ms, over=self._gate.stamp())
        held, records = self._gate.rotate(event.material, stamp, now, expel)
        # granted first, held then: dead in between, we get the key back from those who have it
        effects = [*self._ledger.publish(records, durable=True), *held]
        key = self._gate.keys.newest.id.hex()
        return [*effects, Reply(event.ticket, 200, {"key": key, "expelled": expel})]

    def _admit(self, event: Admit) -> list[Effect]:
        """Let an invited node in: on the disk before it hears so."""
        try:
            new = self._gate.may_admit(event, self._members)
        except Refused as refused:
            return [Reply(event.ticket, refused.status, error=str(refused))]
        stamp = self._clock.next(event.wall_ms, over=self._gate.stamp())
        record = self._gate.roster.admit(event.name, event.signing, event.public, self._me, stamp)
        effects = self._ledger.publish([record] * new, durable=True)
        return [*effects, Reply(event.ticket, 201 if new else 200)]
