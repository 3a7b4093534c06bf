"""Keys and membership over HTTP: invite, rotate, expel, and what stands. No secret but the token, once, to who asked for it."""

import os
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from pbxfed_ari.core.events import Event, Rotate
from pbxfed_ari.core.federation import Federation
from pbxfed_ari.core.keys import KEY
from pbxfed_ari.core.names import node_name
from pbxfed_ari.core.stamp import utc, wall_ms_of
from pbxfed_ari.errors import Refused
from pbxfed_ari.web.problem import problem

TTL, LONGEST = 3_600, 30 * 86_400  # seconds
Ask = Callable[[Callable[[int], Event]], Awaitable[web.Response]]


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

    def __init__(self, node: Node, ask: Ask) -> None:
        """`ask` puts an event with a ticket into the inbox, and waits for its reply."""
        self._node, self._ask = node, ask

    def routes(self) -> list[web.RouteDef]:
        """What to add to the application."""
        return [
            web.get("/keys", self.keys),
            web.post("/keys/rotate", self.rotate),
            web.post("/invitations", self.invite),
            web.delete("/members/{node}", self.expel),
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
        return await self._ask(lambda ticket: self._rotate(ticket))

    async def expel(self, request: web.Request) -> web.Response:
        """Put a node out, for good."""
        name = node_name(request.match_info["node"])
        return await self._ask(lambda ticket: self._rotate(ticket, name))

    async def invite(self, request: web.Request) -> web.Response:
        """A token for one new node, good once and for `ttl` seconds."""
        ttl: object = TTL
        if request.can_read_body:
            try:
                body = await request.json()
            except ValueError as error:
                raise Refused(f"the body is not JSON: {error}", status=400) from None
            ttl = body.get("ttl", TTL) if isinstance(body, dict) else None
        if not isinstance(ttl, int) or isinstance(ttl, bool) or not 1 <= ttl <= LONGEST:
            raise Refused(f"ttl = {ttl!r}: must be 1 to {LONGEST} seconds")
        federation = self._node.federation
        if not federation.joined or federation.gate.expelled:
            return problem(503, "this node is no member (yet): invite from another one")
        until = utc(self._node.wall_ms() + ttl * 1_000)
        return web.json_response({"token": self._node.invite(ttl), "until": until}, status=201)

    def _rotate(self, ticket: int, expel: str = "") -> Rotate:
        return Rotate(ticket, os.urandom(KEY), self._node.wall_ms(), expel)
