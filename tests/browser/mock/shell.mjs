// A WebSocket with something like a shell behind it: enough of RFC 6455 for frames of one piece.

import {createHash} from 'node:crypto';

function frame(opcode, payload) {
	const head = payload.length < 126 ? [0x80 | opcode, payload.length] : [0x80 | opcode, 126, payload.length >> 8, payload.length & 255];

	return Buffer.concat([Buffer.from(head), payload]);
}

/** The first whole frame in the bytes: {opcode, payload, length}, or null. */
function parse(bytes) {
	const short = bytes[1] & 127;
	const at = short === 126 ? 4 : 2;

	if (bytes.length < at + 4)
		return null;
	const size = short === 126 ? bytes.readUInt16BE(2) : short;
	if (bytes.length < at + 4 + size)
		return null;
	return {opcode: bytes[0] & 15, payload: Buffer.from(bytes.subarray(at + 4, at + 4 + size)).map((byte, i) => byte ^ bytes[at + (i % 4)]), length: at + 4 + size};
}

export function shell(request, socket, sandbox) {
	const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
	const say = (text) => socket.write(frame(2, Buffer.from(text)));
	const end = (code) => socket.end(frame(8, Buffer.concat([Buffer.from([3, 232]), Buffer.from(`exit ${code}`)])));
	const prompt = () => say(`\x1b[1;32m${sandbox}\x1b[0m:\x1b[34m~\x1b[0m$ `);
	let bytes = Buffer.alloc(0);
	let line = '';

	socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: assay-terminal\r\n\r\n`);
	prompt();
	socket.on('error', () => {});
	socket.on('data', (more) => {
		bytes = Buffer.concat([bytes, more]);
		for (let got = parse(bytes); got; got = parse(bytes)) {
			bytes = bytes.subarray(got.length);
			if (got.opcode === 8)
				return socket.end();
			if (got.opcode !== 2)
				continue;
			for (const character of got.payload.toString())
				if (character === '\r') {
					say('\r\n');
					if (line === 'exit')
						return end(0);
					say(line === 'hostile' ? '<img src=x onerror="window.pwned=1">\u202egnp.exe\x1b]0;title\x07\x1b[31mred\x1b[0m\r\n' : `${line}: not found\r\n`);
					line = '';
					prompt();
				} else if (character === '\x7f') {
					line = line.slice(0, -1);
					say('\b \b');
				} else {
					line += character;
					say(character);
				}
		}
	});
}
