"""What stands in files that the configuration names: keys, passwords, tokens, the certificate that phones are shown.

Others must not be able to read a secret; what is wrong with one is said without it.
"""

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pbxfed_ari.config.settings import Settings
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.web.access import Role, Tokens, read_tokens

if TYPE_CHECKING:  # they bring asyncio and more, and every command reads the configuration
    from ssl import SSLContext

    from pbxfed_ari.links.wan import Access

KEY_HEX = 64  # digits of the federation's key


def federation_key(settings: Settings) -> bytes | None:
    """The key in federation.key_file, if one is set.

    Raises: ConfigError, if it cannot be read, is not 64 hex digits, or others may read it.
    """
    path = settings.federation.key_file
    if path is None:
        return None
    text = _private(
        settings.path,
        "federation.key_file",
        path,
        "make one with `openssl rand -hex 32`, copy it to all",
    )
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) * 2 != KEY_HEX:
        raise ConfigError(
            f"{settings.path}: federation.key_file = {path}: must hold {KEY_HEX} hexadecimal digits; "
            "make one with `openssl rand -hex 32`, copy it to all nodes"
        )
    return key


def provisioning_tls(settings: Settings) -> "SSLContext | None":
    """What phones are shown, read from the files; None if none are served.

    Raises: ConfigError.
    """
    import ssl

    certificate, key = settings.provisioning.certificate_file, settings.provisioning.key_file
    if settings.provisioning.listen is None or certificate is None or key is None:
        return None
    remedy = "name the certificate's own private key"
    _private(settings.path, "provisioning.key_file", key, remedy, lines=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        said = error.strerror or getattr(error, "reason", "") or str(error)
        raise ConfigError(
            f"{settings.path}: provisioning.certificate_file = {certificate}: {said}; it must be a PEM file "
            "with the certificate, then those that vouch for it, and provisioning.key_file its key"
        ) from None
    return context


def ari_password(settings: Settings) -> str:
    """The password in asterisk.password_file.

    Raises: ConfigError.
    """
    path = settings.asterisk.password_file
    return _private(
        settings.path,
        "asterisk.password_file",
        path,
        "write the password of ari.conf's user into it",
    )


def http_token(settings: Settings) -> str | None:
    """The token in http.token_file with the most power, if one is set: what our own commands send.

    Raises: ConfigError.
    """
    return max(_http_tokens(settings), key=lambda one: one[0], default=(None, None))[1]


def http_access(settings: Settings) -> Tokens:
    """Who may do what over HTTP.

    Raises: ConfigError.
    """
    return Tokens(_http_tokens(settings))


def _http_tokens(settings: Settings) -> list[tuple[Role, str]]:
    path = settings.http.token_file
    if path is None:
        return []
    remedy = "write a long random word into it"
    text = _private(settings.path, "http.token_file", path, remedy, lines=True)
    try:
        return read_tokens(text)
    except ValueError as error:
        raise ConfigError(f"{settings.path}: http.token_file = {path}: {error}; {remedy}") from None


def wan_access(settings: Settings) -> "Access":
    """How to get to the other sites, secrets read. A rendezvous may stand in its own list: it is left out.

    Raises: ConfigError.
    """
    from pbxfed_ari.links.wan import Access

    wan = settings.wan
    own = f"{settings.node.address}:{wan.listen.rpartition(':')[2]}" if wan.listen else ""
    return Access(
        connect=tuple(text for text in wan.connect if text not in (own, wan.listen)),
        listen=wan.listen,
        user=wan.user,
        password=_wan_secret(settings, "password_file", wan.password_file),
        credentials=_wan_secret(settings, "credentials_file", wan.credentials_file, lines=True),
        ca_file=wan.ca_file,
    )


def _wan_secret(
    settings: Settings, key: str, path: Path | None, *, lines: bool = False
) -> str | None:
    if path is None:
        return None
    return _private(
        settings.path, f"wan.{key}", path, "ask whoever runs the NATS server for it", lines=lines
    )


def _private(config: Path, key: str, path: Path, remedy: str, *, lines: bool = False) -> str:
    try:
        if path.stat().st_mode & (stat.S_IRWXO):
            raise ConfigError(f"{config}: {key} = {path}: others may read it; `chmod o-rwx {path}`")
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"{config}: {key} = {path}: {reason}; {remedy}") from None
    if not text or not text.isascii() or not (lines or text.isprintable()):
        raise ConfigError(
            f"{config}: {key} = {path}: must hold one line of printable ASCII; {remedy}"
        )
    return text
