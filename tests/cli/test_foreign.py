"""Another PBX's configuration comes in: what it had, what was lost, and new numbers where two had the same."""

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import SECRET, Shell

Ext = Callable[..., None]
PJSIP = f"""
[phone](!)
type=endpoint
context=from-internal
disallow=all
allow=g722,ulaw
[1001](phone)
aors=1001
auth=1001
callerid="Ann Lee" <1001>
[1001]
type=aor
max_contacts=2
[1001]
type=auth
username=1001
password={SECRET}
[1002](phone)
aors=1002
[1002]
type=aor
max_contacts=1
#include more.conf
"""
FREEPBX = f"extension,name,secret\n1001,Ann Lee,{SECRET}\n1005,Bob,{SECRET}\n"


def test_a_pjsip_conf_comes_in_with_a_report(shell: Shell, tmp_path: Path) -> None:
    """What it includes too; who had no secret gets one, shown once."""
    file = tmp_path / "pjsip.conf"
    file.write_text(PJSIP)
    (tmp_path / "more.conf").write_text(
        "[1003]\ntype=endpoint\naors=1003\n[1003]\ntype=aor\nmax_contacts=1\n"
    )
    said = shell("ext", "import", str(file), "--from", "pjsip.conf", "--dry-run")
    assert "extension 1001: added" in said
    assert "secret" in said
    assert SECRET not in said
    assert shell.json("ext", "list") == []
    found = shell.json("ext", "import", str(file), "--from", "pjsip.conf")
    assert found["added"] == 3
    assert set(found["secrets"]) == {"1002", "1003"}
    assert any("context" in line for line in found["report"])
    shown = shell.json("ext", "show", "1001")
    assert (shown["name"], shown["devices"], shown["codecs"]) == ("Ann Lee", 2, ["g722", "ulaw"])


def test_numbers_that_are_taken_are_refused_with_a_proposal_and_given_anew(
    shell: Shell, ext: Ext, tmp_path: Path
) -> None:
    """One prefix for all; within their site the old ones go on as short ones."""
    ext("1001")
    file = tmp_path / "export.csv"
    file.write_text(FREEPBX)
    said = shell.refused("ext", "import", str(file), "--from", "freepbx")
    assert "numbers that are taken: 1001 (extension)" in said
    assert "--renumber --site SITE" in said
    shell("ext", "import", str(file), "--from", "freepbx", "--renumber", "--site", "munich")
    prefix = shell.json("site", "show", "munich")["prefix"]
    assert prefix
    assert shell.json("ext", "show", f"{prefix}1001")["name"] == "Ann Lee"
    assert shell.json("ext", "show", f"{prefix}1005")["site"] == "munich"


def test_a_site_that_has_a_prefix_keeps_it(shell: Shell, ext: Ext, tmp_path: Path) -> None:
    """Another one would take their short numbers from its phones."""
    ext("1001")
    shell("site", "add", "munich", "--prefix", "89")
    ext("891005")
    file = tmp_path / "export.csv"
    command = ("ext", "import", str(file), "--from", "freepbx", "--renumber", "--site", "munich")
    file.write_text(FREEPBX)
    assert "1005" in shell.refused(*command)
    file.write_text(FREEPBX.replace("1005", "1006"))
    shell(*command)
    assert shell.json("site", "show", "munich")["prefix"] == "89"
    assert shell.json("ext", "show", "891001")["name"] == "Ann Lee"


def test_what_cannot_be_read_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    """File and line are named; options that make no sense together are wrong usage."""
    file = tmp_path / "pjsip.conf"
    file.write_text("[1001\ntype=endpoint\n")
    assert "pjsip.conf" in shell.refused("ext", "import", str(file), "--from", "pjsip.conf")
    file.write_bytes(b"\xff\xfe")
    assert "UTF-8" in shell.refused("ext", "import", str(file), "--from", "pjsip.conf")
    shell.refused("ext", "import", str(file), "--renumber", code=2)
    shell.refused("ext", "import", str(file), "--from", "freepbx", "--format", "csv", code=2)
    assert shell.json("ext", "list") == []
