"""An operation: a route, and what the OpenAPI document says of it; both come of this one description."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler

from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.web.access import Role
from pbxfed_ari.web.problem import only

JSON, CSV, PLAIN = "application/json", "text/csv", "text/plain"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396
STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A good answer: what it says, and what it is by content type (JSON schema, and an example if there is one)."""

    text: str
    content: Mapping[str, Json] = field(default_factory=dict)
    example: object = None  # of the JSON
    headers: tuple[str, ...] = ()  # names of openapi.HEADERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. Paths are written as in OpenAPI, which is as aiohttp does."""

    method: str
    path: str
    handler: Handler
    tag: str
    summary: str
    text: str = ""  # more of it, in Markdown
    role: Role = Role.READ
    parameters: tuple[Json, ...] = ()
    body: Json | None = None  # a Request Body Object
    answers: Mapping[int, Answer]
    errors: tuple[int, ...] = ()  # beside those that every operation may answer with


def routes(operations: Iterable[Operation]) -> list[web.RouteDef]:
    """What to add to an application."""
    found: list[web.RouteDef] = []
    for one in operations:
        handler = only(one.role, one.handler)
        # aiohttp answers HEAD where there is GET
        found.append(
            web.get(one.path, handler)
            if one.method == "GET"
            else web.route(one.method, one.path, handler)
        )
    return found


def read(
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


def answer(
    schema: Json, text: str, *, example: object = None, headers: tuple[str, ...] = ()
) -> Answer:
    """A JSON answer."""
    return Answer(text=text, content={JSON: schema}, example=example, headers=headers)


def in_path(name: str, text: str, schema: Json, example: str) -> Json:
    """A Parameter Object for a part of the path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": text,
        "schema": schema,
        "example": example,
    }


def in_query(name: str, text: str, schema: Json) -> Json:
    """A Parameter Object for the query."""
    return {"name": name, "in": "query", "description": text, "schema": schema}


def in_header(name: str, text: str, schema: Json) -> Json:
    """A Parameter Object for a header."""
    return {"name": name, "in": "header", "description": text, "schema": schema}


def body(text: str, content: Mapping[str, Json], *, required: bool = True) -> Json:
    """A Request Body Object; `content` holds Media Type Objects."""
    return {"description": text, "required": required, "content": dict(content)}
