"""Yealink: `MAC.cfg`, lines of `key = value` (SIP-T2, T3, T4, T5 and CP, firmware 80 and newer).

A value ends with its line and has no escapes. The phone also asks for files of its model, which are not here: it goes on.
"""

from pbxfed_ari.provisioning.sheet import (
    KEEP_ALIVE,
    REFRESH_MINUTES,
    RETRY,
    SESSION,
    Server,
    Sheet,
)
from pbxfed_ari.provisioning.vendor import MAC, TEXT, File, Vendor, line

HEAD = "#!version:1.0.0.1"  # must be the first line, as it is
TRANSPORTS = {"udp": 0, "tcp": 1, "tls": 2}
NAPTR = 3  # asks DNS for transport, port and servers; needs port 0


def render(sheet: Sheet) -> str:
    """`MAC.cfg`."""
    rows: list[tuple[str, object]] = [
        ("account.1.enable", 1),
        ("account.1.label", sheet.shown),
        ("account.1.display_name", sheet.shown),
        ("account.1.user_name", sheet.number),
        ("account.1.auth_name", sheet.number),
        ("account.1.password", sheet.secret),
        *(row for one in sheet.registrars(TRANSPORTS, NAPTR) for row in _server(*one, sheet)),
        ("account.1.fallback.redundancy_type", 1),  # one registration, not two at once
        ("account.1.fallback.timeout", 10),
        ("account.1.reg_failed_retry_min_time", 0),  # or the next line counts for nothing
        ("account.1.reg_failed_retry_max_time", 0),
        ("account.1.reg_fail_retry_interval", RETRY),
        ("account.1.nat.udp_update_enable", 1),
        ("account.1.nat.udp_update_time", KEEP_ALIVE),
        ("account.1.nat.rport", 1),
        ("account.1.session_timer.enable", 1),
        ("account.1.session_timer.expires", SESSION),
        ("account.1.srtp_encryption", 2 if sheet.srtp else 0),
        ("static.auto_provision.repeat.enable", 1),
        ("static.auto_provision.repeat.minutes", REFRESH_MINUTES),
    ]
    return "\n".join([HEAD, *(f"{key} = {line(str(value))}" for key, value in rows)]) + "\n"


def _server(i: int, server: Server, transport: int, sheet: Sheet) -> list[tuple[str, object]]:
    key = f"account.1.sip_server.{i}"
    return [
        (f"{key}.address", server.host),
        (f"{key}.port", server.port),
        (f"{key}.transport_type", transport),
        (f"{key}.expires", sheet.expires),
        (f"{key}.retry_counts", 1),
        (f"{key}.invite_retry_counts", 1),
        (f"{key}.failback_mode", 2),  # the first one again when the registration is renewed
        (f"{key}.register_on_enable", 1),
    ]


YEALINK = Vendor("yealink", (File(rf"{MAC}\.cfg", TEXT, render),), ("{mac}.cfg",))
