"""Snom: `MAC.xml`, or by the names that the phone makes itself, `snomD785-MAC.htm` (D and 7xx, 8xx series, identity 1).

A Snom has no second server, only a second identity, which would be a second phone: without SRV it stays with its node.
"""

from xml.etree.ElementTree import Element, SubElement

from pbxfed_ari.provisioning.sheet import KEEP_ALIVE, REFRESH_MINUTES, RETRY, SESSION, Sheet
from pbxfed_ari.provisioning.vendor import MAC, XML, File, Vendor
from pbxfed_ari.provisioning.xml import document, leaf

T1 = 40  # ms: a request is given up after 64 of it (RFC 3261 §17.1), 2.6 s in place of 32
SHUNNED = 60  # seconds in which a host that did not answer is not asked again


def render(sheet: Sheet) -> str:
    """`MAC.xml`."""
    root = Element("settings")
    phone = SubElement(root, "phone-settings")
    where = sheet.servers[0].place if sheet.servers else sheet.domain
    for name, value in (
        ("user_active", "on"),
        ("user_realname", sheet.shown),
        ("user_name", sheet.number),
        ("user_pname", sheet.number),
        ("user_pass", sheet.secret),
        ("user_host", sheet.domain),
        ("user_outbound", f"{where};transport={sheet.transport}"),
        ("user_expiry", sheet.expires),
        ("user_srtp", "on" if sheet.srtp else "off"),
        ("user_savp", "mandatory" if sheet.srtp else "off"),
        ("user_auth_tag", "off"),  # 80 bits, as Asterisk offers
        ("user_symmetrical_rtp", "on"),
        ("keepalive_interval", KEEP_ALIVE),
    ):
        leaf(phone, name, value, idx="1", perm="")
    for name, value in (
        ("retry_after_failed_register", RETRY),
        ("sip_retry_t1", T1),
        ("dirty_host_ttl", SHUNNED),
        ("timer_support", "on"),
        ("session_timer", SESSION),
        ("settings_refresh_timer", REFRESH_MINUTES * 60),
    ):
        leaf(phone, name, value, perm="")
    return document(root)


SNOM = Vendor(
    "snom",
    (
        File(rf"{MAC}\.xml", XML, render),
        File(rf"snom[A-Za-z0-9]{{1,16}}-{MAC}\.(?:htm|xml)", XML, render),
    ),
    ("{mac}.xml",),
)
