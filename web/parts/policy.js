// policy: rules and what was asked, as plain data: which requests the ledger has, what rules said of them, what a draft would say, and
// which rules would allow just them. As `assay policy simulate --ledger` and `suggest` do it.

const AFTER_RULES = ['dlp', 'broker:', 'budget', 'ledger', 'hold', 'websocket', 'upstream'];
const PLAIN_NAME = /^[A-Za-z][A-Za-z0-9.-]*$/;

/** What rules had said of a request that was decided by `rule`: allow, approve, deny; passed (allow or approve: something after the rules
 * refused it); null: it was refused before rules were asked. `held`: it waited for a person, for that rule. */
export function rulesSaid(rule, held) {
	if (held)
		return rule.startsWith('policy:') ? 'approve' : 'passed';
	if (rule.startsWith('hold:')) // a person's answer that was remembered
		return 'approve';
	if (rule === 'builtin:dns-over-https')
		return 'passed';
	if (rule.startsWith('policy:') || rule.startsWith('builtin:') || rule === 'default-deny')
		return 'deny';
	return AFTER_RULES.some((start) => rule.startsWith(start)) ? 'passed' : null;
}

/** Rows of the ledger -> [{method, url, sandbox, was, by}], the newest first; those of connections that ended before a request are none. */
export function requestsOfRows(rows) {
	const held = new Map(rows.filter((row) => row.kind === 'hold').map((row) => [row.request, row.rule ?? '']));

	return rows.filter((row) => ['intent', 'verdict'].includes(row.kind) && row.host && row.method && row.method !== 'connect').map((row) => {
		const rule = row.rule ?? '';
		const was = held.has(row.request) ? rulesSaid(held.get(row.request), true) : row.kind === 'intent' && rule.startsWith('policy:') ? 'allow' : rulesSaid(rule, false);
		const port = row.port === 80 || row.port === 443 || !row.port ? '' : `:${row.port}`;

		return {method: row.method, url: `${row.port === 80 ? 'http' : 'https'}://${row.host}${port}${row.path ?? '/'}`, sandbox: row.sandbox || 'workspace', was: row.path ? was : null, by: rule};
	});
}

/** What would be answered differently: [{method, url, was, now, rule, why, times}]; `others`: how many rules had no word in. */
export function compare(requests, judged) {
	const changed = new Map();
	let others = 0;

	requests.forEach((request, i) => {
		const {action, rule, why} = judged[i];
		const same = request.was === 'passed' ? action !== 'deny' : action === request.was;

		if (request.was === null)
			others++;
		else if (!same) {
			const key = `${request.method} ${request.url} ${request.was}`;
			const row = changed.get(key) ?? {method: request.method, url: request.url, was: request.was, now: action, rule, why, times: 0};
			row.times++;
			changed.set(key, row);
		}
	});
	return {changed: [...changed.values()], others};
}

/** Rules that allow what was asked for, and no more: to be read by a person. */
export function suggest(requests) {
	const hosts = new Map();

	for (const {method, url} of requests) {
		const {hostname, port, protocol} = new URL(url);
		const key = `${hostname}\n${port}`;
		const row = hosts.get(key) ?? {host: hostname, port: port || (protocol === 'http:' ? '80' : ''), methods: new Set()};

		row.methods.add(method);
		hosts.set(key, row);
	}
	const quoted = (text) => (PLAIN_NAME.test(text) ? text : JSON.stringify(text));
	const lines = [...hosts.values()].map((row) => `    - {host: ${quoted(row.host)}, ${row.port && row.port !== '80' ? `port: ${row.port}, ` : ''}methods: [${[...row.methods].map(quoted).join(', ')}], action: allow}`);

	return `# what was seen, and no more: read it before you use it\negress:\n  rules:\n${lines.join('\n')}\n`;
}
