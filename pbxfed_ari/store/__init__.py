"""The store: what a node keeps over restarts. Keys live outside it, in files of their own.

In reading order: `writer` (the one thread that touches the disk), `opening` (how a file is opened), `rows` (what stands in it,
and how damage is seen), `sqlite` (what the federation knows), `keeper` (hands it to the writer), `records` (calls that are
over, in a file of their own), `recorder` (gathers those).
"""
