// "Invite somebody", below one's own name: asks the server for a link (XEP-0401). Whoever opens it becomes a contact, with an account here
// or with the one they have.

/** The link, or undefined; with what the server says where it makes none. */
async function makeLink(api, { stx }, domain) {
  const request = stx`
    <iq type="set" to="${domain}" xmlns="jabber:client">
      <command xmlns="http://jabber.org/protocol/commands" node="urn:xmpp:invite#invite" action="execute"/>
    </iq>`;
  try {
    const answer = await api.sendIQ(request);
    const value = (name) => answer.querySelector(`field[var="${name}"] value`)?.textContent;
    return { link: value('landing-url') ?? value('uri') };
  } catch (error) {
    return { why: error?.querySelector?.('error text')?.textContent };
  }
}

export function invitations(converse) {
  return {
    initialize() {
      const { _converse } = this;
      const { api } = _converse;
      const { html } = converse.env;
      const invite = async (event) => {
        event.preventDefault();
        const { link, why } = await makeLink(api, converse.env, _converse.session.get('domain'));
        if (link === undefined)
          api.alert('error', 'Invite somebody', [why ?? 'There is no invitation just now. Try again later.']);
        else {
          const anchor = html`<a class="parley-invitation" href="${link}" target="_blank" rel="noopener">${link}</a>`;
          api.alert('info', 'Invite somebody', [
            'Whoever opens this link becomes a contact of yours. It works once.',
            anchor,
          ]);
        }
      };
      const Profile = api.elements.registry['converse-user-profile'];
      class InvitingProfile extends Profile {
        render() {
          return html`${super.render()}
            <a href="#" class="parley-invite controlbox-padded" role="button" @click=${invite}>Invite somebody</a>`;
        }
      }
      api.elements.define('converse-user-profile', InvitingProfile);
    },
  };
}
