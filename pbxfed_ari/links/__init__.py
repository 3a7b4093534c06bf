"""Links: how frames travel. A link carries bytes and promises nothing: it may lose, double, delay and reorder them.

multicast   UDP on one LAN: one datagram reaches every node of the site, and unicast on the same port
seeds       where peers may be found without multicast, by list and by DNS
wan         between sites: what all links through a hub have in common; zenoh and nats are the two engines (engines: which)
loopback    many nodes in one process on a virtual clock, with loss, cuts, delay, MTU and byte counts: for tests
post        between links and core: encodes and seals what is sent, opens, decodes and counts what comes
"""
