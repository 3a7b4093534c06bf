"""The file in which Asterisk keeps what we push: laid out by asking Asterisk, who then reads and writes it."""

import os
import sqlite3
from pathlib import Path

import pytest
from aiohttp import web

from pbxfed_ari.asterisk import tables as module
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.pjsip.objects import PjsipObject, mark_of
from pbxfed_ari.asterisk.tables import FIRST, PROBE, Tables, prepare, take_away
from pbxfed_ari.errors import Declined

from .fake import FakeAri

PHONE = tuple(PjsipObject(one.kind, "1001", one.fields) for one in PROBE)


class StoringAri(FakeAri):
    """Keeps objects as sorcery and res_config_sqlite3 do: writes all attributes that it knows, deletes nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.knows = {"stir_shaken": "no", "moh_suggest": "default", "contact": ""}

    def _object(self, method: str, kind: str, name: str, body: object) -> web.Response:
        with sqlite3.connect(self.path) as db:
            db.row_factory = sqlite3.Row
            try:
                found = db.execute(f'select * from "{kind}" where id = ?', (name,)).fetchone()
            except sqlite3.OperationalError:
                found = None
            if method == "PUT":
                assert isinstance(body, dict)
                held = {key: found[key] for key in found.keys() if found[key]} if found else {}  # noqa: SIM118
                held |= {pair["attribute"]: pair["value"] for pair in body["fields"]}
                held = {**self.knows, **held, "id": name}
                names = ", ".join(f'"{key}"' for key in held)
                sets = ", ".join(f'"{key}" = excluded."{key}"' for key in held)
                try:
                    db.execute(
                        f'insert into "{kind}" ({names}) values (?{", ?" * (len(held) - 1)}) '
                        f"on conflict (id) do update set {sets}",
                        tuple(held.values()),
                    )
                except sqlite3.OperationalError as error:
                    return web.json_response({"message": str(error)}, status=403)
            elif found is None:
                return web.json_response({"message": "not found"}, status=404)
            elif method == "GET":
                attributes = {**self.knows, **{key: found[key] or "" for key in found.keys()}}  # noqa: SIM118
                return web.json_response(
                    [{"attribute": key, "value": value} for key, value in attributes.items()]
                )
        return web.json_response([])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.001)


def rows(path: Path, kind: str, what: str = "id") -> list[str]:
    with sqlite3.connect(path) as db:
        return [str(value) for (value,) in db.execute(f'select "{what}" from "{kind}"')]


async def test_asterisk_tells_which_columns_it_needs(tmp_path: Path) -> None:
    """At the first connect, and after an upgrade that brought an attribute; with all there, one PUT each is enough."""
    path = tmp_path / "objects.sqlite3"
    fake = StoringAri(path)
    async with fake, AriClient(fake.url, "pbxfed", "right") as ari:
        tables = Tables(path)
        assert tables.marks() == {}
        assert not path.exists()
        await prepare(ari, tables)
        assert tables.marks() == {FIRST: mark_of(PROBE)}
        fake.knows["new_in_23"] = "yes"
        await prepare(ari, tables)
        assert rows(path, "aor", "new_in_23") == ["yes"]
        fake.asked.clear()
        await prepare(ari, tables)
        assert len(fake.asked) == 3
        assert rows(path, "endpoint", "stir_shaken") == [
            "None"
        ]  # else Asterisk warns at each reading


async def test_what_is_taken_away_is_gone_though_deleting_deletes_nothing(tmp_path: Path) -> None:
    """By a trigger, in the transaction of Asterisk itself; others stay."""
    path = tmp_path / "objects.sqlite3"
    fake = StoringAri(path)
    async with fake, AriClient(fake.url, "pbxfed", "right") as ari:
        await prepare(ari, Tables(path))
        for one in PHONE:
            await ari.asterisk.updateObject(one.kind, one.id, one.fields)
        await take_away(ari, FIRST)
        for one in PHONE:
            assert rows(path, one.kind) == ["1001"]
        await take_away(ari, "1001")
        await take_away(ari, "1001")
        assert [rows(path, one.kind) for one in PHONE] == [[], [], []]


async def test_no_registration_is_written_down_as_a_phones_lasting_contact(tmp_path: Path) -> None:
    """Asterisk does so whenever an aor is changed, also where a release before us made the file; a peer's contact stays."""
    path = tmp_path / "objects.sqlite3"
    fake = StoringAri(path)
    async with fake, AriClient(fake.url, "pbxfed", "right") as ari:
        await prepare(ari, Tables(path))
        with sqlite3.connect(path) as db:
            db.execute('drop trigger "fleeting insert"')
            db.execute('drop trigger "fleeting update"')
        await prepare(ari, Tables(path))
        for name in "1001", "1001", "pf-b":
            await ari.asterisk.updateObject("aor", name, (("contact", f"sip:{name}@10.0.0.9"),))
        assert rows(path, "aor", "contact")[:-2] == ["None"]
        assert rows(path, "aor", "contact")[-1] == "sip:pf-b@10.0.0.9"


async def test_an_asterisk_that_writes_elsewhere_is_refused(tmp_path: Path) -> None:
    """The two files name different ones."""
    async with (
        StoringAri(tmp_path / "theirs.sqlite3") as fake,
        AriClient(fake.url, "pbxfed", "right") as ari,
    ):
        with pytest.raises(Declined, match="no such table"):
            await prepare(ari, Tables(tmp_path / "ours.sqlite3"))


def test_the_file_is_for_both_users_and_nobody_else(tmp_path: Path) -> None:
    """It holds digests: owner and group write, as the folder has them."""
    tables = Tables(tmp_path / "objects.sqlite3")
    before = os.umask(0o077)
    try:
        tables.put(PROBE[0])
    finally:
        os.umask(before)
    assert tables.path.stat().st_mode & 0o777 == 0o660
    assert tables.path.stat().st_gid == tmp_path.stat().st_gid
