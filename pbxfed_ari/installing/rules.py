"""What the lines of dialplan/ need of an operator's own: which may differ, and what is to be done where they must not.

A line of ours whose option he has not set is added. Where he has set it:

    SAME    his must say the same, or it is a conflict
    KEEP    his stays, and serves as well
    ALONE   ours is for an Asterisk without a section of that name: it would change what others of his section do

Some conflicts can be overridden, if he agrees: our line stands below his, and the last one counts.
"""

from collections.abc import Callable
from dataclasses import dataclass

TRUE = ("yes", "true", "y", "t", "1", "on")  # ast_true of main/utils.c
FILES = (
    "extensions.conf",
    "sorcery.conf",
    "extconfig.conf",
    "res_config_sqlite3.conf",
    "pjsip.conf",
    "iax.conf",
    "logger.conf",
    "ari.conf",
    "websocket_client.conf",
    "http.conf",
)
REALM, PASSWORD_FILE, PEERS_FILE, OBJECTS = (
    "pbxfed.lab",
    "pbxfed-ari-password.conf",
    "/var/lib/asterisk/pbxfed/iax-peers.conf",
    "/var/lib/asterisk/pbxfed/objects.sqlite3",
)  # as they stand in dialplan/; each machine has its own

# What makes Asterisk read a file again; all others need a restart: sorcery and realtime are looked at when PJSIP is loaded
# (res_pjsip cannot be unloaded), and transports and IAX2's socket when they are made.
RELOADS = {
    "extensions.conf": "dialplan reload",
    "logger.conf": "logger reload",
    "http.conf": "module reload http",
    "ari.conf": "module reload res_ari.so",
}

# Modules that calls and dialplan/extensions.conf need, those of the second kind of trunk, of rooms, queues, recordings and of
# listening in, and those without which somebody is not told something.
MODULES = (
    "app_dial",
    "app_exec",
    "app_mixmonitor",
    "app_stack",
    "app_stasis",
    "app_userevent",
    "chan_pjsip",
    "func_callerid",
    "func_channel",
    "func_cut",
    "func_dialplan",
    "func_frame_drop",
    "func_global",
    "func_hangupcause",
    "func_logic",
    "func_pjsip_contact",
    "func_strings",
    "func_timeout",
    "pbx_config",
    "res_ari",
    "res_ari_applications",
    "res_ari_asterisk",
    "res_ari_bridges",
    "res_ari_channels",
    "res_ari_endpoints",
    "res_ari_events",
    "res_config_sqlite3",
    "res_pjsip",
    "res_pjsip_dtmf_info",
    "res_pjsip_header_funcs",
    "res_pjsip_session",
    "res_sorcery_config",
    "res_sorcery_memory_cache",
    "res_sorcery_realtime",
    "res_stasis",
)
IAX_MODULE = "chan_iax2"
WAITING = "tone for who has lost the other end and waits"
MEETING = {
    "app_confbridge": "conference rooms",
    "res_ari_recordings": "giving out of recordings, nor a look at them",
    "res_musiconhold": "music for who waits in a queue",
    "res_stasis_snoop": "listening in on a call",
}
TELLING = {
    "res_ari_playbacks": WAITING,
    "res_pjsip_diversion": "word to phones and providers of who has forwarded a call",
    "res_stasis_playback": WAITING,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of our option where the operator has set it."""

    kind: str = "same"  # or keep, alone
    good: Callable[[str], bool] | None = None  # which values of his serve as well
    why: str = "pbxfed needs it so"
    override: bool = True


def _true(value: str) -> bool:
    return value.strip().lower() in TRUE


def _has_username(value: str) -> bool:
    return "username" in [word.strip() for word in value.split(",")]


KEEP, ALONE = Rule("keep"), Rule("alone")
_SORCERY = Rule(
    why="phones that are pushed would go into a table of yours; give pbxfed an Asterisk of its own, or merge both by hand",
    override=False,
)
_OWN = Rule(why="the section's name is pbxfed's; give yours another one", override=False)

RULES: dict[tuple[str, str, str], Rule] = {
    ("http.conf", "general", "enabled"): Rule(
        good=_true, why="ARI goes through Asterisk's HTTP server; it may stay on loopback"
    ),
    ("http.conf", "general", "bindaddr"): KEEP,
    ("http.conf", "general", "bindport"): KEEP,
    ("http.conf", "general", "sessionlimit"): KEEP,
    ("ari.conf", "general", "enabled"): Rule(
        good=_true, why="ARI is the daemon's only way to Asterisk"
    ),
    ("ari.conf", "general", "websocket_write_timeout"): KEEP,
    ("logger.conf", "logfiles", "pbxfed-security.log"): KEEP,
    ("iax.conf", "general", "autokill"): KEEP,
    ("iax.conf", "general", "iaxthreadcount"): KEEP,
    ("iax.conf", "general", "iaxmaxthreadcount"): KEEP,
    ("iax.conf", "general", "maxcallnumbers"): KEEP,
    ("iax.conf", "general", "disallow"): ALONE,
    ("iax.conf", "general", "allow"): ALONE,
    ("iax.conf", "general", "requirecalltoken"): ALONE,
    ("iax.conf", "general", "encryption"): ALONE,
    ("pjsip.conf", "global", "type"): KEEP,
    ("pjsip.conf", "global", "default_realm"): Rule(
        why="secrets are kept as digests for this realm, which is the federation's domain; "
        "digests of your own phones (md5_cred) are for the realm that they have now"
    ),
    ("pjsip.conf", "global", "endpoint_identifier_order"): Rule(
        good=_has_username, why="nodes and phones are known by their user name"
    ),
    ("pjsip.conf", "global", "taskprocessor_overload_trigger"): KEEP,
}


def rule(file: str, section: str, key: str) -> Rule:
    """The rule for one option of ours."""
    if file == "sorcery.conf":
        return KEEP if section == "res_ari" else _SORCERY
    if section.startswith("pbxfed"):
        return _OWN
    return RULES.get((file, section, key), Rule())
