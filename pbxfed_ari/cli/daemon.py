"""The way to the daemon's HTTP API. What goes wrong ends the command: one line, and an exit code.

Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 3 the daemon cannot be reached.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

import click

from pbxfed_ari.errors import ConfigError
from pbxfed_ari.logs import one_line

if TYPE_CHECKING:  # what takes long to import is imported by who needs it
    from http.client import HTTPConnection

    from pbxfed_ari import config

REFUSED, UNREACHABLE = 1, 3
ASK_SECONDS = 10.0  # for an answer
BULK_SECONDS = 300.0  # for an answer about ten thousand objects
STREAM_SECONDS = 60.0  # of silence: the daemon says something every 15
LONGEST = 8_000  # characters of a path that HTTP takes
BLOCK = 64 * 1024
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent that is not JSON yet: bytes, and what they are."""

    content: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon answered."""

    status: int
    body: object  # decoded
    etag: str = ""  # as it stands in the header, quotes included
    next: str = ""  # where the list goes on


class Daemon:
    """The daemon of this machine, as its configuration says."""

    def __init__(self, path: Path | None) -> None:
        """`path` is the configuration's; None: the usual one. Exits with 1 if that is wrong."""
        from pbxfed_ari.config import credentials

        loaded = settings(path)
        self._listen = loaded.http.listen
        try:
            self._token = credentials.http_token(loaded)
        except ConfigError as error:
            fail(str(error), REFUSED)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = ASK_SECONDS,
    ) -> Answer:
        """The answer, whatever its status. Exits with 3 if nobody answers."""
        from http.client import HTTPException

        connection, own = self._connection(seconds)
        own.update(headers or {})
        if not isinstance(body, Body | None):
            body = Body(json.dumps(body).encode(), JSON)
        if body is not None:
            own["Content-Type"] = body.kind
        try:
            with closing(connection):
                # who is refused for the size of what he sends may have the answer before all is sent
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, path, body.content if body else None, own)
                response = connection.getresponse()
                text = response.read().decode()
        except (OSError, HTTPException, ValueError) as error:
            self._away(error)
        etag = response.getheader("ETag", "")
        link = _next(response.getheader("Link", ""))
        return Answer(response.status, self._read(text), etag, link)

    def get(self, path: str) -> object:
        """The answer to a question; exits with 1 on an error."""
        return done(self.ask("GET", path)).body

    def pages(self, path: str) -> list[dict[str, Any]]:
        """A list, all pages of it."""
        found: list[dict[str, Any]] = []
        while path:
            answer = done(self.ask("GET", path))
            assert isinstance(answer.body, list)
            found += answer.body
            path = answer.next
        return found

    def blocks(self, path: str, accept: str) -> Iterator[bytes]:
        """A long answer, as it comes. Exits with 1 on an error, with 3 when it breaks off."""
        from http.client import HTTPException

        connection, headers = self._connection(BULK_SECONDS)
        try:
            with closing(connection):
                connection.request("GET", path, headers={**headers, "Accept": accept})
                response = connection.getresponse()
                if response.status >= 400:
                    done(Answer(response.status, self._read(response.read().decode())))
                while block := response.read(BLOCK):
                    yield block
        except (OSError, HTTPException, ValueError) as error:
            self._away(error)

    def stream(self, path: str) -> Iterator[dict[str, Any]]:
        """The objects of an event stream, as they come. Exits with 3 when the daemon goes away."""
        from http.client import HTTPException

        connection, headers = self._connection(STREAM_SECONDS)
        try:
            with closing(connection):
                connection.request("GET", path, headers=headers)
                response = connection.getresponse()
                if response.status >= 400:
                    done(Answer(response.status, self._read(response.read().decode())))
                for line in response:
                    if line.startswith(b"data: "):
                        yield json.loads(line.removeprefix(b"data: "))
        except (OSError, HTTPException, ValueError) as error:
            self._away(error)
        fail("the daemon has ended the stream; it stops, or this reader was too slow", UNREACHABLE)

    def _connection(self, seconds: float) -> tuple[HTTPConnection, dict[str, str]]:
        """A connection, not open yet, and the headers that every request needs."""
        from http.client import HTTPConnection

        host, _, port = self._listen.rpartition(":")
        at = host.strip("[]") if host != "0.0.0.0" else "127.0.0.1"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return HTTPConnection(at, int(port), timeout=seconds), headers

    def _read(self, text: str) -> object:
        try:
            return json.loads(text) if text else None
        except ValueError:
            fail(f"http://{self._listen} is not pbxfed: another program has the port", UNREACHABLE)

    def _away(self, error: Exception) -> NoReturn:
        fail(
            f"the daemon cannot be reached at http://{self._listen}: {error}; is `pbxfed run` running?",
            UNREACHABLE,
        )


def done(answer: Answer) -> Answer:
    """A good answer; exits with 1 and the detail of a bad one."""
    if answer.status >= 400:
        detail = answer.body.get("detail") if isinstance(answer.body, dict) else None
        fail(str(detail or f"HTTP {answer.status}"), REFUSED)
    return answer


def at(*parts: str, **query: str | None) -> str:
    """The path of these parts; what is None or empty is not asked."""
    asked = {name: value for name, value in query.items() if value}
    path = "".join(f"/{quote(part, safe='')}" for part in parts)
    path = f"{path}?{urlencode(asked)}" if asked else path
    if len(path) > LONGEST:
        longest = max((*parts, *asked.values()), key=len)
        raise click.UsageError(
            f"{longest[:20]!r} and so on: {len(longest)} characters are too many"
        )
    return path


def fail(message: str, code: int) -> NoReturn:
    """End the command with one line."""
    click.echo(f"pbxfed: {one_line(' '.join(message.splitlines()))}", err=True)
    sys.exit(code)


def settings(path: Path | None) -> config.Settings:
    """The configuration; exits with 1 if it is wrong."""
    from pbxfed_ari import config

    try:
        return config.load(path)
    except ConfigError as error:
        fail(str(error), REFUSED)


def _next(link: str) -> str:
    """Path and query of the page that follows (RFC 8288); an empty text if this is the last."""
    found = re.search(r'<([^>]*)>[^,]*;\s*rel="?next"?', link)
    if found is None:
        return ""
    url = urlsplit(found[1])
    return f"{url.path}?{url.query}" if url.query else url.path
