"""The daemon's configuration, as `pbxfed init` writes it: what differs from the defaults, and what every file must say."""

import json
from collections.abc import Mapping

HEAD = "# written by `pbxfed init`; all keys stand in the README\n\n"


def toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Tables of plain values; JSON's strings, numbers and lists are TOML's too. Empty tables are left out."""
    tables = [
        "\n".join(
            [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        )
        for section, values in sections.items()
        if values
    ]
    return "\n\n".join(tables) + "\n"
