// risk: what about a change deserves a second look, said as facts: which sensitive places it touches, how big it is, what nobody checked.

import {h} from '../dom.js';
import {count, plain} from '../format.js';
import {icon} from './marks.js';

const BIG_LINES = 400;
const NAMED_FILES = 3;
const PLACES = [
	['migrates data', 3, /(^|\/)(migrations?|db\/migrate|alembic)\/|\.sql$/i],
	['touches who may do what', 3, /(auth|login|session|permission|password|token|secret|crypt)/i],
	['touches payments', 3, /(pay|billing|invoice|checkout|price|pricing)/i],
	['changes what is checked', 3, /(^|\/)(\.github|\.gitlab|ci)\/|assay\.ya?ml$|jenkinsfile/i],
	['changes dependencies', 2, /(package(-lock)?\.json|yarn\.lock|pnpm-lock|requirements.*\.txt|poetry\.lock|go\.(mod|sum)|cargo\.(toml|lock)|gemfile|pom\.xml|build\.gradle)$/i],
	['changes how it is deployed', 2, /(dockerfile|compose.*\.ya?ml|\.tf|helm|k8s|chart)/i],
];
const isTest = (path) => /(^|\/)(tests?|spec|__tests__)\/|[._-](test|spec)\./i.test(path);

function named(paths) {
	return paths.slice(0, NAMED_FILES).map((path, i) => [i ? ', ' : '', h('code', plain(path))]).concat(paths.length > NAMED_FILES ? [` and ${paths.length - NAMED_FILES} more`] : []);
}

/** [{weight, words}] of the files of a diff (parseDiff) and a report, or null. */
export function risksOf(files, report) {
	const code = files.filter((file) => !isTest(file.path));
	const lines = code.reduce((sum, file) => sum + file.added + file.removed, 0);
	const risks = PLACES.map(([words, weight, expression]) => ({words, weight, paths: code.filter((file) => expression.test(file.path)).map((file) => file.path)})).filter((risk) => risk.paths.length).map((risk) => ({weight: risk.weight, words: [risk.words, ': ', named(risk.paths)]}));

	if (lines > BIG_LINES)
		risks.push({weight: 2, words: [`${count(lines, 'line')} outside of tests: more than a person reads well`]});
	if (report?.not_covered?.length)
		risks.push({weight: 2, words: [count(report.not_covered.length, 'part'), ' nobody looked at, listed beside']});
	if (report?.findings?.some((finding) => finding.severity === 'warn'))
		risks.push({weight: 1, words: [count(report.findings.filter((finding) => finding.severity === 'warn').length, 'warning'), ' among the findings']});
	if (code.length && !files.some((file) => isTest(file.path)))
		risks.push({weight: 1, words: ['no test was added or changed']});
	return risks.sort((a, b) => b.weight - a.weight);
}

const LEVELS = [['ok', 'Low'], ['ok', 'Low'], ['unsure', 'Medium'], ['bad', 'High']];

export function riskView(files, report) {
	const risks = risksOf(files, report);
	const [tone, word] = LEVELS[Math.max(0, ...risks.map((risk) => risk.weight))];

	return h('section.card.pad', {'data-key': 'risk'}, h('div.card-head', h('h2', 'Risk'), h(`span.chip.${tone}`, h('span.dot', {'aria-hidden': 'true'}), word)), risks.length ? h('ul.risks', risks.map((risk) => h('li', icon('flag'), h('span', risk.words)))) : h('p.quiet', `${count(files.length, 'file')}, nothing sensitive among them.`));
}
