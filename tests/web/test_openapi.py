"""The OpenAPI document: it holds every route and no other, is well-formed, and its examples follow its own schemas."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web

from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.web import schemas
from pbxfed_ari.web.openapi import TAGS
from tests.web.served import SECRET, Client, Served

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "negative_data_rejection",
]
REJECTED = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 503]
"""
EXAMPLES = 8  # of each operation, beside the systematic ones


@pytest.fixture
async def document(client: Client) -> Any:
    response = await client.get("/openapi.json")
    assert response.status == 200
    return await response.json()


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_route_is_in_it_and_no_other(served: Served, document: Any) -> None:
    """HEAD stands beside every GET, and is not named."""
    routes = {
        (route.method, route.resource.canonical)
        for route in served.api.app.router.routes()
        if route.resource and route.method != "HEAD"
    }
    assert {(method, path) for method, path, _ in operations(document)} == routes
    for kind in KINDS.values():
        assert {("GET", f"/{kind.collection}"), ("PUT", f"/{kind.collection}/{{key}}")} <= routes


def test_every_operation_says_what_it_does(document: Any) -> None:
    """Summary, tag, what is answered, and which errors."""
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for method, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert set(operation["tags"]) <= set(TAGS), path
        assert {"400", "401", "403"} <= set(operation["responses"]), path
        if method in ("PUT", "PATCH") or path == "/import":
            assert {"413", "415", "422"} <= set(operation["responses"]), path
            assert operation["requestBody"]["content"], path
    assert [t["name"] for t in document["tags"]] == list(TAGS)


def test_texts_read_well(document: Any) -> None:
    """Nouns and their articles come of the kinds."""
    summaries = {(m, p): o["summary"] for m, p, o in operations(document)}
    assert summaries["GET", "/extensions"] == "List extensions"
    assert summaries["PUT", "/extensions/{key}"] == "Add an extension, or set fields of it"
    assert {schemas.noun(kind) for kind in KINDS.values()} == {
        "extension",
        "ring group",
        "queue",
        "conference room",
        "service",
        "inbound number",
        "PSTN trunk",
        "time condition",
        "calling class",
        "site",
    }


def test_examples_follow_their_schemas(document: Any) -> None:
    """Of bodies and of answers."""
    seen = 0
    components = {"components": document["components"]}
    for _, path, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for one in bodies:
            for media in one.get("content", {}).values():
                if "example" in media:
                    jsonschema_rs.validate({**media["schema"], **components}, media["example"])
                    seen += 1
        for parameter in operation.get("parameters", []):
            if "example" in parameter:
                assert parameter["in"] == "path", path
                jsonschema_rs.validate(parameter["schema"], parameter["example"])
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.validator_for({**schema, **components})
    assert seen > 5 * len(KINDS)


async def test_an_example_can_be_sent_as_it_is(client: Client, document: Any) -> None:
    """What a reader copies works."""
    for number in ("1001", "1002"):
        await client.put(f"/extensions/{number}", json={"secret": SECRET})
    order = ["sites", "classes", "times", "extensions", "groups", "services", "dids", "trunks"]
    for collection in order:
        one = document["paths"][f"/{collection}/{{key}}"]
        key = next(p["example"] for p in one["put"]["parameters"] if p["name"] == "key")
        for method in ("put", "patch"):
            example = one[method]["requestBody"]["content"]["application/json"]["example"]
            response = await client.request(method, f"/{collection}/{key}", json=example)
            assert response.status in (200, 201), await response.text()
    sent = document["paths"]["/import"]["post"]["requestBody"]["content"]
    response = await client.post(
        "/import?kind=extension",
        data=sent["text/csv"]["example"],
        headers={"Content-Type": "text/csv"},
    )
    assert response.status == 200, await response.text()


class Thread:
    """An API on a port of its own, in a thread: schemathesis asks as any client does."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._ready.wait(10)

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(Served().api.app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])
        self._ready.set()
        await self._end.wait()
        await runner.cleanup()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()


def test_what_is_answered_is_what_the_document_says(tmp_path: Path) -> None:
    """Schemathesis asks every operation, well and badly formed: as the document says, each time; never a 500."""
    tmp_path.joinpath("schemathesis.toml").write_text(REJECTED)
    served = Thread()
    done = subprocess.run(
        [
            Path(sys.executable).with_name("st"),
            "run",
            f"{served.url}/openapi.json",
            "--generation-deterministic",
            f"--max-examples={EXAMPLES}",
            "--phases=examples,coverage,fuzzing",
            f"--checks={','.join(CHECKS)}",
            "--exclude-path-regex=/events$",  # streams do not end
            "--warnings=off",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    served.stop()
    assert done.returncode == 0, done.stdout + done.stderr
