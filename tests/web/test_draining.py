"""Draining over HTTP."""

from tests.web.served import Client, Served


async def test_it_is_ordered_shown_and_taken_back(served: Served, client: Client) -> None:
    """Each answer says how far it is."""
    body = await (await client.get("/drain")).json()
    assert (body["drains"], body["deadline"], body["calls"], body["phones"]) == (False, None, 0, 0)
    answer = await client.post("/drain", json={"deadline": 60, "end": True})
    body = await answer.json()
    assert (answer.status, body["drains"], body["end"], body["over"]) == (200, True, True, False)
    assert 55 < body["seconds_left"] <= 60
    members = await (await client.get("/members")).json()
    assert members[0]["condition"] == "drains"
    body = await (await client.delete("/drain")).json()
    assert (body["drains"], body["seconds_left"]) == (False, None)


async def test_without_a_body_the_usual_deadline_holds(client: Client) -> None:
    """Five minutes."""
    body = await (await client.post("/drain")).json()
    assert 295 < body["seconds_left"] <= 300


async def test_what_is_wrong_is_named(client: Client) -> None:
    """Field, value, remedy."""
    for given, said in (
        ({"deadline": 0}, "deadline = 0: must be 1 to 86400 seconds"),
        ({"deadline": True}, "deadline = True: must be 1 to 86400 seconds"),
        ({"end": "yes"}, "end = 'yes': must be true or false"),
        ({"until": 5}, "unknown field 'until'; known are deadline, end"),
    ):
        answer = await client.post("/drain", json=given)
        assert (answer.status, (await answer.json())["detail"]) == (422, said)


async def test_no_page_of_elsewhere_drains_a_node(client: Client) -> None:
    """A browser posts without a body for any page, and asks nobody before it."""
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example:8780"}):
        answer = await client.post("/drain", headers=headers)
        assert (answer.status, (await answer.json())["title"]) == (403, "Not allowed")
    assert (await (await client.get("/drain")).json())["drains"] is False
