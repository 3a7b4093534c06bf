"""How the node is, and the federation as seen from it: health, status, members, the ring, failures of authentication."""

from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from pbxfed_ari import __version__
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.membership.condition import Condition
from pbxfed_ari.core.membership.health import Health
from pbxfed_ari.core.membership.member import Member
from pbxfed_ari.core.membership.reach import Way
from pbxfed_ari.core.messages import WIRE_VERSION
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.web import schemas
from pbxfed_ari.web.operation import Operation, answer, in_path, read


class Node(Protocol):
    """What these routes need of the node."""

    federation: Federation
    switchboard: Switchboard

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

    def now(self) -> float:
        """Seconds, monotonic."""
        ...


class Overview:
    """The routes."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def operations(self) -> list[Operation]:
        """What to serve."""
        key = in_path("key", "Any text, as the number of an extension.", {"type": "string"}, "1001")
        ref, listed = schemas.ref, schemas.listed
        health = answer(ref("health"), "Calls can be served.")
        sick = answer(ref("health"), "Calls cannot be served, for these reasons.")
        return [
            read("/health", self.health, "node", "Can this node serve calls?", health, sick),
            read("/version", self.version, "node", "The release", ref("version")),
            read("/status", self.status, "node", "The node at a glance", ref("status")),
            read(
                "/members",
                self.members,
                "federation",
                "Every node, as seen from here",
                listed(ref("member")),
            ),
            read(
                "/failures",
                self.failures,
                "federation",
                "Addresses from which authentications have failed, in the whole federation",
                ref("failures"),
            ),
            read("/ring", self.ring, "federation", "Who takes part, with what share", ref("ring")),
            read(
                "/ring/{key}",
                self.ring_key,
                "federation",
                "Who is responsible for a key, and who would be next",
                ref("preference"),
                parameters=(key,),
            ),
        ]

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
