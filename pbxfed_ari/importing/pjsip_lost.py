"""What of a `pjsip.conf` has no counterpart, and is not what Asterisk does anyway. Names only: a value may be a secret."""

from collections.abc import Iterable

from pbxfed_ari.importing import rules
from pbxfed_ari.importing.asterisk_conf import Section
from pbxfed_ari.importing.pjsip_sections import OBJECTS, Config
from pbxfed_ari.importing.report import Note, Notebook

# Carried over, or the same for every phone of a federation whatever stands here.
_READ = frozenset(
    {
        *("type", "auth", "aors", "callerid", "allow", "disallow", "transport", "context"),
        *("media_encryption", "media_encryption_optimistic", "webrtc", "use_avpf", "ice_support"),
        *("rtp_symmetric", "rewrite_contact", "force_rport", "device_state_busy_at"),
        *("identify_by", "direct_media", "outbound_auth"),
        *("max_contacts", "remove_existing", "qualify_frequency", "contact"),
        *("minimum_expiration", "maximum_expiration", "default_expiration"),
    }
)
_ON = frozenset(  # what Asterisk does if nothing is said
    {
        *("aggregate_mwi", "allow_subscribe", "allow_transfer", "send_connected_line", "timers"),
        *("refer_blind_progress", "trust_connected_line"),
    }
)
_OFF = frozenset(  # what it does not
    {
        *("bundle", "rtcp_mux", "media_use_received_transport", "user_eq_phone", "inband_progress"),
        *("fax_detect", "t38_udptl", "t38_udptl_nat", "one_touch_recording", "support_path"),
        *("send_pai", "send_rpid", "trust_id_inbound", "trust_id_outbound"),
        *("mwi_subscribe_replaces_unsolicited", "authenticate_qualify", "remove_unavailable"),
    }
)
_SAME = frozenset({("dtmf_mode", "rfc4733"), ("moh_suggest", "default"), ("t38_udptl_ec", "none")})
_REMEDIES = {
    "mailboxes": "mailboxes stay on the node that has them",
    "call_group": "call pickup is not federated",
    "pickup_group": "call pickup is not federated",
    "named_call_group": "call pickup is not federated",
    "named_pickup_group": "call pickup is not federated",
}
_NO_FIELD = "an extension has no such field: what must keep it stays in pjsip.conf, by hand"


def note_options(sections: list[Section], book: Notebook) -> None:
    """A note for each option of a phone that is lost."""
    said: dict[str, str] = {}
    for section in sections:
        said |= {option.key.lower(): option.value for option in section.options}
    for key, value in said.items():
        usual = key in (_ON if rules.true(value) else _OFF) or (key, value.lower()) in _SAME
        if key not in _READ and value and not usual:
            book.add(f"option {key}", _REMEDIES.get(key, _NO_FIELD))


def sections_lost(sections: Iterable[Section], config: Config) -> list[Note]:
    """What stands in the file beside endpoints and what belongs to them."""
    notes = []
    for section in sections:
        kind = section.last("type").lower()
        if kind == "global" and config.default_realm != config.realm:
            remedy = (
                f"the federation's is {config.realm}: phones are challenged with that from now on"
            )
            notes.append(Note(section.where, "", f"default_realm {config.default_realm}", remedy))
        elif kind == "wizard":
            remedy = "what it makes is not seen here: import from `pjsip_wizard.conf` is by hand"
            notes.append(Note(section.where, f"[{section.name}]", "type=wizard", remedy))
        elif not kind:
            remedy = "Asterisk makes nothing of it"
            notes.append(Note(section.where, f"[{section.name}]", "a section without type", remedy))
        elif kind not in OBJECTS and kind not in ("global", "system"):
            remedy = "it stays in pjsip.conf, by hand"
            notes.append(Note(section.where, f"[{section.name}]", f"type={kind}", remedy))
    return notes
