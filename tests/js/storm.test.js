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

// A machine that is busy lets many timers go off at once; what was meant is what counts.
const delays = [], setTimer = globalThis.setTimeout;
globalThis.setTimeout = (callback, ms, ...values) => {
	if (!Number.isInteger(ms)) delays.push(ms);
	return setTimer(callback, ms, ...values);
};

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
	let tries = 0;
	const counting = (url, options) => {
		tries++;
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

	tries = delays.length = 0;
	await node.kill();
	await sleep(300);
	node = await start();
	const started = performance.now();
	do {
		await write();
		await sleep(100);
		assert.ok(performance.now() - started < 20000, 'all are back in a bounded time');
	} while (clients.some(({ doc }) => doc.status.state !== 'online'));
	await have(next);
	assert.deepEqual(clients.flatMap(({ wrong }) => wrong), []);
	// Each waits for times of its own, as often shorter as longer ones; and in all they do not try much more than is needed.
	const inTenths = Array(10).fill(0), short = delays.filter(delay => delay < 1000);
	for (const delay of short) inTenths[Math.floor(delay / 100)]++;
	assert.ok(delays.length >= CLIENTS && Math.max(...inTenths) < short.length / 5 && Math.min(...inTenths) > short.length / 30, String(inTenths));
	assert.ok(tries < 6 * CLIENTS, `${tries} tries`);
	await rm(data, { recursive: true });
});
