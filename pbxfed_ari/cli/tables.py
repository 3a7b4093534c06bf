"""What is printed: JSON for scripts, aligned columns for people."""

import json
from collections.abc import Iterable, Mapping

import click

from pbxfed_ari.logs import one_line

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def show(value: object, as_json: bool, text: str) -> None:
    """The value as JSON, or the text that says the same, without what would move the terminal's cursor."""
    plain = "\n".join(map(one_line, text.split("\n")))
    click.echo(json.dumps(value, indent=2) if as_json else plain)


def table(rows: object, columns: tuple[str, ...]) -> str:
    """Rows of objects as aligned columns."""
    assert isinstance(rows, list)
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    head = [column.replace("_", " ") for column in columns]
    return aligned([head, *cells])


def record(fields: Mapping[str, object]) -> str:
    """One object, a line for each field."""
    return aligned([[name.replace("_", " "), cell(value)] for name, value in fields.items()])


def aligned(lines: list[list[str]]) -> str:
    """Lines of as many cells each, one below the other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths) for line in lines)


def cell(value: object) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) or "-" if isinstance(value, list) else str(value)
    return one_line(text)


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()
