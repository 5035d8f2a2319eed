#!/usr/bin/python3
"""A call from one slixmpp to another with two devices (XEP-0353, XEP-0280). Runs like slixmpp_client.py."""
from slixmpp_client import Person, run

CALL = "{urn:xmpp:jingle-message:0}"
RTP = "urn:xmpp:jingle:apps:rtp:1"


class Caller(Person):
    """Somebody who calls and is called."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        for plugin in ("xep_0280", "xep_0353"):
            self.register_plugin(plugin)
        self.rang, self.answers, self.copies = [], [], []
        self.add_event_handler("jingle_message_propose", lambda m: self.note(self.rang, m))
        for kind in ("proceed", "reject", "retract"):
            self.add_event_handler(f"jingle_message_{kind}", lambda m, kind=kind: self.note(self.answers, (kind, m)))
        for kind in ("sent", "received"):
            self.add_event_handler(f"carbon_{kind}", lambda m, kind=kind: self.note(self.copies, (kind, m)))

    async def ready(self):
        await self.online()
        await self["xep_0280"].enable()
        return self

    def copied(self, kind, name):
        return [m for way, m in self.copies if way == kind and list(m.xml.iter(f"{CALL}{name}"))]


async def story():
    romeo = await Caller("romeo", resource="orchard").ready()
    garden = await Caller("romeo", resource="garden").ready()
    juliet = await Caller("juliet", resource="balcony").ready()
    chamber = await Caller("juliet", resource="chamber").ready()

    romeo["xep_0353"].propose(juliet.boundjid.bare, "call", [(RTP, "audio")])
    for device in (juliet, chamber):
        await device.sees("the call", lambda: [m for m in device.rang if m["jingle_propose"]["id"] == "call"]
                          or device.copied("received", "propose"))
    await garden.sees("the own call", lambda: garden.copied("sent", "propose"))
    yield "a call rings on both devices, and the caller's other one knows"

    juliet["xep_0353"].proceed(romeo.boundjid.full, "call")
    await romeo.sees("the answer", lambda: [m for kind, m in romeo.answers if kind == "proceed"])
    await chamber.sees("that it was taken", lambda: chamber.copied("sent", "proceed"))
    await garden.sees("that it was taken", lambda: garden.copied("received", "proceed"))
    yield "all devices know who has taken it"

    romeo["xep_0353"].retract(juliet.boundjid.bare, "call")
    await juliet.sees("the end", lambda: [m for kind, m in juliet.answers if kind == "retract"])
    yield "and that it is over"


run(story)
