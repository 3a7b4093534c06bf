"""Linphone: a remote provisioning file (lpconfig.xsd), whose URL is also what its QR code says.

It takes the digest in place of the secret. It has one server an account: without SRV it stays with its node.
"""

from xml.etree.ElementTree import Element, SubElement

from pbxfed_ari.provisioning.sheet import KEEP_ALIVE, Sheet
from pbxfed_ari.provisioning.vendor import XML, File, Vendor, line
from pbxfed_ari.provisioning.xml import document, leaf

NAMESPACE = "http://www.linphone.org/xsds/lpconfig.xsd"


def render(sheet: Sheet) -> str:
    """`linphone.xml`."""
    root = Element("config", {"xmlns": NAMESPACE})
    uri = f"sip:{sheet.number}@{sheet.domain}"
    where = sheet.servers[0].place if sheet.servers else sheet.domain
    server = f"<sip:{where};transport={sheet.transport}>"
    sections: dict[str, tuple[tuple[str, object], ...]] = {
        "sip": (
            ("default_proxy", 0),
            ("keepalive_period", KEEP_ALIVE * 1_000),
            ("media_encryption", "srtp" if sheet.srtp else "none"),
            ("media_encryption_mandatory", int(sheet.srtp)),
        ),
        "auth_info_0": (
            ("username", sheet.number),
            ("userid", sheet.number),
            ("ha1", sheet.digest),
            ("realm", sheet.domain),
            ("domain", sheet.domain),
            ("algorithm", "MD5"),
        ),
        "proxy_0": (
            ("reg_identity", f"{_quoted(sheet.shown)} <{uri}>"),
            ("reg_proxy", server),
            ("reg_route", server if sheet.servers else ""),
            ("reg_expires", sheet.expires),
            ("reg_sendregister", 1),
            ("publish", 0),
        ),
    }
    for name, entries in sections.items():
        section = SubElement(root, "section", {"name": name})
        for key, value in entries:
            leaf(section, "entry", value, name=key, overwrite="true")
    return document(root)


def _quoted(text: str) -> str:
    """A quoted string (RFC 3261 §25.1)."""
    escaped = line(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


LINPHONE = Vendor("linphone", (File(r"linphone\.xml", XML, render),), ("linphone.xml",))
