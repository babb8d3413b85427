// main: finds the page of an address, keeps it true while it is looked at, and draws the frame around it.

import {h, patch} from './dom.js';
import {follow, get, signOut, who} from './api.js';
import {tick} from './format.js';
import {go} from './navigate.js';
import {empty, failure} from './parts/controls.js';
import {icon} from './parts/marks.js';
import {environmentList, environmentPage} from './pages/environments.js';
import holds from './pages/holds.js';
import home from './pages/home.js';
import {issueForm, issueList, issuePage} from './pages/issues.js';
import {doctorPage, snapshotList} from './pages/machine.js';
import {pullList, pullPage} from './pages/pulls.js';
import runPage from './pages/run.js';
import {signInPage} from './pages/signin.js';
import {ledgerPage, trafficPage} from './pages/traffic.js';

const ROUTES = [
	[/^\/(?:runs\/?)?$/, home],
	[/^\/runs\/(?<id>[^/]+)$/, runPage],
	[/^\/issues$/, issueList],
	[/^\/issues\/new$/, issueForm],
	[/^\/issues\/(?<number>\d+)$/, issuePage],
	[/^\/pulls$/, pullList],
	[/^\/pulls\/(?<number>\d+)$/, pullPage],
	[/^\/environments$/, environmentList],
	[/^\/environments\/(?<id>[^/]+)$/, environmentPage],
	[/^\/holds$/, holds],
	[/^\/traffic$/, trafficPage],
	[/^\/ledger$/, ledgerPage],
	[/^\/snapshots$/, snapshotList],
	[/^\/machine$/, doctorPage],
];
const PLACES = [['/', 'pulse', 'Home'], ['/issues', 'issue', 'Issues'], ['/pulls', 'pull', 'Pull requests'], ['/environments', 'box', 'Environments'], ['/holds', 'pause', 'Holds'], ['/traffic', 'out', 'Traffic'], ['/ledger', 'seal', 'Ledger'], ['/snapshots', 'layers', 'Snapshots'], ['/machine', 'health', 'Machine']];
const RELOAD_MS = 150; // events come in swarms: the page is read again once for each swarm

const main = document.getElementById('main');
let visit = null; // {page, data, stop, timer, draw, reload}
let alive = true;
let person = null; // who the server takes us for

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

function frame() {
	const here = location.pathname;
	const current = (path) => (path === '/' ? here === '/' || here.startsWith('/runs') : here.startsWith(path));

	patch(document.getElementById('side'), h('a.brand', {href: '/', 'data-link': true}, h('img', {src: '/icon.svg', alt: '', width: 26, height: 26}), 'Assay'),
		h('nav', {'aria-label': 'Main'}, h('ul', PLACES.map(([path, name, word]) => h('li', h('a', {href: path, 'data-link': true, 'aria-current': current(path) ? 'page' : null}, icon(name), h('span', word)))))),
		person?.signed_in ? h('p.person', icon('person'), h('span', h('strong', person.name), ` ${person.role}`), h('button.button.quiet', {type: 'button', on: {click: leave}}, 'Sign out')) : null,
		h('p.alive', {class: alive ? 'yes' : 'no', role: 'status'}, h('span.dot', {'aria-hidden': 'true'}), alive ? 'live' : 'no connection'));
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
	document.title = `${mine.page.name?.(mine.data) ?? mine.page.title} · Assay`;
	patch(main, mine.page.view(mine.data, () => read(mine)));
}

async function read(mine) {
	try {
		mine.data = await mine.page.load();
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
	document.title = `${mine.page.title} · Assay`;
	frame();
	main.setAttribute('aria-busy', 'true');
	patch(main, h('div.loading', {role: 'status'}, h('span.sr', 'Loading')));
	await read(mine);
	main.removeAttribute('aria-busy');
	if (mine === visit)
		mine.stop = mine.page.start?.((whole) => later(mine, whole), setAlive);
}

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

let connections = 0;

/** What happened while nobody listened (the page was hidden, the server away) was not told: the page is made anew. */
function reconnected(isAlive) {
	setAlive(isAlive);
	if (isAlive && connections++ && visit?.page.wakes)
		later(visit, true);
}

function begin() {
	follow({path: (after) => `/events?follow=1&after=${after}`, types: ['run', 'environment', 'issue', 'pull', 'hold'], alive: reconnected, event: (type) => visit?.page.wakes?.includes(type) && later(visit, true)});
	get('/status').then((status) => document.documentElement.setAttribute('data-version', status.version), () => setAlive(false));
	show();
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
