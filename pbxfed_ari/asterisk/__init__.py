"""EDGE: one Asterisk, seen through ARI (https://docs.asterisk.org/Configuration/Interfaces/Asterisk-REST-Interface-ARI/).

In reading order: `models` and `events` (ARI JSON → core events), `pool` and `eventsocket` (requests, and the websocket),
`client` (REST), `process` (is Asterisk dead, for certain?), `connection` (the websocket's life), `contacts` (who is registered
here), `pjsip/` and `iax` (what a phone and a trunk are made of), `dialing`, `legs`, `answers` and `calls` (what is done for a
call), `objects` and `iaxpeers` (what should exist, and the workers that see to it), `operator` (effects → whoever does them),
`room` (all of it wired together; the only thing `node.py` needs).
"""
