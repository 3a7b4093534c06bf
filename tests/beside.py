"""A program that only computes, beside others that mostly wait: `python -m tests.beside PROGRAM ARGUMENTS`, in the background.

It gets what the others leave of the processors: it is nice toward every session (lab/process.py), but not so nice that it would
stand still on a machine that has more to do. It ends with the shell that has started it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from lab.process import set_nice

NICE = 10  # a tenth of what another session gets that wants as much
PR_SET_PDEATHSIG = 1  # prctl(2)


def main(program: list[str]) -> None:
    """Become that program."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.setsid()
    set_nice(os.getpid(), NICE)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
