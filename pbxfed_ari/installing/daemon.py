"""The daemon's configuration, as `pbxfed init` writes it: what differs from the defaults, and what every file must say."""

import json
from collections.abc import Mapping

HEAD = "# written by `pbxfed init`; docs/configuration.md has all keys\n\n"


def toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Tables of plain values and of tables, the empty left out; JSON's strings, numbers and lists are TOML's too."""
    return "\n".join(_tables(sections))


def _tables(sections: Mapping[str, Mapping[str, object]], under: str = "") -> list[str]:
    tables: list[str] = []
    for section, values in sections.items():
        plain = [f"{k} = {json.dumps(v)}" for k, v in values.items() if not isinstance(v, Mapping)]
        if plain:
            tables.append("\n".join([f"[{under}{section}]", *plain]) + "\n")
        within = {k: v for k, v in values.items() if isinstance(v, Mapping)}
        tables += _tables(within, f"{under}{section}.")
    return tables
