"""The routes. Each answers from the view that the machines keep; none of them holds state of its own."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from random import SystemRandom
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from pbxfed_ari import __version__
from pbxfed_ari.core.condition import Condition
from pbxfed_ari.core.effects import Note, Reply
from pbxfed_ari.core.events import Event
from pbxfed_ari.core.explaining import explain
from pbxfed_ari.core.federation import Federation
from pbxfed_ari.core.health import Health
from pbxfed_ari.core.member import Member
from pbxfed_ari.core.messages import WIRE_VERSION
from pbxfed_ari.core.names import extension
from pbxfed_ari.core.objects import KINDS
from pbxfed_ari.core.objects.fields import Json
from pbxfed_ari.core.reach import Way
from pbxfed_ari.core.registrations import Registration
from pbxfed_ari.core.signpost import signs
from pbxfed_ari.core.stamp import wall_ms_of
from pbxfed_ari.core.switchboard import Switchboard
from pbxfed_ari.core.tries import Asking
from pbxfed_ari.core.zone import Record, Zone, text
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import explained, schemas
from pbxfed_ari.web.access import Tokens
from pbxfed_ari.web.belonging import Belonging
from pbxfed_ari.web.bodies import MAX_BODY
from pbxfed_ari.web.callbook import FLAG, CallBook, Records
from pbxfed_ari.web.draining import DrainRoutes
from pbxfed_ari.web.eventlog import EventLog
from pbxfed_ari.web.eventstream import EventStream
from pbxfed_ari.web.handouts import HandoutRoutes, Offer
from pbxfed_ari.web.inbox import Inbox
from pbxfed_ari.web.metrics import TYPE, Metrics
from pbxfed_ari.web.objects import Collection
from pbxfed_ari.web.openapi import document
from pbxfed_ari.web.operation import (
    JSON,
    PLAIN,
    Answer,
    Operation,
    answer,
    in_path,
    in_query,
    routes,
)
from pbxfed_ari.web.phonefiles import PhoneFiles
from pbxfed_ari.web.problem import guard, problem
from pbxfed_ari.web.transfer import Transfer


class Node(Protocol):
    """What the API needs of the node."""

    federation: Federation
    switchboard: Switchboard
    events: EventLog
    call_events: EventLog

    async def catch_up(self) -> None:
        """Deal with all that Asterisk has said."""
        ...

    @property
    def store_trouble(self) -> str:
        """Why nothing is kept on the disk, for now or any more; else an empty text."""
        ...

    @property
    def offer(self) -> Offer | None:
        """Where phones fetch their provisioning files; None: nowhere."""
        ...

    def note(self, note: Note) -> None:
        """Something worth an event."""
        ...

    @property
    def records(self) -> Records:
        """What was kept of calls that are over."""
        ...

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

    @property
    def health(self) -> Health:
        """What the sensors have found."""
        ...

    def unread(self) -> Mapping[str, str]:
        """Sensors that cannot be read, each with the reason."""
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

    def failures_read(self) -> Json:
        """Whether failed authentications are counted here, and from where."""
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

    def __init__(self, node: Node, tokens: Tokens) -> None:
        self._node = node
        self._inbox = Inbox(node)
        self._events = EventStream(node.events)
        self.measures = Metrics(node)
        self._rng = SystemRandom()
        self.phone_files = PhoneFiles(node, self._inbox, self._rng)
        self._collections = [Collection(node, self._inbox, kind) for kind in KINDS.values()]
        self.operations = self._operations()
        self._document = json.dumps(document(self.operations)).encode()
        self.app = web.Application(middlewares=[guard(tokens)], client_max_size=MAX_BODY)
        self.app.add_routes(routes(self.operations))
        self.app.on_shutdown.append(self._shutdown)

    async def _shutdown(self, app: web.Application) -> None:
        self._node.events.close()
        self._node.call_events.close()

    def reply(self, reply: Reply) -> None:
        """The answer to an edit has come."""
        self._inbox.reply(reply)

    # --- reading

    async def health(self, request: web.Request) -> web.Response:
        """200 if calls can be served, else 503 with the reasons."""
        troubles = {name: why for name, why in self._node.troubles().items() if why}
        said = [why for name, why in troubles.items() if name != "sick"]
        poorly = "poorly" if self._node.health.sick else "ok"
        body: Json = {
            "status": ("sick" if list(troubles) == ["sick"] else "down") if troubles else poorly,
            "node": self._node.federation.me,
            "version": __version__,
            "reasons": [*said, *map(str, self._node.health.reasons())],
            **_score(self._node.health),
            "unread": dict(self._node.unread()),
            "warnings": self._node.warnings(),
            "asterisk": self._node.asterisk(),
        }
        return web.json_response(body, status=503 if troubles else 200)

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
            "epoch": federation.ourselves.identity.epoch,
            "domain": federation.ourselves.identity.realm,
            "health": self._node.reasons() or "ok",
            **_score(self._node.health),
            "warnings": self._node.warnings(),
            "clock": self._clock(),
            "asterisk": self._node.asterisk(),
            "members": self._members(),
            "sites": self._sites(),
            "wan": self._node.wan_link(),
            "ring": federation.view.ring.fingerprint(),
            "vector": f"{directory.fingerprint():016x}",
            "extensions": directory.catalogue.count(KINDS["extension"]),
            "contested": list(dict.fromkeys(item.key for item in directory.catalogue.contested())),
            "registered": len(directory.registrations.numbers(federation.members.up)),
            "calls": len(self._node.switchboard),
            "failed_authentications": self._failures(),
            "counters": self._node.counters(),
        }
        return web.json_response(body)

    async def failures(self, request: web.Request) -> web.Response:
        """Who failed to authenticate, in the whole federation."""
        return web.json_response(self._failures())

    async def members(self, request: web.Request) -> web.Response:
        """Every node, as seen from here."""
        return web.json_response(self._members())

    async def ring(self, request: web.Request) -> web.Response:
        """Who takes part in the ring, with what share."""
        ring = self._node.federation.view.ring
        members = [
            {"node": n, "weight": w, "share": round(ring.share(n), 4)}
            for n, w in ring.weights.items()
        ]
        return web.json_response({"fingerprint": ring.fingerprint(), "members": members})

    async def ring_key(self, request: web.Request) -> web.Response:
        """Who owns a key, and who would next."""
        key = request.match_info["key"]
        preference = list(self._node.federation.view.ring.preference(key))
        return web.json_response({"key": key, "owner": preference[0], "preference": preference})

    async def where(self, request: web.Request) -> web.Response:
        """Where a number stands registered."""
        number = extension(request.match_info["ext"])
        view = self._node.federation.view
        places = view.where(number)
        if not places and view.phone(number) is None:
            return problem(404, f"extension {number}: not known in the federation")
        registrations = [_place(place) for place in places]
        taken = [{**_place(place), "by": heir} for place, heir in view.heirs(number)]
        body = {
            "extension": number,
            "registrations": registrations,
            "taken_over": taken,
            "home": view.home(number),
        }
        return web.json_response(body)

    async def route(self, request: web.Request) -> web.Response:
        """The tries of a call that is not made, and why."""
        number = request.match_info["ext"]
        caller = request.query.get("from", "")
        view, wall_ms = self._node.federation.view, self._node.wall_ms()
        said = request.query.get("inbound", "false")
        if said not in ("true", "false"):
            raise Refused(f"inbound = {said!r}: must be true or false", status=400)
        inbound = said == "true"
        asking = Asking(number, "" if inbound else caller, did=inbound, wall_ms=wall_ms)
        lines = self._node.switchboard.lines(self._node.now(), view)
        found = explained.shown(explain(asking, view, lines), view.me)
        return web.json_response({"extension": number, "from": caller, **found})

    async def dns_zone(self, request: web.Request) -> web.Response:
        """The domain as a static zone; it does not follow health."""
        federation = self._node.federation
        zone, known = Zone(federation.ourselves.identity.realm, 0), signs(federation)
        records = zone.export(known, request.query.get("site", ""))
        above = zone.delegation(known)
        body: Json = {
            "domain": zone.domain,
            "records": [_record(record) for record in records],
            "delegation": [_record(record) for record in above],
            "text": text(zone.domain, records),
            "delegation_text": text(zone.domain, above),
        }
        return web.json_response(body)

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus' text format."""
        return web.Response(body=self.measures.render(), headers={"Content-Type": TYPE})

    async def openapi(self, request: web.Request) -> web.Response:
        """What this application serves."""
        return web.Response(body=self._document, content_type=JSON)

    # --- what the document says

    def _operations(self) -> list[Operation]:
        key = in_path("key", "Any text, as the number of an extension.", {"type": "string"}, "1001")
        ext = in_path("ext", "A number.", KINDS["extension"].key.schema(), "1001")
        dialed = in_path("ext", "What is dialed.", schemas.TEXT, "1001")
        caller = in_query("from", "The extension that calls.", schemas.TEXT)
        site = in_query("site", "A site whose nodes shall come first.", schemas.TEXT)
        inbound = in_query("inbound", "true: it comes from the outside, by a PSTN line.", FLAG)
        ref, listed = schemas.ref, schemas.listed
        health = answer(ref("health"), "Calls can be served.")
        sick = answer(ref("health"), "Calls cannot be served, for these reasons.")
        return [
            _read("/health", self.health, "node", "Can this node serve calls?", health, sick),
            _read("/version", self.version, "node", "The release", ref("version")),
            _read("/status", self.status, "node", "The node at a glance", ref("status")),
            _read(
                "/metrics",
                self.metrics,
                "node",
                "Counters, for Prometheus",
                Answer(text="Prometheus' text format.", content={PLAIN: schemas.TEXT}),
            ),
            _read("/openapi.json", self.openapi, "node", "This document", schemas.FREE),
            self._events.operation(),
            _read(
                "/members",
                self.members,
                "federation",
                "Every node, as seen from here",
                listed(ref("member")),
            ),
            _read(
                "/failures",
                self.failures,
                "federation",
                "Addresses from which authentications have failed, in the whole federation",
                ref("failures"),
            ),
            _read("/ring", self.ring, "federation", "Who takes part, with what share", ref("ring")),
            _read(
                "/ring/{key}",
                self.ring_key,
                "federation",
                "Who is responsible for a key, and who would be next",
                ref("preference"),
                parameters=(key,),
            ),
            _read(
                "/where/{ext}",
                self.where,
                "calls",
                "Where the phones of an extension are registered",
                ref("where"),
                parameters=(ext,),
                errors=(404, 422),
            ),
            _read(
                "/route/{ext}",
                self.route,
                "calls",
                "How a call would go from here, and why; none is made",
                ref("route"),
                parameters=(dialed, caller, inbound),
                errors=(400,),
            ),
            _read(
                "/dns/zone",
                self.dns_zone,
                "federation",
                "The domain as a static zone, and what delegates it",
                ref("zone"),
                parameters=(site,),
            ),
            *CallBook(self._node).operations(),
            *(o for collection in self._collections for o in collection.operations()),
            *HandoutRoutes(self._node, self._inbox, self._rng).operations(),
            *Transfer(self._node, self._inbox, self._collections).operations(),
            *Belonging(self._node, self._inbox).operations(),
            *DrainRoutes(self._node, self._inbox).operations(),
        ]

    # --- helpers

    def _clock(self) -> Json:
        federation = self._node.federation
        found = federation.watch.clocks.median([m.name for m in federation.members.alive()])
        ahead, peers = found or (None, 0)
        return {"seconds_ahead": None if ahead is None else round(ahead, 1), "peers": peers}

    def _failures(self) -> Json:
        rows = self._node.federation.failures.table()
        shown = [
            {
                "address": r.address,
                "failures": r.failures,
                "forgeable": r.forgeable,
                "nodes": r.nodes,
            }
            for r in rows
        ]
        return {"read_from": self._node.failures_read(), "addresses": shown}

    def _members(self) -> list[Json]:
        federation = self._node.federation
        identity, info = (
            federation.ourselves.identity,
            federation.directory.shelves.info(federation.me),
        )
        me: Json = {
            "node": federation.me,
            "state": "alive" if federation.joined else "joining",
            "address": identity.address,
            "takes_calls": federation.ourselves.condition.ready,
            **_condition(federation.ourselves.condition),
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

    def _avoided(self, member: Member) -> list[str]:
        """Trunks to it that show no sign of life, while another one does."""
        avoided = self._node.switchboard.usage.detours.avoided(self._node.now())
        return [kind for peer, kind in avoided if peer == member.name]

    def _member(self, member: Member) -> Json:
        federation = self._node.federation
        info = federation.directory.shelves.info(member.name)
        ahead = federation.watch.clocks.ahead(member.name)
        return {
            "node": member.name,
            "state": member.state.value,
            "address": info.address if member.away and info else member.address[0],
            "takes_calls": federation_reaches(federation, member),
            **_condition(member.condition if member.up else None),
            "site": member.site,
            "weight": info.weight if info else None,
            "trunks": list(info.trunks) if info else [],
            "avoided_trunks": self._avoided(member),
            "version": member.release,
            "clock_seconds_ahead": None if ahead is None else round(ahead, 1),
            **_way(self._node.federation.reach.way(member.name)),
            "silent_seconds": round(self._node.now() - member.heard, 3),
        }


def federation_reaches(federation: Federation, member: Member) -> bool:
    """Whether calls go to a member from here: it answers us, and its Asterisk takes calls."""
    return member.up and federation.view.reachable(member.name)


def _score(health: Health) -> Json:
    """What the sensors have found."""
    found = [
        {
            "sensor": reason.gauge.name,
            "what": f"{reason.gauge.thing} {reason.value}",
            "limit": reason.limit,
            "costs": reason.costs,
            "remedy": reason.gauge.remedy,
        }
        for reason in health.reasons()
    ]
    return {"score": health.score, "sensors": found}


def _condition(condition: Condition | None) -> Json:
    """What a node says of itself; nothing is known of one that is down."""
    if condition is None:
        return {"condition": "", "sick": None, "drains": None}
    return {"condition": str(condition), "sick": condition.sick, "drains": condition.drains}


def _way(way: Way) -> Json:
    loss = None if way.loss is None else round(way.loss, 3)
    return {"heard_by": way.heard_by, "told_by": way.told_by, "multicast_loss": loss}


def _read(
    path: str,
    handler: Handler,
    tag: str,
    summary: str,
    good: Json | Answer,
    sick: Answer | None = None,
    *,
    parameters: tuple[Json, ...] = (),
    errors: tuple[int, ...] = (),
) -> Operation:
    """A GET; `sick` is what it says with 503."""
    found = good if isinstance(good, Answer) else answer(good, f"{summary}.")
    return Operation(
        method="GET",
        path=path,
        handler=handler,
        tag=tag,
        summary=summary,
        parameters=parameters,
        answers={200: found, **({503: sick} if sick else {})},
        errors=errors,
    )


def _record(record: Record) -> Json:
    name = ".".join(record.owner) or "@"
    return {"name": name, "ttl": record.ttl, "type": record.kind, "data": record.data}


def _place(place: Registration) -> Json:
    return {"node": place.node, "uri": place.uri, "since": _time(wall_ms_of(place.stamp))}


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
