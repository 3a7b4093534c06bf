"""What the API sees of a node: how it is, what it has done, and the way in for what is asked of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from pbxfed_ari.asterisk.rest import Stored
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.events import Event
from pbxfed_ari.core.membership.condition import SICK
from pbxfed_ari.core.membership.health import Health
from pbxfed_ari.errors import AsteriskError, Declined, Refused
from pbxfed_ari.provisioning.telling import Recipe
from pbxfed_ari.web.handouts import Offer

if TYPE_CHECKING:
    from pbxfed_ari.node.wiring import Node


class Facade:
    """Satisfies `web.api.Node`."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self.federation, self.switchboard = node.federation, node.switchboard
        self.events = node.events
        self.call_events, self.records = node.accounting.events, node.accounting.records

    # --- the way in

    async def catch_up(self) -> None:
        """Deal with all that Asterisk has said: what waits for a moment, too."""
        self._node.room.connection.catch_up()
        await asyncio.sleep(0)

    @asynccontextmanager
    async def recording(self, name: str) -> AsyncIterator[Stored]:
        """What was recorded under this name here. Raises: Refused, if it is no more there, or cannot be had now."""
        async with AsyncExitStack() as stack:
            file = self._node.room.ari.recordings.getStoredFile(name)
            try:
                stored = await stack.enter_async_context(file)
            except AsteriskError as error:
                gone = isinstance(error, Declined) and error.status == 404
                why = "was removed" if gone else f"cannot be had now: {error}"
                raise Refused(f"recording {name} {why}", status=404 if gone else 503) from None
            yield stored

    def post(self, event: Event) -> None:
        """Put an event into the inbox."""
        self._node.post(event)

    def note(self, note: Note) -> None:
        """Something worth an event."""
        self._node.note(note)

    def invite(self, ttl: int) -> str:
        """A token for one new node, good for so many seconds."""
        settings = self._node.settings
        door = f"{settings.node.address}:{settings.lan.port}"
        return self._node.desk.invite(settings.federation.domain, (door,), ttl, wall_ms())

    def now(self) -> float:
        """Seconds, monotonic."""
        return self._node.now()

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return wall_ms()

    # --- how it is

    def reasons(self) -> list[str]:
        """Why this node is not healthy; empty if it is."""
        return [why for why in self.troubles().values() if why]

    def troubles(self) -> dict[str, str]:
        """What can make a node unhealthy, each with the reason if it does, else an empty text."""
        federation, connection = self.federation, self._node.room.connection
        return {
            "joining": "" if federation.joined else "joining: asking whether the node name is free",
            "store": self.store_trouble,
            "keys": "" if federation.members.alive() else federation.gate.trouble(),
            "asterisk": ""
            if connection.live
            else connection.reason or "Asterisk is being asked what it holds",
            "sick": self.health.trouble() if self.health.sick >= SICK else "",
        }

    def warnings(self) -> list[str]:
        """What an operator should mend."""
        federation = self.federation
        alone = "" if federation.members.alive() else federation.gate.warning()
        detours = self.switchboard.usage.detours.warnings(self.now())
        kept = self.records.trouble
        return [*federation.watch.warnings(self.now()), *detours, *filter(None, [alone, kept])]

    @property
    def health(self) -> Health:
        """What the sensors have found."""
        return self._node.sensing.health

    def unread(self) -> dict[str, str]:
        """Sensors that cannot be read, each with the reason."""
        return dict(self._node.sensing.room.unread)

    @property
    def store_trouble(self) -> str:
        """Why nothing is kept on the disk, for now or any more; else an empty text."""
        return self._node.keeper.trouble or self._node.group_keys.trouble

    def store_bytes(self) -> int:
        """What the store takes of the disk."""
        return self._node.store.size()

    # --- what it has beside it
    def asterisk(self) -> dict[str, object]:
        """What is known of the PBX beside us."""
        room = self._node.room
        connection, operator = room.connection, room.operator
        return {
            "state": connection.state.value,
            "version": connection.version,
            "warnings": [*connection.warnings, *filter(None, [operator.trouble])],
            "objects_to_push": operator.objects.pending,
        }

    def wan_link(self) -> dict[str, object] | None:
        """The state of our link to the other sites; None if there shall be none."""
        wan = self._node.wan
        if wan is None:
            return None
        return {
            "link": self._node.settings.wan.link,
            "up": wan.up,
            "reason": wan.reason,
            "frames_sent": wan.frames_sent,
            "bytes_sent": wan.bytes_sent,
            "frames_received": wan.frames_received,
            "bytes_received": wan.bytes_received,
            "send_errors": wan.errors,
        }

    @property
    def offer(self) -> Offer | None:
        """Where phones fetch their provisioning files, and what they are told there; None: nowhere."""
        settings = self._node.settings
        provisioning = settings.provisioning
        if provisioning.listen is None:
            return None
        host = provisioning.host or settings.federation.domain
        recipe = Recipe(provisioning.servers, provisioning.expires)
        return Offer(host, int(provisioning.listen.rpartition(":")[2]), recipe)

    def failures_read(self) -> dict[str, object]:
        """Whether failed authentications are counted here, and from where."""
        log = self._node.security_log
        return {"file": str(log.path), "trouble": log.trouble, "bytes_skipped": log.skipped}

    def counters(self) -> dict[str, object]:
        """What was sent, received and dropped."""
        node, link, files = self._node, self._node.link, self._node.api.phone_files
        return {
            "frames_sent": link.frames_sent,
            "bytes_sent": link.bytes_sent,
            "frames_received": link.frames_received,
            "bytes_received": link.bytes_received,
            "send_errors": link.errors,
            "event_failures": node.loop.failures,
            "introductions_refused": self.federation.gate.refusals,
            "tokens_refused": node.desk.refused,
            "dns_queries": node.dns.queries if node.dns else 0,
            "dns_limited": node.dns.limited if node.dns else 0,
            "provisioning_served": files.served,
            "provisioning_refused": files.refused,
            "provisioning_limited": files.limited,
            "frames_dropped": dict(node.mail.dropped),
            "messages_sent": dict(node.mail.sent),
            "messages_received": dict(node.mail.received),
        }
