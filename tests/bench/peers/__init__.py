"""The peers: other programs that spread small facts among many nodes, run on the same ground in the same run.

serf    HashiCorp's gossip (Debian's package): encrypted, LAN profile; a fact is a user event
nats    a broker (Debian's package) and a client on each node; a fact is a message
zenoh   a mesh of TCP sessions found by multicast scouting; a fact is a sample
"""
