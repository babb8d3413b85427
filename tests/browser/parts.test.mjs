// Parts of the pages that are only data: what a terminal shows, what rules said, what a change risks.

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {ago, compact, exact, number} from '../../web/format.js';
import {compare, requestsOfRows, rulesSaid, suggest} from '../../web/parts/policy.js';
import {makeScreen} from '../../web/parts/screen.js';

const shown = (screen) => screen.lines.map((line) => line.map((cell) => cell.text).join('').trimEnd()).join('\n').trimEnd();

test('a terminal shows what a program wrote', () => {
	for (const [written, expected, at] of [
		['hello', 'hello', [0, 5]], ['a\r\nb', 'a\nb', [1, 1]], ['ab\bc', 'ac', [0, 2]], ['a\tb', 'a       b', [0, 9]],
		['0123456789x', '0123456789\nx', [1, 1]], ['0123456789', '0123456789', [0, 9]], ['1\r\n2\r\n3\r\n4\r\n5', '2\n3\n4\n5', [3, 1]],
		['abc\x1b[2D\x1b[K', 'a', [0, 1]], ['abc\x1b[1D\x1b[1K', '', [0, 2]], ['abc\x1b[2J', '', [0, 3]], ['abc\x1b[H\x1b[1P', 'bc', [0, 0]], ['abc\x1b[H\x1b[2@', '  abc', [0, 0]],
		['a\r\nb\x1b[1;1H\x1b[L', '\na\nb', [0, 0]], ['a\r\nb\x1b[1;1H\x1b[M', 'b', [0, 0]], ['\x1b[2;3Hx', '\n  x', [1, 3]], ['a\x1b[3Gx', 'a x', [0, 3]], ['\x1b[2;3r\x1b[3;1Ha\nb', '\na\n b', [2, 2]],
		['\x1b(0lqk\x1b(B', '┌─┐', [0, 3]], ['\x1b7abc\x1b8x', 'xbc', [0, 1]], ['a\x1b[?1049hb\x1b[?1049lc', 'ac', [0, 2]], ['é\u0301', 'é\u0301', [0, 1]], ['日本', '日本', [0, 4]], ['abc\x1b[1;1H\x1b[X', ' bc', [0, 0]], ['a\x1b[3bx', 'ax', [0, 2]],
	]) {
		const screen = makeScreen(4, 10);
		screen.write(written);
		assert.equal(shown(screen), expected, JSON.stringify(written));
		assert.deepEqual([screen.row, screen.column], at, JSON.stringify(written));
	}
});

test('a terminal obeys nothing beyond itself', () => {
	for (const [written, expected] of [
		['a\x1b]0;title\x07b', 'ab'], ['a\x1b]52;c;c2VjcmV0\x1b\\b', 'ab'], ['a\x1bPq#0;2\x1b\\b', 'ab'], ['a\u202eb', 'ab'], ['a\u009b31mb', 'a31mb'], [`a\x1b[${'1;'.repeat(5000)}mb`, 'ab'], ['a\x1b[99999999999Cb', 'a        b'], ['\x1b[9999S\x1b[9999Ta', 'a'], ['\x1b[?9999ha', 'a'], ['\x1b[0;0Ha', 'a'],
	]) {
		const screen = makeScreen(4, 10);
		screen.write(written);
		assert.equal(shown(screen), expected, JSON.stringify(written.slice(0, 40)));
		assert.ok(screen.lines.length === 4 && screen.lines.every((line) => line.length === 10));
	}
	const answers = [];
	makeScreen(4, 10, (text) => answers.push(text)).write('ab\x1b[6n\x1b[5n\x1b[21t\x1b]11;?\x07');
	assert.deepEqual(answers, ['\x1b[1;3R']);
});

test('whatever comes, a terminal keeps its shape', () => {
	let seed = 7;
	const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
	const pieces = ['\x1b[', '\x1b', ';', 'H', 'J', 'K', 'L', 'M', 'P', '@', 'r', 'm', '?1049', 'h', 'l', '38;5;', '48;2;1;2;3', '\n', '\r', '\t', '\b', 'x', '日', '\u0301', '9', '3', '0', 'S', 'T', 'X', '7', '8', 'D'];
	const screen = makeScreen(6, 20);

	for (let i = 0; i < 50_000; i++) {
		screen.write(pieces[random(pieces.length)]);
		if (i % 500 === 0)
			screen.resize(2 + random(12), 4 + random(40));
		assert.equal(screen.lines.length, screen.rows);
		assert.ok(screen.row >= 0 && screen.row < screen.rows && screen.column >= 0 && screen.column < screen.columns);
	}
	assert.ok(screen.lines.every((line) => line.length === screen.columns));
	assert.ok(screen.past.length <= 2000);
});

test('colours are names for the first sixteen', () => {
	const screen = makeScreen(2, 20);

	screen.write('\x1b[31ma\x1b[1;97;44mb\x1b[0;38;5;196mc\x1b[38;2;1;2;3md\x1b[0me');
	assert.deepEqual(screen.lines[0].slice(0, 5).map(({style}) => [style.fore, style.back, style.bold]), [['c1', null, false], ['c15', 'c4', true], ['#ff0000', null, false], ['#010203', null, false], [null, null, false]]);
});

test('what rules said follows from the rule that decided', () => {
	for (const [rule, held, said] of [['policy:a', false, 'deny'], ['policy:a', true, 'approve'], ['dlp:aws', true, 'passed'], ['hold:h1', false, 'approve'], ['builtin:dns-over-https', false, 'passed'], ['builtin:x', false, 'deny'], ['default-deny', false, 'deny'], ['dlp:aws', false, 'passed'], ['canonical-form', false, null]])
		assert.equal(rulesSaid(rule, held), said, rule);
});

const ROWS = [
	{kind: 'intent', request: 'a', host: 'ok.test', port: 443, method: 'GET', path: '/', rule: 'policy:1', sandbox: 'workspace'}, {kind: 'outcome', request: 'a', host: 'ok.test'},
	{kind: 'verdict', request: 'b', host: 'no.test', port: 8080, method: 'POST', path: '/x', rule: 'default-deny'}, {kind: 'verdict', request: 'c', host: 'c.test', port: 443, method: 'connect', rule: 'default-deny'},
	{kind: 'hold', request: 'd', host: 'd.test', method: 'PUT', rule: 'policy:ask'}, {kind: 'intent', request: 'd', host: 'd.test', port: 80, method: 'PUT', path: '/d', rule: 'hold:h1'}, {kind: 'verdict', request: 'e', host: 'e.test', port: 443, method: 'GET', rule: 'dlp:x'},
];

test('a draft is held against what was asked, and rules are made of it', () => {
	const requests = requestsOfRows(ROWS);

	assert.deepEqual(requests.map(({url, was}) => [url, was]), [['https://ok.test/', 'allow'], ['https://no.test:8080/x', 'deny'], ['http://d.test/d', 'approve'], ['https://e.test/', null]]);
	const {changed, others} = compare(requests, [{action: 'deny', rule: 'r', why: 'w'}, {action: 'allow', rule: 'r', why: ''}, {action: 'approve', rule: 'r', why: ''}, {action: 'deny', rule: 'r', why: ''}]);
	assert.deepEqual(changed.map(({url, was, now, times}) => [url, was, now, times]), [['https://ok.test/', 'allow', 'deny', 1], ['https://no.test:8080/x', 'deny', 'allow', 1]]);
	assert.equal(others, 1);
	assert.match(suggest(requests), /- \{host: ok\.test, methods: \[GET\], action: allow\}\n\s+- \{host: no\.test, port: 8080, methods: \[POST\], action: allow\}/);
});

test('numbers and times are written as Intl writes them', () => {
	const relative = new Intl.RelativeTimeFormat('en', {numeric: 'auto'});
	const date = new Intl.DateTimeFormat('en-GB', {dateStyle: 'long', timeStyle: 'medium'});
	const short = new Intl.NumberFormat('en', {notation: 'compact', maximumFractionDigits: 1});
	const now = Date.UTC(2026, 10, 23, 4, 17, 35);

	for (const n of [0, 7, 12, 999, 1000, 1234, 9999, 12_345, 99_940, 123_456, 999_940, 999_960, 1_000_000, 1_250_001, 123_456_789, 2_500_000_000])
		assert.deepEqual([number(n), compact(n)], [n.toLocaleString('en'), short.format(n)]);
	assert.equal(number(1234.5), '1,234.5');
	for (const [away, n, unit] of [[6_000, 6, 'second'], [59_600, 60, 'second'], [60_000, 1, 'minute'], [170_000, 3, 'minute'], [3_600_000, 1, 'hour'], [80_000_000, 22, 'hour'], [86_400_000, 1, 'day'], [100_000_000, 1, 'day'], [180_000_000, 2, 'day'], [400_000_000_000, 4630, 'day']])
		assert.deepEqual([ago(now - away, now), ago(now + away, now)], [relative.format(-n, unit), relative.format(n, unit)]);
	for (let day = 0; day < 366; day++)
		assert.equal(exact(now + day * 86_461_000), date.format(now + day * 86_461_000));
	assert.equal(ago(now - 4999, now), 'just now');
});
