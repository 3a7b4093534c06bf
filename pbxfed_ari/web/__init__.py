"""The HTTP API: what the node knows, and the way to edit it. Reads ask the view; edits go through the inbox.

In reading order: `operation` (a route, and what is said of it), `api` (all of them), `openapi` and `schemas` (the document).
The routes: `overview` (the node, and the federation as seen from it), `whereabouts` (where a call would go), `callbook` (calls,
in the words of `explained`), `objects` (configuration), `transfer` (much of it at once, in `tables`), `handouts` (URLs for
phones), `belonging` (keys and members), `draining`, `metrics`, `eventstream` (of an `eventlog`). What they share: `access` (who
may), `problem` (what an error says), `bodies` (what is sent), `inbox` (the way to the core and back). Beside it all, for
phones: `listener` and `phonefiles`.
"""
