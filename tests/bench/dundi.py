"""DUNDi between two nodes of a lab, by its manual: b answers for 7…, and a switches to the answer, over our own trunks."""

from __future__ import annotations

import subprocess
import time

from lab.lab import Lab

ADDRESSES = {"a": "10.77.0.11", "b": "10.77.0.12"}
OTHER = {"a": "b", "b": "a"}


def files() -> dict[str, str]:
    """What Asterisk must say for it, as `Lab` takes it."""
    return {f"{node}/dundi.conf": _conf(node) for node in "ab"} | {
        "extensions.conf": """
[pbxfed-phones](+)
exten => _7XXXX,1,Goto(dundi-asked,${EXTEN},1)
[dundi-asked]
switch => DUNDi/fed
[pbxfed-trunk](+)
exten => _7XXXX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},30)
[dundi-here]
""",
        "b/extensions.conf": "exten => _7XXXX,1,NoOp()\n",
    }


def start(lab: Lab) -> None:
    """Give both nodes the key, and load what the lab otherwise leaves out."""
    key = lab.places.state / "fed.key"
    subprocess.run(
        ["openssl", "genrsa", "-traditional", "-out", key, "1024"], capture_output=True, check=True
    )
    public = subprocess.run(
        ["openssl", "rsa", "-in", key, "-pubout"], capture_output=True, check=True
    ).stdout
    for node in "ab":
        folder = lab.node(node).folder / "lib" / "keys"
        (folder / "out.key").write_bytes(key.read_bytes())
        (folder / "out.key").chmod(0o600)
        (folder / "in.pub").write_bytes(public)
        while lab.asterisk(node, "keys show").count("[Loaded]") < 2:  # it reads one at a time
            lab.asterisk(node, "module reload res_crypto.so")
            time.sleep(0.1)
        lab.asterisk(node, "module load pbx_dundi.so")


def looked_up(lab: Lab, number: str) -> float:
    """Milliseconds that a's question takes which no cache answers."""
    said = lab.asterisk("a", f"dundi lookup {number}@fed bypass")
    assert "EXISTS" in said, said
    return float(said.rpartition("completed in ")[2].split()[0])


def _conf(node: str) -> str:
    other = OTHER[node]
    last = int(ADDRESSES[other].rpartition(".")[2])
    return f"""[general]
bindaddr={ADDRESSES[node]}
ttl=2
autokill=yes
outgoing_sip_tech=PJSIP
pjsip_outgoing_endpoint=pf-{other}
[mappings]
fed => dundi-here,0,SIP,${{NUMBER}}/{ADDRESSES[node]},nopartial
[02:00:00:00:00:{last:02x}]
model=symmetric
host={ADDRESSES[other]}
inkey=in
outkey=out
include=fed
permit=fed
order=primary
"""
