"""A pjsip.conf becomes extensions."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.errors import Refused
from pbxfed_ari.importing.callerid import caller
from pbxfed_ari.importing.codecs import choose
from pbxfed_ari.importing.pjsip_conf import read
from pbxfed_ari.importing.report import Imported, lines
from tests.importing.checking import checked
from tests.importing.test_asterisk_conf import garbage

REALM = "office.example"
OFFICE = (Path(__file__).parent / "samples" / "pjsip.conf").read_text()
DIALPLAN = Path(__file__).parents[2] / "dialplan"
SECRETS = ("s3cret", "Pr0vider", "Lmn0pqrst", "F5D5", "f5d5", "0123456789abcdef")


def phone(extra: str = "", *, auth: str = "password=Abcdef123!", aor: str = "") -> Imported:
    """One phone, 1001, with these lines in its sections."""
    return read(
        f"[1001]\ntype=endpoint\nauth=1001\naors=1001\nrtp_symmetric=yes\n{extra}\n"
        f"[1001]\ntype=auth\nusername=1001\n{auth}\n[1001]\ntype=aor\nmax_contacts=1\n{aor}\n",
        realm=REALM,
    )


def told(imported: Imported) -> str:
    return "\n".join(lines(imported.notes))


def test_an_office() -> None:
    imported = read(OFFICE, realm=REALM)
    codecs = ["g722", "alaw", "ulaw"]
    assert checked(imported) == ["1001", "1002", "1003", "1004", "1005"]
    assert imported.objects == [
        {
            "extension": "1001",
            "name": "Ann Lee",
            "secret": "s3cret;Ann.Lee",
            "codecs": codecs,
            "call_limit": 2,
        },
        {
            "extension": "1002",
            "name": "Bob O'Neil",
            "ha1": "f5d55757833b92ea9b20b57933ad312a",
            "devices": 3,
            "profile": "secure",
            "codecs": codecs,
        },
        {"extension": "1003", "profile": "webrtc", "codecs": ["opus", "ulaw"]},
        {"extension": "1004", "codecs": codecs},
        {
            "extension": "1005",
            "name": "Eve",
            "secret": "Lmn0pqrst!",
            "devices": 10,
            "profile": "lan",
        },
    ]
    assert imported.trunks == [
        {"trunk": "provider", "technology": "pjsip", "endpoint": "provider", "capacity": 30},
        {"trunk": "gate-way-2", "technology": "pjsip", "endpoint": "Gate_way-2"},
    ]
    assert imported.without_secret() == ["1003", "1004"]


def test_an_office_is_told_what_is_lost() -> None:
    report = told(read(OFFICE, realm=REALM))
    for part in (
        "extension 1001, extension 1002, extension 1003, extension 1004, extension 1005: context=",
        "extension 1001: option mailboxes",
        "extension 1001: option language",
        "extension 1003: its secret: the digest is for 1003@asterisk, not 1003@office.example",
        "extension 1003: codec 'h264'",
        "extension 1004: its secret: a new one must be set",
        "endpoint desk-5: its name",
        "endpoint provider: a trunk: it stays in pjsip.conf",
        "endpoint Old Gateway: a trunk: its name has characters",
        "[localnet]: type=acl",
        "5 extensions still stand in the file",
    ):
        assert part in report
    assert "dtmf_mode" not in report  # what Asterisk does anyway


def test_secrets_are_nowhere_but_in_the_objects() -> None:
    imported = read(OFFICE, realm=REALM)
    shown = repr(imported) + told(imported) + repr([note.shown() for note in imported.notes])
    assert not [secret for secret in SECRETS if secret in shown]


def test_what_the_lab_writes_by_hand() -> None:
    """The dialplan's own pjsip.conf, a node's transports, and a phone of that node's."""
    text = (
        f'#include "{DIALPLAN}/pjsip.conf"\n'
        "[transport-udp]\ntype=transport\nprotocol=udp\nbind=10.1.0.1:5060\n"
        "[transport-tcp]\ntype=transport\nprotocol=tcp\nbind=10.1.0.1:5060\n"
        "[7001]\ntype=endpoint\ncontext=from-hand\nallow=!all,ulaw\nauth=7001\naors=7001\n"
        "[7001]\ntype=auth\nusername=7001\npassword=by-Hand-1\n"
        "[7001]\ntype=aor\nmax_contacts=1\n"
    )
    imported = read(text, realm="pbxfed.lab", include=lambda name: [(name, Path(name).read_text())])
    assert imported.objects == [
        {"extension": "7001", "secret": "by-Hand-1", "profile": "lan", "codecs": ["ulaw"]}
    ]
    assert "default_realm" not in told(imported)


def test_freepbx_writes_the_same_name_many_times() -> None:
    """Its files, in the order of its pjsip.conf: an endpoint, an aor, an auth and an identify for each phone."""
    files = {
        "pjsip.endpoint.conf": "[1001]\ntype=endpoint\naors=1001\nauth=1001-auth\nallow=ulaw,alaw\n"
        "context=from-internal\ncallerid=Ann Lee <1001>\ntransport=0.0.0.0-tls\nmedia_encryption=sdes\n"
        "rtp_symmetric=yes\n[anonymous]\ntype=endpoint\ncontext=from-sip-external\nallow=all\n",
        "pjsip.aor.conf": "[1001]\ntype=aor\nmax_contacts=2\n",
        "pjsip.auth.conf": "[1001-auth]\ntype=auth\nusername=1001\npassword=0c4f5a7be81d\n",
        "pjsip.identify.conf": "[1001-identify]\ntype=identify\nendpoint=1001\n",
    }
    imported = read(
        "".join(f"#include {name}\n" for name in files),
        realm=REALM,
        include=lambda name: [(name, files[name])],
    )
    assert imported.objects == [
        {
            "extension": "1001",
            "name": "Ann Lee",
            "secret": "0c4f5a7be81d",
            "devices": 2,
            "profile": "secure",
            "codecs": ["ulaw", "alaw"],
        }
    ]
    assert not imported.trunks


@pytest.mark.parametrize(
    ("auth", "survives"),
    [
        (f"realm={REALM}\nmd5_cred=0123456789abcdef0123456789abcdef", True),
        (f"realm={REALM}\npassword_digest=MD5:0123456789abcdef0123456789abcdef", True),
        (f"realm={REALM}\npassword_digest=SHA-256:00", False),
        (f"realm={REALM}\nmd5_cred=short", False),
        ("realm=other\nmd5_cred=0123456789abcdef0123456789abcdef", False),
        ("md5_cred=0123456789abcdef0123456789abcdef", False),  # the realm is "asterisk"
        (f"realm={REALM}\nusername=ann\nmd5_cred=0123456789abcdef0123456789abcdef", False),
    ],
)
def test_a_digest_is_of_one_realm_and_one_user(auth: str, survives: bool) -> None:
    imported = phone(auth=auth)
    assert ("ha1" in imported.objects[0]) is survives
    assert ("its secret" in told(imported)) is not survives


@pytest.mark.parametrize(
    ("lines_", "profile", "note"),
    [
        ("", "nat", ""),
        ("rtp_symmetric=no", "lan", ""),
        ("webrtc=yes", "webrtc", ""),
        ("media_encryption=dtls\nuse_avpf=yes", "webrtc", ""),
        ("media_encryption=dtls", "secure", "DTLS-SRTP"),
        ("transport=transport-tls\nmedia_encryption=sdes", "secure", ""),
        ("transport=transport-tls", "secure", "TLS without SRTP"),
        ("media_encryption=sdes", "secure", "SRTP without TLS"),
        ("transport=transport-wss", "webrtc", ""),
        ("media_encryption=whatever", "nat", ""),
    ],
)
def test_the_nearest_profile(lines_: str, profile: str, note: str) -> None:
    imported = phone(lines_)
    assert imported.objects[0].get("profile", "nat") == profile
    assert note in told(imported)


@pytest.mark.parametrize(
    ("verbs", "codecs", "others", "everything"),
    [
        ([("disallow", "all"), ("allow", "ulaw,alaw")], ["ulaw", "alaw"], [], False),
        ([("allow", "!all,opus,h264,ulaw:20")], ["opus", "ulaw"], ["h264"], False),
        ([("allow", "ulaw"), ("allow", "alaw"), ("disallow", "ulaw")], ["alaw"], [], False),
        ([("allow", "ulaw,alaw,!ulaw")], ["alaw"], [], False),
        ([("allow", "ULAW & gsm|g722")], ["ulaw", "gsm", "g722"], [], False),
        ([("allow", "all")], [], [], True),
        ([("allow", "all"), ("disallow", "all"), ("allow", "gsm")], ["gsm"], [], False),
    ],
)
def test_codecs(
    verbs: list[tuple[str, str]], codecs: list[str], others: list[str], everything: bool
) -> None:
    chosen = choose(verbs)
    assert (chosen.codecs, chosen.others, chosen.everything) == (codecs, others, everything)


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ('"Ann Lee" <1001>', "Ann Lee", "1001"),
        ("Ann Lee <1001>", "Ann Lee", "1001"),
        ('"Ann \\"Q\\" Lee" <1001', 'Ann "Q" Lee', "1001"),
        ("<1001>", "", "1001"),
        ("1001", "", "1001"),
        ("Ann", "Ann", ""),
        ("", "", ""),
    ],
)
def test_callerid(text: str, name: str, number: str) -> None:
    assert caller(text) == (name, number)


def test_an_endpoint_is_only_once_there() -> None:
    with pytest.raises(
        Refused, match=r"line 3: \[1001\] type=aor: there is one already at pjsip.conf:1"
    ):
        read("[1001]\ntype=aor\n[1001]\ntype=aor\n", realm=REALM)


def test_the_federations_own_trunks_are_left_alone() -> None:
    imported = read("[pf-b]\ntype=endpoint\nauth=pf-b\n[pf-b]\ntype=auth\n", realm=REALM)
    assert not imported.objects
    assert "names of the federation's own trunks" in told(imported)


def test_two_endpoints_of_one_number() -> None:
    text = "".join(
        f"[{name}]\ntype=endpoint\nauth=x\ncallerid=A <1001>\n" for name in ("a-1", "a-2")
    )
    imported = read(text, realm=REALM)
    assert [one["extension"] for one in imported.objects] == ["1001"]
    assert "endpoint a-2: another endpoint for 1001" in told(imported)


@given(
    st.lists(garbage | st.sampled_from(OFFICE.split("\n")).map("\n{}\n".format), max_size=60).map(
        "".join
    )
)
def test_garbage_is_read_or_refused(text: str) -> None:
    try:
        imported = read(text, realm=REALM, include=lambda _: [])
    except Refused:
        return
    numbers = checked(imported)
    assert len(set(numbers)) == len(numbers)
    assert lines(imported.notes) or not numbers
