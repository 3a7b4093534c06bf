"""All that was written can be taken back, and nothing else is."""

import pytest

from pbxfed_ari.errors import Refused
from pbxfed_ari.installing import manifest as manifests
from pbxfed_ari.installing.blocks import with_block
from pbxfed_ari.installing.manifest import Entry, Manifest, Undo, digest, joined, undo

BEFORE = "[general]\nbindaddr=127.0.0.1"
AFTER = with_block(BEFORE, "pbxfed/http.conf")
HIS = Entry("/etc/asterisk/http.conf", False, digest(BEFORE), digest(AFTER))
OURS = Entry("/etc/asterisk/pbxfed/http.conf", True, "", digest("ours"))


def of(*entries: Entry, **more: str) -> Manifest:
    return Manifest("1", "/etc/asterisk", list(entries), **more)  # type: ignore[arg-type]


def test_untouched_files_are_what_they_were() -> None:
    """A missing newline at the end is missing again."""
    texts = {HIS.path: AFTER, OURS.path: "ours"}
    assert undo(of(HIS, OURS), texts) == [Undo(HIS.path, BEFORE), Undo(OURS.path, None)]


def test_what_was_not_written_yet_is_left() -> None:
    """Killed in the middle."""
    assert undo(of(HIS, OURS), {HIS.path: BEFORE}) == []


def test_what_the_operator_changed_is_left_and_named() -> None:
    """Only our lines go."""
    texts = {HIS.path: AFTER + "mine=1\n", OURS.path: "mine"}
    his, ours = undo(of(HIS, OURS), texts)
    assert his.text == BEFORE + "\nmine=1\n"
    assert "only our lines are taken out" in his.note
    assert (ours.text, ours.note) == ("mine", "changed since it was written: left as it is")


def test_a_file_that_only_holds_our_lines_goes() -> None:
    """There was none before."""
    text = with_block("", "pbxfed/sorcery.conf")
    entry = Entry("/etc/asterisk/sorcery.conf", True, "", digest(text))
    assert undo(of(entry), {entry.path: text}) == [Undo(entry.path, None)]
    (kept,) = undo(of(entry), {entry.path: text + "[mine]\n"})
    assert kept.text == "[mine]\n"


def test_a_second_writing_remembers_what_was_before_the_first() -> None:
    """And adds what is new."""
    again = Entry(HIS.path, False, digest(AFTER), digest("third"))
    both = joined(of(HIS, user="pbxfed"), of(again, OURS))
    assert both.entries == [Entry(HIS.path, False, digest(BEFORE), digest("third")), OURS]
    assert both.user == "pbxfed"


def test_it_is_read_as_it_was_written_or_refused() -> None:
    """With what to do then."""
    found = of(HIS, OURS, user="pbxfed")
    assert manifests.read(manifests.write(found), "init.json") == found
    with pytest.raises(Refused, match="take out by hand what stands between the marks"):
        manifests.read("{", "init.json")
