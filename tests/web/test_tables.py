"""CSV and JSON of many objects: read with the place of what is wrong, and what is written is read as it was."""

import json
import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxfed_ari.core.names import ObjectId
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.fields import Choice, Flag, ListOf, Text, Type, Whole
from pbxfed_ari.core.records.objects.kind import Kind
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import tables
from pbxfed_ari.web.tables import csv_lines, portable, read_csv, read_json

EXT, GROUP = KINDS["extension"], KINDS["group"]


def checked(type_: Type, value: object) -> bool:
    try:
        type_.check(value)
    except ValueError:
        return False
    return True


def values(type_: Type) -> st.SearchStrategy[Any]:
    """Anything that a type allows."""
    match type_:
        case Choice(words):
            return st.sampled_from(words)
        case Flag():
            return st.booleans()
        case Whole(low, high):
            return st.integers(low, high)
        case Text(most):
            return st.text(max_size=most).filter(lambda text: checked(type_, text))
        case ListOf(of):
            return st.lists(values(of), max_size=3, unique=True).map(tuple)
        case _:
            pattern = str(type_.schema()["pattern"])
            texts = st.from_regex(re.compile(pattern.replace("$", r"\Z")), fullmatch=True)
            return texts.filter(lambda text: checked(type_, text))


@st.composite
def items(draw: st.DrawFn) -> tuple[Kind, Any]:
    kind = draw(st.sampled_from(list(KINDS.values())))
    found = {n: draw(values(f.type)) for n, f in kind.fields.items() if not f.hidden and f.type}
    return kind, kind.item(
        id=ObjectId(kind.byte + bytes(8)), key=draw(values(kind.key)), claimed=(1, "a"), **found
    )


@given(items())
@settings(max_examples=150)
def test_what_is_written_is_read_as_it_was(one: tuple[Kind, Any]) -> None:
    """CSV and JSON, every kind, whatever its fields hold."""
    kind, item = one
    shown = {n: v for n, v in kind.shown(item).items() if n not in ("id", kind.key_name)}
    (row,) = read_csv(b"".join(csv_lines(kind, iter([item]))), kind)
    assert (row.kind, row.key, row.where) == (kind.name, item.key, "line 2")
    assert row.fields is not None
    assert kind.check(item.key, row.fields) == {n: getattr(item, n) for n in shown}
    (again,) = read_json(json.dumps({"objects": [portable(kind, item)]}).encode())
    assert (again.key, again.fields) == (item.key, shown)


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_no_bytes_break_the_readers(data: bytes) -> None:
    """Whatever is sent, it is read or refused."""
    for prefix, read in ((b"extension,name\n", lambda d: read_csv(d, EXT)), (b"", read_json)):
        try:
            read(prefix + data)
        except Refused:
            continue


def test_spreadsheets_are_read() -> None:
    """A BOM, CRLF or CR, quotes, line breaks within them, blank lines, semicolons."""
    for text in (
        b"extension,name,devices\n1001,Reception,2\n",
        b"\xef\xbb\xbfextension,name,devices\r\n\r\n1001,Reception,2",
        b'"extension", name,devices \r"1001","Reception",2\r',
        b"extension;name;devices\r\n1001;Reception;2\r\n",
    ):
        (row,) = read_csv(text, EXT)
        assert (row.key, row.fields) == ("1001", {"name": "Reception", "devices": 2})
    rows = read_csv(b'number,members\n600,"1001,1002"\n\n601,\n602,1001;1002\n', GROUP)
    assert [row.fields for row in rows] == [
        {"members": ["1001", "1002"]},
        {"members": ()},
        {"members": ["1001", "1002"]},
    ]
    assert [row.where for row in rows] == ["line 2", "line 4", "line 5"]


def test_an_empty_cell_is_the_default_but_an_empty_secret_is_none() -> None:
    """Of what must be given, the rule decides."""
    (row,) = read_csv(b"extension,secret,ha1,devices,codecs,dnd\n1001,,,,,\n", EXT)
    assert row.fields == {"devices": 1, "codecs": (), "dnd": False}
    (trunk,) = read_csv(b"trunk,site,endpoint,nodes\nx,,,\n", KINDS["trunk"])
    assert trunk.fields == {"site": "", "endpoint": "", "nodes": []}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "line 1: the names of the columns must stand there"),
        (b"name\nx\n", "line 1: the column 'extension' is missing"),
        (b"\nextension,colour\n", "line 2, column 'colour': unknown; known are extension, secret"),
        (b"extension,name,name\n", "line 1, column 'name': stands there twice"),
        (b"extension,name\n1001\n", "line 2: 1 cells, but 2 columns"),
        (b"extension,name\n1001,a,b\n", "line 2: 3 cells, but 2 columns"),
        (b"extension,devices\n1001,1\n1002,two\n", "line 3, column devices: extension 1002: devices = 'two': must"),
        (b"extension,dnd\n1001,maybe\n", "line 2, column dnd: extension 1001: dnd = 'maybe': must be yes or no"),
        (b'extension,name\n1001,"x"y\n', "line 2: "),
        (b'extension,name\n1001,"x\ny\n', "line 2: unexpected end of data"),
        (b"extension,name\n1001,Caf\xe9\n", "line 2, column 9: this is not UTF-8"),
        ("extension,name\n1001,é\n".encode("utf-16"), "line 1, column 1: this is UTF-16"),
        (b"extension,name\n1001,\xc3\xa9\0\n", "line 2, column 7: a NUL byte"),
        (b"extension,name\n1001," + b"x" * 200_000, "line 2: field larger than field limit"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_csv_is_told_with_its_place(text: bytes, words: str) -> None:
    """Line and column."""
    with pytest.raises(Refused, match=re.escape(words)) as caught:
        read_csv(text, EXT)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        (b'{"objects": [{"kind": "group",\n"number" "600"}]}', 400, "line 2, column 10"),
        (b'{"objects": [{"kind": "\xff"}]}', 400, "object 1: the body is not JSON"),
        (b'{"objects": ' + b"[" * 100_000, 400, "nested too deeply"),
        (b"[]", 422, "Expected `object`, got `array`"),
        (b"{}", 422, "missing required field `objects`"),
        (b'{"objects": [], "more": 1}', 422, "unknown field `more`"),
        (b'{"objects": [7]}', 400, "object 1: the body must be a JSON object"),
        (b'{"objects": [{}]}', 422, "object 1: kind = '': must be one of extension, group"),
        (b'{"objects": [{"kind": ["x"]}]}', 422, "object 1: kind = ['x']"),
        (b'{"objects": [{"kind": "group"}]}', 422, "object 1: number = None: must be a string"),
        (b'{"objects": [{"kind": "group", "number": 600}]}', 422, "number = 600: must be a string"),
        (b'{"objects": [{"kind": "group", "number": "600", "remove": 1}]}', 422, "remove: must be"),
        (b'{"objects": [{"kind": "group", "number": "600", "remove": true, "name": "x"}]}', 422, "alone"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_json_is_told_with_its_place(
    text: bytes, status: int, words: str
) -> None:
    """The object, or line and column."""
    with pytest.raises(Refused, match=re.escape(words)) as caught:
        read_json(text)
    assert caught.value.status == status


def test_too_many_objects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their size."""
    monkeypatch.setattr(tables, "MOST", 2)
    with pytest.raises(Refused, match="more than 2 objects") as caught:
        read_csv(b"extension\n1\n2\n3\n", EXT)
    assert caught.value.status == 413
    with pytest.raises(Refused, match="more than 2 objects"):
        read_json(b'{"objects": [1, 2, 3]}')


def test_no_field_is_called_as_what_an_import_says_itself() -> None:
    """`kind`, `remove`, and the key."""
    for kind in KINDS.values():
        assert not {"kind", "remove", "id", "state", "registered", kind.key_name} & set(kind.fields)
        assert {f.name for f in fields(kind.item)} >= set(kind.fields)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("+49 30 1", "'+49 30 1"),
        ("x;=1+1", "x;'=1+1"),
        ("'=1", "''=1"),
        ("+4930", "+4930"),
        ("O'Neil", "O'Neil"),
        ("'n Huus", "'n Huus"),
        ("a=b", "a=b"),
    ],
)
def test_no_spreadsheet_runs_a_name(name: str, written: str) -> None:
    """A file goes to whoever makes phone lists; what comes back from there is what it was."""
    named: Any = {"name": name}
    item = EXT.item(id=ObjectId(EXT.byte + bytes(8)), key="+491", claimed=(1, "a"), **named)
    lines = list(csv_lines(EXT, iter([item])))
    assert lines[1].decode().startswith(f"+491,{written},")
    (row,) = read_csv(b"".join(lines), EXT)
    assert row.fields is not None
    assert (row.key, row.fields["name"]) == ("+491", name)
