// terminal: a shell in a sandbox, in the page: its screen drawn, keys and pastes sent, over a WebSocket of our own server.

import {h} from '../dom.js';
import {socket} from '../api.js';
import {makeScreen} from './screen.js';

const LEAVE = ']'; // with Ctrl: takes the keyboard away from the shell (WCAG 2.1.2)
const ROWS_MIN = 8;
const COLUMNS_MIN = 20;
const PADDING = 24; // of the box, both sides
const NAMED = {Enter: '\r', Backspace: '\x7f', Tab: '\t', Escape: '\x1b', Delete: '\x1b[3~', Insert: '\x1b[2~', PageUp: '\x1b[5~', PageDown: '\x1b[6~', F1: '\x1bOP', F2: '\x1bOQ', F3: '\x1bOR', F4: '\x1bOS', F5: '\x1b[15~', F6: '\x1b[17~', F7: '\x1b[18~', F8: '\x1b[19~', F9: '\x1b[20~', F10: '\x1b[21~'};
const ARROWS = {ArrowUp: 'A', ArrowDown: 'B', ArrowRight: 'C', ArrowLeft: 'D', Home: 'H', End: 'F'};

/** What a key is to a program; null: it is text, or not for it. */
function keyText(event, screen) {
	if (event.metaKey || event.isComposing || (event.ctrlKey && event.shiftKey))
		return null;
	if (event.key in ARROWS)
		return `\x1b${screen.keys ? 'O' : '['}${ARROWS[event.key]}`;
	if (event.key === 'Tab' && event.shiftKey)
		return '\x1b[Z';
	if (event.key in NAMED)
		return NAMED[event.key];
	if (event.ctrlKey && event.key.length === 1) {
		const code = event.key.toUpperCase().charCodeAt(0);
		return event.key === ' ' ? '\0' : code >= 64 && code < 96 ? String.fromCharCode(code - 64) : null;
	}
	return event.altKey && event.key.length === 1 ? `\x1b${event.key}` : null;
}

function runClass(style) {
	const [fore, back] = style.inverse ? [style.back ?? 'ground', style.fore ?? 'text'] : [style.fore, style.back];

	return {fore, back, name: [style.bold && 'bold', style.faint && 'faint', style.italic && 'italic', style.under && 'under', fore && !fore.startsWith('#') && `f-${fore}`, back && !back.startsWith('#') && `b-${back}`].filter(Boolean).join(' ')};
}

function runView(text, style) {
	const {fore, back, name} = runClass(style);
	const span = h('span', {class: name || null}, text);

	if (fore?.startsWith('#'))
		span.style.color = fore;
	if (back?.startsWith('#'))
		span.style.backgroundColor = back;
	return span;
}

/** Cells of one look are one element. */
function lineView(cells, cursor) {
	const runs = [];

	cells.forEach((cell, at) => {
		const last = runs.at(-1);
		if (at === cursor)
			runs.push({text: cell.text || ' ', style: cell.style, cursor: true});
		else if (last && !last.cursor && last.style === cell.style)
			last.text += cell.text;
		else
			runs.push({text: cell.text, style: cell.style});
	});
	const end = runs.at(-1);
	if (end && !end.cursor && !end.style.back && !end.style.inverse)
		end.text = end.text.trimEnd();
	return h('div.screen-line', runs.map((run) => {
		const view = runView(run.text, run.style);
		if (run.cursor)
			view.classList.add('cursor');
		return view;
	}));
}

/** Draws what changed, at most once a frame: the past is only added to. */
function painter(box, screen) {
	const past = h('div.screen-past');
	const now = h('div.screen-now');
	let drawn = 0; // lines of the past, those that were dropped included
	let asked = false;

	box.prepend(past, now);
	const paint = () => {
		const follow = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
		const all = screen.dropped + screen.past.length;

		asked = false;
		if (!screen.past.length)
			past.replaceChildren();
		past.append(...screen.past.slice(Math.max(0, screen.past.length - (all - drawn))).map((cells) => lineView(cells, -1)));
		while (past.childElementCount > screen.past.length)
			past.firstChild.remove();
		drawn = all;
		now.replaceChildren(...screen.lines.map((cells, row) => lineView(cells, screen.cursor && row === screen.row ? screen.column : -1)));
		if (follow)
			box.scrollTop = box.scrollHeight;
	};
	return () => {
		if (!asked)
			requestAnimationFrame(paint);
		asked = true;
	};
}

function sizeOf(box) {
	const probe = h('div.screen-line.screen-probe', 'MMMMMMMMMM');

	box.append(probe);
	const {width, height} = probe.getBoundingClientRect();
	probe.remove();
	return {rows: Math.max(ROWS_MIN, Math.floor((box.clientHeight - PADDING) / height)), columns: Math.max(COLUMNS_MIN, Math.floor((box.clientWidth - PADDING) / (width / 10)))};
}

function talk(box, input, status, {environment, sandbox}) {
	const {rows, columns} = sizeOf(box);
	const bytes = new TextEncoder();
	const words = new TextDecoder();
	const wire = socket(`/environments/${encodeURIComponent(environment)}/terminal?${new URLSearchParams({sandbox, rows, cols: columns})}`, 'assay-terminal');
	const send = (text) => wire.then((open) => open.readyState === WebSocket.OPEN && open.send(bytes.encode(text)));
	const screen = makeScreen(rows, columns, send);
	const paint = painter(box, screen);
	const fit = new ResizeObserver(() => {
		const size = sizeOf(box);
		if (size.rows === screen.rows && size.columns === screen.columns)
			return;
		screen.resize(size.rows, size.columns);
		wire.then((open) => open.readyState === WebSocket.OPEN && open.send(`${size.rows} ${size.columns}`));
		paint();
	});

	wire.then((open) => {
		open.binaryType = 'arraybuffer';
		open.onopen = () => { status.textContent = `Open in ${sandbox}.`; fit.observe(box); };
		open.onmessage = ({data}) => { screen.write(words.decode(data, {stream: true})); paint(); };
		open.onclose = ({code, reason}) => {
			fit.disconnect();
			screen.cursor = false;
			paint();
			status.textContent = code === 1000 && reason ? `Ended: ${reason}.` : 'The connection is closed: the sandbox is frozen or gone, or you may not.';
		};
	}, (error) => { status.textContent = error.message; });
	input.addEventListener('keydown', (event) => {
		if (event.ctrlKey && event.key === LEAVE) {
			event.preventDefault();
			return box.closest('.terminal').querySelector('button').focus();
		}
		const text = keyText(event, screen);
		if (text !== null) {
			event.preventDefault();
			send(text);
		}
	});
	input.addEventListener('input', (event) => {
		if (event.isComposing)
			return;
		const text = input.value.replace(/\r?\n/g, '\r');
		input.value = '';
		send(screen.paste && event.inputType === 'insertFromPaste' ? `\x1b[200~${text}\x1b[201~` : text);
	});
	box.addEventListener('click', () => getSelection().isCollapsed && input.focus());
	return () => wire.then((open) => open.close(), () => {});
}

/** A terminal that opens when it is asked for. `then` {environment, sandbox}; what it says of itself stands under it. */
export function terminalView({environment, sandboxes, sandbox}) {
	let close = null;
	const begin = (event) => {
		const frame = event.currentTarget.closest('.terminal');
		const input = h('textarea.screen-input', {'aria-label': 'Terminal: what you type goes to the shell. Control and ] leaves it.', autocapitalize: 'off', autocomplete: 'off', spellcheck: 'false', rows: 1});
		const box = h('div.screen', input);
		const status = frame.querySelector('.terminal-status');

		close?.();
		frame.querySelector('.screen-place').replaceChildren(box);
		status.textContent = 'Opening…';
		close = talk(box, input, status, {environment, sandbox: frame.querySelector('select').value});
		input.focus();
		frame.querySelector('[data-key="shell-open"]').lastChild.data = 'Open anew';
	};
	const end = () => {
		close?.();
		close = null;
	};

	addEventListener('assay:moved', end, {once: true});
	return h('div.terminal', {'data-mine': true, 'data-key': `terminal ${environment}`}, h('div.row', h('button.button.primary', {type: 'button', 'data-key': 'shell-open', on: {click: begin}}, 'Open a shell'), h('label.inline', 'in ', h('select', {'aria-label': 'Sandbox'}, sandboxes.map((name) => h('option', {value: name, selected: name === sandbox}, name)))),
		h('button.button.quiet', {type: 'button', on: {click: end}}, 'Close it'), h('span.hint', h('kbd', 'Ctrl'), ' ', h('kbd', LEAVE), ' leaves the terminal')),
	h('div.screen-place'), h('p.terminal-status.hint', {role: 'status'}));
}
