"""TOML, written: the daemon's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Write tables of plain values as TOML; JSON's strings, numbers and lists are TOML's too."""
    tables = []
    for section, values in settings.items():
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        tables.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(tables) + "\n"
