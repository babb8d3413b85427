/*
 * A Linear for tests: it answers only what is valid by the vendor's schema, keeps what is written, signs webhooks as Linear does, and errs when it
 * is told to. It shares nothing with the product. usage: node linear_fake.mjs SECRET CLIENT_SECRET; prints its address.
 *
 * What a test does with it: POST /_/hook {url}, /_/delegate {issue}, /_/prompt {session, body, signal}, /_/event {body}, /_/raw (headers, body), each
 * with {"delivery", "times", "secret", "age_ms"}; POST /_/fault {operation, kind, count}; POST /_/issue; GET /_/state.
 */
import assert from 'node:assert/strict';
import {createHash, createHmac, randomUUID} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {LinearWebhookClient} from '@linear/sdk/webhooks';
import {execute, parse, validate} from 'graphql';
import {linearSchema} from './linear_schema.mjs';

const [secret, clientSecret] = process.argv.slice(2);
const schema = linearSchema();
const client = 'lin_client_test';
/* Workspaces; in each the application is a user of its own. */
const organizations = {
	Acme: {id: '3f8e13c9-defd-41d2-b758-801cd88e5495', name: 'Acme', urlKey: 'acme', self: 'b9e1b59a-01ab-4be2-8574-c55a5365c4f2'},
	Beta: {id: '7a1f0a5e-2f0b-4d0c-9a53-0f4a6a6d1b11', name: 'Beta', urlKey: 'beta', self: '0c1f5a60-7f0e-4a4e-8a3e-51f3a4f0c9d2'},
};
let allows = organizations.Acme; // whose admin answers who asks for a permission
const alice = {id: '02d0647b-0a4a-41dd-8100-95db7ba7246c', name: 'Alice Ng', email: 'alice@acme.test', avatarUrl: null,
	url: 'https://linear.app/acme/profiles/alice'};
const team = {id: 'c5211c39-b56f-4c8b-b1cf-b20045f11d16', key: 'ENG', name: 'Engineering'};
const states = [['Backlog', 'backlog', 0], ['Todo', 'unstarted', 1], ['In Review', 'started', 1002], ['In Progress', 'started', 2], ['Done', 'completed', 3]]
	.map(([name, type, position], i) => ({id: `ac6057b6-8cab-42b8-8200-bdd4b2483b8${i}`, name, type, position}));
let hook = '';
const issues = new Map(), sessions = new Map(), activities = new Map(), attachments = [], faults = [], wrong = [], log = [], tokens = new Map(), codes = new Map();
const refreshes = new Map(), uploads = new Map();
let address = '';

const fail = (message, code, type, status = 200, more = {}) => Object.assign(new Error(message), {vendor: {message, extensions: {type, code,
	statusCode: status, userError: true, userPresentableMessage: message, ...more}}, status});
const required = {thought: ['body'], action: ['action', 'parameter'], elicitation: ['body'], response: ['body'], error: ['body']};

function session_of(id) {
	const session = sessions.get(id);
	if (!session)
		throw fail('Entity not found: AgentSession', 'INPUT_ERROR', 'invalid input');
	return session;
}

/* What was on its way when the stop was answered may still arrive. */
const SETTLE_MS = 1000;
const is_stopped = session => session.stopping && Date.now() > session.stopping;

function issue_of(id) {
	const issue = issues.get(id) ?? [...issues.values()].find(each => each.identifier === id);
	if (!issue)
		throw fail('Entity not found: Issue', 'INPUT_ERROR', 'invalid input');
	return issue;
}

const root = {
	viewer: (_, {organization}) => ({id: organization.self, name: 'Assay'}),
	organization: (_, {organization}) => organization,
	teams: () => ({nodes: [team]}),
	team: () => ({...team, states: () => ({nodes: states})}),
	issue: ({id}) => {
		const issue = issue_of(id);
		return {...issue, state: states.find(state => state.id === issue.stateId), delegate: issue.delegateId ? {id: issue.delegateId} : null,
			labels: () => ({nodes: issue.labels}), comments: () => ({nodes: issue.comments})};
	},
	issueRepositorySuggestions: ({candidateRepositories}) => ({suggestions: candidateRepositories.map(each => ({...each, confidence: 0.2}))}),
	agentSession: ({id}) => session_of(id),
	agentActivityCreate: ({input}) => {
		const session = session_of(input.agentSessionId), {type} = input.content;
		if (activities.has(input.id))
			throw fail('conflict on insert of AgentActivity', 'INPUT_ERROR', 'invalid input', 400,
				{userPresentableMessage: `Entity AgentActivity with id ${input.id} already exists.`});
		if (!required[type]?.every(key => typeof input.content[key] === 'string'))
			throw fail('Argument Validation Error', 'INVALID_INPUT', 'invalid input', 400);
		if (!/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(input.id))
			throw fail('id must be a UUID', 'INVALID_INPUT', 'invalid input', 400);
		if (is_stopped(session) && (session.ended || !['response', 'error'].includes(type)))
			wrong.push(`${type} after a stop: ${JSON.stringify(input.content)}`);
		session.ended = Boolean(session.stopping) && ['response', 'error'].includes(type);
		session.status = {elicitation: 'awaitingInput', response: 'complete', error: 'error'}[type] ?? 'active';
		activities.set(input.id, {...input, at: Date.now(), n: activities.size});
		return {success: true, agentActivity: {id: input.id}};
	},
	agentSessionCreateOnIssue: ({input}) => {
		const id = randomUUID(), issue = issue_of(input.issueId), {organization} = issue;
		sessions.set(id, {id, issueId: issue.id, commentId: randomUUID(), creatorId: organization.self, appUserId: organization.self, status: 'pending', externalUrls: [],
			type: 'commentThread', organizationId: organization.id, url: `${issue.url}#agent-session-${id.slice(0, 8)}`, at: Date.now()});
		return {success: true, agentSession: {...sessions.get(id), issue}};
	},
	agentSessionUpdate: ({id, input}) => {
		const session = session_of(id);
		if (is_stopped(session))
			wrong.push(`an update after a stop: ${JSON.stringify(input)}`);
		if (input.plan)
			session.plan = input.plan;
		for (const url of input.addedExternalUrls ?? [])
			session.externalUrls = [...session.externalUrls.filter(each => each.url !== url.url), url];
		return {success: true};
	},
	issueUpdate: ({id, input}) => {
		Object.assign(issue_of(id), input);
		return {success: true};
	},
	fileUpload: ({contentType, filename, size}, {organization}) => {
		const id = randomUUID(), key = randomUUID();
		uploads.set(id, {contentType, filename, size, key});
		return {success: true, uploadFile: {contentType, filename, size, metaData: null, uploadUrl: `${address}/_upload/${id}?X-Goog-Signature=x`,
			assetUrl: `https://uploads.linear.app/${organization.id}/${id}`, headers: [{key: 'x-goog-content-length-range', value: `${size},${size}`},
				{key: 'x-upload-key', value: key}, {key: 'Content-Type', value: contentType}]}};
	},
	attachmentCreate: ({input}) => {
		const known = attachments.find(each => each.url === input.url && each.issueId === input.issueId);
		if (known)
			Object.assign(known, input);
		else
			attachments.push({id: randomUUID(), ...input});
		return {success: true, attachment: {id: known?.id ?? attachments.at(-1).id}};
	},
};

/* What is to go wrong next with an operation, if anything is. */
function fault_take(operation) {
	const found = faults.find(each => each.count > 0 && (!each.operation || each.operation === operation));
	if (found)
		found.count--;
	return found?.kind;
}

const rate = {'X-RateLimit-Requests-Limit': '5000', 'X-RateLimit-Requests-Remaining': '4999'};
const answer = (response, status, body, headers = {}) => response.writeHead(status, {'Content-Type': 'application/json', ...rate, ...headers})
	.end(typeof body === 'string' ? body : JSON.stringify(body));

async function graphql(request, body, response) {
	const {query, operationName, variables} = JSON.parse(body), document = parse(query);
	const kind = fault_take(operationName), token = request.headers.authorization?.replace(/^Bearer /, '');
	const invalid = validate(schema, document);

	log.push({operation: operationName, fault: kind, at: Date.now()});
	if (invalid.length) {
		wrong.push(`${operationName}: ${invalid[0].message}`);
		return answer(response, 400, {errors: [{message: invalid[0].message, extensions: {code: 'GRAPHQL_VALIDATION_FAILED', type: 'graphql error'}}]});
	}
	if (kind === '401' || !tokens.has(token)) {
		if (kind === '401')
			tokens.delete(token);
		return answer(response, 401, {errors: [{message: 'Authentication required, not authenticated', extensions: {type: 'authentication error',
			code: 'AUTHENTICATION_ERROR', statusCode: 401, userError: true, userPresentableMessage: 'You need to authenticate to access this operation.'}}]});
	}
	if (kind === 'ratelimited')
		return answer(response, 400, {errors: [{message: 'Rate limit exceeded', extensions: {type: 'ratelimited', code: 'RATELIMITED', statusCode: 429,
			userError: true, userPresentableMessage: 'Rate limit exceeded. Only 5000 requests are allowed per 1 hour.'}}]},
		{'X-RateLimit-Requests-Remaining': '0', 'X-RateLimit-Requests-Reset': String(Date.now() + 700)});
	if (kind === '500')
		return answer(response, 500, {errors: [{message: 'Internal server error', extensions: {type: 'internal error', code: 'INTERNAL_SERVER_ERROR', statusCode: 500}}]});
	if (kind === 'html')
		return answer(response, 502, '<html><body>502 Bad Gateway</body></html>', {'Content-Type': 'text/html'});
	const {organization} = tokens.get(token), named = JSON.stringify(variables ?? {});
	if ([...issues.values()].some(each => each.organization !== organization && named.includes(each.id)) ||
		[...sessions.values()].some(each => each.organizationId !== organization.id && named.includes(each.id)))
		wrong.push(`${operationName}: asked of ${organization.name}, of another workspace's: ${named}`);
	const result = await execute({schema, document, rootValue: root, contextValue: {organization}, operationName, variableValues: variables});
	const first = result.errors?.[0], vendor = first?.originalError?.vendor;
	if (first && !vendor)
		wrong.push(`${operationName}: ${first.message}`);
	if (kind === 'lost') /* it happened, and nobody hears of it */
		return response.destroy();
	answer(response, vendor ? first.originalError.status : first ? 400 : 200, vendor ? {data: null, errors: [vendor]} : result);
}

function token_make(scope, organization) {
	const token = `lin_oauth_${randomUUID()}`, refresh = `lin_refresh_${randomUUID()}`;
	tokens.set(token, {scope, organization});
	refreshes.set(refresh, {scope, organization});
	return {access_token: token, refresh_token: refresh, token_type: 'Bearer', expires_in: 86399, scope: scope.replaceAll(',', ' ')};
}

function oauth(body, response) {
	const form = new URLSearchParams(body), refuse = error => answer(response, 400, {error, error_description: `it is ${error}`});
	if (form.get('client_id') !== client || (form.get('client_secret') !== clientSecret && !form.get('code_verifier')))
		return refuse('invalid_client');
	if (form.get('grant_type') === 'client_credentials') {
		const own = organizations.Acme; /* whose application it is */
		for (const [token, {organization}] of tokens) /* a new one ends the one before */
			if (organization === own)
				tokens.delete(token);
		const {refresh_token: _, ...rest} = token_make(form.get('scope'), own);
		return answer(response, 200, rest);
	}
	if (form.get('grant_type') === 'refresh_token') {
		const known = refreshes.get(form.get('refresh_token'));
		return known && refreshes.delete(form.get('refresh_token')) ? answer(response, 200, token_make(known.scope, known.organization)) : refuse('invalid_grant');
	}
	const code = codes.get(form.get('code')), digest = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
	codes.delete(form.get('code'));
	return code && code.challenge === digest && code.redirect === form.get('redirect_uri') ? answer(response, 200, token_make(code.scope, code.organization))
		: refuse('invalid_grant');
}

/* Signs and sends; the vendor's own verifier has to accept what is signed in order. */
async function send(event, {delivery = randomUUID(), times = 1, age_ms = 0, secret: other} = {}) {
	const body = Buffer.from(JSON.stringify({...event, webhookTimestamp: Date.now() - age_ms})), statuses = [];
	const signature = createHmac('sha256', other ?? secret).update(body).digest('hex');
	if (!other && age_ms < 60000)
		assert(new LinearWebhookClient(secret).verify(body, signature));
	for (let i = 0; i < times; i++) {
		const from = performance.now();
		const reply = await fetch(hook, {method: 'POST', body, headers: {'Content-Type': 'application/json; charset=utf-8', 'Linear-Delivery': delivery,
			'Linear-Event': event.type, 'Linear-Signature': signature, 'Linear-Timestamp': String(Date.now()), 'User-Agent': 'Linear-Webhook'}});
		statuses.push(reply.status);
		log.push({webhook: event.action, status: reply.status, ms: Math.round(performance.now() - from)});
	}
	return {statuses, delivery};
}

const envelope = (type, action, {organization}) => ({action, type, createdAt: new Date().toISOString(), organizationId: organization.id, oauthClientId: client,
	appUserId: organization.self, webhookId: 'd5c2dff8-03e3-44e0-a55e-9240b6141e2b'});
const session_json = ({plan: _, stopping: __, ended: ___, ...session}) => ({...session, creator: alice, comment: {id: session.commentId,
	body: 'This thread is for an agent session with assay.', userId: alice.id, issueId: session.issueId},
issue: (({labels: _labels, comments: _comments, organization: _organization, ...issue}) => ({...issue, team}))(issues.get(session.issueId))});

const actions = {
	hook: ({url}) => { hook = url; },
	workspace: ({name}) => { allows = organizations[name]; },
	issue: ({id = randomUUID(), workspace = 'Acme', identifier, title, description, labels = []}) => {
		const organization = organizations[workspace];
		issues.set(id, {id, organization, identifier, title, description, url: `https://linear.app/${organization.urlKey}/issue/${identifier}/x`, team, teamId: team.id, project: null,
			stateId: states[1].id, delegateId: null, comments: [], labels: labels.map(name => ({id: randomUUID(), name}))});
		return {id};
	},
	delegate: async ({issue, guidance = [], context, ...how}) => {
		const id = randomUUID(), found = issue_of(issue), {id: issueId, organization} = found;
		sessions.set(id, {id, issueId, commentId: randomUUID(), creatorId: alice.id, appUserId: organization.self, status: 'pending', externalUrls: [], type: 'commentThread',
			organizationId: organization.id, url: `https://linear.app/${organization.urlKey}/issue/${issue}#agent-session-${id.slice(0, 8)}`, at: Date.now()});
		return {session: id, ...await send({...envelope('AgentSessionEvent', 'created', found), guidance, previousComments: null, promptContext: context ?? null,
			agentSession: session_json(sessions.get(id))}, how)};
	},
	prompt: async ({session: id, body, signal = null, ...how}) => {
		const session = session_of(id);
		session.stopping = session.ended = false;
		const sent = await send({...envelope('AgentSessionEvent', 'prompted', issue_of(session.issueId)), agentSession: session_json(session), agentActivity: {id: randomUUID(), agentSessionId: id,
			sourceCommentId: null, userId: alice.id, content: {type: 'prompt', body}, signal, signalMetadata: null, user: alice}}, how);
		session.stopping = signal === 'stop' && Date.now() + SETTLE_MS;
		return sent;
	},
	unassign: ({issue, ...how}) => {
		const found = issue_of(issue);
		for (const session of sessions.values())
			session.stopping ||= session.issueId === found.id && Date.now() + SETTLE_MS;
		return send({...envelope('AppUserNotification', 'issueUnassignedFromYou', found), notification: {id: randomUUID(), type: 'issueUnassignedFromYou',
			userId: found.organization.self, actorId: alice.id, actor: alice, issueId: found.id, issue: {id: found.id, identifier: found.identifier, title: found.title, team}}}, how);
	},
	event: ({body, ...how}) => send(body, how),
	fault: fault => { faults.push({count: 1, ...fault}); },
};

const state = () => ({issues: [...issues.values()], sessions: [...sessions.values()], attachments, wrong, log, uploads: [...uploads].map(([id, file]) => ({id, ...file})),
	activities: [...activities.values()].sort((a, b) => a.n - b.n), faults: faults.filter(each => each.count > 0)});

/* Signed for one file: its size, its type and the headers that were given, and no token of ours. */
function upload(request, id, bytes, response) {
	const file = uploads.get(id), {authorization, 'content-type': type, 'x-upload-key': key, 'x-goog-content-length-range': range} = request.headers;
	log.push({operation: 'PUT', fault: fault_take('PUT'), at: Date.now()});
	if (!file || request.method !== 'PUT' || authorization || type !== file.contentType || key !== file.key || bytes.length !== file.size || range !== `${file.size},${file.size}`) {
		wrong.push(`an upload: ${request.method} ${JSON.stringify(request.headers)}`);
		return answer(response, 403, '<Error><Code>SignatureDoesNotMatch</Code></Error>', {'Content-Type': 'application/xml'});
	}
	if (log.at(-1).fault)
		return answer(response, 503, '<Error><Code>SlowDown</Code></Error>', {'Content-Type': 'application/xml'});
	file.digest = createHash('sha256').update(bytes).digest('hex');
	response.writeHead(200).end();
}

createServer(async (request, response) => {
	const url = new URL(request.url, 'http://fake'), parts = [];
	for await (const part of request)
		parts.push(part);
	const bytes = Buffer.concat(parts), body = bytes.toString();
	try {
		if (url.pathname.startsWith('/_upload/'))
			upload(request, url.pathname.slice(9), bytes, response);
		else if (url.pathname === '/graphql')
			await graphql(request, body, response);
		else if (url.pathname === '/oauth/token')
			oauth(body, response);
		else if (url.pathname === '/oauth/authorize') {
			const code = randomUUID(), ask = url.searchParams, to = new URL(ask.get('redirect_uri'));
			assert.equal(ask.get('actor'), 'app');
			assert.equal(ask.get('code_challenge_method'), 'S256');
			codes.set(code, {organization: allows, challenge: ask.get('code_challenge'), redirect: ask.get('redirect_uri'), scope: ask.get('scope')});
			to.searchParams.set('code', code);
			to.searchParams.set('state', ask.get('state'));
			response.writeHead(302, {Location: to.href}).end();
		} else if (url.pathname === '/_/state')
			answer(response, 200, state());
		else
			answer(response, 200, await actions[url.pathname.slice(3)](JSON.parse(body)) ?? {});
	} catch (error) {
		answer(response, 500, {error: error.stack});
	}
}).listen(0, '127.0.0.1', function () {
	address = `http://127.0.0.1:${this.address().port}`;
	console.log(address);
});
