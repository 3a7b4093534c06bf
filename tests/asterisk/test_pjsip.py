"""What phones and trunks are made of."""

import pytest
from msgspec.structs import replace

from pbxfed_ari.asterisk.dialing import identity
from pbxfed_ari.asterisk.pjsip.extension import extension_objects
from pbxfed_ari.asterisk.pjsip.objects import MARK, mark_of
from pbxfed_ari.asterisk.pjsip.trunk import pair_user, trunk_objects
from pbxfed_ari.core.effects import PushExtension, PushTrunk
from pbxfed_ari.core.names import Extension, NodeName

PHONE = PushExtension(Extension("1001"), "Ann Lee", "f5d55757833b92ea9b20b57933ad312a", 2)
TRUNK = PushTrunk(NodeName("b"), "10.0.0.2", 5060, 4569, b"key")


def test_a_phone_is_auth_aor_endpoint_in_this_order() -> None:
    """Asterisk refuses nothing if the endpoint comes first, but phones would be refused until the auth is there."""
    auth, aor, endpoint = extension_objects(PHONE, "fed.example")
    assert auth.fields == (
        ("auth_type", "digest"),
        ("username", "1001"),
        ("realm", "fed.example"),
        ("password_digest", "MD5:f5d55757833b92ea9b20b57933ad312a"),
    )
    assert dict(aor.fields)["max_contacts"] == "2"
    assert [one.kind for one in (auth, aor, endpoint)] == ["auth", "aor", "endpoint"]
    assert {one.id for one in (auth, aor, endpoint)} == {"1001"}
    fields = dict(endpoint.fields)
    assert fields["callerid"] == '"Ann Lee" <1001>'
    assert fields["context"] == "pbxfed-phones"


def test_the_mark_tells_whether_anything_has_changed() -> None:
    """One GET after a reconnect instead of three PUTs."""
    same = mark_of(extension_objects(PHONE, "fed.example"))
    assert same == mark_of(extension_objects(PHONE, "fed.example"))
    assert same != mark_of(extension_objects(PHONE, "other.example"))
    assert extension_objects(PHONE, "fed.example")[-1].fields[-1] == (MARK, same)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("nat", {"direct_media": "no", "rewrite_contact": "yes"}),
        ("lan", {"direct_media": "yes", "rewrite_contact": "no"}),
        ("secure", {"media_encryption": "sdes", "media_encryption_optimistic": "no"}),
        ("webrtc", {"webrtc": "yes"}),
        ("of a newer release", {"direct_media": "no"}),
    ],
)
def test_profiles(profile: str, expected: dict[str, str]) -> None:
    """What each comes to; one that we do not know is as careful as the default."""
    fields = dict(extension_objects(replace(PHONE, profile=profile), "r")[-1].fields)
    assert {name: fields[name] for name in expected} == expected


def test_codecs_and_limits() -> None:
    """Only those that are named, in their order."""
    push = replace(PHONE, codecs=("opus", "g722"), call_limit=3)
    fields = dict(extension_objects(push, "r")[-1].fields)
    assert fields["allow"] == "!all,opus,g722"
    assert fields["device_state_busy_at"] == "3"
    assert fields["send_pai"] == "yes"  # its display follows a transfer


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Ann Lee", "Ann Lee"),
        ('Ann "Q" \\ <x>', "Ann 'Q' / (x)"),
        ("Zoë\r\nX: y\x00", "ZoëX: y"),
        ("x" * 200, "x" * 80),
        ("", ""),
    ],
)
def test_a_name_cannot_break_out_of_its_quotes(name: str, said: str) -> None:
    """The name stands in a quoted string, in a SIP header, and in a dialplan variable."""
    assert identity(name, "1001") == f'"{said}" <1001>'


def test_a_trunk_is_the_same_on_both_ends() -> None:
    """User name, secret and realm belong to the pair; only the name of the sender differs."""
    ours = trunk_objects(TRUNK, NodeName("a"), "fed.example", "5ec")
    back = PushTrunk(NodeName("a"), "10.0.0.1", 5060, 4569, b"key")
    theirs = trunk_objects(back, NodeName("b"), "fed.example", "5ec")
    assert ours[0].fields == theirs[0].fields
    assert {one.id for one in ours} == {"pf-b"}
    assert dict(ours[2].fields)["from_user"] == "pf-a"
    assert dict(theirs[2].fields)["from_user"] == "pf-b"
    assert dict(ours[1].fields)["contact"] == "sip:10.0.0.2:5060"


def test_a_trunk_offers_what_is_spoken_and_takes_it() -> None:
    """One codec: of several Asterisk would answer one, and take another for what is spoken."""
    endpoint = dict(trunk_objects(TRUNK, NodeName("a"), "fed.example", "5ec")[2].fields)
    assert endpoint["outgoing_call_offer_pref"] == "remote_first"
    assert endpoint["incoming_call_offer_pref"] == "remote_first"


def test_keys_go_as_the_caller_s_side_offers() -> None:
    """By RFC 4733, which may pass on untouched; by INFO from a leg of ours, which offers no other."""
    endpoint = dict(trunk_objects(TRUNK, NodeName("a"), "fed.example", "5ec")[2].fields)
    assert endpoint["dtmf_mode"] == "auto_info"


def test_a_pair_has_one_user_name() -> None:
    """Whoever calls."""
    assert pair_user(NodeName("b"), NodeName("a")) == "pf-a-b" == pair_user(*map(NodeName, "ab"))


def test_an_ipv6_peer_is_bracketed() -> None:
    """RFC 3261 §25.1: IPv6reference."""
    push = PushTrunk(NodeName("b"), "fd00::2", 5060, 0, b"")
    aor = trunk_objects(push, NodeName("a"), "fed.example", "5ec")[1]
    assert dict(aor.fields)["contact"] == "sip:[fd00::2]:5060"
