"""Provisioning over HTTP: an operator hands URLs out, phones fetch their files, and nobody else learns anything."""

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from pbxfed_ari.core.names import Extension
from pbxfed_ari.web.access import Role
from pbxfed_ari.web.phonefiles import BURST
from tests.web.served import SECRET, Client, Served
from tests.web.test_objects import refused

MAC, OTHER = "001565aabbcc", "0015650000ff"
PATH = "/extensions/1001/provisioning"


@pytest.fixture
async def phones(served: Served, aiohttp_client: AiohttpClient) -> Client:
    """Where phones ask."""
    return await aiohttp_client(served.api.phone_files.app)


@pytest.fixture
async def operator(client: Client) -> Client:
    """Extension 1001 is there."""
    await client.put("/extensions/1001", json={"secret": SECRET, "name": "Reception"})
    return client


async def hand_out(operator: Client, **wanted: object) -> Any:
    response = await operator.post(PATH, json={"secret": SECRET, **wanted})
    assert response.status == 201, await response.text()
    assert response.headers["Cache-Control"] == "no-store"
    return await response.json()


async def fetch(phones: Client, url: str) -> str:
    """The path of a URL, asked of the application that is behind it."""
    response = await phones.get(urlsplit(url).path)
    assert response.status == 200, await response.text()
    return await response.text()


async def status(phones: Client, url: str, method: str = "GET") -> int:
    return (await phones.request(method, urlsplit(url).path)).status


@pytest.mark.parametrize("vendor", ["yealink", "grandstream", "snom", "polycom"])
async def test_a_phone_fetches_its_files(operator: Client, phones: Client, vendor: str) -> None:
    """From the folder that it was given, by the names that it makes of its MAC address."""
    made = await hand_out(operator, vendor=vendor, mac="00:15:65:AA:BB:CC")
    assert made["url"].startswith("https://phones.example:8783/1001/")
    assert made["url"].endswith("/")
    assert made["mac"] == MAC
    texts = [await fetch(phones, url) for url in made["files"]]
    assert all(url.startswith(made["url"]) and MAC in url for url in made["files"])
    assert sum(SECRET in text for text in texts) == 1
    assert await status(phones, made["files"][0].replace(MAC, MAC.upper())) == 200
    assert await status(phones, made["files"][0].replace(MAC, OTHER)) == 404


async def test_without_a_mac_any_phone_may_use_it(operator: Client, phones: Client) -> None:
    """For who does not know which one will be taken from the shelf."""
    made = await hand_out(operator, vendor="yealink")
    assert made["files"] == [f"{made['url']}MAC.cfg"]
    assert SECRET in await fetch(phones, f"{made['url']}{OTHER}.cfg")


async def test_a_soft_phone_is_given_the_file_itself(operator: Client, phones: Client) -> None:
    """The URL that its QR code says."""
    made = await hand_out(operator, vendor="linphone")
    assert made["files"] == [made["url"]]
    response = await phones.get(urlsplit(made["url"]).path)
    assert response.content_type == "application/xml"
    assert response.headers["Cache-Control"] == "no-store"
    assert "aiohttp" not in response.headers["Server"]
    assert ElementTree.fromstring(await response.text()).tag.endswith("config")


async def test_what_is_not_there_is_the_same_404(
    operator: Client, phones: Client, served: Served
) -> None:
    """Another number, another token, another file, another method, another path: nobody learns which of them was wrong."""
    made = await hand_out(operator, vendor="yealink", mac=MAC)
    path = urlsplit(made["files"][0]).path
    _, number, token, name = path.split("/")
    wrong = [
        ("GET", f"/1002/{token}/{name}"),
        ("GET", f"/{number}/{token[:-1]}{'a' if token[-1] != 'a' else 'b'}/{name}"),
        ("GET", f"/{number}/{token.swapcase()}/{name}"),
        ("GET", f"/{number}/{token}/{name}x"),
        ("GET", f"/{number}/{token}/"),
        ("GET", f"/{number}/{token}"),
        ("GET", f"/%F0%9F%98%80/{token}/{name}"),
        ("GET", "/"),
        ("GET", "/extensions"),
        ("PUT", path),
        ("HEAD", path),
        ("POST", path),
    ]
    told = set()
    for method, where in wrong:
        response = await phones.request(method, where)
        assert response.status == 404, (method, where)
        if method != "HEAD":
            told.add(await response.text())
    assert told == {"not found\n"}
    assert served.api.phone_files.refused == len(wrong)


async def test_a_url_that_is_good_once(operator: Client, phones: Client) -> None:
    """The second who comes is refused, on every node."""
    made = await hand_out(operator, vendor="polycom", mac=MAC, once=True)
    master, settings = made["files"]
    assert await status(phones, master) == 200
    assert await status(phones, f"{master}x") == 404
    assert await status(phones, settings, "HEAD") == 404
    assert SECRET in await fetch(phones, settings)
    assert await status(phones, settings) == 404
    assert await status(phones, master) == 404
    assert (await (await operator.get(PATH)).json())["urls"] == []


async def test_of_two_who_come_at_once_one_gets_it(operator: Client, phones: Client) -> None:
    """A thief who watches for the phone is not served beside it."""
    made = await hand_out(operator, vendor="linphone", once=True)
    found = await asyncio.gather(*(status(phones, made["url"]) for _ in range(5)))
    assert sorted(found) == [200, 404, 404, 404, 404]


async def test_an_expelled_node_hands_nothing_out(
    operator: Client, phones: Client, served: Served
) -> None:
    """What it still holds may be out of date, and it is not asked for any more."""
    made = await hand_out(operator, vendor="linphone")
    served.world.run(3)
    served.world["b"].rotate("a")
    served.world.run(5)
    assert served.federation.gate.expelled
    assert await status(phones, made["url"]) == 503


async def test_revoked_urls_are_gone(operator: Client, phones: Client) -> None:
    """One by its id, or all of an extension."""
    first = await hand_out(operator, vendor="yealink", mac=MAC)
    second = await hand_out(operator, vendor="linphone")
    listed = await (await operator.get(PATH)).json()
    assert [one["id"] for one in listed["urls"]] == [first["id"], second["id"]]
    assert (await operator.delete(f"{PATH}?id={first['id']}")).status == 200
    assert await status(phones, first["files"][0]) == 404
    assert await status(phones, second["url"]) == 200
    await refused(await operator.delete(f"{PATH}?id=00000000"), 404, "no provisioning URL")
    assert (await operator.delete(PATH)).status == 200
    assert await status(phones, second["url"]) == 404


async def test_the_secret_is_nowhere_but_in_the_file(operator: Client, served: Served) -> None:
    """No answer of the API shows it, nor the URL a second time; no export holds it; nor does another node's book."""
    made = await hand_out(operator, vendor="yealink", mac=MAC)
    token = urlsplit(made["url"]).path.split("/")[2]
    for path in (PATH, "/extensions/1001", "/extensions", "/export", "/export?secrets=digests"):
        text = await (await operator.get(path)).text()
        assert SECRET not in text, path
        assert token not in text, path
        assert "handouts" not in text, path
    served.world.run(2)
    for node in served.world.running():
        book = node.federation.directory.book
        kept = b"".join(v for i in book.objects() for v in book.groups(i).values())
        assert SECRET.encode() not in kept
        assert token.encode() not in kept


async def test_nothing_of_it_is_logged(
    operator: Client, phones: Client, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither secret nor path; that a file was fetched, and from where, is told."""
    caplog.set_level(logging.DEBUG)
    made = await hand_out(operator, vendor="yealink", mac=MAC)
    token = urlsplit(made["url"]).path.split("/")[2]
    await fetch(phones, made["files"][0])
    await status(phones, f"{made['url']}nothing")
    ours = "".join(r.getMessage() for r in caplog.records if r.name != "aiohttp.access")
    assert SECRET not in ours
    assert token not in ours
    (note,) = [n for n in served.notes if n.what == "provisioning file fetched"]
    assert dict(note.fields) == {"extension": "1001", "vendor": "yealink", "from": "127.0.0.1"}


async def test_a_secret_that_is_not_kept_must_be_given_or_made(
    operator: Client, phones: Client
) -> None:
    """Phones that hold the old one would be refused: nobody does that by mistake."""
    await refused(
        await operator.post(PATH, json={"vendor": "yealink"}), 409, "only the digest", "new_secret"
    )
    response = await operator.post(PATH, json={"vendor": "baresip", "new_secret": True})
    assert response.status == 201
    text = await fetch(phones, (await response.json())["url"])
    assert SECRET not in text
    assert "auth_pass=" in text
    assert (await operator.post(PATH, json={"vendor": "yealink"})).status == 201


async def test_a_changed_secret_is_in_the_file_at_once(operator: Client, phones: Client) -> None:
    """And a digest in its place takes the file away."""
    made = await hand_out(operator, vendor="yealink", mac=MAC)
    await operator.patch("/extensions/1001", json={"secret": "battery-staple-7"})
    assert "battery-staple-7" in await fetch(phones, made["files"][0])
    await operator.patch("/extensions/1001", json={"ha1": "0" * 32})
    assert await status(phones, made["files"][0]) == 404


async def test_what_a_vendor_cannot_take_is_refused_to_the_operator(
    operator: Client, phones: Client, served: Served
) -> None:
    """And if it is set later, the phone is told to come again, and the log says why."""
    bad = {"vendor": "baresip", "secret": "correct;horse-9"}
    await refused(await operator.post(PATH, json=bad), 422, "baresip takes no secret")
    made = await hand_out(operator, vendor="baresip")
    await operator.patch("/extensions/1001", json={"secret": "correct;horse-9"})
    assert await status(phones, made["url"]) == 503
    await operator.patch("/extensions/1001", json={"profile": "webrtc"})
    await refused(await operator.post(PATH, json={"vendor": "snom"}), 422, "webrtc")
    await operator.patch("/extensions/1001", json={"profile": "secure"})
    await refused(await operator.post(PATH, json={"vendor": "snom"}), 422, "asterisk.phones")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "vendor = None: must be one of yealink"),
        ({"vendor": "acme"}, "must be one of"),
        ({"vendor": "yealink", "mac": "00:15"}, "12 hexadecimal digits"),
        ({"vendor": "yealink", "mac": 7}, "12 hexadecimal digits"),
        ({"vendor": "linphone", "mac": MAC}, "leave it out"),
        ({"vendor": "yealink", "once": 1}, "true or false"),
        ({"vendor": "yealink", "secret": "x"}, "too weak"),
        ({"vendor": "yealink", "secret": SECRET, "new_secret": True}, "either"),
        ({"vendor": "yealink", "model": "T54W"}, "unknown field"),
    ],
)
async def test_what_is_asked_wrongly_is_refused(
    operator: Client, wanted: dict[str, object], words: str
) -> None:
    """With the thing, its value and the rule."""
    await refused(await operator.post(PATH, json=wanted), 422, words, "extension 1001")


async def test_only_who_may_edit_hands_out(aiohttp_client: AiohttpClient) -> None:
    """A reader sees what stands, and no more; nobody is served for whom there is no extension."""
    served = Served([(Role.READ, "r" * 20), (Role.OPERATE, "o" * 20)])
    client = await aiohttp_client(served.api.app)
    reader = {"Authorization": f"Bearer {'r' * 20}"}
    operator = {"Authorization": f"Bearer {'o' * 20}"}
    await client.put("/extensions/1001", json={"secret": SECRET}, headers=operator)
    wanted = {"vendor": "yealink", "secret": SECRET}
    assert (await client.post(PATH, json=wanted, headers=reader)).status == 403
    assert (await client.delete(PATH, headers=reader)).status == 403
    assert (await client.get(PATH, headers=reader)).status == 200
    assert (await client.post(PATH, json=wanted, headers=operator)).status == 201
    gone = PATH.replace("1001", "1999")
    await refused(await client.post(gone, json=wanted, headers=operator), 404, "not known")


async def test_where_phones_cannot_ask_nothing_is_handed_out(
    operator: Client, served: Served
) -> None:
    """The remedy is named."""
    served.offer = None
    wanted = {"vendor": "yealink", "secret": SECRET}
    await refused(await operator.post(PATH, json=wanted), 409, "provisioning.listen")


async def test_who_asks_too_much_is_told_to_wait(
    operator: Client, phones: Client, served: Served
) -> None:
    """A machine that tries paths; the phones of other networks are served."""
    made = await hand_out(operator, vendor="linphone")
    found = [await status(phones, "/1001/x/y") for _ in range(int(BURST) + 5)]
    assert found[: int(BURST)] == [404] * int(BURST)
    assert set(found[int(BURST) :]) == {429}
    response = await phones.get(urlsplit(made["url"]).path)
    assert (response.status, response.headers["Retry-After"]) == (429, "10")
    assert served.api.phone_files.limited == 6


async def test_each_node_serves_what_another_handed_out(
    operator: Client, served: Served, aiohttp_client: AiohttpClient
) -> None:
    """The one that made the URL may be dead."""
    made = await hand_out(operator, vendor="yealink", mac=MAC)
    served.world.run(2)
    other = Served()
    other.federation = served.world["b"].federation
    phone = other.federation.view.phone(Extension("1001"))
    assert phone is not None
    assert other.federation.view.secret(phone) == SECRET
    there = await aiohttp_client(other.api.phone_files.app)
    assert SECRET in await fetch(there, made["files"][0])
