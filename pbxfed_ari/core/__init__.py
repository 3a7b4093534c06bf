"""The pure core: what a federation of PBXs knows, and what each call is doing. No asyncio, socket, clock or chance.

Two machines, fed with events in order, answering with effects in order:

    federation.handle(event, now) -> effects     who exists, who is where, who owns what
    switchboard.handle(event, now, view) -> effects     what each call is doing; `view` is the federation's outlook

Reading order, folder by folder; a folder knows only those before it (`calls` and `federation` do not know each other):

    here        names, stamp (the hybrid clock), messages (the protocol between nodes), handouts (who may fetch a phone's
                file), events (world to us), effects (us to world)
    records     What is known: keys (the group's keys in time), clocks, shelf (what one node alone writes), book (what anyone
                may write), streams (how both travel), varint (numbers in few bytes), marks (vectors in few), packing (records
                in few), cutting (a stream into frames), contents (what they amount to), graves (when the dead may be
                forgotten), changes (what is new), patterns (of numbers), objects/ (kind first: how each kind of configuration
                is described), roster (who belongs), catalogue (which objects there are), registrations (where phones stand),
                shelves (all of them), directory (all of it as one view), registering (a phone comes or goes)
    membership  Who lives: timing, condition (how well a node can serve), health (what makes it worse), draining, member (one
                peer), members, rollcall (who comes back after a cut), reach (how each is heard and told), doors (where others
                may be found), watch (what is off), ring (who is responsible when nobody says), takeover (who calls a dead
                node's phones)
    replication How it is got: reading (a stream once more), healing (what that puts right), republishing (what would not
                travel), serving (who wants it gets it), gaps (who is asked), catchup, bundle (what travels together), sites
                (from LAN to LAN), ledger (our own stream and everybody else's)
    routing     Where a call should go: waybill (what travels along), tries (what a route is made of), route, its cases
                (between, reaching, hunting, rooms, shares, queueing, outside, barring), explaining, diversion (who has sent it
                on), alone (whom Asterisk asks without us)
    calls       What a call is doing: setup (is there life?), detours (not by this trunk), bridging (own legs), rescue (when the
                other end has died), call (one call), remaining (what is left to try), starting (a try begins), what happens to
                it (transitions: the table; trying, meanwhile, talking, rescuing), recording (is it recorded?), lines (what
                limits count), notebook (what is written down of calls that go on), agenda (when each is looked at), attendance
                (who is in which room), calls (all of them, and the ways to each), crossing (what peers say of them), listening
                (who listens in), reconciling (what became of them while nobody looked), returning (one that was found then),
                switchboard (leads what is heard to its call)
    federation  What it all means: gate (whose introduction is taken), vault (the secret in a phone's file), editing, importing
                (many edits), claims, failures (of authentication), pushing, ourselves (what this node says of itself), outlook
                (what may be asked of all this), conclusions (what follows from what is new), requests (what operators ask),
                challenges (is it a recording?), namesakes, introductions, joining, learning (what follows from a message),
                federation (all of these together)
    naming      Who is named: signpost (which nodes a phone is told of, in which order), zone (the same as DNS says it), bucket
                (how often that is answered)

`now` is seconds on a monotonic clock; `wall_ms` is milliseconds since 1970, carried by the events that need it.
"""
