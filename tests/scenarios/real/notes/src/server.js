// Notes in PostgreSQL, with a cached list and a counter of reads in Redis.
const express = require('express');
const { Pool } = require('pg');
const { createClient } = require('redis');

const database = new Pool({ connectionString: process.env.DATABASE_URL });
const cache = createClient({ url: process.env.REDIS_URL });
const app = express();

app.use(express.json());
app.get('/health', (request, response) => response.json({ ok: true }));

app.get('/notes', async (request, response) => {
	const reads = await cache.incr('reads');
	const kept = await cache.get('notes');
	if (kept)
		return response.json({ from: 'redis', reads, notes: JSON.parse(kept) });
	const { rows } = await database.query('SELECT id, body FROM notes ORDER BY id');
	await cache.set('notes', JSON.stringify(rows), { EX: 60 });
	response.json({ from: 'postgres', reads, notes: rows });
});

app.post('/notes', async (request, response) => {
	const { rows } = await database.query('INSERT INTO notes (body) VALUES ($1) RETURNING id, body', [request.body.body]);
	await cache.del('notes');
	response.status(201).json(rows[0]);
});

cache.connect().then(() => app.listen(process.env.PORT || 3000, () => console.log('listening')));
