// screen: what a terminal shows, as data: cells, cursor, colours, from the bytes of a program (ECMA-48 and xterm's usual ways). It draws nothing,
// and obeys nothing that reaches beyond itself: titles, clipboards, links and answers other than the cursor's place are dropped.

const SCROLLBACK = 2000;
const PARAMETERS_MAX = 32;
const STRING_MAX = 4096; // of an operating system command, which is read over
const TAB = 8;
const LINES_OF_G0 = {j: '┘', k: '┐', l: '┌', m: '└', n: '┼', q: '─', t: '├', u: '┤', v: '┴', w: '┬', x: '│', a: '▒', '`': '◆', '~': '·'};
const PLAIN = Object.freeze({fore: null, back: null, bold: false, faint: false, italic: false, under: false, inverse: false});
const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}]/u;
const JOINS = /\p{M}|\u200d|\ufe0f/u;
const HIDDEN = /[\u0080-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u; // and nothing that turns a line around

const cell = (style = PLAIN) => ({text: ' ', style});
const line = (columns) => Array.from({length: columns}, () => cell());

/** `answer(text)`: what a terminal says back. */
export function makeScreen(rows, columns, answer = () => {}) {
	const screen = {rows, columns, past: [], lines: Array.from({length: rows}, () => line(columns)), row: 0, column: 0, cursor: true, keys: false, paste: false, dropped: 0};
	let style = PLAIN;
	let top = 0;
	let bottom = rows - 1;
	let wraps = true;
	let late = false; // the cursor is behind the last column: the next character wraps
	let drawing = false; // G0 is line drawing
	let saved = null;
	let main = null; // the lines, while the other screen is shown
	let state = ground;
	let text = '';

	const clamp = (value, most) => Math.max(0, Math.min(most, value));
	const fresh = () => Array.from({length: screen.columns}, () => cell(style.back ? {...PLAIN, back: style.back} : PLAIN));
	const move = (row, column) => {
		screen.row = clamp(row, screen.rows - 1);
		screen.column = clamp(column, screen.columns - 1);
		late = false;
	};
	const scrollUp = (n) => {
		for (let i = 0; i < Math.min(n, screen.rows); i++) {
			const [gone] = screen.lines.splice(top, 1);
			screen.lines.splice(bottom, 0, fresh());
			if (top === 0 && !main) {
				screen.past.push(gone);
				if (screen.past.length > SCROLLBACK) {
					screen.past.shift();
					screen.dropped++;
				}
			}
		}
	};
	const scrollDown = (n) => {
		for (let i = 0; i < Math.min(n, screen.rows); i++) {
			screen.lines.splice(bottom, 1);
			screen.lines.splice(top, 0, fresh());
		}
	};
	const feed = () => {
		late = false;
		if (screen.row === bottom)
			scrollUp(1);
		else if (screen.row < screen.rows - 1)
			screen.row++;
	};
	const put = (character) => {
		if (HIDDEN.test(character) || JOINS.test(character)) {
			const before = screen.lines[screen.row][screen.column - (late ? 0 : 1)];
			if (before && !HIDDEN.test(character) && before.text.length < 16)
				before.text += character;
			return;
		}
		const wide = WIDE.test(character) ? 2 : 1;
		if (late || screen.column + wide > screen.columns) {
			if (wraps) {
				screen.column = 0;
				feed();
			}
			late = false;
		}
		screen.lines[screen.row][screen.column] = {text: drawing ? LINES_OF_G0[character] ?? character : character, style};
		if (wide === 2)
			screen.lines[screen.row][screen.column + 1] = {text: '', style};
		late = screen.column + wide >= screen.columns;
		screen.column = Math.min(screen.column + wide, screen.columns - 1);
	};
	const erase = (row, from, to) => {
		const blank = fresh();
		for (let column = from; column < to; column++)
			screen.lines[row][column] = blank[column];
	};
	const eraseDisplay = (how) => {
		const [from, to] = {0: [screen.row + 1, screen.rows], 1: [0, screen.row], 2: [0, screen.rows], 3: [0, 0]}[how] ?? [0, 0];
		for (let row = from; row < to; row++)
			erase(row, 0, screen.columns);
		if (how === 0)
			erase(screen.row, screen.column, screen.columns);
		if (how === 1)
			erase(screen.row, 0, screen.column + 1);
		if (how === 3)
			screen.past.length = 0;
	};
	const insertLines = (n, remove) => {
		if (screen.row < top || screen.row > bottom)
			return;
		for (let i = 0; i < Math.min(n, screen.rows); i++) {
			screen.lines.splice(remove ? screen.row : bottom, 1);
			screen.lines.splice(remove ? bottom : screen.row, 0, fresh());
		}
	};
	const insertCells = (n, remove) => {
		const row = screen.lines[screen.row];
		const blanks = fresh().slice(0, Math.min(n, screen.columns - screen.column));

		if (remove)
			row.push(...row.splice(screen.column, blanks.length).map((_, i) => blanks[i]));
		else
			row.splice(screen.column, 0, ...blanks);
		row.length = screen.columns;
	};
	const save = () => { saved = {row: screen.row, column: screen.column, style, drawing}; };
	const restore = () => {
		if (!saved)
			return move(0, 0);
		({style, drawing} = saved);
		move(saved.row, saved.column);
	};
	const other = (yes, clear) => {
		if (yes === Boolean(main))
			return;
		if (yes) {
			main = screen.lines;
			screen.lines = Array.from({length: screen.rows}, () => line(screen.columns));
		} else {
			screen.lines = main;
			main = null;
			fit(screen.lines);
		}
		if (clear)
			move(0, 0);
	};
	const mode = (number, on) => {
		const modes = {1: () => { screen.keys = on; }, 7: () => { wraps = on; }, 25: () => { screen.cursor = on; }, 47: () => other(on, false), 1047: () => other(on, false), 1048: () => (on ? save() : restore()), 2004: () => { screen.paste = on; },
			1049: () => { if (on) save(); other(on, on); if (!on) restore(); }};
		modes[number]?.();
	};
	const colour = (values, at) => {
		if (values[at + 1] === 5)
			return [palette(values[at + 2] ?? 0), 2];
		if (values[at + 1] === 2)
			return [`#${values.slice(at + 2, at + 5).map((value) => clamp(value, 255).toString(16).padStart(2, '0')).join('').padEnd(6, '0')}`, 4];
		return [null, 0];
	};
	const graphics = (values) => {
		for (let i = 0; i < values.length; i++) {
			const value = values[i];
			if (value === 38 || value === 48) {
				const [found, more] = colour(values, i);
				style = {...style, [value === 38 ? 'fore' : 'back']: found};
				i += more;
			} else {
				style = graphic(style, value);
			}
		}
	};

	function control(final, parameters) {
		const marker = /^[?>=]/.exec(parameters)?.[0] ?? '';
		const values = parameters.slice(marker.length).split(/[;:]/).slice(0, PARAMETERS_MAX).map((part) => Number.parseInt(part, 10) || 0);
		const n = Math.min(Math.max(1, values[0]), 9999);
		const plain = {
			A: () => move(Math.max(screen.row - n, screen.row >= top ? top : 0), screen.column), B: () => move(Math.min(screen.row + n, screen.row <= bottom ? bottom : screen.rows), screen.column), C: () => move(screen.row, screen.column + n), D: () => move(screen.row, screen.column - n),
			E: () => move(screen.row + n, 0), F: () => move(screen.row - n, 0), G: () => move(screen.row, n - 1), '`': () => move(screen.row, n - 1), d: () => move(n - 1, screen.column), H: () => move(n - 1, Math.max(1, values[1] ?? 1) - 1), f: () => move(n - 1, Math.max(1, values[1] ?? 1) - 1),
			J: () => eraseDisplay(values[0]), K: () => erase(screen.row, values[0] === 0 ? screen.column : 0, values[0] === 1 ? screen.column + 1 : screen.columns), X: () => erase(screen.row, screen.column, Math.min(screen.columns, screen.column + n)),
			L: () => insertLines(n, false), M: () => insertLines(n, true), '@': () => insertCells(n, false), P: () => insertCells(n, true), S: () => scrollUp(n), T: () => scrollDown(n),
			m: () => graphics(values), s: save, u: restore, r: () => {
				[top, bottom] = [n - 1, Math.min(values[1] || screen.rows, screen.rows) - 1];
				if (top >= bottom)
					[top, bottom] = [0, screen.rows - 1];
				move(0, 0);
			}, n: () => values[0] === 6 && answer(`\x1b[${screen.row + 1};${screen.column + 1}R`), c: () => answer('\x1b[?6c'),
		};

		if (marker === '?' && (final === 'h' || final === 'l'))
			values.forEach((value) => mode(value, final === 'h'));
		else if (!marker)
			plain[final]?.();
	}

	const controls = {'\b': () => move(screen.row, screen.column - 1), '\t': () => move(screen.row, (Math.floor(screen.column / TAB) + 1) * TAB), '\n': feed, '\v': feed, '\f': feed, '\r': () => move(screen.row, 0), '\x1b': () => { state = escape; }};
	function ground(character) {
		if (character >= ' ' && character !== '\x7f')
			put(character);
		else
			controls[character]?.();
	}
	function escape(character) {
		const rows_ = {'7': save, '8': restore, D: feed, E: () => { screen.column = 0; feed(); }, M: () => (screen.row === top ? scrollDown(1) : move(screen.row - 1, screen.column)), c: () => { style = PLAIN; [top, bottom] = [0, screen.rows - 1]; other(false); eraseDisplay(2); move(0, 0); }};

		text = '';
		state = {'[': parameters, ']': string, P: string, X: string, '^': string, _: string, '(': charset, ')': skip, '*': skip, '+': skip, '#': skip}[character] ?? ground;
		rows_[character]?.();
	}
	function parameters(character) {
		if (character >= '@' && character <= '~') {
			state = ground;
			control(character, text);
		} else if (character === '\x1b') {
			state = escape;
		} else if (character < ' ') {
			controls[character]?.();
		} else if (text.length < STRING_MAX) {
			text += character;
		}
	}
	function string(character) { // read over, to BEL or ESC \
		if (character === '\x07' || (character === '\\' && text === '\x1b'))
			state = ground;
		text = character === '\x1b' ? character : '';
	}
	function charset(character) {
		drawing = character === '0';
		state = ground;
	}
	function skip() {
		state = ground;
	}
	function fit(lines) {
		for (const row of lines) {
			while (row.length < screen.columns)
				row.push(cell());
			row.length = screen.columns;
		}
		while (lines.length < screen.rows)
			lines.push(line(screen.columns));
		while (lines.length > screen.rows)
			if (screen.row < lines.length - 1 && lines.at(-1).every((one) => one.text === ' ')) {
				lines.pop();
			} else {
				const gone = lines.shift();
				if (!main)
					screen.past.push(gone);
				screen.row = Math.max(0, screen.row - 1);
			}
	}

	screen.write = (words) => {
		for (const character of words)
			state(character);
	};
	screen.resize = (height, width) => {
		screen.rows = height;
		screen.columns = width;
		fit(screen.lines);
		[top, bottom] = [0, height - 1];
		move(screen.row, screen.column);
	};
	return screen;
}

/** A name for the first sixteen, which the page colours; the others as they are. */
function palette(number) {
	const level = (n) => (n ? 55 + n * 40 : 0).toString(16).padStart(2, '0');

	if (number < 16)
		return `c${number}`;
	if (number >= 232)
		return `#${(8 + (number - 232) * 10).toString(16).padStart(2, '0').repeat(3)}`;
	const cube = number - 16;
	return `#${level(Math.floor(cube / 36))}${level(Math.floor(cube / 6) % 6)}${level(cube % 6)}`;
}

const TOGGLES = {1: ['bold', true], 2: ['faint', true], 3: ['italic', true], 4: ['under', true], 7: ['inverse', true], 23: ['italic', false], 24: ['under', false], 27: ['inverse', false], 39: ['fore', null], 49: ['back', null]};

function graphic(style, value) {
	if (value === 0)
		return PLAIN;
	if (value === 22)
		return {...style, bold: false, faint: false};
	if (TOGGLES[value])
		return {...style, [TOGGLES[value][0]]: TOGGLES[value][1]};
	for (const [first, name, add] of [[30, 'fore', 0], [40, 'back', 0], [90, 'fore', 8], [100, 'back', 8]])
		if (value >= first && value < first + 8)
			return {...style, [name]: `c${value - first + add}`};
	return style;
}
