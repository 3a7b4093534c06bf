"""The reading order of the core names every module of it, so that a newcomer misses none."""

import re
from pathlib import Path

from pbxfed_ari import core


def test_each_module_stands_in_the_reading_order() -> None:
    """Whoever adds one says where a reader meets it."""
    assert core.__doc__ is not None
    named = set(re.findall(r"\w+", core.__doc__.partition("Reading order")[2]))
    home = Path(core.__path__[0])
    modules = {
        path.stem for path in [*home.iterdir(), *home.glob("*/*.py"), *home.glob("*/*/")]
    } - {"__init__", "__pycache__"}
    assert len(modules) > 50
    assert sorted(modules - named) == []
