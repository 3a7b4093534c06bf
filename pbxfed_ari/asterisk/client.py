"""Asterisk's REST interface, thin and typed: one method for each operation that we use, under Asterisk's own name for it.

Groups and names are the resources and nicknames of `rest-api/api-docs/*.json`, so that Asterisk's documentation is ours
(`ari.channels.continueInDialplan`). Each request has a deadline, and only two ways to fail: Unreachable (whether it took
effect is unknown) and Declined (it did not). Nothing is retried here; that is a decision, and decisions are the operator's.
What may be sent together with others is made first, and then sent: `ari.post(ari.channels.dial(…), …)`.

The password travels in a header, never in a URL, where logs would keep it.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from yarl import URL

from pbxfed_ari.asterisk.eventsocket import EventSocket
from pbxfed_ari.asterisk.models import (
    Application,
    AsteriskInfo,
    Bridge,
    Channel,
    ConfigTuple,
    Endpoint,
    Message,
    RTPstat,
    Variable,
    Variables,
)
from pbxfed_ari.asterisk.pool import Answer, Pool, Request, Told
from pbxfed_ari.errors import Declined, Unreachable

DEADLINE = 2.0  # seconds for one request; a healthy Asterisk answers in milliseconds
CONNECTIONS = 16  # at once; Asterisk spends a thread on each (main/http.c)
PIECE = 64 * 1024  # bytes of a file that are taken at once
PJSIP = "res_pjsip"  # the configuration class of phones, trunks and contacts

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")

Query = dict[str, str]
T = TypeVar("T")


class Post(NamedTuple):
    """A POST that may be sent together with others (`AriClient.post`); `operation` is what an error calls it."""

    operation: str
    path: str
    query: Query | None = None
    body: object = None


class Stored(NamedTuple):
    """A file at Asterisk: bytes, and they, piece by piece."""

    size: int
    pieces: AsyncIterator[bytes]


class AriClient:
    """A way in to one Asterisk. Use it as an async context manager."""

    def __init__(
        self, url: str, user: str, password: str, *, app: str = "pbxfed", deadline: float = DEADLINE
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/ari")
        self.user = user
        self.app = app
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self._deadline = deadline
        self._pool: Pool | None = None
        self.asterisk = Asterisk(self)
        self.applications = Applications(self)
        self.bridges = Bridges(self)
        self.channels = Channels(self)
        self.endpoints = Endpoints(self)
        self.playbacks = Playbacks(self)
        self.recordings = Recordings(self)

    def __repr__(self) -> str:
        return f"AriClient({self.url!r}, {self.user!r}, app={self.app!r})"

    async def __aenter__(self) -> "AriClient":
        self._pool = Pool(self.url, self._headers, most=CONNECTIONS)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def events(self, heard: Callable[[bytes], None]) -> EventSocket:
        """The event websocket of our application. Never `subscribeAll`: it deadlocks 22.10.1 (asterisk#2170).

        Raises: WSError, TimeoutError, OSError.
        """
        url = f"{self.url.replace('http', 'ws', 1)}/ari/events?{urlencode({'app': self.app})}"
        return await EventSocket.connect(url, self._headers, heard)

    async def user_event(self, name: str) -> None:
        """`events.userEvent`: our application is told this, by its websocket. Raises: Unreachable, Declined."""
        query = {"application": self.app}
        await self.request("events.userEvent", "POST", f"events/user/{_part(name)}", query=query)

    async def request(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        deadline: float | None = None,
    ) -> bytes:
        """One request; `operation` is what an error calls it.

        Raises: Unreachable, Declined.
        """
        limit = self._deadline if deadline is None else deadline
        asked = _request(method, path, query, body)
        ((status, content),) = await self._ask(operation, limit, asked)
        return _granted(operation, status, content)

    @asynccontextmanager
    async def file(self, operation: str, path: str) -> AsyncIterator[Stored]:
        """What is too large for one answer, by a connection of its own. Whoever wants only its size leaves it at that.

        Raises: Unreachable, Declined; what comes piece by piece, OSError and ClientError.
        """
        url, limit = URL(f"{self.url}/ari/{path}", encoded=True), self._deadline
        patience = ClientTimeout(sock_connect=limit, sock_read=limit)
        async with ClientSession(timeout=patience) as session:
            try:
                response = await session.get(url, headers=self._headers)
                if (status := response.status) >= 400:
                    _granted(operation, status, await response.read())
            except (OSError, ClientError) as error:
                raise Unreachable(f"{operation}: {reason(error)}") from error
            async with response:
                yield Stored(response.content_length or 0, response.content.iter_chunked(PIECE))

    async def post(self, *posts: Post) -> list[Declined | None]:
        """Several POSTs, done one after the other without waiting for us in between.

        What comes after one that is declined may be granted: what was said to each. Raises: Unreachable.
        """
        asked = [_request("POST", post.path, post.query, post.body) for post in posts]
        return _judged(posts, await self._ask(posts[-1].operation, self._deadline, *asked))

    def begin(
        self, then: Callable[[list[Declined | None] | Unreachable], None], *posts: Post
    ) -> bool:
        """`post` without a task, if a connection is free now: `then` is told what came of it."""
        assert self._pool is not None, "AriClient is used outside `async with`"

        def told(what: Told) -> None:
            if isinstance(what, OSError):
                then(self._unreachable(posts[-1].operation, self._deadline, what))
            else:
                then(_judged(posts, what))

        asked = [_request("POST", post.path, post.query, post.body) for post in posts]
        return self._pool.begin(self._deadline, told, *asked)

    async def grant(self, post: Post) -> None:
        """One of them. Raises: Unreachable, Declined."""
        (declined,) = await self.post(post)
        if declined is not None:
            raise declined

    async def _ask(self, operation: str, limit: float, *requests: Request) -> list[Answer]:
        assert self._pool is not None, "AriClient is used outside `async with`"
        try:
            async with asyncio.timeout(limit):
                return await self._pool.ask(*requests)
        except OSError as error:
            raise self._unreachable(operation, limit, error) from error

    @staticmethod
    def _unreachable(operation: str, limit: float, error: OSError) -> Unreachable:
        late = isinstance(error, TimeoutError)
        why = f"no answer within {limit:g} s" if late else reason(error)
        return Unreachable(f"{operation}: {why}")

    async def ask(
        self,
        kind: type[T],
        operation: str,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        deadline: float | None = None,
    ) -> T:
        """One request whose answer is of this kind.

        Raises: Unreachable, Declined.
        """
        content = await self.request(
            operation, method, path, query=query, body=body, deadline=deadline
        )
        try:
            return msgspec.json.decode(content, type=kind)
        except (ValueError, RecursionError) as error:
            raise Declined(f"{operation}: answer not understood: {error}", status=200) from error


class Asterisk:
    """`/asterisk`: the process itself and its configuration."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari

    async def ping(self, *, deadline: float) -> None:
        """Is anybody there?"""
        await self._ari.request("asterisk.ping", "GET", "asterisk/ping", deadline=deadline)

    async def getInfo(self) -> AsteriskInfo:
        """Version and startup time."""
        return await self._ari.ask(AsteriskInfo, "asterisk.getInfo", "GET", "asterisk/info")

    async def getGlobalVar(self, variable: str) -> str:
        """A global variable's value, "" if there is none."""
        query = {"variable": variable}
        found = await self._ari.ask(
            Variable, f"asterisk.getGlobalVar {variable}", "GET", "asterisk/variable", query=query
        )
        return found.value

    async def setGlobalVar(self, variable: str, value: str) -> None:
        """Set a global variable; it lasts as long as this Asterisk."""
        query = {"variable": variable, "value": value}
        await self._ari.request(
            f"asterisk.setGlobalVar {variable}", "POST", "asterisk/variable", query=query
        )

    async def reloadModule(self, module: str) -> None:
        """Let a module read its configuration again."""
        path = f"asterisk/modules/{_part(module)}"
        await self._ari.request(f"asterisk.reloadModule {module}", "PUT", path)

    async def getObject(self, kind: str, id: str) -> dict[str, str]:
        """The attributes of a PJSIP object."""
        found = await self._ari.ask(
            list[ConfigTuple], f"asterisk.getObject {kind} {id}", "GET", _object(kind, id)
        )
        return {pair.attribute: pair.value for pair in found}

    async def updateObject(self, kind: str, id: str, fields: tuple[tuple[str, str], ...]) -> None:
        """Make or change a PJSIP object."""
        body = {"fields": [{"attribute": name, "value": value} for name, value in fields]}
        operation = f"asterisk.updateObject {kind} {id}"
        await self._ari.request(operation, "PUT", _object(kind, id), body=body)

    async def deleteObject(self, kind: str, id: str) -> None:
        """Take a PJSIP object away."""
        await self._ari.request(f"asterisk.deleteObject {kind} {id}", "DELETE", _object(kind, id))


class Applications:
    """`/applications`: what our application hears of."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari

    async def get(self) -> Application:
        """Our application."""
        path = f"applications/{_part(self._ari.app)}"
        return await self._ari.ask(Application, "applications.get", "GET", path)

    def subscription(self, source: str) -> Post:
        """`subscribe`, to be sent together with others."""
        path = f"applications/{_part(self._ari.app)}/subscription"
        return Post(f"applications.subscribe {source}", path, {"eventSource": source})

    async def subscribe(self, source: str) -> None:
        """Hear of this event source. Subscriptions are counted: look first."""
        path = f"applications/{_part(self._ari.app)}/subscription"
        query = {"eventSource": source}
        await self._ari.request(f"applications.subscribe {source}", "POST", path, query=query)

    async def filter(self, allowed: Iterable[str], *, app: str = "") -> None:
        """Hear of these types of events only, by default in our application. It lasts as long as Asterisk keeps that."""
        path = f"applications/{_part(app or self._ari.app)}/eventFilter"
        body = {"allowed": [{"type": kind} for kind in allowed]}
        await self._ari.request("applications.filter", "PUT", path, body=body)


class Channels:
    """`/channels`: the calls' ends."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari

    async def list(self) -> list[Channel]:
        """All channels that exist."""
        return await self._ari.ask(list[Channel], "channels.list", "GET", "channels")

    async def get(self, id: str) -> Channel:
        """This one. 404: it is no more."""
        return await self._ari.ask(Channel, f"channels.get {id}", "GET", f"channels/{_part(id)}")

    async def rtpstatistics(self, id: str) -> RTPstat:
        """What has come and gone in this channel's RTP session. 404: it has none."""
        path = f"channels/{_part(id)}/rtp_statistics"
        return await self._ari.ask(RTPstat, f"channels.rtpstatistics {id}", "GET", path)

    async def create(self, endpoint: str, *, id: str, other_id: str) -> None:
        """Make a channel, in our application, and dial nobody."""
        query = {
            "endpoint": endpoint,
            "app": self._ari.app,
            "channelId": id,
            "otherChannelId": other_id,
        }
        await self._ari.request(f"channels.create {id}", "POST", "channels/create", query=query)

    def createWithVariables(
        self, endpoint: str, *, id: str, originator: str, args: str, variables: dict[str, str]
    ) -> Post:
        """Make a channel, in our application with these arguments and variables, and dial nobody yet."""
        body = {
            "endpoint": endpoint,
            "app": self._ari.app,
            "appArgs": args,
            "channelId": id,
            "originator": originator,
            "variables": variables,
        }
        return Post(f"channels.create {id}", "channels/create", body=body)

    @staticmethod
    def dial(id: str, *, caller: str, seconds: int) -> Post:
        """Dial a channel that was made; in the name of `caller`, unless that is "". Seconds until it has rung out."""
        query = {"timeout": str(seconds)} | ({"caller": caller} if caller else {})
        return Post(f"channels.dial {id}", f"channels/{_part(id)}/dial", query)

    async def ring(self, id: str) -> None:
        """Let it hear ringing."""
        await self._ari.request(f"channels.ring {id}", "POST", f"channels/{_part(id)}/ring")

    @staticmethod
    def answer(id: str) -> Post:
        """Answer it."""
        return Post(f"channels.answer {id}", f"channels/{_part(id)}/answer")

    @staticmethod
    def move(id: str, app: str) -> Post:
        """It leaves the application in which it stands for this one; if that is not there it stays."""
        return Post(f"channels.move {id}", f"channels/{_part(id)}/move", {"app": app})

    async def startMoh(self, id: str, music: str) -> None:
        """Let it hear music of this class."""
        path, query = f"channels/{_part(id)}/moh", {"mohClass": music}
        await self._ari.request(f"channels.startMoh {id}", "POST", path, query=query)

    async def stopMoh(self, id: str) -> None:
        """End that."""
        await self._ari.request(f"channels.stopMoh {id}", "DELETE", f"channels/{_part(id)}/moh")

    async def play(self, id: str, media: str, *, playback: str) -> None:
        """Let it hear this, again and again if it is a tone, under a name of ours."""
        path = f"channels/{_part(id)}/play/{_part(playback)}"
        await self._ari.request(f"channels.play {id}", "POST", path, query={"media": media})

    async def redirect(self, id: str, endpoint: str) -> None:
        """Answer that it shall call this instead: SIP 302, if it was not answered."""
        path = f"channels/{_part(id)}/redirect"
        query = {"endpoint": endpoint}
        await self._ari.request(f"channels.redirect {id}", "POST", path, query=query)

    async def continueInDialplan(
        self, id: str, *, context: str, extension: str, label: str = ""
    ) -> None:
        """Let the channel go on at this place in the dialplan; without a label at priority 1."""
        body = _place(context, extension, label)
        path = f"channels/{_part(id)}/continue"
        await self._ari.request(f"channels.continueInDialplan {id}", "POST", path, body=body)

    @staticmethod
    def continueWithVariables(
        id: str, variables: dict[str, str], *, context: str, extension: str, label: str = ""
    ) -> tuple[Post, Post]:
        """`setChannelVars` (since 22.10) and `continueInDialplan`, at once: it goes on even if the variables are declined."""
        channel, place = f"channels/{_part(id)}", _place(context, extension, label)
        body = {"variables": variables}
        return (
            Post(f"channels.setChannelVars {id}", f"{channel}/variables", body=body),
            Post(f"channels.continueInDialplan {id}", f"{channel}/continue", body=place),
        )

    @staticmethod
    def originate(
        endpoint: str, *, id: str, other_id: str, context: str, extension: str, caller: str
    ) -> Post:
        """Make a channel, dial, and let it go on at this place in the dialplan when it is answered; as long as it takes."""
        query = {"channelId": id, "otherChannelId": other_id}
        body = {
            "endpoint": endpoint,
            "callerId": caller,
            "timeout": -1,
            **_place(context, extension, ""),
        }
        return Post(f"channels.originate {id}", "channels", query, body)

    def originateHere(
        self, endpoint: str, *, id: str, args: str, seconds: int, variables: dict[str, str]
    ) -> Post:
        """Make a channel, dial for so many seconds; answered, it comes to our application with these arguments."""
        query = {"channelId": id}
        body = {
            "endpoint": endpoint,
            "app": self._ari.app,
            "appArgs": args,
            "timeout": seconds,
            "variables": variables,
        }
        return Post(f"channels.originate {id}", "channels", query, body)

    @staticmethod
    def snoop(id: str, *, app: str, args: str, snoop_id: str, whisper: str) -> Post:
        """Make a channel that hears both sides of this one, in an application; what is said to it is heard there: `whisper`."""
        query = {"app": app, "appArgs": args, "spy": "both", "whisper": whisper}
        return Post(f"channels.snoop {id}", f"channels/{_part(id)}/snoop/{_part(snoop_id)}", query)

    async def hangup(self, id: str, *, reason_code: int) -> None:
        """End the channel with this Q.850 cause."""
        query = {"reason_code": str(reason_code)}
        path = f"channels/{_part(id)}"
        await self._ari.request(f"channels.hangup {id}", "DELETE", path, query=query)

    async def getChannelVar(self, id: str, variable: str) -> str:
        """A channel's variable, or what a dialplan function says on it."""
        path = f"channels/{_part(id)}/variable"
        found = await self._ari.ask(
            Variable,
            f"channels.getChannelVar {id} {variable}",
            "GET",
            path,
            query={"variable": variable},
        )
        return found.value

    @staticmethod
    def setChannelVar(id: str, variable: str, value: str) -> Post:
        """Set a channel's variable."""
        query = {"variable": variable, "value": value}
        path = f"channels/{_part(id)}/variable"
        return Post(f"channels.setChannelVar {id} {variable}", path, query)

    async def setChannelVars(self, id: str, variables: dict[str, str]) -> None:
        """Several at once (since 22.10)."""
        path, body = f"channels/{_part(id)}/variables", {"variables": variables}
        await self._ari.request(f"channels.setChannelVars {id}", "POST", path, body=body)

    async def getChannelVars(self, id: str, variables: tuple[str, ...]) -> dict[str, str]:
        """Several at once (since 22.10)."""
        path = f"channels/{_part(id)}/variables"
        query = {"variables": ",".join(variables)}
        found = await self._ari.ask(
            Variables, f"channels.getChannelVars {id}", "GET", path, query=query
        )
        return found.variables


class Bridges:
    """`/bridges`: where channels meet."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari

    async def list(self) -> list[Bridge]:
        """All bridges that exist."""
        return await self._ari.ask(list[Bridge], "bridges.list", "GET", "bridges")

    async def get(self, id: str) -> Bridge:
        """This one. 404: it is no more."""
        return await self._ari.ask(Bridge, f"bridges.get {id}", "GET", f"bridges/{_part(id)}")

    @staticmethod
    def createWithId(id: str, name: str, *, steady: bool = False) -> Post:
        """Make a mixing bridge; one that is there stays. `steady`: it passes no packet by Asterisk's core."""
        query = {"type": "mixing,proxy_media" if steady else "mixing", "name": name}
        return Post(f"bridges.create {id}", f"bridges/{_part(id)}", query)

    @staticmethod
    def addChannel(id: str, channels: tuple[str, ...], *, quietly: bool = False) -> Post:
        """Put channels into it; `quietly`: without an exchange of who they are."""
        query = {"channel": ",".join(channels)}
        if quietly:
            query["inhibitConnectedLineUpdates"] = "true"
        return Post(f"bridges.addChannel {id}", f"bridges/{_part(id)}/addChannel", query)

    async def destroy(self, id: str) -> None:
        """End it; channels in it stay in our application."""
        await self._ari.request(f"bridges.destroy {id}", "DELETE", f"bridges/{_part(id)}")


class Endpoints:
    """`/endpoints`: phones and trunks."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari

    async def listByTech(self, tech: str) -> list[Endpoint]:
        """All endpoints of this technology."""
        path = f"endpoints/{_part(tech)}"
        return await self._ari.ask(list[Endpoint], f"endpoints.listByTech {tech}", "GET", path)

    async def get(self, tech: str, resource: str, *, deadline: float) -> Endpoint:
        """One endpoint."""
        path = f"endpoints/{_part(tech)}/{_part(resource)}"
        operation = f"endpoints.get {resource}"
        return await self._ari.ask(Endpoint, operation, "GET", path, deadline=deadline)


class Recordings:
    """`/recordings`: what was recorded."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari

    @asynccontextmanager
    async def getStoredFile(self, name: str) -> AsyncIterator[Stored]:
        """One that is over, or goes on: how many bytes it has now, and they. It may be large.

        Raises: Unreachable; Declined, with 404 if there is none of this name.
        """
        async with self._ari.file(
            f"recordings.getStoredFile {name}", f"recordings/stored/{_part(name)}/file"
        ) as found:
            yield found


class Playbacks:
    """`/playbacks`: what is played to somebody."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari

    async def stop(self, id: str) -> None:
        """End it."""
        await self._ari.request(f"playbacks.stop {id}", "DELETE", f"playbacks/{_part(id)}")


def reason(error: BaseException) -> str:
    """What went wrong with a connection, as a person would say it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _request(method: str, path: str, query: Query | None, body: object) -> Request:
    target = f"/ari/{path}?{_asked(query)}" if query else f"/ari/{path}"
    return method, target, None if body is None else msgspec.json.encode(body)


def _granted(operation: str, status: int, content: bytes) -> bytes:
    if (declined := _declined(operation, status, content)) is not None:
        raise declined
    return content


def _judged(posts: Iterable[Post], answers: Iterable[Answer]) -> list[Declined | None]:
    return [
        _declined(post.operation, status, content)
        for post, (status, content) in zip(posts, answers, strict=True)
    ]


def _declined(operation: str, status: int, content: bytes) -> Declined | None:
    if status < 400:
        return None
    return Declined(f"{operation}: {status} {_message(content)}", status=status)


def _message(content: bytes) -> str:
    try:
        return msgspec.json.decode(content, type=Message).message
    except (ValueError, RecursionError):
        return content[:200].decode(errors="replace")


def _object(kind: str, id: str) -> str:
    return f"asterisk/config/dynamic/{PJSIP}/{_part(kind)}/{_part(id)}"


def _place(context: str, extension: str, label: str) -> dict[str, object]:
    at = {"label": label} if label else {"priority": 1}
    return {"context": context, "extension": extension, **at}


def _asked(query: Query) -> str:
    """As `urlencode` has it. Most values are plain, and to quote them all would be a tenth of what a bridged call costs."""
    values = ((k, v if _PLAIN.fullmatch(v) else quote(v, safe="")) for k, v in query.items())
    return "&".join([f"{name}={value}" for name, value in values])


def _part(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe=";@")
