"""The daemon's configuration from environment variables, as a container gets it.

Each key of the configuration is a variable, PBXFED_ with section and key: `PBXFED_NODE_NAME=a`, `PBXFED_CALLS_RING_SECONDS=20`,
`PBXFED_WAN_CONNECT=nats://hub:4222` (lists with commas). Those that nothing reads are refused, with the nearest that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_origin, get_type_hints

from lab.places import LabError
from pbxfed_ari.config import Settings

PREFIX = "PBXFED_"
KEY = "PBXFED_FEDERATION_KEY"  # the key itself, instead of a file with it
OTHERS = {KEY, "PBXFED_CONFIG", "PBXFED_SECRET", "PBXFED_ROUTES"}  # what else reads a variable


def settings(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Section, key and value of each variable.

    Raises: LabError, naming the variable, its value and what would be right.
    """
    known = _variables()
    found: dict[str, dict[str, Any]] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in OTHERS:
            continue
        if name not in known:
            near = get_close_matches(name, [*known, *OTHERS], 1)
            raise LabError(f"{name}: nothing reads it" + (f"; meant {near[0]}?" if near else ""))
        section, key, kind = known[name]
        found.setdefault(section, {})[key] = _value(name, text, kind)
    return found


def _variables() -> dict[str, tuple[str, str, Any]]:
    """Section, key and type of each variable that there can be."""
    sections = {name: kind for name, kind in get_type_hints(Settings).items() if is_dataclass(kind)}
    return {
        f"{PREFIX}{section}_{key.name}".upper(): (section, key.name, get_type_hints(kind)[key.name])
        for section, kind in sections.items()
        for key in fields(kind)
    }


def _value(name: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        return [word.strip() for word in text.split(",") if word.strip()]
    if kind is bool:
        if text not in ("true", "false"):
            raise LabError(f"{name} = {text}: must be true or false")
        return text == "true"
    if kind is int:
        if not text.removeprefix("-").isdecimal():
            raise LabError(f"{name} = {text}: must be a whole number")
        return int(text)
    return text
