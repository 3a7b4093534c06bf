"""The lab's network, without anything in it."""

from __future__ import annotations

from lab.netns import Network, within
from lab.places import CHECKOUT, Places
from lab.root import ensure_tools


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
