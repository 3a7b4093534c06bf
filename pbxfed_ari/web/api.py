"""The HTTP face of one node: all routes, and the document that describes them. None of them holds state of its own."""

import json
from random import SystemRandom
from typing import Protocol

from aiohttp import web

from pbxfed_ari.core.effects import Note, Reply
from pbxfed_ari.core.events import Event
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.web import belonging, callbook, metrics, overview, schemas
from pbxfed_ari.web.access import Tokens
from pbxfed_ari.web.belonging import Belonging
from pbxfed_ari.web.bodies import MAX_BODY
from pbxfed_ari.web.callbook import CallBook
from pbxfed_ari.web.draining import DrainRoutes
from pbxfed_ari.web.eventstream import EventStream
from pbxfed_ari.web.handouts import HandoutRoutes, Offer
from pbxfed_ari.web.inbox import Inbox
from pbxfed_ari.web.listening import ListenRoutes
from pbxfed_ari.web.metrics import TYPE, Metrics
from pbxfed_ari.web.objects import Collection
from pbxfed_ari.web.openapi import document
from pbxfed_ari.web.operation import JSON, PLAIN, Answer, Operation, read, routes
from pbxfed_ari.web.overview import Overview
from pbxfed_ari.web.phonefiles import PhoneFiles
from pbxfed_ari.web.problem import guard
from pbxfed_ari.web.transfer import Transfer
from pbxfed_ari.web.whereabouts import Whereabouts


class Node(overview.Node, callbook.Node, belonging.Node, metrics.Node, Protocol):
    """What the API needs of the node: what its parts do, and more."""

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

    def post(self, event: Event) -> None:
        """Put an event into the inbox."""
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
        self.app = web.Application(middlewares=[guard(tokens)], client_max_size=MAX_BODY)
        self.app.add_routes(routes(self.operations))
        self.app.on_shutdown.append(self._shutdown)

    async def _shutdown(self, app: web.Application) -> None:
        self._node.events.close()
        self._node.call_events.close()

    def reply(self, reply: Reply) -> None:
        """The answer to an edit has come."""
        self._inbox.reply(reply)

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus' text format."""
        return web.Response(body=self.measures.render(), headers={"Content-Type": TYPE})

    async def openapi(self, request: web.Request) -> web.Response:
        """What this application serves; written when it is asked for, since nobody may ever ask."""
        return web.Response(body=json.dumps(document(self.operations)), content_type=JSON)

    def _operations(self) -> list[Operation]:
        return [
            read(
                "/metrics",
                self.metrics,
                "node",
                "Counters, for Prometheus",
                Answer(text="Prometheus' text format.", content={PLAIN: schemas.TEXT}),
            ),
            read("/openapi.json", self.openapi, "node", "This document", schemas.FREE),
            self._events.operation(),
            *Overview(self._node).operations(),
            *Whereabouts(self._node).operations(),
            *CallBook(self._node).operations(),
            *ListenRoutes(self._inbox).operations(),
            *(o for collection in self._collections for o in collection.operations()),
            *HandoutRoutes(self._node, self._inbox, self._rng).operations(),
            *Transfer(self._node, self._inbox, self._collections).operations(),
            *Belonging(self._node, self._inbox).operations(),
            *DrainRoutes(self._node, self._inbox).operations(),
        ]
