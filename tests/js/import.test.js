// What client.js does with values of any size, and with texts that are no JSON.
//
//     PATCHMESH=target/debug/patchmesh node --test tests/js/*.test.js

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Problem, apply, cut, faultAt, importValue, parse } from 'patchmesh';
import { freePort, startNode, stopNodes } from '../page/nodes.js';

after(stopNodes);

async function patchesOf(...how) {
	const all = [];
	for await (const patch of cut(...how)) all.push(patch);
	return all;
}

const large = { big: 2n ** 64n - 1n, __proto__x: [], 'a/b~': Array.from({ length: 40000 }, (_, i) => ({ i, '~/': `name ${i} $$ $& $' $1` })), list: [[], {}, 'ä'.repeat(300_000), null] };

test('what is cut makes the value', async () => {
	const patches = await patchesOf('/x/0', large, { op: 'replace', tests: [{ op: 'test', path: '/y', value: 1 }] });
	assert.ok(patches.length > 4 && patches.every(patch => new Blob([patch]).size <= 1 << 20));
	assert.match(patches[0], /^\[{"op":"test","path":"\/y","value":1},{"op":"replace","path":"\/x\/0","value":{}},{"op":"add"/);
	assert.deepEqual(patches.reduce((document, patch) => apply(document, parse(patch, true)), { x: ['old'], y: 1 }), { x: [large], y: 1 });
	// What is tested and what is written first are never two transactions.
	const guarded = await patchesOf('/x', 'y'.repeat(255_000), { tests: [{ op: 'test', path: '/x', value: 'z'.repeat(20_000) }] });
	assert.deepEqual(guarded.map(patch => JSON.parse(patch).map(({ op }) => op)), [['test', 'add']]);
	await assert.rejects(patchesOf('/x', 'y'.repeat(260_000), { tests: [{ op: 'test', path: '/x', value: 'z'.repeat(800_000) }] }), { status: 413 });
	assert.deepEqual(await patchesOf('', [1, 'a']), ['[{"op":"add","path":"","value":[1,"a"]}]']);
});

test('what cannot be cut is told before anything is sent', async () => {
	let deep = 1;
	for (let i = 0; i < 127; i++) deep = [deep];
	assert.equal((await patchesOf('', deep)).length, 1);
	await assert.rejects(patchesOf('/x', deep), /nested too deep/);
	await assert.rejects(patchesOf('', { 'a/b': 'x'.repeat(1 << 20) }), error => error instanceof Problem && error.path === '/a~1b' && /too long/.test(error.message));
	await assert.rejects(patchesOf('/list/-', large), /and not -/);
});

test('a value of any size is imported, and what was not answered is sent again', async () => {
	const node = await startNode(await freePort(), [], '--token', 'sesam'), { fetch } = globalThis, told = [];
	let requests = 0;
	globalThis.fetch = async (...request) => {
		const response = await fetch(...request);
		if (++requests === 2) throw new TypeError('the answer is lost');
		return response;
	};
	const onProgress = (taken, error) => { told.push([taken, error?.message]); };
	const { source, id } = await importValue(`${node.url}/test`, '', large, { token: 'sesam', name: 'page', onProgress }).finally(() => { globalThis.fetch = fetch; });
	const headers = { Authorization: 'Bearer sesam' }, read = async path => (await fetch(node.url + path, { headers })).text();
	assert.deepEqual(parse(await read('/get'), true), large);
	assert.equal(JSON.parse(await read(`/transaction?source=${source}&id=${id}`)).index, id - 1);
	assert.deepEqual(told.slice(0, 3), [[1, undefined], [1, 'the answer is lost'], [2, undefined]]);
	assert.equal(told.length, id + 1);
	// It ends with what is refused, or if it is told to.
	await assert.rejects(importValue(node.url, '/none/x', 1, { token: 'sesam' }), error => error.status === 409 && error.operation === 0);
	await assert.rejects(importValue(node.url, '/y', 1), { status: 401 });
	const stop = new AbortController();
	await assert.rejects(importValue(node.url, '/y', large, { token: 'sesam', signal: stop.signal, onProgress: () => stop.abort() }), { name: 'AbortError' });
	assert.equal(JSON.parse(await read('/peers')).length, id + 1);
});

test('where a text is no JSON is found where JSON.parse finds it', () => {
	for (const [text, at] of [['{"a": 1,\n "b": }', 15], ['', 0], [' [1', 3], ['[1,]', 3], ['{a:1}', 1], ['"a\nb"', 2], ['"\\u12x4"', 1], ['{"a":1 "b":2}', 7], ['01', 0], ['[] 1', 3], ['[\u00a0]', 1]]) assert.equal(faultAt(text), at, text);
	const parts = ['{', '}', '[', ']', ',', ':', '"a"', '1', '-', '.', 'e', ' ', 'null', '"', '\\', '\n', '0'], isJson = text => {
		try {
			JSON.parse(text);
			return true;
		} catch {
			return false;
		}
	};
	// All texts of up to four parts.
	const check = (text, left) => {
		assert.equal(faultAt(text) === undefined, isJson(text), text);
		if (left) for (const part of parts) check(text + part, left - 1);
	};
	check('', 4);
	assert.equal(faultAt(`"${'é\\n'.repeat(1 << 20)}"`), undefined);
});
