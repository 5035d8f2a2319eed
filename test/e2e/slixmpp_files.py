#!/usr/bin/python3
"""A file from one slixmpp to another, over the proxy of the server (XEP-0065). Runs like slixmpp_client.py."""
import hashlib
import os

from slixmpp_client import DOMAIN, PATIENCE, Person, run

import asyncio

SIZE = 5_000_000


class Peer(Person):
    """Somebody who sends and takes files."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.register_plugin("xep_0065", {"auto_accept": True})
        self.taken, self.digest, self.closed = 0, hashlib.sha256(), []
        self.add_event_handler("socks5_data", self.take)
        self.add_event_handler("socks5_closed", lambda e: self.note(self.closed, e))

    def take(self, data):
        self.taken += len(data)
        self.digest.update(data)
        self.changed.set()


async def story():
    romeo = await Peer("romeo", resource="orchard").online()
    juliet = await Peer("juliet", resource="balcony").online()

    proxies = await romeo["xep_0065"].discover_proxies()
    assert [str(jid) for jid in proxies] == [f"proxy.{DOMAIN}"], proxies
    yield "the proxy is found below the domain, with its address"

    file = os.urandom(SIZE)
    stream = await asyncio.wait_for(romeo["xep_0065"].handshake(juliet.boundjid.full), PATIENCE)
    assert stream is not None, "no stream"
    for start in range(0, SIZE, 65536):
        await stream.write(file[start:start + 65536])
    await juliet.sees("the file", lambda: juliet.taken == SIZE)
    assert juliet.digest.digest() == hashlib.sha256(file).digest(), "another file"
    yield "a file of megabytes passes, and is the same"

    stream.transport.close()
    await juliet.sees("the end", lambda: juliet.closed)
    yield "and the other knows when it is over"


run(story)
