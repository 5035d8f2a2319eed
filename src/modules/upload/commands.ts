// What people do with their files by forms (XEP-0050): they see what they have sent, and delete it.
import type { Command, IqRequest } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
import { booleanField, choicesField, formElement, readForm, tableElement } from '../../xmpp/dataform.ts';
import { formatDateTime } from '../../xmpp/datetime.ts';
import type { ListedFile, Uploads } from './service.ts';

/** Files of one form: the latest. */
const MOST = 200;

export function fileCommands(library: Uploads, isOurs: (request: IqRequest) => boolean): readonly Command[] {
  const mine = async ({ iq }: IqRequest): Promise<readonly ListedFile[]> =>
    [...(await library.list(iq.from.local))].reverse();
  return [
    {
      target: 'host',
      node: 'upload:list',
      name: 'List your files',
      mayRun: isOurs,
      async run(request) {
        const all = await mine(request);
        const bytes = all.reduce((sum, { size }) => sum + size, 0);
        const listed = all.length > MOST ? `; these are the latest ${MOST}` : '';
        return { note: `${count(all.length)}, ${sizeText(bytes)}${listed}`, form: tableOf(all.slice(0, MOST)) };
      },
    },
    {
      target: 'host',
      node: 'upload:delete',
      name: 'Delete files of yours',
      mayRun: isOurs,
      form: async (request) => formElement(deletion((await mine(request)).slice(0, MOST))),
      async run(request, submitted) {
        const all = await mine(request);
        // not only those that are shown: a file may have come since
        const { files = [], all: everything = false } = readForm(deletion(all), submitted!);
        const chosen = everything ? all.map(({ id }) => id) : files;
        let gone = 0;
        for (const id of chosen) if (await library.remove(request.iq.from.local, id)) gone++;
        return { note: `${count(gone)} deleted` };
      },
    },
  ];
}

function tableOf(all: readonly ListedFile[]): Element {
  const columns = {
    name: 'Name',
    type: 'Type',
    size: 'Bytes',
    sent: 'Sent',
    expires: 'Expires',
    for: 'For',
    url: 'Address',
  };
  return tableElement(
    'Your files',
    columns,
    all.map(({ name, type, size, storedAt = 0, expires, purpose, url = '' }) => ({
      name,
      type,
      size: String(size),
      sent: formatDateTime(storedAt),
      expires: expires === undefined ? '' : formatDateTime(expires),
      for: purpose,
      url,
    })),
  );
}

function deletion(all: readonly ListedFile[]) {
  const label = ({ name, size, storedAt = 0 }: ListedFile): string =>
    `${name} (${sizeText(size)}, ${formatDateTime(storedAt).slice(0, 10)})`;
  return {
    title: 'Deleting files',
    instructions: 'What you delete is gone for everybody whom you have sent it to.',
    fields: {
      files: choicesField<string>('Files', Object.fromEntries(all.map((one) => [one.id, label(one)]))),
      all: booleanField('All of them'),
    },
  } as const;
}

const count = (files: number): string => `${files} ${files === 1 ? 'file' : 'files'}`;

/** `12.3 MiB` */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const at = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return at === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** at).toFixed(1)} ${units[at]}`;
}
