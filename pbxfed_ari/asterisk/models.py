"""The ARI objects that we read, as far as we read them; what else they carry is ignored.

Names and meaning are those of Asterisk's own `rest-api/api-docs/*.json`.
"""

from datetime import datetime

import msgspec


class CallerID(msgspec.Struct, frozen=True):
    """Who calls, as Asterisk believes it."""

    name: str = ""
    number: str = ""


class DialplanCEP(msgspec.Struct, frozen=True):
    """Where in the dialplan a channel is, and which application runs there."""

    context: str = ""
    exten: str = ""
    priority: int = 0
    app_name: str = ""
    app_data: str = ""


class Channel(msgspec.Struct, frozen=True):
    """A channel."""

    id: str
    name: str = ""
    state: str = ""
    caller: CallerID = CallerID()
    creationtime: datetime | None = None
    dialplan: DialplanCEP = DialplanCEP()


class Bridge(msgspec.Struct, frozen=True):
    """Where channels meet."""

    id: str
    channels: list[str] = []
    name: str = ""
    creator: str = ""


class Endpoint(msgspec.Struct, frozen=True):
    """A phone or a trunk that a channel can be made to."""

    technology: str
    resource: str
    state: str = ""


class ContactInfo(msgspec.Struct, frozen=True):
    """A registration, as its events tell it."""

    uri: str
    contact_status: str
    aor: str


class SystemInfo(msgspec.Struct, frozen=True):
    """Which Asterisk this is."""

    version: str
    entity_id: str = ""


class StatusInfo(msgspec.Struct, frozen=True):
    """Since when it runs."""

    startup_time: datetime


class AsteriskInfo(msgspec.Struct, frozen=True):
    """The answer to `GET /asterisk/info`."""

    system: SystemInfo
    status: StatusInfo


class Application(msgspec.Struct, frozen=True):
    """A Stasis application and what it is subscribed to."""

    name: str
    endpoint_ids: list[str] = []
    channel_ids: list[str] = []


class RTPstat(msgspec.Struct, frozen=True):
    """Of an RTP session, packets received."""

    rxcount: int = 0


class ConfigTuple(msgspec.Struct, frozen=True):
    """One attribute of a dynamic configuration object."""

    attribute: str
    value: str


class Variable(msgspec.Struct, frozen=True):
    """One variable's value."""

    value: str


class Variables(msgspec.Struct, frozen=True):
    """Several variables' values, by their names."""

    variables: dict[str, str]


class Message(msgspec.Struct, frozen=True):
    """What Asterisk says when it declines."""

    message: str = ""
