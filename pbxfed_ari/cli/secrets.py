"""Secrets that are not written on the command line, where others on the machine could see them."""

import sys

import click


def from_stdin(what: str) -> str:
    """A line of standard input; who sits at a terminal is told what to type, and it is not shown."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
