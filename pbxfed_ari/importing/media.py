"""Which of the four profiles an endpoint comes nearest to, and what that changes for the phone.

lan     nothing between phone and PBX        webrtc  a browser: WebSocket, ICE, DTLS-SRTP
nat     answer to where packets come from    secure  TLS for the signals, SRTP (SDES) for the sound
"""

from dataclasses import dataclass

from pbxfed_ari.importing.report import Notebook, Object

DEFAULT = "nat"


@dataclass(frozen=True, slots=True)
class Media:
    """What an endpoint says of its way and its sound."""

    protocols: frozenset[str] = (
        frozenset()
    )  # of its transports: udp tcp tls ws wss; empty if any will do
    encryption: str = "no"  # no, sdes, dtls
    optimistic: bool = False  # unencrypted sound is taken too
    webrtc: bool = False
    browser: bool = False  # AVPF or ICE, as browsers want it
    symmetric: bool = False  # packets go back where they came from


def put_profile(into: Object, media: Media, book: Notebook) -> None:
    """The nearest profile."""
    profile = _profile(media, book)
    if profile != DEFAULT:
        into["profile"] = profile


def _profile(media: Media, book: Notebook) -> str:
    sockets = bool(media.protocols) and media.protocols <= {"ws", "wss"}
    if media.webrtc or sockets or (media.encryption == "dtls" and media.browser):
        return "webrtc"
    tls = media.protocols == {"tls"}
    if media.encryption == "no" and not tls:
        return "nat" if media.symmetric else "lan"
    if media.encryption == "dtls":
        book.add("DTLS-SRTP", "profile secure speaks SDES: set the phone to it, or use webrtc")
    elif media.encryption == "no":
        book.add("TLS without SRTP", "profile secure wants both: switch SRTP on in the phone")
    elif not tls:
        book.add("SRTP without TLS", "profile secure wants both: let the phone register over TLS")
    if media.optimistic:
        book.add("media_encryption_optimistic", "profile secure does not take unencrypted sound")
    return "secure"
