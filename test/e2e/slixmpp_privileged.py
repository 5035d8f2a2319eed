#!/usr/bin/python3
"""A privileged component made with slixmpp (XEP-0356): it adds a contact to a roster, reads it, and sends a message in that person's name."""
import asyncio
import os
import sys

try:
    from slixmpp.componentxmpp import ComponentXMPP
except ImportError as error:
    print(f"{error}: install the Debian package python3-slixmpp", file=sys.stderr)
    sys.exit(3)

HOST = os.environ["PARLEY_HOST"]
PERSON = os.environ["PARLEY_PERSON"]


class Privileged(ComponentXMPP):
    def __init__(self):
        super().__init__(os.environ["PARLEY_COMPONENT"], os.environ["PARLEY_SECRET"], "127.0.0.1",
                         int(os.environ["PARLEY_PORT"]))
        self.register_plugin("xep_0356")
        self.over = asyncio.get_event_loop().create_future()
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
        if not self.over.done():
            self.over.set_result(0)


async def main():
    component = Privileged()
    component.connect()
    try:
        code = await asyncio.wait_for(component.over, 30)
    except asyncio.TimeoutError:
        code = 2
    await component.disconnect(wait=1.0)
    return code


sys.exit(asyncio.get_event_loop().run_until_complete(main()))
