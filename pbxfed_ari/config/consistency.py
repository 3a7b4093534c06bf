"""What does not go together: keys that are each good, and wrong beside one another."""

import ipaddress

from pbxfed_ari.config.sections import HttpSettings, ProvisioningSettings, WanSettings
from pbxfed_ari.config.settings import Settings
from pbxfed_ari.config.values import is_host

LONGEST_DOMAIN = 200  # characters that leave room for a node's name in front


def wrong(settings: Settings) -> str:
    """The first that is, key and value named; an empty text if all goes together."""
    return (
        _http(settings.http)
        or _wan(settings.wan)
        or _dns(settings)
        or _provisioning(settings.provisioning)
    )


def _http(http: HttpSettings) -> str:
    host = http.listen.rpartition(":")[0].strip("[]")
    if http.token_file is None and not _is_loopback(host):
        return f"http.listen = {http.listen!r}: beyond loopback http.token_file must be set"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wan(wan: WanSettings) -> str:
    """What does not go together in [wan], key and value named; an empty text if all does."""
    urls = [text for text in wan.connect if "://" in text]
    if wan.link == "zenoh":
        if urls:
            return f'wan.connect = {urls[0]!r}: with wan.link = "zenoh" it must be host:port'
        if not wan.connect and wan.listen is None:
            return (
                'wan.connect is missing: wan.link = "zenoh" needs the host:port of a rendezvous, '
                "or wan.listen if this node is the only one"
            )
        for key in ("user", "password_file", "credentials_file", "ca_file"):
            if getattr(wan, key) is not None:
                return (
                    f"wan.{key} = {str(getattr(wan, key))!r}: is for NATS; leave it out, "
                    "zenoh's certificates come of the federation's key"
                )
    if wan.link == "nats":
        for text in wan.connect:
            if text not in urls:
                return (
                    f'wan.connect = {text!r}: must be "nats://{text}" or, with TLS, "tls://{text}"'
                )
            if "@" in text:
                return "wan.connect holds a secret: put it into wan.user and wan.password_file"
        if not wan.connect:
            return 'wan.connect is missing: wan.link = "nats" needs the URL of a server'
        if wan.listen is not None:
            return (
                f"wan.listen = {wan.listen!r}: is for zenoh; leave it out, NATS servers are dialled"
            )
        if wan.user is not None and wan.password_file is None:
            return f"wan.user = {wan.user!r}: wan.password_file must be set too"
        if wan.credentials_file is not None and wan.password_file is not None:
            return (
                f"wan.credentials_file = {str(wan.credentials_file)!r}: leave it or "
                "wan.password_file out, one proof is enough"
            )
    return ""


def _dns(settings: Settings) -> str:
    domain = settings.federation.domain
    if settings.dns.listen and not (is_host(domain) and len(domain) <= LONGEST_DOMAIN):
        return (
            f"federation.domain = {domain!r}: must be a DNS name of {LONGEST_DOMAIN} characters at most "
            "where dns.listen is set"
        )
    return ""


def _provisioning(provisioning: ProvisioningSettings) -> str:
    if provisioning.listen is not None:
        for key in ("certificate_file", "key_file"):
            if getattr(provisioning, key) is None:
                return f"provisioning.{key} is missing: files with secrets are served by HTTPS only"
    return ""
