"""A node of one LAN without further wishes: what it does not use is not in its memory."""

import subprocess
import sys

UNUSED = {
    "zenoh",
    "pbxfed_ari.links.zenoh",
    "pbxfed_ari.links.nats",
    "cryptography.x509",  # certificates of the WAN link
    "dns",  # the service for phones
    "multiprocessing",  # pbxfed calibrate
    "statistics",
}


def test_who_does_not_want_a_thing_does_not_pay_for_it() -> None:
    """Its library is loaded only where it is wanted."""
    found = subprocess.run(
        [sys.executable, "-c", "import pbxfed_ari.node.starting, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "pbxfed_ari.links.wan" in found
    assert UNUSED & set(found) == set()
