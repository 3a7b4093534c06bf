"""`pbxfed ext provision`, as it is typed."""

from collections.abc import Callable

import pytest

from tests.cli.conftest import SECRET, Shell

MAC = "00:15:65:aa:bb:cc"


def test_a_url_is_made_listed_and_revoked(shell: Shell, ext: Callable[..., None]) -> None:
    """It is printed once; the list knows it by its id."""
    ext("1001")
    assert shell("ext", "provision", "1001") == "1001 has no provisioning URL"
    said = shell(
        "ext", "provision", "1001", "--vendor", "yealink", "--mac", MAC, "--secret", SECRET
    )
    url, asks = said.splitlines()
    assert url.startswith("https://phones.example:8783/1001/")
    assert asks == f"  asks for {url}001565aabbcc.cfg"
    listed = shell.json("ext", "provision", "1001")
    (one,) = listed["urls"]
    assert (one["vendor"], one["mac"], one["once"]) == ("yealink", "001565aabbcc", False)
    assert listed["readable"] is True
    table = shell("ext", "provision", "1001")
    assert one["id"] in table
    assert url.rsplit("/", 2)[1] not in table
    assert one["id"] in shell("ext", "provision", "1001", "--revoke", "--id", one["id"])
    assert shell("ext", "provision", "1001") == "1001 has no provisioning URL"


def test_a_soft_phone_is_shown_its_url_as_a_qr_code(shell: Shell, ext: Callable[..., None]) -> None:
    """Half blocks on the terminal, as wide as high, below the URL itself."""
    ext("1001")
    said = shell(
        "ext", "provision", "1001", "--vendor", "linphone", "--new-secret", "--once", "--qr"
    )
    url, *code = said.splitlines()
    assert url.endswith("/linphone.xml")
    assert len(code) > 15
    assert all(set("█▀▄ ") >= set(plain(row)) for row in code)
    assert len({len(plain(row)) for row in code}) == 1


def plain(row: str) -> str:
    """Without the colours."""
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", row)


def test_what_the_code_says_can_be_scanned(shell: Shell, ext: Callable[..., None]) -> None:
    """It fits a small symbol: a camera reads it off a screen."""
    import segno

    ext("1001")
    body = shell.json("ext", "provision", "1001", "--vendor", "linphone", "--secret", SECRET)
    symbol = segno.make(body["url"], error="m", micro=False)
    assert isinstance(symbol.version, int)
    assert symbol.version <= 6


def test_a_secret_may_come_by_standard_input(shell: Shell, ext: Callable[..., None]) -> None:
    """So that it stands in no list of processes."""
    ext("1001")
    said = shell(
        "ext", "provision", "1001", "--vendor", "snom", "--secret", "-", given=f"{SECRET}\n"
    )
    assert said.startswith("https://")


@pytest.mark.parametrize(
    "options",
    [
        ("--mac", MAC),
        ("--qr",),
        ("--once",),
        ("--id", "00"),
        ("--revoke", "--vendor", "snom"),
        ("--vendor", "acme"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(shell: Shell, options: tuple[str, ...]) -> None:
    """Exit code 2, and nothing asked."""
    shell.refused("ext", "provision", "1001", *options, code=2)
    assert shell.daemon.asked == []


def test_a_refusal_is_one_line(shell: Shell, ext: Callable[..., None]) -> None:
    """As everywhere; the remedy is in it."""
    ext("1001")
    said = shell.refused("ext", "provision", "1001", "--vendor", "yealink")
    assert "--new-secret" in said
    assert "not known" in shell.refused("ext", "provision", "1999", "--vendor", "yealink")
    assert "no provisioning URL" in shell.refused(
        "ext", "provision", "1001", "--revoke", "--id", "00"
    )
