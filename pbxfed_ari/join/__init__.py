"""Joining: `desk` invites and lets in, on a member; `asking` asks to be let in, on the new machine."""
