"""The configuration: each refusal names file, key, value and remedy."""

from pathlib import Path

import pytest

from lab import tls
from pbxfed_ari import config
from pbxfed_ari.config import credentials
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.sensors.command import Command
from pbxfed_ari.web.access import Role

GOOD = """
[node]
name = "a"
address = "10.0.0.1"
[federation]
domain = "pbx.example"
key_file = "{key}"
[asterisk]
password_file = "{password}"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for name, text in ("key", "ab" * 32), ("password", "secret"):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    file = tmp_path / "pbxfed.toml"
    file.write_text(GOOD.format(key=tmp_path / "key", password=tmp_path / "password"))
    return file


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        credentials.federation_key(config.load(path))
    return str(caught.value)


def test_a_good_file_is_read_with_defaults(path: Path) -> None:
    """What is not said has a sane value."""
    settings = config.load(path)
    assert (settings.node.name, settings.node.weight, settings.lan.port) == ("a", 0, 8781)
    assert settings.calls.trunks == ("sip", "iax2")
    assert credentials.federation_key(settings) == b"\xab" * 32
    assert credentials.ari_password(settings) == "secret"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[node]\nname = 'A B'", "node.name = 'A B': must be 1 to 32"),
        ("[node]\nname = 'a'\naddress = '::1'", "node.address = '::1': must be an IPv4 address"),
        ("[node]\nname = 'a'", "node.address is missing: IPv4 address"),
        ("[lan]\ngroup = '10.0.0.1'", "lan.group = '10.0.0.1': must be an IPv4 multicast address"),
        ("[lan]\nport = true", "lan.port = True: must be 1 to 65535"),
        ("[lan]\nmulticast = 1", "lan.multicast = 1: must be true or false"),
        ("[lan]\npeers = '10.0.0.2'", "lan.peers = '10.0.0.2': must be a list"),
        ("[lan]\npeers = ['b:0']", "lan.peers = ['b:0']: must be a list of hosts, as"),
        ("[lan]\npeers = ['fd00::1']", "lan.peers = ['fd00::1']: must be a list of hosts, as"),
        ("[lan]\npeers = ['-b.x']", "lan.peers = ['-b.x']: must be a list of hosts, as"),
        ("[lan]\ntiming = 'slow'", "lan.timing = 'slow': must be one of lan, wan"),
        ("[lan]\nsrv = 'example.com'", "lan.srv = 'example.com': must be a name with SRV records"),
        ("[calls]\ntrunks = ['sip', 'sip']", "calls.trunks = ['sip', 'sip']: must be a list"),
        ("[calls]\nring_second = 3", "unknown key calls.ring_second: did you mean ring_seconds?"),
        ("[nod]\nname = 'a'", "unknown section [nod]: did you mean node?"),
        ("[log]\nlevel = 'loud'", "log.level = 'loud': must be one of debug, info, warning, error"),
        ("[http]\nlisten = '0.0.0.0:8780'", "beyond loopback http.token_file must be set"),
        ("[http]\nlisten = '8780'", "http.listen = '8780': must be address:port"),
        (
            "[http]\nlisten = '127.0.0.1:\u0668780'",
            "http.listen = '127.0.0.1:\u0668780': must be address:port",
        ),
        ("[wan]\nlink = 'mqtt'", "wan.link = 'mqtt': must be one of none, zenoh, nats"),
        ("[wan]\nconnect = ['b']", "wan.connect = ['b']: must be a list, as"),
        ("[wan]\nconnect = 'b:1'", "wan.connect = 'b:1': must be a list, as"),
        ("[wan]\nconnect = ['http://b:1']", "wan.connect = ['http://b:1']: must be a list, as"),
        ("[wan]\nlisten = '8782'", "wan.listen = '8782': must be address:port"),
        ("[wan]\nlink = 'zenoh'", 'wan.connect is missing: wan.link = "zenoh" needs'),
        ("[wan]\nlink = 'nats'", 'wan.connect is missing: wan.link = "nats" needs'),
        (
            "[wan]\nlink = 'zenoh'\nconnect = ['tls://b:1']",
            "wan.connect = 'tls://b:1': with wan.link = \"zenoh\" it must be host:port",
        ),
        (
            "[wan]\nlink = 'zenoh'\nconnect = ['b:1']\nuser = 'x'",
            "wan.user = 'x': is for NATS; leave it out",
        ),
        (
            "[wan]\nlink = 'nats'\nconnect = ['b:1']",
            'wan.connect = \'b:1\': must be "nats://b:1" or, with TLS, "tls://b:1"',
        ),
        (
            "[wan]\nlink = 'nats'\nconnect = ['nats://u:p@b']",
            "wan.connect holds a secret: put it into wan.user and wan.password_file",
        ),
        (
            "[wan]\nlink = 'nats'\nconnect = ['nats://b']\nlisten = '10.0.0.1:1'",
            "wan.listen = '10.0.0.1:1': is for zenoh; leave it out",
        ),
        (
            "[wan]\nlink = 'nats'\nconnect = ['nats://b']\nuser = 'x'",
            "wan.user = 'x': wan.password_file must be set too",
        ),
        (
            "[wan]\nlink = 'nats'\nconnect = ['nats://b']\npassword_file = '/p'\ncredentials_file = '/c'",
            "wan.credentials_file = '/c': leave it or wan.password_file out",
        ),
        ("phones = []", "asterisk.phones = []: must be a list, best first"),
        ("phones = ['sctp']", "asterisk.phones = ['sctp']: must be a list, best first"),
        ("phones = ['udp:']", "asterisk.phones = ['udp:']: must be a list, best first"),
        ("phones = ['udp', 'udp:5']", "must be a list, best first"),
        ("phone_addresses = ['::']", "asterisk.phone_addresses = ['::']: must be 4"),
        ("phone_addresses = '::1'", "asterisk.phone_addresses = '::1': must be 4"),
        ("[dns]\nlisten = '10.0.0.1'", "dns.listen = '10.0.0.1': must be a list of addresses"),
        ("[dns]\nlisten = ['0.0.0.0:53']", "dns.listen = ['0.0.0.0:53']: must be a list of"),
        ("[dns]\nlisten = ['10.0.0.1:0']", "dns.listen = ['10.0.0.1:0']: must be a list of"),
        ("[dns]\nlisten = ['localhost']", "dns.listen = ['localhost']: must be a list of"),
        ("[provisioning]\nlisten = '8783'", "provisioning.listen = '8783': must be address:port"),
        ("[provisioning]\nlisten = '0.0.0.0:8783'", "provisioning.certificate_file is missing"),
        ("[provisioning]\nhost = 'a b'", "provisioning.host = 'a b': must be a host name"),
        ("[provisioning]\nservers = 'srv'", "must be one of auto, dns, nodes"),
        ("[provisioning]\nexpires = 10", "provisioning.expires = 10: must be 30 to 7200"),
        ("[dns]\nttl = -1", "dns.ttl = -1: must be 0 to 3600"),
        (
            "[health]\nignore = ['loud']",
            "health.ignore = ['loud']: must be a list of these: ari, sip,",
        ),
        ("[checks]\nfax = 3", "checks.fax = 3: must be a section, [checks.fax]"),
        ("[checks.Fax]\ncommand = ['x']", "[checks.Fax]: the name must be 1 to 32 of a-z"),
        ("[checks.fax]\nevery = 3", "checks.fax.command is missing: program and arguments"),
        ("[checks.fax]\ncommand = []", "checks.fax.command = []: must be a list, as"),
        ("[checks.fax]\ncommand = ['x', 3]", "checks.fax.command = ['x', 3]: must be a list, as"),
        (
            "[checks.fax]\ncommand = 'x'",
            "checks.fax.command = 'x': with shell = false it must be a list",
        ),
        (
            "[checks.fax]\ncommand = ['x']\nshell = true",
            "checks.fax.command = ('x',): with shell = true it must be a text",
        ),
        ("[checks.fax]\ncommand = ['x']\nweight = 11", "checks.fax.weight = 11: must be 1 to 10"),
        (
            "[checks.fax]\ncommand = ['x']\ntimout = 1",
            "unknown key checks.fax.timout: did you mean timeout?",
        ),
        ("node = 3", "node = 3: must be a section"),
        ("[node", "not valid TOML"),
        ("x = " + "9" * 5_000, "not valid TOML: Exceeds the limit"),
        ("x = " + "[" * 5_000 + "]" * 5_000, "not valid TOML: maximum recursion depth exceeded"),
    ],
)
def test_a_wrong_line_is_refused_by_name(path: Path, line: str, words: str) -> None:
    """File, key, value, remedy."""
    text = path.read_text()
    node = '[node]\nname = "a"\naddress = "10.0.0.1"'
    if line.startswith(("[node]", "node =")):
        text = text.replace(node, "")
    path.write_text(f"{line}\n{text}" if line.startswith("node =") else text + line)
    assert words in refusal(path)
    assert refusal(path).startswith(str(path))


def test_checks_are_commands_with_defaults(path: Path) -> None:
    """A list is run as it is; a text goes to a shell, which was asked for."""
    assert config.load(path).commands() == []
    checks = "[checks.fax]\ncommand = ['/bin/fax', '-q']\n[checks.isdn]\ncommand = 'a | b'\nshell = true\nweight = 2\n"
    path.write_text(path.read_text() + checks)
    assert config.load(path).commands() == [
        Command("fax", ("/bin/fax", "-q"), 30.0, 5.0, 5),
        Command("isdn", ("/bin/sh", "-c", "a | b"), 30.0, 5.0, 2),
    ]


def test_dns_is_off_until_it_listens_somewhere(path: Path) -> None:
    """IPv4 and IPv6, with and without a port; phones have UDP where peers call."""
    settings = config.load(path)
    assert (settings.dns_places(), settings.dns.ttl) == ((), 5)
    assert settings.phone_ports() == (("udp", 5060),)
    path.write_text(
        path.read_text().replace(
            "[asterisk]", "[asterisk]\nsip_port = 5070\nphones = ['tls', 'tcp', 'ws:80']"
        )
        + "[dns]\nlisten = ['10.0.0.1', '10.0.0.1:5353', '::1', '[fd00::1]:54']"
    )
    settings = config.load(path)
    assert settings.phone_ports() == (("tls", 5061), ("tcp", 5070), ("ws", 80))
    assert settings.dns_places() == (
        ("10.0.0.1", 53),
        ("10.0.0.1", 5353),
        ("::1", 53),
        ("fd00::1", 54),
    )


def test_a_domain_that_is_no_dns_name_cannot_be_served(path: Path) -> None:
    """It may be a realm, though."""
    path.write_text(path.read_text().replace("pbx.example", "my pbx"))
    assert config.load(path).federation.domain == "my pbx"
    path.write_text(path.read_text() + "[dns]\nlisten = ['10.0.0.1']")
    assert "federation.domain = 'my pbx': must be a DNS name" in refusal(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the way to name another."""
    assert "$PBXFED_CONFIG" in refusal(tmp_path / "none.toml")


def test_a_key_that_others_may_read_is_refused(path: Path) -> None:
    """A federation key is as good as a master key."""
    path.with_name("key").chmod(0o644)
    assert "others may read it; `chmod o-rwx" in refusal(path)


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31])
def test_a_key_of_another_shape_is_refused(path: Path, text: str) -> None:
    """And the command that makes one is named."""
    path.with_name("key").write_text(text)
    assert "openssl rand -hex 32" in refusal(path)


def test_a_rendezvous_does_not_dial_itself(path: Path) -> None:
    """All nodes may have the same list."""
    path.write_text(
        path.read_text()
        + "[wan]\nlink = 'zenoh'\nconnect = ['10.0.0.1:8782', '10.0.1.1:8782']\nlisten = '0.0.0.0:8782'"
    )
    access = credentials.wan_access(config.load(path))
    assert access.connect == ("10.0.1.1:8782",)
    assert access.listen == "0.0.0.0:8782"


def test_secrets_for_nats_are_read_from_private_files(path: Path) -> None:
    """One line of a password, or the lines of a credentials file."""
    path.with_name("password").write_text("sesame\n")
    path.with_name("creds").write_text("-----BEGIN\nJWT\n-----END\n")
    path.with_name("creds").chmod(0o600)
    wan = f"[wan]\nlink = 'nats'\nconnect = ['nats://b']\ncredentials_file = '{path.with_name('creds')}'"
    text = path.read_text()
    path.write_text(text + wan)
    assert credentials.wan_access(config.load(path)).credentials == "-----BEGIN\nJWT\n-----END"
    path.write_text(
        text + wan.replace("credentials_file", "password_file").replace("creds", "password")
    )
    assert credentials.wan_access(config.load(path)).password == "sesame"
    path.with_name("password").chmod(0o644)
    with pytest.raises(ConfigError, match=r"wan\.password_file = .*: others may read it"):
        credentials.wan_access(config.load(path))


def test_tokens_are_read_with_their_roles(path: Path) -> None:
    """Our own commands send the strongest; a wrong line is named, never what stands in it."""
    tokens = path.with_name("tokens")
    tokens.touch(mode=0o600)
    path.write_text(path.read_text() + f"[http]\ntoken_file = '{tokens}'\n")
    tokens.write_text("# ours\nread eyes\nhands-and-all\noperate hands\n")
    settings = config.load(path)
    assert credentials.http_token(settings) == "hands-and-all"
    assert credentials.http_access(settings).role("Bearer eyes") is Role.READ
    tokens.write_text("read eyes\n")
    assert credentials.http_token(settings) == "eyes"
    tokens.write_text("eyes\nchief sesame\n")
    with pytest.raises(
        ConfigError, match=r"http\.token_file = .*: line 2: must be TOKEN"
    ) as caught:
        credentials.http_access(settings)
    assert "sesame" not in str(caught.value)
    tokens.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read it"):
        credentials.http_access(settings)
    path.write_text(path.read_text().partition("[http]")[0])
    assert credentials.http_token(config.load(path)) is None
    assert credentials.http_access(config.load(path)).role("") is Role.ADMIN


def test_the_certificate_for_phones_is_read_or_refused(path: Path, tmp_path: Path) -> None:
    """Before the daemon starts, by `pbxfed check`; its key must be the daemon's alone."""
    assert credentials.provisioning_tls(config.load(path)) is None
    crt, key = tmp_path / "crt.pem", tmp_path / "key.pem"
    files = f"certificate_file = '{crt}'\nkey_file = '{key}'"
    path.write_text(f"{path.read_text()}[provisioning]\nlisten = '0.0.0.0:8783'\n{files}\n")
    settings = config.load(path)

    def said() -> str:
        with pytest.raises(ConfigError) as caught:
            credentials.provisioning_tls(settings)
        return str(caught.value)

    assert "provisioning.key_file" in said()
    tls.write(crt, key, "10.0.0.1")
    assert credentials.provisioning_tls(settings) is not None
    key.chmod(0o644)
    assert "others may read it" in said()
    tls.write(tmp_path / "other.pem", key, "10.0.0.1")
    key.chmod(0o600)
    assert f"provisioning.certificate_file = {crt}" in said()
    crt.unlink()
    assert "No such file" in said()
