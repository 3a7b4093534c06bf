"""A daemon's HTTP for the commands' tests: what the surface promises of objects, over one real federation in memory.

It keeps to what the commands rely on. The daemon's own routes have their tests in `tests/web`; that the two agree is shown by
`tests/lab/test_object_commands.py`, where the same commands speak to real daemons.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pbxfed_ari.core.events import Edited, Event, Imported
from pbxfed_ari.core.explaining import explain
from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.objects import KINDS, kind_of
from pbxfed_ari.core.objects.kind import Kind
from pbxfed_ari.core.tries import IDLE, Asking
from pbxfed_ari.errors import Refused
from pbxfed_ari.web.explained import shown
from tests.stories.world import Node, World

COLLECTIONS = {kind.collection: kind for kind in KINDS.values()}
Found = tuple[int, object, dict[str, str]]


@dataclass
class Request:
    """What was asked."""

    method: str
    path: list[str]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Contract:
    """The daemon: its federation, and what was asked of it."""

    token: str = ""
    strange: bool = False  # another program has the port
    asked: list[Request] = field(default_factory=list)
    news: list[Event] = field(default_factory=list)  # happens before the next answer
    meddling: int = 0  # so often somebody else is faster than an edit with If-Match

    @cached_property
    def world(self) -> World:
        """Made by the serving thread, as its store asks for."""
        made = World(names="a")
        made.run(1)
        return made

    @property
    def node(self) -> Node:
        return self.world["a"]

    def answer(self, request: Request) -> Found:
        self.asked.append(request)
        while self.news:
            self.node.handle(self.news.pop(0))
        if self.strange:
            return 200, "<html>", {}
        given = request.headers.get("authorization", "")
        if self.token and given != f"Bearer {self.token}":
            return problem(401, "this API needs `Authorization: Bearer TOKEN`")
        try:
            return self._answer(request)
        except Refused as refused:
            return problem(refused.status, str(refused))

    def _answer(self, request: Request) -> Found:
        match request.path:
            case ["route", number]:
                federation = self.node.federation
                asking = Asking(
                    number, request.query.get("from", ""), did="inbound" in request.query
                )
                found = shown(explain(asking, federation, IDLE), federation.me)
                return 200, {"extension": number, "from": asking.payer, **found}, {}
            case ["import"] if request.method == "POST":
                return self._import(request)
            case ["export"]:
                rows = [self._exported(kind, r, request) for kind in self._kinds(request)
                        for r in self._rows(kind)]  # fmt: skip
                return 200, {"objects": rows}, {}
            case [collection] if collection in COLLECTIONS:
                return self._list(COLLECTIONS[collection], request)
            case [collection, key] if collection in COLLECTIONS:
                return self._one(COLLECTIONS[collection], key, request)
        return problem(404, "no such path")

    def _kinds(self, request: Request) -> list[Kind]:
        return [k for k in KINDS.values() if request.query.get("kind", k.name) == k.name]

    def _rows(self, kind: Kind) -> list[dict[str, Any]]:
        return [row for key in self.node.federation.directory.keys(kind)
                for row in self._claims(kind, key)]  # fmt: skip

    def _claims(self, kind: Kind, key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for i, item in enumerate(self.node.federation.directory.claims(key, kind.space)):
            if kind_of(item.id) is kind:
                row = {**kind.shown(item), "state": "contested" if i else "active"}
                where = [p.node for p in self.node.federation.where(Extension(key))]
                found.append({**row, "registered": where} if kind.name == "extension" else row)
        return found

    def _list(self, kind: Kind, request: Request) -> Found:
        rows = self._rows(kind)
        if request.headers.get("accept") == "text/csv":
            return 200, table(kind, rows), {}
        text = request.query.get("q", "")
        rows = [r for r in rows if text in r[kind.key_name] or text in str(r.get("name", ""))]
        rows = [r for r in rows if r[kind.key_name] > request.query.get("after", "")]
        limit = int(request.query.get("limit", "500"))
        if len(rows) <= limit:
            return 200, rows, {}
        after = quote(rows[limit - 1][kind.key_name])
        link = f"/{kind.collection}?limit={limit}&after={after}&q={quote(text)}"
        return 200, rows[:limit], {"Link": f'<{link}>; rel="next"'}

    def _one(self, kind: Kind, key: str, request: Request) -> Found:
        wanted = request.query.get("id", "")
        rows = [r for r in self._claims(kind, key) if wanted in ("", r["id"])]
        if request.method == "GET":
            if not rows:
                return problem(404, f"{kind.name} {key}: not known in the federation")
            return 200, rows[0], self._etag(rows[0])
        match = request.headers.get("if-match", "").strip('"')
        if match and self.meddling:
            self.meddling -= 1
            self.node.put(kind.name, key, name=f"Meddled {self.meddling}")
        update = request.method == "PATCH"
        create = request.headers.get("if-none-match") == "*"
        removed = request.method == "DELETE"
        fields = None if removed else json.loads(request.body)
        event = self._edit(kind, key, fields, create=create, update=update, match=match)
        reply = self.node._edit(replace(event, object_id=bytes.fromhex(wanted)))
        self.world.run(0.01)
        if reply.error:
            return problem(reply.status, reply.error)
        assert isinstance(reply.body, dict)
        return reply.status, reply.body, {} if removed else self._etag(reply.body)

    def _import(self, request: Request) -> Found:
        edits: list[Edited] = []
        if request.headers["content-type"].startswith("text/csv"):
            kind = KINDS[request.query["kind"]]
            reader = csv.DictReader(io.StringIO(request.body.decode()))
            for row in reader:
                where = f"line {reader.line_num}"
                edits.append(self._line(kind, row, where))
        else:
            for i, one in enumerate(json.loads(request.body)["objects"], 1):
                kind = KINDS[one.pop("kind")]
                key = one.pop(kind.key_name)
                fields = None if one.pop("remove", False) else one
                edits.append(self._edit(kind, key, fields, where=f"object {i}"))
        dry_run = request.query.get("dry_run") == "true"
        reply = self.node._edit(Imported(1, tuple(edits), self.node.wall_ms(), dry_run))
        self.world.run(0.01)
        return problem(reply.status, reply.error) if reply.error else (200, reply.body, {})

    def _line(self, kind: Kind, row: dict[str, str], where: str) -> Edited:
        fields: dict[str, object] = {}
        for name, text in row.items():
            if name == kind.key_name or (name == "secret" and not text):
                continue
            known = kind.fields.get(name)
            try:
                fields[name] = known.type.parse(text) if known else text
            except ValueError as error:
                raise Refused(f"{where}, column {name}: {text!r} {error}") from None
        return self._edit(kind, row[kind.key_name], fields, where=where)

    def _edit(self, kind: Kind, key: str, fields: Any, **more: Any) -> Edited:
        return Edited(1, kind.name, key, fields, self.node.wall_ms(), os.urandom(8), **more)

    def _etag(self, row: dict[str, Any]) -> dict[str, str]:
        return {"ETag": f'"{self.node.federation.directory.etag(bytes.fromhex(row["id"]))}"'}

    def _exported(self, kind: Kind, row: dict[str, Any], request: Request) -> dict[str, Any]:
        plain = {n: v for n, v in row.items() if n not in ("id", "state", "registered")}
        if request.query.get("secrets") == "digests" and kind.name == "extension":
            phone = self.node.federation.phone(Extension(row["extension"]))
            assert phone is not None
            plain["ha1"] = phone.ha1
        return {"kind": kind.name, **plain}

    def serve(self) -> Iterator[int]:
        """Serve on a port of loopback, until the caller is done with it."""
        server = HTTPServer(("127.0.0.1", 0), _handler(self))

        def serve() -> None:
            server.serve_forever(0.02)
            self.node.store.close()

        thread = Thread(target=serve)
        thread.start()
        yield server.server_port
        server.shutdown()
        server.server_close()
        thread.join()


def table(kind: Kind, rows: list[dict[str, Any]]) -> str:
    names = [n for n, f in kind.fields.items() if not f.hidden]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([kind.key_name, *names])
    for row in rows:
        cells = [kind.fields[n].type.text(row[n]) for n in names]
        writer.writerow([row[kind.key_name], *cells])
    return out.getvalue()


def problem(status: int, detail: str) -> Found:
    return status, {"title": "Refused", "status": status, "detail": detail}, {}


def _handler(contract: Contract) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            url = urlsplit(self.path)
            request = Request(
                self.command,
                [unquote(part) for part in url.path.strip("/").split("/")],
                {name: values[0] for name, values in parse_qs(url.query).items()},
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("Content-Length", 0))),
            )
            status, body, headers = contract.answer(request)
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_PATCH = do_DELETE = do_POST = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
