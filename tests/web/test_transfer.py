"""Import and export: what goes out comes back and changes nothing; all or nothing; who may see digests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pytest_aiohttp.plugin import AiohttpClient

from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.web import transfer
from pbxfed_ari.web.access import Role
from tests.web.served import SECRET, Client, Served
from tests.web.test_objects import BASE, ORDER, fill, refused

CSV, JSON = {"Content-Type": "text/csv"}, {"Content-Type": "application/json"}


async def test_what_is_exported_can_be_imported_and_changes_nothing(
    client: Client, served: Served
) -> None:
    """JSON of all, and CSV of each kind."""
    await fill(client)
    before = served.node.vector()
    exported = await (await client.get("/export")).json()
    assert {o["kind"] for o in exported["objects"]} == set(ORDER)
    assert "ha1" not in str(exported)
    again = await client.post("/import", json=exported)
    body = await again.json()
    count = len(ORDER) + len(BASE) - 1
    assert (body["unchanged"], body["objects"]) == (count, [])
    for kind in KINDS.values():
        path = f"/{kind.collection}"
        table = await client.get(path, headers={"Accept": "text/csv"})
        assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
        text = await table.read()
        assert SECRET not in text.decode()
        answer = await client.post(f"/import?kind={kind.name}", data=text, headers=CSV)
        body = await answer.json()
        assert (answer.status, body["objects"]) == (200, []), body
        assert body["unchanged"] == text.count(b"\r\n") - 1
    assert served.node.vector() == before
    one = await (await client.get("/export?kind=group")).json()
    assert [o["kind"] for o in one["objects"]] == ["group"]


async def test_another_federation_takes_what_an_admin_exported(
    client: Client, aiohttp_client: AiohttpClient
) -> None:
    """With digests everything can be added anew."""
    await fill(client)
    whole = await (await client.get("/export?secrets=digests")).json()
    other = await aiohttp_client(Served().api.app)
    answer = await other.post("/import", json=whole)
    assert (answer.status, (await answer.json())["added"]) == (200, len(whole["objects"]))
    assert await (await other.get("/export?secrets=digests")).json() == whole
    without = await (await client.get("/export")).json()
    third = await aiohttp_client(Served().api.app)
    await refused(await third.post("/import", json=without), 422, "a secret is needed")


async def test_digests_are_for_admins(aiohttp_client: AiohttpClient) -> None:
    """403 for the others."""
    served = Served([(Role.OPERATE, "o"), (Role.ADMIN, "a")])
    client = await aiohttp_client(served.api.app)
    for token, status in (("o", 403), ("a", 200)):
        headers = {"Authorization": f"Bearer {token}"}
        response = await client.get("/export?secrets=digests", headers=headers)
        assert response.status == status
        assert (await client.get("/export", headers=headers)).status == 200


async def test_a_dry_run_says_what_would_change(client: Client, served: Served) -> None:
    """And changes nothing."""
    await fill(client, "class")
    before = served.node.vector()
    objects = [
        {"kind": "group", "number": "600", "members": ["1001", "1009"]},
        {"kind": "extension", "extension": "1009", "secret": SECRET},
        {"kind": "extension", "extension": "1001", "name": "Reception"},
        {"kind": "class", "class": "office", "remove": True},
        {"kind": "extension", "extension": "1002"},
    ]
    dry = await client.post("/import?dry_run=true", json={"objects": objects})
    said = await dry.json()
    assert served.node.vector() == before
    assert {w: said[w] for w in ("added", "changed", "removed", "unchanged")} == {
        "added": 2,
        "changed": 1,
        "removed": 1,
        "unchanged": 1,
    }
    assert said["objects"][2] == {
        "kind": "extension",
        "key": "1001",
        "what": "changed",
        "changes": {"name": ["", "Reception"]},
    }
    assert SECRET not in str(said)
    done = await client.post("/import?dry_run=false", json={"objects": objects})
    assert await done.json() == said
    assert served.node.vector() != before
    assert (await client.get("/classes/office")).status == 404


@pytest.mark.parametrize(
    ("query", "kind", "data", "status", "words"),
    [
        ("", "application/json", b"{", 400, "not JSON"),
        ("", "application/json", b"{}", 422, "missing required field"),
        ("", "text/csv", b"extension\n1\n", 400, "text/csv needs ?kind="),
        ("?kind=phone", "text/csv", b"extension\n1\n", 400, "kind = 'phone': must be one of"),
        ("?dry_run=yes", "application/json", b"{}", 400, "dry_run = 'yes': must be true or false"),
        ("", "text/plain", b"x", 415, "must be application/json or text/csv"),
        ("?kind=extension", "text/csv; charset=latin1", b"x", 415, "must be utf-8"),
        (
            "?kind=extension",
            "text/csv",
            b"extension,secret\n1007,correct-horse-9\n1008,short\n",
            422,
            "line 3, column secret: extension 1008: the secret is too weak",
        ),
        (
            "?kind=extension",
            "text/csv",
            b"extension,devices\n1001,1\n1002,99\n",
            422,
            "line 3, column devices: extension 1002: devices = 99: must be",
        ),
        (
            "?kind=group",
            "text/csv",
            b"number,members\n600,1001\n601,1009\n",
            422,
            "line 3, column members: group 601: members = '1009': no such extension",
        ),
        (
            "?kind=group",
            "application/json",
            b'{"objects": [{"number": "600"}, {"number": "600"}]}',
            422,
            "object 2, column number: group 600: stands there twice",
        ),
        (
            "",
            "application/json",
            b'{"objects": [{"kind": "group", "number": "600", "remove": true}]}',
            404,
            "object 1: group 600: not known",
        ),
        (
            "",
            "application/json",
            b'{"objects": [{"kind": "group", "number": "1001"}]}',
            409,
            "object 1, column number: group 1001: 1001 is an extension already",
        ),
    ],
)
async def test_what_is_wrong_changes_nothing(
    client: Client, served: Served, query: str, kind: str, data: bytes, status: int, words: str
) -> None:
    """One bad line is enough; it is named."""
    await fill(client, "class")
    before = served.node.vector()
    headers = {"Content-Type": kind}
    response = await client.post(f"/import{query}", data=data, headers=headers)
    await refused(response, status, words)
    assert served.node.vector() == before


async def test_an_import_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """413."""
    monkeypatch.setattr(transfer, "MAX_IMPORT", 1024)
    await refused(await client.post("/import", data=b"[" * 2000, headers=JSON), 413, "1 kB")


async def test_one_import_is_read_at_a_time(client: Client) -> None:
    """The second is told to wait, before it is read; then it may come."""
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"objects": '
        await go.wait()
        yield b"[]}"

    first = asyncio.ensure_future(client.post("/import", data=slow(), headers=JSON))
    await asyncio.sleep(0.05)
    await refused(await client.post("/import", json={"objects": []}), 503, "another import")
    go.set()
    assert (await first).status == 200
    assert (await client.post("/import", json={"objects": []})).status == 200


async def test_queries_of_an_export_are_checked(client: Client) -> None:
    """400."""
    await refused(await client.get("/export?kind=phone"), 400, "kind = 'phone'")
    await refused(await client.get("/export?secrets=all"), 400, "secrets = 'all'")
    assert (await client.head("/export")).status == 200
    assert (await client.head("/extensions", headers={"Accept": "text/csv"})).status == 200


async def test_a_thousand_lines(client: Client) -> None:
    """In slices; the same again changes nothing."""
    lines = "".join(f"{20_000 + i},Phone {i},{SECRET}\n" for i in range(1_000))
    text = f"extension,name,secret\n{lines}"
    for counts in ({"added": 1_000, "unchanged": 0}, {"added": 0, "unchanged": 1_000}):
        response = await client.post("/import?kind=extension", data=text, headers=CSV)
        body: dict[str, Any] = await response.json()
        assert {w: body[w] for w in counts} == counts
    page = await client.get("/extensions?limit=1000")
    assert len(await page.json()) == 1_000


async def test_an_export_that_breaks_off_does_not_look_whole(
    client: Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed before its end is told."""
    await fill(client, "class")

    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(transfer, "portable", broken)
    with pytest.raises(aiohttp.ClientError):
        await (await client.get("/export")).read()
