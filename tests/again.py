"""What failed beside other testers, once more and alone: `python -m tests.again OPTIONS`, after a run of pytest that failed.

Several testers share the machine's cores, and the rules of a federation are times: a node that gets no processor for two
seconds is rightly held for dead. So a test that failed among them is judged by a second run with nobody beside it, after those
before it in its file: what they leave may be why it fails (docs/decisions/0041). Both are told. What fails again has failed;
and many that fail at once have not failed by chance.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")  # pytest's own list, of which --last-failed reads
FEW = 4  # tests; of more, none is tried again
BEFORE = 20  # tests of a file that are run before one: only files whose tests leave nothing behind have more


def failed() -> list[str]:
    """What failed when it was last run, of the files that are there."""
    found = json.loads(FAILED.read_text()) if FAILED.exists() else {}
    return [name for name in found if Path(name.partition("::")[0]).exists()]


def collected(files: Iterable[str]) -> list[str]:
    """The tests of these files, in the order in which they are run."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *files]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if "::" in line]


def leading_to(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """These tests, and those before each in its file; the whole file of what is none of its tests."""
    wanted: set[str] = set()
    for name in names:
        file = [one for one in order if one.partition("::")[0] == name.partition("::")[0]]
        if name in file:
            at = file.index(name)
            file = file[max(0, at - BEFORE) : at + 1]
        wanted.update(file)
    return [one for one in order if one in wanted]


def main(options: list[str]) -> int:
    """Run what failed again; pytest's exit code, or 1 if nothing was run."""
    names = failed()
    listed = "".join(f"\n  {name}" for name in names)
    if not 0 < len(names) <= FEW:
        print(f"\n{len(names)} failed, so none is tried again (from 1 to {FEW} are):{listed}")
        return 1
    print(f"\nfailed beside other testers, and run again now, alone:{listed}", flush=True)
    files = dict.fromkeys(name.partition("::")[0] for name in names)
    chosen = leading_to(names, collected(files)) or files
    code = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *chosen], check=False
    ).returncode
    if code == 0:
        print(f"\nFAILED ONCE, beside other testers, and not alone (see above why):{listed}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
