// The settings of the host for files (XEP-0363) that stands below each domain.
import { join } from 'node:path';
import { z } from 'zod';
import { bytes, duration, durationOrForever, path, secret, url } from './schema.ts';
import { serviceDomain } from './services.ts';

const s3 = z.strictObject({
  endpoint: url(['https:', 'http:'], 'https://s3.eu-central-1.amazonaws.com').meta({
    description: 'Where the storage is; `http:` only where nobody else can listen.',
  }),
  region: z
    .string()
    .min(1)
    .prefault('us-east-1')
    .meta({ description: 'Its region; most that are not of AWS take any.' }),
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, { error: 'is not the name of a bucket' })
    .meta({ description: 'The bucket; it has to be there, and nobody but the server needs to reach it.' }),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9/_.-]*$/, { error: 'may have letters, digits, "/", "_", "." and "-" only' })
    .prefault('')
    .meta({ description: 'What the names of all objects begin with, such as `parley/`.' }),
  'access-key': z.string().min(1).meta({ description: 'Name of the key.' }),
  'secret-key': secret().meta({ description: 'The key; `file:PATH` keeps it out of this file.' }),
  'path-style': z.boolean().prefault(true).meta({
    description:
      'Whether the bucket stands in the path; `false`: in front of the name of the endpoint, as AWS wants it.',
  }),
});
export type S3Settings = z.output<typeof s3>;

/** The settings of files that people send one another. */
export const upload = z
  .strictObject({
    enabled: z.boolean().prefault(true).meta({
      description: 'Whether people can send files. `upload: false` says the same as `upload: { enabled: false }`.',
    }),
    domain: serviceDomain(
      'upload.*',
      'The address of the service; `*` stands for the domain of the host. Only its own people ask it: it needs neither DNS nor a certificate.',
    ),
    'max-file-size': bytes().prefault('104857616B').meta({
      description:
        'The largest file; XEP-0128 tells clients. Encryption adds 16 bytes to what people think a file has.',
    }),
    retention: durationOrForever()
      .prefault('30d')
      .meta({ description: 'How long a file is there, unless it is for a profile or permanent: `30d`, `forever`.' }),
    quota: bytes()
      .prefault('2GiB')
      .meta({ description: 'What the files of one account may have together; 0 for no limit.' }),
    'daily-quota': bytes()
      .prefault('1GiB')
      .meta({ description: 'What one account may send within 24 hours; 0 for no limit.' }),
    'host-quota': bytes()
      .prefault(0)
      .meta({ description: 'What all files of the host may have together; 0 for no limit.' }),
    'keep-free': bytes()
      .prefault('256MiB')
      .meta({ description: 'What has to be left on the disk: what would leave less is not taken.' }),
    'slot-lifetime': duration()
      .prefault('5m')
      .meta({ description: 'How long after it was asked for an upload may begin.' }),
    profile: z
      .strictObject({
        'max-file-size': bytes().prefault('4MiB').meta({ description: 'The largest one.' }),
        quota: bytes().prefault('20MiB').meta({ description: 'Those of one account together; 0 for no limit.' }),
        retention: durationOrForever().prefault('forever').meta({ description: 'How long they are there.' }),
      })
      .prefault({})
      .meta({ description: 'Files for profiles, such as avatars.' }),
    permanent: z
      .boolean()
      .prefault(true)
      .meta({ description: 'Whether people may have files that stay until they are deleted; within their quota.' }),
    folder: path().nullable().prefault(null).meta({
      description: 'Where files are kept. Default: `uploads` below `data`. All nodes of a cluster need the same one.',
    }),
    s3: z.union([s3]).nullable().prefault(null).meta({
      description:
        'Storage that speaks S3, in the place of the folder: `{ endpoint: https://..., bucket: NAME, access-key: NAME, secret-key: file:PATH }`, with `region`, `prefix` and `path-style` where needed.',
    }),
  })
  .prefault({})
  .meta({ description: 'Files that people send (XEP-0363), below the web address of each host.' });
export type UploadSettings = z.output<typeof upload>;

/** The folder that files are kept in, where they are. */
export function uploadFolder({ folder }: Pick<UploadSettings, 'folder'>, data: string): string {
  return folder ?? join(data, 'uploads');
}
