// Gitea and Forgejo as Assay needs them: REST v1, git over smart HTTP, signed webhooks. Shares no code with the product. With TYPES=FILE (types_make.mjs made it of
// gitea-js) what is asked and what is answered is held against the typed client.
// usage: node gitea.mjs FOLDER    prints its port; below FOLDER/OWNER/NAME.git are bare repositories. What people do there is POST /_/….
import {createHmac, randomUUID} from 'node:crypto';
import {calls, git, html, id, inject, injection, merged, now, send, serve, sha, there, wrong} from './host.mjs';
import {types} from './types.mjs';

const token = 'gitea-' + 'f'.repeat(34), bot = 'assay-bot';
const hook = {url: '', secret: 'hush', lost: false, twice: false, forgejo: false, events: ['issues', 'issue_label', 'issue_assign', 'issue_comment', 'pull_request', 'pull_request_sync', 'pull_request_comment', 'push']};
const repos = new Map();
const people = new Map([['alice', [11, 'write']], ['bob', [12, 'admin']], ['mallory', [13, 'read']], [bot, [14, 'admin']], ['carol', [15, 'none']]]);
let base = '';

const user = (login) => ({id: people.get(login)?.[0] ?? 99, login, full_name: login, email: `${login}@example.test`, html_url: `${base}/${login}`});
const repo = (name) => {
	if (!repos.has(name) && there(name)) repos.set(name, {name, pulls: [], issues: [], comments: [], reviews: [], lines: [], assets: [], statuses: [], reactions: [], count: 0});
	return repos.get(name);
};
const repository = (name) => ({id: 7, name: name.split('/')[1], full_name: name, private: true, default_branch: 'main', html_url: `${base}/${name}`, owner: user(name.split('/')[0]), permissions: {admin: people.get(bot)[1] === 'admin', push: true, pull: true}});
const head = (r, p) => (p.head = sha(r.name, `refs/heads/${p.branch}`) || p.head);
const draft = (title) => /^(WIP:|\[WIP\])/i.test(title);
const pull = (r, p) => ({id: p.id, number: p.number, title: p.title, body: p.body, state: p.state, draft: draft(p.title), merged: p.merged ?? false, mergeable: p.state === 'open', user: user(p.by), html_url: `${base}/${r.name}/pulls/${p.number}`, updated_at: now(), created_at: p.at,
	head: {label: p.branch, ref: p.branch, sha: head(r, p), repo_id: 7, repo: repository(p.fork ?? r.name)}, base: {label: p.target, ref: p.target, sha: sha(r.name, `refs/heads/${p.target}`), repo_id: 7, repo: repository(r.name)}});
const issue = (r, i) => ({id: i.id, number: i.number, title: i.title, body: i.body, state: i.state, user: user(i.by), html_url: `${base}/${r.name}/issues/${i.number}`, labels: i.labels.map((name) => ({id: 1, name})), assignees: i.assignees.map(user), created_at: i.at, updated_at: now()});
const comment = (r, c) => ({id: c.id, body: c.body, user: user(c.by), html_url: `${base}/${r.name}/issues/${c.number}#issuecomment-${c.id}`, created_at: c.at, updated_at: c.at});
const line = (r, l) => ({id: l.id, body: l.body, path: l.path, position: l.line, original_position: 0, user: user(l.by), pull_request_review_id: l.review, html_url: `${base}/${r.name}/pulls/${l.number}#issuecomment-${l.id}`, created_at: l.at, updated_at: l.at});

// ---- webhooks
function tell(event, full, payload, by) {
	const body = Buffer.from(JSON.stringify({...payload, sender: user(by)})), guid = randomUUID(), signature = createHmac('sha256', hook.secret).update(body).digest('hex');
	const names = (mark) => ({[`x-${mark}-delivery`]: guid, [`x-${mark}-event`]: event, [`x-${mark}-event-type`]: full, [`x-${mark}-signature`]: signature});
	const headers = {...names('gitea'), ...(hook.forgejo ? names('forgejo') : {}), 'x-github-delivery': guid, 'x-github-event': event, 'x-hub-signature-256': `sha256=${signature}`, 'user-agent': 'Go-http-client/1.1'};
	for (let i = 0; hook.url && !hook.lost && i < (hook.twice ? 2 : 1); i++) send(hook.url, headers, body);
}
const tellPull = (r, p, action, by, event = 'pull_request') => tell('pull_request', event, {action, number: p.number, pull_request: pull(r, p), repository: repository(r.name)}, by);
const tellIssue = (r, i, action, by, event = 'issues') => tell('issues', event, {action, number: i.number, issue: issue(r, i), repository: repository(r.name)}, by);
function tellComment(r, c) {
	const p = r.pulls.find((x) => x.number === c.number), i = r.issues.find((x) => x.number === c.number);
	tell('issue_comment', p ? 'pull_request_comment' : 'issue_comment', {action: 'created', comment: comment(r, c), is_pull: !!p, issue: p ? {...issue(r, {...p, labels: [], assignees: []}), pull_request: {merged: false}} : issue(r, i), repository: repository(r.name)}, c.by);
}

// ---- REST
const fail = (status, message, headers = {}) => ({status, body: {message, url: `${base}/api/swagger`}, headers});
const good = (body, status = 200) => ({status, body, headers: {}});
const missing = () => fail(404, "The target couldn't be found.");
const routes = [];
const at = (method, path, call, type, act) => routes.push({method, pattern: new RegExp(`^/repos/([^/]+/[^/]+)${path}$`), call, type, act: (m, ...rest) => { const r = repo(m[1]); return r ? act(r, m.slice(2), ...rest) : missing(); }});
const pullOf = (act) => (r, m, ...rest) => { const p = r.pulls.find((x) => x.number === +m[0]); return p ? act(r, p, m, ...rest) : missing(); };

routes.push({method: 'GET', pattern: /^\/user$/, call: 'userGetCurrent', type: 'User', act: () => good(user(bot))});
at('GET', '', 'repoGet', 'Repository', (r) => good(repository(r.name)));
at('GET', '/hooks', 'repoListHooks', 'Hook[]', () => good(hook.url ? [{id: 1, type: 'gitea', active: true, config: {url: hook.url, content_type: 'json'}, events: hook.events}] : []));
at('GET', '/collaborators/([^/]+)/permission', 'repoGetRepoPermissions', 'RepoCollaboratorPermission', (r, m) => people.has(m[0]) ? good({permission: people.get(m[0])[1], role_name: people.get(m[0])[1], user: user(m[0])}) : missing());
at('GET', '/branches/(.+)', 'repoGetBranch', 'Branch', (r, m) => { const commit = sha(r.name, `refs/heads/${decodeURIComponent(m[0])}`); return commit ? good({name: decodeURIComponent(m[0]), commit: {id: commit}}) : missing(); });
at('GET', '/pulls', 'repoListPullRequests', 'PullRequest[]', (r, m, q) => good(r.pulls.filter((p) => q.get('state') === 'all' || p.state === (q.get('state') ?? 'open')).map((p) => pull(r, p))));
at('POST', '/pulls', 'repoCreatePullRequest', 'PullRequest', (r, m, q, body, who) => {
	if (!sha(r.name, `refs/heads/${body.head}`)) return missing();
	const other = r.pulls.find((p) => p.branch === body.head && p.target === body.base && p.state === 'open' && !p.fork);
	if (other) return fail(409, `pull request already exists for these targets [id: ${other.id}, issue_id: ${other.id}, head_repo_id: 7, base_repo_id: 7, head_branch: ${body.head}, base_branch: ${body.base}]`);
	const p = {id: id(), number: ++r.count, title: body.title, body: body.body, branch: body.head, target: body.base, state: 'open', by: who, at: now()};
	r.pulls.push(p);
	git(r.name, 'update-ref', `refs/pull/${p.number}/head`, head(r, p));
	tellPull(r, p, 'opened', who);
	return good(pull(r, p), 201);
});
at('GET', '/pulls/(\\d+)', 'repoGetPullRequest', 'PullRequest', pullOf((r, p) => good(pull(r, p))));
at('PATCH', '/pulls/(\\d+)', 'repoEditPullRequest', 'PullRequest', pullOf((r, p, m, q, body, who) => {
	const was = p.state;
	Object.assign(p, body);
	if (was === 'open' && p.state === 'closed') tellPull(r, p, 'closed', who);
	return good(pull(r, p), 201);
}));
function accept(r, p, by) {
	const into = sha(r.name, `refs/heads/${p.target}`), commit = merged(r.name, into, head(r, p));
	git(r.name, 'update-ref', `refs/heads/${p.target}`, commit);
	Object.assign(p, {state: 'closed', merged: true, merge_commit_sha: commit});
	tellPull(r, p, 'closed', by);
	tell('push', 'push', {ref: `refs/heads/${p.target}`, before: into, after: commit, repository: repository(r.name), pusher: user(by)}, by);
	return commit;
}
at('POST', '/pulls/(\\d+)/merge', 'repoMergePullRequest', null, pullOf((r, p, m, q, body, who) => {
	if (p.merged) return fail(405, 'The PR is already merged');
	if (p.state !== 'open' || draft(p.title)) return fail(405, 'Please try again later');
	if (body.head_commit_id && body.head_commit_id !== head(r, p)) return fail(409, 'head out of date');
	accept(r, p, who);
	return {status: 200, raw: '', headers: {}};
}));
at('GET', '/pulls/(\\d+)/reviews', 'repoListPullReviews', 'PullReview[]', (r, m) => good(r.reviews.filter((x) => x.number === +m[0]).map((x) => ({id: x.id, user: user(x.by), body: x.body, state: x.state, comments_count: r.lines.filter((l) => l.review === x.id).length, dismissed: false, stale: false, official: true, submitted_at: x.at}))));
at('GET', '/pulls/(\\d+)/reviews/(\\d+)/comments', 'repoGetPullReviewComments', 'PullReviewComment[]', (r, m) => good(r.lines.filter((l) => l.review === +m[1]).map((l) => line(r, l))));
at('GET', '/issues/(\\d+)', 'issueGetIssue', 'Issue', (r, m) => { const i = r.issues.find((x) => x.number === +m[0]); return i ? good(issue(r, i)) : missing(); });
at('GET', '/issues/(\\d+)/comments', 'issueGetComments', 'Comment[]', (r, m) => ({...good(r.comments.filter((c) => c.number === +m[0]).map((c) => comment(r, c))), whole: true}));
at('POST', '/issues/(\\d+)/comments', 'issueCreateComment', 'Comment', (r, m, q, body, who) => { const c = {id: id(), number: +m[0], body: body.body, by: who, at: now()}; r.comments.push(c); tellComment(r, c); return good(comment(r, c), 201); });
at('PATCH', '/issues/comments/(\\d+)', 'issueEditComment', 'Comment', (r, m, q, body) => { const c = r.comments.find((x) => x.id === +m[0]); if (!c) return missing(); c.body = body.body; return good(comment(r, c)); });
at('POST', '/issues/comments/(\\d+)/reactions', 'issuePostCommentReaction', 'Reaction', (r, m, q, body, who) => { const key = `${m[0]}/${body.content}/${who}`, was = r.reactions.includes(key); if (!was) r.reactions.push(key); return good({content: body.content, user: user(who), created_at: now()}, was ? 200 : 201); });
const asset = (r, a) => ({id: a.id, uuid: a.uuid, name: a.file, size: Buffer.from(a.bytes, 'base64').length, download_count: 0, created_at: a.at, browser_download_url: `${base}/attachments/${a.uuid}`});
at('GET', '/issues/(\\d+)/assets', 'issueListIssueAttachments', 'Attachment[]', (r, m) => ({...good(r.assets.filter((a) => a.number === +m[0]).map((a) => asset(r, a))), whole: true}));
at('POST', '/issues/(\\d+)/assets', 'issueCreateIssueAttachment', 'Attachment', (r, m, q, body) => {
	if (!body.attachment) return fail(400, 'attachment is missing');
	const a = {id: id(), uuid: randomUUID(), number: +m[0], at: now(), ...body.attachment};
	r.assets.push(a);
	return good(asset(r, a), 201);
});
const status = (s) => ({id: s.id, status: s.state, context: s.context, description: s.description, target_url: s.target_url, creator: user(bot), created_at: s.at, updated_at: s.at});
at('GET', '/commits/([0-9a-f]+)/statuses', 'repoListStatusesByRef', 'CommitStatus[]', (r, m) => good(r.statuses.filter((s) => s.sha === m[0]).sort((a, b) => b.id - a.id).map(status)));
at('POST', '/statuses/([0-9a-f]+)', 'repoCreateStatus', 'CommitStatus', (r, m, q, body) => { if (!sha(r.name, m[0])) return missing(); const s = {id: id(), sha: m[0], at: now(), ...body}; r.statuses.push(s); return good(status(s), 201); });

// ---- what people do: POST /_/WHAT {repository, by, …}
const newest = (r, of) => [...new Map(r.statuses.filter(of).map((s) => [`${s.sha} ${s.context}`, s])).values()];
const acts = {
	inject,
	reset: () => { repos.clear(); return {}; },
	hook: (b) => { Object.assign(hook, b); return {}; },
	seen: (b, r) => ({
		pulls: r.pulls.map((p) => ({number: p.number, branch: p.branch, state: p.merged ? 'merged' : p.state, draft: draft(p.title), title: p.title, body: p.body})), notes: r.comments.filter((c) => !/> \[to this\]/.test(c.body)).map((c) => ({number: c.number, pull: r.pulls.some((p) => p.number === c.number), by: c.by, body: c.body})),
		replies: r.comments.filter((c) => /> \[to this\]/.test(c.body)).map((c) => ({thread: /issuecomment-(\d+)/.exec(c.body)[1], body: c.body})), pictures: r.assets.map((a) => ({name: a.file, bytes: a.bytes, url: asset(r, a).browser_download_url})), checks: newest(r, (s) => s.context === 'assay').map((s) => ({sha: s.sha, name: s.context, state: s.state})),
		deployments: newest(r, (s) => s.context === 'assay/preview').map((s) => ({sha: s.sha, environment: '', live: !!s.target_url, url: s.target_url})), rows: r.statuses.length, writes: calls.length, wrong}),
	issue: (b, r) => { const i = {id: id(), number: ++r.count, title: b.title, body: b.body, state: 'open', labels: [], assignees: [], by: b.by, at: now()}; r.issues.push(i); tellIssue(r, i, 'opened', b.by); return {number: i.number}; },
	label: (b, r) => { const i = r.issues.find((x) => x.number === b.number); i.labels.push(b.label); tellIssue(r, i, 'label_updated', b.by, 'issue_label'); return {}; },
	assign: (b, r) => { const i = r.issues.find((x) => x.number === b.number); i.assignees = b.to ? [b.to] : []; tellIssue(r, i, b.to ? 'assigned' : 'unassigned', b.by, 'issue_assign'); return {}; },
	comment: (b, r) => { const c = {id: id(), number: b.number, body: b.body, by: b.by, at: now()}; r.comments.push(c); tellComment(r, c); return {id: c.id}; },
	review: (b, r) => {
		const p = r.pulls.find((x) => x.number === b.number), type = {changes_requested: 'pull_request_review_rejected', approved: 'pull_request_review_approved'}[b.state] ?? 'pull_request_review_comment';
		const one = {id: id(), number: b.number, by: b.by, body: b.body ?? '', state: {changes_requested: 'REQUEST_CHANGES', approved: 'APPROVED'}[b.state] ?? 'COMMENT', at: now()};
		r.reviews.push(one);
		const lines = b.lines.map((l) => ({id: id(), number: b.number, review: one.id, by: b.by, at: now(), ...l}));
		r.lines.push(...lines);
		tell(type.replace('_review', ''), type, {action: 'reviewed', number: p.number, pull_request: pull(r, p), repository: repository(r.name), review: {type, content: one.body}}, b.by);
		return {review: user(b.by).id, lines: lines.map((l) => l.id)};
	},
	merge: (b, r) => ({sha: accept(r, r.pulls.find((x) => x.number === b.number), b.by)}),
	close: (b, r) => { const p = r.pulls.find((x) => x.number === b.number); p.state = 'closed'; tellPull(r, p, 'closed', b.by); return {}; },
	pull: (b, r) => { const p = {id: id(), number: ++r.count, title: b.title, body: '', branch: b.branch, target: 'main', state: 'open', by: b.by, fork: b.fork, at: now()}; r.pulls.push(p); git(r.name, 'update-ref', `refs/pull/${p.number}/head`, head(r, p)); tellPull(r, p, 'opened', b.by); return {number: p.number}; },
	forged: (b, r) => { const keep = hook.secret; hook.secret = 'guessed'; acts.label({...b}, r); hook.secret = keep; return {}; },
};
for (const [name, act] of Object.entries(acts)) if (act.length > 1) acts[name] = (b) => act(b, repo(b.repository ?? 'acme/tiny'));

// ---- serving
const kinds = {
	401: () => fail(401, 'invalid username, password or token'), 403: () => fail(403, 'token does not have at least one of required scope(s), required=[write:issue], token scope=read:issue'), 500: () => fail(500, 'Internal Server Error'), html502: () => html(502), moved: () => ({status: 301, body: {message: 'Moved Permanently', url: `${base}/repositories/7`}, headers: {location: `${base}/repositories/7`}}),
	// Gitea has no limits of its own: the proxy before it has.
	limit: () => ({status: 429, raw: '<html><head><title>429 Too Many Requests</title></head></html>', headers: {'content-type': 'text/html', 'retry-after': '1'}}),
	busy: () => ({status: 429, raw: '<html><head><title>429 Too Many Requests</title></head></html>', headers: {'content-type': 'text/html'}}),
};
function paged(answer, url) {
	const size = Math.min(50, +(url.searchParams.get('limit') ?? 30)), page = +(url.searchParams.get('page') ?? 1), all = answer.body, more = page * size < all.length, link = new URL(url);
	link.searchParams.set('page', page + 1);
	return {...answer, body: all.slice((page - 1) * size, page * size), headers: {'x-total-count': String(all.length), ...(more ? {link: `<${link}>; rel="next",<${link}>; rel="last"`} : {})}};
}
function rest(req, url, body) {
	const path = url.pathname.replace(/^\/api\/v1/, ''), at = `${req.method} ${path}`;
	if (req.method !== 'GET') calls.push(at);
	const kind = injection(at);
	if (kind && kind !== 'lost') return kinds[kind]();
	if (path === url.pathname) return html(404);
	if (req.headers.authorization !== `token ${token}`) return kinds[401]();
	for (const {method, pattern, call, type, act} of routes) {
		const m = method === req.method && pattern.exec(path);
		if (!m) continue;
		wrong.push(...types.asked(call, body?.attachment ? undefined : body, url.searchParams, path));
		let answer = act(m, url.searchParams, body ?? {}, bot);
		if (answer.status < 300 && type) answer.body = types.answer(call, type, answer.body, wrong);
		if (Array.isArray(answer.body) && !answer.whole) answer = paged(answer, url);
		return {...answer, lost: kind === 'lost'};
	}
	wrong.push(`${at}: not here`);
	return missing();
}
serve({
	rest, acts,
	allowed: (who, password) => password === token,
	pushed: (name) => { const r = repo(name); for (const p of r?.pulls ?? []) { const was = p.head, is = head(r, p); if (p.state === 'open' && was && is !== was) { git(name, 'update-ref', `refs/pull/${p.number}/head`, is); tellPull(r, p, 'synchronized', bot, 'pull_request_sync'); } } },
	state: () => ({repos: [...repos.values()].map((r) => ({...r, pulls: r.pulls.map((p) => ({...p, draft: draft(p.title), sha: head(r, p)}))}))}),
}, (at) => { base = at; });
