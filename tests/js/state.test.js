// What client.js knows for a page that shows a node: the history, the mesh, and what changed. No node is needed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply, byTone, differences, find, follow, History, Mesh, partsOf, pointerOf, renew, Touched } from '../../client.js';

const draws = seed => () => {
	seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
	return seed / 2 ** 32;
};

// A node with a journal, as far as a history asks for it. What `commit` covers comes first, in the order of the rest.
class Journal {
	records = [];
	final = [];
	tip = null;

	get tentative() {
		const before = (one, other) => one.Time - other.Time || (one.Source > other.Source) - (one.Source < other.Source) || one.Id - other.Id;
		return this.records.filter(one => !one.Commit && !this.final.includes(one)).sort(before);
	}

	get history() {
		return [...this.final, ...this.tentative];
	}

	write(record) {
		this.records.push({ Payload: '[]', ...record });
	}

	commit(id, clock) {
		const covered = this.tentative.filter(({ Source, Id }) => (clock[Source] ?? 0) > Id);
		this.write({ Source: 'main~00000000^1', Id: id, Time: 0, Commit: { Clock: clock } });
		this.final.push(...covered);
		this.tip = { source: 'main~00000000^1', id };
	}

	peers() {
		return { source: 'a~00000000', position: this.records.length, length: this.history.length, begins: 0, commit: this.tip, committed: this.final.length };
	}

	ask = async path => {
		const { pathname, searchParams } = new URL(path, 'http://node'), from = Number(searchParams.get('from')), limit = Number(searchParams.get('limit'));
		const all = pathname === '/log' ? this.records : this.history.map((row, i) => ({ ...row, position: this.records.indexOf(row), committed: i < this.final.length }));
		// Answers may be shorter than what is asked for.
		return all.slice(from, from + Math.min(limit, 7)).map(row => ({ ...row }));
	};
}

const order = rows => rows.map(({ Source, Id }) => `${Source} ${Id}`);

test('a history has the order of the node, whatever comes late or becomes final', async () => {
	for (let seed = 1; seed <= 200; seed++) {
		const random = draws(seed), journal = new Journal(), most = 5 + Math.floor(random() * 40), history = new History(path => journal.ask(path), most), next = {};
		let commits = 0;
		for (let step = 0; step < 60; step++) {
			if (random() < 0.1) journal.commit(++commits, { ...next, ...random() < 0.5 ? { b: Math.floor((next.b ?? 0) / 2) } : {} });
			else {
				const source = 'abc'[Math.floor(random() * 3)];
				next[source] = (next[source] ?? 0) + 1;
				journal.write({ Source: source, Id: next[source] - 1, Time: step * 10 - Math.floor(random() * random() * 300) });
			}
			if (random() < 0.4) continue;
			const peers = journal.peers();
			await history.read(peers);
			const all = journal.history, shown = order(history.rows);
			assert.deepEqual(shown, order(all.slice(all.length - shown.length)), `seed ${seed}`);
			assert.ok(shown.length <= most && (shown.length > 0 || !all.length), `seed ${seed}`);
			assert.deepEqual([history.length, history.position, history.committed], [all.length, peers.position, peers.committed], `seed ${seed}`);
			for (const [i, row] of history.rows.entries()) {
				assert.equal(row.index, all.length - shown.length + i);
				assert.equal(row.late, history.rows.slice(i + 1).filter(({ position }) => position < row.position).length);
			}
		}
	}
});

test('a history is read anew if it is another one, or too much has come', async () => {
	const journal = new Journal(), history = new History(path => journal.ask(path));
	for (let id = 0; id < 20; id++) journal.write({ Source: 'a', Id: id, Time: id });
	assert.equal(await history.read(journal.peers()), 'anew');
	assert.equal(await history.read(journal.peers()), null);
	journal.write({ Source: 'a', Id: 20, Time: 20, Payload: 'x'.repeat(70_000) });
	assert.equal(await history.read(journal.peers()), 'more');
	assert.equal(history.rows.at(-1).Payload, undefined, 'a long payload is left out');
	assert.equal(await history.read({ ...journal.peers(), source: 'b~00000000' }), 'anew', 'another life');
	journal.records.length = 10;
	assert.equal(await history.read({ ...journal.peers(), source: 'b~00000000' }), 'anew', 'an older copy');
	journal.ask = async path => {
		if (path.startsWith('log')) throw Object.assign(new Error('folded away'), { status: 410 });
		return [];
	};
	journal.write({ Source: 'a', Id: 30, Time: 30 });
	assert.equal(await history.read({ ...journal.peers(), source: 'b~00000000' }), 'anew', 'folded away');
});

// A mesh, as one node tells of it: `reads` of it and of others, as `[from, to, facts]`.
const NOW = 1_000_000_000, MICROS = NOW * 1000;
function tell(links, { told = {}, readers = [], was_read = true, facts = {} } = {}, now = NOW) {
	const micros = now * 1000;
	const of = name => links.filter(([from]) => from === name);
	const upstreams = of('a').map(([, to, { quiet = 0, ...more } = {}]) => ({ address: `${to}:1`, node: `${to}~00000000`, state: 'connected', since: micros - 9e7, heard: micros - quiet * 1000, behind: 0, agrees: true, ...more }));
	const names = [...new Set(links.map(([from]) => from))];
	const nodes = names.map(name => ({ node: `${name}~00000000`, address: `${name}:1`, told_ms: told[name] ?? 0, length: 1, hash: { clock: '1', state: '1' }, ...facts[name],
		reads: of(name).map(([, to, { quiet = 0, ...more } = {}]) => ({ address: `${to}:1`, node: `${to}~00000000`, state: 'connected', since_ms: 90_000, heard_ms: quiet, behind: 0, agrees: true, ...more })) }));
	const downstreams = readers.map(name => ({ node: `${name}~00000000`, kind: 'node', address: '127.0.0.1:9', since: micros - 9e7, heard: micros, behind: 0 }));
	return [{ source: 'a~00000000', time: micros, was_read, upstreams, downstreams }, { nodes }];
}
function read(links, options, mesh = new Mesh(), now = NOW) {
	mesh.read(...tell(links, options, now), now);
	return mesh;
}
const hows = mesh => Object.fromEntries([...mesh.nodes.values()].map(({ short, how }) => [short, how]));
const BOTH = [['a', 'b'], ['b', 'a']];

test('what is wrong in a mesh is told, and nothing else', () => {
	const down = { state: 'waiting', error: 'refused', since: MICROS - 4e7 };
	const unread = 'No node reads a';
	for (const [what, links, options, expected, wrong] of [
		['two that read each other', BOTH, { readers: ['b'] }, { a: 'up', b: 'up' }, []],
		['one is down', [['a', 'b', down], ['b', 'a']], { told: { b: 50_000 } }, { b: 'down' }, ['b is down', unread]],
		['one is frozen', [['a', 'b', { quiet: 25_000 }], ['b', 'a']], { told: { b: 25_000 } }, { b: 'silent' }, ['b is silent', unread]],
		['a plain node need say nothing', [['a', 'b', { quiet: 25_000, node: null }]], {}, { ':1': 'up' }, []],
		['one link of three is broken', [['a', 'b', down], ['a', 'c'], ['b', 'c'], ['c', 'a'], ['c', 'b']], { readers: ['c'] }, { b: 'up' }, ['a cannot read b']],
		['two differ', [['a', 'b', { agrees: false }], ['b', 'a']], { readers: ['b'] }, { a: 'differs', b: 'differs' }, ['a differs', 'b differs']],
		['they say that they differ', BOTH, { readers: ['b'], facts: { b: { hash: { clock: '1', state: '2' } } } }, { b: 'differs' }, ['b differs']],
		['one has not told for long', BOTH, { readers: ['b'], told: { b: 61_000 } }, { b: 'not known' }, ['b tells nothing']],
		['nobody has ever read this node', [['a', 'b'], ['b', 'a', { node: null, address: 'x:1', state: 'connecting' }]], { was_read: false }, { a: 'unread', b: 'up' }, [unread]],
		['two primaries', BOTH, { readers: ['b'], facts: { a: { primary: true }, b: { primary: true } } }, {}, ['There is more than one primary']],
		['what a frozen one told last is no sign of life', [['a', 'b', { quiet: 25_000 }], ['a', 'c', down], ['a', 'd'], ['b', 'a'], ['b', 'c'], ['d', 'a'], ['d', 'b', { quiet: 25_000 }], ['d', 'c', { state: 'waiting', error: 'refused', since_ms: 40_000 }]], { readers: ['d'], told: { b: 26_000, c: 45_000, d: 1000 } }, { b: 'silent', c: 'down', d: 'up' }, ['b is silent', 'c is down']],
		['of one broken by many there is one line', [['a', 'b', down], ['c', 'b', { state: 'waiting', error: 'refused', since_ms: 40_000 }], ['a', 'c'], ['c', 'a'], ['b', 'a'], ['d', 'b'], ['a', 'd'], ['d', 'a']], { readers: ['c', 'b', 'd'] }, { b: 'up' }, ['a and c cannot read b']],
		['a primary that is gone is none', [['a', 'b', down], ['b', 'a'], ['a', 'c'], ['c', 'a']], { readers: ['c'], told: { b: 70_000 }, facts: { a: { primary: true }, b: { primary: true } } }, {}, ['b is down']],
		['one is alone', [['a', 'a']], { was_read: false }, {}, []],
	]) {
		const mesh = new Mesh();
		read(links, options, mesh);
		read(links, options, mesh, NOW + 8000);
		const is = hows(mesh);
		for (const [name, how] of Object.entries(expected)) assert.equal(is[name], how, `${what}: ${name}`);
		assert.deepEqual(mesh.wrong.map(one => one.what).sort(), wrong.sort(), what);
		assert.deepEqual(mesh.wrong, [...mesh.wrong].sort(byTone), 'the worst first');
	}
});

test('only what is compared with this node is called equal', () => {
	const other = { hash: { clock: '2', state: '2' } }, mesh = new Mesh();
	mesh.read(...tell([['a', 'b', { agrees: null }], ['c', 'b'], ['b', 'a'], ['a', 'c', { agrees: null }]], { readers: ['b'], facts: { b: other, c: other } }), NOW);
	assert.deepEqual([...mesh.nodes.values()].map(({ isEqual }) => isEqual), [false, false, false]);
});

test('what lags for a moment is no trouble', () => {
	const links = [['a', 'b', { behind: 3 }], ['b', 'a']], mesh = new Mesh();
	assert.deepEqual(read(links, { readers: ['b'] }, mesh).wrong, []);
	assert.equal(read(links, { readers: ['b'] }, mesh, NOW + 3000).wrong[0].what, 'a lags');
	assert.deepEqual(read(BOTH, { readers: ['b'] }, mesh, NOW + 4000).wrong, []);
	assert.deepEqual(read(links, { readers: ['b'] }, mesh, NOW + 5000).wrong, [], 'it begins anew');
});

test('names are as short as they may be', () => {
	const [peers, told] = tell([['a', '127.0.0.1:8081'], ['a', 'berlin'], ['berlin', 'a']]), mesh = new Mesh();
	told.nodes.push({ ...told.nodes[1], node: 'berlin~11111111', address: 'berlin:2' });
	mesh.read(peers, told, NOW);
	assert.deepEqual([...mesh.nodes.values()].map(({ short }) => short), ['a', 'berlin~00000000', 'berlin~11111111', ':8081']);
});

test('a wish is written again so that it applies to what is there now', () => {
	for (const [operations, document, expected, failing] of [
		[[{ op: 'test', path: '/a', value: 1 }, { op: 'replace', path: '/a', value: 2 }], { a: 5 }, [{ op: 'test', path: '/a', value: 5 }, { op: 'replace', path: '/a', value: 2 }], 0],
		[[{ op: 'test', path: '/a', value: 1 }, { op: 'add', path: '/a', value: 2 }], {}, [{ op: 'add', path: '/a', value: 2 }], 0],
		[[{ op: 'test', path: '/a', value: 1 }, { op: 'replace', path: '/a', value: 2 }], {}, [{ op: 'replace', path: '/a', value: 2 }], 1],
		[[{ op: 'add', path: '/a', value: 2 }, { op: 'test', path: '/a', value: 2 }], { a: 1 }, [{ op: 'add', path: '/a', value: 2 }, { op: 'test', path: '/a', value: 2 }], 0],
		[[{ op: 'test', path: '/__proto__/x', value: 1 }], {}, [], 0],
		[[{ op: 'move', from: '/a', path: '/b/c' }, { op: 'test', path: '/a', value: 2 }], { a: 1 }, [{ op: 'move', from: '/a', path: '/b/c' }, { op: 'test', path: '/a', value: 1 }], 1],
	]) {
		const written = renew(operations, document);
		assert.deepEqual([written.operations, written.failing.length], [expected, failing]);
		if (!failing) apply(document, written.operations);
	}
});

test('what a patch did is found in the parts that it touches', () => {
	const paths = operations => partsOf(operations).map(({ tokens }) => pointerOf(tokens)).join(' ');
	assert.equal(paths([{ op: 'add', path: '/list/0', value: 1 }]), '/list/0');
	assert.equal(paths([{ op: 'add', path: '/list/0', value: 1 }, { op: 'remove', path: '/list/3' }]), '/list');
	assert.equal(paths([{ op: 'move', from: '/a', path: '/b' }, { op: 'test', path: '/c', value: 1 }]), '/a /b');
	assert.equal(paths([{ op: 'replace', path: '/a/b', value: 1 }, { op: 'add', path: '/a', value: 1 }]), '/a');
	assert.equal(paths([{ op: 'replace', path: '/a/../b', value: 1 }]), '/a', 'a URL cannot name what is below ..');
	assert.deepEqual(differences({ a: 1, b: [1, 2], c: { d: 1 } }, { a: 1, b: [1], c: { d: 2, e: 3 } }), [
		{ labels: ['b'], before: [1, 2], after: [1] }, { labels: ['c', 'd'], before: 1, after: 2 }, { labels: ['c', 'e'], before: undefined, after: 3 }]);
	assert.deepEqual(follow({ a: [{ b: 1 }] }, '/a/0/c/d'), { labels: ['a', 0], value: { b: 1 }, token: 'c' });
});

test('the names of wide objects stay sorted, and what was touched is known', () => {
	const random = draws(7), touched = new Touched();
	let document = { wide: Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`m${i}`, i])), other: 1 };
	touched.namesOf(document.wide);
	for (let step = 0; step < 300; step++) {
		const name = `m${Math.floor(random() * 600)}`, isThere = Object.hasOwn(document.wide, name), operation = isThere && random() < 0.5 ? { op: 'remove', path: `/wide/${name}` } : { op: 'add', path: `/wide/${name}`, value: step };
		// In place, as the client does it.
		if (operation.op === 'remove') delete document.wide[name];
		else document.wide[name] = step;
		touched.note([operation], document);
		assert.deepEqual(touched.namesOf(document.wide), Object.keys(document.wide).sort());
		const parts = touched.take();
		assert.ok(parts.get('wide').get(name) && !parts.get('other') && !touched.isAny);
	}
});

test('what was touched is known where elements move', () => {
	const object = () => Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`m${i}`, i])), touched = new Touched(), document = { a: [object(), object()] };
	for (const one of document.a) touched.namesOf(one);
	document.a[0].m500 = document.a[1].m5;
	delete document.a[1].m5;
	touched.note([{ op: 'move', from: '/a/1/m5', path: '/a/0/m500' }], document);
	for (const one of document.a) assert.deepEqual(touched.namesOf(one), Object.keys(one).sort());
	touched.take();
	// Before it is drawn, an element comes and goes again.
	for (const operation of [{ op: 'add', path: '/a/0', value: 1 }, { op: 'replace', path: '/a/2/m7', value: 1 }, { op: 'remove', path: '/a/0' }]) touched.note([operation], document);
	assert.ok(touched.take().get('a').get('1'), 'all of the array');
});

test('a text is found wherever it stands, in the order of the document', async () => {
	const document = { b: ['x Needle', { needle: 1, z: 'none' }], a: { deep: { c: 'a needle in it' } }, n: 12345678901234567890n };
	const paths = async (text, most = 10) => (await find(document, text, { most })).map(pointerOf);
	assert.deepEqual(await paths('NEEDLE'), ['/a/deep/c', '/b/0', '/b/1/needle']);
	assert.deepEqual(await paths('needle', 2), ['/a/deep/c', '/b/0']);
	assert.deepEqual(await paths('4567890123'), ['/n']);
	assert.equal(await find(Array(200_000).fill('x'), 'y', { most: 1, slice: 0, isWanted: () => false }), undefined);
});
