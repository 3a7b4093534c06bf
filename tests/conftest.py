"""How all tests run: in the daemon's kind of loop. No test of a rule has a clock; how fast it is, the bench says."""

from collections.abc import Callable

import pytest
import uvloop
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], uvloop.Loop]]:
    return {"uvloop": uvloop.new_event_loop}
