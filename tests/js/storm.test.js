// A node that is restarted has all its readers back, not all at once, and none of them has missed or repeated anything.
//
//     PATCHMESH=target/debug/patchmesh node --test tests/js/*.test.js

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect } from 'patchmesh';
import { freePort, send, sleep, startNode, stopNodes, until } from '../page/nodes.js';

// A node takes 1,024 connections.
const CLIENTS = 1000;

let clients = [];
after(async () => {
	for (const { doc } of clients) doc.close();
	await stopNodes();
});

test('a storm of 1,000 clients that come back', async () => {
	const port = await freePort(), data = await mkdtemp(join(tmpdir(), 'patchmesh-storm-'));
	const start = () => startNode(port, [], '--data', data);
	let node = await start();
	await send(node, [{ op: 'add', path: '/list', value: [] }]);
	const tries = [];
	const counting = (url, options) => {
		tries.push(performance.now());
		return fetch(url, options);
	};
	clients = Array.from({ length: CLIENTS }, () => {
		const doc = connect(node.url, { fetch: counting }), client = { doc, last: 0, wrong: [] };
		doc.subscribe('/list', (list = []) => {
			// It only grows, and holds each number once.
			if (list.length < client.last || (list.at(-1) ?? -1) !== list.length - 1) client.wrong.push(list);
			client.last = list.length;
		});
		return client;
	});
	const have = count => until(`${count} at all`, () => clients.every(({ last }) => last === count), 30000);
	await Promise.all(clients.map(({ doc }) => doc.ready));
	let next = 0;
	const write = () => send(node, [{ op: 'add', path: '/list/-', value: next++ }]);
	await write();
	await have(1);

	await node.kill();
	tries.length = 0;
	const killed = performance.now();
	await sleep(300);
	node = await start();
	const started = performance.now();
	while (clients.some(({ doc }) => doc.status.state !== 'online')) {
		await write();
		await sleep(100);
		assert.ok(performance.now() - started < 15000, 'all are back in a bounded time');
	}
	await have(next);
	assert.ok(next > 2, 'some was written meanwhile');
	assert.deepEqual(clients.flatMap(({ wrong }) => wrong), []);
	// Spread: in no tenth of a second more than a third of them try, and in all not much more than is needed.
	const buckets = new Map();
	for (const time of tries) buckets.set(Math.floor((time - killed) / 100), (buckets.get(Math.floor((time - killed) / 100)) ?? 0) + 1);
	assert.ok(Math.max(...buckets.values()) < CLIENTS / 3, `at most ${Math.max(...buckets.values())} in 100 ms`);
	assert.ok(tries.length < 6 * CLIENTS, `${tries.length} tries`);
	await rm(data, { recursive: true });
});
