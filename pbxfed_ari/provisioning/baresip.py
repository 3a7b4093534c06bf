"""baresip: `accounts`, one line an account, and `config`, lines of `key value` (1.0 and newer).

In an account's parameters there are no escapes: what would end one is refused in a secret, and left out of a name.
"""

from pbxfed_ari.provisioning.sheet import Sheet
from pbxfed_ari.provisioning.vendor import TEXT, File, Unfit, Vendor, line

_ENDING = set('";\\<>, \t')
MODULES = ("g711", "g722", "srtp", "alsa", "account", "menu", "stdio")
CONFIG = f"""\
module_path /usr/lib/baresip/modules
{chr(10).join(f"module {name}.so" for name in MODULES)}
audio_player alsa,default
audio_source alsa,default
audio_alert alsa,default
sip_cafile /etc/ssl/certs/ca-certificates.crt
sip_verify_server yes
"""


def accounts(sheet: Sheet) -> str:
    """`accounts`.

    Raises: Unfit.
    """
    if _ENDING & set(sheet.secret):
        raise Unfit('baresip takes no secret with any of " ; \\ < > , in it: set another one')
    name = "".join(c for c in line(sheet.name) if c not in '"\\<>')
    uri = f"sip:{sheet.number}@{sheet.domain};transport={sheet.transport}"
    parameters = [
        f"auth_user={sheet.number}",
        f"auth_pass={sheet.secret}",
        f"regint={sheet.expires}",
    ]
    if sheet.servers:
        place = sheet.servers[0].place
        parameters.append(f'outbound="sip:{place};transport={sheet.transport}"')
    if sheet.srtp:
        parameters.append("mediaenc=srtp-mand")
    shown = f'"{name}" ' if name else ""
    return f"{shown}<{uri}>;{';'.join(parameters)}\n"


def config(sheet: Sheet) -> str:
    """`config`."""
    return CONFIG


BARESIP = Vendor(
    "baresip",
    (File("accounts", TEXT, accounts), File("config", TEXT, config, secret=False)),
    ("accounts", "config"),
)
