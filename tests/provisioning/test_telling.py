"""What a phone is told: transport, encryption and servers, as the extension and the federation stand."""

from random import Random

import pytest

from pbxfed_ari.core.federation.federation import describe
from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.records.shelf import NodeInfo
from pbxfed_ari.provisioning.sheet import Server, Sheet
from pbxfed_ari.provisioning.telling import Recipe, sheet
from pbxfed_ari.provisioning.vendor import Unfit
from tests.stories.world import Node, World

SECRET = "correct-horse-9"
UDP, TLS = (("udp", 5060),), (("udp", 5060), ("tls", 5061))


def info(
    address: str,
    site: str = "main",
    phones: tuple[tuple[str, int], ...] = UDP,
    *,
    dns: bool = False,
    weight: int = 100,
) -> NodeInfo:
    return NodeInfo(address, site, weight, ("sip",), bytes(32), phones=phones, dns=dns)


def world(*infos: NodeInfo) -> World:
    """Nodes a, b, … of these descriptions, and extension 1001."""
    made = World(1, "abcd"[: len(infos)])
    made.run(2)
    for node, told in zip(made.running(), infos, strict=True):
        node.handle(describe(told))
    made["a"].edit("1001", secret=SECRET, name="Reception")
    made.run(2)
    return made


def told(
    node: Node, recipe: Recipe | None = None, client: str = "192.0.2.1", seed: int = 1
) -> Sheet:
    phone = node.federation.view.phone(Extension("1001"))
    assert phone is not None
    how = recipe or Recipe()
    return sheet(node.federation, phone, SECRET, how, client=client, rng=Random(seed))


def test_the_two_best_nodes_where_nobody_answers_dns() -> None:
    """Each first by its share, never the same twice."""
    made = world(info("10.0.0.1"), info("10.0.0.2"), info("10.0.0.3", weight=300))
    found = [told(made["a"], seed=seed).servers for seed in range(300)]
    assert all(len(set(pair)) == 2 for pair in found)
    firsts = [pair[0].host for pair in found]
    assert 140 < firsts.count("10.0.0.3") < 220
    assert {server.port for pair in found for server in pair} == {5060}


def test_nodes_of_the_phones_site_first() -> None:
    """By the extension's site, else by the network that it asks from."""
    made = world(info("10.0.0.1"), info("10.0.0.2", "branch"), info("10.0.0.3"))
    assert {told(made["b"], seed=s).servers[0].host for s in range(9)} == {"10.0.0.1", "10.0.0.3"}
    made["a"].put("site", "branch", nets=["10.2.0.0/16"])
    made.run(1)
    assert told(made["a"], client="10.2.3.4").servers[0] == Server("10.0.0.2", 5060)
    made["a"].edit("1001", site="branch")
    made.run(1)
    assert told(made["a"]).servers[0] == Server("10.0.0.2", 5060)


def test_the_domain_where_a_living_node_answers_dns() -> None:
    """Unless the operator says otherwise, either way."""
    made = world(info("10.0.0.1"), info("10.0.0.2", dns=True))
    assert told(made["a"]).servers == ()
    assert told(made["a"]).domain == "test"
    assert len(told(made["a"], Recipe("nodes")).servers) == 2
    made.kill("b")
    made.run(10)
    assert told(made["a"]).servers == (Server("10.0.0.1", 5060),)
    assert told(made["a"], Recipe("dns")).servers == ()


def test_the_dead_are_not_told() -> None:
    """A phone that boots after a death goes to the living at once."""
    made = world(info("10.0.0.1"), info("10.0.0.2"), info("10.0.0.3"))
    made.kill("c")
    made.run(10)
    for seed in range(20):
        assert {s.host for s in told(made["a"], seed=seed).servers} == {"10.0.0.1", "10.0.0.2"}


def test_tls_where_this_node_takes_it_and_srtp_where_the_profile_says() -> None:
    """Asterisk refuses SRTP from other profiles."""
    made = world(info("10.0.0.1", phones=TLS), info("10.0.0.2", phones=TLS))
    sheet_ = told(made["a"])
    assert (sheet_.transport, sheet_.port, sheet_.srtp, sheet_.naptr) == ("tls", 5061, False, False)
    assert {server.port for server in sheet_.servers} == {5061}
    made["a"].edit("1001", profile="secure")
    assert told(made["a"]).srtp is True
    made["a"].handle(describe(info("10.0.0.1", phones=TLS[::-1])))
    assert told(made["a"]).naptr is True


def test_what_no_phone_could_do_is_refused() -> None:
    """With the reason, to the operator."""
    made = world(info("10.0.0.1"))
    made["a"].edit("1001", profile="secure")
    with pytest.raises(Unfit, match=r'asterisk\.phones of this node names no "tls"'):
        told(made["a"])
    made["a"].edit("1001", profile="webrtc")
    with pytest.raises(Unfit, match="a browser reads no file"):
        told(made["a"])
    made["a"].edit("1001", profile="nat")
    made["a"].handle(describe(info("10.0.0.1", phones=(("wss", 8089),))))
    with pytest.raises(Unfit, match="names no tls, tcp or udp"):
        told(made["a"])


def test_the_recipe_says_how_long_a_registration_lasts() -> None:
    """An operator with thousands of phones at a node says more."""
    made = world(info("10.0.0.1"))
    assert (told(made["a"]).expires, told(made["a"]).half) == (60, 30)
    assert told(made["a"], Recipe("auto", 300)).expires == 300
