"""Every command in README and docs is one that there is, with options that there are; and each is typed by some test."""

from pathlib import Path

import click
import pytest

from pbxfed_ari.cli import main
from tests import documents

INLINE = sorted({one.text for one in documents.inline()})


def test_something_is_found() -> None:
    """Or the tests below would hold of nothing."""
    assert len(INLINE) > 20
    assert len(list(documents.blocks())) > 3


@pytest.mark.parametrize("command", INLINE)
def test_a_command_is_one_that_there_is(command: str) -> None:
    """A mere name, as of a group or without what it needs, is enough."""
    documents.whole(command, main)


@pytest.mark.parametrize(
    "wrong", ["pbxfed nonsense", "pbxfed ext nonsense", "pbxfed ext add 1 --nonsense 2"]
)
def test_what_there_is_not_would_be_noticed(wrong: str) -> None:
    """By the test above."""
    with pytest.raises(click.UsageError):
        documents.whole(wrong, main)


def test_who_is_said_to_type_a_block_does() -> None:
    """The test that a comment names exists, and has what is typed, or reads it there."""
    for block in documents.blocks():
        if block.by:
            text = (documents.CHECKOUT / block.by).read_text()
            if "in documents.blocks()" in text:  # it types them as they stand
                continue
            for line in documents.lines(block.text):
                assert documents.verb(line) in text, (str(block), line)


def test_links_lead_somewhere() -> None:
    """Within the project, and to a heading if they name one."""
    for page in documents.pages():
        for target in documents.links(page.read_text()):
            path, _, heading = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), (page, target)
            if heading:
                assert heading in documents.headings(Path(file).read_text()), (page, target)
