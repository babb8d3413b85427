// diff: a unified diff, read and drawn: a list of files, hunks with line numbers, the changed part of a line marked, big files folded.

import {h} from '../dom.js';
import {count} from '../format.js';
import {inside} from './difference.js';

const FOLD_LINES = 300; // a file with more starts folded
const CHUNK_LINES = 1500; // and is drawn this many lines at a time
const NAME = {A: 'added', M: 'changed', D: 'deleted', R: 'renamed', T: 'type changed'};

function newFile() {
	return {path: '', old: '', status: 'M', hunks: [], added: 0, removed: 0, binary: false, lines: 0};
}

const unquote = (path) => (path.startsWith('"') ? path.slice(1, -1).replace(/\\([\\"])/g, '$1') : path);

function headLine(file, line) {
	if (line.startsWith('--- '))
		file.old = line === '--- /dev/null' ? '' : unquote(line.slice(4)).replace(/^a\//, '');
	else if (line.startsWith('+++ '))
		file.path = line === '+++ /dev/null' ? file.path : unquote(line.slice(4)).replace(/^b\//, '');
	else if (line.startsWith('new file'))
		file.status = 'A';
	else if (line.startsWith('deleted file'))
		file.status = 'D';
	else if (line.startsWith('rename from '))
		Object.assign(file, {status: 'R', old: line.slice(12)});
	else if (line.startsWith('rename to '))
		file.path = line.slice(10);
	else if (line.startsWith('Binary files ') || line.startsWith('GIT binary patch'))
		file.binary = true;
}

function bodyLine(file, hunk, line) {
	const kind = line[0];

	if (kind === '+') {
		hunk.lines.push({kind: 'add', text: line.slice(1), right: hunk.right++});
		file.added++;
		hunk.leftRight[1]--;
	} else if (kind === '-') {
		hunk.lines.push({kind: 'del', text: line.slice(1), left: hunk.left++});
		file.removed++;
		hunk.leftRight[0]--;
	} else if (kind === '\\') {
		hunk.lines.push({kind: 'note', text: line.slice(2)});
	} else {
		hunk.lines.push({kind: 'same', text: line.slice(1), left: hunk.left++, right: hunk.right++});
		hunk.leftRight[0]--;
		hunk.leftRight[1]--;
	}
	file.lines++;
}

/** [{path, old, status, added, removed, binary, lines, hunks: [{head, lines: [{kind, text, left, right}]}]}] */
export function parseDiff(text) {
	const files = [];
	let file = null;
	let hunk = null;

	for (const line of text.split('\n')) {
		const inHunk = hunk && (line.startsWith('\\') || ((hunk.leftRight[0] > 0 || hunk.leftRight[1] > 0) && /^[ +-]/.test(line)));

		if (!inHunk && line.startsWith('diff --git ')) {
			file = newFile();
			file.path = unquote(line.slice(line.lastIndexOf(' b/') + 1)).replace(/^b\//, '');
			hunk = null;
			files.push(file);
		} else if (!inHunk && file && line.startsWith('@@')) {
			const [, left, leftCount, right, rightCount, head] = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$/.exec(line) ?? [null, 0, 0, 0, 0, line];

			hunk = {head, range: line.slice(0, line.length - head.length).trim(), left: Number(left), right: Number(right), leftRight: [Number(leftCount ?? 1), Number(rightCount ?? 1)], lines: []};
			file.hunks.push(hunk);
		} else if (inHunk) {
			bodyLine(file, hunk, line);
		} else if (file && !hunk) {
			headLine(file, line);
		}
	}
	return files;
}

// Removed lines followed by added ones are often the same lines, changed: mark what changed inside where they are alike enough.
function pair(lines) {
	for (let i = 0; i < lines.length; i++) {
		let gone = i;
		while (lines[gone]?.kind === 'del')
			gone++;
		let come = gone;
		while (lines[come]?.kind === 'add')
			come++;
		for (let n = 0; n < Math.min(gone - i, come - gone); n++) {
			const parts = inside(lines[i + n].text, lines[gone + n].text);
			if (parts)
				[lines[i + n].parts, lines[gone + n].parts] = parts;
		}
		i = Math.max(i, come - 1);
	}
}

const SIGN = {add: '+', del: '−', same: '', note: ''};

function lineRow(line) {
	const text = line.parts ? [line.parts[0], h('mark', line.parts[1]), line.parts[2]] : line.text;

	return h(`tr.${line.kind}`, h('td.number', line.left ?? ''), h('td.number', line.right ?? ''), h('td.sign', {'aria-label': {add: 'added', del: 'removed'}[line.kind]}, SIGN[line.kind]),
		h('td.code', text));
}

function hunkRows(hunk) {
	pair(hunk.lines);
	return [h('tr.hunk', h('td', {colspan: 3}), h('td.code', hunk.range, hunk.head ? h('span.where', hunk.head) : null)), hunk.lines.map(lineRow)];
}

function draw(file, body) {
	const rows = file.hunks.flatMap((hunk) => hunkRows(hunk).flat());
	const table = h('tbody');
	const more = () => {
		table.append(...rows.splice(0, CHUNK_LINES));
		if (!rows.length)
			return;
		const next = h('tr.more', h('td', {colspan: 4}, h('button.button.quiet', {type: 'button', on: {click: () => { next.remove(); more(); }}}, `Show ${count(Math.min(rows.length, CHUNK_LINES), 'more line')}`)));
		table.append(next);
	};

	more();
	body.replaceChildren(h('div.scroll', {tabindex: 0, role: 'region', 'aria-label': `Changes of ${file.path}`}, h('table.lines', table)));
}

const anchor = (at) => `file-${at + 1}`;

function fileView(file, at, version) {
	const small = file.lines <= FOLD_LINES;
	const body = h('div.file-body', {'data-mine': true});
	const toggle = ({currentTarget: fold}) => {
		const inner = fold.querySelector('.file-body'); // not `body`: a patched page keeps the old one

		if (fold.open && !inner.firstChild && file.hunks.length)
			draw(file, inner);
	};

	if (file.binary || !file.hunks.length)
		body.append(h('p.quiet.pad', file.binary ? 'A binary file: its bytes are not shown.' : 'No line changed: only the name or the mode did.'));
	else if (small)
		draw(file, body);
	return h('details.file', {id: anchor(at), open: small, 'data-key': `file ${version} ${file.path}`, on: {toggle}},
		h('summary', h(`span.status.${file.status}`, {title: NAME[file.status]}, file.status), h('span.path', file.status === 'R' ? `${file.old} → ${file.path}` : file.path), counts(file),
			small ? null : h('span.hint', count(file.lines, 'line'))), body);
}

function counts(file) {
	return h('span.counts', h('span.plus', `+${file.added}`), h('span.minus', `−${file.removed}`));
}

/** `version` names the commit: another one is drawn anew. */
export function diffView(text, version) {
	const files = parseDiff(text);

	if (!files.length)
		return h('p.quiet', 'Nothing was changed.');
	const total = files.reduce((sum, file) => ({added: sum.added + file.added, removed: sum.removed + file.removed}), {added: 0, removed: 0});
	const list = h('nav.files', {'aria-label': 'Changed files'}, h('ol', files.map((file, at) => h('li', h('a', {href: `#${anchor(at)}`},
		h(`span.status.${file.status}`, {title: NAME[file.status]}, file.status), h('span.path', file.path), counts(file))))));

	return h('div.diff', h('p.summary', count(files.length, 'file'), ', ', counts(total)), list, files.map((file, at) => fileView(file, at, version)));
}
