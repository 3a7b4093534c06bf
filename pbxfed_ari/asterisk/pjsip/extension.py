"""A phone: auth, aor, endpoint, all three named after its number.

The secret arrives as md5(extension:realm:secret). `auth_type=digest` with `password_digest` takes it as it is, so the
secret itself is nowhere in Asterisk; the realm must be the `default_realm` of `dialplan/pjsip.conf`, for which it was made.
`qualify_frequency=0`: phones are not pinged, registrations speak for them. `remove_existing` lets a phone that came back
under another port replace its oldest registration instead of being refused.

Profiles (core/records/objects/extension.py): `secure` is SRTP keyed in the SDP (RFC 4568), which needs TLS to be worth
anything; a call without it is refused. `webrtc` is Asterisk's own bundle of options (res_pjsip/pjsip_configuration.c); with
them it takes any media transport it is offered, so who speaks in the clear is heard, but hears nothing. Transports cannot be
pushed: a TLS and a WebSocket transport must stand in pjsip.conf and http.conf.
"""

from pbxfed_ari.asterisk.dialing import identity
from pbxfed_ari.asterisk.pjsip.objects import Fields, PjsipObject, marked
from pbxfed_ari.core.effects import PushExtension
from pbxfed_ari.core.records.registering import LONGEST, SHORTEST

CONTEXT = "pbxfed-phones"
NOWHERE = "pbxfed-nowhere"  # a context that does not exist
CODECS = "!all,ulaw,alaw,g722"
_BEHIND_A_ROUTER: Fields = (
    ("direct_media", "no"),
    ("rtp_symmetric", "yes"),
    ("force_rport", "yes"),
    ("rewrite_contact", "yes"),
)
_NO_WEBRTC: Fields = (  # all that `webrtc=yes` switches on; what is not said keeps its value
    ("webrtc", "no"),
    ("use_avpf", "no"),
    ("ice_support", "no"),
    ("rtcp_mux", "no"),
    ("bundle", "no"),
    ("media_use_received_transport", "no"),
)
_PLAIN: Fields = (*_NO_WEBRTC, ("media_encryption", "no"))
_SRTP: Fields = (*_NO_WEBRTC, ("media_encryption", "sdes"), ("media_encryption_optimistic", "no"))
PROFILES: dict[str, Fields] = {
    "nat": (*_BEHIND_A_ROUTER, *_PLAIN),
    "lan": (
        ("direct_media", "yes"),
        ("rtp_symmetric", "no"),
        ("force_rport", "yes"),
        ("rewrite_contact", "no"),
        *_PLAIN,
    ),
    "secure": (*_BEHIND_A_ROUTER, *_SRTP),
    "webrtc": (*_BEHIND_A_ROUTER, ("webrtc", "yes")),
}


def extension_objects(push: PushExtension, realm: str) -> tuple[PjsipObject, ...]:
    """The objects of this phone, in the order in which they must be pushed."""
    number = push.extension
    auth = PjsipObject(
        "auth",
        number,
        (
            ("auth_type", "digest"),
            ("username", number),
            ("realm", realm),
            ("password_digest", f"MD5:{push.ha1}"),
        ),
    )
    aor = PjsipObject(
        "aor",
        number,
        (
            ("max_contacts", str(push.devices)),
            ("remove_existing", "yes"),
            ("minimum_expiration", str(SHORTEST)),
            ("maximum_expiration", str(LONGEST)),
            ("qualify_frequency", "0"),
        ),
    )
    endpoint = PjsipObject(
        "endpoint",
        number,
        (
            ("context", CONTEXT),
            ("message_context", NOWHERE),  # else a text message would come as a call
            ("aors", number),
            ("auth", number),
            ("identify_by", "username"),
            ("callerid", identity(push.name, number)),
            ("allow", ",".join(("!all", *push.codecs)) if push.codecs else CODECS),
            *PROFILES.get(push.profile, PROFILES["nat"]),
            ("send_pai", "yes"),  # else its display cannot follow a transfer, or a pick-up
            (
                "connected_line_method",
                "update",
            ),  # and needs no new media for it, if the phone allows
            ("device_state_busy_at", str(push.call_limit)),
        ),
    )
    return marked(auth, aor, endpoint)
