"""Grandstream: `cfgMAC.xml` with P values (GXP, GRP, HT and WP phones and adapters, account 1)."""

from xml.etree.ElementTree import Element, SubElement

from pbxfed_ari.provisioning.sheet import KEEP_ALIVE, RETRY, SESSION, Sheet
from pbxfed_ari.provisioning.vendor import MAC, XML, File, Vendor
from pbxfed_ari.provisioning.xml import document, leaf

TRANSPORTS = {"udp": 0, "tcp": 1, "tls": 2}


def render(sheet: Sheet) -> str:
    """`cfgMAC.xml`."""
    root = Element("gs_provision", {"version": "1"})
    if sheet.mac:
        leaf(root, "mac", sheet.mac)
    config = SubElement(root, "config", {"version": "1"})
    places = [server.place for server in sheet.servers[:2]] or [sheet.domain]
    second = places[1] if len(places) > 1 else ""
    for value, text in (
        (271, 1),  # account 1 is on
        (270, sheet.shown),  # its name
        (47, places[0]),  # SIP server; a port would keep the phone from asking for SRV
        (2312, second),  # secondary SIP server
        (967, second),  # the same on adapters
        (35, sheet.number),  # user
        (36, sheet.number),  # user of the digest
        (34, sheet.secret),
        (3, sheet.shown),  # display name
        (31, 1),  # registers
        (103, 0 if sheet.servers else 1),  # addresses, or SRV of the transport below
        (130, TRANSPORTS[sheet.transport]),
        (32, max(1, sheet.expires // 60)),  # registration, minutes
        (2330, 20),  # seconds before its end at which it is renewed
        (138, RETRY),  # seconds until a failed one is tried again
        (2397, 1),  # asks the server by OPTIONS whether it lives,
        (2398, KEEP_ALIVE),  # every so many seconds,
        (2399, 3),  # and registers anew after so many without an answer (3 is the least)
        (52, 2),  # keeps a router's mapping without STUN,
        (84, KEEP_ALIVE),  # every so many seconds
        (260, SESSION),  # seconds: session timer
        (261, 90),  # and its least
        (183, 2 if sheet.srtp else 0),  # SRTP: forced, or none
    ):
        leaf(config, f"P{value}", text)
    return document(root)


GRANDSTREAM = Vendor("grandstream", (File(rf"cfg{MAC}(?:\.xml)?", XML, render),), ("cfg{mac}.xml",))
