"""What is added beside an operator's files, what is left as it is, and what stands in the way."""

from dataclasses import replace

import pytest

from pbxfed_ari.cli.init.shown import diff
from pbxfed_ari.config.sections import AsteriskSettings
from pbxfed_ari.errors import Refused
from pbxfed_ari.importing.asterisk_conf import Parsed, parse
from pbxfed_ari.installing.blocks import with_block
from pbxfed_ari.installing.facts import Asterisk, Machine, Socket
from pbxfed_ari.installing.manifest import Entry, Manifest
from pbxfed_ari.installing.plan import DEFAULT_SECURITY, Edit, plan, taken
from pbxfed_ari.installing.rules import OBJECTS, PASSWORD_FILE, PEERS_FILE, REALM
from pbxfed_ari.installing.settings import transports
from tests.installing.samples import TEMPLATES, WISH, carried_out, machine, planned


def effective(found: Machine, file: str) -> Parsed:
    """What Asterisk would read."""
    return parse(found.files[file], file=file, include=found.include)


def text(found: Machine, path: str) -> str:
    return next(edit.after for edit in planned(found).edits if edit.path.endswith(path))


def test_debians_own_configuration_gets_all_files_and_keeps_its_lines() -> None:
    """Each of its files grows by three lines at the end; what it says already stays said."""
    before = machine()
    made = planned(before)
    assert made.conflicts == ()
    assert made.restart
    after = carried_out(before, made)
    for edit in made.edits:
        assert edit.after.startswith(edit.before or "")
    general = effective(after, "http.conf").sections[0]
    assert (general.last("bindaddr"), general.last("enabled")) == ("127.0.0.1", "yes")
    pjsip = {s.name: s for s in effective(after, "pjsip.conf").sections}
    assert pjsip["global"].last("default_realm") == "pbx.example"
    assert pjsip["pbxfed-udp"].last("bind") == "0.0.0.0:5060"
    ari = {s.name: s for s in effective(after, "ari.conf").sections}
    assert ari["pbxfed"].last("password") == "new-password"
    logger = {s.name: s for s in effective(after, "logger.conf").sections}["logfiles"]
    assert [o.key for o in logger.options] == ["console", "pbxfed-security.log"]
    sqlite = effective(after, "res_config_sqlite3.conf").sections[0]
    assert sqlite.last("dbfile") == "/var/lib/asterisk/pbxfed/objects.sqlite3"
    assert {s.name for s in effective(after, "extensions.conf").sections} >= {"demo", "pbxfed-ask"}
    assert made.edits[-1].after.endswith('[federation]\ndomain = "pbx.example"\n')


def test_what_each_machine_has_of_its_own_is_found_in_the_files() -> None:
    """Realm, password, peers and objects are put in their places; the daemon's defaults are the same."""
    for file, words in (
        ("pjsip.conf", REALM),
        ("ari.conf", PASSWORD_FILE),
        ("iax.conf", PEERS_FILE),
        ("res_config_sqlite3.conf", OBJECTS),
    ):
        assert words in TEMPLATES[file]
    usual = AsteriskSettings()
    assert (str(usual.iax_peers), str(usual.objects)) == (PEERS_FILE, OBJECTS)
    assert str(usual.security_log) == DEFAULT_SECURITY
    moved = planned(machine(asterisk=Asterisk("22.10.1", True, 100, varlib="/v", logs="/l")))
    assert moved.settings["asterisk"] == {
        "iax_peers": "/v/pbxfed/iax-peers.conf",
        "objects": "/v/pbxfed/objects.sqlite3",
        "security_log": "/l/pbxfed-security.log",
    }


def test_a_second_time_there_is_nothing_to_do() -> None:
    """Idempotent, whatever stood there before."""
    for more in (
        {},
        {"http.conf": "\nenabled=1\n", "pjsip.conf": "[t]\ntype=transport\nbind=10.0.0.11\n"},
    ):
        before = machine(more=more)
        made = planned(before)
        assert made.conflicts == ()
        after = carried_out(before, made)
        assert planned(after).edits == ()
        assert planned(after).empty


def test_what_holds_already_is_not_said_again() -> None:
    """An operator who had included our files by hand has nothing to change."""
    by_hand = {
        file: f'\n#include "{file}.pbxfed"\n' for file in ("extensions.conf", "sorcery.conf")
    }
    files = {f"{file}.pbxfed": TEMPLATES[file] for file in by_hand}
    made = planned(machine(more=by_hand | files))
    assert made.conflicts == ()
    assert not [e for e in made.edits if e.path.endswith(("extensions.conf", "sorcery.conf"))]


def test_the_operators_other_peers_are_left_alone() -> None:
    """Codecs, encryption and timing of his own IAX2 and HTTP stay his."""
    said = text(machine(), "pbxfed/iax.conf")
    assert "maxcallnumbers" in said
    assert not any(word in said for word in ("allow", "encryption", "autokill"))
    alone = text(replace(machine(), files={}), "pbxfed/iax.conf")
    assert "disallow=all" in alone


def test_a_provider_known_by_its_address_stays_known_by_it() -> None:
    """Its callers may have the number of an extension."""
    assert "endpoint_identifier_order" in text(machine(), "pbxfed/pjsip.conf")
    known = machine(more={"pjsip.conf": "[isp]\ntype=identify\nmatch=192.0.2.1\n"})
    assert "endpoint_identifier_order" not in text(known, "pbxfed/pjsip.conf")


def test_the_section_of_pjsip_is_found_by_its_type() -> None:
    """It may have any name."""
    found = machine(more={"pjsip.conf": "[mine]\ntype=global\ndebug=no\n"})
    said = text(found, "pbxfed/pjsip.conf")
    assert "[mine](+)\ndefault_realm=pbx.example" in said
    assert "type=global" not in said


@pytest.mark.parametrize(
    ("file", "lines", "words", "override"),
    [
        (
            "http.conf",
            "\nenabled=no\n",
            "http.conf:5: http.conf [general] enabled = no; must be yes",
            True,
        ),
        (
            "ari.conf",
            "enabled=off\n",
            "ari.conf:3: ari.conf [general] enabled = off; must be yes",
            True,
        ),
        (
            "ari.conf",
            "[pbxfed]\ntype=user\npassword=x\n",
            "ari.conf:3: ari.conf [pbxfed] = a section of yours",
            False,
        ),
        (
            "pjsip.conf",
            "[global]\ntype=global\ndefault_realm=old\n",
            "pjsip.conf:4: pjsip.conf [global] default_realm = old; must be pbx.example",
            True,
        ),
        (
            "pjsip.conf",
            "[g]\ntype=global\nendpoint_identifier_order=ip\n",
            "pjsip.conf:4: pjsip.conf [g] endpoint_identifier_order = ip; must be username",
            True,
        ),
        (
            "pjsip.conf",
            "[u]\ntype=transport\nbind=192.0.2.7:5062\n",
            "pjsip.conf:4: pjsip.conf [u] bind = 192.0.2.7:5062; must be 10.0.0.11 or",
            False,
        ),
        (
            "sorcery.conf",
            "[res_pjsip]\nendpoint=realtime,ps_endpoints\n",
            "sorcery.conf:5: sorcery.conf [res_pjsip] endpoint = realtime",
            False,
        ),
        (
            "extensions.conf",
            "[pbxfed-dial]\nexten => 1,1,Hangup()\n",
            "extensions.conf:6: extensions.conf [pbxfed-dial] exten = 1,1,Hangup()",
            False,
        ),
        (
            "modules.conf",
            "noload = res_ari.so\n",
            "modules.conf:4: modules.conf noload = res_ari.so",
            False,
        ),
    ],
)
def test_a_line_that_stands_in_the_way_is_named(
    file: str, lines: str, words: str, override: bool
) -> None:
    """File, line, value, what would be right; and whether ours may stand below it."""
    found = machine(more={file: lines})
    conflicts = planned(found).conflicts
    assert any(str(one).removeprefix("/etc/asterisk/").startswith(words) for one in conflicts)
    assert {one.override for one in conflicts} == {override}
    if override:
        accepted = frozenset(one.thing for one in conflicts)
        agreed = planned(found, accepted=accepted)
        assert agreed.conflicts == ()
        key = conflicts[0].thing.rpartition(" ")[2]
        sections = effective(carried_out(found, agreed), file).sections
        assert conflicts[0].wanted in {s.last(key) for s in sections}


def test_the_older_sip_channel_may_not_have_our_port() -> None:
    """Unless PJSIP has a place of its own."""
    old = Asterisk("20.5.0", True, 100, chan_sip=True)
    (conflict,) = planned(machine(asterisk=old)).conflicts
    assert "module chan_sip = running: it has SIP's port" in str(conflict)
    both = machine(asterisk=old, more={"pjsip.conf": "[t]\ntype=transport\nbind=0.0.0.0:5061\n"})
    assert planned(both).conflicts == ()


def test_a_file_that_a_program_writes_is_not_the_place() -> None:
    """It is said, and where the place is; a line that is there already is enough."""
    files = {**machine().files, "http.conf": "; DO NOT EDIT, FreePBX writes this\n[general]\n"}
    found = replace(machine(), files=files)
    assert "(FreePBX: http_custom.conf)" in planned(found).hints[0]
    assert planned(machine()).hints == ()


def test_outbound_websockets_of_his_stay_where_asterisk_reads_them() -> None:
    """It reads one file of them only. Where he has said which, that file stays, too."""

    def sorcery(more: dict[str, str]) -> str:
        made = planned(machine(more=more))
        assert not made.conflicts
        (text,) = [e.after for e in made.edits if e.path.endswith("pbxfed/sorcery.conf")]
        return text

    assert "\noutbound_websocket=" in sorcery({})
    his = "[crm]\ntype=outbound_websocket\nwebsocket_client_id=crm\napps=crm\n"
    assert "\noutbound_websocket=" not in sorcery({"ari.conf": his})
    assert "pbxfed-keep" in planned(machine(more={"ari.conf": his})).hints[0]
    mapped = "[res_ari]\noutbound_websocket=config,mine.conf\n"
    assert "\noutbound_websocket=" not in sorcery({"sorcery.conf": mapped})


def test_modules_that_are_loaded_one_by_one() -> None:
    """Those that are missing are named, as lines to write."""
    files = {**machine().files, "modules.conf": "[modules]\nautoload=no\nload=res_ari.so\n"}
    (conflict,) = planned(replace(machine(), files=files)).conflicts
    assert conflict.where == "/etc/asterisk/modules.conf:2"
    assert "load=app_stasis.so, " in conflict.why
    assert "load=res_ari.so" not in conflict.why


def test_who_moved_his_ports_is_called_there() -> None:
    """Transport, IAX2 and HTTP as they are; the daemon is told."""
    more = {
        "pjsip.conf": "[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5080\n",
        "iax.conf": "bindport=4570\n",
        "http.conf": "\nbindport=8090\nprefix=asterisk\n",
    }
    made = planned(machine(more=more))
    assert made.settings["asterisk"]["sip_port"] == 5080
    assert made.settings["asterisk"]["iax_port"] == 4570
    assert made.settings["asterisk"]["url"] == "http://127.0.0.1:8090/asterisk"
    assert "pbxfed-udp" not in str(made.edits)


def test_without_iax2_there_is_one_kind_of_trunk() -> None:
    """The module is not loaded, or listens elsewhere: no reason to refuse."""
    for more in {"modules.conf": "noload = chan_iax2.so\n"}, {"iax.conf": "bindaddr=192.0.2.7\n"}:
        made = planned(machine(more=more))
        assert made.settings["calls"] == {"trunks": ["sip"]}
        assert not [e for e in made.edits if "iax.conf" in e.path]
        assert "by SIP only" in made.hints[0]


def test_a_comment_that_never_ends_would_hide_our_lines() -> None:
    """Asterisk would not read them."""
    with pytest.raises(Refused, match=r"http.conf:4: a comment ;-- that never ends"):
        planned(machine(more={"http.conf": "-- a note\n"}))


def test_only_what_changed_is_read_again() -> None:
    """A restart only where Asterisk does not read the file again by itself."""
    before = machine()
    after = carried_out(before, planned(before))
    files = {name: text for name, text in after.files.items() if name != "pbxfed/http.conf"}
    again = planned(replace(after, files=files))
    assert (again.restart, again.reloads) == (False, ("module reload http",))


def test_a_file_of_ours_that_somebody_changed_is_not_replaced_unasked() -> None:
    """His lines there would be lost."""
    before = machine()
    made = planned(before)
    after = carried_out(before, made)
    mine = {**after.files, "pbxfed/http.conf": "[general](+)\nenabled=yes\nmine=1\n"}
    manifest = Manifest(
        "1", "/etc/asterisk", [Entry("/etc/asterisk/pbxfed/http.conf", True, "", "0")]
    )
    (conflict,) = plan(replace(after, files=mine), WISH, TEMPLATES, manifest).conflicts
    assert (conflict.where, conflict.value, conflict.override) == (
        "/etc/asterisk/pbxfed/http.conf",
        "changed by hand",
        True,
    )


def test_an_older_file_of_ours_is_replaced() -> None:
    """An upgrade."""
    before = machine()
    after = carried_out(before, planned(before))
    from pbxfed_ari.installing.manifest import digest

    old = {**after.files, "pbxfed/http.conf": "; old\n"}
    manifest = Manifest(
        "1", "/etc/asterisk", [Entry("/etc/asterisk/pbxfed/http.conf", True, "", digest("; old\n"))]
    )
    made = plan(replace(after, files=old), WISH, TEMPLATES, manifest)
    assert (made.conflicts, len(made.edits)) == ((), 1)


def test_a_configuration_that_says_something_else_is_named() -> None:
    """It is not written over."""
    configured = {
        "url": "http://127.0.0.1:9",
        "iax_peers": "/x",
        "objects": "/y/o",
        "sip_port": 5060,
    }
    made = planned(machine(config="…", more={"http.conf": "\nbindport=7\n"}), configured=configured)
    (conflict,) = made.conflicts
    assert "asterisk.url = http://127.0.0.1:9; must be http://127.0.0.1:7" in str(conflict)
    assert '#tryinclude "/x"' in str(
        [e.after for e in made.edits if e.path.endswith("pbxfed/iax.conf")]
    )
    assert "/y" not in [folder.path for folder in made.folders]  # not ours to give away


def test_a_taken_port_names_the_program() -> None:
    """Another program's, and not Asterisk's own."""
    found = machine(
        sockets=(
            Socket("udp", "0.0.0.0", 5060, "kamailio", 7),
            Socket("udp", "0.0.0.0", 4569, "asterisk", 100),
            Socket("tcp", "127.0.0.1", 8780, "pbxfed", 8),
            Socket("tcp", "192.0.2.1", 8088, "nginx", 9),
        )
    )
    (said,) = taken(found, planned(found))
    assert said.startswith("UDP port 5060 is taken by kamailio (process 7): Asterisk needs it")
    assert "asterisk.sip_port" in said


def test_the_daemons_ports_are_those_that_are_configured() -> None:
    """And IAX2's is nobody's where there is no IAX2."""
    others = (("udp", "0.0.0.0", 4569), ("tcp", "127.0.0.1", 8780), ("udp", "0.0.0.0", 8781))
    sockets = tuple(Socket(*place, "x", 7) for place in others)
    found = machine(sockets=sockets, more={"modules.conf": "noload = chan_iax2.so\n"})
    assert [s[:13] for s in taken(found, planned(found))] == ["TCP port 8780", "UDP port 8781"]
    assert taken(found, planned(found, listen="127.0.0.1:8790", lan=8791)) == []


def test_an_asterisk_that_is_root_shares_by_the_daemons_group() -> None:
    """Nobody is put into the group root."""
    found = machine(
        asterisk=Asterisk("22.10.1", True, 100, user="root", group="root"),
        groups=frozenset({"pbxfed"}),
    )
    assert planned(found).join_group == ""
    assert planned(machine(groups=frozenset({"pbxfed"}))).join_group == "asterisk"
    assert planned(machine(users=frozenset())).make_user


@pytest.mark.parametrize("end", ["\n", ""])
def test_what_is_shown_of_a_file_is_only_what_is_new(end: str) -> None:
    """In the operator's lines above ours may stand a password."""
    his = f"[me]\ntype=user\npassword=hunter2{end}"
    shown = diff(Edit("/etc/asterisk/ari.conf", his, with_block(his, "pbxfed/ari.conf"), his=True))
    assert '+#tryinclude "pbxfed/ari.conf"' in shown
    assert "hunter2" not in shown


def test_what_phones_could_use_is_read_from_the_transports() -> None:
    """Best first, each with its port, the first that takes calls at this address; a WebSocket is the HTTP server's."""
    said = """
[one]
type=transport
protocol=tls
bind=0.0.0.0
[two]
type=transport
bind=10.0.0.11:5070
[elsewhere]
type=transport
bind=192.0.2.1
[again]
type=transport
bind=10.0.0.11:5080
[three]
type=transport
protocol=tcp
bind=192.0.2.1
[four]
type=transport
protocol=wss
bind=0.0.0.0
"""
    found = transports(parse(said, file="pjsip.conf").sections, "10.0.0.11")
    assert found == (("tls", 5061), ("udp", 5070))
