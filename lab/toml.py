"""TOML, written: the daemon's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Write tables of plain values as TOML; JSON's strings, numbers and lists are TOML's too."""
    tables: list[str] = []
    for section, values in settings.items():
        within = {f"{section}.{k}": v for k, v in values.items() if isinstance(v, Mapping)}
        lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if not isinstance(v, Mapping)]
        if lines or not within:
            tables.append("\n".join([f"[{section}]", *lines]) + "\n")
        if within:
            tables.append(toml(within))
    return "\n".join(tables)
