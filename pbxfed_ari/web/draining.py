"""Draining over HTTP: order it, look how far it is, take it back."""

from typing import Protocol

from aiohttp import web

from pbxfed_ari.core.calls.call import Phase
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.events import DrainSwitched
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.membership.draining import LONGEST, PATIENCE
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.core.stamp import utc
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import schemas
from pbxfed_ari.web.access import Role
from pbxfed_ari.web.bodies import read_object
from pbxfed_ari.web.inbox import Inbox
from pbxfed_ari.web.operation import JSON, Operation, answer, body

PATH = "/drain"
NAMED = 100  # numbers of phones that are left


class Node(Protocol):
    """What these routes need of the node."""

    federation: Federation
    switchboard: Switchboard

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...


class DrainRoutes:
    """The routes."""

    def __init__(self, node: Node, inbox: Inbox) -> None:
        self._node, self._inbox = node, inbox

    def operations(self) -> list[Operation]:
        """The routes."""
        state = answer(schemas.ref("drain"), "How far it is.")
        seconds: Json = {"type": "integer", "minimum": 1, "maximum": LONGEST, "default": PATIENCE}
        wanted: Json = {
            "type": "object",
            "properties": {
                "deadline": {**seconds, "description": "Seconds after which what is left is told."},
                "end": {
                    **schemas.YES_NO,
                    "default": False,
                    "description": "Then calls that are left are ended, but for emergency calls.",
                },
            },
            "additionalProperties": False,
        }
        return [
            Operation(
                method="GET",
                path=PATH,
                handler=self.shown,
                tag="node",
                summary="Is this node being drained, and who is left?",
                answers={200: state},
            ),
            Operation(
                method="POST",
                path=PATH,
                handler=self.drain,
                tag="node",
                summary="Drain this node: new calls and registrations go to others",
                text="Calls that run go on, and phones that are registered here are called. It holds until DELETE, restarts "
                "of the daemon included. Of a node that drains already the deadline is set anew.",
                role=Role.OPERATE,
                body=body(
                    "When patience ends, and what then.",
                    {JSON: schemas.media(wanted, {"deadline": 600})},
                    required=False,
                ),
                answers={200: state},
                errors=(408, 413, 415, 422, 503, 507),
            ),
            Operation(
                method="DELETE",
                path=PATH,
                handler=self.undrain,
                tag="node",
                summary="Drain this node no longer",
                role=Role.OPERATE,
                answers={200: state},
                errors=(503, 507),
            ),
        ]

    async def shown(self, request: web.Request) -> web.Response:
        """How far it is."""
        return self._state()

    async def drain(self, request: web.Request) -> web.Response:
        """New calls and registrations go to others."""
        given = await read_object(request) if request.can_read_body else {}
        seconds, end = given.pop("deadline", PATIENCE), given.pop("end", False)
        if given:
            raise Refused(f"unknown field {next(iter(given))!r}; known are deadline, end")
        if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= LONGEST:
            raise Refused(f"deadline = {seconds!r}: must be 1 to {LONGEST} seconds")
        if not isinstance(end, bool):
            raise Refused(f"end = {end!r}: must be true or false")
        now = self._node.wall_ms()
        await self._inbox.ask(lambda ticket: DrainSwitched(True, seconds, end, ticket, now))
        return self._state()

    async def undrain(self, request: web.Request) -> web.Response:
        """As before."""
        await self._inbox.ask(lambda ticket: DrainSwitched(False, ticket=ticket))
        return self._state()

    def _state(self) -> web.Response:
        federation, wall_ms = self._node.federation, self._node.wall_ms()
        order = federation.draining.order
        calls = sum(call.phase is not Phase.OVER for call in self._node.switchboard)
        here = federation.me
        numbers = federation.directory.registrations.numbers(lambda node: node == here)
        known = order is not None and order.until_ms > 0
        left = max(0.0, (order.until_ms - wall_ms) / 1_000) if order and known else None
        state: Json = {
            "drains": order is not None,
            "since": utc(order.since_ms) if order and known else None,
            "deadline": utc(order.until_ms) if order and known else None,
            "seconds_left": left,
            "end": order is not None and order.end,
            "over": order is not None and order.over,
            "calls": calls,
            "phones": federation.directory.registrations.count_at(federation.me),
            "numbers": numbers[:NAMED],
        }
        return web.json_response(state)
