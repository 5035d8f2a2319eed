#!/usr/bin/python3
"""A privileged component made with slixmpp (XEP-0356): it adds a contact to a roster, reads it, and sends a message in that person's name."""
import asyncio
import os

from slixmpp_run import Component, run

HOST = os.environ["PARLEY_HOST"]
PERSON = os.environ["PARLEY_PERSON"]


class Privileged(Component):
    def __init__(self):
        super().__init__()
        self.register_plugin("xep_0356")
        self.add_event_handler("privileges_advertised", lambda _: asyncio.ensure_future(self.act()))

    async def act(self):
        privilege = self["xep_0356"]
        # whom it sends such messages to; until here, where to connect
        self.server_host = HOST
        print(f"granted {privilege.granted_privileges}", flush=True)
        await privilege.set_roster(PERSON, {"nurse@example.com": {"name": "Nurse", "groups": ["Servants"]}})
        roster = await privilege.get_roster(PERSON)
        print(f"roster {sorted(str(jid) for jid in roster['roster']['items'])}", flush=True)
        message = self.make_message(mto=PERSON, mfrom=PERSON, mbody="From slixmpp", mtype="chat")
        privilege.send_privileged_message(message)
        await asyncio.sleep(0.2)
        self.end(0)


run(Privileged())
