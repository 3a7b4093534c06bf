"""The pure core: what a federation of PBXs knows, and what each call is doing. No asyncio, socket, clock or chance.

Two machines, fed with events in order, answering with effects in order:

    federation.handle(event, now) -> effects     who exists, who is where, who owns what
    switchboard.handle(event, now, view) -> effects     what each call is doing; `view` is the federation's outlook

Reading order:

    names, messages (the protocol between nodes), events (world to us), effects (us to world), stamp (the hybrid clock)
    who lives       timing, condition (how well a node can serve), health (what makes it worse), draining, member (one peer),
                    members, rollcall (who comes back after a cut), reach (how each is heard and told), doors (where others
                    may be found), clocks, watch (what is off)
    what is known   shelf (what one node alone writes), book (what anyone may write), streams (how both travel), contents
                    (what they amount to), graves (when the dead may be forgotten), changes (what is new), objects/ (kind
                    first: how each kind of configuration is described), catalogue (which objects there are), registrations
                    (where phones stand), shelves (all of them), directory (all of it as one view)
    how it is got   varint (numbers in few bytes), marks (vectors in few), packing (records in few), cutting (a stream into
                    frames), reading (a stream once more), healing (what that puts right), republishing (what would not travel),
                    serving (who wants it gets it), gaps (who is asked), catchup, bundle (what travels together), sites (from
                    LAN to LAN), ledger (our own stream and everybody else's)
    who belongs     keys (the group's keys in time), roster, gate (whose introduction is taken), handouts (who may fetch a
                    phone's file), vault (the secret in it)
    what it means   ring (who is responsible when nobody says), takeover (who calls a dead node's phones), editing, importing
                    (many edits), claims, registering, failures (of authentication), pushing
    federation      ourselves (what this node says of itself), outlook (what may be asked of all this), conclusions (what
                    follows from what is new), requests (what operators ask), challenges (is it a recording?), namesakes,
                    introductions, joining, learning (what follows from a message), federation (all of these together)
    who is named    signpost (which nodes a phone is told of, in which order), zone (the same as DNS says it), bucket (how often
                    that is answered)
    calls           tries (what a route is made of), route (where a call should go), its cases (between, reaching, hunting,
                    rooms, shares, queueing, outside, patterns, barring), explaining, diversion (who has sent it on), waybill
                    (what travels along), setup (is there life?), detours (not by this trunk), bridging (own legs), rescue
                    (when the other end has died), call (one call), what happens to it (transitions: the table; trying,
                    meanwhile, talking, rescuing), recording (is it recorded?), lines (what limits count), notebook (what is
                    written down of calls that go on), agenda (when each is looked at), attendance (who is in which room),
                    calls (all of them, and the ways to each), crossing (what peers say of them), listening (who listens in),
                    reconciling (what became of them while nobody looked), returning (one that was found then), alone (whom
                    Asterisk asks without us), switchboard (leads what is heard to its call)

`now` is seconds on a monotonic clock; `wall_ms` is milliseconds since 1970, carried by the events that need it.
"""
