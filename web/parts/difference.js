// difference: which lines of two texts match, and which part of two lines differs.

const CELLS_MAX = 400_000; // beyond it only the common start and end are matched

/** Rows {left, right} of indexes; null where one side has nothing. */
export function align(left, right) {
	let start = 0;
	let endLeft = left.length;
	let endRight = right.length;
	const rows = [];

	while (start < endLeft && start < endRight && left[start] === right[start])
		rows.push({left: start, right: start++});
	while (endLeft > start && endRight > start && left[endLeft - 1] === right[endRight - 1]) {
		endLeft--;
		endRight--;
	}
	rows.push(...middle(left, right, start, endLeft, endRight));
	for (let i = 0; endLeft + i < left.length; i++)
		rows.push({left: endLeft + i, right: endRight + i});
	return rows;
}

function middle(left, right, start, endLeft, endRight) {
	const height = endLeft - start;
	const width = endRight - start;
	const rows = [];
	let gone = [];
	let come = [];
	const flush = () => {
		for (let i = 0; i < Math.max(gone.length, come.length); i++)
			rows.push({left: gone[i] ?? null, right: come[i] ?? null});
		gone = [];
		come = [];
	};
	const table = height * width <= CELLS_MAX ? longest(left, right, start, height, width) : null;
	let i = 0;
	let j = 0;

	while (i < height || j < width) {
		if (table && i < height && j < width && left[start + i] === right[start + j]) {
			flush();
			rows.push({left: start + i++, right: start + j++});
		} else if (j >= width || (i < height && (!table || table[i + 1][j] >= table[i][j + 1]))) {
			gone.push(start + i++);
		} else {
			come.push(start + j++);
		}
	}
	flush();
	return rows;
}

function longest(left, right, start, height, width) {
	const table = Array.from({length: height + 1}, () => new Uint16Array(width + 1));

	for (let i = height - 1; i >= 0; i--)
		for (let j = width - 1; j >= 0; j--)
			table[i][j] = left[start + i] === right[start + j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
	return table;
}

/** The two lines cut into [same start, different, same end]; null when they have too little in common to be worth marking. */
export function inside(a, b) {
	let start = 0;
	let end = 0;
	const most = Math.min(a.length, b.length);

	while (start < most && a[start] === b[start])
		start++;
	while (end < most - start && a[a.length - 1 - end] === b[b.length - 1 - end])
		end++;
	if (start + end < Math.min(4, most) || start + end < Math.max(a.length, b.length) * 0.2)
		return null;
	const cut = (text) => [text.slice(0, start), text.slice(start, text.length - end), text.slice(text.length - end)];

	return [cut(a), cut(b)];
}
