"""EDGE: one Asterisk, seen through ARI (https://docs.asterisk.org/Configuration/Interfaces/Asterisk-REST-Interface-ARI/).

In reading order: `models` and `events` (ARI JSON → core events), `pool` and `eventsocket` (connections, and the websocket),
`rest` (how Asterisk is asked), `resources` (what), `client` (both, and what it tells).

What is heard: `subscriptions` (of what we are told), `contacts` (who is registered here), `conferences`, `callers` (what
concerns a call), `found` and `reconciling` (what was missed), `versions`, `process` (is Asterisk dead, for certain?), `pulse`
(does it hang?), `connection` (the websocket's life).

What is done: `dialing`, `insisting`, `legs`, `answers` and `calls` (for a call), `pjsip/` and `iax` (what a phone and a trunk
are made of), `tables`, `objects` and `iaxpeers` (what should exist, and the workers that see to it), `alone` (whom Asterisk
asks without us), `trouble`, `operator` (effects → whoever does them).

`queues` and `lines` are read by sensors, `deadends` ends conversations with the dead. `room` is all of it wired together. Each
module stands on earlier ones alone: pyproject.toml has the layers.
"""
