"""docs/health.md against the code: whatever a node can say of its health has a row there, and no row is about nothing."""

import ast
import inspect
import re
from pathlib import Path

from pbxfed_ari.core.membership import watch
from pbxfed_ari.node.facade import Facade
from pbxfed_ari.sensors.gauges import MEMORY, OWN

PAGE = Path(__file__).parents[1].joinpath("docs/health.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, as cells."""
    body = PAGE.partition(f"{heading}\n")[2].partition("\n#")[0]
    rows = [line.strip("|").split("|") for line in body.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


def names(heading: str) -> list[str]:
    """The words that its first column is about."""
    return [name for row in table(heading) for name in re.findall(r"`([\w ]+)`", row[0])]


def test_every_sensor_has_a_row_with_its_limits_and_a_remedy() -> None:
    """What costs how much from where on."""
    rows = table("## What each reason means")
    assert {row[0].strip("`") for row in rows} == {one.name for one in OWN} | {"check NAME"}
    for gauge in OWN:
        row = next(row for row in rows if row[0] == f"`{gauge.name}`")
        assert row[4] == str(gauge.most), gauge.name
        assert len(row[5]) > 20, gauge.name
        for shown, limit in ((row[2], gauge.poor), (row[3], gauge.bad)):
            found = re.match(r"([\d.]+)( %)?$", shown)
            if found:
                percent = 100 if found[2] and gauge is not MEMORY else 1
                assert float(found[1]) == limit * percent, gauge.name


def test_every_trouble_has_a_row() -> None:
    """Those of `Facade.troubles`; `sick` is the table of the sensors."""
    said = inspect.getsource(Facade.troubles).partition("return {")[2]
    known = re.findall(r'^ +"(\w+)": ', said, re.MULTILINE)
    assert {*names("### What else makes a node `down`, whatever its score"), "sick"} == set(known)


def test_every_warning_has_a_row() -> None:
    """Each kind of oddity."""
    calls = [n for n in ast.walk(ast.parse(inspect.getsource(watch))) if isinstance(n, ast.Call)]
    kinds = {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id == "Oddity"
        and isinstance(call.args[0], ast.Constant)
    }
    assert set(names("### What is only a warning")) == kinds
