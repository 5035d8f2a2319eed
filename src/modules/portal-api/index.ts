// The interface of tools for Prosody, as far as they need it: the Snikket web portal, unchanged, administers and serves this server by it
// (docs/portal.md). Shapes and statuses are those of mod_http_admin_api, mod_invites_register_api and mod_rest; whatever is changed is changed by the
// administrative commands, of this host only.
import { softwareVersion } from '../../base/software.ts';
import { adminCommands } from '../../core/admin-commands.ts';
import { runCommand } from '../../core/commands.ts';
import type { AdminInvitations } from '../../core/invitations.ts';
import { limitTo } from '../../core/limited-admin.ts';
import { defineModule } from '../../core/module.ts';
import type { WebMethod, WebReply, WebRequest, WebRoute } from '../../core/web.ts';
import { circles } from '../circles/service.ts';
import { invitations } from '../invitations/service.ts';
import { accessTokens } from '../oauth/service.ts';
import { announce } from './announcing.ts';
import { WebDoor } from './door.ts';
import { ApiError, json, readJson } from './errors.ts';
import { Groups } from './groups.ts';
import { Invites } from './invites.ts';
import { exporting, importing } from './moving.ts';
import { People, type Run } from './people.ts';
import { stanzaEndpoint } from './stanzas.ts';

const commands = new Map(adminCommands.map((command) => [command.name, command]));

export default defineModule({
  xeps: [],
  summary: 'The interface of tools for Prosody: the Snikket web portal runs on it',
  needs: [accessTokens],

  setup({ host, router, admin, clock, log, signal, use }) {
    const door = new WebDoor({ host, tokens: use(accessTokens), admin, log });
    const own = limitTo(admin, host.domain);
    const run: Run = async (name, args) => {
      const command = commands.get(name);
      if (command === undefined) throw new Error(`there is no command "${name}"`);
      return (await runCommand(command, own, args)) as Readonly<Record<string, unknown>>;
    };
    const groups = new Groups({ host, run, circles: () => host.find(circles) });
    const people = new People({ host, run, clock });
    const shown = async (): Promise<AdminInvitations> => (await own.invitationsOf(host.domain)) ?? refuseInvitations();
    const invites = new Invites({ host, run, shown, invitations: () => host.find(invitations) ?? refuseInvitations() });

    /** A request of administrators; what changes something is written down. */
    const administration = (
      method: WebMethod,
      path: string,
      work: (request: WebRequest, by: string) => Promise<WebReply>,
    ): WebRoute => ({
      methods: [method],
      path: `/admin_api${path}`,
      handle: door.forAdmins(async (request, { jid }) => {
        const reply = await work(request, jid.bare);
        if (method !== 'GET')
          log.info({ by: jid.bare, method, path: request.path, address: request.peer.address }, 'admin request');
        return reply;
      }),
    });
    const name = ({ params }: WebRequest): string => params.name!;

    const routes: WebRoute[] = [
      { methods: ['GET'], path: '/xep227/export', handle: door.forPeople(exporting(host)) },
      { methods: ['PUT'], path: '/xep227/import', handle: door.forPeople(importing(host)) },
      { methods: ['POST'], path: '/rest', handle: door.forPeople(stanzaEndpoint({ host, router, signal })) },
      administration('GET', '/users', async () => json(200, await people.list())),
      administration('GET', '/users/:name', async (request) => json(200, await people.show(name(request)))),
      administration('GET', '/users/:name/debug', async (request) => json(200, await people.examine(name(request)))),
      ...(['PUT', 'PATCH'] as const).map((method) =>
        administration(method, '/users/:name', async (request) => {
          await people.change(name(request), await readJson(request));
          return json(200, {});
        }),
      ),
      administration('DELETE', '/users/:name', async (request) => {
        await people.remove(name(request));
        return json(200, {});
      }),
      administration('GET', '/server/info', async () =>
        json(200, { site_name: host.domain, version: softwareVersion() }),
      ),
      administration('POST', '/server/announcement', async (request) => {
        await announce({ host, router, run }, await readJson(request));
        return json(201, {});
      }),
      administration('GET', '/server/metrics', async () => json(200, await figures())),
    ];

    /** Of this process, and of the host's people. */
    async function figures(): Promise<object> {
      const { user, system } = process.cpuUsage();
      return {
        memory: process.memoryUsage().rss,
        cpu: { since: Math.floor(Date.now() / 1000 - process.uptime()), value: (user + system) / 1e6 },
        c2s: (await own.sessions()).length,
      };
    }

    const token = ({ params }: WebRequest): string => params.token!;
    routes.push(
      administration('GET', '/invites', async () => json(200, await invites.list())),
      administration('GET', '/invites/:token', async (request) => json(200, await invites.show(token(request)))),
      // what stands there is the kind of what is to be made
      administration('POST', '/invites/:token', async (request, by) =>
        json(200, await invites.create(token(request), await readJson(request), `${by}/admin_api`)),
      ),
      administration('DELETE', '/invites/:token', async (request) => {
        await invites.revoke(token(request));
        return json(200, {});
      }),
      {
        methods: ['GET'],
        path: '/register_api/invite/:token',
        handle: door.open(async (request) => json(200, await invites.look(token(request)))),
      },
      {
        methods: ['DELETE'],
        path: '/register_api/invite/:token',
        handle: door.open(async (request) => {
          await invites.reject(token(request));
          return json(200, {});
        }),
      },
      {
        methods: ['POST'],
        path: '/register_api/register',
        handle: door.open((request) => invites.register(request)),
      },
    );
    const id = ({ params }: WebRequest): string => params.id!;
    const done: WebReply = { status: 204 };
    routes.push(
      administration('GET', '/groups', async () => json(200, await groups.list())),
      administration('POST', '/groups', async (request) => json(200, await groups.create(await readJson(request)))),
      // Prose makes them so
      administration('PUT', '/groups', async (request) => json(200, await groups.create(await readJson(request)))),
      administration('GET', '/groups/:id', async (request) => json(200, await groups.show(id(request)))),
      administration('PUT', '/groups/:id', async (request) => {
        await groups.rename(id(request), await readJson(request));
        return done;
      }),
      administration('DELETE', '/groups/:id', async (request) => {
        await groups.remove(id(request));
        return done;
      }),
      administration('PUT', '/groups/:id/members/:name', async (request) => {
        await groups.add(id(request), name(request));
        return done;
      }),
      administration('DELETE', '/groups/:id/members/:name', async (request) => {
        await groups.drop(id(request), name(request));
        return done;
      }),
      administration('POST', '/groups/:id/chats', async (request) =>
        json(200, await groups.addChat(id(request), await readJson(request))),
      ),
      administration('DELETE', '/groups/:id/chats/:name', async (request) => {
        await groups.removeChat(id(request), name(request));
        return done;
      }),
      administration('GET', '/users/:name/groups', async (request) => json(200, await groups.of(name(request)))),
    );
    return { routes };
  },
});

/** Where the module is off. @throws ApiError */
function refuseInvitations(): never {
  throw new ApiError('item-not-found', 'There are no invitations here');
}
