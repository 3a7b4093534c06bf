"""Tokens: the file, its errors, and what a header is worth."""

import pytest

from pbxfed_ari.web.access import Role, Tokens, read_tokens


def test_a_file_of_tokens() -> None:
    """One a line, with a role or an admin's; comments and blank lines are none."""
    text = "# who\n\nlong-random-word\n  read monitoring-word \noperate desk-word\nadmin chief\n"
    assert read_tokens(text) == [
        (Role.ADMIN, "long-random-word"),
        (Role.READ, "monitoring-word"),
        (Role.OPERATE, "desk-word"),
        (Role.ADMIN, "chief"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must hold a token"),
        ("# none\n", "must hold a token"),
        ("good\nroot sesame", "line 2: must be TOKEN, or ROLE TOKEN with read, operate, admin"),
        ("a b c", "line 1: must be"),
        ("read", "line 1: must be"),
        ("read sesame\nadmin sesame", "line 2: the token stands there twice"),
    ],
)
def test_a_wrong_file_is_refused_without_its_tokens(text: str, words: str) -> None:
    """The line and the rule."""
    with pytest.raises(ValueError, match=words) as caught:
        read_tokens(text)
    assert "sesame" not in str(caught.value)


def test_what_a_header_is_worth() -> None:
    """The scheme in any case; bytes that are no text are nobody's."""
    tokens = Tokens([(Role.READ, "r"), (Role.ADMIN, "a")])
    assert tokens.role("Bearer r") is Role.READ
    assert tokens.role("bearer  a ") is Role.ADMIN
    assert [tokens.role(h) for h in ("", "Bearer", "Bearer ", "a", "Basic a", "Bearer \udcff")] == [
        None
    ] * 6
    assert Tokens().role("") is Role.ADMIN
    assert "r" not in repr(tokens).replace("Tokens(2 tokens)", "")


@pytest.mark.parametrize(
    ("host", "origin", "words"),
    [
        ("localhost:8780", "", ""),
        ("127.0.0.1:8780", "", ""),
        ("[::1]:8780", "", ""),
        ("", "", ""),
        ("localhost:8780", "http://localhost:8780", ""),
        ("localhost:8780", "https://evil.example", "Origin 'https://evil.example'"),
        ("localhost:8780", "http://localhost:3000", "Origin"),
        ("localhost:8780", "null", "Origin 'null'"),
        ("evil.example:8780", "http://evil.example:8780", "Host 'evil.example:8780'"),
        ("localhost.evil.example", "", "Host"),
        ("127.0.0.1.evil.example", "", "Host"),
        ("[::1", "", "Host"),
    ],
)
def test_a_page_of_elsewhere_needs_a_token(host: str, origin: str, words: str) -> None:
    """It can lead the browser of who sits at the machine here, by a request of its own, or by a name of its own."""
    assert Tokens().misled(host, origin).startswith(words)
    assert bool(Tokens().misled(host, origin)) is bool(words)
    assert Tokens([(Role.READ, "r")]).misled(host, origin) == ""
