"""JSON schemas (draft 2020-12) of what the API takes and gives. Those of configuration objects come of their kinds."""

from collections.abc import Mapping

from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.core.records.objects.kind import Kind

TEXT: Json = {"type": "string"}
MAYBE: Json = {"type": ["string", "null"]}
COUNT: Json = {"type": "integer", "minimum": 0}
NUMBER: Json = {"type": "number"}
YES_NO: Json = {"type": "boolean"}
TEXTS: Json = {"type": "array", "items": TEXT}
HEX: Json = {"type": "string", "pattern": "^(?:[0-9a-f]{2})*$"}
TIME: Json = {"type": "string", "format": "date-time"}
FREE: Json = {"type": "object"}
STAR: Json = {"type": "string", "const": "*"}
TAGS: Json = {  # RFC 9110 §8.8.3, §13.1
    "type": "string",
    "pattern": r'^(?:\*|(?:W/)?"[!#-~]*"(?:, (?:W/)?"[!#-~]*")*)$',
}
PLACED = ("room", "queue")  # kinds that stand at one node
EXAMPLE_ID = "12f0a4b3c2d1e0f955"


def ref(name: str) -> Json:
    """A schema of the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Json) -> Json:
    """An array of these."""
    return {"type": "array", "items": items}


def record(properties: Mapping[str, Json], *, maybe: Mapping[str, Json] | None = None) -> Json:
    """An object with these properties, perhaps those of `maybe` too, and perhaps others: a later release may say more."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": {**properties, **(maybe or {})},
    }


def media(schema: Json, example: object) -> Json:
    """A Media Type Object."""
    return {"schema": schema, "example": example}


# --- configuration objects


def noun(kind: Kind) -> str:
    """What an operator calls one of them: how its help begins, in the singular."""
    words, _, _ = kind.help.partition(":")
    words = words.partition(" (")[0].removesuffix("s").removesuffix("sse") or words
    words = f"{words}ss" if words.endswith("cla") else words
    return words if words[1:2].isupper() else words.lower()


def shown_example(kind: Kind) -> Json:
    """An object as it is shown."""
    plain = {n: list(d) if isinstance(d, tuple) else d for n, d in kind.defaults.items()}
    known = {n: plain[n] for n, f in kind.fields.items() if not f.hidden}
    given_ = {n: v for n, v in kind.example.items() if n == kind.key_name or n in known}
    key = {kind.key_name: given_[kind.key_name], "id": EXAMPLE_ID}
    live: Json = {"registered": ["a"]} if kind.name == "extension" else {}
    if kind.name in PLACED:
        live = {"stands": ["b"], "callers": None}
    if kind.name == "room":
        live["has_pin"] = True
    return {**key, **known, **given_, **live, "state": "active"}


def given(kind: Kind) -> Json:
    """The fields of an object, as they are given."""
    return {name: value for name, value in kind.example.items() if name != kind.key_name}


def objects() -> dict[str, Json]:
    """For each kind: what is shown, what may be given, what may be patched, what may be imported."""
    found: dict[str, Json] = {}
    for kind in KINDS.values():
        fields = kind.schemas()
        key = {**kind.key.schema(), "description": f"The key: a {kind.key_name}."}
        found[kind.name] = _shown(kind, key)
        found[f"{kind.name}_fields"] = _closed(fields)
        patched = {n: _nullable(kind, n, schema) for n, schema in fields.items()}
        found[f"{kind.name}_patch"] = _closed(patched)
        found[f"{kind.name}_import"] = _closed(
            {
                "kind": {"const": kind.name},
                kind.key_name: key,
                "remove": {"type": "boolean", "description": "Remove it; no fields then."},
                **fields,
            },
            required=[kind.key_name],
        )
    return found


def _shown(kind: Kind, key: Json) -> Json:
    properties: dict[str, Json] = {
        kind.key_name: key,
        "id": {**HEX, "description": "Its own id, whatever its key.", "readOnly": True},
    }
    for name, field in kind.fields.items():
        if not field.hidden:
            properties[name] = {**field.type.schema(), "description": field.help}
    if kind.name == "extension":
        nodes = {**TEXTS, "description": "The nodes where its phones are registered."}
        properties["registered"] = {**nodes, "readOnly": True}
    if kind.name in PLACED:
        nodes = {
            **TEXTS,
            "description": "The nodes where it stands, the one first to which callers go.",
        }
        properties["stands"] = {**nodes, "readOnly": True}
        inside: Json = {
            "type": ["integer", "null"],
            "description": "Callers in it, if it stands here.",
        }
        properties["callers"] = {**inside, "readOnly": True}
    if kind.name == "room":
        properties["has_pin"] = {**YES_NO, "description": "Is a PIN set?", "readOnly": True}
    state = "contested: an older claim holds the key; it is disabled until that is settled."
    words = {"type": "string", "enum": ["active", "contested"]}
    properties["state"] = {**words, "description": state, "readOnly": True}
    return {**record(properties), "description": kind.help}


def _nullable(kind: Kind, name: str, schema: Json) -> Json:
    known = kind.fields.get(name)
    if known is None or known.hidden or name in kind.needed:
        return schema
    text = {"description": schema["description"]}
    return {"anyOf": [schema, {"type": "null"}], **text}


def _closed(properties: Mapping[str, Json], required: list[str] | None = None) -> Json:
    needed = {"required": required} if required else {}
    return {
        "type": "object",
        "properties": dict(properties),
        **needed,
        "additionalProperties": False,
    }


# --- everything else

_LEG = record(
    {"node": TEXT, "trunk": MAYBE},
    maybe={"number": TEXT, "line": TEXT, "digits": TEXT, "instead_of": listed(TEXT)},
)
_LEAD = record({"context": TEXT, "exten": TEXT})
_RECORD = record({"name": TEXT, "ttl": COUNT, "type": TEXT, "data": TEXT})
_TRIES = listed(record({"legs": listed(_LEG), "reason": TEXT}, maybe={"lead": _LEAD}))
_ATTEMPTS = listed(
    record(
        {
            "number": TEXT,
            "legs": listed(_LEG),
            "reason": TEXT,
            "began_seconds": NUMBER,
            "seconds": NUMBER,
            "outcome": TEXT,
        }
    )
)
_LISTENED = listed(record({"by": TEXT, "heard_by": TEXT, "since": TIME, "seconds": NUMBER}))
_WAY: dict[str, Json] = {"when": TEXT, "to": TEXT, "why": TEXT}
_AFTER: Json = {"anyOf": [{"allOf": [record(_WAY), ref("tries")]}, record({**_WAY, "as": TEXT})]}
_SENSOR = record({"sensor": TEXT, "what": TEXT, "limit": TEXT, "costs": COUNT, "remedy": TEXT})
_MEMBER = record(
    {
        "node": TEXT,
        "state": TEXT,
        "address": TEXT,
        "takes_calls": YES_NO,
        "condition": TEXT,
        "sick": {"type": ["integer", "null"]},
        "drains": {"type": ["boolean", "null"]},
        "site": TEXT,
        "weight": {"type": ["integer", "null"]},
        "trunks": TEXTS,
        "version": TEXT,
    },
    maybe={
        "self": YES_NO,
        "avoided_trunks": TEXTS,
        "clock_seconds_ahead": {"type": ["number", "null"]},
        "heard_by": TEXT,
        "told_by": TEXT,
        "multicast_loss": {"type": ["number", "null"]},
        "silent_seconds": NUMBER,
    },
)
_HANDOUT = record({"id": HEX, "vendor": TEXT, "mac": TEXT, "once": YES_NO, "made": TIME})
_COUNTED: dict[str, Json] = {w: COUNT for w in ("added", "changed", "removed", "unchanged")}

OTHERS: dict[str, Json] = {
    "problem": record({"title": TEXT, "status": {"type": "integer"}, "detail": TEXT}),
    "health": record(
        {
            "status": {"type": "string", "enum": ["ok", "poorly", "sick", "down"]},
            "node": TEXT,
            "version": TEXT,
            "reasons": TEXTS,
            "score": NUMBER,
            "sensors": listed(_SENSOR),
            "unread": FREE,
            "warnings": TEXTS,
            "asterisk": FREE,
        }
    ),
    "version": record({"version": TEXT, "wire": COUNT}),
    "member": _MEMBER,
    "status": record(
        {
            "node": TEXT,
            "version": TEXT,
            "epoch": COUNT,
            "domain": TEXT,
            "health": {"anyOf": [{"const": "ok"}, TEXTS]},
            "score": NUMBER,
            "sensors": listed(_SENSOR),
            "warnings": TEXTS,
            "clock": record({"seconds_ahead": {"type": ["number", "null"]}, "peers": COUNT}),
            "asterisk": FREE,
            "members": listed(ref("member")),
            "sites": listed(FREE),
            "wan": {"type": ["object", "null"]},
            "ring": TEXT,
            "vector": HEX,
            "extensions": COUNT,
            "contested": TEXTS,
            "registered": COUNT,
            "calls": COUNT,
            "failed_authentications": ref("failures"),
            "counters": FREE,
        }
    ),
    "drain": record(
        {
            "drains": YES_NO,
            "since": {"type": ["string", "null"], "format": "date-time"},
            "deadline": {"type": ["string", "null"], "format": "date-time"},
            "seconds_left": {"type": ["number", "null"]},
            "end": YES_NO,
            "over": YES_NO,
            "calls": COUNT,
            "phones": COUNT,
            "numbers": TEXTS,
        }
    ),
    "failures": record(
        {
            "read_from": record({"file": TEXT, "trouble": TEXT, "bytes_skipped": COUNT}),
            "addresses": listed(
                record({"address": TEXT, "failures": COUNT, "forgeable": COUNT, "nodes": TEXTS})
            ),
        }
    ),
    "ring": record(
        {
            "fingerprint": TEXT,
            "members": listed(record({"node": TEXT, "weight": COUNT, "share": NUMBER})),
        }
    ),
    "zone": record(
        {
            "domain": TEXT,
            "records": listed(_RECORD),
            "delegation": listed(_RECORD),
            "text": TEXT,
            "delegation_text": TEXT,
        }
    ),
    "preference": record({"key": TEXT, "owner": TEXT, "preference": TEXTS}),
    "where": record(
        {
            "extension": TEXT,
            "registrations": listed(record({"node": TEXT, "uri": TEXT, "since": TIME})),
            "taken_over": listed(record({"node": TEXT, "uri": TEXT, "since": TIME, "by": TEXT})),
            "home": TEXT,
        }
    ),
    "tries": {
        **record(
            {
                "number": TEXT,
                "tries": _TRIES,
                "cause": COUNT,
                "reason": TEXT,
                "then": listed(_AFTER),
            }
        ),
        "description": "The tries in order; where the call goes after which outcome (`as`: from there on as after that "
        "one); the cause (Q.850) if it ends.",
    },
    "route": {"allOf": [record({"extension": TEXT, "from": TEXT}), ref("tries")]},
    "call": record(
        {
            "call": TEXT,
            "state": TEXT,
            "from": TEXT,
            "to": TEXT,
            "transferred_by": TEXT,
            "came_by": TEXT,
            "control": TEXT,
            "seconds": NUMBER,
            "talking_seconds": {"type": ["number", "null"]},
            "tries": _TRIES,
            "attempts": _ATTEMPTS,
            "tries_left_out": COUNT,
            "listened": _LISTENED,
            "listens_to": TEXT,
            "recording": TEXT,
        }
    ),
    "record": record(
        {
            "id": COUNT,
            "call": TEXT,
            "node": TEXT,
            "began": TIME,
            "began_ms": COUNT,
            "from": TEXT,
            "to": TEXT,
            "reached": TEXT,
            "answered": YES_NO,
            "cause": COUNT,
            "seconds": NUMBER,
            "talked_seconds": NUMBER,
            "tries": COUNT,
            "control": TEXT,
            "peer": TEXT,
            "outside": YES_NO,
            "unseen_seconds": NUMBER,
            "transferred_by": TEXT,
            "recording": TEXT,
            "recorded_seconds": NUMBER,
            "recording_error": TEXT,
            "attempts": _ATTEMPTS,
            "tries_left_out": COUNT,
            "listened": _LISTENED,
            "listens_to": TEXT,
        }
    ),
    "event": record({"id": COUNT, "time": TIME, "event": TEXT, "level": TEXT, "fields": FREE}),
    "key": record(
        {
            "key": HEX,
            "made": {"type": ["string", "null"], "format": "date-time"},
            "by": MAYBE,
            "state": {"type": "string", "enum": ["seals", "opens", "retired"]},
        }
    ),
    "rotated": record({"key": HEX, "expelled": MAYBE}),
    "invitation": record({"token": TEXT, "until": TIME}),
    "provisioning": record(
        {"extension": TEXT, "served_here": YES_NO, "readable": YES_NO, "urls": listed(_HANDOUT)}
    ),
    "provisioning_url": {
        "allOf": [
            _HANDOUT,
            record(
                {
                    "extension": TEXT,
                    "url": {**TEXT, "description": "What to give to the phone."},
                    "files": {**TEXTS, "description": "What it asks for then, in this order."},
                }
            ),
        ]
    },
    "removed": {"type": "object", "required": ["removed"], "properties": {"removed": YES_NO}},
    "imported": record(
        {
            **_COUNTED,
            "objects": listed(
                record(
                    {
                        "kind": TEXT,
                        "key": TEXT,
                        "what": {"type": "string", "enum": ["added", "changed", "removed"]},
                        "changes": {
                            "type": "object",
                            "description": "By field: before and after; of a secret only that it is set.",
                            "additionalProperties": {
                                "type": "array",
                                "minItems": 2,
                                "maxItems": 2,
                            },
                        },
                    }
                )
            ),
        }
    ),
    "import": {
        "type": "object",
        "required": ["objects"],
        "additionalProperties": False,
        "properties": {
            "objects": listed({"anyOf": [ref(f"{name}_import") for name in KINDS]}),
        },
    },
    "export": record({"objects": listed(FREE)}),
}
