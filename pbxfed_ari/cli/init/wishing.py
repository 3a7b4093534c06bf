"""What the operator wants of this machine: as typed, as configured, as found; asked for where he is there to answer."""

import secrets
from typing import TYPE_CHECKING

import click

from pbxfed_ari.cli.init.options import (
    PASSWORD_FILE,
    STATE,
    Options,
    config_path,
    daemon_user,
    state_folder,
)
from pbxfed_ari.cli.init.options import password_file as usual_password_file
from pbxfed_ari.errors import Refused

if TYPE_CHECKING:
    from pbxfed_ari.config import Settings
    from pbxfed_ari.installing.facts import Machine
    from pbxfed_ari.installing.manifest import Manifest
    from pbxfed_ari.installing.plan import Wish

PASSWORD_BYTES = 24


def wished(
    options: Options, settings: "Settings | None", machine: "Machine", manifest: "Manifest | None"
) -> "Wish":
    """What was typed, what is configured, and defaults."""
    from pbxfed_ari.config.sections import HttpSettings, LanSettings
    from pbxfed_ari.core.names import node_name
    from pbxfed_ari.installing.plan import Wish
    from pbxfed_ari.join import asking
    from pbxfed_ari.wire import token

    given = token.read(options.token) if options.token else None
    if settings is not None:
        _agree(options, settings, given.domain if given else None)
        node = settings.node
        name, address, site = node.name, node.address, node.site
        domain, password_file = settings.federation.domain, settings.asterisk.password_file
    else:
        name, site = node_name(options.name or asking.hostname()), options.site or ""
        address = options.address or (
            asking.own_address(given) if given else _address(options, machine)
        )
        domain = given.domain if given else _domain(options, machine)
        password_file = usual_password_file(options)
    known = {one.address for one in machine.interfaces} | {"127.0.0.1"}
    if address not in known:
        raise Refused(f"--address {address}: this machine has {', '.join(sorted(known))}")
    state = state_folder(options, settings)
    configured: dict[str, object] | None = None
    if settings is not None:
        asterisk = settings.asterisk
        configured = {
            key: getattr(asterisk, key)
            for key in ("url", "iax_peers", "objects", "sip_port", "iax_port")
        }
    return Wish(
        name=name,
        domain=domain,
        address=address,
        site=site,
        config=str(config_path(options).absolute()),
        state=str(state.absolute()),
        default_state=state == STATE,
        password_file=str(password_file.absolute()),
        default_password_file=password_file == PASSWORD_FILE,
        user=daemon_user(options, manifest),
        listen=settings.http.listen if settings else HttpSettings().listen,
        lan=settings.lan.port if settings else LanSettings().port,
        password=secrets.token_urlsafe(PASSWORD_BYTES),
        joins=given is not None and not (machine.member and settings),
        accepted=frozenset(manifest.accepted if manifest else ()),
        configured=configured,
    )


def _agree(options: Options, settings: "Settings", token_domain: str | None) -> None:
    """A configuration that is there is not changed: what was typed must be what it says."""
    for option, value, key, has in (
        ("--name", options.name, "node.name", settings.node.name),
        ("--address", options.address, "node.address", settings.node.address),
        ("--site", options.site, "node.site", settings.node.site),
        ("--state", options.state, "node.state", settings.node.state),
        ("--domain", options.domain, "federation.domain", settings.federation.domain),
        ("the token's domain", token_domain, "federation.domain", settings.federation.domain),
    ):
        if value not in (None, has):
            raise Refused(
                f"{option} {value}: {settings.path}: {key} = {str(has)!r}; change it there, or leave it out"
            )


def _address(options: Options, machine: "Machine") -> str:
    """The address that peers reach: the only one, the one of the default route, or what the operator says."""
    found = machine.interfaces
    if not found:
        raise Refused(
            "this machine has no address but loopback: set one up, or name it (--address)"
        )
    if len(found) == 1 or (not options.asks and found[0].default):
        return found[0].address
    listed = ", ".join(f"{one.address} ({one.name})" for one in found)
    if not options.asks:
        raise Refused(
            f"this machine has several addresses: {listed}: say which one other nodes reach (--address)"
        )
    click.echo(f"addresses of this machine: {listed}")
    return str(click.prompt("Which one do other nodes reach?", default=found[0].address))


def _domain(options: Options, machine: "Machine") -> str:
    """The federation's domain: as typed, or the realm that this Asterisk has."""
    from pbxfed_ari.importing.asterisk_conf import parse
    from pbxfed_ari.installing.blocks import without_block

    if options.domain:
        return _named(options.domain)
    text = without_block(machine.files.get("pjsip.conf", ""))
    sections = parse(text, file="pjsip.conf", include=machine.include).sections
    realm = next((s.last("default_realm") for s in sections if s.last("type") == "global"), "")
    if realm and realm != "asterisk":
        return _named(realm)
    if not options.asks:
        raise Refused(
            "which domain shall the federation have? Name it (--domain pbx.example.com), or join one (--join)"
        )
    return _named(str(click.prompt("The federation's SIP domain, as pbx.example.com")))


def _named(domain: str) -> str:
    words = domain.split(".")
    good = (
        all(word.replace("-", "").isalnum() and word.isascii() for word in words)
        and len(domain) <= 200
    )
    if not good:
        raise Refused(f"--domain {domain!r}: must be a DNS name, as pbx.example.com")
    return domain.lower()
