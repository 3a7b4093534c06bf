"""Supervision over HTTP: let somebody listen in on a call."""

import secrets

from aiohttp import web

from pbxfed_ari.core.calls.listening import WHISPERS
from pbxfed_ari.core.events import ListenAsked
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import schemas
from pbxfed_ari.web.access import Role
from pbxfed_ari.web.bodies import read_object
from pbxfed_ari.web.inbox import Inbox
from pbxfed_ari.web.operation import JSON, Operation, answer, body, in_path

RINGS = (
    1_500.0  # seconds until his phone has rung out, by each kind of trunk, however long it may ring
)


class ListenRoutes:
    """The route."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def operations(self) -> list[Operation]:
        """The route."""
        heard: Json = {"type": "string", "enum": list(WHISPERS)}
        wanted: Json = {
            "type": "object",
            "properties": {
                "extension": {
                    **KINDS["extension"].key.schema(),
                    "description": "Whose phone rings.",
                },
                "heard_by": {**heard, "default": "nobody", "description": "Who hears him."},
            },
            "required": ["extension"],
            "additionalProperties": False,
        }
        listens = schemas.record({"call": schemas.TEXT, "by": schemas.TEXT, "heard_by": heard})
        return [
            Operation(
                method="POST",
                path="/calls/{call}/listeners",
                handler=self.listen,
                tag="calls",
                summary="Let an extension listen in on a call",
                text="Its phone is called, and rings at whatever node it is; the answer comes when it is answered, or will "
                "not be. He hears both sides, and is heard by nobody, by the caller, by the called, or by both. It ends "
                "when he hangs up, or with the call, whose record says who listened, when, and who heard him (`listened`). "
                "Ask the node that the call came to first.",
                role=Role.OPERATE,
                parameters=(
                    in_path("call", "The call's id, as in `/calls`.", schemas.TEXT, "3f2a9c01b7de"),
                ),
                body=body(
                    "Who, and who hears him.",
                    {JSON: schemas.media(wanted, {"extension": "1003", "heard_by": "called"})},
                ),
                answers={201: answer(listens, "He has answered, and hears the call.")},
                errors=(404, 408, 409, 413, 415, 422, 503, 507),
            )
        ]

    async def listen(self, request: web.Request) -> web.Response:
        """He shall."""
        given = await read_object(request)
        number, heard_by = given.pop("extension", None), given.pop("heard_by", "nobody")
        if given:
            raise Refused(f"unknown field {next(iter(given))!r}; known are extension, heard_by")
        if not isinstance(number, str):
            raise Refused(f"extension = {number!r}: must be the number of an extension")
        if not isinstance(heard_by, str) or heard_by not in WHISPERS:
            raise Refused(f"heard_by = {heard_by!r}: must be one of {', '.join(WHISPERS)}")
        call, fresh = request.match_info["call"], secrets.token_hex(3)
        reply = await self._inbox.ask(
            lambda ticket: ListenAsked(ticket, call, number, heard_by, fresh), RINGS
        )
        return web.json_response(reply.body, status=reply.status)
