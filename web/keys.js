// keys: what the keyboard does on every page, and the list of it that `?` opens. One-letter keys can be switched off there (WCAG 2.1.4).

import {h} from './dom.js';
import {go} from './navigate.js';

const PLACES = {h: ['/', 'Home'], r: ['/runs', 'Runs'], i: ['/issues', 'Issues'], p: ['/pulls', 'Pull requests'], e: ['/environments', 'Environments'], o: ['/holds', 'Holds'], x: ['/egress', 'Egress'], l: ['/ledger', 'Ledger'], s: ['/snapshots', 'Snapshots'], t: ['/settings', 'Settings']};
const WORDS = [[['?'], 'this list'], [['j'], 'next item of a list'], [['k'], 'item before'], [['Enter'], 'open it'], [['/'], 'search, where the page has it'], [['['], 'view before (tabs of a page)'], [[']'], 'next view'], [['m'], 'write a message'], [['c'], 'new issue'], [['d'], 'light or dark'], [['Esc'], 'leave a box, close a question']];
const SEQUENCE_MS = 1500;
const ITEMS = 'main .list > li, main article.card, main .board li, main tbody tr[data-key]';

const areOn = () => localStorage.getItem('keys') !== 'off';

/** Light, dark, and back. */
export function turnTheme() {
	const root = document.documentElement;
	const dark = getComputedStyle(root).colorScheme === 'dark' || (root.dataset.theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);

	root.dataset.theme = dark ? 'light' : 'dark';
	localStorage.setItem('theme', root.dataset.theme);
}

function keyRow(keys, words) {
	return h('li', h('span.keys', keys.map((key) => h('kbd', key))), h('span', words));
}

export function showKeys() {
	if (document.getElementById('keys'))
		return;
	const close = () => {
		dialog.close();
		dialog.remove();
	};
	const choose = (event) => localStorage.setItem('keys', event.currentTarget.checked ? 'on' : 'off');
	const dialog = h('dialog.keys-list', {id: 'keys', 'aria-labelledby': 'keys-title', on: {cancel: close, click: (event) => event.target === dialog && close()}},
		h('h2', {id: 'keys-title'}, 'Keys'), h('div.key-columns', h('section', h('h3', 'Anywhere'), h('ul', WORDS.map(([keys, words]) => keyRow(keys, words)))),
			h('section', h('h3', 'Go to'), h('ul', Object.entries(PLACES).map(([key, [, word]]) => keyRow(['g', key], word))))),
		h('div.row.spread', h('label.check', h('input', {type: 'checkbox', checked: areOn(), on: {change: choose}}), 'Keys are on (? always is)'), h('button.button', {type: 'button', on: {click: close}}, 'Close')));

	document.body.append(dialog);
	dialog.showModal();
}

function step(by) {
	const items = [...document.querySelectorAll(ITEMS)].filter((item) => item.querySelector('a[data-link]') && item.checkVisibility());
	const at = items.findIndex((item) => item.contains(document.activeElement));
	const next = items[at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(items.length - 1, Math.max(0, at + by))];

	next?.querySelector('a[data-link]').focus();
	next?.scrollIntoView({block: 'nearest'});
}

function tab(by) {
	const tabs = [...document.querySelectorAll('.tabs a')];
	const at = tabs.findIndex((one) => one.hasAttribute('aria-current'));

	tabs[(at + by + tabs.length) % tabs.length]?.click();
}

const reach = (selector) => () => document.querySelector(selector)?.focus();
const ACTIONS = {j: () => step(1), k: () => step(-1), '/': reach('main input[type=search], main [role=search] input'), m: reach('main .composer textarea'), c: () => go('/issues/new'), d: turnTheme, '[': () => tab(-1), ']': () => tab(1)};

/** Does the key belong to what has the focus? */
const isTyping = (element) => element.closest('input, textarea, select, dialog, [contenteditable], .screen') !== null;

export function listenToKeys() {
	let begun = 0; // when `g` was pressed

	addEventListener('keydown', (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented)
			return;
		if (event.key === 'Escape' && isTyping(event.target) && !event.target.closest('.screen, dialog'))
			return event.target.blur();
		if (isTyping(event.target))
			return;
		const place = event.timeStamp - begun < SEQUENCE_MS ? PLACES[event.key] : null;

		begun = event.key === 'g' && areOn() ? event.timeStamp : 0;
		if (event.key !== '?' && !areOn())
			return;
		const act = event.key === '?' ? showKeys : place ? () => go(place[0]) : ACTIONS[event.key];
		if (act) {
			event.preventDefault();
			act();
		}
	});
}
