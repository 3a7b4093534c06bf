"""Each thing that can be wrong with a machine has its line, and what to do."""

from dataclasses import replace
from typing import Any

import pytest

from pbxfed_ari.installing.facts import Asterisk, Socket
from pbxfed_ari.installing.firewall import Chain, Rule
from pbxfed_ari.installing.judging import Seen, Sockets, judge
from pbxfed_ari.installing.rules import IAX_MODULE, MEETING, MODULES, TELLING
from tests.installing.samples import machine

AT = Sockets(address="10.0.0.11", domain="pbx.example")
LISTENING = (
    Socket("udp", "0.0.0.0", 5060, "asterisk", 100),
    Socket("udp", "0.0.0.0", 4569, "asterisk", 100),
    Socket("tcp", "127.0.0.1", 8088, "asterisk", 100),
)
GOOD = Seen(
    machine=machine(sockets=LISTENING),
    at=AT,
    modules=frozenset({*MODULES, IAX_MODULE, *MEETING, *TELLING}),
    realm="pbx.example",
    mappings="Config Engine: sqlite3\n===> pbxfed_endpoint",
    cache="Sorcery memory cache: res_pjsip/endpoint",
    dialplan="[ Context 'pbxfed-dial' created by 'pbx_config' ] … [here] … [both]",
    local="[ Context 'pbxfed-local' created by 'pbx_config' ] … Dial(${EVAL(${PBXFED_PEERS})},30^4,i)",
    ari=200,
    app=True,
    writable={"pbxfed": True, "asterisk": True},
    objects="/var/lib/asterisk/pbxfed/objects.sqlite3",
)


def test_all_is_well() -> None:
    """Every check is there, and good."""
    checks = judge(GOOD)
    assert {check.state for check in checks} == {"good"}
    assert [check.name for check in checks] == [
        *(
            "asterisk",
            "modules",
            "rooms",
            "telling",
            "sip",
            "http",
            "iax2",
            "phones",
            "ari",
            "dialplan",
            "alone",
        ),
        *("realtime", "realm", "objects", "lan", "application", "rtp", "firewall", "nat"),
    ]


def asterisk(**changed: Any) -> dict[str, Any]:
    return {"machine": replace(GOOD.machine, asterisk=Asterisk("22.10.1", True, 100, **changed))}


def listening(*more: Socket, without: int = 0) -> dict[str, Any]:
    kept = [one for one in LISTENING if one.port != without]
    return {"machine": replace(GOOD.machine, sockets=(*kept, *more))}


DROPS = {"input": Chain([Rule("udp", [(5060, 5060)], verdict="drop")], "accept")}
ASKS = {"input": Chain([Rule("udp", [(8781, 8781)], unknown=True, verdict="drop")], "accept")}


@pytest.mark.parametrize(
    ("changed", "name", "state", "words"),
    [
        (asterisk(too_old="Asterisk 18 is too old"), "asterisk", "bad", "too old"),
        ({"machine": machine(asterisk=Asterisk("22.10.1"))}, "asterisk", "bad", "does not run"),
        ({"machine": machine(asterisk=Asterisk())}, "asterisk", "bad", "no Asterisk on this"),
        (asterisk(warning="lacks fixes"), "asterisk", "hint", "lacks fixes"),
        ({"modules": GOOD.modules - {IAX_MODULE}}, "modules", "bad", "not loaded: chan_iax2"),
        ({"modules": GOOD.modules - {"app_userevent"}}, "modules", "bad", "app_userevent"),
        (
            {"modules": GOOD.modules - {"app_confbridge"}},
            *("rooms", "hint", "no conference rooms here (app_confbridge is not loaded)"),
        ),
        (
            {"modules": GOOD.modules - {"res_pjsip_diversion"}},
            *(
                "telling",
                "hint",
                "of who has forwarded a call here (res_pjsip_diversion is not loaded)",
            ),
        ),
        (
            {"modules": GOOD.modules - {"res_ari_playbacks"}},
            *("telling", "hint", "waits here (res_ari_playbacks is not loaded)"),
        ),
        (
            {"modules": GOOD.modules - {"res_stasis_playback"}},
            *("telling", "hint", "waits here (res_stasis_playback is not loaded)"),
        ),
        (
            {"at": replace(AT, phones=(("tls", 5061), ("udp", 5060)))},
            *("phones", "bad", "told to use tls:5061, where Asterisk does not listen"),
        ),
        (
            {"transports": (("tls", 5061), ("udp", 5060))},
            *("phones", "hint", "pjsip.conf has tls:5061, too"),
        ),
        (listening(without=5060), "sip", "bad", "nobody listens at 10.0.0.11:5060/udp"),
        (
            listening(Socket("udp", "10.0.0.11", 4569, "x", 7), without=4569),
            *("iax2", "bad", "is taken by x (process 7)"),
        ),
        ({"ari": 401}, "ari", "bad", "the password is refused"),
        ({"ari": 404}, "ari", "bad", "there is no ARI"),
        ({"ari": 0, "ari_error": "refused"}, "ari", "bad", "no answer from 127.0.0.1:8088"),
        ({"ari": 503}, "ari", "bad", "ARI is disabled"),
        ({"dialplan": ""}, "dialplan", "bad", "no context pbxfed-dial"),
        ({"local": "[pbxfed-local] Dial(PJSIP/1)"}, "alone", "hint", "this is an older dialplan"),
        ({"forgets": True}, "alone", "hint", "a reload of the dialplan forgets"),
        ({"cache": ""}, "realtime", "bad", "does not look into the shared file yet"),
        ({"realm": "asterisk"}, "realm", "bad", "asterisk, not pbx.example"),
        ({"writable": {"pbxfed": False}}, "objects", "bad", "pbxfed may not write"),
        (
            listening(Socket("udp", "0.0.0.0", 8781, "x", 7)),
            *("lan", "bad", "UDP port 8781 is taken by x"),
        ),
        ({"multicast": "Network is unreachable"}, "lan", "hint", "fails: Network is unreachable"),
        (
            listening(Socket("tcp", "127.0.0.1", 8780, "x", 7)),
            *("application", "bad", "TCP port 8780 is taken by x"),
        ),
        ({"app": False}, "application", "hint", "the daemon does not run yet"),
        ({"rtp": (10_000, 10_019)}, "rtp", "hint", "10000 to 10019 are few: 5 calls"),
        (
            listening(Socket("udp", "0.0.0.0", 12_000, "x", 7)),
            *("rtp", "hint", "port 12000 of the range 10000 to 20000 is used by x"),
        ),
        ({"firewall": DROPS}, "firewall", "bad", "drop UDP to: SIP 5060"),
        ({"firewall": ASKS}, "firewall", "hint", "depends on who asks: federation 8781"),
        ({"unread": "nft does not show its rules"}, "firewall", "hint", "does not show"),
        ({"at": replace(AT, linked=True)}, "nat", "hint", "nodes of other sites"),
        ({"at": replace(AT, peers=("192.0.2.1", "8.8.8.8"))}, "nat", "hint", "nodes at 8.8.8.8"),
    ],
)
def test_what_is_wrong_is_said(changed: dict[str, Any], name: str, state: str, words: str) -> None:
    """With a remedy, and nothing else is blamed."""
    checks = judge(replace(GOOD, **changed))
    (wrong,) = [check for check in checks if check.state != "good"]
    assert (wrong.name, wrong.state) == (name, state)
    assert words in wrong.text
    assert wrong.remedy or name in ("asterisk", "firewall")


def test_who_has_no_iax2_is_not_asked_for_it() -> None:
    """Nor is a public address, or one that is known outside, told of NAT."""
    without = GOOD.modules - {IAX_MODULE}
    checks = judge(replace(GOOD, at=replace(AT, iax=None), modules=without))
    assert "iax2" not in [check.name for check in checks]
    assert {check.state for check in checks} == {"good"}
    for changed in (
        {"at": replace(AT, linked=True), "outside": True},
        {"at": replace(AT, address="8.8.8.8", linked=True)},
    ):
        seen = replace(GOOD, **changed)
        assert [
            check for check in judge(seen) if check.name == "nat" and check.state != "good"
        ] == []


def test_phones_that_reach_it_elsewhere_may_use_other_ports() -> None:
    """A router's, for example; and what listens is as it is said."""
    told = (("tls", 5061), ("udp", 5060))
    tls = Socket("tcp", "0.0.0.0", 5061, "asterisk", 100)
    good = replace(GOOD, at=replace(AT, phones=told), transports=told, **listening(tls))
    away = replace(GOOD, at=replace(AT, phones=told, elsewhere=True))
    for seen in good, away:
        (found,) = [check for check in judge(seen) if check.name == "phones"]
        assert (found.state, found.text) == ("good", "they are told to use tls:5061, udp:5060")
