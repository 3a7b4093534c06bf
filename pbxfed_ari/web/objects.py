"""The routes of configuration objects, alike for every kind: what each may hold is said by its `Kind`, nothing of it here.

An ETag stands for what can be edited of an object; where its phones are registered, and who holds its key, is not in it.
"""

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Protocol
from urllib.parse import urlencode

import msgspec
from aiohttp import ETag, web

from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.events import Edited
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.names import Extension, ObjectId
from pbxfed_ari.core.records.objects import KINDS, kind_of
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.core.records.objects.kind import Item, Kind
from pbxfed_ari.core.records.objects.queue import Queue
from pbxfed_ari.core.records.objects.room import Room
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import schemas
from pbxfed_ari.web.access import Role
from pbxfed_ari.web.bodies import array, read_object, respond, stream
from pbxfed_ari.web.inbox import Inbox
from pbxfed_ari.web.operation import (
    CSV,
    JSON,
    MERGE_PATCH,
    Answer,
    Operation,
    answer,
    body,
    in_header,
    in_path,
    in_query,
)
from pbxfed_ari.web.tables import csv_lines

LIMIT, MOST = 500, 1_000  # keys in a page, unless said otherwise, and at most
NO_MATCH = "-"  # no object has this tag


class Node(Protocol):
    """What these routes need of the node."""

    federation: Federation
    switchboard: Switchboard

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...


class Collection:
    """The objects of one kind."""

    def __init__(self, node: Node, inbox: Inbox, kind: Kind) -> None:
        self._node, self._inbox, self.kind = node, inbox, kind

    # --- reading

    async def page(self, request: web.Request) -> web.StreamResponse:
        """A page of objects, or all of them as CSV."""
        vary = {"Vary": "Accept"}
        if CSV in request.headers.get("Accept", ""):
            lines = csv_lines(self.kind, self.holders())
            return await stream(request, f"{CSV}; charset=utf-8", lines, vary)
        limit = _limit(request.query.get("limit", str(LIMIT)))
        page = _Page(request.query.get("q", "").lower(), request.query.get("after", ""), limit)
        response = await respond(array(self._paged(page)), headers=vary)
        if page.more:
            query = {"limit": limit, "after": page.last, **({"q": page.find} if page.find else {})}
            response.headers["Link"] = f'<{request.path}?{urlencode(query)}>; rel="next"'
        return response

    async def get(self, request: web.Request) -> web.Response:
        """One object: the one that holds the key, or by `?id=` another that claims it."""
        key, wanted = self._key(request), _object_id(request)
        for item, shown in self._claims(key):
            if wanted in (b"", item.id):
                response = self._shown(item.id, shown)
                tags = [tag.value for tag in request.if_none_match or ()]
                if response.etag and any(tag in ("*", response.etag.value) for tag in tags):
                    return web.Response(status=304, headers={"ETag": response.headers["ETag"]})
                return response
        raise Refused(f"{self.kind.name} {key}: not known in the federation", status=404)

    # --- editing

    async def put(self, request: web.Request) -> web.Response:
        """Add an object, or set what is given."""
        only_new = request.headers.get("If-None-Match", "")
        if only_new not in ("", "*"):
            raise Refused(f"If-None-Match: {only_new}: must be *", status=400)
        fields = await read_object(request, JSON)
        return await self._edit(request, fields, create=bool(only_new))

    async def patch(self, request: web.Request) -> web.Response:
        """Change an object that exists; null is the default."""
        fields = await read_object(request, JSON, MERGE_PATCH)
        key = self._key(request)
        for name in [name for name, value in fields.items() if value is None]:
            known = self.kind.fields.get(name)
            if known is None or known.hidden or name in self.kind.needed:
                said = f"{self.kind.name} {key}: {name} has no default, and must not be null"
                raise Refused(said, field=name)
            fields[name] = self.kind.defaults[name]
        return await self._edit(request, fields, update=True)

    async def delete(self, request: web.Request) -> web.Response:
        """Remove an object, everywhere."""
        return await self._edit(request, None)

    async def _edit(
        self,
        request: web.Request,
        fields: Json | None,
        *,
        create: bool = False,
        update: bool = False,
    ) -> web.Response:
        key, one = self._key(request), _object_id(request)
        match = self._match(request, key, one)
        fresh = os.urandom(8)
        reply = await self._inbox.ask(
            lambda ticket: Edited(
                ticket,
                self.kind.name,
                key,
                fields,
                self._node.wall_ms(),
                fresh,
                create,
                update,
                one,
                match,
            )
        )
        if fields is None:
            return web.json_response(reply.body, status=reply.status)
        object_id = str(reply.body.get("id", ""))
        for item, shown in self._claims(key):
            if item.id.hex() == object_id:
                return self._shown(item.id, shown, reply.status)
        raise Refused(f"{self.kind.name} {key}: removed by somebody else just now", status=404)

    # --- helpers

    def holders(self) -> Iterator[Item]:
        """All objects that hold their key, by key."""
        directory = self._node.federation.directory
        for key in directory.catalogue.keys(self.kind):
            item = directory.catalogue.get(self.kind.space, key)
            if item is not None and kind_of(item.id) is self.kind:
                yield item

    def _paged(self, page: "_Page") -> Iterator[Json | None]:
        """The objects of a page; None for what was looked at in vain."""
        keys = self._node.federation.directory.catalogue.keys(self.kind)
        left = page.limit
        for key in keys[bisect_right(keys, page.after) :]:
            claims = self._node.federation.directory.catalogue.claims(key, self.kind.space)
            if not any(kind_of(i.id) is self.kind and _holds(i, page.find) for i in claims):
                yield None  # or it was removed while this page was made
                continue
            if not left:
                page.more = True
                return
            left, page.last = left - 1, key
            yield from (shown for _, shown in self._claims(key, claims))

    def _claims(self, key: str, claims: Sequence[Item] | None = None) -> list[tuple[Item, Json]]:
        """All of this kind that claim a key: first the one that holds it, then those that stand disabled."""
        federation = self._node.federation
        claims = (
            federation.directory.catalogue.claims(key, self.kind.space)
            if claims is None
            else claims
        )
        found: list[tuple[Item, Json]] = []
        for i, item in enumerate(claims):
            if kind_of(item.id) is self.kind:
                shown = self.kind.shown(item)
                if self.kind is KINDS["extension"]:
                    places = [] if i else federation.view.where(Extension(key))
                    shown["registered"] = [place.node for place in places]
                if isinstance(item, Room | Queue):
                    shown |= self._meeting(item, active=not i)
                found.append((item, {**shown, "state": "contested" if i else "active"}))
        return found

    def _meeting(self, item: Room | Queue, *, active: bool) -> Json:
        """Where a room or queue stands, and how many are in it as far as this node knows."""
        stands = self._node.federation.view.stands(Extension(item.key)) if active else []
        callers = self._node.switchboard.callers(item.key)
        here = self._node.federation.me in stands
        return {
            **({"has_pin": bool(item.pin)} if isinstance(item, Room) else {}),
            "stands": list(stands),
            "callers": callers if here else None,
        }

    def _shown(self, object_id: ObjectId, shown: Json, status: int = 200) -> web.Response:
        data = msgspec.json.encode(shown)
        response = web.Response(body=data, status=status, content_type=JSON)
        response.etag = self._node.federation.directory.catalogue.etag(object_id)
        return response

    def _key(self, request: web.Request) -> str:
        return self.kind.check_key(request.match_info["key"])

    def _match(self, request: web.Request, key: str, one: bytes) -> str:
        """The tag that If-Match wants; of several the one that stands."""
        if "If-Match" not in request.headers:
            return ""
        tags = _tags(request)
        directory = self._node.federation.directory
        for item in directory.catalogue.claims(key, self.kind.space):
            if one in (b"", item.id):
                stands = directory.catalogue.etag(item.id)
                return next((tag for tag in tags if tag in ("*", stands)), NO_MATCH)
        return NO_MATCH

    # --- what the document says

    def operations(self) -> list[Operation]:
        """The five routes."""
        kind = self.kind
        many, one = f"/{kind.collection}", f"/{kind.collection}/{{key}}"
        noun, tag = schemas.noun(kind), kind.collection
        shown, known = schemas.ref(kind.name), schemas.shown_example(kind)
        key = in_path(
            "key",
            f"The {kind.key_name} of the {noun}.",
            kind.key.schema(),
            str(known[kind.key_name]),
        )
        which = in_query("id", "Of several that claim one key: the one with this id.", schemas.HEX)
        match = in_header(
            "If-Match", "Only if the object still has this ETag; else 412.", schemas.TAGS
        )
        edit_errors = (404, 408, 409, 412, 413, 415, 422, 503, 507)
        content = {JSON: schemas.media(schemas.ref(f"{kind.name}_fields"), schemas.given(kind))}
        found = answer(shown, f"The {noun}.", example=known, headers=("ETag",))
        return [
            Operation(
                method="GET",
                path=many,
                handler=self.page,
                tag=tag,
                summary=f"List {tag}",
                text=f"{kind.help} In the order of their keys, a page at a time; `Link` leads to the next page. "
                "One whose key is held by an older claim (`contested`) follows its holder. "
                "With `Accept: text/csv` all that are active, as `POST /import` takes them back; without secrets.",
                parameters=(
                    in_query(
                        "limit",
                        "How many keys a page holds.",
                        {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT},
                    ),
                    in_query("after", "Begin after this key.", {"type": "string"}),
                    in_query("q", "Only those with this text in key or name.", {"type": "string"}),
                ),
                answers={
                    200: Answer(
                        text="A page.",
                        content={
                            JSON: {"type": "array", "items": shown},
                            CSV: {"type": "string"},
                        },
                        example=[known],
                        headers=("Link",),
                    )
                },
                errors=(400,),
            ),
            Operation(
                method="GET",
                path=one,
                handler=self.get,
                tag=tag,
                summary=f"Show {_a(noun)}",
                text="The ETag is that of what can be edited; `registered` and `state` may change without it.",
                parameters=(
                    key,
                    which,
                    in_header(
                        "If-None-Match",
                        "Answer 304 if the object still has this ETag.",
                        schemas.TAGS,
                    ),
                ),
                answers={
                    200: found,
                    304: Answer(text="It is as you know it.", headers=("ETag",)),
                },
                errors=(404, 422),
            ),
            Operation(
                method="PUT",
                path=one,
                handler=self.put,
                tag=tag,
                summary=f"Add {_a(noun)}, or set fields of it",
                text="Fields that are not given keep their value. It is on this node's disk before the answer, "
                "and on every node a moment later.",
                role=Role.OPERATE,
                parameters=(
                    key,
                    which,
                    match,
                    in_header("If-None-Match", "Only add it; 409 if it is there.", schemas.STAR),
                ),
                body=body("The fields to set.", content),
                answers={
                    200: found,
                    201: answer(shown, "Added.", example=known, headers=("ETag",)),
                },
                errors=edit_errors,
            ),
            Operation(
                method="PATCH",
                path=one,
                handler=self.patch,
                tag=tag,
                summary=f"Change {_a(noun)} that is there",
                text="A merge patch (RFC 7396): null puts a field back to its default.",
                role=Role.OPERATE,
                parameters=(key, which, match),
                body=body("The fields to change.", _patches(kind)),
                answers={200: found},
                errors=edit_errors,
            ),
            Operation(
                method="DELETE",
                path=one,
                handler=self.delete,
                tag=tag,
                summary=f"Remove {_a(noun)}, everywhere",
                text="With `id` only that one of several that claim the key; else all of them.",
                role=Role.OPERATE,
                parameters=(key, which, match),
                answers={200: answer(schemas.ref("removed"), "Removed.")},
                errors=(404, 409, 412, 422, 503, 507),
            ),
        ]


class _Page:
    """What is asked for, and how far it went."""

    def __init__(self, find: str, after: str, limit: int) -> None:
        self.find, self.after, self.limit = find, after, limit
        self.last, self.more = "", False


def _holds(item: Item, text: str) -> bool:
    return not text or text in item.key.lower() or text in item.called.lower()


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MOST:
        raise Refused(f"limit = {text!r}: must be 1 to {MOST}", status=400)
    return int(text)


def _tags(request: web.Request) -> list[str]:
    """The tags of If-Match; weak ones match nothing (RFC 9110 §8.8.3.2)."""
    found: tuple[ETag, ...] = request.if_match or ()
    if not found:
        given = request.headers["If-Match"]
        raise Refused(f'If-Match: {given}: must be * or ETags in quotes, as "a1b2"', status=400)
    return [tag.value for tag in found if not tag.is_weak]


def _object_id(request: web.Request) -> bytes:
    text = request.query.get("id", "")
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", text):
        raise Refused(f"id = {text!r}: must be hexadecimal", status=400)
    return bytes.fromhex(text)


def _patches(kind: Kind) -> dict[str, Json]:
    sample = {n: v for n, v in schemas.given(kind).items() if n != "secret"}
    media = schemas.media(schemas.ref(f"{kind.name}_patch"), sample)
    return {JSON: media, MERGE_PATCH: media}


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
