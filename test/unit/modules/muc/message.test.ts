import { describe, expect, test } from 'vitest';
import { on } from '../../../../src/core/module.ts';
import { roomMessage } from '../../../../src/modules/muc/hooks.ts';
import { speakAsRoom } from '../../../../src/modules/muc/message.ts';
import { el } from '../../../../src/xml/element.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { refusal, TestRoom } from '../../../kit/muc-room.ts';

function twoIn(handlers: ConstructorParameters<typeof TestRoom>[2] = []): TestRoom {
  const coven = new TestRoom({}, { 'romeo@v.test': 'owner' }, handlers);
  coven.join('romeo@v.test/orchard', 'Romeo');
  coven.join('juliet@v.test/balcony', 'Juliet');
  coven.sent.length = 0;
  coven.multicasts = 0;
  return coven;
}

const hello =
  "<message from='juliet@v.test/balcony' to='coven@rooms.test' type='groupchat' id='1'><body>x</body></message>";

describe('a message to everybody', () => {
  test('is one element for all', () => {
    const coven = twoIn();
    coven.take(hello);
    expect(coven.multicasts).toBe(1);
    const [[first], [second]] = [coven.heard('romeo@v.test/orchard'), coven.heard('juliet@v.test/balcony')];
    expect(first).toBe(second);
    expect(first?.toXml()).toBe(
      "<message from='coven@rooms.test/Juliet' type='groupchat' id='1'><body>x</body></message>",
    );
  });

  test.each([
    ['to everybody', "to='coven@rooms.test' type='groupchat'"],
    ['to one', "to='coven@rooms.test/Juliet' type='chat'"],
  ])('%s does not say in the name of the room when it was said, or which id it has', (_whom, to) => {
    const coven = twoIn();
    const others = "<delay xmlns='urn:xmpp:delay' from='romeo@v.test' stamp='2003-10-13T23:58:37Z'/>";
    coven.take(
      `<message from='romeo@v.test/orchard' ${to}><body>x</body>
        <delay xmlns='urn:xmpp:delay' from='coven@rooms.test' stamp='2002-10-13T23:58:37Z'/>
        <delay xmlns='urn:xmpp:delay' from='coven@rooms.test/Romeo' stamp='2002-10-13T23:58:37Z'/>${others}
        <stanza-id xmlns='urn:xmpp:sid:0' by='Coven@Rooms.test' id='1'/><stanza-id xmlns='urn:xmpp:sid:0' by='v.test' id='2'/></message>`,
    );
    const heard = coven.heard('juliet@v.test/balcony')[0]!;
    expect(heard.elements().map(({ name, attrs }) => [name, attrs.from ?? attrs.by])).toEqual([
      ['body', undefined],
      ['delay', 'romeo@v.test'],
      ['stanza-id', 'v.test'],
      ...(to.includes('chat') && !to.includes('groupchat') ? [['x', undefined]] : []),
    ]);
  });

  test('can be refused, and can be another one, by whoever listens', () => {
    const coven = twoIn([
      on(roomMessage, { phase: 'check' }, ({ element }) =>
        element.attrs.id === '2' ? new StanzaError('policy-violation') : undefined,
      ),
      on(roomMessage, { phase: 'archive' }, (event) => {
        event.element = event.element.append(el('stanza-id', 'urn:xmpp:sid:0'));
      }),
    ]);
    expect(refusal(() => coven.take(hello.replace("id='1'", "id='2'")))).toBe('policy-violation');
    expect(coven.sent).toEqual([]);
    coven.take(hello);
    expect(coven.heard('romeo@v.test/orchard')[0]?.getChild('stanza-id', 'urn:xmpp:sid:0')).toBeDefined();
  });

  test('waits for one before it that is looked at for longer', async () => {
    let pass = (): void => {};
    const looked = new Promise<undefined>((resolve) => {
      pass = () => resolve(undefined);
    });
    const coven = twoIn([
      on(roomMessage, { phase: 'check' }, ({ element }) => (element.attrs.id === '1' ? looked : undefined)),
    ]);
    const first = coven.room.run(() => coven.take(hello));
    const second = coven.room.run(() => coven.take(hello.replace("id='1'", "id='2'")));
    expect(coven.sent).toEqual([]);
    pass();
    await Promise.all([first, second]);
    expect(coven.heard('romeo@v.test/orchard').map(({ attrs }) => attrs.id)).toEqual(['1', '2']);
  });

  test('may be the room’s own', () => {
    const coven = twoIn();
    void speakAsRoom(coven.room, el('message', null, { id: 'r' }, el('body', null, {}, 'Silence!')));
    expect(coven.heard('juliet@v.test/balcony')[0]?.toXml()).toBe(
      "<message id='r' from='coven@rooms.test' type='groupchat'><body>Silence!</body></message>",
    );
  });
});
