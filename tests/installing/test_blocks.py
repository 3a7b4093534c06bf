"""Our lines in somebody's file go in once, and come out without a trace."""

from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.installing.blocks import BEGIN, END, with_block, without_block


@given(st.text(alphabet="ab;\n[]", max_size=30))
def test_in_and_out(text: str) -> None:
    """A newline that was missing is all that stays; the manifest knows of it."""
    once = with_block(text, "pbxfed/http.conf")
    assert with_block(once, "pbxfed/http.conf") == once
    assert without_block(once) in (text, text + "\n")


def test_it_is_replaced_where_it_stands() -> None:
    """What the operator wrote below it stays below."""
    text = with_block("[general]\n", "old.conf") + "mine=1\n"
    new = with_block(text, "new.conf")
    assert new.endswith("mine=1\n")
    assert '#tryinclude "new.conf"' in new
    assert without_block(new) == "[general]\nmine=1\n"


def test_a_mark_that_is_not_whole_is_none() -> None:
    """A comment of his that quotes it is left alone."""
    for text in f"{BEGIN}\nmine=1\n", f"; see {BEGIN}\n{END}\n":
        assert without_block(text) == text
