// client.js in Node.js, against real nodes.
//
//     PATCHMESH=target/debug/patchmesh node --test tests/js/*.test.js

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { apply, connect, equal } from 'patchmesh';
import { freePort, send, sleep, startFakePeer, startNode, stopNodes, until } from '../page/nodes.js';

const cleanUps = [];
const atEnd = cleanUp => cleanUps.push(cleanUp);
afterEach(async () => {
	for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
	await stopNodes();
});
after(stopNodes);

function open(urls, options) {
	const doc = connect(urls, options);
	atEnd(() => doc.close());
	return doc;
}

async function directory() {
	const made = await mkdtemp(join(tmpdir(), 'patchmesh-js-'));
	atEnd(async () => { await stopNodes(); await rm(made, { recursive: true }); });
	return made;
}

const get = async (node, path = '') => (await fetch(`${node.url}/get${path}`)).json();
const numbers = count => Array.from({ length: count }, (_, i) => i);
const append = value => [{ op: 'add', path: '/list/-', value }];

// Stands before a node; `act` says of each request what becomes of it: pass it on, or take it and lose the answer.
async function startProxy(node, act) {
	const server = createServer((request, response) => {
		const body = [];
		request.on('data', piece => body.push(piece)).on('end', async () => {
			const what = act(request);
			if (what === 'lose the request') return response.destroy();
			const { host, connection, 'content-length': _, ...headers } = request.headers, { method } = request;
			const answer = await fetch(node.url + request.url, { method, headers, body: ['GET', 'HEAD'].includes(method) ? undefined : Buffer.concat(body) }).catch(() => null);
			if (!answer || what === 'lose the answer') return response.destroy();
			response.writeHead(answer.status, Object.fromEntries([...answer.headers].filter(([name]) => !/^(content-length|transfer-encoding|connection)$/.test(name))));
			response.flushHeaders();
			answer.body?.pipeTo(new WritableStream({ write: piece => void response.write(piece) })).then(() => response.end(), () => response.destroy()) ?? response.end();
		});
	});
	await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
	atEnd(() => { server.closeAllConnections(); server.close(); });
	return { url: `http://127.0.0.1:${server.address().port}` };
}

// A node in name only, for a part: `streams` are its streams, and with which `Last-Event-ID` each was asked for; `answer`
// gives what all else is answered with, if not 404.
async function startFakeNode(answer = () => undefined) {
	const streams = [], server = createServer((request, response) => {
		const { status = 404, headers = {}, body = {} } = answer(request) ?? {};
		if (request.headers.accept !== 'text/event-stream' || status === 503) return response.writeHead(status, headers).end(JSON.stringify(body));
		response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
		const say = (id, ...lines) => response.write([...lines, `id: ${id}`, '', ''].join('\n'));
		streams.push({ from: request.headers['last-event-id'], say, cut: () => response.destroy() });
	});
	await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
	atEnd(() => { server.closeAllConnections(); server.close(); });
	return { url: `http://127.0.0.1:${server.address().port}`, streams };
}

test('a write shows at once, and is accepted or taken back', async () => {
	const node = await startNode(await freePort()), doc = open(node.url), seen = [];
	await doc.ready;
	doc.subscribe('', value => seen.push(value));
	const write = doc.set('/a', 1), states = [];
	write.watch(({ status }) => states.push(status));
	assert.deepEqual(doc.get(), { a: 1 });
	assert.deepEqual(doc.writes, [write]);
	assert.equal((await write.finally(() => {})).Payload, '[{"op":"add","path":"/a","value":1}]');
	assert.deepEqual(states, ['pending', 'accepted']);
	assert.deepEqual(doc.writes, []);

	// What another one has written just now makes wrong what is shown here.
	const others = send(node, [{ op: 'replace', path: '/a', value: 7 }]);
	const first = doc.patch([{ op: 'add', path: '/b', value: 2 }]), other = doc.patch([{ op: 'test', path: '/a', value: 1 }, { op: 'add', path: '/c', value: 3 }]);
	assert.deepEqual(doc.get(), { a: 1, b: 2, c: 3 });
	await Promise.all([others, first]);
	await assert.rejects(other.accepted, { status: 409, operation: 0, path: '/a', type: '/problems/does-not-apply' });
	await assert.rejects(other.committed, { status: 409 });
	assert.equal(await other.catch(({ status }) => status), 409);
	assert.equal(other.status, 'refused');
	await until('taken back', () => doc.get('/a') === 7 && doc.get('/c') === undefined);
	assert.deepEqual(seen.at(-1), { a: 7, b: 2 });
	assert.throws(() => doc.patch([{ op: 'add', path: 'a', value: 1 }]), { status: 400, operation: 0 });
	assert.throws(() => doc.patch({}), { status: 400 });
	assert.throws(() => doc.set('/a', undefined), /none that JSON has/);
});

test('who subscribes is told by which operations a value has changed', async () => {
	const node = await startNode(await freePort()), first = { o: { a: 1, b: { c: [1, 2] } }, list: [{ n: 0 }, { n: 1 }, { n: 2 }], 12: 'x', ['__proto__']: {} };
	await send(node, [{ op: 'add', path: '', value: first }]);
	// Each document with what becomes of its values if one does what was told.
	const open1 = inPlace => {
		const doc = open(node.url, { inPlace }), told = {};
		for (const pointer of ['', '/o', '/o/b', '/list', '/list/1', '/12']) {
			doc.subscribe(pointer, (value, operations) => {
				const copy = structuredClone(operations), known = told[pointer];
				const made = value === undefined ? undefined : apply(known?.value ?? null, copy);
				told[pointer] = { value: made, seen: structuredClone(value), operations: copy, calls: (known?.calls ?? 0) + 1 };
			});
		}
		return { doc, told };
	};
	const all = [open1(false), open1(true)];
	for (const { doc } of all) await doc.ready;
	const steps = [
		[[{ op: 'add', path: '/o/b/c/-', value: 3 }], { '/o': '/b/c/-', '/o/b': '/c/-', '': '/o/b/c/-' }],
		[[{ op: 'replace', path: '/list/1/n', value: 9 }], { '/list/1': '/n', '/list': '/1/n' }],
		[[{ op: 'replace', path: '/list/0', value: 7 }], { '/list': '/0' }],
		[[{ op: 'remove', path: '/list/0' }], { '/list': '/0', '/list/1': '' }],
		[[{ op: 'move', from: '/list/0', path: '/o/moved' }], { '/list': '', '/list/1': '', '/o': '', '': '/o/moved' }],
		[[{ op: 'copy', from: '/o/b', path: '/o/d' }, { op: 'add', path: '/o/d/e', value: 1 }], { '/o': '/d /d/e' }],
		[[{ op: 'move', from: '/o/d/c', path: '/o/b/d' }], { '/o': '/b/d', '/o/b': '' }],
		[[{ op: 'add', path: '/12', value: 'y' }, { op: 'add', path: '/__proto__/x', value: 1 }], { '/12': '', '': '/12 /__proto__/x' }],
		[[{ op: 'remove', path: '/o/b' }], { '/o': '/b', '/o/b': '' }],
		[[{ op: 'add', path: '', value: { list: [] } }], { '': '', '/list': '', '/o': '', '/12': '' }],
	];
	for (const [patch, expected] of steps) {
		const before = all.map(({ told }) => Object.fromEntries(Object.entries(told).map(([pointer, { calls }]) => [pointer, calls])));
		await send(node, patch);
		const now = await get(node);
		for (const [i, { doc, told }] of all.entries()) {
			await until('shown', () => equal(doc.get(), now));
			for (const [pointer, { value, seen, operations, calls }] of Object.entries(told)) {
				assert.deepEqual(seen, doc.get(pointer), pointer);
				assert.deepEqual(value, seen, `${pointer} by ${JSON.stringify(operations)}`);
				assert.ok(calls - (before[i][pointer] ?? 0) <= 1);
				assert.ok(calls > before[i][pointer] === pointer in expected || pointer === '', `${pointer} after ${JSON.stringify(patch)}`);
				if (pointer in expected) assert.equal(operations.map(({ path }) => path).join(' '), expected[pointer], pointer);
			}
		}
	}
	// Of what is written here, too, and what is on it is no part of what the node tells.
	const [{ doc, told }] = all;
	await doc.set('/list/0', 1).catch(() => {});
	const write = doc.set('/w', 1);
	assert.deepEqual(told[''].operations, [{ op: 'add', path: '/w', value: 1 }]);
	await write;
	await until('shown in place', () => all[1].doc.get('/w') === 1);
	assert.equal(told[''].operations.length, 1);
});

test('each way of writing does what it says', async () => {
	const node = await startNode(await freePort()), doc = open(node.url);
	await doc.ready;
	await doc.set('', { list: [1, 2], '': { '..': { x: 1 }, 'a/b': null } });
	await doc.set('/list/0', 'first');
	await doc.set('/list/-', 'last');
	await doc.remove('/list/1');
	await doc.merge({ new: { gone: null, kept: 1 } });
	await doc.merge('//..', { y: 2 });
	await doc.merge('//a~1b', { z: 'ä' });
	const expected = { list: ['first', 'last'], '': { '..': { x: 1, y: 2 }, 'a/b': { z: 'ä' } }, new: { kept: 1 } };
	assert.deepEqual(doc.get(), expected);
	assert.deepEqual(await get(node), expected);
	assert.equal(doc.get('//a~1b/z'), 'ä');
	assert.equal(doc.get('/list/length'), undefined);
	assert.equal(doc.get('/toString'), undefined);
});

test('who subscribes is called when that part changes, and not otherwise', async () => {
	const node = await startNode(await freePort()), seen = [], objects = [];
	await send(node, [{ op: 'add', path: '/a', value: { b: 1 } }, { op: 'add', path: '/x', value: { y: [] } }]);
	const doc = open(node.url);
	doc.subscribe('/a/b', value => seen.push(value));
	doc.subscribe('/x', value => objects.push(value));
	await doc.ready;
	const late = [], end = doc.subscribe('/a/b', value => late.push(value));
	assert.deepEqual([seen, late], [[1], [1]]);
	await doc.set('/c', 1);
	await doc.set('/a/b', 1);
	await send(node, [{ op: 'add', path: '/x/y/-', value: 1 }]);
	await until('the other part', () => objects.length === 2);
	end();
	await doc.set('/a/b', 2);
	await doc.remove('/a');
	await until('gone', () => seen.length === 3);
	assert.deepEqual([seen, late], [[1, 2, undefined], [1]]);
	assert.deepEqual(objects, [{ y: [] }, { y: [1] }]);
});

test('a part is a document of its own', async () => {
	const node = await startNode(await freePort()), doc = open(node.url, { part: '/users/a~1b' }), seen = [];
	await doc.ready;
	assert.equal(doc.get(), undefined);
	doc.subscribe('', value => seen.push(value));
	await send(node, [{ op: 'add', path: '/users', value: { 'a/b': { name: 'Anna' }, other: 1 } }]);
	await until('there', () => doc.get('/name') === 'Anna');
	await doc.set('/age', 31);
	await doc.merge('/name', 'Bo');
	assert.deepEqual(await get(node), { users: { 'a/b': { name: 'Bo', age: 31 }, other: 1 } });
	await send(node, [{ op: 'remove', path: '/users' }]);
	await until('gone', () => doc.get() === undefined);
	assert.deepEqual(seen, [{ name: 'Anna' }, { name: 'Anna', age: 31 }, { name: 'Bo', age: 31 }, undefined]);
});

test('an id without an event tells how far a part has not changed', async () => {
	const node = await startFakeNode(({ method }) => method === 'PATCH' ? { status: 200, headers: { 'Patchmesh-Change': 'a.3' } } : undefined);
	const doc = open(node.url, { part: '/flag' });
	await until('a stream', () => node.streams.length);
	node.streams[0].say('a.1', 'event: put', 'data: 1');
	await doc.ready;
	await doc.set('', 2);
	// Somebody has taken it back at once.
	node.streams[0].say('a.2');
	assert.equal(doc.get(), 2);
	node.streams[0].say('a.4');
	await until('shown', () => doc.get() === 1);
	node.streams[0].cut();
	await until('another', () => node.streams.length === 2);
	assert.equal(node.streams[1].from, 'a.4');
});

test('what is skipped by a late arrival is taken back, and says why', async () => {
	const fake = await startFakePeer(), node = await startNode(await freePort(), [fake.port]), doc = open(node.url);
	atEnd(() => fake.close());
	await doc.ready;
	const began = Date.now();
	await sleep(5);
	await doc.set('/seat', null);
	const write = doc.patch([{ op: 'test', path: '/guest', value: null }, { op: 'replace', path: '/guest', value: 'Chloe' }]);
	await assert.rejects(write.accepted, { status: 409 });
	const take = doc.patch([{ op: 'test', path: '/seat', value: null }, { op: 'replace', path: '/seat', value: 'Chloe' }]);
	await take;
	fake.send('dora~00000000', 1, [{ op: 'add', path: '/lock', value: 1 }], began);
	await until('the late one', () => doc.get('/lock') === 1);
	assert.equal(doc.get('/seat'), 'Chloe');
	fake.send('dora~00000000', 2, [{ op: 'replace', path: '/seat', value: 'Dora' }], Number(take.transaction.Time) / 1000 - 0.001);
	await until('skipped', () => take.status === 'skipped');
	assert.match(take.error.reason, /not as tested, it is "Dora"/);
	await assert.rejects(take.committed, { status: 409, type: '/problems/skipped' });
	assert.equal(doc.get('/seat'), 'Dora');
});

test('a write tells when it is final', async () => {
	const node = await startNode(await freePort(), [], '--primary', '--data', await directory()), doc = open(node.url), states = [];
	doc.onWrite(({ status }) => states.push(status));
	const write = doc.set('/a', 1);
	assert.equal((await write.committed).Id, 1);
	assert.deepEqual(states, ['accepted', 'committed']);
});

test('a node that is killed while writes are under way takes each once, in their order', async () => {
	const port = await freePort(), data = await directory(), start = () => startNode(port, [], '--data', data);
	let node = await start(), isOver = false;
	await send(node, [{ op: 'add', path: '/list', value: [] }]);
	const doc = open(node.url), shown = [], count = 300;
	await doc.ready;
	doc.subscribe('/list', list => shown.push(list));
	const kills = (async () => {
		for (let i = 0; i < 4 && !isOver; i++) {
			await sleep(120);
			await node.kill();
			node = await start();
		}
	})();
	const writes = numbers(count).map(i => doc.patch(append(i)));
	assert.deepEqual(doc.get('/list'), numbers(count));
	await Promise.all(writes.map(write => write.accepted));
	isOver = true;
	await kills;
	assert.deepEqual(await get(node, '/list'), numbers(count));
	// And the copy here never showed anything else.
	await until('the stream', () => doc.status.state === 'online');
	for (const list of shown) assert.deepEqual(list, numbers(list.length));
	const lines = (await (await fetch(`${node.url}/log`)).text()).trim().split('\n').map(line => JSON.parse(line));
	assert.equal(lines.length, count + 1);
	assert.equal(new Set(lines.map(({ Source }) => Source)).size, 2);
});

test('a write whose answer is lost is repeated at another node, and takes effect once', async () => {
	const [one, two] = await Promise.all([startNode(await freePort()), startNode(await freePort())]);
	for (const node of [one, two]) await send(node, [{ op: 'add', path: '/list', value: [] }]);
	let lost = 0;
	const proxy = await startProxy(one, ({ method }) => method === 'POST' && ++lost ? 'lose the answer' : 'pass it on');
	const doc = open([proxy.url, two.url]);
	await doc.ready;
	const writes = numbers(3).map(i => doc.patch(append(i)));
	await Promise.all(writes.map(write => write.accepted));
	assert.ok(lost >= 3);
	// Each node has stamped them by itself, and does not know it yet.
	assert.deepEqual([await get(one, '/list'), await get(two, '/list')], [[0, 1, 2], [0, 1, 2]]);
	await Promise.all([[one, two], [two, one]].map(([node, peer]) => fetch(`${node.url}/peers`, { method: 'POST', body: JSON.stringify({ address: `127.0.0.1:${peer.port}` }) })));
	await until('equal', async () => {
		const [a, b] = await Promise.all([one, two].map(async node => (await fetch(`${node.url}/get`)).headers.get('ETag')));
		const log = await (await fetch(`${two.url}/log`)).text();
		return a === b && log.trim().split('\n').length === 8;
	});
	const list = await get(one, '/list');
	assert.deepEqual(list, [...new Set(list)]);
	assert.deepEqual(writes.map(({ status }) => status), Array(3).fill('accepted'));
	await until('shown', () => JSON.stringify(doc.get('/list')) === JSON.stringify(list));
	assert.equal(doc.get('/list').length, list.length);
});

test('a refusal by another node tells that the first one may have taken it', async () => {
	const [one, two] = await Promise.all([startNode(await freePort()), startNode(await freePort())]);
	await send(one, [{ op: 'add', path: '/list', value: [] }]);
	const proxy = await startProxy(one, ({ method }) => method === 'POST' ? 'lose the answer' : 'pass it on');
	const write = open([proxy.url, two.url]).patch(append(1));
	await assert.rejects(write.accepted, { status: 409, doubtful: [`${proxy.url}/`] });
});

test('what is written before a node can be reached is sent when it can', async () => {
	const port = await freePort(), doc = open(`http://127.0.0.1:${port}`), states = new Set();
	doc.onStatus(({ state }) => states.add(state));
	const writes = [doc.set('/list', []), ...numbers(20).map(i => doc.patch(append(i)))];
	await sleep(300);
	assert.equal(doc.status.pending, 21);
	assert.ok(doc.status.error);
	const node = await startNode(port);
	doc.retry();
	await Promise.all(writes.map(write => write.accepted));
	assert.deepEqual(await get(node, '/list'), numbers(20));
	await doc.ready;
	await until('shown', () => doc.get('/list')?.length === 20);
	assert.deepEqual([...states], ['connecting', 'offline', 'online']);
	assert.equal(doc.status.error, null);
});

test('a frozen node is left for another one', async () => {
	const [a, b] = [await freePort(), await freePort()], [one, two] = await Promise.all([startNode(a, [b]), startNode(b, [a])]);
	await send(one, [{ op: 'add', path: '/n', value: 0 }]);
	const doc = open([one.url, two.url], { silence: 700 }), ids = [];
	await doc.ready;
	one.signal('SIGSTOP');
	await until('another', () => doc.status.node === `${two.url}/`);
	doc.subscribe('/n', n => ids.push(n));
	await doc.set('/n', 1);
	assert.equal((await get(two)).n, 1);
	one.signal('SIGCONT');
});

test('a stream that breaks off goes on at the same node, and at another one if it does so again', async () => {
	const [one, two] = [await startFakeNode(), await startFakeNode()], doc = open([one.url, two.url]), { streams } = one;
	await until('a stream', () => streams.length);
	streams[0].say('a.1', 'event: put', 'data: 1');
	await doc.ready;
	streams[0].cut();
	await until('the same', () => streams.length === 2);
	assert.deepEqual([streams[1].from, two.streams.length], ['a.1', 0]);
	streams[1].say('a.2');
	streams[1].cut();
	await until('another', () => two.streams.length);
	assert.equal(streams.length, 2);
});

test('what is final and not known any more is not told to be committed', async () => {
	let asked = 0;
	const node = await startFakeNode(({ method, url }) => {
		if (url.startsWith('/transaction')) return { status: asked++ ? 200 : 410, body: { state: 'applied', committed: true } };
		return method === 'POST' ? { status: 200, headers: { 'Patchmesh-Change': 'a.2' } } : undefined;
	});
	const doc = open(node.url);
	await until('a stream', () => doc.status.state === 'online');
	const write = doc.set('/a', 1);
	await until('asked', () => asked);
	await sleep(50);
	assert.equal(write.status, 'accepted');
});

test('a write for which the token has too small a right waits', async () => {
	let status = 403;
	const node = await startFakeNode(({ method }) => method === 'POST' ? { status, body: { detail: 'no right to write' } } : undefined), doc = open(node.url);
	const write = doc.set('/a', 1);
	await until('refused', () => doc.status.error?.status === 403);
	assert.equal(write.status, 'pending');
	status = 200;
	doc.retry();
	await write;
});

test('a database that cannot be opened is tried again', async () => {
	let opened = 0;
	const fail = () => {
		const opening = { error: new Error('not now') };
		opened++;
		queueMicrotask(() => opening.onerror());
		return opening;
	};
	Object.assign(globalThis, { indexedDB: { open: fail }, addEventListener() {}, removeEventListener() {} });
	atEnd(() => { for (const name of ['indexedDB', 'addEventListener', 'removeEventListener']) delete globalThis[name]; });
	const doc = open(`http://127.0.0.1:${await freePort()}`);
	for (let i = 0; i < 2; i++) {
		const before = opened;
		await assert.rejects(doc.set('/a', i).kept, /not now/);
		if (i) assert.ok(opened > before);
	}
});

test('a node that accepts a write is read from at once', async () => {
	let isUp = false;
	const accepted = { status: 200, headers: { 'Patchmesh-Change': 'a.2' } };
	const [one, two] = [await startFakeNode(() => ({ status: 503 })), await startFakeNode(({ method }) => isUp && method === 'POST' ? accepted : { status: isUp ? 404 : 503 })];
	const doc = open([one.url, two.url]), pauses = [], setTimer = globalThis.setTimeout;
	// Pauses, which are drawn at random, are held here.
	globalThis.setTimeout = (callback, ms, ...values) => Number.isInteger(ms) ? setTimer(callback, ms, ...values) : pauses.push(callback);
	atEnd(() => { globalThis.setTimeout = setTimer; });
	await until('the reader', () => pauses.length === 1);
	isUp = true;
	const write = doc.set('/a', 1);
	await until('the writer', () => pauses.length === 2);
	pauses[1]();
	await write;
	await until('read', () => two.streams.length);
});

test('a node that is away for long is asked every 3 s at least', async () => {
	const delays = [], setTimer = globalThis.setTimeout;
	globalThis.setTimeout = (callback, ms, ...values) => Number.isInteger(ms) ? setTimer(callback, ms, ...values) : delays.push(ms) && setTimer(callback, 0);
	atEnd(() => { globalThis.setTimeout = setTimer; });
	open('http://node', { fetch: async () => { throw new Error('away'); } });
	await until('many tries', () => delays.length > 200);
	const longest = Math.max(...delays);
	assert.ok(longest < 3000 && longest > 2000, `${longest} ms`);
});

test('a token is asked for, and used', async () => {
	const node = await startNode(await freePort(), [], '--token', 'sesam'), doc = open(node.url, { token: 'wrong' });
	await until('refused', () => doc.status.error?.status === 401);
	const write = doc.set('/a', 1);
	await sleep(100);
	assert.equal(write.status, 'pending');
	doc.token = 'sesam';
	await write;
	await doc.ready;
	assert.equal(doc.get('/a'), 1);
});
