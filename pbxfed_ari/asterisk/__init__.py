"""EDGE: one Asterisk, seen through ARI (https://docs.asterisk.org/Configuration/Interfaces/Asterisk-REST-Interface-ARI/).

In reading order: `models` and `events` (ARI JSON → core events), `client` (REST), `connection` (the event websocket's
life), `contacts` (who is registered here), `pjsip/` and `iax` (what a phone and a trunk are made of), `operator`
(effects → REST), `room` (the five wired together; the only thing `node.py` needs).
"""
