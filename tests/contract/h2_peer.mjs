// One end of HTTP/2 connections, Node's own: `serve PORT`, or `call URL STEP…`, whose steps follow one another on one connection:
//   many                  40 calls at once with long headers that repeat, bodies that are echoed and trailers: "same" when all came whole
//   get:PATH, grpc:PATH   a call; the status, for gRPC that of the trailers; "cancelled" when it was given up after 300 ms
//   race:PATH:PATH        two at once; the paths in the order in which they were answered
//   stream                a call whose answer goes on and on
// A line tells of each; "lost" when the connection was.
import http2 from "node:http2";

const [what, where, ...steps] = process.argv.slice(2);

function serve(port) {
	const server = http2.createServer();
	server.on("stream", (stream, headers) => {
		const chunks = [];
		stream.on("error", () => {});
		stream.on("data", (chunk) => chunks.push(chunk));
		stream.on("end", () => {
			if (stream.destroyed)
				return;
			const grpc = String(headers["content-type"]).startsWith("application/grpc");
			stream.respond({ ":status": 200, "content-type": grpc ? "application/grpc" : "text/plain", "x-long": "y".repeat(500) },
				{ waitForTrailers: true });
			stream.on("wantTrailers", () => stream.sendTrailers(grpc ? { "grpc-status": headers["x-code"] ?? "0" } : { "x-end": "z" }));
			if (headers[":path"] === "/stream")
				stream.write("on and on");
			else
				stream.end(chunks.length ? Buffer.concat(chunks) : headers[":path"]);
		});
	});
	server.listen(Number(port), "127.0.0.1", () => console.log("listening"));
	process.stdin.on("end", () => process.exit(0)).resume();
}

function request(client, headers, body = "") {
	return new Promise((resolve) => {
		const stream = client.request({ ":method": body ? "POST" : "GET", ...headers });
		const answer = { status: 0, trailers: {}, body: "", error: "" };
		const chunks = [];
		const timer = headers["x-patience"] ? setTimeout(() => { answer.error = "cancelled"; stream.close(http2.constants.NGHTTP2_CANCEL); },
			Number(headers["x-patience"])) : null;
		stream.on("response", (fields) => { answer.status = fields[":status"]; answer.headers = fields; });
		stream.on("trailers", (fields) => { answer.trailers = fields; });
		stream.on("data", (chunk) => chunks.push(chunk));
		stream.on("error", (error) => { answer.error ||= error.code; });
		stream.on("close", () => {
			clearTimeout(timer);
			answer.body = Buffer.concat(chunks).toString();
			resolve(answer);
		});
		if (body)
			stream.end(body);
	});
}

const verbs = {
	async many(client) {
		const calls = Array.from({ length: 40 }, async (_, i) => {
			const body = String(i).repeat(7000);
			const answer = await request(client, { ":path": `/many/${i % 4}`, "x-tenant": "t".repeat(300), [`x-name-${i % 9}`]: "v".repeat(200) }, body);
			return answer.status === 200 && answer.body === body && answer.trailers["x-end"] === "z" && answer.headers["x-long"].length === 500;
		});
		return (await Promise.all(calls)).every(Boolean) ? "same" : "other";
	},
	async get(client, path, patience) {
		const answer = await request(client, { ":path": path, ...(patience ? { "x-patience": patience } : {}) });
		return answer.error || `${answer.status}`;
	},
	async grpc(client, path, code = "0") {
		const answer = await request(client, { ":path": path, "content-type": "application/grpc", te: "trailers", "x-code": code }, "\0\0\0\0\x03abc");
		return answer.error || `${answer.status} grpc ${answer.trailers["grpc-status"] ?? answer.headers["grpc-status"]}`;
	},
	async race(client, first, second) {
		const order = [];
		await Promise.all([first, second].map(async (path) => { await request(client, { ":path": path }); order.push(path); }));
		return order.join(" ");
	},
	async stream(client) {
		return new Promise((resolve) => {
			client.request({ ":path": "/stream" }).on("data", (chunk) => resolve(chunk.toString())).on("error", () => {});
		});
	},
	async wait() { // until the one who started this says so
		return new Promise((resolve) => process.stdin.on("end", () => resolve("on")).resume());
	},
};

async function call(url) {
	const client = http2.connect(url);
	const lost = new Promise((resolve) => { client.on("error", (error) => { console.error(error.code, error.message); resolve("lost"); }); client.on("close", () => resolve("lost")); });
	for (const step of steps) {
		const [verb, ...words] = step.split(":");
		const said = await Promise.race([verbs[verb](client, ...words), lost]);
		console.log(client.destroyed && verb !== "wait" ? "lost" : said);
		if (said === "lost")
			break;
	}
	client.destroy();
	process.exit(0);
}

if (what === "serve")
	serve(where);
else
	await call(where);
