"""The store: what a node keeps over restarts. Keys live outside it, in files of their own.

In reading order: `writer` (the one thread that touches the disk), `sqlite` (what the federation knows), `records` (calls that
are over, in a file of their own), `recorder` (gathers those).
"""
