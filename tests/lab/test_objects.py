"""The HTTP API of real daemons: objects of every kind, import and export, tags, roles, and every refusal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPMessage
from typing import Any

import pytest

from pbxfed_ari.core.records.objects import KINDS
from tests.lab.conftest import SECRET, Federation

ORDER = ["site", "class", "time", "extension", "group", "queue", "room", "service", "did", "trunk"]
JSON, CSV = {"Content-Type": "application/json"}, {"Content-Type": "text/csv"}
MANY = 1_000
TOKENS = {"read": "r-6f1d0b", "operate": "o-92ab11", "admin": "a-c0ffee"}


class Http:
    """A node's API."""

    def __init__(self, federation: Federation, node: str = "a") -> None:
        self.node = federation.lab.node(node)

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, HTTPMessage]:
        """Status, decoded answer, headers."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        assert data is None or isinstance(data, bytes)
        sent = {**(JSON if isinstance(body, dict) else {}), **(headers or {})}
        status, found, answer = self.node.request(method, path, data, sent, patience=60)
        text = answer.decode()
        return status, json.loads(text) if "json" in found.get("Content-Type", "") else text, found

    def refused(self, status: int, *asked: Any) -> str:
        """The detail of a problem."""
        found, body, headers = self.ask(*asked)
        assert (found, body["status"]) == (status, status), body
        assert headers["Content-Type"].startswith("application/problem+json")
        return str(body["detail"])


@pytest.fixture
def clean(federation: Federation) -> Iterator[Federation]:
    """What a test adds beside extensions is removed again, and 1001 is called as before."""
    yield federation
    http = Http(federation)
    http.ask("PATCH", "/extensions/1001", {"name": "Phone 1001", "devices": 1})
    for name in reversed(ORDER):
        kind = KINDS[name]
        rows = http.ask("GET", f"/{kind.collection}")[1]
        for row in rows if name != "extension" else []:
            http.ask("DELETE", f"/{kind.collection}/{row[kind.key_name].replace('*', '%2A')}")
    federation.until(federation.whole)


def example(name: str) -> tuple[str, dict[str, Any]]:
    """Path and fields."""
    kind = KINDS[name]
    fields = dict(kind.example)
    return f"/{kind.collection}/{str(fields.pop(kind.key_name)).replace('*', '%2A')}", fields


def test_objects_of_every_kind_live_on_every_node(clean: Federation) -> None:
    """Added on a, seen and changed on b by its tag, removed on c."""
    a, b, c = (Http(clean, node) for node in "abc")
    clean.add("1001")
    clean.add("1002")
    for name in ORDER:
        path, fields = example(name)
        given = {n: v for n, v in fields.items() if n != "secret"}
        if name == "extension":
            given = {"name": "Reception"}
        status, shown, headers = a.ask("PUT", path, given)
        assert status in (200, 201), shown
        tag = headers["ETag"]
        clean.until(lambda p=path, t=tag: b.ask("GET", p)[2].get("ETag") == t, what=path)  # type: ignore[misc]
        assert b.ask("GET", path)[1] == shown
        assert b.ask("GET", path, None, {"If-None-Match": tag})[0] == 304
        assert (
            shown
            in b.ask(
                "GET", f"/{KINDS[name].collection}?q={path.rsplit('/', 1)[1].replace('+', '%2B')}"
            )[1]
        )
        field = next(n for n in given if n not in KINDS[name].needed)
        status, _, headers = b.ask("PATCH", path, {field: None}, {"If-Match": tag})
        assert status == 200
        assert "changed it since" in b.refused(412, "PATCH", path, given, {"If-Match": tag})
        fresh = headers["ETag"]
        clean.until(lambda p=path, t=fresh: c.ask("GET", p)[2].get("ETag") == t, what=path)  # type: ignore[misc]
    for name in reversed(ORDER):
        path, _ = example(name)
        if name != "extension":
            assert c.ask("DELETE", path)[0] == 200
            clean.until(lambda p=path: a.ask("GET", p)[0] == 404)  # type: ignore[misc]
    status, shown, _ = a.ask("GET", "/extensions/1001")
    assert shown.keys() >= {"extension", "name", "devices", "id", "registered", "state"}


def test_what_is_exported_comes_back_and_changes_nothing(clean: Federation) -> None:
    """JSON and CSV; on another node."""
    a, b = Http(clean, "a"), Http(clean, "b")
    clean.add("1001")
    a.ask("PUT", "/groups/600", {"members": ["1001"], "strategy": "hunt"})
    clean.until(clean.whole)
    before = clean.objects()
    status, exported, _ = a.ask("GET", "/export")
    assert status == 200
    assert SECRET not in str(exported)
    assert "ha1" not in str(exported)
    status, done, _ = b.ask("POST", "/import", exported)
    assert (status, done["objects"]) == (200, [])
    status, table, headers = a.ask("GET", "/extensions", None, {"Accept": "text/csv"})
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    status, done, _ = b.ask("POST", "/import?kind=extension", table.encode(), CSV)
    assert (status, done["objects"]) == (200, [])
    assert "ha1" in str(a.ask("GET", "/export?kind=extension&secrets=digests")[1])
    assert clean.objects() == before
    clean.until(clean.whole)


def test_bad_input_is_refused_whole(clean: Federation) -> None:
    """400, 404, 405, 409, 412, 413, 415, 422; nothing has changed, on any node."""
    clean.add("1001")
    http = Http(clean)
    before = clean.objects()
    one = "/extensions/1001"
    assert "line 1, column 2" in http.refused(400, "PUT", one, b"{x", JSON)
    assert "not known" in http.refused(404, "PATCH", "/groups/600", {})
    assert "possible here" in http.refused(405, "POST", one)
    assert "known here already" in http.refused(409, "PUT", one, {}, {"If-None-Match": "*"})
    assert "is an extension already" in http.refused(409, "PUT", "/groups/1001", {})
    assert "read it again" in http.refused(412, "DELETE", one, None, {"If-Match": '"00"'})
    assert "64 kB" in http.refused(413, "PUT", one, {"name": "x" * 70_000})
    assert "16384 kB" in http.refused(413, "POST", "/import", b" " * (17 << 20), JSON)
    assert "must be application/json" in http.refused(415, "PUT", one, b"{}", CSV)
    assert "unknown field 'colour'" in http.refused(422, "PATCH", one, {"colour": "red"})
    bad = b"extension,secret,devices\n1081,correct-horse-9,1\n1082,correct-horse-9,99\n"
    said = http.refused(422, "POST", "/import?kind=extension", bad, CSV)
    assert said.startswith("line 3, column devices: extension 1082: devices = 99: must be")
    assert "line 2, column 6" in http.refused(
        422, "POST", "/import?kind=extension", b"extension,name\n1001,\xe9\n", CSV
    )
    assert http.ask("GET", "/extensions/1081")[0] == 404
    assert clean.objects() == before
    log = (clean.lab.node("a").folder / "log" / "pbxfed.log").read_text()
    assert "Traceback" not in log
    assert "correct-horse-9" not in log


def test_a_thousand_extensions_are_imported_and_live_everywhere(clean: Federation) -> None:
    """R4: within 15 s in every Asterisk; the daemon answers others while it imports."""
    a = Http(clean)
    lines = "".join(f"{20_000 + i},Desk {i},{SECRET}\r\n" for i in range(MANY))
    text = f"extension,name,secret\r\n{lines}".encode()
    dry = a.ask("POST", "/import?kind=extension&dry_run=true", text, CSV)[1]
    assert dry["added"] + dry["changed"] + dry["unchanged"] == MANY
    began = time.monotonic()
    status, done, _ = a.ask("POST", "/import?kind=extension", text, CSV)
    assert (status, done) == (200, dry)
    answered = time.monotonic() - began
    clean.until(clean.whole, 60, what="a thousand extensions everywhere")
    print(f"imported in {answered:.1f} s, everywhere in {time.monotonic() - began:.1f} s")
    gone = {"objects": [{"kind": "extension", "extension": str(20_000 + i), "remove": True} for i in range(MANY)]}  # fmt: skip
    status, done, _ = a.ask("POST", "/import", gone)
    assert (status, done["removed"]) == (200, MANY)
    clean.until(clean.whole, 60, what="and gone again")


def test_the_document_and_its_routes(federation: Federation) -> None:
    """Every GET of it is answered by the real daemon."""
    http = Http(federation)
    federation.add("1001")
    document = http.ask("GET", "/openapi.json")[1]
    for path, methods in document["paths"].items():
        if "get" in methods and "{" not in path and not path.endswith("/events"):
            assert http.ask("GET", path)[0] == 200, path
    for path in (
        "/ring/1001",
        "/where/1001",
        "/route/1001",
        "/events?limit=1",
        "/calls/events?limit=1",
    ):
        assert http.ask("GET", path)[0] == 200


def test_tokens_have_roles(federation: Federation) -> None:
    """401 without one, 403 with one that may not; the command still works, with the strongest."""
    lab, node = federation.lab, federation.lab.node("c")
    federation.add("1001")
    node.tokens.touch(mode=0o600)
    node.tokens.write_text("# who\n" + "\n".join(f"{r} {t}" for r, t in TOKENS.items()) + "\n")
    lab.kill("c", "daemon")
    lab.configure("c", "http", "token_file", str(node.tokens))
    try:
        lab.start("c", "daemon")
        http = Http(federation, "c")
        for token in ("", "Bearer wrong"):
            status, _, headers = http.ask("GET", "/status", None, {"Authorization": token})
            assert (status, headers["WWW-Authenticate"].split(",")[0]) == (
                401,
                'Bearer realm="pbxfed"',
            )
        for role, want in (("read", (200, 403, 403)), ("operate", (200, 200, 403))):
            bearer = {"Authorization": f"Bearer {TOKENS[role]}"}
            found = (
                http.ask("GET", "/status", None, bearer)[0],
                http.ask("PATCH", "/extensions/1001", {}, bearer)[0],
                http.ask("POST", "/keys/rotate", None, bearer)[0],
            )
            assert found == want, role
            assert http.ask("GET", "/export?secrets=digests", None, bearer)[0] == 403
        assert http.ask("GET", "/export?secrets=digests")[0] == 200
        assert "1001" in lab.pbxfed("c", "ext", "list", "--json")
        log = (node.folder / "log" / "pbxfed.log").read_text()
        assert not any(token in log for token in TOKENS.values())
    finally:
        lab.kill("c", "daemon")
        lab.configure("c", "http", "token_file", None)
        node.tokens.unlink()
        lab.start("c", "daemon")
    federation.until(federation.whole)
