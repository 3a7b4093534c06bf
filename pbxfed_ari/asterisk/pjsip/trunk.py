"""A SIP trunk to one peer: auth, aor, endpoint, all three named `pf-<peer>`, the same on both ends.

A single wildcard endpoint does not do: every node holds every extension, so the receiver would take `From: 1001` for its
own phone 1001. Hence `from_user=pf-<self>` names the sending node, the receiver finds its endpoint by that user name, and
the caller travels in P-Asserted-Identity (RFC 3325), trusted both ways. Both ends use one auth: user name and secret
belong to the pair, and the realm is the federation's on both sides, so each answers the other's challenge.

`remote_first`: what the caller speaks, and only that. A channel that may speak several codecs is set to the best of them when a
bridge joins it with a leg that is not answered yet, and Asterisk then translates whatever is spoken into that one, and back.
So no more is offered than will be taken: Asterisk answers one codec, as it is told, but takes the best of all that were offered
for what is spoken, and where it then must translate it may fall silent. If none is common, all are offered.

`auto_info`: keys go as the caller's side offers: by RFC 4733, or by INFO if it offers none, as a leg of ours does (legs.py). An
Asterisk that sends a key by RFC 4733 answers each packet that comes by one more of the key's (ast_rtp_dtmf_continuation). If
both ends of a trunk have keys of their own to send at once, as where sound passes through the cores of both, each answers the
other's answers, a thousand times for a key; and the key's length, counted by them, is then up to eight seconds, in which who
waits for its end hears nothing. Where one of them passes packets on untouched, the phone's own keys are no keys of its own.
"""

from pbxfed_ari.asterisk.pjsip.extension import CODECS, NOWHERE
from pbxfed_ari.asterisk.pjsip.objects import PjsipObject, marked
from pbxfed_ari.core.effects import PushTrunk
from pbxfed_ari.core.names import NodeName, trunk_to

CONTEXT = "pbxfed-trunk"


def trunk_objects(
    push: PushTrunk, own: NodeName, realm: str, secret: str
) -> tuple[PjsipObject, ...]:
    """The objects of the trunk to this peer, in the order in which they must be pushed."""
    name = trunk_to(push.peer)
    auth = PjsipObject(
        "auth",
        name,
        (
            ("auth_type", "userpass"),
            ("username", pair_user(own, push.peer)),
            ("password", secret),
            ("realm", realm),
        ),
    )
    aor = PjsipObject(
        "aor",
        name,
        (
            ("contact", f"sip:{_host(push.address)}:{push.sip_port}"),
            ("max_contacts", "0"),  # nobody registers as a trunk
            ("qualify_frequency", "0"),  # reachability is the federation's to know
        ),
    )
    endpoint = PjsipObject(
        "endpoint",
        name,
        (
            ("context", CONTEXT),
            ("message_context", NOWHERE),
            ("aors", name),
            ("auth", name),
            ("outbound_auth", name),
            ("identify_by", "username"),
            ("from_user", trunk_to(own)),
            ("send_pai", "yes"),
            ("trust_id_outbound", "yes"),
            ("trust_id_inbound", "yes"),
            ("allow", CODECS),
            ("outgoing_call_offer_pref", "remote_first"),
            ("incoming_call_offer_pref", "remote_first"),
            ("direct_media", "no"),
            ("dtmf_mode", "auto_info"),
            ("rtp_symmetric", "yes"),
            ("allow_subscribe", "no"),
        ),
    )
    return marked(auth, aor, endpoint)


def pair_user(one: NodeName, other: NodeName) -> str:
    """The user name that both ends of a pair use, whoever calls."""
    smaller, larger = sorted((one, other))
    return f"{trunk_to(smaller)}-{larger}"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
