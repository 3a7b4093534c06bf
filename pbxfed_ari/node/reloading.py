"""SIGHUP: the file is read again. What may change while running does, the rest waits for a restart."""

import logging
from ssl import SSLContext

from pbxfed_ari import config
from pbxfed_ari.config import Settings, credentials
from pbxfed_ari.errors import ConfigError

FIXED = (
    "federation",
    "lan",
    "wan",
    "asterisk",
    "http",
    "dns",
    "health",
    "checks",
)  # until a restart
log = logging.getLogger("pbxfed")


def reread(old: Settings, tls: SSLContext | None) -> Settings | None:
    """What the file says now, or None if that is wrong, or another node. `tls` is given its certificate anew."""
    try:
        fresh = config.load(old.path)
    except ConfigError as error:
        log.error("reload refused, the old configuration stands: %s", error)
        return None
    _renew_certificate(fresh, old, tls)
    for section in FIXED:
        if getattr(fresh, section) != getattr(old, section):
            log.warning("reload: [%s] has changed; that needs a restart", section)
    if (fresh.node.name, fresh.node.address, fresh.node.site) != (
        old.node.name,
        old.node.address,
        old.node.site,
    ):
        log.warning(
            "reload: node.name, node.address or node.site has changed; that needs a restart"
        )
        return None
    return fresh


def _renew_certificate(fresh: Settings, old: Settings, tls: SSLContext | None) -> None:
    """The certificate that phones are shown is read again; where they connect to stays until a restart."""
    new = fresh.provisioning
    if new.listen != old.provisioning.listen:
        log.warning("reload: provisioning.listen has changed; that needs a restart")
    elif tls is not None:
        try:
            credentials.provisioning_tls(fresh)
            assert new.certificate_file is not None
            tls.load_cert_chain(new.certificate_file, new.key_file)
        except (ConfigError, OSError) as error:
            log.error("the certificate for phones is not renewed: %s", error)
