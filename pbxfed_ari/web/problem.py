"""Errors as application/problem+json (RFC 9457), and the bearer token (RFC 6750)."""

import hmac
import logging

from aiohttp import ClientError, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web import RequestPayloadError

from pbxfed_ari.errors import Refused

TITLES = {
    400: "Bad request",
    401: "Token needed",
    404: "Not found",
    409: "Conflict",
    422: "Refused",
    503: "Not ready",
}
log = logging.getLogger(__name__)


def problem(status: int, detail: str) -> web.Response:
    """An error that says what and why."""
    body = {"title": TITLES.get(status, "Error"), "status": status, "detail": detail}
    response = web.json_response(body, status=status)
    response.content_type = "application/problem+json"
    return response


def guard(token: str | None) -> Middleware:
    """A middleware: checks the token, and turns errors into problems."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if token is not None and not hmac.compare_digest(
            given.encode(), f"Bearer {token}".encode()
        ):
            return problem(
                401, "this API needs `Authorization: Bearer TOKEN`, the one in http.token_file"
            )
        try:
            return await handler(request)
        except Refused as refused:
            return problem(refused.status, str(refused))
        except (ConnectionError, ClientError, RequestPayloadError):
            return problem(400, "the request was broken off")
        except web.HTTPException as error:
            return problem(error.status, error.reason or "")
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return problem(500, "a mistake of ours; the log has the details")

    return middleware
