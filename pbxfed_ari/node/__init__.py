"""One daemon: the composition root. Nothing is decided here.

In reading order: `starting` (from the configuration to a process that runs), `wiring` (the rooms of one daemon, and what joins
them), `enduring` (a room that fails is begun anew), `accounting` (what is kept of calls). What one room needs of the others:
`introducing` (what a node tells of itself), `group_keys` (on the disk and in certificates), `far_ends` (whose conversations may
be dead), `facade` (what the API sees), `reloading` (SIGHUP).
"""
