#!/usr/bin/python3
"""An invitation as slixmpp makes and uses it. Prints `ok STEP` for each step, ends with 1 at the first that fails."""
import asyncio
import os
import re
import sys
from xml.etree import ElementTree

try:
    import slixmpp
    from slixmpp.exceptions import IqError
except ImportError as error:
    print(f"{error}: install the Debian package python3-slixmpp", file=sys.stderr)
    sys.exit(3)

DOMAIN = os.environ["PARLEY_DOMAIN"]
PORT = int(os.environ["PARLEY_PORT"])
CA = os.environ["PARLEY_CA"]
PATIENCE = 10


def preauth(token):
    return ElementTree.Element("{urn:xmpp:pars:0}preauth", {"token": token})


class Person(slixmpp.ClientXMPP):
    everybody = []

    def __init__(self, user, password=None, token=None):
        super().__init__(f"{user}@{DOMAIN}", password or f"{user}-secret")
        Person.everybody.append(self)
        self.refused = False
        for plugin in ("xep_0030", "xep_0004", "xep_0050", "xep_0077"):
            self.register_plugin(plugin)
        self.ca_certs = CA
        self.auto_authorize = self.auto_subscribe = None
        self.seen, self.changed = set(), asyncio.Event()
        self.started = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", lambda _: self.started.set_result(True))
        self.add_event_handler("failed_auth", lambda _: self.started.cancel())
        self.add_event_handler("changed_status", self.note)
        if token is not None:
            # slixmpp 1.8 keeps its own registration back until there is a session
            self._always_send_everything = True
            plugin = self["xep_0077"]
            ask = plugin.get_registration

            async def ask_invited(*args, **kwargs):
                await self.present(token)
                return await ask(*args, **kwargs)

            plugin.get_registration = ask_invited
            self.add_event_handler("register", self.register)

    def note(self, presence):
        if presence["type"] in ("available", "away", "chat", "dnd", "xa"):
            self.seen.add(presence["from"].bare)
            self.changed.set()

    async def present(self, token):
        """Before login (XEP-0445 4)."""
        iq = self.Iq(stype="set", sto=DOMAIN)
        iq.append(preauth(token))
        try:
            await iq.send()
        except IqError:
            self.refused = True
            raise

    async def register(self, _):
        iq = self.Iq(stype="set")
        iq["register"]["username"] = self.boundjid.user
        iq["register"]["password"] = self.password
        await iq.send()

    async def online(self):
        self.connect(("127.0.0.1", PORT), force_starttls=True)
        await asyncio.wait_for(self.started, PATIENCE)
        await self.get_roster()
        self.send_presence()

    async def sees(self, other):
        async def look():
            while f"{other}@{DOMAIN}" not in self.seen:
                self.changed.clear()
                await self.changed.wait()
        await asyncio.wait_for(look(), PATIENCE)

    async def invitation(self):
        """The link that the server makes, by a command (XEP-0401)."""
        answer = await self["xep_0050"].send_command(DOMAIN, "urn:xmpp:invite#invite")
        return answer["command"]["form"].get_values()["uri"]


def step(name):
    print(f"ok {name}", flush=True)


async def story():
    romeo = Person("romeo")
    await romeo.online()
    nodes = [node for _, node, _ in (await romeo["xep_0050"].get_commands(DOMAIN))["disco_items"]["items"]]
    assert "urn:xmpp:invite#invite" in nodes and "urn:xmpp:invite#create-account" in nodes, nodes
    uri = await romeo.invitation()
    token = re.fullmatch(rf"xmpp:romeo@{DOMAIN}\?roster;preauth=([a-z2-7]+);ibr=y", uri).group(1)
    step("romeo makes a link")

    rosaline = Person("rosaline", "fair as the moon", token)
    await rosaline.online()
    step("rosaline registers by it, and logs in")
    await asyncio.gather(romeo.sees("rosaline"), rosaline.sees("romeo"))
    for person, other in ((romeo, "rosaline"), (rosaline, "romeo")):
        await person.get_roster()
        item = person.client_roster[f"{other}@{DOMAIN}"]
        assert item["subscription"] == "both", (person.boundjid, item)
    step("they are each other's contacts, and see each other")

    paris = Person("paris", "too late, too late", token)
    try:
        await asyncio.wait_for(paris.online(), 3)
    except (asyncio.TimeoutError, asyncio.CancelledError):
        pass
    assert paris.refused and not paris.started.done() or paris.started.cancelled(), "paris came in"
    step("it was for one")

    nurse = Person("nurse")
    await nurse.online()
    token = re.search("preauth=([a-z2-7]+)", await romeo.invitation()).group(1)
    request = nurse.make_presence(ptype="subscribe", pto=f"romeo@{DOMAIN}")
    request.append(preauth(token))
    request.send()
    await asyncio.gather(romeo.sees("nurse"), nurse.sees("romeo"))
    step("the nurse, who has an account, becomes a contact by another one")


async def main():
    try:
        await story()
        return 0
    finally:
        for person in Person.everybody:
            await person.disconnect(wait=0.5)


sys.exit(asyncio.get_event_loop().run_until_complete(main()))
