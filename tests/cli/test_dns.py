"""The domain as a zone file: what is printed is what the daemon says."""

from tests.cli.conftest import Shell


def test_the_zone_is_printed_for_people_and_scripts(shell: Shell) -> None:
    """All nodes; a name that dig and name servers understand."""
    lines = shell("dns", "zone").splitlines()
    assert lines[0] == "$ORIGIN test."
    assert [line.split() for line in lines if line.startswith("_sip._udp")] == [
        ["_sip._udp", "300", "IN", "SRV", "10", "100", "5060", f"{node}.test."] for node in "ab"
    ]
    body = shell.json("dns", "zone")
    assert body["domain"] == "test"
    assert {"name": "a", "ttl": 300, "type": "A", "data": "10.0.0.1"} in body["records"]


def test_a_site_comes_first_and_what_delegates_is_apart(shell: Shell) -> None:
    """None of these nodes serves DNS: nothing can be delegated."""
    far = shell("dns", "zone", "--site", "elsewhere")
    assert "20 100 5060 a.test." in far
    assert shell("dns", "zone", "--delegation") == "$ORIGIN test."
    assert shell.json("dns", "zone", "--delegation")["records"] == []
