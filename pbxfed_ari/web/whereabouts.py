"""Where a number's phones are, how a call to it would go, and what DNS would say to phones."""

from datetime import UTC, datetime
from typing import Protocol

from aiohttp import web

from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.names import extension
from pbxfed_ari.core.naming.signpost import signs
from pbxfed_ari.core.naming.zone import Record, Zone, text
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.core.records.registrations import Registration
from pbxfed_ari.core.routing.explaining import explain
from pbxfed_ari.core.routing.tries import Asking
from pbxfed_ari.core.stamp import wall_ms_of
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import explained, schemas
from pbxfed_ari.web.callbook import FLAG
from pbxfed_ari.web.operation import Operation, in_path, in_query, read
from pbxfed_ari.web.problem import problem


class Node(Protocol):
    """What these routes need of the node."""

    federation: Federation
    switchboard: Switchboard

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def now(self) -> float:
        """Seconds, monotonic."""
        ...


class Whereabouts:
    """The routes. No call is made."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def operations(self) -> list[Operation]:
        """What to serve."""
        ref = schemas.ref
        ext = in_path("ext", "A number.", KINDS["extension"].key.schema(), "1001")
        dialed = in_path("ext", "What is dialed.", schemas.TEXT, "1001")
        caller = in_query("from", "The extension that calls.", schemas.TEXT)
        site = in_query("site", "A site whose nodes shall come first.", schemas.TEXT)
        inbound = in_query("inbound", "true: it comes from the outside, by a PSTN line.", FLAG)
        return [
            read(
                "/where/{ext}",
                self.where,
                "calls",
                "Where the phones of an extension are registered",
                ref("where"),
                parameters=(ext,),
                errors=(404, 422),
            ),
            read(
                "/route/{ext}",
                self.route,
                "calls",
                "How a call would go from here, and why; none is made",
                ref("route"),
                parameters=(dialed, caller, inbound),
                errors=(400,),
            ),
            read(
                "/dns/zone",
                self.dns_zone,
                "federation",
                "The domain as a static zone, and what delegates it",
                ref("zone"),
                parameters=(site,),
            ),
        ]

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


def _record(record: Record) -> Json:
    name = ".".join(record.owner) or "@"
    return {"name": name, "ttl": record.ttl, "type": record.kind, "data": record.data}


def _place(place: Registration) -> Json:
    return {"node": place.node, "uri": place.uri, "since": _time(wall_ms_of(place.stamp))}


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
