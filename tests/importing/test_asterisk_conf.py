"""The syntax of Asterisk's files: what main/config.c takes, passes over and refuses."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.errors import Refused
from pbxfed_ari.importing.asterisk_conf import Parsed, parse

PIECES = (
    *(
        "[a]",
        "[b](!)",
        "[c](b)",
        "[a](+)",
        "[a](+k=v)",
        "[",
        "](",
        "(",
        ")",
        "!",
        ",",
        "+",
        "k=v",
        "k => v",
    ),
    *(
        "k+=w",
        ";",
        ";--",
        "--;",
        "\\;",
        "\\",
        "\n",
        "\r\n",
        " ",
        "\t",
        "#include f",
        '#include "f"',
        "#",
    ),
    *("#tryinclude g", "#exec x", "=", ">", "\x00", "\ufeff", "\u2028", "é", "type=endpoint"),
)
garbage = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=40).map("".join)


def said(text: str, **files: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each section with its options."""
    parsed = parse(text, include=lambda name: [(name, files[name])] if name in files else [])
    return [(one.name, [(o.key, o.value) for o in one.options]) for one in parsed.sections]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("k=v", [("k", "v")]),
        ("k = v", [("k", "v")]),
        ("k => v", [("k", "v")]),
        ("k = a = b", [("k", "a = b")]),
        ("k = v ; of yesterday", [("k", "v")]),
        ("k = a\\;b ; c", [("k", "a;b")]),
        ("k = v\r", [("k", "v")]),
        ("k =", [("k", "")]),
        ("k=1\nk=2", [("k", "1"), ("k", "2")]),
        ("k=a\nk+=b", [("k", "ab")]),
        ("k=a\nl=c\nk += , b", [("k", "a , b"), ("l", "c")]),
        ("k+=b", [("k", "b")]),
        ("\\#k=v", [("#k", "v")]),
        ("k=a;-- no\nl=b\n--;\nm=c", [("k", "a"), ("m", "c")]),
        ("k=a;-- ;-- --; no --;b", [("k", "ab")]),
        (";---- a line, not a block\nk=v", [("k", "v")]),
    ],
)
def test_options(text: str, options: list[tuple[str, str]]) -> None:
    assert said(f"[s]\n{text}") == [("s", options)]


def test_a_section_begins_with_what_it_inherits() -> None:
    text = "[b](!)\nk=1\nl=2\n[c](!,b)\nm=3\n[d](B,c)\nk=9\n"
    inherited = [("k", "1"), ("l", "2"), ("k", "1"), ("l", "2"), ("m", "3")]
    assert said(text) == [("d", [*inherited, ("k", "9")])]


def test_what_a_template_gains_later_is_not_inherited() -> None:
    assert said("[b]\nk=1\n[c](b)\n[b](+)\nl=2\n") == [
        ("b", [("k", "1"), ("l", "2")]),
        ("c", [("k", "1")]),
    ]


def test_sections_of_one_name_stand_beside_one_another_and_are_told_apart_by_type() -> None:
    text = "[x]\ntype=auth\n[x]\ntype=aor\n[x](+type=aor)\nmax_contacts=2\n"
    assert said(text)[1] == ("x", [("type", "aor"), ("max_contacts", "2")])


def test_an_included_file_goes_on_where_it_stands() -> None:
    """As in Asterisk, its first lines belong to the section above, and after it that section goes on."""
    text = '[a]\n#include "f"\nm=3\n#tryinclude nowhere\n'
    assert said(text, f="k=1\n[b]\nl=2\n") == [("a", [("k", "1"), ("m", "3")]), ("b", [("l", "2")])]


def test_a_pattern_includes_several() -> None:
    parsed = parse("#include d/*.conf", include=lambda _: [("d/1", "[a]\n"), ("d/2", "\n[b]\n")])
    assert [one.where for one in parsed.sections] == ["d/1:1", "d/2:2"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("k=v", "line 1: an option before any"),
        ("\n[s", "line 2: a section without its closing ]"),
        ("[s](a", "without the closing )"),
        ("[s](a)", "no section 'a' above it"),
        ("[s](+)", "there is no such section"),
        ("[t](!)\n[t](+)", "there is no such section"),
        ("[s]\n[s](+type=.*)", "write the word out"),
        ('[s]\n#include "f"', "#include 'f': there is no such file"),
    ],
)
def test_what_asterisk_refuses_is_refused(text: str, why: str) -> None:
    with pytest.raises(Refused, match=r"pjsip\.conf: line") as refused:
        parse(text, include=lambda _: [])
    assert why in str(refused.value)


def test_files_that_include_one_another_end() -> None:
    with pytest.raises(Refused, match="more than 10 deep"):
        parse("#include f", include=lambda name: [(name, "#include f")])
    with pytest.raises(Refused, match="1000 times"):
        parse("#include f", include=lambda _: [("g", "#include f\n" * 5)] if _ == "f" else [])


def test_one_file_alone_does_not_include() -> None:
    with pytest.raises(Refused, match="one file only is read here"):
        parse("#include f")


def test_templates_cannot_grow_without_bound() -> None:
    doubling = "".join(f"[t{n}](t{n - 1},t{n - 1})\n" for n in range(1, 64))
    with pytest.raises(Refused, match="templates inherit too much"):
        parse(f"[t0]\nk=v\n{doubling}")


def test_what_asterisk_passes_over_is_told_without_the_line() -> None:
    parsed = parse("[s]\npassword hunter2\n=hunter2\n#exec hunter2\n#include\nk=v ;-- hunter2")
    assert [one.where for one in parsed.skipped] == [f"pjsip.conf:{n}" for n in (2, 3, 4, 5, 6)]
    assert "hunter2" not in repr(parsed)


def test_a_repr_shows_no_value() -> None:
    assert "hunter2" not in repr(parse("[s]\npassword=hunter2"))


@given(garbage)
def test_garbage_is_read_or_refused(text: str) -> None:
    with suppress(Refused):
        parsed = parse(text, include=lambda name: [(name, text[: len(text) // 2])])
        assert isinstance(parsed, Parsed)
