"""The routes by which an operator hands out provisioning files, and takes them back. A URL is shown once, to who asked."""

import re
import secrets
from dataclasses import dataclass
from random import Random
from typing import Protocol
from urllib.parse import quote

from aiohttp import web

from pbxfed_ari.core.events import Edited
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.handouts import Handout, Handouts, Issue, Wish, Withdraw, proof
from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.extension import MIN_SECRET, SECRET_HELP, Phone
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.core.stamp import utc
from pbxfed_ari.errors import Refused
from pbxfed_ari.provisioning import VENDORS
from pbxfed_ari.provisioning.telling import Recipe, sheet
from pbxfed_ari.provisioning.vendor import Unfit, Vendor
from pbxfed_ari.web import schemas
from pbxfed_ari.web.access import Role
from pbxfed_ari.web.bodies import read_object
from pbxfed_ari.web.inbox import Inbox
from pbxfed_ari.web.operation import JSON, Operation, answer, body, in_path, in_query

TOKEN = 18  # random bytes of a URL: 144 bits
SECRET = 12  # random bytes of a secret that we make
MAC = r"[0-9A-Fa-f]{12}|[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}"
SAMPLE = "no-secret-yet-1"  # stands for one that is made, where a file is tried


@dataclass(frozen=True, slots=True)
class Offer:
    """Where this node's phones fetch their files."""

    host: str  # in URLs
    port: int
    recipe: Recipe = Recipe()

    def url(self, number: str, token: str, rest: str) -> str:
        """A URL."""
        port = "" if self.port == 443 else f":{self.port}"
        return f"https://{self.host}{port}/{quote(number)}/{token}/{rest}"


class Node(Protocol):
    """What these routes need of the node."""

    federation: Federation

    @property
    def offer(self) -> Offer | None:
        """Where phones fetch their files; None: nowhere."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...


class HandoutRoutes:
    """List, hand out, revoke."""

    def __init__(self, node: Node, inbox: Inbox, rng: Random) -> None:
        self._node, self._inbox, self._rng = node, inbox, rng

    async def get(self, request: web.Request) -> web.Response:
        """What stands of an extension."""
        phone = self._phone(request)
        return web.json_response(self._shown(phone))

    async def post(self, request: web.Request) -> web.Response:
        """One URL more."""
        given = await read_object(request)
        offer = self._node.offer
        phone = self._phone(request)
        if offer is None:
            said = "provisioning.listen is not set on this node, and phones fetch their files there"
            raise Refused(f"extension {phone.key}: {said}", status=409)
        wanted = _Wanted.of(given, phone.key)
        secret = wanted.secret or (secrets.token_urlsafe(SECRET) if wanted.new_secret else "")
        self._try(phone, wanted.vendor, secret, offer)
        token = secrets.token_urlsafe(TOKEN)
        made = Handout(
            wanted.vendor.name,
            wanted.mac,
            proof(phone.key, token),
            wanted.once,
            self._node.wall_ms() // 1_000,
        )
        await self._edit(phone, Issue(made), {"secret": secret} if secret else {})
        vendor = wanted.vendor
        names = [name.replace("{mac}", wanted.mac or "MAC") for name in vendor.names]
        shown = {
            "extension": phone.key,
            **_one(made),
            "url": offer.url(phone.key, token, vendor.entry),
            "files": [offer.url(phone.key, token, name) for name in names],
        }
        headers = {"Cache-Control": "no-store"}
        return web.json_response(shown, status=201, headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        """These end."""
        phone, which = self._phone(request), request.query.get("id", "")
        known = [one.name for one in self._node.federation.view.handouts(phone).each]
        if which and which not in known:
            said = f"no provisioning URL {which!r}; it has {', '.join(known) or 'none'}"
            raise Refused(f"extension {phone.key}: {said}", status=404)
        await self._edit(phone, Withdraw((which,) if which else ()), {})
        return web.json_response({"extension": phone.key, "removed": True})

    # --- helpers

    def _phone(self, request: web.Request) -> Phone:
        key = KINDS["extension"].check_key(request.match_info["key"])
        phone = self._node.federation.view.phone(Extension(key))
        if phone is None:
            raise Refused(f"extension {key}: not known in the federation", status=404)
        return phone

    def _shown(self, phone: Phone) -> Json:
        federation = self._node.federation
        handouts: Handouts = federation.view.handouts(phone)
        return {
            "extension": phone.key,
            "served_here": self._node.offer is not None,
            "readable": bool(handouts.each) and federation.view.secret(phone) is not None,
            "urls": [_one(one) for one in handouts.each],
        }

    def _try(self, phone: Phone, vendor: Vendor, secret: str, offer: Offer) -> None:
        """What would not fit is said now, and not to the phone. Raises: Refused."""
        federation = self._node.federation
        try:
            told = sheet(
                federation,
                phone,
                secret or federation.view.secret(phone) or SAMPLE,
                offer.recipe,
                client="0.0.0.0",
                rng=self._rng,
            )
            for file in vendor.files:
                file.render(told)
        except Unfit as unfit:
            raise Refused(f"extension {phone.key}: {unfit}", status=422) from None

    async def _edit(self, phone: Phone, wish: Wish, fields: Json) -> None:
        await self._inbox.ask(
            lambda ticket: Edited(
                ticket,
                "extension",
                phone.key,
                fields,
                self._node.wall_ms(),
                b"",
                update=True,
                object_id=phone.id,
                wish=wish,
            )
        )

    # --- what the document says

    def operations(self) -> list[Operation]:
        """The routes."""
        path, tag = "/extensions/{key}/provisioning", "extensions"
        key = in_path("key", "The number.", KINDS["extension"].key.schema(), "1001")
        which = in_query("id", "Only this one.", schemas.HEX)
        errors = (404, 408, 409, 413, 415, 422, 503, 507)
        return [
            Operation(
                method="GET",
                path=path,
                handler=self.get,
                tag=tag,
                summary="Who may fetch an extension's provisioning file",
                text="Without the URLs: they are shown once, when they are made. `readable`: this node can serve them.",
                parameters=(key,),
                answers={200: answer(schemas.ref("provisioning"), "What stands.")},
                errors=(404, 422),
            ),
            Operation(
                method="POST",
                path=path,
                handler=self.post,
                tag=tag,
                summary="Make a URL from which a phone fetches its settings",
                text="Who has the URL has the phone's secret: it is shown this once. In place of an earlier one of the "
                "same vendor and MAC address. An extension of whose secret only the digest is kept needs it once more "
                "(`secret`), or a new one (`new_secret`); from then on it is kept, encrypted, until the last URL is revoked.",
                role=Role.OPERATE,
                parameters=(key,),
                body=body(
                    "For which phone.",
                    {
                        JSON: schemas.media(
                            WANTED_SCHEMA,
                            {"vendor": "yealink", "mac": "00:15:65:aa:bb:cc"},
                        )
                    },
                ),
                answers={201: answer(schemas.ref("provisioning_url"), "The URL.")},
                errors=errors,
            ),
            Operation(
                method="DELETE",
                path=path,
                handler=self.delete,
                tag=tag,
                summary="Revoke URLs, on every node",
                text="All of an extension, or one by its `id`. With the last one the secret is forgotten; its digest stays.",
                role=Role.OPERATE,
                parameters=(key, which),
                answers={200: answer(schemas.ref("removed"), "Revoked.")},
                errors=(404, 409, 422, 503, 507),
            ),
        ]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked for."""

    vendor: Vendor
    mac: str
    once: bool
    secret: str
    new_secret: bool

    @classmethod
    def of(cls, given: Json, key: str) -> "_Wanted":
        """Checked. Raises: Refused."""
        for name in given:
            if name not in WANTED:
                said = f"unknown field {name!r}; known are {', '.join(WANTED)}"
                raise Refused(f"extension {key}: {said}", field=name)
        vendor = VENDORS.get(str(given.get("vendor", "")))
        if vendor is None:
            said = f"vendor = {given.get('vendor')!r}: must be one of {', '.join(VENDORS)}"
            raise Refused(f"extension {key}: {said}", field="vendor")
        mac, secret = given.get("mac", ""), given.get("secret", "")
        if not isinstance(mac, str) or (mac and not re.fullmatch(MAC, mac)):
            said = f"mac = {mac!r}: must be 12 hexadecimal digits, as 00:15:65:aa:bb:cc"
            raise Refused(f"extension {key}: {said}", field="mac")
        if mac and not vendor.macs:
            said = f"mac = {mac!r}: {vendor.name} does not say it, leave it out"
            raise Refused(f"extension {key}: {said}", field="mac")
        for name in ("once", "new_secret"):
            if not isinstance(given.get(name, False), bool):
                raise Refused(f"extension {key}: {name} must be true or false", field=name)
        if not isinstance(secret, str):
            raise Refused(f"extension {key}: the secret must be a string", field="secret")
        new = bool(given.get("new_secret", False))
        if new and secret:
            raise Refused(f"extension {key}: either secret or new_secret", field="new_secret")
        digits = "".join(c for c in mac if c not in ":-.").lower()
        return cls(vendor, digits, bool(given.get("once", False)), secret, new)


WANTED: dict[str, Json] = {
    "vendor": {"type": "string", "enum": list(VENDORS), "description": "Whose phone it is."},
    "mac": {
        "type": "string",
        "pattern": f"^(?:{MAC})?$",
        "description": "Only for this phone, which says it in the file's name.",
    },
    "once": {
        "type": "boolean",
        "default": False,
        "description": "The URL ends when the file was fetched.",
    },
    "secret": {
        "type": "string",
        "minLength": MIN_SECRET,
        "writeOnly": True,
        "description": SECRET_HELP,
    },
    "new_secret": {
        "type": "boolean",
        "default": False,
        "description": "Make a new secret: phones that hold the old one are refused from then on.",
    },
}


WANTED_SCHEMA: Json = {
    "type": "object",
    "required": ["vendor"],
    "properties": WANTED,
    "additionalProperties": False,
}


def _one(one: Handout) -> Json:
    return {
        "id": one.name,
        "vendor": one.vendor,
        "mac": one.mac,
        "once": one.once,
        "made": utc(one.made * 1_000),
    }
