"""`GET /openapi.json`: the document (OpenAPI 3.1) of the operations that this application serves, and of nothing else."""

from collections.abc import Iterable

from pbxfed_ari import __version__
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.web import schemas
from pbxfed_ari.web.access import Role
from pbxfed_ari.web.operation import JSON, Answer, Operation
from pbxfed_ari.web.problem import TITLES

ABOUT = """\
One node of a federation of Asterisk PBXs. What you read here is what this node knows; what you edit here stands on
every node a moment later, and every Asterisk acts on it.

**Tokens.** Without `http.token_file` the API is for this machine only, and open. With it, send `Authorization: Bearer
TOKEN`. A token has a role: *read* (every GET), *operate* (also edits of objects and imports), *admin* (also keys,
invitations, members).

**Errors** are `application/problem+json` (RFC 9457); `detail` names the thing, its value and the rule that it breaks. What is
refused has changed nothing, anywhere.

**Edits of many.** An object has an ETag. Send it back in `If-Match`, and the edit is refused (412) if somebody else was
faster. Many objects at once go to `POST /import`: all of them, or none."""
TAGS = {
    "node": "This node: its health, its Asterisk, its counters.",
    "federation": "Who belongs, and who is responsible for what.",
    "calls": "Where phones are, how a call would go, which calls there are.",
    **{kind.collection: kind.help for kind in KINDS.values()},
    "import and export": "Many objects at once.",
    "belonging": "The group's keys, invitations, expulsions.",
}
HEADERS: dict[str, Json] = {
    "ETag": {
        "description": "Changes whenever the object is edited.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{16}"$'},
        "example": '"0f1e2d3c4b5a6978"',
    },
    "Link": {
        "description": 'The next page: `</extensions?limit=500&after=2499>; rel="next"`; absent on the last one.',
        "schema": {"type": "string"},
    },
}
EVERYWHERE = (400, 401, 403)  # errors that every operation may answer with


def document(operations: Iterable[Operation]) -> Json:
    """The document."""
    paths: dict[str, dict[str, Json]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pbxfed",
            "version": __version__,
            "summary": "Any phone on any node.",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The node that serves this document."}],
        "security": [{"token": []}, {}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {**schemas.objects(), **schemas.OTHERS},
            "headers": HEADERS,
            "responses": {str(status): _problem(status) for status in TITLES},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of the tokens in http.token_file.",
                }
            },
        },
    }


def _operation(one: Operation) -> Json:
    found: Json = {
        "operationId": _name(one),
        "tags": [one.tag],
        "summary": one.summary,
        "description": _text(one),
    }
    if one.parameters:
        found["parameters"] = list(one.parameters)
    if one.body is not None:
        found["requestBody"] = one.body
    good = {str(status): _answer(answer) for status, answer in one.answers.items()}
    bad = {
        str(status): {"$ref": f"#/components/responses/{status}"}
        for status in sorted({*EVERYWHERE, *one.errors})
        if status not in one.answers
    }
    return {**found, "responses": {**good, **bad}}


def _text(one: Operation) -> str:
    needs = f"Needs the role {one.role.word}." if one.role > Role.READ else ""
    return " ".join(filter(None, [one.text, needs])) or f"{one.summary}."


def _answer(answer: Answer) -> Json:
    found: Json = {"description": answer.text}
    if answer.headers:
        found["headers"] = {n: {"$ref": f"#/components/headers/{n}"} for n in answer.headers}
    if answer.content:
        found["content"] = {
            kind: {
                "schema": schema,
                **({"example": answer.example} if kind == JSON and answer.example else {}),
            }
            for kind, schema in answer.content.items()
        }
    return found


def _problem(status: int) -> Json:
    example = {"title": TITLES[status], "status": status, "detail": DETAILS[status]}
    headers = (
        {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750."}}
        if status in (401, 403)
        else {}
    )
    return {
        "description": f"{TITLES[status]}.",
        **({"headers": headers} if headers else {}),
        "content": {
            "application/problem+json": {"schema": schemas.ref("problem"), "example": example}
        },
    }


DETAILS = {
    400: "the body is not JSON: line 1, column 9: invalid character",
    401: "this API needs `Authorization: Bearer TOKEN`, one of those in http.token_file",
    403: "this needs a token of role operate; yours has read",
    404: "extension 1009: not known in the federation",
    405: "POST is not possible here, but DELETE, GET, PATCH, PUT",
    408: "the body was not here after 60 s",
    409: "extension 1001: known here already, as 'Reception'",
    412: "extension 1001: somebody has changed it since you read it; read it again",
    413: "the body is larger than 64 kB",
    415: "Content-Type 'text/plain': must be application/json",
    422: "line 7, column devices: extension 1003: devices = 99: must be a whole number, 1 to 10",
    500: "a mistake of ours; the log has the details",
    503: "another import is going on here; repeat this one in a moment",
    507: "no edit is taken: node.state: the disk is full",
}


def _name(one: Operation) -> str:
    """An id for generated clients: `get_extensions_key`."""
    words = one.path.replace("{", "").replace("}", "").replace(".", "_").strip("/").split("/")
    return "_".join([one.method.lower(), *words])
