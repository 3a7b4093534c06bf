"""An Asterisk's `pjsip.conf`: its phones become extensions, its trunks stay where they are and are named.

A phone is an endpoint with `auth`, whose name is its number; the number in `callerid` is taken where the name can be none. What
is registered elsewhere, or reached at a fixed address without a secret, is a trunk (trunks.py). Secrets: `password` is carried
over as it is; a digest (`password_digest` MD5, `md5_cred`) only if it was made for the federation's realm and this number, for
it cannot be made anew. Everything else that an endpoint says, and that is not what Asterisk does anyway, is noted by name.
"""

from pbxfed_ari.core.names import TRUNK_PREFIX, is_extension
from pbxfed_ari.importing import asterisk_conf, rules, trunks
from pbxfed_ari.importing.asterisk_conf import Include, Section
from pbxfed_ari.importing.callerid import caller
from pbxfed_ari.importing.codecs import put_codecs
from pbxfed_ari.importing.media import Media, put_profile
from pbxfed_ari.importing.pjsip_lost import note_options, sections_lost
from pbxfed_ari.importing.pjsip_sections import Config, listed
from pbxfed_ari.importing.report import Imported, Note, Notebook, Object


def read(
    text: str, *, realm: str, file: str = "pjsip.conf", include: Include | None = None
) -> Imported:
    """The extensions of a pjsip.conf, in order, and the names of its trunks. `realm` is the federation's domain.

    Raises: Refused, naming file, line and rule.
    """
    parsed = asterisk_conf.parse(text, file=file, include=include)
    config = Config(parsed.sections, realm)
    objects: list[Object] = []
    candidates: list[Object] = []
    notes = [
        Note(skipped.where, "", skipped.why, "passed over, as Asterisk does")
        for skipped in parsed.skipped
    ]
    taken: dict[str, str] = {}
    names: set[str] = set()
    for endpoint in config.of("endpoint"):
        book = Notebook(endpoint.where, f"endpoint {endpoint.name}")
        if trunks.is_trunk(config, endpoint):
            candidates += trunks.candidate(endpoint, names, book)
        elif number := _number(endpoint, book):
            if number in taken:
                book.add(
                    f"another endpoint for {number}",
                    f"{taken[number]} came first; raise its devices if both phones are one person's",
                )
            else:
                taken[number] = endpoint.name
                book.item = f"extension {number}"
                objects.append(_extension(config, endpoint, number, book))
        notes += book.notes
    notes += sections_lost(parsed.sections, config)
    if objects:
        remedy = "remove their sections from it: Asterisk prefers what is written by hand"
        notes.append(Note(file, "", f"{len(objects)} extensions still stand in the file", remedy))
    return Imported(objects, notes, candidates)


def _number(endpoint: Section, book: Notebook) -> str:
    """The number that people dial for it; empty, and noted, if it has none."""
    name, shown = endpoint.name, caller(endpoint.last("callerid"))
    if name.startswith(TRUNK_PREFIX):
        book.add(
            f"the name {TRUNK_PREFIX}…",
            "names of the federation's own trunks: it makes them itself",
        )
        return ""
    if is_extension(name):
        if shown.number and shown.number != name:
            book.add(
                f"callerid <{shown.number}>",
                "an extension calls under its own number: add it under this one, if that is what people dial",
            )
        return name
    if is_extension(shown.number):
        book.add(
            "its name",
            f"no number can look like it: it became {shown.number}, after its callerid; set the phone's user name to that",
        )
        return shown.number
    book.add(
        "this endpoint", "neither its name nor its callerid is a number: add it under one, by hand"
    )
    return ""


def _extension(config: Config, endpoint: Section, number: str, book: Notebook) -> Object:
    made: Object = {"extension": number}
    rules.put_name(made, caller(endpoint.last("callerid")).name, number, book)
    _put_secret(made, config, endpoint, number, book)
    aors = config.aors(endpoint)
    contacts = sum(rules.whole(aor.last("max_contacts")) or 0 for aor in aors)
    rules.put_whole(made, "devices", contacts, "max_contacts", book)
    put_profile(made, _media(config, endpoint), book)
    put_codecs(
        made, ((one.key.lower(), one.value) for one in endpoint.all("allow", "disallow")), book
    )
    busy_at = rules.whole(endpoint.last("device_state_busy_at")) or 0
    rules.put_whole(made, "call_limit", busy_at, "device_state_busy_at", book)
    if context := endpoint.last("context"):
        book.add(
            f"context={context}",
            "phones dial in the federation's own context; limits are a calling class",
        )
    if any(aor.last("contact") for aor in aors):
        book.add("its fixed address", "an extension registers: let the phone do so")
    if config.identified(endpoint):
        book.add("type=identify", "an extension is known by its secret, not by its address")
    note_options([endpoint, *aors], book)
    return made


def _put_secret(
    made: Object, config: Config, endpoint: Section, number: str, book: Notebook
) -> None:
    auths = config.named("auth", listed(endpoint, "auth"))
    if not auths:
        book.add("its secret", "there is none here: one must be set, also in the phone")
        return
    auth, *others = auths
    user, realm = auth.last("username") or number, auth.last("realm") or config.default_realm
    if others:
        book.add("a second auth", "an extension has one secret: the first is taken")
    if user != number:
        book.add(f"user name {user!r}", "an extension's is its number: set it in the phone")
    if secret := auth.last("password"):
        rules.put_secret(made, number, secret, book)
    elif not (digest := _digest(auth)):
        book.add("its secret", "there is none here: one must be set, also in the phone")
    elif (user, realm) != (number, config.realm):
        book.add(
            "its secret",
            f"the digest is for {user}@{realm}, not {number}@{config.realm}: one must be set anew, also in the phone",
        )
    else:
        made["ha1"] = digest.lower()


def _digest(auth: Section) -> str:
    """The MD5 digest of an auth, if it has one."""
    for option in reversed(auth.all("password_digest", "md5_cred")):
        specs = (
            option.value.split(",")
            if option.key.lower() == "password_digest"
            else [f"md5:{option.value}"]
        )
        for spec in specs:
            algorithm, _, digest = spec.strip().partition(":")
            if algorithm.lower() == "md5" and rules.is_digest(digest.strip()):
                return digest.strip()
    return ""


def _media(config: Config, endpoint: Section) -> Media:
    names = listed(endpoint, "transport")
    transports = config.named("transport", names)
    protocols = [one.last("protocol", "udp").lower() for one in transports]
    if len(transports) < len(names):  # not in this file: 0.0.0.0-tls of FreePBX, or transport-tls
        protocols += [name.lower().rpartition("-")[2] for name in names]
    encryption = endpoint.last("media_encryption").lower().replace("sdp", "sdes")
    return Media(
        protocols=frozenset(protocols) & {"udp", "tcp", "tls", "ws", "wss"},
        encryption=encryption if encryption in ("sdes", "dtls") else "no",
        optimistic=rules.true(endpoint.last("media_encryption_optimistic")),
        webrtc=rules.true(endpoint.last("webrtc")),
        browser=rules.true(endpoint.last("use_avpf")) or rules.true(endpoint.last("ice_support")),
        symmetric=rules.true(endpoint.last("rtp_symmetric"))
        or rules.true(endpoint.last("rewrite_contact")),
    )
