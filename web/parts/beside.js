// beside: two previews next to each other, on the same path. They are pages of other origins in frames, and can reach nothing of this one.

import {h} from '../dom.js';
import {outside} from './controls.js';

const MAY = 'allow-scripts allow-forms allow-same-origin allow-popups';

function pane({name, url}) {
	return h('section.pane', {'aria-label': name}, h('p.row.spread', h('strong', name), outside(url, 'alone')), h('iframe', {title: name, src: url, sandbox: MAY, referrerpolicy: 'no-referrer'}));
}

/** {name, url} of base and change */
export function besideView(base, change) {
	const goBoth = (event) => {
		const path = event.currentTarget.elements.path.value.trim();

		event.preventDefault();
		[base, change].forEach(({url}, i) => document.querySelectorAll('.pane iframe')[i].setAttribute('src', new URL(path.replace(/^\/*/, '/'), url).href));
	};

	return h('div', {'data-mine': true, 'data-key': `${base.url} ${change.url}`}, h('form.filters', {on: {submit: goBoth}}, h('div.wide', h('label', {for: 'both-path'}, 'Path of both'), h('input', {id: 'both-path', name: 'path', value: '/', autocomplete: 'off', spellcheck: 'false'})), h('button.button', {type: 'submit'}, 'Go')), h('div.panes', pane(base), pane(change)));
}
