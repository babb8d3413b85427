// The official client of the Model Context Protocol against `assay-env mcp`: what is offered, what is answered, and that a call can be cancelled.
// usage: mcp_client.mjs FOLDER-WITH-NODE_MODULES PROGRAM      one line of JSON a step
import {createServer} from 'node:http';
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';

const [folder, program] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const load = (name) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${name}`)));
const {Client} = await load('client/index.js');
const {StdioClientTransport} = await load('client/stdio.js');
const say = (step, value) => console.log(JSON.stringify({step, ...value}));

// The tool API, as far as it is needed; `deploy` never ends.
const api = createServer((request, response) => {
	if (request.url === '/tool/v1/environment')
		response.end(JSON.stringify({id: 'e1', state: 'ready', sandboxes: [{name: 'web', kind: 'service', state: 'ready', port: 80}]}));
	else if (request.url === '/tool/v1/deploy')
		response.writeHead(200, {'content-type': 'text/event-stream'}).write('event: progress\ndata: {"step": "start web", "ms": 3}\n\n');
	else
		response.writeHead(404, {'content-type': 'application/problem+json'}).end('{"detail": "no such tool"}');
}).listen(0, '127.0.0.1');
await new Promise((resolve) => api.once('listening', resolve));

const client = new Client({name: 'test', version: '1'});
await client.connect(new StdioClientTransport({command: program, args: ['mcp'], env: {ASSAY_TOOL_URL: `http://127.0.0.1:${api.address().port}`}}));
say('connected', {server: client.getServerVersion().name, instructions: client.getInstructions().includes('verify')});
const {tools} = await client.listTools();
say('tools', {names: tools.map((tool) => tool.name).join(' '), schemas: tools.every((tool) => tool.inputSchema.type === 'object')});
await client.ping();
const status = await client.callTool({name: 'status', arguments: {}});
say('status', {failed: status.isError, text: status.content[0].text.split('\n')[0]});
const wrong = await client.callTool({name: 'sql', arguments: {database: 'db'}});
say('wrong', {failed: wrong.isError, text: wrong.content[0].text});
const refused = await client.callTool({name: 'logs', arguments: {}});
say('refused', {failed: refused.isError, text: refused.content[0].text.trim()});
const stop = new AbortController();
let told = '';
const cut = await client.callTool({name: 'deploy', arguments: {}}, undefined, {signal: stop.signal, onprogress: (progress) => {
	told = progress.message.replace(/ +/g, ' ').trim();
	stop.abort('enough');
}}).catch((error) => error);
say('cancelled', {told, rejected: cut instanceof Error || String(cut) === 'enough'});
const again = await client.callTool({name: 'status', arguments: {}});
say('again', {failed: again.isError});
await client.close();
api.close();
api.closeAllConnections();
