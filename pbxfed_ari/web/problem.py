"""Errors as application/problem+json (RFC 9457), and who may ask (RFC 6750)."""

import logging
from collections.abc import Mapping

from aiohttp import ClientError, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web import RequestPayloadError

from pbxfed_ari.errors import Refused
from pbxfed_ari.web.access import Role, Tokens

TITLES = {
    400: "Bad request",
    401: "Token needed",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    408: "Too slow",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Wrong content type",
    422: "Refused",
    500: "Our mistake",
    503: "Not ready",
    507: "Not kept",
}
MOST_DETAIL = 1_000  # characters: what was given stands in it, and may be long
log = logging.getLogger(__name__)
ROLE = web.RequestKey("role", Role)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error that says what and why."""
    if len(detail) > MOST_DETAIL:
        detail = f"{detail[: MOST_DETAIL // 2]} … {detail[-MOST_DETAIL // 2 :]}"
    body = {"title": TITLES.get(status, "Error"), "status": status, "detail": detail}
    response = web.json_response(body, status=status, headers=headers)
    response.content_type = "application/problem+json"
    return response


def guard(tokens: Tokens) -> Middleware:
    """A middleware: lets in who has a token, and turns errors into problems."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        role = tokens.role(given)
        if role is None:
            error = ', error="invalid_token"' if given else ""
            said = "this API needs `Authorization: Bearer TOKEN`, one of those in http.token_file"
            return problem(401, said, {"WWW-Authenticate": f'Bearer realm="pbxfed"{error}'})
        if why := tokens.misled(request.headers.get("Host", ""), request.headers.get("Origin", "")):
            return problem(403, why)
        request[ROLE] = role
        try:
            return await handler(request)
        except Refused as refused:
            return problem(refused.status, str(refused))
        except (ConnectionError, ClientError, RequestPayloadError):
            return problem(400, "the request was broken off")
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            said = f"{request.method} is not possible here, but {allowed}"
            return problem(405, said, {"Allow": allowed})
        except web.HTTPNotFound:
            return problem(404, f"no such route: {request.path}; GET /openapi.json lists them")
        except web.HTTPException as error:
            return problem(error.status, error.reason or "")
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return problem(500, "a mistake of ours; the log has the details")

    return middleware


def only(role: Role, handler: Handler) -> Handler:
    """The handler, for who has this role or a higher one."""

    async def allowed(request: web.Request) -> web.StreamResponse:
        if request[ROLE] < role:
            said = f"this needs a token of role {role.word}; yours has {request[ROLE].word}"
            scope = f'Bearer realm="pbxfed", error="insufficient_scope", scope="{role.word}"'
            return problem(403, said, {"WWW-Authenticate": scope})
        return await handler(request)

    return allowed
