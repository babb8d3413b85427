// GitHub as Assay needs it: REST, GraphQL for two mutations, git over smart HTTP (git http-backend), webhooks that are signed and kept. Shares no code with the
// product. With OPENAPI=api.github.com.json (npm: @octokit/openapi) every request's body is held against GitHub's own description.
// usage: node github.mjs FOLDER    prints its port; below FOLDER/OWNER/NAME.git are bare repositories. What people do there is POST /_/….
import {createHmac, createVerify, createPublicKey, randomUUID} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {calls, git, html, id, inject, injection, mergeBase, merged, now, send as post, serve, sha, there, wrong} from './host.mjs';

const app = {id: '4242', slug: 'assay', key: createPublicKey(readFileSync(process.env.APP_KEY))};
const permissions = {contents: 'write', pull_requests: 'write', issues: 'write', checks: 'write', statuses: 'write', deployments: 'write', actions: 'read', metadata: 'read'};
const hook = {url: '', secret: 'sent-by-the-fake', lost: false, twice: false};
const tokens = new Map(), repos = new Map(), deliveries = [];
const members = new Map([['alice', 'write'], ['bob', 'admin'], ['mallory', 'read']]);
let base = '';
const line_id = () => 2 ** 32 + id(); // GraphQL's databaseId has 32 bits: it is not for these
const THREADS_PAGE = 1; // GitHub's is 100: the way is the same

// ---- GitHub's description of itself
let check = () => {};
if (process.env.OPENAPI) {
	const require = createRequire(process.env.OPENAPI_MODULES + '/x.js');
	const Ajv = require('ajv').default;
	const document = JSON.parse(readFileSync(process.env.OPENAPI));
	const ajv = new Ajv({strict: false, allErrors: true, validateFormats: false});
	ajv.addSchema(document, 'api');
	const paths = Object.keys(document.paths).map((path) => ({path, pattern: new RegExp('^' + path.replace(/\{(ref|path)\}/g, '.+').replace(/\{[^}]+\}/g, '[^/]+') + '$'), holes: path.split('{').length}))
		.sort((a, b) => a.holes - b.holes);
	const compiled = new Map();
	check = (method, path, body) => {
		const found = paths.find((row) => row.pattern.test(path) && document.paths[row.path][method.toLowerCase()]);
		if (!found) return wrong.push(`${method} ${path}: GitHub has no such call`);
		const operation = document.paths[found.path][method.toLowerCase()];
		if (!operation.requestBody?.content?.['application/json']) return body !== undefined && Object.keys(body).length && wrong.push(`${method} ${path}: takes no body`);
		const key = `${method} ${found.path}`;
		if (!compiled.has(key)) compiled.set(key, ajv.compile({$ref: `api#/paths/${encodeURIComponent(found.path.replaceAll('~', '~0').replaceAll('/', '~1'))}/${method.toLowerCase()}/requestBody/content/application~1json/schema`}));
		const validate = compiled.get(key);
		if (!validate(body ?? {})) wrong.push(`${key}: ${ajv.errorsText(validate.errors)}`);
	};
}

// ---- what there is
const repo = (name) => {
	if (!repos.has(name) && there(name)) repos.set(name, {name, pulls: [], issues: [], comments: [], lines: [], reviews: [], checks: [], statuses: [], deployments: [], reactions: [], count: 0});
	return repos.get(name);
};
const user = (login) => ({login, id: login.length, type: login.endsWith('[bot]') ? 'Bot' : 'User'});
const repository = (name) => ({id: 7, name: name.split('/')[1], full_name: name, private: true, default_branch: 'main', html_url: `${base}/${name}`, owner: user(name.split('/')[0]), permissions: {push: true}});
const pull = (r, p) => ({...p, node_id: `PR_${p.number}`, html_url: `${base}/${r.name}/pull/${p.number}`, url: `${base}/repos/${r.name}/pulls/${p.number}`, user: user(p.by), merged: p.merged, state: p.state,
	head: {ref: p.branch, label: `${r.name.split('/')[0]}:${p.branch}`, sha: (p.head = sha(r.name, `refs/heads/${p.branch}`) || p.head), repo: repository(p.fork ?? r.name)}, base: {ref: p.target, sha: sha(r.name, `refs/heads/${p.target}`), repo: repository(r.name)}});
const issue = (r, i) => ({...i, node_id: `I_${i.number}`, html_url: `${base}/${r.name}/issues/${i.number}`, user: user(i.by), labels: i.labels.map((name) => ({name})), assignee: i.assignee ? user(i.assignee) : null});
const comment = (r, c) => ({...c, html_url: `${base}/${r.name}/issues/${c.number}#issuecomment-${c.id}`, user: user(c.by), created_at: c.at, updated_at: c.at});

// ---- webhooks
function send(delivery) {
	const body = Buffer.from(delivery.body);
	const headers = {'user-agent': 'GitHub-Hookshot/fake', 'x-github-event': delivery.event, 'x-github-delivery': delivery.guid,
		'x-hub-signature-256': 'sha256=' + createHmac('sha256', hook.secret).update(body).digest('hex')};
	const attempt = {id: id(), guid: delivery.guid, event: delivery.event, action: JSON.parse(delivery.body).action ?? null, delivered_at: now(), redelivery: delivery.sent > 0, duration: 0.1, status: 'failed', status_code: 0, installation_id: 99, repository_id: 7};
	delivery.sent++;
	deliveries.unshift({...attempt, body: delivery.body});
	if (hook.lost || !hook.url) return;
	post(hook.url, headers, body, (status) => Object.assign(deliveries.find((d) => d.id === attempt.id), {status_code: status, status: status < 300 ? 'OK' : 'failed'}));
}
function tell(event, payload, by) {
	const delivery = {guid: randomUUID(), event, sent: 0, body: JSON.stringify({...payload, sender: user(by), installation: {id: 99}})};
	send(delivery);
	if (hook.twice) send(delivery);
	return delivery.guid;
}

// ---- REST
const fail = (status, message, more = {}, headers = {}) => ({status, body: {message, documentation_url: 'https://docs.github.com/rest', ...more}, headers});
const good = (body, status = 200) => ({status, body});
const routes = [
	['GET', /^\/app$/, () => good({id: 4242, slug: app.slug, permissions, events: ['issues', 'issue_comment', 'pull_request', 'pull_request_review', 'pull_request_review_comment', 'push', 'check_run', 'workflow_run', 'repository']})],
	['GET', /^\/app\/hook\/config$/, () => good({url: hook.url, content_type: 'json', secret: '********', insecure_ssl: '0'})],
	['GET', /^\/app\/hook\/deliveries$/, (m, q) => {
		const from = q.get('cursor') ? deliveries.findIndex((d) => d.id === +q.get('cursor')) : 0;
		const page = deliveries.slice(from, from + 100), rest = deliveries[from + 100];
		return {...good(page.map(({body, ...d}) => d)), headers: rest ? {link: `<${base}${below}/app/hook/deliveries?per_page=100&cursor=${rest.id}>; rel="next"`} : {}};
	}],
	['POST', /^\/app\/hook\/deliveries\/(\d+)\/attempts$/, (m) => {
		const d = deliveries.find((x) => x.id === +m[1]);
		if (!d) return fail(404, 'Not Found');
		send({guid: d.guid, event: d.event, body: d.body, sent: 1});
		return good({}, 202);
	}],
	['POST', /^\/app\/installations\/(\d+)\/access_tokens$/, (m, q, body) => {
		for (const [name, level] of Object.entries(body.permissions ?? {}))
			if (!permissions[name] || (level === 'write' && permissions[name] === 'read')) return fail(422, 'The permissions requested are not granted to this installation.');
		const token = 'ghs_' + randomUUID().replaceAll('-', '');
		tokens.set(token, {repositories: body.repositories, permissions: body.permissions});
		return good({token, expires_at: new Date(Date.now() + 3600e3).toISOString(), permissions: body.permissions, repository_selection: 'selected'}, 201);
	}],
	['GET', /^\/repos\/([^/]+\/[^/]+)\/installation$/, (m) => repo(m[1]) ? good({id: 99, permissions, suspended_at: null, app_slug: app.slug}) : fail(404, 'Not Found')],
];
const at = (method, path, act) => routes.push([method, new RegExp(`^/repos/([^/]+/[^/]+)${path}$`), (m, q, body, who) => {
	const r = repo(m[1]);
	return r ? act(r, m.slice(2), body, q, who) : fail(404, 'Not Found');
}]);
at('GET', '', (r) => good(repository(r.name)));
at('GET', '/pulls', (r, m, b, q) => good(r.pulls.filter((p) => (q.get('state') ?? 'open') === 'all' || p.state === (q.get('state') ?? 'open')).filter((p) => !q.get('head')?.includes(':') || q.get('head') === `${r.name.split('/')[0]}:${p.branch}`).map((p) => pull(r, p)).reverse()));
at('POST', '/pulls', (r, m, body, q, who) => {
	if (!sha(r.name, `refs/heads/${body.head}`)) return fail(422, 'Validation Failed', {errors: [{resource: 'PullRequest', field: 'head', code: 'invalid'}]});
	if (r.pulls.some((p) => p.branch === body.head && p.state === 'open')) return fail(422, 'Validation Failed', {errors: [{resource: 'PullRequest', code: 'custom', message: `A pull request already exists for ${r.name.split('/')[0]}:${body.head}.`}]});
	if (mergeBase(r.name, sha(r.name, `refs/heads/${body.base}`), sha(r.name, `refs/heads/${body.head}`)) === sha(r.name, `refs/heads/${body.head}`)) return fail(422, 'Validation Failed', {errors: [{resource: 'PullRequest', code: 'custom', message: `No commits between ${body.base} and ${body.head}`}]});
	const p = {id: id(), number: ++r.count, title: body.title, body: body.body, draft: !!body.draft, branch: body.head, target: body.base, state: 'open', merged: false, by: who};
	r.pulls.push(p);
	tell('pull_request', {action: 'opened', number: p.number, pull_request: pull(r, p), repository: repository(r.name)}, who);
	return good(pull(r, p), 201);
});
const pullOf = (act) => (r, m, ...rest) => { const p = r.pulls.find((x) => x.number === +m[0]); return p ? act(r, p, m, ...rest) : fail(404, 'Not Found'); };
const closed = (r, p, by) => tell('pull_request', {action: 'closed', number: p.number, pull_request: pull(r, p), repository: repository(r.name)}, by);
at('GET', '/pulls/(\\d+)', pullOf((r, p) => good(pull(r, p))));
at('PATCH', '/pulls/(\\d+)', pullOf((r, p, m, body, q, who) => {
	const was = p.state;
	Object.assign(p, body);
	if (was === 'open' && p.state === 'closed') closed(r, p, who);
	return good(pull(r, p));
}));
function merge(r, p, by) {
	const head = sha(r.name, `refs/heads/${p.branch}`), into = sha(r.name, `refs/heads/${p.target}`);
	const commit = merged(r.name, into, head);
	git(r.name, 'update-ref', `refs/heads/${p.target}`, commit);
	Object.assign(p, {state: 'closed', merged: true, merged_at: now(), merge_commit_sha: commit});
	closed(r, p, by);
	tell('push', {ref: `refs/heads/${p.target}`, before: into, after: commit, repository: repository(r.name)}, by);
	return commit;
}
at('PUT', '/pulls/(\\d+)/merge', pullOf((r, p, m, body, q, who) => p.state !== 'open' ? fail(405, 'Pull Request is not mergeable') : body.sha && body.sha !== sha(r.name, `refs/heads/${p.branch}`) ? fail(409, 'Head branch was modified. Review and try the merge again.') : good({sha: merge(r, p, who), merged: true, message: 'Pull Request successfully merged'})));
at('GET', '/pulls/(\\d+)/reviews/(\\d+)', (r, m) => { const found = r.reviews.find((x) => x.id === +m[1]); return found ? good({...found, state: found.state.toUpperCase()}) : fail(404, 'Not Found'); });
at('GET', '/pulls/(\\d+)/reviews/(\\d+)/comments', (r, m) => good(r.lines.filter((c) => c.pull_request_review_id === +m[1]).map((c) => comment(r, c))));
at('GET', '/pulls/(\\d+)/comments', (r, m) => good(r.lines.filter((c) => c.number === +m[0]).map((c) => comment(r, c))));
at('POST', '/pulls/(\\d+)/comments/(\\d+)/replies', (r, m, body, q, who) => {
	const first = r.lines.find((c) => c.id === +m[1]);
	if (!first) return fail(404, 'Not Found');
	const c = {id: line_id(), number: +m[0], body: body.body, path: first.path, line: first.line, in_reply_to_id: first.id, by: who, at: now()};
	r.lines.push(c);
	return good(comment(r, c), 201);
});
at('GET', '/issues/(\\d+)', (r, m) => { const i = r.issues.find((x) => x.number === +m[0]); return i ? good(issue(r, i)) : fail(404, 'Not Found'); });
at('GET', '/issues/(\\d+)/comments', (r, m) => good(r.comments.filter((c) => c.number === +m[0]).map((c) => comment(r, c))));
at('POST', '/issues/(\\d+)/comments', (r, m, body, q, who) => { const c = {id: id(), number: +m[0], body: body.body, by: who, at: now()}; r.comments.push(c); return good(comment(r, c), 201); });
at('PATCH', '/issues/comments/(\\d+)', (r, m, body) => { const c = r.comments.find((x) => x.id === +m[0]); if (!c) return fail(404, 'Not Found'); c.body = body.body; c.edits = (c.edits ?? 0) + 1; return good(comment(r, c)); });
const react = (r, m, body, q, who) => { const key = `${m[0]}/${body.content}/${who}`, was = r.reactions.includes(key); if (!was) r.reactions.push(key); return good({id: id(), content: body.content, user: user(who)}, was ? 200 : 201); };
at('POST', '/issues/comments/(\\d+)/reactions', react);
at('POST', '/pulls/comments/(\\d+)/reactions', react);
at('GET', '/collaborators/([^/]+)/permission', (r, m) => members.has(m[0]) ? good({permission: members.get(m[0]), role_name: members.get(m[0]), user: user(m[0])}) : fail(404, `${m[0]} is not a user`));
const checkRun = (c) => ({...c, output: {title: c.output?.title ?? null, summary: c.output?.summary ?? null, text: null, annotations_count: c.annotations.length}, annotations: undefined});
function checkWrite(r, c, body) {
	const {output, ...rest} = body;
	if ((output?.annotations?.length ?? 0) > 50) return fail(422, 'Invalid request.\n\nNo more than 50 items are allowed');
	Object.assign(c, rest, output ? {output} : {});
	if (body.conclusion) c.status = 'completed';
	c.annotations.push(...(output?.annotations ?? []));
	return good(checkRun(c), 201);
}
at('GET', '/commits/([^/]+)/check-runs', (r, m, b, q) => { const list = r.checks.filter((c) => c.head_sha === m[0] && (!q.get('check_name') || c.name === q.get('check_name'))); return good({total_count: list.length, check_runs: list.map(checkRun)}); });
at('POST', '/check-runs', (r, m, body) => { const c = {id: id(), annotations: []}; const answer = checkWrite(r, c, body); if (answer.status === 201) r.checks.push(c); return answer; });
at('PATCH', '/check-runs/(\\d+)', (r, m, body) => { const c = r.checks.find((x) => x.id === +m[0]); return c ? {...checkWrite(r, c, body), status: 200} : fail(404, 'Not Found'); });
at('POST', '/statuses/([0-9a-f]+)', (r, m, body) => { r.statuses.push({sha: m[0], ...body}); return good({id: id(), ...body}, 201); });
at('GET', '/deployments', (r, m, b, q) => good(r.deployments.filter((d) => (!q.get('environment') || d.environment === q.get('environment')) && (!q.get('sha') || d.sha === q.get('sha'))).map(({statuses, ...d}) => d)));
at('POST', '/deployments', (r, m, body) => {
	if (body.auto_merge !== false) return good({message: 'Auto-merged main into topic on deployment.'}, 202);
	if (!Array.isArray(body.required_contexts) || body.required_contexts.length) return fail(409, 'Conflict: Commit status checks failed for ' + body.ref);
	const d = {id: id(), sha: sha(r.name, body.ref), ref: body.ref, environment: body.environment, payload: body.payload, statuses: []};
	r.deployments.unshift(d);
	return good({...d, statuses: undefined}, 201);
});
at('GET', '/deployments/(\\d+)/statuses', (r, m) => good(r.deployments.find((d) => d.id === +m[0])?.statuses ?? []));
at('POST', '/deployments/(\\d+)/statuses', (r, m, body) => { const d = r.deployments.find((x) => x.id === +m[0]); if (!d) return fail(404, 'Not Found'); d.statuses.unshift({id: id(), environment_url: '', ...body}); return good(d.statuses[0], 201); });
at('GET', '/actions/runs/(\\d+)/jobs', () => good({total_count: 1, jobs: [{id: 31, name: 'build', conclusion: 'failure', steps: [{name: 'make test', conclusion: 'failure'}]}]}));
at('GET', '/actions/jobs/(\\d+)/logs', () => ({status: 302, headers: {location: `${base}/_/log`}}));

// ---- what people do: POST /_/WHAT {repository, by, …}
const acts = {
	log: () => ({raw: 'cc -o app\nerror: the log says why\n'}),
	reset: () => { repos.clear(); return {}; },
	seen: (b, r) => ({pulls: r.pulls.map((p) => ({number: p.number, branch: p.branch, state: p.merged ? 'merged' : p.state, draft: p.draft, title: p.title, body: p.body})), notes: r.comments.map((c) => ({number: c.number, pull: r.pulls.some((p) => p.number === c.number), by: c.by, body: c.body})),
		replies: r.lines.filter((l) => l.in_reply_to_id).map((l) => ({thread: String(l.in_reply_to_id), body: l.body})), checks: r.checks.map((c) => ({sha: c.head_sha, name: c.name, state: c.conclusion ?? c.status, images: c.output?.images ?? []})),
		resolved: r.lines.filter((l) => l.resolved).map((l) => ({thread: String(l.id), times: l.resolved})),
		deployments: r.deployments.map((d) => ({sha: d.sha, environment: d.environment, live: d.statuses[0]?.state === 'success', url: d.statuses[0]?.environment_url})), writes: calls.length, wrong}),
	hook: (b) => { Object.assign(hook, b); return {}; },
	inject,
	revoke: () => { tokens.clear(); return {}; },
	label: (b, r) => { const i = r.issues.find((x) => x.number === b.number); i.labels.push(b.label); return {guid: tell('issues', {action: 'labeled', issue: issue(r, i), label: {name: b.label}, repository: repository(r.name)}, b.by)}; },
	issue: (b, r) => { const i = {id: id(), number: ++r.count, title: b.title, body: b.body, state: 'open', labels: [], by: b.by}; r.issues.push(i); tell('issues', {action: 'opened', issue: issue(r, i), repository: repository(r.name)}, b.by); return i; },
	comment: (b, r) => {
		const p = r.pulls.find((x) => x.number === b.number), i = r.issues.find((x) => x.number === b.number), c = {id: id(), number: b.number, body: b.body, by: b.by, at: now()};
		r.comments.push(c);
		tell('issue_comment', {action: 'created', comment: comment(r, c), issue: p ? {number: p.number, title: p.title, body: p.body, html_url: `${base}/x`, pull_request: {url: 'x'}} : issue(r, i), repository: repository(r.name)}, b.by);
		return {id: c.id};
	},
	review: (b, r) => {
		const p = r.pulls.find((x) => x.number === b.number), review = {id: id(), state: b.state, body: b.body ?? '', submitted_at: now(), user: user(b.by)};
		const lines = (b.lines ?? []).map((l) => ({id: line_id(), number: p.number, pull_request_review_id: review.id, by: b.by, at: now(), ...l}));
		r.lines.push(...lines);
		r.reviews.push(review);
		const told = [() => tell('pull_request_review', {action: 'submitted', review, pull_request: pull(r, p), repository: repository(r.name)}, b.by),
			...lines.map((l) => () => tell('pull_request_review_comment', {action: 'created', comment: comment(r, l), pull_request: pull(r, p), repository: repository(r.name)}, b.by))];
		for (const one of b.reversed ? told.reverse() : told) one();
		return {review: review.id, lines: lines.map((l) => l.id)};
	},
	merge: (b, r) => ({sha: merge(r, r.pulls.find((x) => x.number === b.number), b.by)}),
	close: (b, r) => { const p = r.pulls.find((x) => x.number === b.number); p.state = 'closed'; closed(r, p, b.by); return {}; },
	pull: (b, r) => { const p = {id: id(), number: ++r.count, title: b.title, body: '', draft: false, branch: b.branch, target: 'main', state: 'open', merged: false, by: b.by, fork: b.fork, head: sha(r.name, `refs/heads/${b.branch}`)}; r.pulls.push(p); git(r.name, 'update-ref', `refs/pull/${p.number}/head`, p.head); tell('pull_request', {action: 'opened', number: p.number, pull_request: pull(r, p), repository: repository(r.name)}, b.by); return {number: p.number}; },
	failure: (b, r) => { const p = r.pulls.find((x) => x.number === b.number); return {guid: tell('workflow_run', {action: 'completed', workflow_run: {id: id(), name: 'CI', conclusion: 'failure', run_attempt: 1, head_sha: pull(r, p).head.sha, head_branch: p.branch, pull_requests: [{number: p.number}], html_url: `${base}/x`}, repository: repository(r.name)}, 'github')}; },
};

// ---- serving
const kinds = {
	401: () => fail(401, 'Bad credentials'),
	primary: () => fail(403, 'API rate limit exceeded for installation ID 99.', {}, {'x-ratelimit-limit': '5000', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(Math.floor(Date.now() / 1000) + 2), 'x-ratelimit-resource': 'core'}),
	limit: () => kinds.primary(), busy: () => fail(429, 'You have exceeded a secondary rate limit.'),
	secondary: () => fail(403, 'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.', {}, {'retry-after': '1'}),
	429: () => fail(429, 'API rate limit exceeded', {}, {'retry-after': '1'}),
	403: () => fail(403, 'Resource not accessible by integration', {}, {'x-accepted-github-permissions': 'checks=write'}),
	500: () => fail(500, 'Server Error'), html502: () => html(502), moved: () => ({status: 301, body: {message: 'Moved Permanently', url: `${base}/repositories/7`}, headers: {location: `${base}/repositories/7`}}),
};
function who(header, path) {
	const token = /^Bearer (.+)$/.exec(header ?? '')?.[1] ?? '';
	if (token.split('.').length === 3) {
		const [head, claims, signature] = token.split('.'), verify = createVerify('RSA-SHA256').update(`${head}.${claims}`), said = JSON.parse(Buffer.from(claims, 'base64url'));
		if (!verify.verify(app.key, Buffer.from(signature, 'base64url')) || said.iss !== app.id || said.exp - said.iat > 660 || said.exp < Date.now() / 1000) return null;
		return path.startsWith('/app') || path.endsWith('/installation') ? 'the app' : null;
	}
	const known = tokens.get(token);
	if (path === '/graphql') return known ? `${app.slug}[bot]` : null;
	return known && !path.startsWith('/app') && known.repositories.includes(path.split('/')[3]) ? `${app.slug}[bot]` : null;
}
function graphql(body) {
	// Threads: their ids are GraphQL's own, and say nothing of the comments'.
	if (body.query.includes('reviewThreads')) {
		const {owner, name, number, after} = body.variables, all = (repo(`${owner}/${name}`)?.lines ?? []).filter((l) => l.number === number && !l.in_reply_to_id), from = +(after ?? 0), page = all.slice(from, from + THREADS_PAGE);
		return good({data: {repository: {pullRequest: {reviewThreads: {nodes: page.map((l) => ({id: `PRRT_${l.id * 7}`, isResolved: !!l.resolved, comments: {nodes: [{fullDatabaseId: String(l.id)}]}})),
			pageInfo: {hasNextPage: from + page.length < all.length, endCursor: String(from + page.length)}}}}}});
	}
	if (body.query.includes('resolveReviewThread')) {
		const line = [...repos.values()].flatMap((r) => r.lines).find((l) => `PRRT_${l.id * 7}` === body.variables.id);
		if (!line) return good({data: null, errors: [{type: 'NOT_FOUND', message: 'Could not resolve to a node'}]});
		line.resolved = (line.resolved ?? 0) + 1;
		return good({data: {resolveReviewThread: {thread: {isResolved: true}}}});
	}
	for (const r of repos.values()) {
		const p = r.pulls.find((x) => `PR_${x.number}` === body.variables.id);
		if (p) {
			p.draft = body.query.includes('convertPullRequestToDraft');
			return good({data: {changed: {pullRequest: {isDraft: p.draft}}}});
		}
	}
	return good({data: null, errors: [{type: 'NOT_FOUND', message: 'Could not resolve to a node'}]});
}
/** An Enterprise Server has all of it below its own address, GraphQL beside it. */
const below = process.env.ENTERPRISE ? '/api/v3' : '';
function rest(req, url, body) {
	if (below) {
		const path = url.pathname === '/api/graphql' ? '/graphql' : url.pathname.startsWith(`${below}/`) && url.pathname.slice(below.length);
		if (!path || path === `${below}/graphql`) {
			wrong.push(`${req.method} ${url.pathname}: nothing of an Enterprise Server`);
			return fail(404, 'Not Found');
		}
		url.pathname = path;
	}
	const line = `${req.method} ${url.pathname}`;
	if (req.method !== 'GET') calls.push(line);
	const kind = injection(line);
	if (kind && kind !== 'lost') return kinds[kind]();
	const by = who(req.headers.authorization, url.pathname);
	if (!by) return fail(401, 'Bad credentials');
	if (!req.headers['user-agent'] || req.headers['x-github-api-version'] !== '2022-11-28') return fail(400, 'headers');
	if (url.pathname === '/graphql') return {...graphql(body), lost: kind === 'lost'};
	check(req.method, url.pathname, body);
	for (const [method, pattern, act] of routes) {
		const m = method === req.method && pattern.exec(url.pathname);
		if (m) return {...act(m, url.searchParams, body ?? {}, by), lost: kind === 'lost'};
	}
	wrong.push(`${line}: not here`);
	return fail(404, 'Not Found');
}
for (const [name, act] of Object.entries(acts)) acts[name] = (b) => act(b, repo(b.repository ?? ''));
serve({
	rest, acts,
	allowed: (who, password, name, push) => {
		const known = tokens.get(password);
		return known?.repositories.includes(name.split('/')[1]) && (push ? ['write'] : ['read', 'write']).includes(known.permissions?.contents);
	},
	pushed: (name) => {
		for (const p of repo(name)?.pulls ?? []) {
			const is = sha(name, `refs/heads/${p.branch}`);
			if (p.state === 'open' && is && is !== p.head) { const before = p.head; p.head = is; tell('pull_request', {action: 'synchronize', number: p.number, before, after: is, pull_request: pull(repo(name), p), repository: repository(name)}, `${app.slug}[bot]`); }
		}
	},
	state: () => ({repos: [...repos.values()].map((r) => ({...r, pulls: r.pulls.map((p) => ({...p, sha: sha(r.name, `refs/heads/${p.branch}`)}))})), deliveries: deliveries.map(({body: b, ...d}) => d)}),
}, (at) => { base = at; });
