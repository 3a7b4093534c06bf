"""What another system has, as objects of the federation. Pure: text in, values out; whoever calls reads files and sends edits.

In reading order:
    report (what an import yields, and what it could not carry over)
    rules  codecs  media (what an extension takes, whatever the source)
    asterisk_conf (the syntax)   pjsip_sections  callerid  trunks (endpoints that are no phones)  pjsip_lost
    pjsip_conf (an Asterisk's phones)   freepbx (the CSV of its Bulk Handler)
    renumber (numbers that the federation has already)
"""
