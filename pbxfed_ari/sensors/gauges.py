"""What the readings of this node's own sensors mean: from where on they cost, how much, and what to do (docs/health.md).

Together: SICK tenths (core/membership/condition.py) take a node out of the ring. So one of these does that alone only if it
says that calls fail here, or are led wrong; an overload does not, for what it pushes away would overload the next node.
"""

from pbxfed_ari.core.membership.health import Gauge

ARI = Gauge(
    "ari",
    "ARI answers after",
    "s",
    0.3,
    1.0,
    4,
    "Asterisk has too much to do, or too little processor: `core show taskprocessors`, `top`",
    after=5.0,
)
SIP = Gauge(
    "sip",
    "this node's own SIP answers after",
    "s",
    0.5,
    2.0,
    10,
    "`pjsip show transports` in Asterisk; if it is the one of asterisk.sip_port, restart Asterisk",
    after=1.0,
)
QUEUES = Gauge(
    "queues",
    "queues of Asterisk are above their high water:",
    "",
    1,
    3,
    6,
    "PJSIP refuses requests meanwhile: `core show taskprocessors` names what is slow",
    after=2.0,
)
TRUNKS = Gauge(
    "trunks",
    "PSTN trunks of this node that are offline:",
    "",
    0.01,
    1.0,
    3,
    "`pjsip show aor ENDPOINT` in Asterisk: is the provider to be reached?",
    after=15.0,
)
PEERS = Gauge(
    "peers",
    "peers whose SIP does not answer this node:",
    "",
    0.6,
    1.0,
    3,
    "is UDP of asterisk.sip_port let through between the nodes?",
)
FAILURES = Gauge(
    "failures",
    "calls that failed in the last five minutes:",
    "",
    0.2,
    0.6,
    4,
    "`pbxfed calls --ended` names their causes",
)
LOAD = Gauge(
    "load",
    "load average per core is",
    "",
    4.0,
    10.0,
    3,
    "the machine has too much to do: `top`",
    after=30.0,
)
LAG = Gauge(
    "lag",
    "the daemon's own loop is late by",
    "s",
    0.2,
    0.5,
    5,
    "the daemon has too little processor or memory, or its disk is slow",
    after=10.0,
)
MEMORY = Gauge(
    "memory",
    "of the memory there is available",
    "%",
    5.0,
    1.0,
    5,
    "stop what does not belong on a PBX, or add memory",
    after=10.0,
)
DISK = Gauge(
    "disk",
    "the disk of node.state has",
    "",
    1.0,
    0.1,
    5,
    "make room, or see in `dmesg` what is wrong with it: what could not be kept is written then",
)
CLOCK = Gauge(
    "clock",
    "the clock is off its peers' median by",
    "s",
    10.0,
    60.0,
    5,
    "set it (`timedatectl set-ntp true`): time conditions and records are wrong meanwhile",
    after=3.0,
)
OWN = (ARI, SIP, QUEUES, TRUNKS, PEERS, FAILURES, LOAD, LAG, MEMORY, DISK, CLOCK)
