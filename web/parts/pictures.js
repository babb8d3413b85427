// pictures: pages as the agent of a run saw them, the newest first; each opens as large as it was taken.

import {h} from '../dom.js';
import {bytes, plain, when} from '../format.js';
import {command, empty} from './controls.js';
import {icon} from './marks.js';

function figure(picture) {
	const path = `/pictures/${encodeURIComponent(picture.id)}`;
	const name = plain(picture.name) || 'a page';

	return h('figure.card', {'data-key': picture.id}, h('a.frame', {href: path, target: '_blank', rel: 'noopener', 'aria-label': `${name}, as large as it was taken`}, h('img', {src: path, alt: '', loading: 'lazy', decoding: 'async'})),
		h('figcaption', h('strong', name), h('span.hint', when(picture.time_ms), ` \u00b7 ${bytes(picture.bytes)} `, icon('external'))));
}

/** pictures: [{id, name, bytes, time_ms}] */
export function picturesView(pictures) {
	if (!pictures.length)
		return empty('layers', 'No picture was taken', 'The agent shows with a picture what its change looks like. In its workspace:', command('assay-env screenshot URL'));
	return h('section', {'data-key': 'pictures', 'aria-labelledby': 'pictures-title'}, h('h2', {id: 'pictures-title'}, 'What the agent saw', h('span.count', pictures.length)),
		h('p.quiet', 'Taken by the agent in its own environment: they show, and prove nothing. What was proven is in the evidence.'), h('div.pictures', pictures.map(figure)));
}
