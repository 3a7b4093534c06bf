"""Many objects at once: in whole or not at all, out as it came in."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SECRET, Shell

Ext = Callable[..., None]
CSV = f"""extension,secret,name,devices,codecs
1001,{SECRET},Reception,2,"g722,alaw"
1002,{SECRET},Workshop,1,
"""


def test_a_csv_comes_in_and_is_told_in_a_line(shell: Shell, tmp_path: Path) -> None:
    """Once more changes nothing."""
    file = tmp_path / "phones.csv"
    file.write_text(CSV)
    assert shell("ext", "import", str(file)) == "2 added"
    shown = shell.json("ext", "show", "1001")
    assert (shown["name"], shown["devices"], shown["codecs"]) == ("Reception", 2, ["g722", "alaw"])
    file.write_text(CSV.replace("Workshop", "Works") + f"1003,{SECRET},New,1,\n")
    assert shell("ext", "import", str(file)) == "1 added, 1 changed, 1 unchanged"
    assert shell.daemon.asked[-1].headers["content-type"] == "text/csv; charset=utf-8"
    assert shell.json("ext", "import", str(file))["unchanged"] == 3


def test_a_dry_run_shows_the_difference_field_by_field(shell: Shell, ext: Ext) -> None:
    """And changes nothing; of a secret only that it is another."""
    ext("1001", "1002")
    shell("group", "add", "600", "--members", "1001")
    lines = 'number,name,members\n600,Sales,"1001,1002"\n601,,\n'
    said = shell("group", "import", "-", "--format", "csv", "--dry-run", given=lines)
    assert said.splitlines() == [
        "group 600: changed",
        "  name: '' → 'Sales'",
        "  members: [1001] → [1001, 1002]",
        "group 601: added",
        "1 added, 1 changed; nothing was changed, this was a dry run",
    ]
    assert shell.json("group", "show", "600")["name"] == ""
    lines = "extension,secret\n1001,another-secret-1\n"
    said = shell("ext", "import", "-", "--format", "csv", "--dry-run", given=lines)
    assert said.splitlines()[:2] == ["extension 1001: changed", "  ha1: set anew"]
    assert "another-secret-1" not in said


def test_one_bad_line_changes_nothing_and_is_named(shell: Shell) -> None:
    """Line and column."""
    for line, words in (
        (f"1003,{SECRET},Third,99,", "column devices: extension 1003: devices = 99"),
        (f"1003,{SECRET},Third,some,", "must be a whole number, 1 to 10"),
        ("1003,1234,Third,1,", "column secret: extension 1003: the secret is too weak"),
    ):
        said = shell.refused("ext", "import", "-", "--format", "csv", given=CSV + line + "\n")
        assert said.startswith("pbxfed: line 4, column ")
        assert words in said
    assert shell.json("ext", "list") == []


def test_what_is_exported_can_be_imported(shell: Shell, ext: Ext) -> None:
    """As CSV and as JSON, of any kind."""
    ext("1001", "1002")
    shell("group", "add", "600", "--name", "Süd", "--members", "1002,1001", "--strategy", "hunt")
    shell(
        "time",
        "add",
        "office",
        "--hours",
        "mon-fri 08:00-18:00,sat 9:00-12:00".replace("9:", "09:"),
    )
    for kind, key in ("group", "600"), ("time", "office"):
        before = shell.json(kind, "list")
        for form in "csv", "json":
            text = shell(kind, "export", "--format", form)
            assert shell(kind, "import", "-", "--format", form, given=text) == "1 unchanged"
            shell(kind, "rm", key)
            assert shell(kind, "import", "-", "--format", form, given=text + "\n") == "1 added"
            assert [{**row, "id": ""} for row in shell.json(kind, "list")] == [
                {**row, "id": ""} for row in before
            ]
    rows = list(csv.reader(io.StringIO(shell("ext", "export"))))
    assert rows[0][:3] == ["extension", "name", "devices"]
    assert [row[0] for row in rows] == ["extension", "1001", "1002"]


def test_digests_go_out_only_when_they_are_asked_for(shell: Shell, ext: Ext) -> None:
    """With them an export brings the phones back, with their secrets as they were."""
    ext("1001")
    assert "ha1" not in shell("ext", "export", "--format", "json")
    text = shell("ext", "export", "--format", "json", "--digests")
    assert len(json.loads(text)["objects"][0]["ha1"]) == 32
    shell("ext", "rm", "1001")
    assert shell("ext", "import", "-", "--format", "json", given=text) == "1 added"
    assert text == shell("ext", "export", "--format", "json", "--digests")
    shell.refused("ext", "export", "--digests", code=2)
    shell.refused("group", "export", "--digests", code=2)


def test_a_file_that_is_not_what_it_should_be(shell: Shell, tmp_path: Path) -> None:
    """Named, with the remedy; the daemon is not asked."""
    for text, words in (
        ("[{", "not JSON: Expecting property name"),
        ('{"a": 1}', 'must be a list of objects, or {"objects": [...]}'),
        ("[1]", "must be a list of objects"),
        ('[{"number": "600"}, {"kind": "did"}]', "object 2: kind = 'did': must be group"),
    ):
        file = tmp_path / "x.json"
        file.write_text(text)
        said = shell.refused("group", "import", str(file))
        assert said.startswith(f"pbxfed: {file}: ")
        assert words in said
    (tmp_path / "x.txt").write_text("number\n")
    assert "Say so with --format" in shell.refused(
        "group", "import", str(tmp_path / "x.txt"), code=2
    )
    shell.refused("group", "import", str(tmp_path / "none.csv"), code=2)
    assert shell.daemon.asked == []


def test_a_plain_list_is_imported_too(shell: Shell) -> None:
    """The kind is the command's; an object may be removed."""
    assert (
        shell("group", "import", "-", "--format", "json", given='[{"number": "600"}]') == "1 added"
    )
    gone = '{"objects": [{"number": "600", "remove": true}, {"number": "601"}]}'
    assert shell("group", "import", "-", "--format", "json", given=gone) == "1 added, 1 removed"
    assert shell("group", "import", "-", "--format", "json", given="[]") == "nothing in it"


def test_many_objects_are_waited_for(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand take a while."""
    found: list[float] = []

    def sent(*_: object, seconds: float) -> None:
        found.append(seconds)
        raise SystemExit

    monkeypatch.setattr("pbxfed_ari.cli.daemon.Daemon.ask", sent)
    shell.run("group", "import", "-", "--format", "csv", given="number\n")
    assert found == [300]
