/*
 * A site of Jira Cloud for tests: requests are checked against the shapes of jira.js and Atlassian's schema of documents, answers against the former;
 * webhooks are signed as an administrator's are. usage: node jira_fake.mjs SECRET CLIENT_SECRET API_TOKEN; prints its address.
 *
 * What a test does with it: POST /_/hook {url}, /_/issue {key, summary, description, labels}, /_/assign {issue, to}, /_/label, /_/comment {issue, text,
 * mention, by}, /_/status {issue, to}, /_/event {body}, each with {"delivery", "times", "secret", "age_ms"}; POST /_/fault {operation, kind, count}.
 */
import assert from 'node:assert/strict';
import {createHmac, randomUUID} from 'node:crypto';
import {formOf} from '../fakes/form.mjs';
import {answer, deliver, fault_take, log, serve, wrong} from './fake.mjs';
import {asks, document_check, models, shape_check} from './jira_shapes.mjs';

const [secret, clientSecret, apiToken] = process.argv.slice(2);
const cloud = '1324a887-45db-1bf4-1e99-ef0ff456d421', client = 'jira_client_test', email = 'assay@acme.test';
let site = '', hook = '', next = 10000, clock = Date.parse('2026-11-21T18:00:00Z');
const people = {
	self: {accountId: '712020:0e99e87c-d547-409a-9a84-6c09e9c1a001', displayName: 'Assay', accountType: 'atlassian', active: true},
	alice: {accountId: '5b10ac8d82e05b22cc7d4ef5', displayName: 'Alice Ng', emailAddress: 'alice@acme.test', accountType: 'atlassian', active: true},
	customer: {accountId: 'qm:5b10a2844c20165700ede21g', displayName: 'Carl', accountType: 'customer', active: true},
};
const project = {id: '10001', key: 'SHOP', name: 'Shop'};
const statuses = [['To Do', 'new'], ['In Progress', 'indeterminate'], ['In Review', 'indeterminate'], ['Done', 'done']].map(([name, key], i) => ({id: `${i + 1}`, name,
	statusCategory: {id: {new: 2, indeterminate: 4, done: 3}[key], key, name}}));
const issues = new Map(), tokens = new Set(), refreshes = new Set(), codes = new Map(), edits = [];

const issue_of = id => issues.get(id) ?? [...issues.values()].find(each => each.key === id);
const text_document = (text, mention) => ({type: 'doc', version: 1, content: [{type: 'paragraph', content: [
	...(mention ? [{type: 'mention', attrs: {id: people.self.accountId, text: '@Assay', accessLevel: ''}}, {type: 'text', text: ' '}] : []), {type: 'text', text}]}]});
const comment_json = ({operation: _, ...comment}, expanded) => ({self: `${site}/rest/api/3/issue/${comment.issue}/comment/${comment.id}`, id: comment.id, author: comment.author,
	body: comment.body, updateAuthor: comment.author, created: comment.created, updated: comment.updated, jsdPublic: true,
	...(expanded && {properties: comment.properties})});
const attachment_json = ({bytes: _, ...each}) => ({self: `${site}/rest/api/3/attachment/${each.id}`, ...each, content: `${site}/rest/api/3/attachment/content/${each.id}`,
	thumbnail: `${site}/rest/api/3/attachment/thumbnail/${each.id}`});
const fields_json = issue => ({summary: issue.summary, description: issue.description, labels: issue.labels, project, status: issue.status, assignee: issue.assignee,
	attachment: issue.attachments.map(attachment_json),
	comment: {comments: issue.comments.map(each => comment_json(each)), total: issue.comments.length, maxResults: 5000, startAt: 0}, updated: new Date(clock).toISOString()});
const issue_json = (issue, wanted) => ({id: issue.id, key: issue.key, self: `${site}/rest/api/3/issue/${issue.id}`,
	fields: Object.fromEntries(Object.entries(fields_json(issue)).filter(([name]) => !wanted || wanted.split(',').includes(name)))});
const missing = what => [404, {errorMessages: [`${what} does not exist or you do not have permission to see it.`], errors: {}}];

/* {"METHOD /path/:with/:names": [name, shape asked, shape answered, what it does]} */
const routes = {
	'GET /myself': ['myself', null, 'DashboardUser', () => [200, people.self]],
	'GET /mypermissions': ['permissions', null, 'Permissions', (_, __, query) => [200, {permissions: Object.fromEntries(query.get('permissions').split(',').map(key => [key,
		{id: '1', key, name: key, type: 'PROJECT', havePermission: true}]))}]],
	'GET /issue/:issue': ['issue', null, null, (issue, _, query) => [200, issue_json(issue, query.get('fields'))]],
	'GET /issue/:issue/comment': ['comments', null, 'PageOfComments', (issue, _, query) => [200, {startAt: 0, maxResults: 50, total: issue.comments.length,
		comments: [...issue.comments].reverse().map(each => comment_json(each, query.get('expand') === 'properties' && !process.env.NO_PROPERTIES))}]],
	'POST /issue/:issue/comment': ['comment', 'AddComment', 'Comment', (issue, body) => {
		document_check(body.body);
		const comment = {id: String(next++), issue: issue.id, author: people.self, created: new Date(clock++).toISOString(), updated: new Date(clock).toISOString(),
			at: Date.now(), ...body};
		issue.comments.push(comment);
		return [201, comment_json(comment)];
	}],
	'PUT /issue/:issue/comment/:comment': ['edit', 'UpdateComment', 'Comment', (issue, body, _, comment) => {
		document_check(body.body);
		Object.assign(comment, body);
		edits.push(comment.id);
		return [200, comment_json(comment)];
	}],
	'GET /comment/:comment/properties/assay': ['property', null, 'EntityProperty', (_, __, ___, comment) => {
		const property = comment.properties?.find(each => each.key === 'assay');
		return property ? [200, property] : missing('The property');
	}],
	'POST /issue/:issue/attachments': ['attach', null, null, (issue, {file}) => {
		const attachment = {id: String(next++), filename: file.file, author: people.self, created: new Date(clock++).toISOString(), size: Buffer.from(file.bytes, 'base64').length,
			mimeType: file.type, bytes: file.bytes};
		issue.attachments.push(attachment);
		return [200, [attachment_json(attachment)]];
	}],
	'GET /issue/:issue/transitions': ['transitions', null, 'Transitions', issue => [200, {expand: 'transitions', transitions: statuses.filter(each => each !== issue.status).map(to => ({
		id: `${to.id}1`, name: `To ${to.name}`, to, hasScreen: false, isGlobal: true, isInitial: false, isConditional: false, isAvailable: true}))}]],
	'POST /issue/:issue/transitions': ['transition', 'DoTransition', null, (issue, body) => {
		issue.status = statuses.find(each => `${each.id}1` === body.transition.id);
		assert(issue.status, 'a transition that is none');
		return [204];
	}],
	'PUT /issue/:issue/assignee': ['assign', 'AssignIssue', null, (issue, body) => {
		issue.assignee = Object.values(people).find(each => each.accountId === body.accountId);
		return [204];
	}],
	'POST /issue/:issue/remotelink': ['link', 'CreateOrUpdateRemoteIssueLink', 'RemoteIssueLinkIdentifies', (issue, body) => {
		const known = issue.links.findIndex(each => each.globalId === body.globalId);
		if (known >= 0)
			issue.links[known] = body;
		else
			issue.links.push(body);
		return [known >= 0 ? 200 : 201, {id: 10000 + (known >= 0 ? known : issue.links.length - 1), self: `${site}/rest/api/3/issue/${issue.key}/remotelink/10000`}];
	}],
};

function find(method, path) {
	for (const [pattern, [name, asked, answered, act]] of Object.entries(routes)) {
		const [verb, shape] = pattern.split(' '), names = [...shape.matchAll(/:(\w+)/g)].map(each => each[1]);
		const got = verb === method && path.match(new RegExp(`^${shape.replace(/:\w+/g, '([^/]+)')}$`));
		if (got)
			return {name, asked, answered, act, ids: Object.fromEntries(names.map((each, i) => [each, decodeURIComponent(got[i + 1])]))};
	}
}

const errors = {
	401: [401, {message: 'Client must be authenticated to access this resource.', 'status-code': 401}, {'WWW-Authenticate': 'OAuth realm="https%3A%2F%2Facme.atlassian.net"'}],
	429: () => [429, {errorMessages: ['Rate limit exceeded.'], errors: {}}, {'Retry-After': '1', 'X-RateLimit-Limit': '350', 'X-RateLimit-Remaining': '0',
		'X-RateLimit-Reset': new Date(Date.now() + 1000).toISOString(), 'RateLimit-Reason': 'jira-burst-based'}],
	500: [500, {errorMessages: ['Internal server error'], errors: {}}],
	html: [502, '<html><body>502 Bad Gateway</body></html>', {'Content-Type': 'text/html'}],
};

function may(headers, kind) {
	const token = headers.authorization ?? '';
	if (kind === '401')
		tokens.delete(token.replace('Bearer ', ''));
	return kind !== '401' && (tokens.has(token.replace('Bearer ', '')) || token === `Basic ${Buffer.from(`${email}:${apiToken}`).toString('base64')}`);
}

async function rest({method, path, query, headers, body, bytes}, response) {
	const found = find(method, path), kind = fault_take(found?.name), send = ([status, json, more]) => json === undefined ? response.writeHead(status).end()
		: answer(response, status, json, more);
	assert(found, 'no such operation');
	log.push({operation: found.name, fault: kind, at: Date.now()});
	if (!may(headers, kind))
		return send(errors[401]);
	if (kind && kind !== 'lost')
		return send(typeof errors[kind] === 'function' ? errors[kind]() : errors[kind]);
	const issue = found.ids.issue && issue_of(found.ids.issue);
	const comment = found.ids.comment && [...issues.values()].flatMap(each => each.comments).find(each => each.id === found.ids.comment);
	if ((found.ids.issue && !issue) || (found.ids.comment && !comment))
		return send(missing('Issue or comment'));
	const form = formOf(headers['content-type'], bytes);
	assert(!form || headers['x-atlassian-token'] === 'no-check', 'XSRF check failed');
	const asked = form ?? (body ? JSON.parse(body) : {});
	if (found.asked)
		shape_check(asks[found.asked], {...asked, issueIdOrKey: found.ids.issue, ...(comment && {id: comment.id})}, found.asked);
	const said = found.act(issue, asked, query, comment);
	if (found.answered && said[0] < 300)
		shape_check(models[found.answered], said[1], found.answered);
	if (kind === 'lost') /* it happened, and nobody hears of it */
		return response.destroy();
	send(said);
}

function token_make() {
	const token = `eyJ.${randomUUID()}`, refresh = `eyR.${randomUUID()}`;
	tokens.add(token);
	refreshes.add(refresh);
	return {access_token: token, refresh_token: refresh, token_type: 'Bearer', expires_in: 3600, scope: 'read:jira-work write:jira-work read:jira-user offline_access'};
}

function oauth({body}, response) {
	const form = JSON.parse(body), refuse = error => answer(response, error === 'invalid_client' ? 401 : 403, {error, error_description: `it is ${error}`});
	if (form.client_id !== client || form.client_secret !== clientSecret)
		return refuse('invalid_client');
	if (form.grant_type === 'refresh_token') /* they rotate */
		return refreshes.delete(form.refresh_token) ? answer(response, 200, token_make()) : refuse('unauthorized_client');
	const redirect = codes.get(form.code);
	codes.delete(form.code);
	return redirect && redirect === form.redirect_uri ? answer(response, 200, token_make()) : refuse('invalid_grant');
}

function authorize({query}, response) {
	const code = randomUUID(), to = new URL(query.get('redirect_uri'));
	assert.deepEqual([query.get('audience'), query.get('response_type'), query.get('client_id')], ['api.atlassian.com', 'code', client]);
	codes.set(code, query.get('redirect_uri'));
	to.searchParams.set('code', code);
	to.searchParams.set('state', query.get('state'));
	response.writeHead(302, {Location: to.href}).end();
}

function send(event, {delivery = randomUUID(), secret: other, age_ms = 0, ...how} = {}) {
	const body = Buffer.from(JSON.stringify({timestamp: Date.now() - age_ms, ...event}));
	const signature = createHmac('sha256', other ?? secret).update(body).digest('hex');
	return deliver(hook, body, {'Content-Type': 'application/json', 'X-Atlassian-Webhook-Identifier': delivery, 'X-Hub-Signature': `sha256=${signature}`,
		'X-Atlassian-Webhook-Retry': '0', 'User-Agent': 'Atlassian Webhook HTTP Client'}, how);
}

/* In webhooks descriptions and comments are texts in the older notation. */
const event_issue = issue => ({...issue_json(issue, 'summary,labels,project,status,assignee,updated'),
	...{fields: {...issue_json(issue, 'summary,labels,project,status,assignee,updated').fields, description: 'as text'}}});
const changed = (issue, item, by, how) => send({webhookEvent: 'jira:issue_updated', issue_event_type_name: 'issue_assigned', user: people[by ?? 'alice'], issue: event_issue(issue),
	changelog: {id: String(next++), items: [item]}}, how);

const actions = {
	hook: ({url}) => { hook = url; },
	issue: ({key, summary, description, labels = []}) => {
		const id = String(next++);
		issues.set(id, {id, key, summary, description: typeof description === 'string' ? text_document(description) : description, labels, status: statuses[0], assignee: null,
			comments: [], links: [], attachments: []});
		return {id};
	},
	assign: ({issue: key, to = 'self', by, ...how}) => {
		const issue = issue_of(key), before = issue.assignee;
		issue.assignee = to && people[to];
		return changed(issue, {field: 'assignee', fieldtype: 'jira', fieldId: 'assignee', from: before?.accountId ?? null, fromString: before?.displayName ?? null,
			to: issue.assignee?.accountId ?? null, toString: issue.assignee?.displayName ?? null}, by, how);
	},
	status: ({issue: key, to, ...how}) => {
		const issue = issue_of(key), before = issue.status;
		issue.status = statuses.find(each => each.name === to);
		return changed(issue, {field: 'status', fieldtype: 'jira', fieldId: 'status', from: before.id, fromString: before.name, to: issue.status.id, toString: to}, 'alice', how);
	},
	comment: ({issue: key, text, mention = true, by = 'alice', ...how}) => {
		const issue = issue_of(key), comment = {id: String(next++), issue: issue.id, author: people[by], body: text_document(text, mention), created: new Date().toISOString(),
			updated: new Date().toISOString()};
		issue.comments.push(comment);
		return send({webhookEvent: 'comment_created', comment: {...comment_json(comment), body: mention ? `[~accountid:${people.self.accountId}] ${text}` : text},
			issue: event_issue(issue)}, how);
	},
	event: ({body, ...how}) => send(body, how),
	remove: ({issue: key, comment}) => {
		const issue = issue_of(key);
		issue.comments = issue.comments.filter(each => each.id !== comment);
	},
};

const state = () => ({issues: [...issues.values()], edits});

serve(async (request, response) => {
	if (request.path === '/oauth/token')
		oauth(request, response);
	else if (request.path === '/authorize')
		authorize(request, response);
	else if (request.path === '/oauth/token/accessible-resources')
		answer(response, 200, [{id: cloud, url: 'https://acme.atlassian.net', name: 'acme', scopes: ['write:jira-work', 'read:jira-work'], avatarUrl: `${site}/x.png`}]);
	else
		await rest({...request, path: request.path.replace(`/ex/jira/${cloud}`, '').replace('/rest/api/3', '')}, response);
}, actions, state, url => { site = url; });
