#!/usr/bin/python3
"""Rooms as slixmpp sees them: the three kinds that teams live in. Runs like slixmpp_client.py."""
from slixmpp_client import DOMAIN, Person, run

from slixmpp import JID
from slixmpp.exceptions import IqError, PresenceError

MUC_USER = "{http://jabber.org/protocol/muc#user}"
OCCUPANT_ID = "{urn:xmpp:occupant-id:0}occupant-id"


def room(name):
    return JID(f"{name}@groups.{DOMAIN}")


class Guest(Person):
    """Somebody who goes to rooms."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        for plugin in ("xep_0045", "xep_0249", "xep_0421"):
            self.register_plugin(plugin)
        self.muc = self["xep_0045"]
        self.invited, self.subjects = [], []
        # (no other event tells of an occupant's presence)
        self.add_event_handler("groupchat_presence", lambda p: self.note(self.presences, p))
        self.add_event_handler("groupchat_subject", lambda m: self.note(self.subjects, (m["from"].bare, m["subject"])))
        self.add_event_handler("groupchat_invite", lambda m: self.note(self.invited, m))
        self.add_event_handler("groupchat_direct_invite", lambda m: self.note(self.invited, m))

    async def go(self, place, nick=None):
        return await self.muc.join_muc_wait(place, nick or self.user, maxstanzas=0, timeout=8)

    async def make(self, name, **settings):
        """A reserved room, by its form."""
        place = room(name)
        await self.go(place)
        form = await self.muc.get_room_config(place)
        fields = form.get_fields()
        for field, value in settings.items():
            fields[f"muc#roomconfig_{field}"].set_value(value)
        form["type"] = "submit"
        await self.muc.set_room_config(place, form)
        return place

    def said(self, place):
        return [str(m["body"]) for m in self.heard if m["type"] == "groupchat" and m["from"].bare == place and m["body"]]

    async def hears(self, place, text):
        await self.sees(text, lambda: text in self.said(place))

    def codes(self, kind, nick, place):
        return {
            status.get("code")
            for p in self.presence(kind, place) if p["from"].resource == nick
            for status in p.xml.iter(f"{MUC_USER}status")
        }


async def refused(what, condition):
    try:
        await what
    except (IqError, PresenceError) as error:
        assert error.condition == condition, error.condition
        return
    raise AssertionError(f"not refused with {condition}")


async def story():
    romeo = await Guest("romeo", resource="orchard").online()
    juliet = await Guest("juliet", resource="balcony", managed=True).online()
    chamber = await Guest("juliet", resource="chamber").online()
    nurse = await Guest("nurse").online()

    public = await romeo.make("square", roomname="The square", persistentroom=True, whois="anyone", changesubject=True)
    private = await romeo.make("club", persistentroom=True, membersonly=True, publicroom=False, whois="anyone", allowinvites=True)
    group = await romeo.make("three", persistentroom=True, membersonly=True, publicroom=False, whois="anyone")
    listed = (await nurse["xep_0030"].get_items(f"groups.{DOMAIN}"))["disco_items"]["items"]
    assert [(str(jid), name) for jid, _, name in listed] == [(public, "The square")], listed
    yield "the three kinds of rooms, made by their forms, and the public one is listed"

    await juliet.go(public)
    await nurse.go(public)
    assert set(nurse.muc.get_roster(public)) == {"romeo", "juliet", "nurse"}, nurse.muc.get_roster(public)
    romeo.send_message(mto=public, mbody="good morrow", mtype="groupchat")
    juliet.send_message(mto=public, mbody="ay me", mtype="groupchat")
    for guest in (romeo, juliet, nurse):
        await guest.hears(public, "good morrow")
        await guest.hears(public, "ay me")
    assert len({tuple(guest.said(public)) for guest in (romeo, juliet, nurse)}) == 1
    juliet.send_message(mto=f"{public}/romeo", mbody="a word", mtype="chat")
    await romeo.sees("a private message", lambda: [m for m in romeo.heard if m["body"] == "a word" and m["from"] == f"{public}/juliet"])
    juliet.muc.set_subject(public, "Feuds")
    await nurse.sees("the subject", lambda: (public, "Feuds") in nurse.subjects)
    yield "talk, a private message, a subject"

    await chamber.go(public, "juliet")
    romeo.send_message(mto=public, mbody="to both of you", mtype="groupchat")
    await juliet.hears(public, "to both of you")
    await chamber.hears(public, "to both of you")
    await refused(nurse.go(public, "Juliet"), "conflict")
    ids = {
        p.xml.find(OCCUPANT_ID).get("id")
        for p in nurse.presence("available", public) if p["from"].resource == "juliet"
    }
    assert len(ids) == 1, ids
    yield "two devices under one nick, which is nobody else's"

    await refused(nurse.go(private), "registration-required")
    romeo.muc.invite(private, juliet.boundjid.bare, reason="come")
    await juliet.sees("an invitation", lambda: [m for m in juliet.invited if m["from"] == private])
    await juliet.go(private)
    juliet["xep_0249"].send_invitation(JID(nurse.boundjid.bare), private)
    await nurse.sees("a direct invitation", lambda: [m for m in nurse.invited if m["groupchat_invite"]["jid"] == private])
    await nurse.go(private)
    members = await juliet.muc.get_affiliation_list(private, "member")
    assert sorted(map(str, members)) == [juliet.boundjid.bare, nurse.boundjid.bare], members
    yield "invitations through the room and past it let people into a private channel"

    for guest in (juliet, nurse):
        await romeo.muc.set_affiliation(group, "owner", jid=guest.boundjid.bare)
        romeo.muc.invite(group, guest.boundjid.bare)
        await guest.sees("an invitation", lambda: [m for m in guest.invited if m["from"] == group])
        await guest.go(group)
    assert sorted(map(str, await nurse.muc.get_affiliation_list(group, "owner"))) == sorted(
        guest.boundjid.bare for guest in (romeo, juliet, nurse))
    yield "a group of owners"

    await juliet.sees("stream management", lambda: juliet["xep_0198"].sm_id)
    back = []
    juliet.add_event_handler("session_resumed", lambda e: juliet.note(back, e))
    gone = juliet.wait_until("disconnected", 8)
    juliet.transport.abort()
    await gone
    romeo.send_message(mto=group, mbody="said meanwhile", mtype="groupchat")
    await nurse.hears(group, "said meanwhile")
    juliet.dial()
    await juliet.sees("the session again", lambda: back)
    await juliet.hears(group, "said meanwhile")
    juliet.send_message(mto=group, mbody="I heard", mtype="groupchat")
    await nurse.hears(group, "I heard")
    assert not nurse.presence("unavailable", group)
    yield "a connection that breaks costs nothing and is not seen"

    await romeo.muc.set_role(public, "nurse", "none", reason="hush")
    await nurse.sees("a kick", lambda: "307" in nurse.codes("unavailable", "nurse", public))
    await nurse.go(public)
    await romeo.muc.set_affiliation(public, "outcast", jid=nurse.boundjid.bare, reason="hush!")
    await nurse.sees("a ban", lambda: "301" in nurse.codes("unavailable", "nurse", public))
    await refused(nurse.go(public), "forbidden")
    await refused(juliet.muc.destroy(public), "forbidden")
    yield "kick, ban"

    await romeo.muc.destroy(public, reason="burnt", altroom=str(private))
    await juliet.sees("the end", lambda: [
        d for p in juliet.presence("unavailable", public) for d in p.xml.iter(f"{MUC_USER}destroy") if d.get("jid") == private])
    await refused(romeo.muc.get_room_config(public), "gone")
    yield "the end of a room"


run(story)
