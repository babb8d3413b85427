// gantt: the steps of a run as bars on one line of time; what waits for a person is drawn thin, so that it does not hide the work.

import {h, svg} from '../dom.js';
import {duration, since} from '../format.js';
import {mark} from './marks.js';
import {stepStatus} from './timeline.js';

const WIDTH = 1000;
const SHORTEST = 6;

/** Time without the review: people are slow, and the bars should show the machine. */
function scale(steps) {
	const work = steps.filter((step) => step.name !== 'review' && step.started_ms);
	const from = Math.min(...work.map((step) => step.started_ms));
	const to = Math.max(...work.filter((step) => step.name !== 'close').map((step) => step.ended_ms ?? Date.now()));
	const span = Math.max(1, to - from);

	return (ms) => Math.min(WIDTH, Math.max(0, ((ms - from) / span) * WIDTH));
}

export function gantt(steps) {
	if (!steps?.some((step) => step.started_ms))
		return null;
	const at = scale(steps);

	return h('div.gantt', {role: 'list', 'aria-label': 'Steps'}, steps.map((step, i) => {
		const start = at(step.started_ms ?? 0);
		const end = at(step.ended_ms ?? Date.now());
		const width = Math.max(SHORTEST, end - start);

		return h('div.gantt-row', {role: 'listitem', 'data-key': `step ${i}`, title: step.detail || null}, h('span.name', mark(stepStatus(step)), step.name, step.attempt > 1 ? h('span.hint', `#${step.attempt}`) : null),
			svg('svg', {class: `bar ${stepStatus(step)} ${step.name}`, viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: 'none', 'aria-hidden': 'true'},
				svg('rect', {class: 'track', x: 0, y: 4.5, width: WIDTH, height: 1}),
				svg('rect', {class: 'part', x: Math.min(start, WIDTH - width), y: step.name === 'review' ? 4 : 1, width, height: step.name === 'review' ? 2 : 8})),
			h('span.ms', step.ended_ms ? duration(step.ended_ms - step.started_ms) : step.started_ms ? since(step.started_ms) : ''));
	}));
}
