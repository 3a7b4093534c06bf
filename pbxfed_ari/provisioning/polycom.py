"""Polycom, Poly: the master file `MAC.cfg`, which names `MAC-pbxfed.cfg`, where the settings are (UC Software 4 to 6, line 1).

The phone tries to store its logs and overrides beside them; that is refused, and it goes on.
"""

from xml.etree.ElementTree import Element, SubElement

from pbxfed_ari.provisioning.sheet import KEEP_ALIVE, Server, Sheet
from pbxfed_ari.provisioning.vendor import MAC, XML, File, Vendor
from pbxfed_ari.provisioning.xml import attributes, document

TRANSPORTS = {"udp": "UDPOnly", "tcp": "TCPOnly", "tls": "TLS"}
NAPTR = "DNSnaptr"  # asks DNS for transport, port and servers; needs port 0


def master(sheet: Sheet) -> str:
    """`MAC.cfg`."""
    found = attributes(
        (
            ("APP_FILE_PATH", ""),  # no firmware from here
            ("CONFIG_FILES", f"{sheet.mac}-pbxfed.cfg"),
            ("MISC_FILES", ""),
            ("LOG_FILE_DIRECTORY", ""),
            ("OVERRIDES_DIRECTORY", ""),
            ("CONTACTS_DIRECTORY", ""),
        )
    )
    return document(Element("APPLICATION", found))


def settings(sheet: Sheet) -> str:
    """`MAC-pbxfed.cfg`."""
    root = Element("PHONE_CONFIG")
    line: list[tuple[str, object]] = [
        ("reg.1.address", sheet.number),
        ("reg.1.displayName", sheet.shown),
        ("reg.1.label", sheet.shown),
        ("reg.1.auth.userId", sheet.number),
        ("reg.1.auth.password", sheet.secret),
        *(row for one in sheet.registrars(TRANSPORTS, NAPTR) for row in _server(*one, sheet)),
    ]
    SubElement(root, "registration", attributes(line))
    SubElement(
        root,
        "recipe",
        attributes(
            (
                ("voIpProt.SIP.keepalive.sessionTimers", 1),
                ("nat.keepalive.interval", KEEP_ALIVE),
                ("tcpIpApp.keepalive.tcp.sip.tls.enable", int(sheet.transport == "tls")),
                ("tcpIpApp.keepalive.tcp.idleTransmitInterval", KEEP_ALIVE),
                ("tcpIpApp.keepalive.tcp.noResponseTransmitInterval", 5),
                ("sec.srtp.enable", int(sheet.srtp)),
                ("sec.srtp.offer", int(sheet.srtp)),
                ("sec.srtp.require", int(sheet.srtp)),
            )
        ),
    )
    return document(root)


def _server(i: int, server: Server, transport: str, sheet: Sheet) -> list[tuple[str, object]]:
    key = f"reg.1.server.{i}"
    return [
        (f"{key}.address", server.host),
        (f"{key}.port", server.port),
        (f"{key}.transport", transport),
        (f"{key}.expires", sheet.expires),
        (f"{key}.expires.overlap", sheet.half),
        (f"{key}.retryTimeOut", 500),  # ms
        (f"{key}.retryMaxCount", 3),
        (f"{key}.failOver.reRegisterOn", 1),
        (f"{key}.failOver.failRegistrationOn", 1),
        (f"{key}.failOver.onlySignalWithRegistered", 1),
        (f"{key}.failOver.failBack.mode", "registration"),
    ]


POLYCOM = Vendor(
    "polycom",
    (
        File(rf"{MAC}-pbxfed\.cfg", XML, settings),
        File(rf"{MAC}\.cfg", XML, master, secret=False),
    ),
    ("{mac}.cfg", "{mac}-pbxfed.cfg"),
)
