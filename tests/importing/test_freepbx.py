"""FreePBX's export becomes extensions."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.errors import Refused
from pbxfed_ari.importing.freepbx import read
from pbxfed_ari.importing.report import lines
from tests.importing.checking import checked
from tests.importing.samples.write_csv import COLUMNS, PHONES

EXPORT = (Path(__file__).parent / "samples" / "extensions.csv").read_text()


def test_an_export() -> None:
    imported = read(EXPORT)
    assert checked(imported) == ["2001", "2002", "2003", "2004"]
    assert imported.objects == [
        {
            "extension": "2001",
            "name": "Änne Müller",
            "secret": "b1946ac92492d2347c6235b4d2611184",
            "devices": 3,
            "codecs": ["g722", "alaw", "ulaw"],
            "ring_seconds": 25,
            "forward_busy": "2002",
            "forward_no_answer": "2003",
            "forward_unreachable": "600",
            "call_limit": 2,
        },
        {
            "extension": "2002",
            "name": "Bo, the Baker",
            "secret": "5d41402abc4b2a76b9719d911017c592",
            "profile": "secure",
            "forward_always": "01711234567",
        },
        {
            "extension": "2003",
            "name": "Cy",
            "secret": "7d793037a0760186574b0282f2f435e7",
            "profile": "webrtc",
            "ring_seconds": 12,
            "forward_no_answer": "2001",
        },
        {"extension": "2004", "name": "Dee"},
    ]
    report = "\n".join(lines(imported.notes))
    for part in (
        "extensions.csv:2: extension 2001: ring group 600",
        "extension 2001: column voicemail",
        "extension 2001: column outboundcid",
        "extension 2003: noanswer_dest ext-local,vmu2003,1",
        "extension 2004: its secret: a new one must be set",
        "extension 2004: follow-me to 2004-2001-2002",
        "extension 2004: call waiting off",
        "extension 2005: a device of dahdi",
        "call forwards and do-not-disturb are not exported",
    ):
        assert part in report
    shown = report + repr(imported)
    assert not [one for one in PHONES if len(one["secret"]) > 4 and one["secret"] in shown]
    assert "4711" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "extension,secret\n2001,Abcdef123!\n",
        "\ufeffEXTENSION;SECRET\r\n2001;Abcdef123!\r\n",
        "action,extension,devinfo_secret\nadd,2001,Abcdef123!\n",
        "extension,secret,,\n2001,Abcdef123!,,\n,,,\n\n",
    ],
)
def test_few_columns_do(text: str) -> None:
    assert read(text).objects == [{"extension": "2001", "secret": "Abcdef123!"}]


def test_an_old_chan_sip_phone() -> None:
    imported = read(
        "extension,tech,secret,nat,encryption,transport,sipdriver\n"
        '146,sip,terces-146-x,no,no,"udp,tcp,tls",chan_sip\n'
        "147,sip,terces-147-x,yes,no,udp,chan_sip\n"
        "148,sip,terces-148-x,no,yes,tls,chan_sip\n"
    )
    assert [one.get("profile", "nat") for one in imported.objects] == ["lan", "nat", "secure"]


def test_a_mailbox_alone_is_no_extension() -> None:
    imported = read("extension,secret,voicemail_enable\n,,yes\n")
    assert not imported.objects
    assert imported.notes[0].what == "a line without an extension"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        ("name,secret\nAnn,x\n", "no column extension"),
        ("extension,name,name\n", "two columns are called 'name'"),
        ("extension,name\n2001,A\n20 01,B\n", "line 3, column extension: '20 01'"),
        ("extension,name\n2001,A\n2001,B\n", "line 3, column extension: '2001': stands at"),
        ("extension,ringtimer\n2001,soon\n", "line 2, column ringtimer: 'soon': must be a whole"),
        ("extension,name\n2001\n", "line 2: 1 columns where the first line names 2"),
        ("extension,name\n2001,A,x\n", "line 2: 3 columns where the first line names 2"),
        ('extension,name\n2001,"A\n', "no CSV"),
        ("extension,name\n2001,A" + "x" * 200_000, "no CSV"),
    ],
)
def test_one_bad_line_refuses_the_whole(text: str, why: str) -> None:
    with pytest.raises(Refused, match=r"^extensions\.csv: ") as refused:
        read(text)
    assert why in str(refused.value)


cells = st.one_of(
    st.text(max_size=8),
    st.sampled_from([value for one in PHONES for value in one.values()]),
    st.sampled_from(
        [
            f"ext-local,{'9' * 40},1",
            "ext-local,2001,1",
            "yes",
            "-1",
            "2001-#--",
            "all",
            "!all",
            "udp,tls",
        ]
    ),
)


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), cells), max_size=4), st.text(max_size=40))
def test_garbage_is_read_or_refused(rows: list[dict[str, str]], noise: str) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    for text in (out.getvalue(), out.getvalue() + noise, noise, f"extension\n{noise}"):
        try:
            imported = read(text)
        except Refused:
            continue
        numbers = checked(imported)
        assert len(set(numbers)) == len(numbers)
