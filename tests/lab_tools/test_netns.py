"""The lab's network, without anything in it."""

from __future__ import annotations

import shutil

import pytest

from lab.netns import Network, within
from lab.places import CHECKOUT, Places
from lab.root import TOOLS, ensure_tools


def test_a_lab_may_be_made_where_the_network_is_not_the_machine_s_first() -> None:
    """As in a container: what the kernel sets for the whole machine is not to be seen there."""
    ensure_tools()
    around, lab = (
        Network(Places(CHECKOUT / f".lab-test-netns-{name}").prefix) for name in ("around", "lab")
    )
    try:
        around.build([], 1)
        within(around.switch, lambda: lab.build([], 2))
        assert lab.leftovers() == sorted([lab.router, lab.switch])
    finally:
        lab.remove()
        around.remove()


def test_its_tools_are_found_by_who_became_root_by_su_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """His PATH is a user's: nothing of /usr/sbin. What is installed already would not be found."""
    ensure_tools()
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/games")
    ensure_tools()
    assert all(map(shutil.which, TOOLS))
