"""What phones ask: `GET /NUMBER/TOKEN/FILE`, by HTTPS, at a place of its own, behind which there is nothing else.

A phone has no bearer token: the path is what cannot be guessed (144 bits), and what is kept of it is a proof. Whatever is not
there is the same 404, as is every other method. Neither paths nor files are logged; that a file was fetched, for which
extension, and from where, is an event.
"""

import logging
from random import Random
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.events import Edited
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.handouts import Handout, Handouts, Withdraw
from pbxfed_ari.core.names import Extension, is_extension
from pbxfed_ari.core.naming.bucket import Bucket, network
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.errors import Refused
from pbxfed_ari.provisioning import VENDORS
from pbxfed_ari.provisioning.telling import sheet
from pbxfed_ari.provisioning.vendor import File, Unfit
from pbxfed_ari.web.handouts import Offer
from pbxfed_ari.web.inbox import Inbox

RATE, BURST = 5.0, 200.0  # requests of one network: an office restarts, each phone asks a few times
TOTAL, TOTAL_BURST = 50.0, 400.0  # of all: a handshake takes two milliseconds, and calls come first
MOST = 10_000  # networks remembered
WAIT = "10"  # seconds after which who asked too much may ask again
log = logging.getLogger(__name__)


class Node(Protocol):
    """What these routes need of the node."""

    federation: Federation

    @property
    def offer(self) -> Offer | None:
        """What phones are told."""
        ...

    def note(self, note: Note) -> None:
        """Something worth an event."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def now(self) -> float:
        """Seconds, monotonic."""
        ...


class PhoneFiles:
    """The application that serves them."""

    def __init__(self, node: Node, inbox: Inbox, rng: Random) -> None:
        self._node, self._inbox, self._rng = node, inbox, rng
        self.served = self.refused = self.limited = 0
        self._used: set[bytes] = set()  # proofs of those that were good once
        self._total = Bucket(TOTAL, TOTAL_BURST, node.now())
        self._buckets: dict[bytes, Bucket] = {}
        self.app = web.Application(middlewares=[self._guard], client_max_size=1024)
        self.app.router.add_get("/{number}/{token}/{file}", self.get, allow_head=False)
        self.app.on_response_prepare.append(_unsaid)

    async def get(self, request: web.Request) -> web.Response:
        """A phone's file."""
        number, name = request.match_info["number"], request.match_info["file"]
        federation = self._node.federation
        phone = federation.view.phone(Extension(number)) if is_extension(number) else None
        handouts = federation.view.handouts(phone) if phone else Handouts()
        one = handouts.of(number, request.match_info["token"])
        vendor = VENDORS.get(one.vendor) if one else None
        found = vendor.find(name, one.mac) if vendor and one else None
        if phone is None or one is None or found is None:
            raise web.HTTPNotFound
        file, mac = found
        text = self._text(phone, file, mac, request.remote or "")
        if one.once and file.secret:
            await self._end(phone, one)
        self.served += 1
        fields = (("extension", number), ("vendor", one.vendor), ("from", request.remote or ""))
        if file.secret:
            self._node.note(Note("provisioning file fetched", fields))
        return web.Response(text=text, content_type=file.content_type, charset="utf-8")

    def _text(self, phone: Phone, file: File, mac: str, client: str) -> str:
        """Raises: HTTPServiceUnavailable, for whoever has the right URL; the log says why."""
        federation, offer = self._node.federation, self._node.offer
        secret = federation.view.secret(phone)
        assert offer is not None, "nobody could ask"
        try:
            if federation.gate.expelled:
                raise Unfit("this node was expelled from the federation")
            if secret is None:
                raise Unfit("its secret cannot be read here: set it again (`pbxfed ext set`)")
            told = sheet(
                federation, phone, secret, offer.recipe, client=client, rng=self._rng, mac=mac
            )
            return file.render(told)
        except Unfit as unfit:
            log.warning("extension %s: no provisioning file: %s", phone.number, unfit)
            raise web.HTTPServiceUnavailable from None

    async def _end(self, phone: Phone, one: Handout) -> None:
        """It was good once. Who comes at the same time, to a node that has not heard of it, gets it too.

        Raises: HTTPNotFound, if somebody was faster; HTTPServiceUnavailable, if it cannot be ended.
        """
        if one.proof in self._used:
            raise web.HTTPNotFound
        self._used.add(one.proof)
        wish = Withdraw((one.name,))
        try:
            await self._inbox.ask(
                lambda ticket: Edited(
                    ticket,
                    "extension",
                    phone.key,
                    {},
                    self._node.wall_ms(),
                    b"",
                    update=True,
                    wish=wish,
                    object_id=phone.id,
                )
            )
        except Refused as refused:
            self._used.discard(one.proof)
            log.warning("extension %s: no provisioning file: %s", phone.number, refused)
            raise web.HTTPServiceUnavailable from None

    # --- who may ask, and how often

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._may(request.remote or "::"):
            self.limited += 1
            return _said(429, "too many requests", {"Retry-After": WAIT})
        try:
            return await handler(request)
        except web.HTTPServiceUnavailable:
            return _said(503, "not ready", {"Retry-After": WAIT})
        except (web.HTTPException, Refused):
            self.refused += 1
            return _said(404, "not found")
        except Exception as error:  # its traceback might show what stands in the path
            log.error("a provisioning file could not be made: %s", type(error).__name__)
            return _said(500, "a mistake of ours")

    def _may(self, client: str) -> bool:
        now, key = self._node.now(), network(client.partition("%")[0])
        if key not in self._buckets:
            if len(self._buckets) >= MOST:
                self._buckets.clear()
            self._buckets[key] = Bucket(RATE, BURST, now)
        return self._buckets[key].take(now) and self._total.take(now)


def _said(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)


async def _unsaid(request: web.Request, response: web.StreamResponse) -> None:
    """Nobody keeps a copy, and nobody is told what serves it."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Server"] = "pbxfed"
