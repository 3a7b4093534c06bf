"""The report."""

from pbxfed_ari.importing.report import Imported, Note, lines


def test_what_befell_many_alike_is_one_line() -> None:
    notes = [Note(f"f:{n}", f"extension {n}", "option x", "no field") for n in range(1, 8)]
    notes.insert(1, Note("", "", "all", "of it"))
    assert lines(notes) == [
        "f:1: extension 1, extension 2, extension 3, extension 4, extension 5 and 2 more: option x: no field",
        "all: of it",
    ]


def test_objects_are_not_shown() -> None:
    imported = Imported([{"extension": "1", "secret": "hunter2"}, {"group": "2"}], [])
    assert "hunter2" not in repr(imported)
    assert imported.without_secret() == []
