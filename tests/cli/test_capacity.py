"""What this machine can carry: measured, kept where the daemon looks for it."""

from pathlib import Path

from pbxfed_ari.sensors import capacity
from tests.cli.conftest import Shell

SHORT = "--seconds", "0.5"


def test_what_is_measured_is_kept_for_the_daemon(shell: Shell, tmp_path: Path) -> None:
    """Unless it shall not be; a weight that stands in the configuration goes before it."""
    state = tmp_path / "state"
    text = shell.config.read_text()
    shell.config.write_text(text.replace("[federation]", f'state = "{state}"\n[federation]'))
    assert "No such file" in shell.refused("calibrate", *SHORT)
    state.mkdir()
    assert not shell.json("calibrate", *SHORT, "--dry-run")["kept"]
    assert capacity.kept(state) is None
    found = shell.json("calibrate", *SHORT)
    kept = capacity.kept(state)
    assert kept is not None
    assert (found["weight"], found["before"], found["stands"]) == (kept.weight, None, kept.weight)
    shell.config.write_text(shell.config.read_text().replace("state =", "weight = 7\nstate ="))
    said = shell("calibrate", *SHORT).splitlines()
    assert f"(was {kept.weight})" in said[0]
    assert said[2].startswith("but         node.weight = 7")
