"""What can be asked of Asterisk: one method for each operation that we use, under Asterisk's own name for it.

Groups and names are the resources and nicknames of `rest-api/api-docs/*.json`, so that Asterisk's documentation is ours
(`ari.channels.continueInDialplan`). What may be sent together with others is made first, and then sent:
`ari.post(ari.channels.dial(…), …)`. All others raise Unreachable and Declined.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from pbxfed_ari.asterisk.models import (
    Application,
    AsteriskInfo,
    Bridge,
    Channel,
    ConfigTuple,
    Endpoint,
    RTPstat,
    Variable,
    Variables,
)
from pbxfed_ari.asterisk.rest import Post, Rest, Stored, part

PJSIP = "res_pjsip"  # the configuration class of phones, trunks and contacts


class Asterisk:
    """`/asterisk`: the process itself and its configuration."""

    def __init__(self, ari: Rest) -> None:
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
        path = f"asterisk/modules/{part(module)}"
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

    def __init__(self, ari: Rest) -> None:
        self._ari = ari

    async def get(self) -> Application:
        """Our application."""
        path = f"applications/{part(self._ari.app)}"
        return await self._ari.ask(Application, "applications.get", "GET", path)

    def subscription(self, source: str) -> Post:
        """`subscribe`, to be sent together with others."""
        path = f"applications/{part(self._ari.app)}/subscription"
        return Post(f"applications.subscribe {source}", path, {"eventSource": source})

    async def subscribe(self, source: str) -> None:
        """Hear of this event source. Subscriptions are counted: look first."""
        path = f"applications/{part(self._ari.app)}/subscription"
        query = {"eventSource": source}
        await self._ari.request(f"applications.subscribe {source}", "POST", path, query=query)

    async def filter(self, allowed: Iterable[str], *, app: str = "") -> None:
        """Hear of these types of events only, by default in our application. It lasts as long as Asterisk keeps that."""
        path = f"applications/{part(app or self._ari.app)}/eventFilter"
        body = {"allowed": [{"type": kind} for kind in allowed]}
        await self._ari.request("applications.filter", "PUT", path, body=body)


class Channels:
    """`/channels`: the calls' ends."""

    def __init__(self, ari: Rest) -> None:
        self._ari = ari

    async def list(self) -> list[Channel]:
        """All channels that exist."""
        return await self._ari.ask(list[Channel], "channels.list", "GET", "channels")

    async def get(self, id: str) -> Channel:
        """This one. 404: it is no more."""
        return await self._ari.ask(Channel, f"channels.get {id}", "GET", f"channels/{part(id)}")

    async def rtpstatistics(self, id: str) -> RTPstat:
        """What has come and gone in this channel's RTP session. 404: it has none."""
        path = f"channels/{part(id)}/rtp_statistics"
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
        return Post(f"channels.dial {id}", f"channels/{part(id)}/dial", query)

    async def ring(self, id: str) -> None:
        """Let it hear ringing."""
        await self._ari.request(f"channels.ring {id}", "POST", f"channels/{part(id)}/ring")

    @staticmethod
    def answer(id: str) -> Post:
        """Answer it."""
        return Post(f"channels.answer {id}", f"channels/{part(id)}/answer")

    @staticmethod
    def move(id: str, app: str) -> Post:
        """It leaves the application in which it stands for this one; if that is not there it stays."""
        return Post(f"channels.move {id}", f"channels/{part(id)}/move", {"app": app})

    async def startMoh(self, id: str, music: str) -> None:
        """Let it hear music of this class."""
        path, query = f"channels/{part(id)}/moh", {"mohClass": music}
        await self._ari.request(f"channels.startMoh {id}", "POST", path, query=query)

    async def stopMoh(self, id: str) -> None:
        """End that."""
        await self._ari.request(f"channels.stopMoh {id}", "DELETE", f"channels/{part(id)}/moh")

    async def play(self, id: str, media: str, *, playback: str) -> None:
        """Let it hear this, again and again if it is a tone, under a name of ours."""
        path = f"channels/{part(id)}/play/{part(playback)}"
        await self._ari.request(f"channels.play {id}", "POST", path, query={"media": media})

    async def redirect(self, id: str, endpoint: str) -> None:
        """Answer that it shall call this instead: SIP 302, if it was not answered."""
        path = f"channels/{part(id)}/redirect"
        query = {"endpoint": endpoint}
        await self._ari.request(f"channels.redirect {id}", "POST", path, query=query)

    async def continueInDialplan(
        self, id: str, *, context: str, extension: str, label: str = ""
    ) -> None:
        """Let the channel go on at this place in the dialplan; without a label at priority 1."""
        body = _place(context, extension, label)
        path = f"channels/{part(id)}/continue"
        await self._ari.request(f"channels.continueInDialplan {id}", "POST", path, body=body)

    @staticmethod
    def continueWithVariables(
        id: str, variables: dict[str, str], *, context: str, extension: str, label: str = ""
    ) -> tuple[Post, Post]:
        """`setChannelVars` (since 22.10) and `continueInDialplan`, at once: it goes on even if the variables are declined."""
        channel, place = f"channels/{part(id)}", _place(context, extension, label)
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
        return Post(f"channels.snoop {id}", f"channels/{part(id)}/snoop/{part(snoop_id)}", query)

    async def hangup(self, id: str, *, reason_code: int) -> None:
        """End the channel with this Q.850 cause."""
        query = {"reason_code": str(reason_code)}
        path = f"channels/{part(id)}"
        await self._ari.request(f"channels.hangup {id}", "DELETE", path, query=query)

    async def getChannelVar(self, id: str, variable: str) -> str:
        """A channel's variable, or what a dialplan function says on it."""
        path = f"channels/{part(id)}/variable"
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
        path = f"channels/{part(id)}/variable"
        return Post(f"channels.setChannelVar {id} {variable}", path, query)

    async def setChannelVars(self, id: str, variables: dict[str, str]) -> None:
        """Several at once (since 22.10)."""
        path, body = f"channels/{part(id)}/variables", {"variables": variables}
        await self._ari.request(f"channels.setChannelVars {id}", "POST", path, body=body)

    async def getChannelVars(self, id: str, variables: tuple[str, ...]) -> dict[str, str]:
        """Several at once (since 22.10)."""
        path = f"channels/{part(id)}/variables"
        query = {"variables": ",".join(variables)}
        found = await self._ari.ask(
            Variables, f"channels.getChannelVars {id}", "GET", path, query=query
        )
        return found.variables


class Bridges:
    """`/bridges`: where channels meet."""

    def __init__(self, ari: Rest) -> None:
        self._ari = ari

    async def list(self) -> list[Bridge]:
        """All bridges that exist."""
        return await self._ari.ask(list[Bridge], "bridges.list", "GET", "bridges")

    async def get(self, id: str) -> Bridge:
        """This one. 404: it is no more."""
        return await self._ari.ask(Bridge, f"bridges.get {id}", "GET", f"bridges/{part(id)}")

    @staticmethod
    def createWithId(id: str, name: str, *, steady: bool = False) -> Post:
        """Make a mixing bridge; one that is there stays. `steady`: it passes no packet by Asterisk's core."""
        query = {"type": "mixing,proxy_media" if steady else "mixing", "name": name}
        return Post(f"bridges.create {id}", f"bridges/{part(id)}", query)

    @staticmethod
    def addChannel(id: str, channels: tuple[str, ...], *, quietly: bool = False) -> Post:
        """Put channels into it; `quietly`: without an exchange of who they are."""
        query = {"channel": ",".join(channels)}
        if quietly:
            query["inhibitConnectedLineUpdates"] = "true"
        return Post(f"bridges.addChannel {id}", f"bridges/{part(id)}/addChannel", query)

    async def destroy(self, id: str) -> None:
        """End it; channels in it stay in our application."""
        await self._ari.request(f"bridges.destroy {id}", "DELETE", f"bridges/{part(id)}")


class Endpoints:
    """`/endpoints`: phones and trunks."""

    def __init__(self, ari: Rest) -> None:
        self._ari = ari

    async def listByTech(self, tech: str) -> list[Endpoint]:
        """All endpoints of this technology."""
        path = f"endpoints/{part(tech)}"
        return await self._ari.ask(list[Endpoint], f"endpoints.listByTech {tech}", "GET", path)

    async def get(self, tech: str, resource: str, *, deadline: float) -> Endpoint:
        """One endpoint."""
        path = f"endpoints/{part(tech)}/{part(resource)}"
        operation = f"endpoints.get {resource}"
        return await self._ari.ask(Endpoint, operation, "GET", path, deadline=deadline)


class Recordings:
    """`/recordings`: what was recorded."""

    def __init__(self, ari: Rest) -> None:
        self._ari = ari

    @asynccontextmanager
    async def getStoredFile(self, name: str) -> AsyncIterator[Stored]:
        """One that is over, or goes on: how many bytes it has now, and they. It may be large.

        Raises: Unreachable; Declined, with 404 if there is none of this name.
        """
        async with self._ari.file(
            f"recordings.getStoredFile {name}", f"recordings/stored/{part(name)}/file"
        ) as found:
            yield found


class Playbacks:
    """`/playbacks`: what is played to somebody."""

    def __init__(self, ari: Rest) -> None:
        self._ari = ari

    async def stop(self, id: str) -> None:
        """End it."""
        await self._ari.request(f"playbacks.stop {id}", "DELETE", f"playbacks/{part(id)}")


def _object(kind: str, id: str) -> str:
    return f"asterisk/config/dynamic/{PJSIP}/{part(kind)}/{part(id)}"


def _place(context: str, extension: str, label: str) -> dict[str, object]:
    at = {"label": label} if label else {"priority": 1}
    return {"context": context, "extension": extension, **at}
