// Makes the files beside it with OpenTelemetry's own encoder, in a folder that has it (npm install @opentelemetry/otlp-transformer@0.223.1):
//	node make.mjs FOLDER
import {writeFileSync} from 'node:fs';
import {gzipSync} from 'node:zlib';
import {ProtobufLogsSerializer, ProtobufTraceSerializer, JsonLogsSerializer, JsonTraceSerializer} from '@opentelemetry/otlp-transformer';

const trace = '5b8efff798038103d269b633813fc60c', root = 'eee19b7ec3c1b174', part = 'eee19b7ec3c1b173';
const resource = {attributes: {'host.name': 'box', 'service.name': 'orders'}, asyncAttributesPending: false};
const scope = {name: 'shop', version: '1.0', attributes: {}};
const context = spanId => ({traceId: trace, spanId, traceFlags: 1});
const span = (name, id, parent, status, more) => ({name, kind: 1, spanContext: () => context(id), parentSpanContext: parent && context(parent),
	startTime: [1700000000, 5], endTime: [1700000001, 7], status, attributes: {'http.route': '/api/orders', count: 3, ratio: 0.5, tags: ['a', 'b'], ok: true},
	events: [{name: 'exception', time: [1700000000, 6], attributes: {'exception.message': 'no'}}], links: [], duration: [1, 2], ended: true, resource,
	instrumentationScope: scope, droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0, ...more});
const spans = [span('GET /api/orders', root, undefined, {code: 0}), span('reserve stock', part, root, {code: 2, message: 'out of stock'})];
const line = (body, severityNumber, severityText, hrTime) => ({hrTime, hrTimeObserved: [1700000002, 9], body, severityNumber, severityText, attributes: {code: 7},
	spanContext: context(part), resource, instrumentationScope: scope, droppedAttributesCount: 0});
const lines = [line('cannot reserve: größer', 17, 'ERROR', [1700000000, 8]), line('served', 9, 'INFO', [0, 0]), line({nested: 'map'}, 13, 'WARN', [1700000000, 8])];

const folder = process.argv[2];
const files = {'traces.pb': ProtobufTraceSerializer.serializeRequest(spans), 'traces.json': JsonTraceSerializer.serializeRequest(spans),
	'logs.pb': ProtobufLogsSerializer.serializeRequest(lines), 'logs.json': JsonLogsSerializer.serializeRequest(lines)};
for (const [name, bytes] of Object.entries(files))
	writeFileSync(`${folder}/${name}`, bytes);
writeFileSync(`${folder}/traces.pb.gz`, gzipSync(files['traces.pb']));
