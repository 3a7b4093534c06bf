"""What the Asterisk of a lab's node reads: small files that include the project's own (`dialplan/`, copied to `etc/pbxfed/`).

They say what only this machine can say, its address and its passwords, and leave out what a lab does not need.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WSS_PORT = 8089  # of Asterisk's HTTPS server, whose /ws speaks SIP (RFC 7118)

# Files that are asked for and may be empty: without them the log begins with errors.
EMPTY = (
    "acl.conf",
    "geolocation.conf",
    "pjproject.conf",
    "chan_websocket.conf",
    "pjsip_notify.conf",
    "queuerules.conf",
    "iaxprov.conf",
)

# Modules that only make noise, or time, in a lab: back ends without a server, hardware, other channels.
NOLOAD = (
    "app_adsiprog",
    "app_agent_pool",
    "app_alarmreceiver",
    "app_amd",
    "app_dictate",
    "app_festival",
    "app_followme",
    "app_getcpeid",
    "app_jack",
    "app_minivm",
    "app_mp3",
    "app_sla",
    "app_sms",
    "app_voicemail_odbc",
    "app_zapateller",
    "cdr_adaptive_odbc",
    "cdr_csv",
    "cdr_custom",
    "cdr_manager",
    "cdr_odbc",
    "cdr_pgsql",
    "cdr_radius",
    "cdr_sqlite3_custom",
    "cdr_tds",
    "cel_custom",
    "cel_manager",
    "cel_odbc",
    "cel_pgsql",
    "cel_radius",
    "cel_sqlite3_custom",
    "cel_tds",
    "chan_console",
    "chan_motif",
    "chan_unistim",
    "codec_amr",
    "codec_codec2",
    "func_curl",
    "func_odbc",
    "pbx_ael",
    "pbx_dundi",
    "pbx_lua",
    "pbx_realtime",
    "res_adsi",
    "res_aeap",
    "res_ael_share",
    "res_calendar",
    "res_calendar_caldav",
    "res_calendar_ews",
    "res_calendar_exchange",
    "res_calendar_icalendar",
    "res_cdrel_custom",
    "res_config_curl",
    "res_config_ldap",
    "res_config_odbc",
    "res_config_pgsql",
    "res_curl",
    "res_fax",
    "res_fax_spandsp",
    "res_hep",
    "res_hep_pjsip",
    "res_hep_rtcp",
    "res_http_media_cache",
    "res_odbc",
    "res_odbc_transaction",
    "res_phoneprov",
    "res_pjsip_config_wizard",
    "res_pjsip_phoneprov_provider",
    "res_pjsip_stir_shaken",
    "res_prometheus",
    "res_resolver_unbound",
    "res_smdi",
    "res_snmp",
    "res_speech_aeap",
    "res_stasis_test",
    "res_statsd",
    "res_stir_shaken",
    "res_stun_monitor",
    "res_xmpp",
)


@dataclass(frozen=True, slots=True)
class Folders:
    """Asterisk's folders, as it sees them. `lib` holds the file of pushed objects, and the keys of TLS in `lib/keys`."""

    etc: Path
    lib: Path
    spool: Path
    run: Path
    log: Path
    cache: Path

    @classmethod
    def under(cls, folder: Path) -> Folders:
        """All of them in one folder."""
        return cls(*(folder / name for name in ("etc", "lib", "spool", "run", "log", "cache")))

    def all(self) -> tuple[Path, ...]:
        """Each of them."""
        return self.etc, self.lib, self.spool, self.run, self.log, self.cache

    @property
    def objects(self) -> Path:
        """The file of pushed objects, which the daemon writes, too."""
        return self.lib / "pbxfed.sqlite3"


def files(name: str, address: str, password: str, at: Folders) -> dict[str, str]:
    """Text by the file's name. `password`: of ARI."""
    last = address.rsplit(".", 2)[1:]
    entity = "02:00:00:00:{:02x}:{:02x}".format(*(int(part) for part in last))
    certificate = f"{at.lib}/keys/sip.crt"
    key = f"{at.lib}/keys/sip.key"
    return {
        "asterisk.conf": f"""[directories]
astetcdir => {at.etc}
astmoddir => /usr/lib/x86_64-linux-gnu/asterisk/modules
astvarlibdir => {at.lib}
astdbdir => {at.lib}
astkeydir => {at.lib}
astdatadir => /usr/share/asterisk
astagidir => /usr/share/asterisk/agi-bin
astspooldir => {at.spool}
astrundir => {at.run}
astlogdir => {at.log}
astcachedir => {at.cache}
astsbindir => /usr/sbin
[options]
entityid = {entity}
systemname = {name}
verbose = 3
hideconnect = yes
maxfiles = 65536
""",
        "modules.conf": "[modules]\nautoload=yes\n"
        + "".join(f"noload={module}.so\n" for module in NOLOAD),
        "logger.conf": "[general]\ndateformat=%F %T.%3q\n"
        "[logfiles]\nfull => notice,warning,error,verbose(3)\n" + _own("logger.conf"),
        "extensions.conf": "[general]\nstatic=yes\n" + _own("extensions.conf"),
        "sorcery.conf": _own("sorcery.conf"),
        "extconfig.conf": _own("extconfig.conf"),
        "websocket_client.conf": _own("websocket_client.conf"),
        "res_config_sqlite3.conf": _own("res_config_sqlite3.conf")
        + f"[pbxfed](+)\ndbfile => {at.objects}\n",
        "pjsip.conf": _own("pjsip.conf")
        + f"[transport-udp]\ntype=transport\nprotocol=udp\nbind={address}:5060\n"
        f"[transport-tcp]\ntype=transport\nprotocol=tcp\nbind={address}:5060\n"
        f"[transport-tls]\ntype=transport\nprotocol=tls\nbind={address}:5061\nmethod=tlsv1_2\n"
        f"cert_file={certificate}\npriv_key_file={key}\n"
        f"[transport-wss]\ntype=transport\nprotocol=wss\nbind={address}\n",
        "iax.conf": _own("iax.conf") + f"[general](+)\nbindaddr={address}\n"
        '#tryinclude "pbxfed-iax-peers.conf"\n',
        "ari.conf": _own("ari.conf"),
        "pbxfed-ari-password.conf": f"password={password}\n",
        "http.conf": _own("http.conf")
        + f"[general](+)\ntlsenable=yes\ntlsbindaddr={address}:{WSS_PORT}\n"
        f"tlscertfile={certificate}\ntlsprivatekey={key}\n",
        # ICE is each endpoint's own choice (`webrtc=yes`); off here, none could choose it
        "rtp.conf": "[general]\nrtpstart=10000\nrtpend=20000\nicesupport=yes\n",
        "cli_aliases.conf": "[general]\ntemplate=none\n",
        "cdr.conf": "[general]\nenable=no\n",
        "cel.conf": "[general]\nenable=no\n",
        "features.conf": "[general]\n",
        "manager.conf": "[general]\nenabled=no\n",
        "musiconhold.conf": "[default]\nmode=playlist\n",
        "stasis.conf": "[taskpool]\n",
        "udptl.conf": "[general]\n",
        "confbridge.conf": "[general]\n",
        "queues.conf": "[general]\n",
        "voicemail.conf": "[general]\n",
        "res_parking.conf": "[general]\n",
        **dict.fromkeys(EMPTY, ""),
        "indications.conf": "[general]\ncountry=us\n[us]\ndescription=lab\n"
        "ringcadence=2000,4000\ndial=350+440\nbusy=480+620/500,0/500\nring=440+480/2000,0/4000\n",
    }


def _own(name: str) -> str:
    """The project's own file."""
    return f'#include "pbxfed/{name}"\n'
