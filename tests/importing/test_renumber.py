"""New numbers for what is imported."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.names import is_extension
from pbxfed_ari.errors import Refused
from pbxfed_ari.importing.renumber import REFERRING, apply, follow, propose
from pbxfed_ari.importing.report import Imported, Object, lines

SECRET = "Abcdef123!"


def phones(*numbers: str) -> list[Object]:
    return [{"extension": number, "secret": SECRET} for number in numbers]


def known(*numbers: str) -> dict[str, str]:
    return dict.fromkeys(numbers, "extension")


def test_without_a_clash_all_stays() -> None:
    proposal = propose(phones("1001"), known("1002"))
    assert (proposal.clashes, proposal.mapping) == ({}, {})
    before = Imported(phones("1001"), [])
    assert apply(before, proposal) == before


def test_one_prefix_for_all_so_that_short_numbers_go_on() -> None:
    proposal = propose(phones("1001", "1002", "alice"), known("1001"))
    assert proposal.clashes == {"1001": "extension"}
    assert (proposal.prefix, proposal.mapping) == ("7", {"1001": "71001", "1002": "71002"})


@pytest.mark.parametrize(
    ("taken", "sites", "prefix"),
    [
        (["1001", "7000"], [], "8"),
        (["1001"], ["7", "86"], "6"),
        (["1001", "2", "3", "4", "5", "6", "7", "8", "9", "0", "1"], [], "7"),  # none is alone
        (["1001", *(f"{n}000" for n in range(10))], [], "77"),
        (["1001", *(f"{n:02}00" for n in range(100))], [], "7"),
        (["1001", *(f"{n:02}00" for n in range(100)), "71001", "71002"], [], "8"),
    ],
)
def test_a_prefix_is_free_if_no_number_begins_with_it(
    taken: list[str], sites: list[str], prefix: str
) -> None:
    assert propose(phones("1001", "1002"), known(*taken), sites).prefix == prefix


def test_a_site_keeps_its_prefix() -> None:
    """Its phones dial short numbers by it."""
    proposal = propose(phones("1001", "1002"), known("1001", "711003"), ["71", "8"], "71")
    assert (proposal.prefix, proposal.mapping["1002"]) == ("71", "711002")
    with pytest.raises(Refused, match=r"1002: .* 711002, which is taken \(extension\)"):
        propose(phones("1002"), known("1002", "711002"), ["71"], "71")
    with pytest.raises(Refused, match=r"12: .* 112, which can be no number"):
        propose(phones("12"), known("12"), ["1"], "1")
    assert propose(phones("1005"), known("1001"), ["71"], "71").mapping == {}


def test_no_number_becomes_one_for_emergencies() -> None:
    taken = known("12", *(f"{d}5" for d in "786543209"))
    proposal = propose(phones("12"), taken)
    assert proposal.mapping == {"12": "7712"}  # not 112


def test_without_a_prefix_each_gets_the_next_free_number() -> None:
    sites = list("0123456789")
    proposal = propose(phones("1001", "1002", "1005"), known("1001", "1003", "1005"), sites)
    assert proposal.prefix == ""
    assert proposal.mapping == {"1001": "1004", "1005": "1006"}
    full = known(*map(str, range(10)))
    assert propose(phones("5"), full, sites).mapping == {"5": "10"}


def test_words_get_a_digit_and_the_worlds_numbers_are_stuck() -> None:
    objects = phones("alice", "+4930123")
    proposal = propose(objects, known("alice", "alice2", "+4930123"))
    assert proposal.mapping == {"alice": "alice3"}
    assert proposal.stuck == {"+4930123"}
    after = apply(Imported(objects, []), proposal)
    assert [one["extension"] for one in after.objects] == ["alice3"]
    assert "extension +4930123: +4930123 is taken" in "\n".join(lines(after.notes))


def test_who_points_at_a_number_goes_along() -> None:
    objects: list[Object] = [
        {"extension": "1001", "secret": SECRET, "forward_busy": "1002", "forward_always": "0171"},
        {"extension": "1002", "ha1": "0" * 32},
    ]
    proposal = propose(objects, {"1002": "service"})
    after = apply(Imported(objects, []), proposal, site="north")
    assert after.objects == [
        {
            "extension": "71001",
            "secret": SECRET,
            "forward_busy": "71002",
            "forward_always": "0171",
            "site": "north",
        },
        {"extension": "71002", "site": "north"},
    ]
    assert objects[0]["extension"] == "1001"  # the import itself is untouched
    assert after.without_secret() == ["71002"]
    report = "\n".join(lines(after.notes))
    assert "extension 71002: its secret: a digest holds the number" in report
    assert "the prefix of site north must be 7" in report
    assert "each phone must register under its new number" in report


def test_other_kinds_follow() -> None:
    mapping = propose(phones("1001"), known("1001")).mapping
    group: Object = {"number": "1001", "members": ["1001", "2000"], "overflow": "1001"}
    assert follow(group, mapping) == {
        "number": "1001",
        "members": ["71001", "2000"],
        "overflow": "71001",
    }
    assert follow({"destination": "2000", "otherwise": "1001"}, mapping)["otherwise"] == "71001"


def test_fields_that_hold_numbers_are_known_from_the_kinds() -> None:
    assert {
        *("forward_always", "forward_busy", "forward_no_answer", "forward_unreachable"),
        *("members", "overflow", "destination", "otherwise"),
    } == REFERRING


def test_a_secret_that_the_new_number_makes_weak_is_made_anew() -> None:
    objects: list[Object] = [{"extension": "1001", "secret": "71001abc"}]
    after = apply(Imported(objects, []), propose(objects, known("1001")))
    assert after.objects == [{"extension": "71001"}]
    assert "71001abc" not in repr(after)


numbers = st.text("0123", min_size=1, max_size=3) | st.sampled_from(["alice", "+49301"])


@given(
    st.lists(numbers, unique=True, max_size=30),
    st.sets(numbers),
    st.sets(st.text("0178", max_size=2)),
)
def test_every_proposal_is_free_of_clashes(
    imported: list[str], there: set[str], sites: set[str]
) -> None:
    objects = phones(*imported)
    proposal = propose(objects, known(*there), sites)
    assert proposal == propose(objects, known(*there), sites)
    after = [str(one["extension"]) for one in apply(Imported(objects, []), proposal).objects]
    assert len(set(after)) == len(after) == len(imported) - len(proposal.stuck)
    assert not set(after) & there
    assert all(map(is_extension, after))


def test_ten_thousand_at_once() -> None:
    many = [f"{n:05}" for n in range(10_000, 20_000)]
    assert len(propose(phones(*many), known(*many), list("0123456789")).mapping) == len(many)
