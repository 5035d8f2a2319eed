#!/usr/bin/python3
"""A component made with slixmpp: it echoes messages, and names itself to disco#info. Prints `ready`; ends after the message `bye`."""
import asyncio
import os
import sys

try:
    import slixmpp
    from slixmpp.componentxmpp import ComponentXMPP
except ImportError as error:
    print(f"{error}: install the Debian package python3-slixmpp", file=sys.stderr)
    sys.exit(3)


class Echo(ComponentXMPP):
    def __init__(self):
        super().__init__(os.environ["PARLEY_COMPONENT"], os.environ["PARLEY_SECRET"], "127.0.0.1",
                         int(os.environ["PARLEY_PORT"]))
        self.register_plugin("xep_0030")
        self["xep_0030"].add_identity(category="gateway", itype="irc", name="Echo")
        self.over = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", lambda _: print("ready", flush=True))
        self.add_event_handler("disconnected", lambda _: self.end(1))
        self.add_event_handler("message", self.echo)

    def end(self, code):
        if not self.over.done():
            self.over.set_result(code)

    def echo(self, message):
        if message["type"] == "error":
            return
        message.reply(message["body"]).send()
        if message["body"] == "bye":
            self.end(0)


async def main():
    component = Echo()
    component.connect()
    try:
        code = await asyncio.wait_for(component.over, 30)
    except asyncio.TimeoutError:
        code = 2
    await component.disconnect(wait=1.0)
    return code


sys.exit(asyncio.get_event_loop().run_until_complete(main()))
