"""The store: what a node keeps over restarts, in one SQLite file. Keys live outside it, in files of their own."""
