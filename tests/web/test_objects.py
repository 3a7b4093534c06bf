"""The routes of objects, for every kind: added, shown, changed, removed, paged; and every error that they may answer with."""

import asyncio
from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient
from yarl import URL

from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.kind import Kind
from pbxfed_ari.web import bodies, inbox
from pbxfed_ari.web.access import Role
from tests.web.served import SECRET, Client, Served

ORDER = ["site", "class", "time", "extension", "group", "queue", "room", "service", "did", "trunk"]
BASE = {"1001": "extension", "1002": "extension"}


def example(kind: Kind) -> tuple[str, dict[str, Any]]:
    fields = dict(kind.example)
    return str(fields.pop(kind.key_name)), fields


async def fill(client: Client, *names: str) -> None:
    """An object of each kind, after those that it refers to."""
    for number in BASE:
        await client.put(f"/extensions/{number}", json={"secret": SECRET})
    for name in names or ORDER:
        key, fields = example(KINDS[name])
        response = await client.put(
            f"/{KINDS[name].collection}/{key.replace('*', '%2A')}", json=fields
        )
        assert response.status in (200, 201), await response.text()


async def refused(response: Any, status: int, *words: str) -> None:
    """A problem that says what and why."""
    body = await response.json(content_type="application/problem+json")
    assert (response.status, body["status"]) == (status, status), body
    assert body["title"]
    for word in words:
        assert word in body["detail"]


@pytest.mark.parametrize("name", ORDER)
async def test_an_object_of_every_kind_lives_and_dies(client: Client, name: str) -> None:
    """201 with its tag, shown alike by each route, changed by tag, removed."""
    await fill(client, "site", "time", "group", "service")
    kind = KINDS[name]
    key, fields = example(kind)
    path = f"/{kind.collection}/{key}"
    await client.delete(path)
    added = await client.put(path, json=fields, headers={"If-None-Match": "*"})
    assert added.status == 201, await added.text()
    shown = await added.json()
    assert shown[kind.key_name] == key
    assert shown["state"] == "active"
    assert "secret" not in shown
    assert "ha1" not in shown
    assert "pin" not in shown
    assert {**shown, **{n: v for n, v in fields.items() if n not in ("secret", "pin")}} == shown
    found = await client.get(path)
    assert (found.status, await found.json()) == (200, shown)
    assert found.headers["ETag"] == added.headers["ETag"]
    assert shown in await (await client.get(f"/{kind.collection}")).json()
    same = await client.get(path, headers={"If-None-Match": found.headers["ETag"]})
    assert (same.status, await same.read()) == (304, b"")
    assert same.headers["ETag"] == found.headers["ETag"]
    assert (await client.head(path)).status == 200
    field = next(n for n in kind.fields if n not in kind.needed and not kind.fields[n].hidden)
    changed = await client.patch(
        path, json={field: None}, headers={"If-Match": found.headers["ETag"]}
    )
    assert changed.status == 200, await changed.text()
    again = await client.put(path, json={})
    assert (again.status, again.headers["ETag"]) == (200, changed.headers["ETag"])
    gone = await client.delete(path, headers={"If-Match": changed.headers["ETag"]})
    assert (gone.status, await gone.json()) == (200, {kind.key_name: key, "removed": True})
    await refused(await client.get(path), 404, f"{name} {key}: not known in the federation")


async def test_the_old_contract_stands(client: Client, served: Served) -> None:
    """Scripts read this list."""
    await fill(client, "class")
    served.node.register("1001", "sip:1001@10.0.0.9")
    rows = await (await client.get("/extensions")).json()
    first, second = rows
    assert first["extension"] == "1001"
    assert first["registered"] == ["a"]
    assert second["registered"] == []
    assert {"extension", "name", "devices", "id", "registered", "state"} <= first.keys()
    renamed = await client.patch("/extensions/1001", json={"name": "Reception"})
    assert (await renamed.json())["name"] == "Reception"


async def test_an_edit_by_a_stale_tag_is_refused(client: Client) -> None:
    """412, and nothing has changed; weak tags match nothing, of several one is enough, `*` is whoever is there."""
    await fill(client, "class")
    path = "/extensions/1001"
    stale = (await client.get(path)).headers["ETag"]
    fresh = (await client.patch(path, json={"name": "New"})).headers["ETag"]
    assert stale != fresh
    for method in ("PUT", "PATCH", "DELETE"):
        body = {"name": "Old"} if method != "DELETE" else None
        for tag in (stale, f"W/{fresh}"):
            response = await client.request(method, path, headers={"If-Match": tag}, json=body)
            await refused(response, 412, "extension 1001: somebody has changed it")
        nobody = await client.request(
            method, "/extensions/1009", headers={"If-Match": "*"}, json=body
        )
        await refused(nobody, 412, "extension 1009")
        for tag in ("a1b2", ""):
            response = await client.request(method, path, headers={"If-Match": tag}, json=body)
            await refused(response, 400, "If-Match")
    assert (await (await client.get(path)).json())["name"] == "New"
    for tag in (f"{stale}, {fresh}", "*"):
        response = await client.put(path, json={"name": "New"}, headers={"If-Match": tag})
        assert response.status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("PUT", "/extensions/1001", b"{", 400, "the body is not JSON"),
        ("PUT", "/extensions/1001", b'{"name":\n "x",\n y}', 400, "line 3, column 2: "),
        ("PUT", "/extensions/1001", b'{"name": "\xff"}', 400, "not JSON"),
        ("PUT", "/extensions/1001", b'{"name": "\\ud800"}', 400, "not JSON"),
        ("PUT", "/extensions/1001", b"[1]", 400, "must be a JSON object"),
        ("PUT", "/extensions/1001", b"[" * 60_000, 400, "nested too deeply"),
        ("PUT", "/extensions/1001", b'{"name": [[1]]}', 422, "name: must be a plain value"),
        ("PATCH", "/extensions/1001", b'{"name": {"a": 1}}', 422, "name: must be a plain value"),
        ("PATCH", "/extensions/1001", b'{"devices": 1' + b"0" * 4_000 + b"}", 422, "devices = 1000"),
        ("PATCH", "/extensions/1001", b'{"devices": 1' + b"0" * 5_000 + b"}", 400, "out of range"),
        ("PATCH", "/extensions/1001", b'{"secret": null}', 422, "must not be null"),
        ("PATCH", "/extensions/1001", b'{"ha1": null}', 422, "must not be null"),
        ("PATCH", "/extensions/1001", b'{"colour": "red"}', 422, "unknown field 'colour'; known are"),
        ("PATCH", "/extensions/1001", b'{"devices": 99}', 422, "must be a whole number, 1 to 10"),
        ("PUT", "/extensions/1001", b'{"secret": "1234"}', 422, "the secret is too weak"),
        ("PUT", "/extensions/1003", b'{"ha1": ""}', 422, "ha1 must be 32 hexadecimal digits"),
        ("PATCH", "/extensions/1001", b'{"secret": "correct-horse-8", "ha1": "00"}', 422, "not both"),
        ("PUT", "/extensions/1003", b"{}", 422, "a secret is needed"),
        ("PUT", "/extensions/10-01", b"{}", 422, "extension '10-01'"),
        ("PUT", "/groups/1001", b"{}", 409, "1001 is an extension already"),
        ("PUT", "/groups/600", b'{"members": ["1009"]}', 422, "no such extension; add it first"),
        ("PUT", "/times/x", b'{"zone": "Europe/Berln"}', 422, "no such time zone is known here"),
        ("PUT", "/trunks/x", b'{"site": "main"}', 422, "is needed"),
        ("PATCH", "/groups/600", b"{}", 404, "group 600: not known"),
        ("DELETE", "/groups/600", None, 404, "group 600: not known"),
        ("DELETE", "/groups/1001", None, 409, "1001 is an extension already"),
        ("GET", "/groups/1001", None, 404, "group 1001: not known"),
        ("GET", "/extensions/1001?id=00", None, 404, "not known"),
        ("GET", "/extensions/1001?id=xy", None, 400, "must be hexadecimal"),
        ("DELETE", "/extensions/1001?id=00", None, 404, "no object 00 claims it"),
        ("GET", "/extensions?limit=0", None, 400, "limit = '0': must be 1 to 1000"),
        ("GET", "/extensions?limit=many", None, 400, "limit = 'many'"),
        ("GET", "/route/1001?inbound=no", None, 400, "inbound = 'no': must be true or false"),
        ("POST", "/extensions", None, 405, "POST is not possible here, but GET, HEAD"),
        ("TRACE", "/extensions/1001", None, 405, "but DELETE, GET, HEAD, PATCH, PUT"),
        ("GET", "/wrong", None, 404, "no such route: /wrong"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told(
    client: Client, method: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    """The thing, its value, the rule; and nothing has changed."""
    await fill(client, "class")
    before = await (await client.get("/extensions")).json()
    json = {"Content-Type": "application/json"} if body is not None else {}
    response = await client.request(method, path, data=body, headers=json)
    await refused(response, status, words)
    assert ("Allow" in response.headers) == (status == 405)
    assert await (await client.get("/extensions")).json() == before


async def test_a_name_that_is_taken_is_refused(client: Client) -> None:
    """`If-None-Match: *` only adds."""
    await fill(client, "class")
    again = await client.put("/extensions/1001", json={}, headers={"If-None-Match": "*"})
    await refused(again, 409, "extension 1001: known here already")
    tag = await client.put("/extensions/1001", json={}, headers={"If-None-Match": '"x"'})
    await refused(tag, 400, "must be *")


async def test_bodies_are_bounded_and_of_the_right_type(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """413, 415, 408; zipped ones are measured unzipped."""
    await fill(client, "class")
    large = {"name": "x" * bodies.MAX_BODY}
    await refused(await client.put("/extensions/1001", json=large), 413, "larger than 64 kB")
    zipped = await client.put("/extensions/1001", json=large, compress="gzip")
    await refused(zipped, 413, "larger than 64 kB")
    for kind in ("text/plain", "application/merge-patch+json", "application/json; charset=latin1"):
        wrong = await client.put("/extensions/1001", data=b"{}", headers={"Content-Type": kind})
        await refused(wrong, 415, "must be")
    await refused(await client.put("/extensions/1001"), 415, "must be application/json")
    merge = {"Content-Type": "application/merge-patch+json"}
    assert (await client.patch("/extensions/1001", data=b"{}", headers=merge)).status == 200

    async def never() -> Any:
        yield b"{"
        await asyncio.sleep(1)

    monkeypatch.setattr(bodies, "SLOW", 0.01)
    slow = await client.put(
        "/extensions/1001", data=never(), headers={"Content-Type": "application/json"}
    )
    await refused(slow, 408, "was not here")


async def test_pages_lead_from_one_to_the_next(client: Client) -> None:
    """In the order of the keys; `q` finds a text in key or name."""
    rows = [{"kind": "extension", "extension": str(2000 + i), "secret": SECRET} for i in range(25)]
    rows[7]["name"] = "Café Bar"
    await client.post("/import", json={"objects": rows})
    found, path, pages = list[str](), "/extensions?limit=10", 0
    while path:
        response = await client.get(path)
        found += [row["extension"] for row in await response.json()]
        link = response.links.get("next")
        path, pages = URL(link["url"]).path_qs if link else "", pages + 1
    assert (pages, found) == (3, [row["extension"] for row in rows])
    whole = await client.get("/extensions?limit=25")
    assert "Link" not in whole.headers
    named = await (await client.get("/extensions?q=CAF%C3%89")).json()
    assert [row["extension"] for row in named] == ["2007"]
    some = await client.get("/extensions?q=200&limit=5&after=2003")
    assert [row["extension"] for row in await some.json()] == [
        "2004",
        "2005",
        "2006",
        "2007",
        "2008",
    ]
    assert "q=200" in some.headers["Link"]


async def test_a_contested_object_follows_its_holder(client: Client, served: Served) -> None:
    """Each can be shown, changed and removed by its id; with a page of one key both are there."""
    world = served.world
    world.network.cut(["10.0.0.1"], ["10.0.0.2"])
    served.node.edit("1001", secret=SECRET, name="Older")
    world.run(0.1)
    world["b"].edit("1001", secret=SECRET, name="Younger")
    world.run(5)
    world.network.heal()
    assert world.run(9, world.agree)
    older, younger = await (await client.get("/extensions?limit=1")).json()
    assert [(o["name"], o["state"]) for o in (older, younger)] == [
        ("Older", "active"),
        ("Younger", "contested"),
    ]
    path = f"/extensions/1001?id={younger['id']}"
    assert await (await client.get("/extensions/1001")).json() == older
    found = await client.get(path)
    assert await found.json() == younger
    tag = {"If-Match": found.headers["ETag"]}
    changed = await client.patch(path, json={"name": "Still younger"}, headers=tag)
    assert (await changed.json())["name"] == "Still younger"
    await refused(await client.patch(path, json={"name": "x"}, headers=tag), 412, "changed it")
    assert (await client.get("/export")).status == 200
    assert (await client.delete(path)).status == 200
    assert await (await client.get("/extensions")).json() == [older]


async def test_a_node_that_cannot_keep_or_answer_says_so(
    client: Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """507 and 503."""
    served.store_trouble = "the disk is full"
    await refused(await client.delete("/extensions/1001"), 507, "the disk is full")
    served.store_trouble, served.deaf = "", True
    monkeypatch.setattr(inbox.Inbox.ask, "__defaults__", (0.01,))
    await refused(await client.delete("/extensions/1001"), 503, "did not answer in time")


ROLES = [(Role.READ, "r-token"), (Role.OPERATE, "o-token"), (Role.ADMIN, "a-token")]


async def test_who_may_do_what(aiohttp_client: AiohttpClient) -> None:
    """Every operation, with every role: 401 without a token that is known, 403 with one that is too low."""
    served = Served(ROLES)
    client = await aiohttp_client(served.api.app)
    for one in served.api.operations:
        path = one.path.replace("{", "").replace("}", "")
        for token in ("", "Bearer wrong", "Basic a-token", "Bearer"):
            headers = {"Authorization": token} if token else {}
            response = await client.request(one.method, path, headers=headers)
            await refused(response, 401, "Authorization: Bearer TOKEN")
            assert response.headers["WWW-Authenticate"].startswith('Bearer realm="pbxfed"')
        for role, token in ROLES:
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            response = await client.request(one.method, path, headers=headers)
            assert (response.status == 403) == (role < one.role), (one.method, path, role)
            if response.status == 403:
                await refused(response, 403, f"needs a token of role {one.role.word}")
                assert f'scope="{one.role.word}"' in response.headers["WWW-Authenticate"]
    needed = {(o.method, o.path): o.role for o in served.api.operations}
    assert all(r is Role.READ for (m, _), r in needed.items() if m == "GET")
    assert all(
        needed[m, f"/{k.collection}/{{key}}"] is Role.OPERATE
        for k in KINDS.values()
        for m in ("PUT", "PATCH", "DELETE")
    )
    assert needed["POST", "/import"] is Role.OPERATE
    assert {needed["POST", p] for p in ("/keys/rotate", "/invitations")} == {Role.ADMIN}
    assert needed["DELETE", "/members/{node}"] is Role.ADMIN
    await refused(await client.get("/no-route"), 401)


async def test_a_mistake_of_ours_is_told_and_hides_its_details(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500, without a traceback in the answer."""
    monkeypatch.setattr(Kind, "check_key", lambda *_: 1 / 0)
    response = await client.get("/extensions/1001")
    await refused(response, 500, "a mistake of ours")
    assert "ZeroDivisionError" in caplog.text
