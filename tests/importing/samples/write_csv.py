"""Writes `extensions.csv` anew: an export as FreePBX 15 to 17 make it, of made-up people."""

import csv
from pathlib import Path

HEADER = (
    "extension,password,name,voicemail,ringtimer,noanswer,recording,outboundcid,sipname,noanswer_cid,busy_cid,"
    "chanunavail_cid,noanswer_dest,busy_dest,chanunavail_dest,mohclass,id,tech,dial,devicetype,user,description,"
    "emergency_cid,hint_override,cwtone,recording_in_external,recording_out_external,recording_in_internal,"
    "recording_out_internal,recording_ondemand,recording_priority,answermode,intercom,cid_masquerade,"
    "concurrency_limit,devicedata,accountcode,aggregate_mwi,allow,avpf,bundle,callerid,context,defaultuser,"
    "device_state_busy_at,direct_media,disallow,dtmfmode,force_rport,icesupport,mailbox,match,max_audio_streams,"
    "max_contacts,max_video_streams,maximum_expiration,media_encryption,media_encryption_optimistic,"
    "media_use_received_transport,message_context,minimum_expiration,mwi_subscription,namedcallgroup,"
    "namedpickupgroup,outbound_auth,outbound_proxy,qualifyfreq,rewrite_contact,rtcp_mux,rtp_symmetric,secret,"
    "send_connected_line,sendrpid,sipdriver,timers,transport,trustrpid,user_eq_phone,webrtc,callwaiting_enable,"
    "findmefollow_strategy,findmefollow_grptime,findmefollow_grppre,findmefollow_grplist,findmefollow_postdest,"
    "findmefollow_pre_ring,findmefollow_enabled,voicemail_enable,voicemail_vmpwd,voicemail_email,voicemail_options"
)
COLUMNS = HEADER.split(",")


def phone(number: str, name: str, secret: str, **columns: str) -> dict[str, str]:
    """A line with what FreePBX sets by itself."""
    usual = {
        "voicemail": "novm",
        "ringtimer": "0",
        "mohclass": "default",
        "id": number,
        "tech": "pjsip",
        "dial": f"PJSIP/{number}",
        "devicetype": "fixed",
        "user": number,
        "description": name,
        "recording_in_external": "dontcare",
        "recording_ondemand": "disabled",
        "intercom": "enabled",
        "answermode": "disabled",
        "cid_masquerade": number,
        "callerid": f"{name} <{number}>",
        "context": "from-internal",
        "device_state_busy_at": "0",
        "mailbox": f"{number}@device",
        "max_contacts": "1",
        "media_encryption": "no",
        "rewrite_contact": "yes",
        "rtp_symmetric": "yes",
        "sipdriver": "chan_pjsip",
        "webrtc": "no",
        "outbound_auth": "no",
        "callwaiting_enable": "ENABLED",
    }
    return {"extension": number, "name": name, "secret": secret} | usual | columns


PHONES = (
    phone(
        "2001",
        "Änne Müller",
        "b1946ac92492d2347c6235b4d2611184",
        ringtimer="25",
        max_contacts="3",
        busy_dest="ext-local,2002,1",
        noanswer_dest="from-did-direct,2003,1",
        chanunavail_dest="ext-group,600,1",
        allow="g722&alaw&ulaw",
        disallow="all",
        device_state_busy_at="2",
        voicemail="default",
        voicemail_enable="yes",
        voicemail_vmpwd="4711",
        outboundcid='"Office" <4930123>',
    ),
    phone(
        "2002",
        "Bo, the Baker",
        "5d41402abc4b2a76b9719d911017c592",
        transport="0.0.0.0-tls",
        media_encryption="sdes",
        findmefollow_enabled="yes",
        findmefollow_grplist="01711234567#",
        findmefollow_pre_ring="0",
    ),
    phone(
        "2003",
        "Cy",
        "7d793037a0760186574b0282f2f435e7",
        webrtc="yes",
        findmefollow_enabled="yes",
        findmefollow_grplist="2003-2001",
        findmefollow_pre_ring="12",
        noanswer_dest="ext-local,vmu2003,1",
    ),
    phone(
        "2004",
        "Dee",
        "2004",
        callwaiting_enable="",
        concurrency_limit="3",
        findmefollow_enabled="yes",
        findmefollow_grplist="2004-2001-2002",
        findmefollow_pre_ring="7",
    ),
    phone("2005", "Fax", "", tech="dahdi", sipdriver=""),
)

if __name__ == "__main__":
    path = Path(__file__).with_name("extensions.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(PHONES)
