// Calls a gRPC server with @grpc/grpc-js, as a program would: client.mjs TARGET WHAT…; prints what came.
import grpc from '@grpc/grpc-js';

const [target, what, ...words] = process.argv.slice(2);
const client = new grpc.Client(target, grpc.credentials.createSsl());
const bytes = (message) => message, deadline = () => ({deadline: Date.now() + 30000});
const metadata = new grpc.Metadata();
metadata.set('x-note', 'noted');
const fails = (error) => console.log(grpc.status[error.code], error.details);
const heard = [];

if (what === 'say') {
	const call = client.makeUnaryRequest('/t.S/Say', bytes, bytes, Buffer.from(words[0]), metadata, deadline(), (error, answer) =>
		error ? fails(error) : call.once('status', (status) =>
			console.log(`${answer} ${status.metadata.get('x-trailing')} ${grpc.status[status.code]}`)));
} else if (what === 'count') {
	client.makeServerStreamRequest('/t.S/Count', bytes, bytes, Buffer.from(words[0]), metadata, deadline())
		.on('data', (answer) => heard.push(answer)).on('end', () => console.log(heard.join(' '))).on('error', fails);
} else if (what === 'gather') {
	const call = client.makeClientStreamRequest('/t.S/Gather', bytes, bytes, metadata, deadline(), (error, answer) =>
		error ? fails(error) : console.log(`${answer}`));
	for (const word of words)
		call.write(Buffer.from(word));
	call.end();
} else { // each message is sent when the one before was answered
	const call = client.makeBidiStreamRequest('/t.S/Talk', bytes, bytes, metadata, deadline());
	call.on('data', (answer) => {
		heard.push(answer);
		heard.length < words.length ? call.write(Buffer.from(words[heard.length])) : call.end();
	}).on('end', () => console.log(heard.join(', '))).on('error', fails);
	call.write(Buffer.from(words[0]));
}
