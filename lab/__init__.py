"""Real Asterisks in network namespaces, real SIP phones, cables that can be cut. Needs root and Debian.

    python -m lab up --nodes 3            a, b, c with Asterisk and pbxfed; the first time it makes the root folder
    python -m lab phone register 1001 a   a desk phone; again with another node: it moves; with the domain: by DNS
    python -m lab call 1001 1002          exit 0 only if each heard the other's tone
    python -m lab kill b; python -m lab start b; python -m lab cut c; python -m lab heal
    python -m lab exec a -- pbxfed members; python -m lab exec a -- asterisk -rx 'core show channels'
    python -m lab up --nodes 6 --sites 2  two LANs and a router; --wan nats: the sites meet at a hub of their own
    python -m lab cut site:branch1        a whole site off; python -m lab kill hub
    python -m lab down                    nothing is left

In reading order: lab (the whole, as a Python object), members, phones, calls (what it shares with other kinds of lab), node,
asterisk, phone, useragent (calling, registering, locating, transactions, sockets), netns, hub, root; then places, process,
forks, phonebox, dialog, audio, sip, tls, tones. Tests use `lab.lab.Lab`; the command line says the same things.
"""
