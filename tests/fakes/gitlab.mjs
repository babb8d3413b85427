// GitLab as Assay needs it: REST v4, git over smart HTTP, webhooks with the secret token or a signature (Standard Webhooks). Shares no code with the product. With
// TYPES=FILE (types.mjs made it of @gitbeaker/core) what is asked is held against the typed client's calls, and every answer has the whole shape that its types document.
// usage: node gitlab.mjs FOLDER    prints its port; below FOLDER/GROUP/NAME.git are bare repositories. What people do there is POST /_/….
import {createHmac, randomUUID} from 'node:crypto';
import {calls, git, html, id, inject, injection, mergeBase, merged, now, send, serve, sha, there, wrong} from './host.mjs';
import {types} from './types.mjs';

const token = 'glpat-' + 'f'.repeat(20), bot = 'assay-bot';
const hook = {url: '', secret: 'hush', signing: '', lost: false, twice: false, events: ['issues_events', 'note_events', 'merge_requests_events', 'push_events']};
const projects = new Map();
const people = new Map([['alice', [11, 30]], ['bob', [12, 40]], ['mallory', [13, 10]], [bot, [14, 30]], ['carol', [15, 0]]]);
let base = '';

const user = (login) => ({id: people.get(login)?.[0] ?? 99, username: login, name: login, state: 'active', avatar_url: `${base}/avatar.png`, web_url: `${base}/${login}`});
const project = (name) => {
	if (!projects.has(name) && there(name)) projects.set(name, {id: 70 + projects.size, name, merges: [], issues: [], notes: [], uploads: [], statuses: [], environments: [], deployments: [], awards: [], pipelines: [], issueCount: 0, mergeCount: 0});
	return projects.get(name);
};
const about = (p) => ({id: p.id, name: p.name.split('/').at(-1), path_with_namespace: p.name, default_branch: 'main', visibility: 'private', web_url: `${base}/${p.name}`, permissions: {project_access: {access_level: people.get(bot)[1], notification_level: 3}, group_access: {access_level: 0, notification_level: 0}}});
const head = (p, m) => (m.head = sha(p.name, `refs/heads/${m.source_branch}`) || m.head);
const draft = (title) => /^\s*(\[draft\]|\(draft\)|draft:)/i.test(title);
const merge = (p, m) => ({id: m.id, iid: m.iid, project_id: p.id, title: m.title, description: m.description, state: m.state, web_url: `${base}/${p.name}/-/merge_requests/${m.iid}`, source_branch: m.source_branch, target_branch: m.target_branch, source_project_id: m.fork ?? p.id, target_project_id: p.id,
	author: user(m.by), draft: draft(m.title), work_in_progress: draft(m.title), sha: head(p, m), detailed_merge_status: m.state === 'opened' ? 'mergeable' : 'not_open', merge_status: 'can_be_merged', labels: [], diff_refs: {base_sha: mergeBase(p.name, sha(p.name, `refs/heads/${m.target_branch}`), head(p, m)), head_sha: head(p, m), start_sha: sha(p.name, `refs/heads/${m.target_branch}`)}});
const issue = (p, i) => ({id: i.id, iid: i.iid, project_id: p.id, title: i.title, description: i.description, state: i.state, labels: i.labels, assignees: i.assignees.map(user), author: user(i.by), web_url: `${base}/${p.name}/-/issues/${i.iid}`});
const note = (p, n) => ({id: n.id, type: n.type ?? null, body: n.body, author: user(n.by), created_at: n.at, updated_at: n.at, system: n.system ?? false, noteable_id: 1, noteable_type: n.on, noteable_iid: n.iid, resolvable: !!n.type, resolved: n.resolved ?? false, ...(n.position ? {position: n.position} : {})});
const discussion = (p, notes) => ({id: notes[0].discussion, individual_note: !notes[0].type, notes: notes.map((n) => note(p, n))});
const environment = (e) => ({id: e.id, name: e.name, slug: e.name.replace(/[^a-z0-9]/g, '-').slice(0, 24), external_url: e.external_url, state: e.state, tier: e.tier});

// ---- webhooks
const small = (p) => ({id: p.id, name: p.name.split('/').at(-1), path_with_namespace: p.name, default_branch: 'main', web_url: `${base}/${p.name}`});
function tell(p, event, type, payload, by) {
	const body = Buffer.from(JSON.stringify(types.fill(type, {...payload, project: small(p), ...(payload.object_kind === 'push' ? {user_username: by} : {user: user(by)})})));
	const key = randomUUID(), seconds = String(Math.floor(Date.now() / 1000));
	const headers = {'x-gitlab-event': event, 'x-gitlab-event-uuid': randomUUID(), 'x-gitlab-webhook-uuid': 'c0ffee', 'x-gitlab-instance': base, 'idempotency-key': key, 'user-agent': 'GitLab/18.6.0', ...(hook.secret ? {'x-gitlab-token': hook.secret} : {})};
	if (hook.signing) Object.assign(headers, {'webhook-id': key, 'webhook-timestamp': seconds, 'webhook-signature': 'v1,' + createHmac('sha256', Buffer.from(hook.signing.replace('whsec_', ''), 'base64')).update(`${key}.${seconds}.`).update(body).digest('base64')});
	for (let i = 0; hook.url && !hook.lost && i < (hook.twice ? 2 : 1); i++) send(hook.url, headers, body);
}
const attributes = (p, m) => ({id: m.id, iid: m.iid, title: m.title, description: m.description, state: m.state, source_branch: m.source_branch, target_branch: m.target_branch, source_project_id: m.fork ?? p.id, target_project_id: p.id, url: `${base}/${p.name}/-/merge_requests/${m.iid}`, draft: draft(m.title), work_in_progress: draft(m.title), author_id: user(m.by).id, last_commit: {id: head(p, m)}});
const tellMerge = (p, m, action, by, more = {}) => tell(p, 'Merge Request Hook', 'WebhookMergeRequestEventSchema', {object_kind: 'merge_request', event_type: 'merge_request', object_attributes: {...attributes(p, m), action, ...more}, changes: {}}, by);
const tellIssue = (p, i, action, by, changes = {}) => tell(p, 'Issue Hook', 'WebhookIssueEventSchema', {object_kind: 'issue', event_type: 'issue', labels: i.labels.map((title) => ({title})), assignees: i.assignees.map(user), changes,
	object_attributes: {id: i.id, iid: i.iid, title: i.title, description: i.description, state: i.state, action, url: `${base}/${p.name}/-/issues/${i.iid}`, labels: i.labels.map((title) => ({title}))}}, by);
function tellNote(p, n) {
	const m = p.merges.find((x) => x.iid === n.iid), i = p.issues.find((x) => x.iid === n.iid);
	tell(p, 'Note Hook', n.on === 'Issue' ? 'WebhookIssueNoteEventSchema' : 'WebhookMergeRequestNoteEventSchema', {object_kind: 'note', event_type: 'note', project_id: p.id,
		object_attributes: {id: n.id, note: n.body, noteable_type: n.on, discussion_id: n.discussion, author_id: user(n.by).id, action: 'create', type: n.type ?? null, system: false, position: n.position ?? null, created_at: n.at, updated_at: n.at, url: `${base}/x#note_${n.id}`},
		...(n.on === 'Issue' ? {issue: {id: i.id, iid: i.iid, title: i.title, description: i.description, state: i.state}} : {merge_request: attributes(p, m)})}, n.by);
}

// ---- REST: [method, path behind the project, the client's call, the type of its answer, what is done]
const fail = (status, message, headers = {}) => ({status, body: {message}, headers});
const good = (body, status = 200, headers = {}) => ({status, body, headers});
const missing = (what) => fail(404, `404 ${what} Not Found`);
const routes = [];
const at = (method, path, call, type, act) => routes.push({method, pattern: new RegExp(`^/projects/([^/]+)${path}$`), call, type, act: (m, ...rest) => { const p = project(decodeURIComponent(m[1])); return p ? act(p, m.slice(2), ...rest) : missing('Project'); }});
const global = (method, path, call, type, act) => routes.push({method, pattern: new RegExp(`^${path}$`), call, type, act});
const mergeOf = (act) => (p, m, ...rest) => { const found = p.merges.find((x) => x.iid === +m[0]); return found ? act(p, found, m, ...rest) : fail(404, '404 Not found'); };

global('GET', '/user', 'Users.showCurrentUser', 'ExpandedUserSchema', () => good({...user(bot), bot: true}));
global('GET', '/users', 'Users.all', 'UserSchema[]', (m, q) => good(people.has(q.get('username')) ? [user(q.get('username'))] : []));
global('GET', '/personal_access_tokens/self', 'PersonalAccessTokens.show', 'PersonalAccessTokenSchema', () => good({id: 5, name: 'assay', scopes: ['api'], active: true, revoked: false, expires_at: '2027-01-01', user_id: 14, created_at: now()}));
at('GET', '', 'Projects.show', 'ProjectSchema', (p) => good(about(p)));
at('GET', '/hooks', 'ProjectHooks.all', 'ExpandedHookSchema[]', () => hook.url ? good([{id: 1, url: hook.url, enable_ssl_verification: true, alert_status: 'executable', token_present: !!hook.secret, signing_token_present: !!hook.signing, ...Object.fromEntries(['issues_events', 'note_events', 'merge_requests_events', 'push_events', 'pipeline_events'].map((name) => [name, hook.events.includes(name)]))}]) : good([]));
at('GET', '/members/all/(\\d+)', 'ProjectMembers.show', 'MemberSchema', (p, m) => {
	const [login, row] = [...people].find(([, x]) => x[0] === +m[0]) ?? [];
	return row?.[1] ? good({...user(login), access_level: row[1], expires_at: '2030-01-01'}) : missing('Not found');
});
at('GET', '/merge_requests', 'MergeRequests.all', 'MergeRequestSchema[]', (p, m, q) => good(p.merges.filter((x) => (!q.get('state') || x.state === q.get('state')) && (!q.get('source_branch') || x.source_branch === q.get('source_branch'))).map((x) => merge(p, x))));
at('POST', '/merge_requests', 'MergeRequests.create', 'ExpandedMergeRequestSchema', (p, m, q, body, who) => {
	if (!sha(p.name, `refs/heads/${body.source_branch}`)) return fail(400, {source_branch: ['does not exist']});
	const other = p.merges.find((x) => x.source_branch === body.source_branch && x.target_branch === body.target_branch && x.state === 'opened' && !x.fork);
	if (other) return fail(409, [`Another open merge request already exists for this source branch: !${other.iid}`]);
	if (body.title.length > 255) return fail(400, {title: ['is too long (maximum is 255 characters)']});
	const made = {id: id(), iid: ++p.mergeCount, title: body.title, description: body.description, source_branch: body.source_branch, target_branch: body.target_branch, state: 'opened', by: who};
	p.merges.push(made);
	git(p.name, 'update-ref', `refs/merge-requests/${made.iid}/head`, head(p, made));
	tellMerge(p, made, 'open', who);
	return good(merge(p, made), 201);
});
at('GET', '/merge_requests/(\\d+)', 'MergeRequests.show', 'ExpandedMergeRequestSchema', mergeOf((p, x) => good(merge(p, x))));
at('PUT', '/merge_requests/(\\d+)', 'MergeRequests.edit', 'ExpandedMergeRequestSchema', mergeOf((p, x, m, q, body, who) => {
	const {state_event: event, ...rest} = body;
	Object.assign(x, rest);
	if (event === 'close' && x.state === 'opened') { x.state = 'closed'; tellMerge(p, x, 'close', who); }
	return good(merge(p, x));
}));
function accept(p, x, by) {
	const into = sha(p.name, `refs/heads/${x.target_branch}`), commit = merged(p.name, into, head(p, x));
	git(p.name, 'update-ref', `refs/heads/${x.target_branch}`, commit);
	Object.assign(x, {state: 'merged', merge_commit_sha: commit});
	tellMerge(p, x, 'merge', by);
	tell(p, 'Push Hook', 'WebhookPushEventSchema', {object_kind: 'push', event_name: 'push', ref: `refs/heads/${x.target_branch}`, before: into, after: commit, checkout_sha: commit, project_id: p.id}, by);
	return commit;
}
at('PUT', '/merge_requests/(\\d+)/merge', 'MergeRequests.accept', 'ExpandedMergeRequestSchema', mergeOf((p, x, m, q, body, who) => {
	if (x.state !== 'opened' || draft(x.title)) return fail(405, '405 Method Not Allowed');
	if (body.sha && body.sha !== head(p, x)) return fail(409, 'SHA does not match HEAD of source branch: ' + head(p, x));
	accept(p, x, who);
	return good(merge(p, x));
}));
const notesOf = (path, on, Class) => {
	const of = (p, m) => p.notes.filter((n) => n.on === on && n.iid === +m[0]);
	at('GET', `/${path}/(\\d+)/notes`, `${Class}Notes.all`, `${Class}NoteSchema[]`, (p, m, q) => good(of(p, m).map((n) => note(p, n)).sort((a, b) => (q.get('sort') === 'asc' ? a.id - b.id : b.id - a.id))));
	at('POST', `/${path}/(\\d+)/notes`, `${Class}Notes.create`, `${Class}NoteSchema`, (p, m, q, body, who) => { const n = {id: id(), on, iid: +m[0], body: body.body, by: who, at: now(), discussion: randomUUID()}; p.notes.push(n); quick(p, n); tellNote(p, n); return good(note(p, n), 201); });
	at('PUT', `/${path}/(\\d+)/notes/(\\d+)`, `${Class}Notes.edit`, `${Class}NoteSchema`, (p, m, q, body) => { const n = of(p, m).find((x) => x.id === +m[1]); if (!n) return missing('Note'); n.body = body.body; n.edits = (n.edits ?? 0) + 1; return good(note(p, n)); });
	at('POST', `/${path}/(\\d+)/notes/(\\d+)/award_emoji`, `${Class}NoteAwardEmojis.award`, 'AwardEmojiSchema', (p, m, q, body, who) => {
		const key = `${m[1]}/${body.name}/${who}`;
		if (p.awards.includes(key)) return fail(404, '404 Award Emoji Name has already been taken Not Found');
		p.awards.push(key);
		return good({id: id(), name: body.name, user: user(who), awardable_id: +m[1], awardable_type: 'Note'}, 201);
	});
};
// A line that begins with a slash is done, and not shown: nothing of ours may begin so.
function quick(p, n) { if (/^\/(close|merge|approve|assign|label)\b/m.test(n.body)) wrong.push(`quick action: ${n.body.slice(0, 80)}`); }
notesOf('issues', 'Issue', 'Issue');
notesOf('merge_requests', 'MergeRequest', 'MergeRequest');
at('GET', '/merge_requests/(\\d+)/discussions', 'MergeRequestDiscussions.all', 'DiscussionSchema[]', mergeOf((p, x) => {
	const groups = new Map();
	for (const n of p.notes.filter((y) => y.on === 'MergeRequest' && y.iid === x.iid)) groups.set(n.discussion, [...groups.get(n.discussion) ?? [], n]);
	return good([...groups.values()].map((list) => discussion(p, list)));
}));
at('GET', '/merge_requests/(\\d+)/discussions/([^/]+)', 'MergeRequestDiscussions.show', 'DiscussionSchema', (p, m) => { const list = p.notes.filter((n) => n.discussion === m[1]); return list.length ? good(discussion(p, list)) : missing('Discussion'); });
at('POST', '/merge_requests/(\\d+)/discussions/([^/]+)/notes', 'MergeRequestDiscussions.addNote', 'DiscussionNoteSchema', (p, m, q, body, who) => {
	const first = p.notes.find((n) => n.discussion === m[1]);
	if (!first) return missing('Discussion');
	if (!first.type) return fail(400, '400 Bad request - Discussion can not be replied to');
	const n = {id: id(), on: 'MergeRequest', iid: +m[0], type: first.type, body: body.body, by: who, at: now(), discussion: m[1], position: first.position};
	p.notes.push(n);
	quick(p, n);
	tellNote(p, n);
	return good(note(p, n), 201);
});
at('PUT', '/merge_requests/(\\d+)/discussions/([^/]+)', 'MergeRequestDiscussions.resolve', 'DiscussionSchema', (p, m, q, body) => {
	const list = p.notes.filter((n) => n.discussion === m[1]);
	if (!list.length) return missing('Discussion');
	if (!list[0].type) return fail(400, '400 Bad request - Discussion is not resolvable');
	for (const n of list) n.resolved = body.resolved;
	return good(discussion(p, list));
});
at('POST', '/uploads', 'ProjectMarkdownUploads.create', 'MarkdownUploadCreatedSchema', (p, m, q, body) => {
	if (!body.file) return fail(400, 'file is missing');
	const hash = randomUUID().replaceAll('-', ''), url = `/uploads/${hash}/${body.file.file}`, one = {id: id(), alt: body.file.file.replace(/\.png$/, ''), url, full_path: `/-/project/${p.id}${url}`, markdown: `![x](${url})`};
	p.uploads.push({...one, ...body.file});
	return good(one, 201);
});
at('GET', '/issues/(\\d+)', 'Issues.show', 'IssueSchema', (p, m) => { const i = p.issues.find((x) => x.iid === +m[0]); return i ? good(issue(p, i)) : fail(404, '404 Not found'); });
const status = (s) => ({id: s.id, sha: s.sha, ref: s.ref, status: s.status, name: s.name, target_url: s.target_url, description: s.description, created_at: s.at, allow_failure: false, author: user(bot)});
at('GET', '/repository/commits/([0-9a-f]+)/statuses', 'Commits.allStatuses', 'CommitStatusSchema[]', (p, m, q) => {
	const latest = new Map();
	for (const s of p.statuses.filter((x) => x.sha === m[0] && (!q.get('name') || x.name === q.get('name')))) latest.set(s.name, s);
	return good([...latest.values()].map(status));
});
at('POST', '/statuses/([0-9a-f]+)', 'Commits.editStatus', 'CommitStatusSchema', (p, m, q, body) => {
	const open = p.statuses.find((s) => s.sha === m[0] && s.name === body.name && ['pending', 'running'].includes(s.status));
	if (!sha(p.name, m[0])) return missing('Commit');
	if (!body.ref && !git(p.name, 'branch', '--contains', m[0])) return missing('References for commit');
	if (open && open.status === body.state) return fail(400, `Cannot transition status via :run from :${open.status} (Reason(s): Status cannot transition via "run")`);
	const s = open ?? {id: id(), sha: m[0], ref: body.ref ?? 'main', name: body.name, at: now()};
	if (!open) p.statuses.push(s);
	Object.assign(s, {status: body.state, description: body.description ?? null, target_url: body.target_url ?? null});
	return good(status(s), 201);
});
at('GET', '/environments', 'Environments.all', 'CondensedEnvironmentSchema[]', (p, m, q) => good(p.environments.filter((e) => !q.get('name') || e.name === q.get('name')).map(environment)));
at('POST', '/environments', 'Environments.create', 'CondensedEnvironmentSchema', (p, m, q, body) => {
	if (p.environments.some((e) => e.name === body.name)) return fail(400, {name: ['has already been taken']});
	const e = {id: id(), state: 'available', external_url: null, tier: 'other', ...body};
	p.environments.push(e);
	return good(environment(e), 201);
});
const environmentOf = (act) => (p, m, q, body) => { const e = p.environments.find((x) => x.id === +m[0]); return e ? act(e, body) : missing('Environment'); };
at('PUT', '/environments/(\\d+)', 'Environments.edit', 'CondensedEnvironmentSchema', environmentOf((e, body) => good(environment(Object.assign(e, body)))));
at('POST', '/environments/(\\d+)/stop', 'Environments.stop', 'CondensedEnvironmentSchema', environmentOf((e) => good(environment(Object.assign(e, {state: 'stopped'})))));
const deployment = (p, d) => ({id: d.id, iid: d.id, sha: d.sha, ref: d.ref, status: d.status, created_at: d.at, user: user(bot), environment: environment(p.environments.find((e) => e.name === d.environment))});
at('GET', '/deployments', 'Deployments.all', 'DeploymentSchema[]', (p, m, q) => good(p.deployments.filter((d) => !q.get('environment') || d.environment === q.get('environment')).sort((a, b) => b.id - a.id).map((d) => deployment(p, d))));
at('POST', '/deployments', 'Deployments.create', 'DeploymentSchema', (p, m, q, body) => {
	if (!sha(p.name, body.sha)) return fail(400, {sha: ['The commit does not exist']});
	if (!sha(p.name, body.ref)) return fail(400, {ref: ['The branch or tag does not exist']});
	let e = p.environments.find((x) => x.name === body.environment);
	if (!e) p.environments.push(e = {id: id(), name: body.environment, state: 'available', external_url: null, tier: 'other'});
	e.state = 'available';
	const d = {id: id(), at: now(), ...body};
	p.deployments.push(d);
	return good(deployment(p, d), 201);
});
at('PUT', '/deployments/(\\d+)', 'Deployments.edit', 'DeploymentSchema', (p, m, q, body) => { const d = p.deployments.find((x) => x.id === +m[0]); return d ? good(deployment(p, Object.assign(d, body))) : missing('Deployment'); });
at('GET', '/pipelines/(\\d+)/jobs', 'Jobs.all', 'JobSchema[]', (p, m) => good([{id: 31, name: 'build', stage: 'test', status: 'failed', allow_failure: false, pipeline: {id: +m[0]}}]));
at('GET', '/jobs/(\\d+)/trace', 'Jobs.showLog', null, () => ({status: 200, raw: '$ make test\nerror: the log says why\n', headers: {'content-type': 'text/plain'}}));

// ---- what people do: POST /_/WHAT {project, by, …}
const acts = {
	reset: () => { projects.clear(); return {}; },
	seen: (b, p) => ({
		pulls: p.merges.map((m) => ({number: m.iid, branch: m.source_branch, state: {opened: 'open'}[m.state] ?? m.state, draft: draft(m.title), title: m.title, body: m.description})),
		notes: p.notes.filter((n) => !n.type).map((n) => ({number: n.iid, pull: n.on !== 'Issue', by: n.by, body: n.body})), replies: p.notes.filter((n) => n.type && n.by === bot).map((n) => ({thread: n.discussion, body: n.body})), resolved: [...new Set(p.notes.filter((n) => n.type && n.resolved).map((n) => n.discussion))].map((thread) => ({thread})), pictures: p.uploads.map((u) => ({name: u.file, bytes: u.bytes, url: u.url})),
		checks: p.statuses.map((s) => ({sha: s.sha, name: s.name, state: s.status})), deployments: p.deployments.map((d) => ({sha: d.sha, environment: d.environment, live: p.environments.find((e) => e.name === d.environment).state === 'available', url: p.environments.find((e) => e.name === d.environment).external_url})), writes: calls.length, wrong}),
	hook: (b) => { Object.assign(hook, b); return {}; }, inject,
	issue: (b, p) => { const i = {id: id(), iid: ++p.issueCount, title: b.title, description: b.body, state: 'opened', labels: b.labels ?? [], assignees: [], by: b.by}; p.issues.push(i); tellIssue(p, i, 'open', b.by); return {number: i.iid}; },
	label: (b, p) => { const i = p.issues.find((x) => x.iid === b.number), previous = i.labels.map((title) => ({title})); i.labels = [...i.labels, b.label]; tellIssue(p, i, 'update', b.by, {labels: {previous, current: i.labels.map((title) => ({title}))}}); return {}; },
	assign: (b, p) => { const i = p.issues.find((x) => x.iid === b.number), previous = i.assignees.map(user); i.assignees = b.to ? [b.to] : []; tellIssue(p, i, 'update', b.by, {assignees: {previous, current: i.assignees.map(user)}}); return {}; },
	comment: (b, p) => { const n = {id: id(), on: b.issue ? 'Issue' : 'MergeRequest', iid: b.number, body: b.body, by: b.by, at: now(), discussion: randomUUID().replaceAll('-', '') + '01234567'}; p.notes.push(n); tellNote(p, n); return {id: n.id}; },
	review: (b, p) => {
		const list = b.lines.map((l) => ({id: id(), on: 'MergeRequest', iid: b.number, type: 'DiffNote', body: l.body, by: b.by, at: now(), discussion: randomUUID().replaceAll('-', '') + '01234567', position: {position_type: 'text', new_path: l.path, old_path: l.path, new_line: l.line, old_line: null, head_sha: 'x', base_sha: 'x', start_sha: 'x'}}));
		p.notes.push(...list);
		for (const n of b.reversed ? [...list].reverse() : list) tellNote(p, n);
		return {review: user(b.by).id, lines: list.map((n) => n.id), threads: list.map((n) => n.discussion)};
	},
	merge: (b, p) => ({sha: accept(p, p.merges.find((x) => x.iid === b.number), b.by)}),
	close: (b, p) => { const x = p.merges.find((y) => y.iid === b.number); x.state = 'closed'; tellMerge(p, x, 'close', b.by); return {}; },
	pull: (b, p) => { const x = {id: id(), iid: ++p.mergeCount, title: b.title, description: '', source_branch: b.branch, target_branch: 'main', state: 'opened', by: b.by, fork: b.fork}; p.merges.push(x); git(p.name, 'update-ref', `refs/merge-requests/${x.iid}/head`, head(p, x)); tellMerge(p, x, 'open', b.by); return {number: x.iid}; },
	failure: (b, p) => { const x = p.merges.find((y) => y.iid === b.number); tell(p, 'Pipeline Hook', 'WebhookPipelineEventSchema', {object_kind: 'pipeline', object_attributes: {id: id(), name: 'CI', ref: x.source_branch, sha: head(p, x), source: b.source ?? 'push', status: 'failed', finished_at: now(), url: `${base}/x`}, merge_request: b.source ? null : {iid: x.iid, source_branch: x.source_branch}}, b.by ?? 'bob'); return {}; },
	forged: (b, p) => { const keep = {...hook}; Object.assign(hook, {secret: 'guessed', signing: ''}); acts.label(b, p); Object.assign(hook, keep); return {}; },
};
for (const [name, act] of Object.entries(acts)) if (act.length > 1) acts[name] = (b) => act(b, project(b.repository ?? 'acme/tiny'));

// ---- serving
const limits = (left, seconds) => ({'ratelimit-limit': '2000', 'ratelimit-name': 'throttle_authenticated_api', 'ratelimit-observed': '2001', 'ratelimit-remaining': String(left), 'ratelimit-reset': String(Math.floor(Date.now() / 1000) + seconds), 'retry-after': String(seconds)});
const kinds = {
	401: () => fail(401, '401 Unauthorized'), 403: () => fail(403, '403 Forbidden'), 500: () => fail(500, '500 Internal Server Error'), html502: () => html(502), moved: () => ({status: 301, body: {message: 'Moved Permanently', url: `${base}/repositories/7`}, headers: {location: `${base}/repositories/7`}}),
	scope: () => ({status: 403, body: {error: 'insufficient_scope', error_description: 'The request requires higher privileges than provided by the access token.', scope: 'api'}}),
	limit: () => ({status: 429, raw: 'Retry later\n', headers: {'content-type': 'text/plain', ...limits(0, 1)}}),
	busy: () => fail(429, {error: 'This endpoint has been requested too many times. Try again later.'}),
};
function paged(answer, url) {
	const size = +(url.searchParams.get('per_page') ?? 20), page = +(url.searchParams.get('page') ?? 1), last = Math.max(1, Math.ceil(answer.body.length / size)), link = new URL(url);
	link.searchParams.set('page', page + 1);
	return {...answer, body: answer.body.slice((page - 1) * size, page * size), headers: {...answer.headers, 'x-page': String(page), 'x-next-page': page < last ? String(page + 1) : '', 'x-total-pages': String(last), ...(page < last ? {link: `<${link}>; rel="next", <${link}>; rel="last"`} : {})}};
}
function rest(req, url, body) {
	const path = url.pathname.replace(/^\/api\/v4/, ''), line = `${req.method} ${decodeURIComponent(path)}`;
	if (req.method !== 'GET') calls.push(line);
	const kind = injection(line);
	if (kind && kind !== 'lost') return kinds[kind]();
	if (path === url.pathname) return html(404);
	if (req.headers['private-token'] !== token) return fail(401, '401 Unauthorized');
	for (const {method, pattern, call, type, act} of routes) {
		const m = method === req.method && pattern.exec(path);
		if (!m) continue;
		// The client's parameter `resolve` is sent as `resolved`; a form is no object of its types.
		wrong.push(...types.asked(call, body?.file?.bytes ? undefined : call === 'MergeRequestDiscussions.resolve' ? {resolve: body.resolved} : body, url.searchParams, path));
		let answer = act(m, url.searchParams, body ?? {}, bot);
		if (answer.status < 300 && type) answer.body = types.answer(call, type, answer.body, wrong);
		if (Array.isArray(answer.body)) answer = paged(answer, url);
		return {...answer, lost: kind === 'lost'};
	}
	wrong.push(`${line}: not here`);
	return fail(404, '404 Not Found');
}
serve({
	rest, acts,
	allowed: (who, password) => password === token,
	pushed: (name) => { const p = project(name); for (const m of p.merges) { const was = m.head, is = head(p, m); if (m.state === 'opened' && was && is !== was) { git(name, 'update-ref', `refs/merge-requests/${m.iid}/head`, is); tellMerge(p, m, 'update', bot, {oldrev: was}); } } },
	state: () => ({projects: [...projects.values()].map((p) => ({...p, merges: p.merges.map((m) => ({...m, draft: draft(m.title), sha: head(p, m)}))}))}),
}, (at) => { base = at; });
