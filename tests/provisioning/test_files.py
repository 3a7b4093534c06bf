"""Every vendor's file: what stands in it, and that no name or secret breaks out of its place."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.records.objects.extension import ha1
from pbxfed_ari.provisioning import VENDORS
from pbxfed_ari.provisioning.baresip import accounts, config
from pbxfed_ari.provisioning.sheet import Server, Sheet
from pbxfed_ari.provisioning.vendor import Unfit

MAC = "001565aabbcc"
SECRET = "correct-horse-9"
A, B = Server("10.0.0.11", 5060), Server("2001:db8::12", 5070)
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)
XML_VENDORS = ("grandstream", "snom", "polycom", "linphone")


def sheet(
    *,
    name: str = "Reception",
    secret: str = SECRET,
    transport: str = "udp",
    srtp: bool = False,
    servers: tuple[Server, ...] = (),
    naptr: bool = True,
    expires: int = 60,
) -> Sheet:
    return Sheet(
        number="1001",
        name=name,
        secret=secret,
        digest=ha1("1001", "pbx.example", secret),
        domain="pbx.example",
        transport=transport,
        port=5061 if transport == "tls" else 5060,
        srtp=srtp,
        servers=servers,
        naptr=naptr,
        expires=expires,
        mac=MAC,
    )


def file(vendor: str, told: Sheet) -> str:
    """The one in which the secret stands."""
    (render, *_) = [f.render for f in VENDORS[vendor].files if f.secret]
    return render(told)


def yealink(told: Sheet) -> dict[str, str]:
    head, *rows = file("yealink", told).splitlines()
    assert head == "#!version:1.0.0.1"
    assert all(re.fullmatch(r"[a-z0-9_.]+ = .*", row) for row in rows)
    return dict(row.split(" = ", 1) for row in rows)


def grandstream(told: Sheet) -> dict[str, str]:
    root = ElementTree.fromstring(file("grandstream", told))
    assert root.tag == "gs_provision"
    assert root.findtext("mac") == MAC
    return {e.tag: e.text or "" for e in root.findall("config/*")}


def snom(told: Sheet) -> dict[str, str]:
    root = ElementTree.fromstring(file("snom", told))
    assert root.tag == "settings"
    return {e.tag: e.text or "" for e in root.findall("phone-settings/*")}


def polycom(told: Sheet) -> dict[str, str]:
    root = ElementTree.fromstring(file("polycom", told))
    assert root.tag == "PHONE_CONFIG"
    return {k: v for e in root for k, v in e.attrib.items()}


def linphone(told: Sheet) -> dict[str, str]:
    root = ElementTree.fromstring(file("linphone", told))
    space = "{http://www.linphone.org/xsds/lpconfig.xsd}"
    assert root.tag == f"{space}config"
    return {
        f"{s.get('name')}/{e.get('name')}": e.text or ""
        for s in root.findall(f"{space}section")
        for e in s.findall(f"{space}entry")
    }


def test_yealink_by_dns() -> None:
    """Transport, port and servers come of NAPTR and SRV."""
    told = yealink(sheet())
    assert told["account.1.sip_server.1.address"] == "pbx.example"
    assert told["account.1.sip_server.1.port"] == "0"
    assert told["account.1.sip_server.1.transport_type"] == "3"
    assert told["account.1.sip_server.1.expires"] == "60"
    assert told["account.1.password"] == SECRET
    assert told["account.1.srtp_encryption"] == "0"
    assert "account.1.sip_server.2.address" not in told


def test_yealink_with_two_servers() -> None:
    """Where there is no DNS: the second one when the first does not answer once."""
    told = yealink(sheet(servers=(A, B), transport="tcp"))
    assert told["account.1.sip_server.1.address"] == "10.0.0.11"
    assert told["account.1.sip_server.2.address"] == "2001:db8::12"
    assert told["account.1.sip_server.2.port"] == "5070"
    assert told["account.1.sip_server.2.transport_type"] == "1"
    assert told["account.1.sip_server.1.retry_counts"] == "1"


def test_yealink_by_tls_that_naptr_does_not_prefer() -> None:
    """NAPTR would send it to another transport, and its keys over it in the clear."""
    told = yealink(sheet(transport="tls", srtp=True, naptr=False))
    assert told["account.1.sip_server.1.transport_type"] == "2"
    assert told["account.1.sip_server.1.port"] == "5061"
    assert told["account.1.srtp_encryption"] == "2"


def test_grandstream_by_dns() -> None:
    """A port would keep it from asking for SRV; its expiry is in minutes."""
    told = grandstream(sheet(transport="tls", srtp=True))
    assert (told["P47"], told["P103"], told["P130"]) == ("pbx.example", "1", "2")
    assert (told["P32"], told["P183"]) == ("1", "2")
    assert (told["P35"], told["P36"], told["P34"]) == ("1001", "1001", SECRET)


def test_grandstream_with_two_servers() -> None:
    """Phones call the second one P2312, adapters P967."""
    told = grandstream(sheet(servers=(A, B), expires=300))
    assert (told["P47"], told["P103"]) == ("10.0.0.11:5060", "0")
    assert told["P2312"] == told["P967"] == "[2001:db8::12]:5070"
    assert told["P32"] == "5"


def test_snom() -> None:
    """By SRV of the transport that is named; a request is given up after seconds, not half a minute."""
    told = snom(sheet(transport="tls", srtp=True))
    assert told["user_host"] == "pbx.example"
    assert told["user_outbound"] == "pbx.example;transport=tls"
    assert (told["user_srtp"], told["user_savp"]) == ("on", "mandatory")
    assert told["sip_retry_t1"] == "40"
    assert snom(sheet(servers=(A,)))["user_outbound"] == "10.0.0.11:5060;transport=udp"


def test_polycom() -> None:
    """By NAPTR and SRV, or two servers; registered at the second before it is used."""
    told = polycom(sheet())
    assert told["reg.1.server.1.transport"] == "DNSnaptr"
    assert told["reg.1.server.1.port"] == "0"
    assert told["reg.1.server.1.expires.overlap"] == "30"
    told = polycom(sheet(servers=(A, B), transport="tls", srtp=True))
    assert told["reg.1.server.2.address"] == "2001:db8::12"
    assert told["reg.1.server.2.transport"] == "TLS"
    assert told["sec.srtp.require"] == "1"
    assert told["reg.1.server.1.failOver.reRegisterOn"] == "1"


def test_the_polycom_master_file_names_the_other_and_no_secret() -> None:
    """It is the first that the phone asks for."""
    (master,) = [f for f in VENDORS["polycom"].files if not f.secret]
    text = master.render(sheet())
    assert ElementTree.fromstring(text).get("CONFIG_FILES") == f"{MAC}-pbxfed.cfg"
    assert SECRET not in text
    assert VENDORS["polycom"].find(f"{MAC}-pbxfed.cfg") is not None


def test_linphone_gets_the_digest_and_not_the_secret() -> None:
    """All that it needs."""
    told = linphone(sheet(transport="tls", srtp=True))
    assert told["proxy_0/reg_identity"] == '"Reception" <sip:1001@pbx.example>'
    assert told["proxy_0/reg_proxy"] == "<sip:pbx.example;transport=tls>"
    assert told["auth_info_0/ha1"] == ha1("1001", "pbx.example", SECRET)
    assert (told["sip/media_encryption"], told["sip/media_encryption_mandatory"]) == ("srtp", "1")
    assert SECRET not in file("linphone", sheet())
    assert (
        linphone(sheet(servers=(A,)))["proxy_0/reg_route"] == "<sip:10.0.0.11:5060;transport=udp>"
    )


def test_baresip() -> None:
    """One line, as its own examples have it."""
    assert accounts(sheet()) == (
        '"Reception" <sip:1001@pbx.example;transport=udp>;auth_user=1001;auth_pass=correct-horse-9;regint=60\n'
    )
    assert accounts(sheet(name="", servers=(A,), transport="tls", srtp=True)) == (
        "<sip:1001@pbx.example;transport=tls>;auth_user=1001;auth_pass=correct-horse-9;regint=60;"
        'outbound="sip:10.0.0.11:5060;transport=tls";mediaenc=srtp-mand\n'
    )
    assert "module account.so\n" in config(sheet())


@pytest.mark.parametrize("char", list('";\\<>,'))
def test_a_secret_that_baresip_cannot_take_is_refused(char: str) -> None:
    """It would end its parameter and begin another."""
    with pytest.raises(Unfit, match="set another one"):
        accounts(sheet(secret=f"correct{char}horse-9"))


@given(name=st.text(max_size=80), secret=PRINTABLE)
def test_nothing_breaks_out_of_a_line_of_yealink(name: str, secret: str) -> None:
    """Every line is one of ours, and says what it should."""
    told = yealink(sheet(name=name, secret=secret))
    assert set(told) == set(yealink(sheet()))
    assert told["account.1.password"] == secret
    assert told["account.1.sip_server.1.address"] == "pbx.example"


@given(name=st.text(max_size=80), secret=PRINTABLE)
def test_nothing_breaks_out_of_an_xml_file(name: str, secret: str) -> None:
    """It can be parsed, has the elements that it always has, and the secret as it is."""
    told, plain = sheet(name=name, secret=secret), sheet()
    assert grandstream(told)["P34"] == secret
    assert grandstream(told).keys() == grandstream(plain).keys()
    assert snom(told)["user_pass"] == secret
    assert snom(told).keys() == snom(plain).keys()
    assert polycom(told)["reg.1.auth.password"] == secret
    assert polycom(told).keys() == polycom(plain).keys()
    assert linphone(told).keys() == linphone(plain).keys()
    assert re.fullmatch(
        r'"(?:[^"\\]|\\.)*" <sip:1001@pbx\.example>', linphone(told)["proxy_0/reg_identity"]
    )


@given(name=st.text(max_size=80), secret=PRINTABLE)
def test_nothing_breaks_out_of_an_account_of_baresip(name: str, secret: str) -> None:
    """One line with the parameters that it always has, or a refusal."""
    try:
        text = accounts(sheet(name=name, secret=secret))
    except Unfit:
        return
    shape = r'(?:"[^"\\<>]*" )?<sip:1001@pbx\.example;transport=udp>;auth_user=1001;auth_pass=([^";\\<>, ]+);regint=60\n'
    found = re.fullmatch(shape, text)
    assert found is not None
    assert found[1] == secret
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("vendor", "name", "mac"),
    [
        ("yealink", "001565aabbcc.cfg", MAC),
        ("yealink", "001565AABBCC.cfg", MAC),
        ("grandstream", "cfg001565aabbcc.xml", MAC),
        ("grandstream", "cfg001565aabbcc", MAC),
        ("snom", "001565AABBCC.xml", MAC),
        ("snom", "snomD785-001565AABBCC.htm", MAC),
        ("polycom", "001565aabbcc.cfg", MAC),
        ("linphone", "linphone.xml", ""),
        ("baresip", "accounts", ""),
    ],
)
def test_the_names_that_phones_ask_for(vendor: str, name: str, mac: str) -> None:
    """By the phone that it is for, and by any if none is named."""
    found = VENDORS[vendor].find(name)
    assert found is not None
    assert found[1] == mac
    assert VENDORS[vendor].find(name, mac) is not None
    assert VENDORS[vendor].find(name, "0015650000ff") is None


@pytest.mark.parametrize(
    "name", ["", "y000000000028.cfg", "../001565aabbcc.cfg", "001565aabbcc.cfg\n"]
)
def test_other_names_are_nothing(name: str) -> None:
    """A phone that asks for files of its model goes on without."""
    assert not any(vendor.find(name) for vendor in VENDORS.values())
