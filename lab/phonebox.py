"""The background process of one phone group: it holds the phones, and does what the lab says.

One process for all phones of a group, in the group's namespace, because a lab may have hundreds of phones and a
Python each would cost more than the calls. It listens on a socket file; a connection carries one JSON
object a line each way, and requests of several connections are served side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab import tones
from lab.dialog import Call, Manners
from lab.locating import Listed, Located, Servers
from lab.sip import CODECS, Target
from lab.transactions import Refused, Timers
from lab.useragent import Phone

Json = dict[str, Any]

LOOK = 0.1  # seconds between two looks at what is heard


class PhoneBox:
    """All phones of one group."""

    def __init__(self, address: str, domain: str, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._address = address
        self._domain = domain
        self._phones: dict[str, Phone] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it closes."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                answer = await self._answer(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, request: Json) -> Json:
        try:
            match request.pop("do"):
                case "ping":
                    return {"phones": sorted(self._phones)}
                case "status":
                    return {
                        "phones": [
                            {"extension": key, **one.describe()}
                            for key, one in self._phones.items()
                        ]
                    }
                case "register":
                    return await self._register(request)
                case "unregister":
                    await self._phone(request).unregister()
                case "unplug":
                    self._phones.pop(request["phone"]).close()
                case "manners":
                    self._set_manners(request)
                case "speaks":
                    kinds = {name: kind for kind, name in CODECS.items()}
                    self._phone(request).codecs = tuple(kinds[name] for name in request["codecs"])
                case "dial":
                    return await self._dial(request)
                case "hang_up":
                    phone = self._phone(request)
                    await phone.hang_up(self._call(phone, request), request.get("cause", 0))
                case "hold":
                    phone = self._phone(request)
                    await phone.hold(self._call(phone, request), request["on"])
                case "transfer":
                    phone = self._phone(request)
                    other = phone.calls[request["other"]] if request.get("other") else None
                    return await phone.transfer(
                        self._call(phone, request), request["number"], other
                    )
                case "press":
                    phone = self._phone(request)
                    call = self._call(phone, request)
                    if request["info"]:
                        await phone.press(call, request["keys"])
                    else:
                        call.audio.press(request["keys"])
                case "call":
                    phone = self._phone(request)
                    return self._heard(self._call(phone, request), request)
                case "listen":
                    return await self._listen(request)
                case "calls":
                    return self._calls(request)
                case unknown:
                    return {"error": f"unknown request {unknown}", "status": 0}
        except Refused as refusal:
            return {"error": str(refusal), "status": refusal.status}
        except KeyError as missing:
            return {"error": f"no such phone or call: {missing}", "status": 0}
        return {}

    def _phone(self, request: Json) -> Phone:
        return self._phones[request["phone"]]

    def _call(self, phone: Phone, request: Json) -> Call:
        return phone.calls[request["call"]]

    async def _register(self, request: Json) -> Json:
        number = request["phone"]
        if number not in self._phones:
            self._phones[number] = Phone(
                number.partition("/")[0],  # 1001/2 is the second phone of 1001
                request["secret"],
                address=self._address,
                index=request["index"],
                domain=self._domain,
                tasks=self._tasks,
                log=_log,
            )
        phone = self._phones[number]
        phone.secret = request["secret"]
        phone.name = request["name"]
        phone.timers = replace(phone.timers, **request["timers"])
        if not request["same_contact"]:
            phone.become_new_device()
        return await phone.register(_servers(request, phone.timers), patience=request["timeout"])

    def _set_manners(self, request: Json) -> None:
        after = request.get("answer_after_ms", 0)
        self._phone(request).manners = Manners(
            answer_after=None if after is None else after / 1000,
            refuse=request.get("refuse"),
            send_to=request.get("send_to"),
            early=request.get("early", False),
            ring_after=request.get("ring_after_ms", 0) / 1000,
        )

    async def _dial(self, request: Json) -> Json:
        call = await self._phone(request).dial(
            request["number"],
            patience=request["timeout"],
            diversion=request.get("diversion", ""),
        )
        return call.describe()

    def _heard(self, call: Call, request: Json) -> Json:
        """One call, with how long each tone in question was heard in it (lately)."""
        tail = int(request.get("last_seconds", 10.0) * tones.RATE)
        audio = bytes(call.audio.heard[-tail:])
        heard = {
            str(hertz): tones.seconds_heard(audio, hertz) for hertz in request.get("tones", [])
        }
        return {**call.describe(), "heard": heard}

    async def _listen(self, request: Json) -> Json:
        """How long a tone is heard in a call within the next seconds; no longer than until that is `enough`."""
        audio = self._call(self._phone(request), request).audio
        before, share = audio.received, request.get("share", tones.SHARE)
        until = time.monotonic() + request["seconds"]
        enough = request.get("enough", math.inf)
        while True:
            await asyncio.sleep(min(LOOK, max(0.0, until - time.monotonic())))
            new = audio.received - before
            sound = bytes(audio.heard[-new * tones.FRAME :]) if new else b""
            found = tones.seconds_heard(sound, request["tone"], share)
            if found >= enough or time.monotonic() >= until:
                return {"heard": found}

    def _calls(self, request: Json) -> Json:
        """The calls of one phone, or of all, that began since a moment."""
        since = request.get("since", 0.0)
        one = request.get("phone")
        chosen = {one: self._phones[one]} if one else self._phones
        return {
            "calls": [
                {"phone": key, "hertz": phone.hertz, **self._heard(call, request)}
                for key, phone in chosen.items()
                for call in phone.calls.values()
                if call.started >= since
            ]
        }


def _servers(request: Json, timers: Timers) -> Servers:
    """Those that are named, or those of a domain, asked of these resolvers."""
    transport = request["transport"]
    if domain := request["domain"]:
        resolvers = [Target(address, 53) for address in request["servers"]]
        return Located(domain, resolvers, transport=transport, patience=timers.dns)
    return Listed([Target(address, transport=transport or "udp") for address in request["servers"]])


def _log(text: str) -> None:
    """One line; the lab reads it, people too."""
    now = time.time()
    stamp = time.strftime("%H:%M:%S", time.localtime(now))
    sys.stdout.write(f"{stamp}.{int(now * 1000) % 1000:03d} {text}\n")


async def main(folder: Path, name: str, address: str, domain: str) -> None:
    """Listen on FOLDER/NAME.sock until killed."""
    listener = socket.socket(socket.AF_UNIX)
    handle = os.open(folder, os.O_PATH)  # a socket's path may not be longer than 107 bytes
    path = f"/proc/self/fd/{handle}/{name}.sock"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener.bind(path)
    listener.listen(128)
    async with asyncio.TaskGroup() as tasks:
        box = PhoneBox(address, domain, tasks)
        server = await asyncio.start_unix_server(box.serve, sock=listener, limit=1 << 20)
        async with server:
            await server.serve_forever()


def run() -> None:
    """The program."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    folder, *whose = sys.argv[-4:]
    asyncio.run(main(Path(folder), *whose))


if __name__ == "__main__":
    run()
