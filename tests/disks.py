"""A disk that takes no write, as one that is full."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusing() -> Iterator[None]:
    """No file of this process can be written to (setrlimit(2), RLIMIT_FSIZE); made empty it can be."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
