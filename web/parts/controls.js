// controls: buttons that work and say what went wrong, boxes to write in, questions before something that cannot be taken back.

import {h} from '../dom.js';
import {icon} from './marks.js';

/** One line at the foot of the page; errors stay longer and are read out at once. */
export function toast(text, tone = 'calm') {
	const line = h(`div.toast.${tone}`, {role: tone === 'bad' ? 'alert' : null}, text);

	document.getElementById('toasts').append(line);
	setTimeout(() => line.remove(), tone === 'bad' ? 9000 : 4000);
}

async function attempt(button, doing) {
	button.disabled = true;
	button.setAttribute('aria-busy', 'true');
	try {
		await doing();
	} catch (error) {
		toast(error.message, 'bad');
	} finally {
		button.disabled = false;
		button.removeAttribute('aria-busy');
	}
}

/** kind: primary, quiet, danger; ask: a question that must be answered first */
export function button(label, doing, {kind = '', ask = null, mark = null, key = null} = {}) {
	const press = async (event) => {
		const element = event.currentTarget;

		if (!ask || (await confirmed(ask)))
			await attempt(element, doing);
	};

	return h('button.button', {type: 'button', class: kind, 'data-key': key, on: {click: press}}, mark ? icon(mark) : null, label);
}

/** ask: {title, text, yes, danger} */
export function confirmed({title, text, yes, danger = false}) {
	return new Promise((resolve) => {
		const end = (answer) => () => {
			dialog.close();
			dialog.remove();
			resolve(answer);
		};
		const dialog = h('dialog', {'aria-labelledby': 'ask-title', on: {cancel: end(false)}},
			h('h2', {id: 'ask-title'}, title), h('p', text),
			h('div.row.end', h('button.button', {type: 'button', on: {click: end(false)}}, 'Cancel'),
				h(`button.button.${danger ? 'danger' : 'primary'}`, {type: 'button', on: {click: end(true)}}, yes)));

		document.body.append(dialog);
		dialog.showModal();
	});
}

/** A box with a label and one or more buttons: [{label, kind, send(text), mayBeEmpty}]. Ctrl+Enter presses the first. */
export function composer({id, label, hint, buttons}) {
	const send = async (form, row, element) => {
		const box = form.elements.text;
		const text = box.value.trim();

		if (!text && !row.mayBeEmpty) {
			box.focus();
			return toast('Write something first.');
		}
		await attempt(element, async () => {
			await row.send(text);
			box.value = '';
		});
	};
	const keys = (event) => {
		if (event.key === 'Enter' && (event.ctrlKey || event.metaKey))
			send(event.target.form, buttons[0], event.target.form.querySelector('button'));
	};

	return h('form.composer', {'data-key': id, on: {submit: (event) => event.preventDefault()}},
		h('label', {for: id}, label),
		h('textarea', {id, name: 'text', rows: 3, placeholder: hint, on: {keydown: keys}}),
		h('div.row', buttons.map((row) => h('button.button', {type: 'button', class: row.kind ?? '', on: {click: (event) => send(event.currentTarget.form, row, event.currentTarget)}},
			row.mark ? icon(row.mark) : null, row.label)), h('span.hint', 'Ctrl + Enter sends')));
}

/** A shell line to copy. */
export function command(line) {
	const copy = async (event) => {
		const element = event.currentTarget;

		await attempt(element, async () => {
			await navigator.clipboard.writeText(line);
			toast('Copied.');
		});
	};

	return h('div.command', h('code', line), h('button.copy', {type: 'button', 'aria-label': `Copy: ${line}`, on: {click: copy}}, 'Copy'));
}

/** What a page says when there is nothing: what will be here and how to make it so. */
export function empty(name, title, text, ...more) {
	return h('div.empty', icon(name), h('h2', title), h('p', text), more);
}

export function failure(error, again) {
	return h('div.trouble', {role: 'alert'}, h('p', error.message), again ? h('button.button', {type: 'button', on: {click: again}}, 'Try again') : null);
}

export const link = (path, ...children) => h('a', {href: path, 'data-link': true}, children);
export const outside = (url, ...children) => h('a', {href: url, target: '_blank', rel: 'noopener'}, children);
export const linkButton = (url, kind, label) => h('a.button', {class: kind, href: url, target: '_blank', rel: 'noopener'}, label, icon('external'));
