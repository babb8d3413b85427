// dom: elements made from text, never from markup, and a patch that changes a page in place so that focus, scroll position, open
// folds and half-written messages survive a live update.

const SVG = 'http://www.w3.org/2000/svg';

function listen(element, handlers) {
	const known = element.handlers_ ?? {};
	for (const type of Object.keys(handlers))
		if (!(type in known))
			element.addEventListener(type, (event) => element.handlers_[type]?.(event));
	element.handlers_ = {...Object.fromEntries(Object.keys(known).map((type) => [type, null])), ...handlers};
}

// Marks that turn the direction of a line, and control characters: what somebody else wrote must look as it is, on every page. In boxes
// that a person edits they stay: what is in them is given back.
const TURNS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g; // eslint-disable-line no-control-regex
const seen = (text) => String(text).replace(TURNS, '·');

function append(element, children) {
	for (const child of children.flat(Infinity)) {
		if (child === null || child === undefined || child === false || child === true)
			continue;
		element.append(child instanceof Node ? child : document.createTextNode(element.nodeName === 'TEXTAREA' ? String(child) : seen(child)));
	}
}

function decorate(element, properties) {
	for (const [name, value] of Object.entries(properties)) {
		if (value === null || value === undefined || value === false || (name === 'class' && element.namespaceURI !== SVG))
			continue;
		if (name === 'on')
			listen(element, value);
		else if (name === 'href' || name === 'src')
			element.setAttribute(name, safeUrl(value));
		else
			element.setAttribute(name, value === true ? '' : name === 'value' ? String(value) : seen(value));
	}
}

/** Only addresses of the web and of this page: a `javascript:` link from outside becomes a dead one. */
export function safeUrl(url) {
	try {
		const parsed = new URL(String(url), location.href);
		return ['http:', 'https:', 'blob:'].includes(parsed.protocol) ? String(url) : '#';
	} catch {
		return '#';
	}
}

/** h('div.card.wide', {id: 'x', on: {click}}, 'text', child, [children]) */
export function h(selector, properties, ...children) {
	const [tag, ...classes] = selector.split('.');
	const element = document.createElement(tag || 'div');

	if (properties instanceof Node || typeof properties !== 'object' || Array.isArray(properties)) {
		children.unshift(properties);
		properties = null;
	}
	if (properties?.class)
		classes.push(properties.class);
	if (classes.length)
		element.className = classes.join(' ');
	decorate(element, properties ?? {});
	append(element, children);
	return element;
}

/** The same for SVG. */
export function svg(tag, properties, ...children) {
	const element = document.createElementNS(SVG, tag);

	decorate(element, properties ?? {});
	append(element, children);
	return element;
}

function keyOf(node) {
	return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute('data-key') : null;
}

function alike(a, b) {
	return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
}

// What belongs to the person who looks at the page, and not to the data.
const OWNED = {DETAILS: ['open'], INPUT: ['value', 'checked'], TEXTAREA: ['value'], DIALOG: ['open']};

function patchAttributes(old, fresh) {
	const owned = OWNED[old.nodeName] ?? [];

	for (const {name} of [...old.attributes])
		if (!fresh.hasAttribute(name) && !owned.includes(name))
			old.removeAttribute(name);
	for (const {name, value} of [...fresh.attributes])
		if (!owned.includes(name) && old.getAttribute(name) !== value)
			old.setAttribute(name, value);
	if (fresh.handlers_ || old.handlers_)
		listen(old, fresh.handlers_ ?? {});
}

function patchNode(old, fresh) {
	if (old.nodeType === Node.TEXT_NODE) {
		if (old.data !== fresh.data)
			old.data = fresh.data;
		return;
	}
	if (old.nodeType !== Node.ELEMENT_NODE)
		return;
	patchAttributes(old, fresh);
	if (!fresh.hasAttribute('data-mine'))
		patchChildren(old, fresh);
}

function patchChildren(parent, fresh) {
	const keyed = new Map();
	let at = parent.firstChild;

	for (const child of parent.childNodes)
		if (keyOf(child))
			keyed.set(keyOf(child), child);
	for (const want of [...fresh.childNodes]) {
		const have = keyOf(want) ? keyed.get(keyOf(want)) : at;

		if (have && alike(have, want)) {
			patchNode(have, want);
			if (have === at)
				at = at.nextSibling;
			else
				parent.insertBefore(have, at);
		} else {
			parent.insertBefore(want, at);
		}
	}
	while (at) {
		const next = at.nextSibling;
		at.remove();
		at = next;
	}
}

/** Makes the children of `parent` what `children` says, keeping every node that can stay. A child with `data-key` is found again
 * wherever it moved; inside one with `data-mine` nothing is touched. */
export function patch(parent, ...children) {
	const fresh = document.createElement('div');

	append(fresh, children);
	patchChildren(parent, fresh);
}
