"""The routes. Each answers from the view that the machines keep; none of them holds state of its own."""

import asyncio
import itertools
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import web

from pbxfed_ari import __version__
from pbxfed_ari.core.call import Call
from pbxfed_ari.core.effects import Reply
from pbxfed_ari.core.events import Edited, Event
from pbxfed_ari.core.explaining import explain
from pbxfed_ari.core.federation import Federation
from pbxfed_ari.core.members import Member
from pbxfed_ari.core.messages import WIRE_VERSION
from pbxfed_ari.core.names import Extension, extension
from pbxfed_ari.core.objects import KINDS, kind_of
from pbxfed_ari.core.reach import Way
from pbxfed_ari.core.stamp import wall_ms_of
from pbxfed_ari.core.switchboard import Switchboard
from pbxfed_ari.core.tries import Asking
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import explained
from pbxfed_ari.web.belonging import Belonging
from pbxfed_ari.web.eventlog import EventLog
from pbxfed_ari.web.eventstream import EventStream
from pbxfed_ari.web.metrics import TYPE, Metrics
from pbxfed_ari.web.problem import guard, problem

EDIT_SECONDS = 5.0  # an edit is answered by then, or something is badly wrong
MAX_BODY = 64 * 1024
Json = dict[str, object]


class Node(Protocol):
    """What the API needs of the node."""

    federation: Federation
    switchboard: Switchboard
    events: EventLog
    store_trouble: str  # why nothing is kept on the disk any more, or ""

    def post(self, event: Event) -> None:
        """Put an event into the inbox."""
        ...

    def reasons(self) -> list[str]:
        """Why this node is not healthy; empty if it is."""
        ...

    def troubles(self) -> Mapping[str, str]:
        """What can make a node unhealthy, each with the reason if it does, else an empty text."""
        ...

    def warnings(self) -> list[str]:
        """What an operator should mend."""
        ...

    def store_bytes(self) -> int:
        """What the store takes of the disk."""
        ...

    def asterisk(self) -> Json:
        """What is known of the PBX beside us."""
        ...

    def wan_link(self) -> Json | None:
        """The state of the link to the other sites; None if there shall be none."""
        ...

    def counters(self) -> Json:
        """What was sent, received and dropped."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def now(self) -> float:
        """Seconds, monotonic."""
        ...

    def invite(self, ttl: int) -> str:
        """A token for one new node, good for so many seconds."""
        ...


class Api:
    """The HTTP face of one node."""

    def __init__(self, node: Node, token: str | None) -> None:
        self._node = node
        self._tickets = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._events = EventStream(node.events)
        self.measures = Metrics(node)
        self.app = web.Application(middlewares=[guard(token)], client_max_size=MAX_BODY)
        self.app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/version", self.version),
                web.get("/status", self.status),
                web.get("/members", self.members),
                web.get("/ring", self.ring),
                web.get("/ring/{key}", self.ring_key),
                web.get("/where/{ext}", self.where),
                web.get("/route/{ext}", self.route),
                web.get("/calls", self.calls),
                web.get("/events", self._events.get),
                web.get("/metrics", self.metrics),
                web.get("/extensions", self.extensions),
                web.get("/extensions/{ext}", self.extension),
                web.put("/extensions/{ext}", self.put_extension),
                web.patch("/extensions/{ext}", self.patch_extension),
                web.delete("/extensions/{ext}", self.delete_extension),
                *Belonging(node, self._ask).routes(),
            ]
        )

        self.app.on_shutdown.append(self._shutdown)

    async def _shutdown(self, app: web.Application) -> None:
        self._node.events.close()

    def reply(self, reply: Reply) -> None:
        """The answer to an edit has come."""
        future = self._waiting.pop(reply.ticket, None)
        if future is not None and not future.done():
            future.set_result(reply)

    # --- reading

    async def health(self, request: web.Request) -> web.Response:
        """200 if calls can be served, else 503 with the reasons."""
        reasons = self._node.reasons()
        body: Json = {
            "status": "down" if reasons else "ok",
            "node": self._node.federation.me,
            "version": __version__,
            "reasons": reasons,
            "warnings": self._node.warnings(),
            "asterisk": self._node.asterisk(),
        }
        return web.json_response(body, status=503 if reasons else 200)

    async def version(self, request: web.Request) -> web.Response:
        """Which release this is."""
        return web.json_response({"version": __version__, "wire": WIRE_VERSION})

    async def status(self, request: web.Request) -> web.Response:
        """The node at a glance."""
        federation = self._node.federation
        directory = federation.directory
        body: Json = {
            "node": federation.me,
            "version": __version__,
            "epoch": federation.identity.epoch,
            "domain": federation.identity.realm,
            "health": self._node.reasons() or "ok",
            "warnings": self._node.warnings(),
            "clock": self._clock(),
            "asterisk": self._node.asterisk(),
            "members": self._members(),
            "sites": self._sites(),
            "wan": self._node.wan_link(),
            "ring": federation.ring.fingerprint(),
            "vector": f"{directory.fingerprint():016x}",
            "extensions": directory.count(KINDS["extension"]),
            "contested": list(dict.fromkeys(item.key for item in directory.contested())),
            "registered": len(directory.registered(federation.members.up)),
            "calls": len(self._node.switchboard),
            "counters": self._node.counters(),
        }
        return web.json_response(body)

    async def members(self, request: web.Request) -> web.Response:
        """Every node, as seen from here."""
        return web.json_response(self._members())

    async def ring(self, request: web.Request) -> web.Response:
        """Who takes part in the ring, with what share."""
        ring = self._node.federation.ring
        members = [
            {"node": n, "weight": w, "share": round(ring.share(n), 4)}
            for n, w in ring.weights.items()
        ]
        return web.json_response({"fingerprint": ring.fingerprint(), "members": members})

    async def ring_key(self, request: web.Request) -> web.Response:
        """Who owns a key, and who would next."""
        key = request.match_info["key"]
        preference = list(self._node.federation.ring.preference(key))
        return web.json_response({"key": key, "owner": preference[0], "preference": preference})

    async def where(self, request: web.Request) -> web.Response:
        """Where a number stands registered."""
        number = extension(request.match_info["ext"])
        federation = self._node.federation
        places = federation.where(number)
        if not places and federation.phone(number) is None:
            return problem(404, f"extension {number}: not known in the federation")
        registrations = [
            {"node": p.node, "uri": p.uri, "since": _time(wall_ms_of(p.stamp))} for p in places
        ]
        body = {
            "extension": number,
            "registrations": registrations,
            "home": federation.home(number),
        }
        return web.json_response(body)

    async def route(self, request: web.Request) -> web.Response:
        """The tries of a call that is not made, and why."""
        number = request.match_info["ext"]
        caller = request.query.get("from", "")
        federation, wall_ms = self._node.federation, self._node.wall_ms()
        inbound = request.query.get("inbound") is not None
        asking = Asking(number, "" if inbound else caller, did=inbound, wall_ms=wall_ms)
        lines = self._node.switchboard.lines(self._node.now(), federation)
        found = explained.shown(explain(asking, federation, lines), federation.me)
        return web.json_response({"extension": number, "from": caller, **found})

    async def calls(self, request: web.Request) -> web.Response:
        """Calls that came in here and are not over."""
        now = self._node.now()
        me = self._node.federation.me
        return web.json_response([_call(call, now, me) for call in self._node.switchboard])

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus' text format."""
        return web.Response(body=self.measures.render(), headers={"Content-Type": TYPE})

    async def extensions(self, request: web.Request) -> web.Response:
        """All extensions, by number; one whose number is held by an older claim follows its holder."""
        directory = self._node.federation.directory
        numbers = directory.keys(KINDS["extension"])
        return web.json_response([shown for n in numbers for shown in self._claims(Extension(n))])

    async def extension(self, request: web.Request) -> web.Response:
        """One extension."""
        number = extension(request.match_info["ext"])
        claims = self._claims(number)
        wanted = _object_id(request).hex() or (claims[0]["id"] if claims else "")
        for shown in claims:
            if shown["id"] == wanted:
                return web.json_response(shown)
        return problem(404, f"extension {number}: not known in the federation")

    # --- editing

    async def put_extension(self, request: web.Request) -> web.Response:
        """Add an extension, or set all that is given; `If-None-Match: *` refuses one that exists."""
        fields = await _fields(request)
        create = request.headers.get("If-None-Match") == "*"
        return await self._edit(request.match_info["ext"], fields, create=create)

    async def patch_extension(self, request: web.Request) -> web.Response:
        """Change an extension that exists; with `?id=` that one of several that claim the number."""
        fields, one = await _fields(request), _object_id(request)
        return await self._edit(request.match_info["ext"], fields, update=True, object_id=one)

    async def delete_extension(self, request: web.Request) -> web.Response:
        """Remove an extension, everywhere; with `?id=` only that one of several that claim the number."""
        return await self._edit(request.match_info["ext"], None, object_id=_object_id(request))

    async def _edit(
        self,
        key: str,
        fields: Json | None,
        *,
        create: bool = False,
        update: bool = False,
        object_id: bytes = b"",
    ) -> web.Response:
        return await self._ask(
            lambda ticket: Edited(
                ticket,
                "extension",
                extension(key),
                fields,
                self._node.wall_ms(),
                os.urandom(8),
                create,
                update,
                object_id,
            )
        )

    async def _ask(self, make: Callable[[int], Event]) -> web.Response:
        """Put an event into the inbox, and wait for its reply."""
        if self._node.store_trouble:
            return problem(507, f"no edit is taken: {self._node.store_trouble}")
        ticket = next(self._tickets)
        event = make(ticket)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        self._node.post(event)
        try:
            reply = await asyncio.wait_for(future, EDIT_SECONDS)
        except TimeoutError:
            return problem(
                503,
                "the node did not answer in time; look whether the edit stands before repeating it",
            )
        finally:
            self._waiting.pop(ticket, None)
        if reply.error:
            return problem(reply.status, reply.error)
        return web.json_response(reply.body, status=reply.status)

    # --- helpers

    def _claims(self, number: Extension) -> list[Json]:
        """All that claim a number: first the one that holds it, where its phones are; then those that stand disabled."""
        federation = self._node.federation
        where = [place.node for place in federation.where(number)]
        return [
            {
                **kind.shown(item),
                "registered": [] if i else where,
                "state": "contested" if i else "active",
            }
            for i, item in enumerate(federation.directory.claims(number))
            if (kind := kind_of(item.id)) is KINDS["extension"]
        ]

    def _clock(self) -> Json:
        federation = self._node.federation
        found = federation.watch.clocks.median([m.name for m in federation.members.alive()])
        ahead, peers = found or (None, 0)
        return {"seconds_ahead": None if ahead is None else round(ahead, 1), "peers": peers}

    def _members(self) -> list[Json]:
        federation = self._node.federation
        identity, info = federation.identity, federation.directory.info(federation.me)
        me: Json = {
            "node": federation.me,
            "state": "alive" if federation.joined else "joining",
            "address": identity.address,
            "takes_calls": federation.ready,
            "site": identity.site,
            "weight": info.weight if info else None,
            "trunks": list(info.trunks) if info else [],
            "version": identity.release,
            "self": True,
        }
        return [me, *(self._member(m) for m in federation.members)]

    def _sites(self) -> list[Json]:
        """Our own site, and each other site as its last report says."""
        sites, now = self._node.federation.sites, self._node.now()
        ours: Json = {
            "site": sites.site,
            "forwarder": sites.forwarder,
            "linked": sites.linked,
            "self": True,
        }
        others: list[Json] = [
            {"site": site, "forwarder": node, "silent_seconds": round(now - heard, 3)}
            for site, node, heard in sites
        ]
        return [ours, *others] if self._node.wan_link() or others else []

    def _member(self, member: Member) -> Json:
        federation = self._node.federation
        info = federation.directory.info(member.name)
        ahead = federation.watch.clocks.ahead(member.name)
        return {
            "node": member.name,
            "state": member.state.value,
            "address": info.address if member.away and info else member.address[0],
            "takes_calls": federation_reaches(federation, member),
            "site": member.site,
            "weight": info.weight if info else None,
            "trunks": list(info.trunks) if info else [],
            "version": member.release,
            "clock_seconds_ahead": None if ahead is None else round(ahead, 1),
            **_way(self._node.federation.reach.way(member.name)),
            "silent_seconds": round(self._node.now() - member.heard, 3),
        }


def federation_reaches(federation: Federation, member: Member) -> bool:
    """Whether calls go to a member from here: it answers us, and its Asterisk takes calls."""
    return member.up and federation.reachable(member.name)


def _way(way: Way) -> Json:
    loss = None if way.loss is None else round(way.loss, 3)
    return {"heard_by": way.heard_by, "told_by": way.told_by, "multicast_loss": loss}


async def _fields(request: web.Request) -> Json:
    if request.content_type != "application/json":
        raise Refused(
            f"Content-Type {request.content_type!r}: must be application/json", status=415
        )
    try:
        body = await request.json()
    except (ValueError, RecursionError, LookupError) as error:
        raise Refused(f"the body is not JSON: {error}", status=400) from None
    if not isinstance(body, dict):
        raise Refused("the body must be a JSON object", status=400)
    return body


def _object_id(request: web.Request) -> bytes:
    text = request.query.get("id", "")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Refused(f"id = {text!r}: must be hexadecimal", status=400) from None


def _call(call: Call, now: float, me: str) -> Json:
    arrival = call.arrival
    return {
        "call": call.id,
        "state": call.phase.value,
        "from": arrival.caller,
        "to": arrival.number,
        "came_by": arrival.peer or "phone",
        "seconds": round(now - call.began, 3),
        "tries": [explained.attempt(t, me) for t in call.tried],
    }


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
