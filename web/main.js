// main: finds the page of an address, keeps it true while it is looked at, and draws the frame around it.

import {h, patch} from './dom.js';
import {follow, get, signOut, who} from './api.js';
import {tick} from './format.js';
import {listenToKeys, showKeys, turnTheme} from './keys.js';
import {go} from './navigate.js';
import {empty, failure} from './parts/controls.js';
import {icon} from './parts/marks.js';
import {egressPage} from './pages/egress.js';
import {environmentList, environmentPage} from './pages/environments.js';
import holds from './pages/holds.js';
import home from './pages/home.js';
import {issueForm, issueList, issuePage} from './pages/issues.js';
import {ledgerPage} from './pages/ledger.js';
import {doctorPage, snapshotList} from './pages/machine.js';
import {pullList, pullPage} from './pages/pulls.js';
import runPage from './pages/run.js';
import {runList} from './pages/runs.js';
import {settingsPage} from './pages/settings.js';
import {shellPage} from './pages/shell.js';
import {signInPage} from './pages/signin.js';

const ROUTES = [
	[/^\/$/, home],
	[/^\/runs\/?$/, runList],
	[/^\/runs\/(?<id>[^/]+)$/, runPage],
	[/^\/issues$/, issueList],
	[/^\/issues\/new$/, issueForm],
	[/^\/issues\/(?<number>\d+)$/, issuePage],
	[/^\/pulls$/, pullList],
	[/^\/pulls\/(?<number>\d+)$/, pullPage],
	[/^\/environments$/, environmentList],
	[/^\/environments\/(?<id>[^/]+)$/, environmentPage],
	[/^\/environments\/(?<id>[^/]+)\/shell$/, shellPage],
	[/^\/holds$/, holds],
	[/^\/(?:egress|traffic)$/, egressPage],
	[/^\/ledger$/, ledgerPage],
	[/^\/snapshots$/, snapshotList],
	[/^\/settings$/, settingsPage],
	[/^\/machine$/, doctorPage],
];
const PLACES = [['/', 'pulse', 'Home'], ['/runs', 'runs', 'Runs'], ['/issues', 'issue', 'Issues'], ['/pulls', 'pull', 'Pull requests'], ['/environments', 'box', 'Environments'], ['/holds', 'pause', 'Holds'], ['/egress', 'out', 'Egress'], ['/ledger', 'seal', 'Ledger'], ['/snapshots', 'layers', 'Snapshots'], ['/settings', 'gear', 'Settings']];
const ICON = new URL('icon.svg', import.meta.url).pathname; // beside this module, wherever that is
const COUNT_MS = 400;
const RELOAD_MS = 150; // events come in swarms: the page is read again once for each swarm

const main = document.getElementById('main');
let visit = null; // {page, data, stop, timer, draw, reload}
let alive = true;
let person = null; // who the server takes us for
let waits = {}; // how much waits for a person: {'/': all, '/holds', '/pulls'}

async function leave() {
	await signOut();
	location.assign('/');
}

/** Nobody is signed in: every page asks who comes first. */
function unknown() {
	visit?.stop?.();
	visit = null;
	document.title = 'Sign in · Assay';
	patch(main, signInPage(() => location.reload(), person?.oidc));
	document.getElementById('token').focus();
}
addEventListener('assay:unknown', unknown);

function place([path, name, word]) {
	const here = location.pathname;
	const current = path === '/' ? here === '/' : here.startsWith(path) || (path === '/settings' && here === '/machine') || (path === '/egress' && here === '/traffic');

	return h('li', h('a', {href: path, 'data-link': true, 'aria-current': current ? 'page' : null}, icon(name), h('span.word', word), waits[path] ? h('span.badge', waits[path], h('span.sr', ' waiting for you')) : null));
}

function title() {
	const page = visit?.page;

	document.title = `${waits['/'] ? `(${waits['/']}) ` : ''}${page ? `${(visit.data !== undefined && page.name?.(visit.data)) || page.title} · ` : ''}Assay`;
}

function frame() {

	patch(document.getElementById('side'), h('a.brand', {href: '/', 'data-link': true}, h('img', {src: ICON, alt: '', width: 26, height: 26}), 'Assay'),
		h('nav', {'aria-label': 'Main'}, h('ul', PLACES.map(place))),
		person?.signed_in ? h('p.person', icon('person'), h('span', h('strong', person.name), ` ${person.role}`), h('button.button.quiet', {type: 'button', on: {click: leave}}, 'Sign out')) : null,
		h('div.foot', h('p.alive', {class: alive ? 'yes' : 'no', role: 'status'}, h('span.dot', {'aria-hidden': 'true'}), alive ? 'live' : 'no connection'),
			h('button.round', {type: 'button', title: 'Light or dark (d)', 'aria-label': 'Light or dark', on: {click: turnTheme}}, icon('theme')), h('button.round', {type: 'button', title: 'Keys (?)', 'aria-label': 'Keys', on: {click: showKeys}}, '?')));
}

function setAlive(yes) {
	if (alive !== yes) {
		alive = yes;
		frame();
	}
}

function absent() {
	return {title: 'Not found', load: async () => null, view: () => empty('question', 'There is no such page', 'The address leads nowhere here.')};
}

function pageOf(path) {
	for (const [expression, make] of ROUTES) {
		const match = expression.exec(path);
		if (match)
			return make(Object.fromEntries(Object.entries(match.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)])));
	}
	return absent();
}

function draw(mine) {
	if (mine !== visit || mine.data === undefined)
		return;
	title();
	patch(main, mine.page.view(mine.data, () => read(mine)));
}

async function read(mine) {
	const turn = mine.turn = (mine.turn ?? 0) + 1;

	try {
		const data = await mine.page.load();
		if (turn !== mine.turn && mine.data !== undefined)
			return; // asked again meanwhile; what comes first is shown all the same
		mine.data = data;
	} catch (error) {
		if (mine === visit && mine.data === undefined)
			patch(main, h('div.page-head', h('h1', mine.page.title)), failure(error, () => read(mine)));
		return;
	}
	draw(mine);
}

function later(mine, whole) {
	mine.whole ||= whole;
	mine.timer ??= setTimeout(async () => {
		const all = mine.whole;

		mine.timer = null;
		mine.whole = false;
		if (all)
			await read(mine);
		else
			draw(mine);
	}, RELOAD_MS);
}

async function show() {
	visit?.stop?.();
	const mine = {page: pageOf(location.pathname), path: location.pathname + location.search};

	visit = mine;
	title();
	frame();
	main.setAttribute('aria-busy', 'true');
	patch(main, h('div.loading', {role: 'status'}, h('span.sr', 'Loading')));
	await read(mine);
	main.removeAttribute('aria-busy');
	if (mine === visit)
		mine.stop = mine.page.start?.((whole) => later(mine, whole), setAlive);
}

/** The same page, asked for something else: it stays while it is read. */
addEventListener('assay:refined', async () => {
	visit.path = location.pathname + location.search;
	await read(visit);
});

addEventListener('assay:moved', () => {
	scrollTo(0, 0);
	main.focus({preventScroll: true});
	show();
});

document.addEventListener('click', (event) => {
	const a = event.target.closest?.('a[data-link]');

	if (!a || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey)
		return;
	event.preventDefault();
	go(a.getAttribute('href'));
});
addEventListener('popstate', () => location.pathname + location.search !== visit?.path && show()); // not for a #place in the same page
setInterval(() => tick(document), 1000);

async function countWaiting() {
	const [holdList, pulls, questions] = await Promise.all(['/holds', '/pulls?state=open&limit=99', '/runs?asks=1&limit=99'].map((path) => get(path).then(({items}) => items.length, () => 0)));

	waits = {'/': holdList + pulls + questions, '/holds': holdList, '/pulls': pulls, '/runs': questions};
	title();
	frame();
}

let counting = null;

function countLater() {
	counting ??= setTimeout(() => {
		counting = null;
		countWaiting();
	}, COUNT_MS);
}

/** What happened while nobody listened (before the stream was there, the page hidden, the server away) was not told: the page is read again. */
function listening(isAlive) {
	setAlive(isAlive);
	if (isAlive && visit?.page.wakes)
		later(visit, true);
}

function changed(type) {
	if (type !== 'environment')
		countLater();
	if (visit?.page.wakes?.includes(type))
		later(visit, true);
}

function begin() {
	listenToKeys();
	show();
	countLater();
	follow({path: (after) => `/events?follow=1&after=${after}`, types: ['run', 'environment', 'issue', 'pull', 'hold'], alive: listening, event: changed});
	get('/status').then((status) => document.documentElement.setAttribute('data-version', status.version), () => setAlive(false));
}

who().then((known) => {
	person = known;
	frame();
	if (known.sign_in)
		unknown();
	else
		begin();
}, () => {
	setAlive(false);
	begin();
});
