import { describe, expect, it } from 'vitest';
import { byteByByte, HEADER, tell } from '../../kit/parsing.ts';

type Case = readonly [what: string, input: string | Buffer, condition: string];

const bytes = (...values: number[]): Buffer => Buffer.from(values);
const inBody = (...values: number[]): Buffer =>
  Buffer.concat([Buffer.from('<message><body>x'), bytes(...values), Buffer.from('y</body></message>')]);

// Children of a stream.
const refused: readonly Case[] = [
  // RFC 6120 11.1
  ['a comment', '<message><!-- no --></message>', 'restricted-xml'],
  ['a comment between stanzas', '<!-- no -->', 'restricted-xml'],
  ['a processing instruction', '<message><?php echo?></message>', 'restricted-xml'],
  ['a processing instruction between stanzas', '<?xml-stylesheet href="x"?>', 'restricted-xml'],
  ['a document type', '<!DOCTYPE x>', 'restricted-xml'],
  ['a document type inside a stanza', '<message><!DOCTYPE x></message>', 'restricted-xml'],
  ['an entity of HTML', '<message><body>&nbsp;</body></message>', 'restricted-xml'],
  ['an entity in an attribute', "<message id='&foo;'/>", 'restricted-xml'],
  ['an XML declaration inside the stream', "<?xml version='1.0'?>", 'restricted-xml'],
  // XML 1.0 2.4, 4.1
  ['a bare ampersand in text', '<message><body>a & b</body></message>', 'not-well-formed'],
  ['a bare ampersand in an attribute', "<message id='a & b'/>", 'not-well-formed'],
  ['an ampersand before a tag', '<message><body>&</body></message>', 'not-well-formed'],
  ['an empty reference', '<message><body>&;</body></message>', 'not-well-formed'],
  ['a reference without its end', '<message><body>&amp </body></message>', 'not-well-formed'],
  ['a reference without a number', '<message><body>&#;</body></message>', 'not-well-formed'],
  ['a hexadecimal reference without a number', '<message><body>&#x;</body></message>', 'not-well-formed'],
  ['a hexadecimal reference in capitals', '<message><body>&#X41;</body></message>', 'not-well-formed'],
  ['a reference with a letter in its number', '<message><body>&#1a;</body></message>', 'not-well-formed'],
  ['"]]>" in text', '<message><body>a]]>b</body></message>', 'not-well-formed'],
  ['"]]]>" in text', '<message><body>a]]]>b</body></message>', 'not-well-formed'],
  ['"<" in an attribute', "<message id='a<b'/>", 'not-well-formed'],
  ['"<" behind a reference in an attribute', "<message id='&amp;<'/>", 'not-well-formed'],
  // XML 1.0 2.2
  ['a NUL', '<message><body>\0</body></message>', 'not-well-formed'],
  ['a control character in text', '<message><body>\x01</body></message>', 'not-well-formed'],
  ['a control character in an attribute', "<message id='\x1f'/>", 'not-well-formed'],
  ['a control character in a CDATA section', '<message><![CDATA[\x08]]></message>', 'not-well-formed'],
  ['a control character between stanzas', '\x0c', 'bad-format'],
  ['U+FFFE in text', '<message><body>\uFFFE</body></message>', 'not-well-formed'],
  ['U+FFFF in an attribute', "<message id='\uFFFF'/>", 'not-well-formed'],
  ['U+FFFF in a CDATA section', '<message><![CDATA[\uFFFF]]></message>', 'not-well-formed'],
  ['a reference to NUL', '<message><body>&#0;</body></message>', 'not-well-formed'],
  ['a reference to a control character', '<message><body>&#x1b;</body></message>', 'not-well-formed'],
  ['a reference to a surrogate', '<message><body>&#xD83D;&#xDE00;</body></message>', 'not-well-formed'],
  ['a reference to U+FFFF', '<message><body>&#xFFFF;</body></message>', 'not-well-formed'],
  ['a reference beyond Unicode', '<message><body>&#x110000;</body></message>', 'not-well-formed'],
  // XML 1.0 3.1
  ['an attribute twice', "<message id='1' id='1'/>", 'not-well-formed'],
  ['__proto__ twice', "<message __proto__='1' __proto__='2'/>", 'not-well-formed'],
  ['constructor twice', "<message constructor='1' constructor='2'/>", 'not-well-formed'],
  ['xml:lang twice', "<message xml:lang='a' xml:lang='b'/>", 'not-well-formed'],
  ['no space between attributes', "<message a='1'b='2'/>", 'not-well-formed'],
  ['no quotes', '<message a=1/>', 'not-well-formed'],
  ['no value', '<message a/>', 'not-well-formed'],
  ['a slash inside a tag', "<message / a='1'>", 'not-well-formed'],
  ['a space behind the slash', '<message/ >', 'not-well-formed'],
  ['a space before the name', '< message/>', 'not-well-formed'],
  ['a tag without a name', '<>', 'not-well-formed'],
  ['a tag inside a tag', '<message <body/>', 'not-well-formed'],
  ['a name that begins with a digit', '<1message/>', 'not-well-formed'],
  ['a name that begins with a hyphen', '<-message/>', 'not-well-formed'],
  ['a name that begins with a combining character', '<\u0301a/>', 'not-well-formed'],
  ['a name with a multiplication sign', '<a\u00D7b/>', 'not-well-formed'],
  ['an attribute that begins with a dot', "<message .a='1'/>", 'not-well-formed'],
  ['an end tag that does not match', '<message><body></message></body>', 'not-well-formed'],
  ['an end tag that is longer', '<message></messages>', 'not-well-formed'],
  ['an end tag in other letters', '<message></Message>', 'not-well-formed'],
  ['junk in an end tag', "<message></message a='1'>", 'not-well-formed'],
  ['a space before the name of an end tag', '<message></ message>', 'not-well-formed'],
  ['an end tag that closes itself', '<message></message/>', 'not-well-formed'],
  ['a prefix that differs in the end tag', "<a:x xmlns:a='u' xmlns:b='u'></b:x>", 'not-well-formed'],
  ['unknown markup', '<message><!ELEMENT x></message>', 'not-well-formed'],
  ['a CDATA section in other letters', '<message><![cdata[x]]></message>', 'not-well-formed'],
  // Namespaces in XML 1.0
  ['a prefix that is not declared', '<x:message/>', 'not-well-formed'],
  ['an attribute with a prefix that is not declared', "<message x:a='1'/>", 'not-well-formed'],
  ['a prefix out of its scope', "<message><a xmlns:x='u'/><x:b/></message>", 'not-well-formed'],
  ['one attribute under two prefixes', "<message xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/>", 'not-well-formed'],
  ['the prefix xmlns declared', "<message xmlns:xmlns='u'/>", 'not-well-formed'],
  ['the namespace of xmlns declared', "<message xmlns:x='http://www.w3.org/2000/xmlns/'/>", 'not-well-formed'],
  ['the prefix xml for another namespace', "<message xmlns:xml='u'/>", 'not-well-formed'],
  [
    'another prefix for the namespace of xml',
    "<message xmlns:x='http://www.w3.org/XML/1998/namespace'/>",
    'not-well-formed',
  ],
  [
    'the namespace of xml as the default one',
    "<message xmlns='http://www.w3.org/XML/1998/namespace'/>",
    'not-well-formed',
  ],
  ['the namespace of xmlns as the default one', "<message xmlns='http://www.w3.org/2000/xmlns/'/>", 'not-well-formed'],
  ['an element with the prefix xmlns', '<xmlns:a/>', 'not-well-formed'],
  ['a prefix for no namespace', "<message xmlns:x=''/>", 'not-well-formed'],
  ['a prefix declared twice', "<message xmlns:x='u' xmlns:x='u'/>", 'not-well-formed'],
  ['the default namespace declared twice', "<message xmlns='u' xmlns='u'/>", 'not-well-formed'],
  ['two colons', "<message xmlns:a='u'><a:b:c/></message>", 'not-well-formed'],
  ['a colon at the start', '<:message/>', 'not-well-formed'],
  ['a colon at the end', '<message:/>', 'not-well-formed'],
  ['a local name that begins with a digit', "<a:1 xmlns:a='u'/>", 'not-well-formed'],
  ['a declared prefix that begins with a digit', "<message xmlns:1='u'/>", 'not-well-formed'],
  ['an attribute with two colons', "<message xmlns:a='u' a:b:c='1'/>", 'not-well-formed'],
  // RFC 6120 11.7 has only white space there
  ['text under the stream', 'hello', 'bad-format'],
  ['text between stanzas', '<message/>hello<message/>', 'bad-format'],
  ['a reference under the stream', '&amp;', 'bad-format'],
  ['a CDATA section under the stream', '<![CDATA[]]>', 'bad-format'],
  // RFC 6120 11.6, RFC 3629 3
  ['a byte that no character begins with', inBody(0xff), 'unsupported-encoding'],
  ['a byte in the middle of nothing', inBody(0x80), 'unsupported-encoding'],
  ['half a character', inBody(0xc3), 'unsupported-encoding'],
  ['three quarters of a character', inBody(0xf0, 0x9f, 0x98), 'unsupported-encoding'],
  ['an overlong slash', inBody(0xc0, 0xaf), 'unsupported-encoding'],
  ['an overlong slash of three bytes', inBody(0xe0, 0x80, 0xaf), 'unsupported-encoding'],
  ['a surrogate', inBody(0xed, 0xa0, 0x80), 'unsupported-encoding'],
  ['a pair of surrogates', inBody(0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80), 'unsupported-encoding'],
  ['more than Unicode has', inBody(0xf4, 0x90, 0x80, 0x80), 'unsupported-encoding'],
  ['Latin-1', inBody(0xe9), 'unsupported-encoding'],
];

// What begins a stream.
const refusedAtStart: readonly Case[] = [
  ['an encoding that is not UTF-8', `<?xml version='1.0' encoding='ISO-8859-1'?>${HEADER}`, 'unsupported-encoding'],
  ['another version of XML', `<?xml version='2.0'?>${HEADER}`, 'not-well-formed'],
  ['a declaration without a version', `<?xml encoding='UTF-8'?>${HEADER}`, 'not-well-formed'],
  ['white space before the declaration', ` <?xml version='1.0'?>${HEADER}`, 'restricted-xml'],
  ['two declarations', `<?xml version='1.0'?><?xml version='1.0'?>${HEADER}`, 'restricted-xml'],
  ['an endless declaration', `<?xml version='1.0'${' '.repeat(300)}?>${HEADER}`, 'policy-violation'],
  ['a document type', `<!DOCTYPE x [<!ENTITY a 'b'>]>${HEADER}`, 'restricted-xml'],
  ['text before the root', `x${HEADER}`, 'not-well-formed'],
  ['two byte order marks', `\uFEFF\uFEFF${HEADER}`, 'not-well-formed'],
  ['an end tag', '</stream:stream>', 'not-well-formed'],
  ['a root whose prefix is not declared', '<stream:stream>', 'not-well-formed'],
  ['a request of HTTP', 'GET / HTTP/1.1\r\n', 'not-well-formed'],
  ['a greeting of TLS', bytes(0x16, 0x03, 0x01, 0x02), 'not-well-formed'],
  ['UTF-16', Buffer.concat([bytes(0xff, 0xfe), Buffer.from(HEADER, 'utf16le')]), 'unsupported-encoding'],
];

const buffer = (input: string | Buffer): Buffer => (typeof input === 'string' ? Buffer.from(input) : input);

describe('the parser refuses', () => {
  it.each(refused)('%s', (_, input, condition) => {
    const whole = Buffer.concat([Buffer.from(HEADER), buffer(input), Buffer.from('<presence/>')]);
    const told = tell([whole]);
    expect(told.at(-1)).toEqual({ kind: 'error', condition });
    expect(told.filter(({ kind }) => kind === 'error')).toHaveLength(1);
    expect(tell(byteByByte(whole))).toEqual(told);
  });

  it.each(refusedAtStart)('%s, before the root', (_, input, condition) => {
    const told = tell([buffer(input)]);
    expect(told).toEqual([{ kind: 'error', condition }]);
    expect(tell(byteByByte(buffer(input)))).toEqual(told);
  });

  it('half a surrogate pair in text', () => {
    expect(tell([`${HEADER}<message id='\uD83D'/>`]).at(-1)).toEqual({ kind: 'error', condition: 'not-well-formed' });
  });

  it('nothing of what came before the mistake in the same chunk', () => {
    const told = tell([Buffer.concat([Buffer.from(`${HEADER}<presence/><message/>`), bytes(0xff)])]);
    expect(told.map(({ kind }) => kind)).toEqual(['header', 'element', 'element', 'error']);
  });
});
