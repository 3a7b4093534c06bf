"""The modules that must run are those that the dialplan calls, each by its applications and functions."""

import re
from pathlib import Path

from pbxfed_ari.installing.rules import IAX_MODULE, MEETING, MODULES

DIALPLAN = Path(__file__).parents[2] / "dialplan/extensions.conf"
BUILT_IN = {
    "Answer",
    "Bridge",
    "Goto",
    "GotoIf",
    "Hangup",
    "MSet",
    "Proceeding",
    "Set",
    "Wait",
}  # pbx_builtins.c, pbx_variables.c, features.c
FROM = {
    "CALLERID": "func_callerid",
    "CHANNEL": "func_channel",
    "CONNECTEDLINE": "func_callerid",
    "CUT": "func_cut",
    "ConfBridge": "app_confbridge",
    "DIALPLAN_EXISTS": "func_dialplan",
    "Dial": "app_dial",
    "ExecIf": "app_exec",
    "EVAL": "func_strings",
    "FILTER": "func_strings",
    "GLOBAL": "func_global",
    "FRAME_DROP": "func_frame_drop",
    "Gosub": "app_stack",
    "HANGUPCAUSE_KEYS": "func_hangupcause",
    "IAXVAR": "chan_iax2",
    "IF": "func_logic",
    "IMPORT": "func_logic",
    "LEN": "func_strings",
    "REGEX": "func_strings",
    "PJSIP_DIAL_CONTACTS": "chan_pjsip",
    "PJSIP_DTMF_MODE": "chan_pjsip",
    "PJSIP_HEADER": "res_pjsip_header_funcs",
    "PJSIP_MEDIA_OFFER": "chan_pjsip",
    "MixMonitor": "app_mixmonitor",
    "REDIRECTING": "func_callerid",
    "REPLACE": "func_strings",
    "Return": "app_stack",
    "Stasis": "app_stasis",
    "StopMixMonitor": "app_mixmonitor",
    "TIMEOUT": "func_timeout",
    "UserEvent": "app_userevent",
}


def test_every_module_that_the_dialplan_needs_is_asked_for() -> None:
    """A new line of it must say here whose it is."""
    lines = [line.partition(" ;")[0] for line in DIALPLAN.read_text().splitlines()]
    said = {name for line in lines if line[:1] not in ";" for name in re.findall(r"(\w+)\(", line)}
    used = {name for name in said if name[0].isupper()} - BUILT_IN
    assert used == set(FROM)
    assert {FROM[name] for name in used} <= {*MODULES, IAX_MODULE, *MEETING}


def test_no_label_stands_twice_in_one_extension() -> None:
    """Asterisk would go to the first, without a word."""
    seen: set[str] = set()
    for line in DIALPLAN.read_text().splitlines():
        if line.startswith(("[", "exten")):
            seen = set()
        for label in re.findall(r"^(?: same => n|exten => [^,]+,1)\((\w+)\),", line):
            assert label not in seen, line
            seen.add(label)
