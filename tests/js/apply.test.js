// What client.js makes of patches, compared with what a node makes of them.
//
//     PATCHMESH=target/debug/patchmesh node --test tests/js/*.test.js
//
// SEED: begins the random patches; printed if they fail.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { Problem, apply, equal, merge, parse, stringify } from 'patchmesh';
import { freePort, startNode, stopNodes } from '../page/nodes.js';

const ROUNDS = Number(process.env.ROUNDS ?? 700);
const seed = Number(process.env.SEED ?? Date.now() % 1e9);

// mulberry32
let state = seed;
function random() {
	state = (state + 0x6d2b79f5) | 0;
	let t = Math.imul(state ^ (state >>> 15), 1 | state);
	t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
	return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const below = number => Math.floor(random() * number);
const pick = list => list[below(list.length)];
const chance = share => random() < share;

const NAMES = ['a', 'b', 'c', '', '0', '1', '-', 'a/b', '~', '~1', '__proto__', 'constructor', 'length', 'ä', '😀', '.', '..'];
const NUMBERS = ['0', '-0.0', '1', '1.0', '1.5', '-1', '1e2', '100', '9007199254740992', '9007199254740993', '9007199254740993.0', '9007199254740992.0', '18446744073709551615', '18446744073709551616', '-9223372036854775808', '1e300', '0.1'];

function value(depth = 3) {
	const kind = below(depth ? 8 : 5);
	if (kind < 2) return parse(pick(NUMBERS), true);
	if (kind === 2) return pick([null, true, false]);
	if (kind < 5) return pick(NAMES);
	if (kind === 5) return Array.from({ length: below(4) }, () => value(depth - 1));
	return JSON.parse(`{${[...new Set(Array.from({ length: below(4) }, () => pick(NAMES)))].map(name => `${JSON.stringify(name)}:null`)}}`, (name, inner) => inner ?? value(depth - 1));
}

const escape = token => '/' + String(token).replaceAll('~', '~0').replaceAll('/', '~1');

// A pointer that mostly leads somewhere, and sometimes a little beside it.
function pointer(document) {
	let path = '';
	for (let here = document; typeof here === 'object' && here !== null && chance(0.85);) {
		const names = Object.keys(here), token = names.length && chance(0.85) ? pick(names) : pick([...NAMES, '-', '00', '01', '2', '9', '99999999999999999999', '+1', '1e0']);
		path += escape(token);
		here = Object.hasOwn(here, token) ? here[token] : undefined;
	}
	return chance(0.01) ? pick(['a', '/~', '/~2', 'a/b', '#/a']) : path;
}

const at = (document, path) => path.split('/').slice(1).reduce((here, token) => here?.[token.replaceAll('~1', '/').replaceAll('~0', '~')], document);

function operation(document) {
	const op = pick(['add', 'add', 'add', 'remove', 'replace', 'move', 'copy', 'test']), path = pointer(document);
	const made = { op, path };
	if (['add', 'replace', 'test'].includes(op)) made.value = op === 'test' && chance(0.8) ? at(document, path) ?? null : value();
	if (['move', 'copy'].includes(op)) made.from = chance(0.1) ? path : chance(0.1) ? path.replace(/\/[^/]*$/, '') : pointer(document);
	if (chance(0.01)) delete made[pick(Object.keys(made))];
	if (chance(0.01)) made.op = pick(['Add', '', 'delete', null, 1]);
	if (chance(0.02)) made[pick(['note', 'from', 'value'])] ??= pick([null, 1, 'x']);
	return chance(0.005) ? pick([null, 1, 'add', [made]]) : made;
}

const kindOf = error => {
	if (!(error instanceof Problem)) throw error;
	return error.status;
};

let node;
before(async () => { node = await startNode(await freePort()); });
after(stopNodes);

async function post(path, method, type, body) {
	const response = await fetch(node.url + path, { method, body, headers: { 'Content-Type': type } });
	return { status: response.status, problem: response.ok ? null : await response.json() };
}

const documentOfNode = async () => parse(await (await fetch(`${node.url}/get`)).text(), true);

test('random patches do what they do at a node', async () => {
	let document = await documentOfNode();
	const seen = {};
	for (let round = 0; round < ROUNDS; round++) {
		// Too large a document makes most pointers miss, and the same one over and over is dull.
		const patch = Array.from({ length: 1 + below(4) }, () => operation(document));
		if (stringify(document).length > 4000) patch.unshift({ op: 'add', path: '', value: value() });
		const text = stringify(patch), before = stringify(document), where = `seed ${seed}, round ${round}: ${text} on ${before}`;
		let status = 200, made = document;
		try {
			made = apply(document, parse(text, true));
		} catch (error) {
			status = kindOf(error);
			const { problem } = await post('/replace', 'POST', '', text);
			assert.deepEqual([problem?.status, problem?.operation], [status, error.operation ?? (status === 400 ? problem.operation : null)], `${where}: ${error.message}, ${problem?.detail}`);
		}
		assert.equal(stringify(document), before, `${where}: the document is as it was`);
		if (status === 200) {
			assert.equal((await post('/replace', 'POST', '', text)).status, 200, where);
			document = made;
		}
		if (round % 7 === 0 || chance(0.1)) {
			const theirs = await documentOfNode();
			assert.ok(equal(theirs, document), `${where}: ${stringify(theirs)} and not ${stringify(document)}`);
		}
		seen[status] = (seen[status] ?? 0) + 1;
	}
	// Else the test would be about one kind only.
	for (const status of [200, 400, 409]) assert.ok(seen[status] > ROUNDS / 100, JSON.stringify(seen));
	assert.equal({}.polluted, undefined);
});

test('random merge patches do what they do at a node', async () => {
	let document = await documentOfNode();
	for (let round = 0; round < 100; round++) {
		const wanted = value(), text = stringify(wanted), where = `seed ${seed}, round ${round}: ${text} on ${stringify(document)}`;
		document = merge(document, parse(text, true));
		assert.equal((await post('/get', 'PATCH', 'application/merge-patch+json', text)).status, 200, where);
		const theirs = await documentOfNode();
		assert.ok(equal(theirs, document), `${where}: ${stringify(theirs)} and not ${stringify(document)}`);
	}
});

test('what did not change is the same object as before', () => {
	const document = { a: { b: [1, { c: 2 }] }, d: { e: [] } };
	const made = apply(document, [{ op: 'add', path: '/a/b/1/c', value: 3 }]);
	assert.equal(made.d, document.d);
	assert.notEqual(made.a.b, document.a.b);
	assert.deepEqual(document, { a: { b: [1, { c: 2 }] }, d: { e: [] } });
	// A copy shares as well, until one of the two is changed.
	const copied = apply(document, [{ op: 'copy', from: '/a', path: '/x' }, { op: 'add', path: '/x/b/0', value: 0 }, { op: 'copy', from: '/d', path: '/y' }]);
	assert.deepEqual(copied, { a: { b: [1, { c: 2 }] }, d: { e: [] }, x: { b: [0, 1, { c: 2 }] }, y: { e: [] } });
	assert.equal(copied.y, document.d);
});

test('a patch is applied in a time that follows from its length', () => {
	const many = Array.from({ length: 20000 }, (_, i) => ({ op: 'add', path: '/list/-', value: i }));
	const began = performance.now(), made = apply({ list: Array.from({ length: 100000 }, (_, i) => i) }, many);
	assert.equal(made.list.length, 120000);
	assert.ok(performance.now() - began < 2000);
	// A document that is in itself over and over.
	const doubled = Array.from({ length: 100 }, (_, i) => ({ op: 'copy', from: '', path: `/${i}` }));
	assert.throws(() => apply({ text: 'x'.repeat(1000) }, doubled), /copies too much/);
});

test('limits are those of the node', async () => {
	const nested = depth => '['.repeat(depth) + ']'.repeat(depth);
	for (const [depth, status] of [[120, 200], [126, 200]]) {
		const text = `[{"op":"add","path":"","value":{}},{"op":"add","path":"/a","value":${nested(60)}},{"op":"add","path":"/a${'/0'.repeat(59)}/0","value":${nested(depth - 60)}}]`;
		assert.equal((await post('/replace', 'POST', '', text)).status, status);
		apply({}, JSON.parse(text));
	}
	const deep = `[{"op":"add","path":"/a${'/0'.repeat(125)}/0","value":[]}]`, document = await documentOfNode();
	assert.equal((await post('/replace', 'POST', '', deep)).status, 409);
	assert.throws(() => apply(document, JSON.parse(deep)), { status: 409, message: /too deep/ });
});

test('the package is of the same version as the node', async () => {
	const read = name => readFile(new URL(`../../${name}`, import.meta.url), 'utf8'), { version, exports, files } = JSON.parse(await read('package.json'));
	assert.equal(version, /^version = "(.*)"$/m.exec(await read('Cargo.toml'))[1]);
	assert.deepEqual([exports, files], ['./client.js', ['client.js']]);
	assert.equal(await (await fetch(`${node.url}/client.js`)).text(), await read('client.js'));
});

test('numbers are kept exactly, if that is wanted', () => {
	const text = '[9007199254740993,-9223372036854775808,18446744073709551615,1.5,"12345678901234567890",{"12345678901234567890":1}]';
	assert.equal(stringify(parse(text, true)), text);
	assert.equal(parse('18446744073709551616', true), 2 ** 64);
	// To a node digits alone are an integer, and this number is not that one.
	assert.equal(stringify(9007199254740994000), '9.007199254740994e+18');
	assert.ok(equal(9007199254740992n, 9007199254740992) && !equal(9007199254740993n, 9007199254740992) && equal(-0, 0));
});
