"""Of Asterisk's manual what it starts with is left."""

from __future__ import annotations

from pathlib import Path

from lab import manual

WHOLE = """<?xml version="1.0" encoding="UTF-8"?>
<docs>
<application name="Dial" language="en_US"><synopsis>Calls.</synopsis><syntax><parameter name="x"/></syntax>
<description><para>Long.</para></description></application>
<configInfo name="res_pjsip" language="en_US"><synopsis>SIP.</synopsis><configFile name="pjsip.conf">
<configObject name="aor"><description><para>Long.</para></description>
<configOption name="contact" default="none"><since><version>12.0.0</version></since><synopsis>Where.</synopsis>
<description><para>Long.</para></description></configOption></configObject></configFile></configInfo>
</docs>
"""


def test_names_and_options_are_left(tmp_path: Path) -> None:
    """Without the prose."""
    file = tmp_path / manual.MANUAL
    file.parent.mkdir(parents=True)
    file.write_text(WHOLE)
    manual.cut(tmp_path)
    assert "".join(file.read_text().split("\n")[1:]) == (
        '<docs><application name="Dial" language="en_US"><synopsis>Calls.</synopsis></application>'
        '<configInfo name="res_pjsip" language="en_US"><synopsis>SIP.</synopsis><configFile name="pjsip.conf">'
        '<configObject name="aor"><configOption name="contact" default="none"><synopsis>Where.</synopsis>'
        "</configOption></configObject></configFile></configInfo></docs>"
    )
