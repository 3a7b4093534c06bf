import pytest
from pytest_aiohttp.plugin import AiohttpClient

from tests.web.served import Client, Served


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture
async def client(served: Served, aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(served.api.app)
