"""`pbxfed init`: what an existing Asterisk must say, added beside what its operator wrote, and taken away again.

Pure, and first: `rules` (what each line of dialplan/ needs of the operator's files), `fitting` (our file, as it fits beside
his), `blocks` (the one line in his files that includes ours), `daemon` (pbxfed.toml), `plan` (all edits, or why not),
`manifest` (what was written, and how to take it back), `firewall`, `judging` (what a look at the running machine means).
Edges: `machine` reads, `writing` writes, `live` asks Asterisk, `joined` becomes a member. The command is `cli/init.py`.
"""
