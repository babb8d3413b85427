// Durable steps a second at pg-boss, for bench/control: `node control-peer.mjs URL COUNT`. Each job is one step that does nothing: it is fetched, and
// completed, one at a time by each of four workers, as the engine beside it does; and once more in batches of 100, which pg-boss can.
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const PgBoss = require("pg-boss");
const [url, countText] = process.argv.slice(2);
const count = Number(countText);
const target = new URL(url.replace("@/", "@localhost/"));
const boss = new PgBoss({ host: target.searchParams.get("host"), user: "assay", database: target.pathname.slice(1), max: 8 });
await boss.start();

async function measure(name, batchSize) {
	const queue = "steps" + batchSize;
	await boss.createQueue(queue);
	for (let at = 0; at < count; at += 500)
		await boss.insert(Array.from({ length: Math.min(500, count - at) }, (_, i) => ({ name: queue, data: { step: at + i } })));
	let done = 0;
	const began = process.hrtime.bigint();
	const work = async () => {
		for (;;) {
			const jobs = await boss.fetch(queue, { batchSize });
			if (!jobs?.length) return;
			await boss.complete(queue, jobs.map((job) => job.id));
			done += jobs.length;
		}
	};
	await Promise.all([work(), work(), work(), work()]);
	const seconds = Number(process.hrtime.bigint() - began) / 1e9;
	console.log(`${name.padEnd(52)} ${"".padStart(40)}${(done / seconds).toFixed(0).padStart(8)} steps/s`);
}

await measure("pg-boss, four workers, one job at a time", 1);
await measure("pg-boss, four workers, batches of 100", 100);
await boss.stop({ graceful: false });
