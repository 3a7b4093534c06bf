"""Keys and membership over HTTP: invite, rotate, expel, and what stands. No secret but the token, once, to who asked for it."""

import os
from typing import Protocol

from aiohttp import web

from pbxfed_ari.core.events import Rotate
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.names import node_name
from pbxfed_ari.core.records.keys import KEY
from pbxfed_ari.core.records.objects import fields
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.core.stamp import utc, wall_ms_of
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import schemas
from pbxfed_ari.web.access import Role
from pbxfed_ari.web.bodies import read_object
from pbxfed_ari.web.inbox import Inbox
from pbxfed_ari.web.operation import JSON, Operation, answer, body, in_path
from pbxfed_ari.web.problem import problem

TTL, LONGEST = 3_600, 30 * 86_400  # seconds


class Node(Protocol):
    """What these routes need of the node."""

    federation: Federation

    def invite(self, ttl: int) -> str:
        """A token for one new node."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...


class Belonging:
    """The routes about who belongs."""

    def __init__(self, node: Node, inbox: Inbox) -> None:
        self._node, self._inbox = node, inbox

    def operations(self) -> list[Operation]:
        """The routes."""
        ref = schemas.ref
        node = in_path("node", "The name of a node.", fields.LABEL.schema(), "c")
        ttl: Json = {"type": "integer", "minimum": 1, "maximum": LONGEST, "default": TTL}
        wanted: Json = {
            "type": "object",
            "properties": {"ttl": {**ttl, "description": "For how many seconds it is good."}},
            "additionalProperties": False,
        }
        rotated = answer(ref("rotated"), "The id of the new key.")
        return [
            Operation(
                method="GET",
                path="/keys",
                handler=self.keys,
                tag="belonging",
                summary="The group's keys that this node holds, by their ids",
                answers={200: answer(schemas.listed(ref("key")), "The keys, newest first.")},
            ),
            Operation(
                method="POST",
                path="/keys/rotate",
                handler=self.rotate,
                tag="belonging",
                summary="Make a new group key",
                text="All members have it a moment later; no frame is lost.",
                role=Role.ADMIN,
                answers={200: rotated},
                errors=(409, 422, 503, 507),
            ),
            Operation(
                method="POST",
                path="/invitations",
                handler=self.invite,
                tag="belonging",
                summary="Make a token that lets one new machine in, once",
                role=Role.ADMIN,
                body=body(
                    "How long it is good; an hour, unless said otherwise.",
                    {JSON: schemas.media(wanted, {"ttl": 600})},
                    required=False,
                ),
                answers={201: answer(ref("invitation"), "The token; it is shown once.")},
                errors=(408, 413, 415, 422, 503),
            ),
            Operation(
                method="DELETE",
                path="/members/{node}",
                handler=self.expel,
                tag="belonging",
                summary="Put a node out, for good",
                text="Two seconds later the others have a key that it does not get.",
                role=Role.ADMIN,
                parameters=(node,),
                answers={200: rotated},
                errors=(404, 409, 422, 503, 507),
            ),
        ]

    async def keys(self, request: web.Request) -> web.Response:
        """The group's keys that this node holds, by their ids."""
        ring = self._node.federation.gate.keys
        rows = [
            {
                "key": key.id.hex(),
                "made": utc(wall_ms_of(key.made)) if key.made else None,
                "by": key.by or None,
                "state": "seals"
                if key is ring.sealing
                else "opens"
                if ring.readable(key.id)
                else "retired",
            }
            for key in ring
        ]
        return web.json_response(rows)

    async def rotate(self, request: web.Request) -> web.Response:
        """Make a new group key; all members have it a moment later."""
        return await self._rotate()

    async def expel(self, request: web.Request) -> web.Response:
        """Put a node out, for good."""
        name = node_name(request.match_info["node"])
        return await self._rotate(name)

    async def invite(self, request: web.Request) -> web.Response:
        """A token for one new node, good once and for `ttl` seconds."""
        given = await read_object(request) if request.can_read_body else {}
        ttl = given.pop("ttl", TTL)
        if given:
            raise Refused(f"unknown field {next(iter(given))!r}; known is ttl")
        if not isinstance(ttl, int) or isinstance(ttl, bool) or not 1 <= ttl <= LONGEST:
            raise Refused(f"ttl = {ttl!r}: must be 1 to {LONGEST} seconds")
        federation = self._node.federation
        if not federation.joined or federation.gate.expelled:
            return problem(503, "this node is no member (yet): invite from another one")
        until = utc(self._node.wall_ms() + ttl * 1_000)
        return web.json_response({"token": self._node.invite(ttl), "until": until}, status=201)

    async def _rotate(self, expel: str = "") -> web.Response:
        material, wall_ms = os.urandom(KEY), self._node.wall_ms()
        reply = await self._inbox.ask(lambda ticket: Rotate(ticket, material, wall_ms, expel))
        return web.json_response(reply.body, status=reply.status)
