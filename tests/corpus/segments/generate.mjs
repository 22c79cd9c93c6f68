// Writes corpus.jsonl with Twilio's published calculator as the judge:
//   npm install && npm run generate
// One JSON object a line: body, encoding, units (septets or UTF-16 units) and segments. The same
// seed gives the same file.
//
// The calculator's grapheme table is that of Unicode 10, so the pieces are clusters that later
// versions join in the same way: no Indic conjuncts, no emoji of 2018 and after.
import { writeFileSync } from 'node:fs';
import calculator from 'sms-segments-calculator';

const { SegmentedMessage } = calculator;

const FAMILY = '👨‍👩‍👧‍👦';
const cases = new Map();

function add(body) {
  if (cases.has(body)) return;
  const message = new SegmentedMessage(body);
  const gsm = message.getEncodingName() === 'GSM-7';
  cases.set(body, {
    body,
    encoding: gsm ? 'gsm7' : 'ucs2',
    units: message.messageSize / (gsm ? 7 : 16),
    segments: message.segmentsCount,
  });
}

// A small seeded generator (mulberry32), so that the file can be made again.
let state = 20261122;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];

// 1. Vectors that are known by heart.
for (const body of [
  '', 'Hello, world!', 'A'.repeat(160), 'A'.repeat(161), 'A'.repeat(306), 'A'.repeat(307),
  '€'.repeat(80), '€'.repeat(81), 'A'.repeat(158) + '[]', 'A'.repeat(152) + '€' + 'A'.repeat(152),
  'Привет, мир', 'я'.repeat(70), 'я'.repeat(71), 'я'.repeat(134), 'я'.repeat(135),
  'Hi 😀', '😀'.repeat(35), '😀'.repeat(36), '😀'.repeat(67),
  'a'.repeat(66) + '😀' + 'a'.repeat(66), 'a'.repeat(65) + '😀' + 'a'.repeat(67),
  FAMILY, 'a'.repeat(62) + FAMILY + 'a'.repeat(61),
  'A'.repeat(66) + 'e\u0301' + 'A'.repeat(66), 'A'.repeat(152) + '\r\n' + 'A'.repeat(152),
  'ç', 'Ç', 'Ñandú', 'Δelta Ω', '“Hi” — it’s…',
]) add(body);

// 2. Every character of the first Unicode blocks and some of the later ones, alone.
for (let code = 0; code < 0x180; code += 1) add(String.fromCodePoint(code));
for (let code = 0x370; code < 0x400; code += 1) add(String.fromCodePoint(code));
for (const character of '€ก₽中한ァ。“”‘’—…\u00a0\u2009\ufeff') add(character);

// 3. Every piece at every place around the boundaries of one, two and three parts.
const GSM_FILL = ['a', 'é', '€'];
const UCS_FILL = ['я', '中'];
const GSM_PIECES = ['€', '[', '\u000c', '\r\n', '~^', 'ß'];
const UCS_PIECES = [
  '😀', FAMILY, '🇩🇪', '🇩🇪🇫🇷', '👋🏽', 'e\u0301', 'a\u0308\u0323', '\r\n', '€', '[', 'x', '1️⃣', '❤️', '가',
];
function around(fill, pieces, width, capacities) {
  for (const piece of pieces) {
    for (const capacity of capacities) {
      for (let back = 0; back <= piece.length + 1; back += 1) {
        const count = Math.floor((capacity - back) / width);
        const before = fill.repeat(count) + (width > 1 && below(2) ? 'a' : '');
        add(before + piece);
        add(before + piece + fill.repeat(1 + below(Math.ceil(capacity / width))));
      }
    }
  }
}
for (const fill of GSM_FILL) around(fill, GSM_PIECES, fill === '€' ? 2 : 1, [160, 153, 306, 459]);
for (const fill of UCS_FILL) around(fill, UCS_PIECES, 1, [70, 67, 134, 201]);

// 4. Random mixes, of GSM-7 alone and of everything.
const WORDS = ['Hello ', 'your code is 1234. ', 'Grüße ', 'à bientôt ', '{ok} ', '100 € ', '\n', '\r\n', '\r'];
const WIDE = [...WORDS, ...UCS_PIECES, 'Привет ', '你好', 'สวัสดี', 'שלום ', 'مرحبا ', 'ç', '\u200b', '\t', '👩‍🚀', '🏳️‍🌈'];
for (let round = 0; round < 400; round += 1) {
  for (const pieces of [WORDS, WIDE]) {
    const target = pick([60, 68, 72, 130, 140, 155, 165, 200, 300, 320, 480, 700]) + below(8);
    let body = '';
    while (body.length < target) {
      body += random() < 0.4 ? 'abcdefgh'.slice(0, 1 + below(8)) : pick(pieces);
    }
    add(body);
  }
}

const lines = [...cases.values()].map((line) => JSON.stringify(line));
writeFileSync(new URL('corpus.jsonl', import.meta.url), lines.join('\n') + '\n');
console.log(`${lines.length} cases`);
