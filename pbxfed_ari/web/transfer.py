"""Import and export: many objects at once, as JSON or CSV. What export gives, import takes back and finds unchanged."""

import asyncio
import os
from collections.abc import Iterator

from aiohttp import web

from pbxfed_ari.core.events import Edited, Imported
from pbxfed_ari.core.federation.importing import BUSY
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.core.records.objects.kind import Kind
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import schemas
from pbxfed_ari.web.access import Role
from pbxfed_ari.web.bodies import array, read_body, respond, stream
from pbxfed_ari.web.inbox import Inbox
from pbxfed_ari.web.objects import Collection, Node
from pbxfed_ari.web.operation import CSV, JSON, Answer, Operation, answer, body, in_query
from pbxfed_ari.web.problem import ROLE
from pbxfed_ari.web.tables import Row, portable, read_csv, read_json

MAX_IMPORT = 16 * 1024 * 1024  # bytes
IMPORT_SECONDS = 120.0  # ten thousand objects take a few seconds
_FRESH = 8  # bytes of an object's id that are random


class Transfer:
    """The two routes."""

    def __init__(self, node: Node, inbox: Inbox, collections: list[Collection]) -> None:
        self._node, self._inbox = node, inbox
        self._busy = False  # one import is read at a time: each may be large
        self._collections = {collection.kind.name: collection for collection in collections}

    async def post(self, request: web.Request) -> web.Response:
        """Many edits, all of them or none."""
        if self._busy:
            raise Refused(BUSY, status=503)
        self._busy = True
        try:
            return await self._import(request)
        finally:
            self._busy = False

    async def _import(self, request: web.Request) -> web.Response:
        kind, dry_run = _kind(request), _flag(request, "dry_run")
        data = await read_body(request, MAX_IMPORT, JSON, CSV)
        if request.content_type == CSV:
            if kind is None:
                said = f"text/csv needs ?kind=, one of {', '.join(KINDS)}"
                raise Refused(said, status=400)
            rows = await asyncio.to_thread(read_csv, data, kind)
        else:
            rows = await asyncio.to_thread(read_json, data, kind.name if kind else "")
        edits = await asyncio.to_thread(_edits, rows, self._node.wall_ms())
        reply = await self._inbox.ask(
            lambda ticket: Imported(ticket, edits, self._node.wall_ms(), dry_run), IMPORT_SECONDS
        )
        counts, objects = dict(reply.body), reply.body["objects"]
        assert isinstance(objects, list), "the federation has made it"
        head = web.json_response({k: v for k, v in counts.items() if k != "objects"}).body
        assert isinstance(head, bytes), "aiohttp has encoded it"
        return await respond(array(objects, before=head[:-1] + b', "objects": [', after=b"]}"))

    async def get(self, request: web.Request) -> web.StreamResponse:
        """All objects, or those of one kind."""
        kind, secrets = _kind(request), request.query.get("secrets", "")
        if secrets not in ("", "digests"):
            raise Refused(f"secrets = {secrets!r}: must be digests, or left out", status=400)
        if secrets and request[ROLE] < Role.ADMIN:
            said = f"secrets=digests needs a token of role admin; yours has {request[ROLE].word}"
            raise Refused(said, status=403)
        kinds = [kind] if kind else list(KINDS.values())
        parts = array(self._objects(kinds, secrets != ""), before=b'{"objects": [', after=b"]}")
        return await stream(request, JSON, parts, {"Cache-Control": "no-store"})

    def _objects(self, kinds: list[Kind], digests: bool) -> Iterator[Json]:
        for kind in kinds:
            for item in self._collections[kind.name].holders():
                yield portable(kind, item, digests=digests)

    # --- what the document says

    def operations(self) -> list[Operation]:
        """Both routes."""
        one = {"kind": "extension", **KINDS["extension"].example}
        group = {"kind": "group", **KINDS["group"].example}
        gone = {"kind": "extension", "extension": "1009", "remove": True}
        table = "extension,name,secret,devices\r\n1001,Reception,correct-horse-9,2\r\n"
        kind: Json = {"type": "string", "enum": list(KINDS)}
        done = {
            "added": 1,
            "changed": 0,
            "removed": 0,
            "unchanged": 1,
            "objects": [
                {
                    "kind": "extension",
                    "key": "1001",
                    "what": "added",
                    "changes": {"name": ["", "Reception"], "ha1": [None, "set"]},
                }
            ],
        }
        return [
            Operation(
                method="POST",
                path="/import",
                handler=self.post,
                tag="import and export",
                summary="Add, change and remove many objects, all or none",
                text="What is there already is set to what is given; what is not named is left alone. If one line is "
                "wrong nothing changes, and the answer names its line and column. A CSV begins with the names of its "
                "columns: the key, and any fields; lists stand in one cell with commas between their entries; an empty "
                "cell is the default. An object may refer to another of the same import. 16 MB and 20,000 objects at most.",
                role=Role.OPERATE,
                parameters=(
                    in_query("kind", "The kind of the objects that name none; CSV needs it.", kind),
                    in_query(
                        "dry_run",
                        "Only say what would change.",
                        {"type": "boolean", "default": False},
                    ),
                ),
                body=body(
                    "The objects.",
                    {
                        JSON: schemas.media(schemas.ref("import"), {"objects": [one, group, gone]}),
                        CSV: schemas.media({"type": "string"}, table),
                    },
                ),
                answers={200: answer(schemas.ref("imported"), "Done.", example=done)},
                errors=(404, 408, 409, 413, 415, 422, 503, 507),
            ),
            Operation(
                method="GET",
                path="/export",
                handler=self.get,
                tag="import and export",
                summary="All objects, as an import takes them back",
                text="Without secrets; with `secrets=digests`, for the role admin only, extensions come with their "
                "digests (`ha1`), so that another federation of the same domain can take them. Objects whose key is "
                "held by an older claim are left out.",
                parameters=(
                    in_query("kind", "Only objects of this kind.", kind),
                    in_query(
                        "secrets",
                        "Whether digests are wanted.",
                        {"type": "string", "enum": ["digests"]},
                    ),
                ),
                answers={
                    200: Answer(
                        text="The objects.",
                        content={JSON: schemas.ref("export")},
                        example={"objects": [group]},
                    )
                },
            ),
        ]


def _edits(rows: list[Row], wall_ms: int) -> tuple[Edited, ...]:
    random = os.urandom(_FRESH * len(rows))
    return tuple(
        Edited(
            0,
            row.kind,
            row.key,
            row.fields,
            wall_ms,
            random[i * _FRESH : (i + 1) * _FRESH],
            where=row.where,
        )
        for i, row in enumerate(rows)
    )


def _kind(request: web.Request) -> Kind | None:
    name = request.query.get("kind")
    if name is not None and name not in KINDS:
        raise Refused(f"kind = {name!r}: must be one of {', '.join(KINDS)}", status=400)
    return KINDS.get(name or "")


def _flag(request: web.Request, name: str) -> bool:
    text = request.query.get(name, "false")
    if text not in ("true", "false"):
        raise Refused(f"{name} = {text!r}: must be true or false", status=400)
    return text == "true"
