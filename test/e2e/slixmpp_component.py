#!/usr/bin/python3
"""A component made with slixmpp: it echoes messages, and names itself to disco#info. Prints `ready`; ends after the message `bye`."""
from slixmpp_run import Component, run


class Echo(Component):
    def __init__(self):
        super().__init__()
        self.register_plugin("xep_0030")
        self["xep_0030"].add_identity(category="gateway", itype="irc", name="Echo")
        self.add_event_handler("session_start", lambda _: print("ready", flush=True))
        self.add_event_handler("disconnected", lambda _: self.end(1))
        self.add_event_handler("message", self.echo)

    def echo(self, message):
        if message["type"] == "error":
            return
        message.reply(message["body"]).send()
        if message["body"] == "bye":
            self.end(0)


run(Echo())
