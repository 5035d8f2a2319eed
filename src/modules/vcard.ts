// XEP-0054: vcard-temp, the profile that older clients know. It is the vCard4 of the account in other words (XEP-0292, modules/vcard4), and its
// PHOTO is the picture of the account (XEP-0398, modules/avatars): who may read those may read this, and one who sets this sets those. The words in
// which a client has said it are kept beside, for what vCard4 has none for.
//
// - 3.1: whoever has no vCard is told `item-not-found`, as at Prosody; others are told the same of them as of somebody who does not exist (3.3).
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { bytes } from '../config/schema.ts';
import { defineModule, type IqRequest, iqGet, iqSet } from '../core/module.ts';
import { kv } from '../storage/specs.ts';
import { parseElement } from '../xml/document.ts';
import { type Element, el } from '../xml/element.ts';
import { flatten } from '../xml/flatten.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { avatars } from './avatars/index.ts';
import { type Picture, readPicture } from './avatars/picture.ts';
import { vcardPortion } from './portability/vcard.ts';
import { vcard4From } from './vcard4/from-temp.ts';
import { profiles, readOr } from './vcard4/index.ts';
import { vcardTempFrom } from './vcard4/to-temp.ts';

/** What a client has set, without its picture. */
interface Said {
  readonly xml: string;
  /** SHA-256 of the vCard4 that was made of it: as long as that is the account's, these are the words for it. */
  readonly means: string;
}

export default defineModule({
  xeps: ['XEP-0054 1.3.0'],
  summary: 'Profiles for clients that know no vCard4',
  needs: [profiles, avatars],
  stores: { said: kv<Said>() },
  config: z.strictObject({
    'max-bytes': bytes().prefault('64KiB').meta({ description: 'The largest vCard, without its picture.' }),
  }),

  setup({ config, stores, use }) {
    const profile = use(profiles);
    const pictures = use(avatars);

    async function read(user: string, as: Jid | undefined): Promise<Element | undefined> {
      const card = await readOr(() => profile.read(user, as), undefined);
      const picture = await readOr(() => pictures.picture(user, as), undefined);
      const words = card && (await wordsFor(user, card));
      if (picture === undefined) return words;
      return (words ?? el('vCard', NS.vcardTemp)).without(isPhoto).append(photoOf(picture));
    }

    async function wordsFor(user: string, card: Element): Promise<Element> {
      const said = await stores.said.get(user);
      return said?.means === digest(card) ? parseElement(said.xml) : vcardTempFrom(card);
    }

    async function get({ iq: { from, to } }: IqRequest): Promise<Element> {
      const isOwn = from.bare === to.bare;
      const card = await read(to.local, isOwn ? undefined : from);
      if (card === undefined) throw new StanzaError(isOwn ? 'item-not-found' : 'service-unavailable');
      return card;
    }

    /** 3.2: all of it, in place of what was there. */
    const set = ({ iq: { from }, payload }: IqRequest): Promise<void> => write(from.local, payload);

    async function write(user: string, payload: Element): Promise<void> {
      const pictured = payload.getChildren('PHOTO').find((one) => dataOf(one) !== '');
      const picture = pictured && readPicture(dataOf(pictured), pictures.most);
      const card = payload.without((child) => child === pictured || (isPhoto(child) && child.elements().length === 0));
      const xml = flatten(card.toXml());
      if (Buffer.byteLength(xml) > config['max-bytes']) {
        throw new StanzaError('policy-violation', `a vCard has ${config['max-bytes']} bytes at most`);
      }
      if (picture === undefined) await pictures.remove(user);
      else await pictures.publish(user, picture, pictured?.getChildText('TYPE')?.trim().toLowerCase());
      if (card.elements().length === 0) {
        await profile.write(user, undefined);
        await stores.said.set(user, undefined);
        return;
      }
      const made = vcard4From(card, await profile.read(user));
      await stores.said.set(user, { xml, means: digest(made) });
      await profile.write(user, made);
    }

    /** Words that say what the profile and the picture say already. */
    async function adopt(user: string, payload: Element, isDry: boolean): Promise<boolean> {
      const there = await profile.read(user);
      const card = payload.without(isPhoto);
      if (there === undefined) return false;
      const means = digest(there);
      if (digest(vcard4From(card, there)) !== means) return false;
      if (!isDry) await stores.said.set(user, { xml: flatten(card.toXml()), means });
      return true;
    }

    // 3.2, and nobody learns who has an account
    const forbid = (): never => {
      throw new StanzaError('forbidden', "it is somebody else's");
    };

    return {
      features: { server: [NS.vcardTemp], account: [NS.vcardTemp] },
      portion: vcardPortion({
        read: (user) => read(user, undefined),
        adopt,
        write: (user, card) => write(user.local, card),
      }),
      handlers: [
        iqGet('account', NS.vcardTemp, 'vCard', get),
        iqSet('self', NS.vcardTemp, 'vCard', set),
        iqSet(['account', 'nobody'], NS.vcardTemp, 'vCard', forbid),
      ],
    };
  },
});

const isPhoto = (child: Element): boolean => child.is('PHOTO', NS.vcardTemp);

const dataOf = (photo: Element): string => photo.getChildText('BINVAL')?.trim() ?? '';

/** A picture as vCards have it. */
export function photoOf({ type, base64 }: Picture): Element {
  const said = type === undefined ? [] : [el('TYPE', NS.vcardTemp, undefined, type)];
  return el('PHOTO', NS.vcardTemp, undefined, ...said, el('BINVAL', NS.vcardTemp, undefined, base64));
}

const digest = (card: Element): string => createHash('sha256').update(card.toXml()).digest('base64');
