"""Many objects as a text: CSV, a line for each, and JSON. Pure: bytes to edits and back; what is wrong is told with its place.

A CSV begins with the names of its columns: the key, and any fields. Lists stand in one cell with commas between their
entries. An empty cell is the field's default; an empty secret leaves the secret alone. A file whose columns are divided by
semicolons, as spreadsheets write it in some countries, is read as well.

A spreadsheet takes a text that begins with = + - or @ for a formula, and runs it: we write an apostrophe before it, and leave
out one that stands so when we read. Numbers stay as they are.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.core.records.objects.kind import Item, Kind
from pbxfed_ari.errors import Refused
from pbxfed_ari.web.bodies import decode, json_object, position

MOST = 20_000  # objects in one import
_BOM = b"\xef\xbb\xbf"
_NUMBERS = re.compile(r"\+?[0-9]+(,\+?[0-9]+)*")
_FORMULA = re.compile(
    r"(?:^|(?<=;))(?='*[=+\-@])"
)  # ; begins a cell for who divides the line there
_MARKED = re.compile(r"(?:^|(?<=;))'(?='*[=+\-@])")


@dataclass(frozen=True, slots=True)
class Row:
    """What shall become of one object: these fields, or None to remove it."""

    where: str  # `line 7`, `object 3`
    kind: str
    key: str
    fields: Json | None = field(repr=False)  # may hold a secret


class _Objects(msgspec.Struct, forbid_unknown_fields=True):
    objects: list[msgspec.Raw]


# --- reading


def read_csv(data: bytes, kind: Kind) -> list[Row]:
    """The rows of a CSV with objects of one kind.

    Raises: Refused, naming line and column.
    """
    text = _text(data)
    head, _, _ = text.lstrip("\r\n").partition("\n")
    delimiter = ";" if ";" in head and "," not in head else ","
    columns: list[str] = []
    rows: list[Row] = []
    for number, cells in _lines(text, delimiter):
        if not cells:
            continue
        if not columns:
            columns = _columns(kind, cells, number)
        elif len(cells) != len(columns):
            raise Refused(f"line {number}: {len(cells)} cells, but {len(columns)} columns")
        else:
            given = dict(zip(columns, map(_read, cells), strict=True))
            rows.append(_row(kind, given.pop(kind.key_name), given, f"line {number}"))
            _bound(rows)
    if not columns:
        raise Refused("line 1: the names of the columns must stand there")
    return rows


def read_json(data: bytes, kind: str = "") -> list[Row]:
    """The objects of `{"objects": […]}`; `kind` is that of those that name none.

    Raises: Refused, naming the object.
    """
    found: list[msgspec.Raw] = decode(data, _Objects).objects
    _bound(found)
    rows: list[Row] = []
    for number, raw in enumerate(found, 1):
        try:
            rows.append(_object(raw, f"object {number}", kind))
        except Refused as refused:
            raise Refused(f"object {number}: {refused}", status=refused.status) from None
    return rows


# --- writing


def written(kind: Kind) -> list[str]:
    """The columns of a CSV that we write."""
    return [kind.key_name, *(name for name, f in kind.fields.items() if not f.hidden)]


def csv_lines(kind: Kind, items: Iterator[Item]) -> Iterator[bytes]:
    """A CSV, line by line; without secrets."""
    yield _line(written(kind))
    for item in items:
        values = (kind.fields[n].type.text(getattr(item, n)) for n in written(kind)[1:])
        yield _line([item.key, *values])


def portable(kind: Kind, item: Item, *, digests: bool = False) -> Json:
    """An object as an import takes it back; `digests`: with what is kept of its secret."""
    shown = kind.shown(item)
    found: Json = {"kind": kind.name, **{n: shown[n] for n in written(kind)}}
    hidden = [name for name, f in kind.fields.items() if f.hidden and digests]
    return {**found, **{name: getattr(item, name) for name in hidden if getattr(item, name)}}


def safe(cell: str) -> str:
    """A cell as no spreadsheet runs it."""
    return cell if _NUMBERS.fullmatch(cell) else _FORMULA.sub("'", cell)


# --- helpers


def _text(data: bytes) -> str:
    data = data.removeprefix(_BOM)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        what = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "not UTF-8"
        place = position(data, error.start)
        raise Refused(f"{place}: this is {what}; save the file as UTF-8") from None
    at = text.find("\0")
    if at >= 0:
        raise Refused(f"{position(data, len(text[:at].encode()))}: a NUL byte must not stand there")
    return text


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each line with its number; one with a line break in a cell has that of its first."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = lines.line_num + 1
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise Refused(f"line {number}: {error}") from None
        if cells is None:
            return
        yield number, cells


def _columns(kind: Kind, cells: list[str], number: int) -> list[str]:
    """The names of the columns, checked."""
    known = [kind.key_name, *kind.schemas()]
    columns = [cell.strip() for cell in cells]
    for name in columns:
        if name not in known:
            said = f"unknown; known are {', '.join(known)}"
            raise Refused(f"line {number}, column {name!r}: {said}", field=name)
        if columns.count(name) > 1:
            raise Refused(f"line {number}, column {name!r}: stands there twice", field=name)
    if kind.key_name not in columns:
        raise Refused(f"line {number}: the column {kind.key_name!r} is missing")
    return columns


def _row(kind: Kind, key: str, given: dict[str, str], where: str) -> Row:
    values: Json = {}
    for name, text in given.items():
        known = kind.fields.get(name)
        if not text and (known is None or known.hidden):
            continue
        try:
            values[name] = (
                text
                if known is None
                else kind.defaults[name]
                if not text and name not in kind.needed
                else known.type.parse(text)
            )
        except ValueError as error:
            raise Refused(
                f"{where}, column {name}: {kind.name} {key}: {name} = {text!r}: {error}", field=name
            ) from None
    return Row(where, kind.name, key, values)


def _object(raw: msgspec.Raw, where: str, default: str) -> Row:
    fields = json_object(bytes(raw))
    name = fields.pop("kind", default)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Refused(f"kind = {name!r}: must be one of {', '.join(KINDS)}", field="kind")
    key = fields.pop(kind.key_name, None)
    if not isinstance(key, str):
        raise Refused(f"{kind.key_name} = {key!r}: must be a string", field=kind.key_name)
    remove = fields.pop("remove", False)
    if not isinstance(remove, bool) or (remove and fields):
        raise Refused("remove: must be true or false, and alone with kind and key", field="remove")
    return Row(where, kind.name, key, None if remove else fields)


def _bound(rows: list[Row] | list[msgspec.Raw]) -> None:
    if len(rows) > MOST:
        raise Refused(f"more than {MOST} objects: import them in parts", status=413)


def _line(cells: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(map(safe, cells))
    return out.getvalue().encode()


def _read(cell: str) -> str:
    """What was made safe, as it was."""
    return _MARKED.sub("", cell)
