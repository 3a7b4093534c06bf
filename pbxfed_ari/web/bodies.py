"""What comes in and goes out: bodies, bounded in size, depth and time, and long answers made in short slices.

Calls are served by the loop that makes these answers: it is never kept for more than a few milliseconds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from time import perf_counter
from typing import Any

import msgspec
from aiohttp import web

from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.errors import Refused
from pbxfed_ari.web.operation import JSON

MAX_BODY = 64 * 1024  # bytes of one object
BRIEF = 0.002  # seconds of work, until others have their turn
SLOW = 60.0  # seconds in which a body must be here
STALLED = 30.0  # seconds in which a reader must take what was sent to it
log = logging.getLogger(__name__)


async def read_body(request: web.Request, most: int, *types: str) -> bytes:
    """The body, if it is of one of these content types.

    Raises: Refused: 413 beyond `most` bytes (unpacked), 415 of another type, 408 too slow.
    """
    if request.content_type not in types:
        said = f"Content-Type {request.content_type!r}: must be {' or '.join(types)}"
        raise Refused(said, status=415)
    charset = (request.charset or "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise Refused(f"charset {charset!r}: must be utf-8", status=415)
    found = bytearray()
    try:
        async with asyncio.timeout(SLOW):
            async for chunk in request.content.iter_chunked(64 * 1024):
                found += chunk
                if len(found) > most:
                    raise Refused(f"the body is larger than {most // 1024} kB", status=413)
    except TimeoutError:
        raise Refused(f"the body was not here after {SLOW:.0f} s", status=408) from None
    return bytes(found)


async def read_object(request: web.Request, *types: str) -> Json:
    """The JSON object that a body is.

    Raises: Refused.
    """
    return json_object(await read_body(request, MAX_BODY, *(types or (JSON,))))


def json_object(data: bytes) -> Json:
    """An object of plain values and lists of them.

    Raises: Refused: 400 if it is not JSON or no object, 422 if it is nested.
    """
    found = decode(data)
    if not isinstance(found, dict):
        raise Refused("the body must be a JSON object", status=400)
    for name, value in found.items():
        if isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(v, list | dict) for v in value)
        ):
            raise Refused(f"{name}: must be a plain value, or a list of such", field=name)
    return found


def decode(data: bytes, kind: Any = Any) -> Any:
    """What a JSON text stands for, checked against a msgspec type.

    Raises: Refused: 400 if it is not JSON (with line and column), 422 if it is of another form.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        status = 400 if "out of range" in str(error) else 422
        raise Refused(f"the body: {error}", status=status) from None
    except msgspec.DecodeError as error:
        rule, _, at = str(error).removesuffix(")").partition(" (byte ")
        place = f"{position(data, int(at))}: " if at.isdecimal() else ""
        raise Refused(f"the body is not JSON: {place}{rule}", status=400) from None
    except UnicodeDecodeError as error:
        raise Refused(f"the body is not JSON: {error.reason} in a string", status=400) from None
    except RecursionError:
        raise Refused("the body is nested too deeply", status=400) from None


def position(data: bytes, at: int) -> str:
    """Where the byte at this index stands, as an editor counts lines and columns."""
    begin = data.rfind(b"\n", 0, at) + 1
    column = len(data[begin:at].decode("utf-8", "replace")) + 1
    line = data.count(b"\n", 0, at) + 1
    return f"line {line}, column {column}"


def array(items: Iterable[object], *, before: bytes = b"[", after: bytes = b"]") -> Iterator[bytes]:
    """A JSON array, bit by bit; None stands for nothing but the work that it took."""
    yield before
    comma = b""
    for item in items:
        if item is None:
            yield b""
        else:
            yield comma + msgspec.json.encode(item)
            comma = b","
    yield after


async def sliced(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Parts, joined to chunks that each took a moment to make; in between others have their turn."""
    began, waiting = perf_counter(), list[bytes]()
    for part in parts:
        waiting.append(part)
        if perf_counter() - began >= BRIEF:
            yield b"".join(waiting)
            waiting.clear()
            await asyncio.sleep(0)
            began = perf_counter()
    yield b"".join(waiting)


async def respond(
    parts: Iterable[bytes], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON answer made of parts, whole."""
    found = b"".join([chunk async for chunk in sliced(parts)])
    return web.Response(body=found, status=status, content_type=JSON, headers=headers)


async def stream(
    request: web.Request, content_type: str, parts: Iterable[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """A long answer, sent as it is made. One that breaks off must not look whole: then the connection is closed."""
    response = web.StreamResponse(headers={"Content-Type": content_type, **headers})
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        async for chunk in sliced(parts):
            await asyncio.wait_for(response.write(chunk), STALLED)
    except Exception as error:
        if not isinstance(error, TimeoutError | ConnectionError):
            log.exception("%s broke off", request.path)
        if request.transport is not None:
            request.transport.abort()
    return response
