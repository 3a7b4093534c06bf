"""Draws the table of core/calls/transitions.py as docs/call.md: `python -m tests.callmap` writes it; a test holds the two
together.
"""

from pathlib import Path

from pbxfed_ari.core.calls.transitions import TABLE

PAGE = Path(__file__).parents[1] / "docs" / "call.md"
HEAD = """# One call's states

Drawn from the table in `pbxfed_ari/core/calls/transitions.py` by `python -m tests.callmap`; do not edit it here.

"""


def page() -> str:
    """The whole page: a Mermaid state diagram, then the table in words."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> new"]
    for row in TABLE:
        for state in row.states:
            if state.value == "over":
                continue
            for after in row.to:
                if after is not state:
                    lines.append(f"    {state.value} --> {after.value}: {_event(row.event)}")
    lines += [
        "    over --> [*]",
        "```",
        "",
        "| in | event | then | what is done |",
        "|---|---|---|---|",
    ]
    for row in TABLE:
        states = ", ".join(state.value for state in row.states)
        to = ", ".join(state.value for state in row.to)
        lines.append(f"| {states} | {_event(row.event)} | {to} | {row.what} |")
    return HEAD + "\n".join(lines) + "\n"


def _event(kind: type) -> str:
    """PeerGaveUp is `peer gave up`."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in kind.__name__).strip()


if __name__ == "__main__":
    PAGE.write_text(page())
