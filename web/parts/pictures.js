// pictures: pages as verification and the agent of a run saw them, and what suites recorded; each opens as large as it was taken.

import {h} from '../dom.js';
import {bytes, plain, when} from '../format.js';
import {command, empty} from './controls.js';
import {icon} from './marks.js';

function figure(picture) {
	const path = `/pictures/${encodeURIComponent(picture.id)}`;
	const name = plain(picture.name) || 'a page';

	const shown = picture.type.startsWith('video/')
		? h('video', {src: path, controls: true, preload: 'metadata', 'aria-label': name})
		: h('a.frame', {href: path, target: '_blank', rel: 'noopener', 'aria-label': `${name}, as large as it was taken`}, h('img', {src: path, alt: '', loading: 'lazy', decoding: 'async'}));

	return h('figure.card', {'data-key': picture.id}, shown, h('figcaption', h('strong', name), h('span.hint', when(picture.time_ms), ` \u00b7 ${bytes(picture.bytes)} `, icon('external'))));
}

/** Pages come before suites, and each as it was before as it is. */
const order = ({name}) => (/^\/.*, (before|after)$/.test(name) ? '0' : '1') + name.replace(/, before$/, ', 0');

function section(key, title, hint, pictures) {
	return pictures.length ? h('section', {'data-key': key, 'aria-labelledby': `${key}-title`}, h('h2', {id: `${key}-title`}, title, h('span.count', pictures.length)), h('p.quiet', hint), h('div.pictures', pictures.map(figure))) : null;
}

/** pictures: [{id, name, bytes, time_ms, source, type}] */
export function picturesView(pictures) {
	if (!pictures.length)
		return empty('layers', 'No picture was taken', 'The agent shows with a picture what its change looks like. In its workspace:', command('assay-env screenshot URL'));
	return h('div', {'data-key': 'pictures'},
		section('seen', 'What verification saw', 'Pages that look otherwise, before and after, and what the suites recorded, in environments that the agent has never been in.', pictures.filter((picture) => picture.source === 'verify').sort((a, b) => order(a).localeCompare(order(b)))),
		section('taken', 'What the agent saw', 'Taken by the agent in its own environment: they show, and prove nothing. What was proven is in the evidence.', pictures.filter((picture) => picture.source !== 'verify')));
}
