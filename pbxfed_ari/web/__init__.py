"""The HTTP API: what the node knows, and the way to edit it. Reads ask the view; edits go through the inbox."""
