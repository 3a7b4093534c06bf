"""The pure core: what a federation of PBXs knows, and what each call is doing. No asyncio, socket, clock or chance.

Two machines, fed with events in order, answering with effects in order:

    federation.handle(event, now) -> effects     who exists, who is where, who owns what
    switchboard.handle(event, now, view) -> effects     what each call is doing

Reading order: names, messages (the protocol between nodes), events (world to us), effects (us to world), stamp (the hybrid
clock), members (who lives), shelf (what one node alone writes), book (what anyone may write), streams (how both travel),
directory (the two as one view), objects/ (kinds of configuration), ring (who is responsible when nobody says), editing,
registering, pushing (what an edit, a registration and a change come to), catchup (how what was missed is got), keys (the
group's keys in time), roster (who belongs), gate (whose introduction is taken), federation (all of these
together), route (where a call should go), call (one call), switchboard (all calls).

`now` is seconds on a monotonic clock; `wall_ms` is milliseconds since 1970, carried by the events that need it.
"""
