#!/usr/bin/python3
"""Service administration (XEP-0133), ad-hoc commands and a report, with slixmpp's own plugins. Prints `ok STEP` for each step, ends with 1 at the first that fails."""
import asyncio
import os
import sys

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


class Person(slixmpp.ClientXMPP):
    everybody = []

    def __init__(self, user, password=None):
        super().__init__(f"{user}@{DOMAIN}", password or f"{user}-secret")
        Person.everybody.append(self)
        for plugin in ("xep_0030", "xep_0004", "xep_0050", "xep_0133", "xep_0191", "xep_0377"):
            self.register_plugin(plugin)
        self.ca_certs = CA
        loop = asyncio.get_event_loop()
        self.started, self.headline, self.ended = loop.create_future(), loop.create_future(), loop.create_future()
        self.add_event_handler("session_start", lambda _: self.started.set_result(True))
        self.add_event_handler("message", self.hear)
        self.add_event_handler("disconnected", lambda _: self.ended.done() or self.ended.set_result(True))

    def hear(self, message):
        if message["type"] == "headline" and not self.headline.done():
            self.headline.set_result(message["body"])

    async def online(self):
        self.connect(("127.0.0.1", PORT), force_starttls=True)
        await asyncio.wait_for(self.started, PATIENCE)
        await self.get_roster()
        self.send_presence()

    async def does(self, name, **values):
        """A command of the XEP: its form is filled in. The values of the result, where there are any."""
        node = f"http://jabber.org/protocol/admin#{name}"
        iq = await self["xep_0050"].send_command(DOMAIN, node)
        if iq["command"]["status"] == "executing":
            form = iq["command"]["form"]
            assert set(values) <= set(form.get_fields()), (list(form.get_fields()), values)
            answer = self["xep_0004"].make_form(ftype="submit")
            answer.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/admin")
            for field, value in values.items():
                answer.add_field(var=field, value=value)
            session = iq["command"]["sessionid"]
            iq = await self["xep_0050"].send_command(DOMAIN, node, action="complete", sessionid=session, payload=answer)
        assert iq["command"]["status"] == "completed", iq
        return iq["command"]["form"].get_values()


def step(name):
    print(f"ok {name}", flush=True)


async def story():
    duke, romeo = Person("duke"), Person("romeo")
    await asyncio.gather(duke.online(), romeo.online())
    nodes = [node for _, node, _ in (await duke["xep_0133"].get_commands())["disco_items"]["items"]]
    assert "http://jabber.org/protocol/admin#add-user" in nodes and "urn:parley:admin:user-role" in nodes, nodes
    others = [node for _, node, _ in (await romeo["xep_0133"].get_commands())["disco_items"]["items"]]
    assert not any("admin" in node for node in others), others
    step("the commands are listed to the duke, and not to romeo")

    paris = f"paris@{DOMAIN}"
    secret = {"password": "a man of wax", "password-verify": "a man of wax"}
    await duke.does("add-user", accountjid=paris, **secret)
    guest = Person("paris", "a man of wax")
    await guest.online()
    step("paris is added, and logs in")
    try:
        await duke.does("add-user", accountjid=paris, **secret)
        raise AssertionError("paris was added twice")
    except IqError as error:
        assert error.condition == "conflict", error.condition
    try:
        await romeo.does("delete-user", accountjids=[paris])
        raise AssertionError("romeo deletes people")
    except IqError as error:
        assert error.condition == "forbidden", error.condition
    step("once, and not by romeo")

    numbers = await duke.does("get-online-users-num")
    assert numbers["onlineusersnum"] == "3", numbers
    listed = await duke.does("get-registered-users-list", max_items="25")
    assert paris in listed["registereduserjids"], listed
    step("who is there is counted, and listed")

    await duke.does("announce", announcement="The prince comes.\nWith his train.")
    for person in (romeo, guest):
        assert await asyncio.wait_for(person.headline, PATIENCE) == "The prince comes.\nWith his train."
    step("an announcement is heard by all")

    block = romeo.make_iq_set()
    block["block"]["items"] = {paris}
    block["block"]["report"]["spam"] = True
    block["block"]["report"]["text"] = "He woos too early"
    await block.send()
    form = duke["xep_0004"].make_form(ftype="submit")
    answer = await duke["xep_0050"].send_command(DOMAIN, "urn:parley:admin:report-ls", payload=form)
    (report,) = answer["command"]["form"]["items"]
    assert (report["reporter"], report["reported"]) == (f"romeo@{DOMAIN}", paris), report
    assert report["reason"] == "urn:xmpp:reporting:spam", report
    step("romeo blocks and reports paris, and the duke reads it")

    await duke.does("delete-user", accountjids=[paris])
    await asyncio.wait_for(guest.ended, PATIENCE)
    step("paris is gone")


async def main():
    try:
        await story()
        return 0
    finally:
        for person in Person.everybody:
            person.abort()


sys.exit(asyncio.get_event_loop().run_until_complete(main()))
