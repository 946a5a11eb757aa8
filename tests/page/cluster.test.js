// The cluster: peers, readers, and a connection that breaks.

import assert from 'node:assert/strict';
import { claim, context, hasRow, open, pair, press, tree } from './harness.js';
import { freePort, send, startNode, until } from './nodes.js';

const pillIs = (page, pattern, ms) => until(`a pill like ${pattern}`, async () => pattern.test(await page.textContent('#peersPill')), ms);
const textIs = (page, id, pattern) => until(`${id} is like ${pattern}`, async () => {
	const text = await page.textContent(id);
	if (!pattern.test(text)) throw new Error(text);
	return true;
});
const wrongIs = (page, pattern) => textIs(page, '#wrong', pattern), cardIs = (page, pattern) => textIs(page, '#nodes', pattern);

claim('on three nodes a write reaches all, and the pages tell of them', async () => {
	const ports = [await freePort(), await freePort(), await freePort()];
	const nodes = await Promise.all(ports.map((port, i) => startNode(port, ports.filter(other => other !== port), '--source', 'abc'[i])));
	const pages = await Promise.all(nodes.map(node => open(node)));
	for (const [i, node] of nodes.entries()) await send(node, [{ op: 'add', path: `/from${i}`, value: i }]);
	for (const page of pages) for (const i of [0, 1, 2]) await hasRow(page, new RegExp(`^from${i} : `));
	for (const page of pages) {
		await pillIs(page, /^3 nodes$/);
		await until('all clocks', async () => await page.locator('#clock tr').count() === 4);
		assert.equal(await page.locator('#nodes .card').count(), 3);
		assert.deepEqual((await page.$$eval('#ring g text', all => all.map(one => one.firstChild.data))).sort(), ['a', 'b', 'c']);
	}
});

claim('two nodes cut from each other converge when they meet', async () => {
	const [a, b] = [await freePort(), await freePort()], one = await startNode(a, [b]), page = await open(one);
	await pillIs(page, new RegExp(`^:${b} is down, and 1 more$`));
	await wrongIs(page, /is down\. 127.*, never heard, says :\d+: connection refused/);
	await page.waitForSelector('.card.bad');
	await send(one, [{ op: 'add', path: '/x', value: 'one' }]);
	const other = await startNode(b, []);
	await send(other, [{ op: 'add', path: '/x', value: { y: 1 } }]);
	await send(other, [{ op: 'replace', path: '/x/y', value: 2 }]);
	await hasRow(page, /^y : +2/);
	// The names are addresses: their ports tell them apart.
	await pillIs(page, new RegExp(`^No node reads :${a}$`));
	await wrongIs(page, /^No node reads :\d+\. None has done so\./);
	await cardIs(page, /Does not read :\d+/);
});

claim('a peer is added and removed on the page', async () => {
	const a = await startNode(await freePort(), [], '--source', 'amsterdam'), b = await startNode(await freePort(), [], '--source', 'berlin');
	const page = await open(a), address = b.url.slice(7), says = pattern => until(`${pattern}`, async () => pattern.test(await page.textContent('#peerSays')));
	const add = async text => { await page.fill('#peer', text); await page.keyboard.press('Enter'); };
	await until('no peers', async () => await page.textContent('#peersPill') === 'No peers');
	await add('berlin');
	await says(/has no port/);
	await add(a.url.slice(7));
	await says(/this node itself/);
	await page.waitForSelector('#peerSays.bad');
	await send(b, [{ op: 'add', path: '/from', value: 'berlin' }]);
	await add(address);
	await says(/is a peer\. .*no --data/);
	await page.waitForSelector('#peerSays.good');
	await hasRow(page, /from : +"berlin"/);
	await cardIs(page, new RegExp(`berlin~\\w{8}${address}.*Read by amsterdam since \\d\\d:\\d\\d:\\d\\d \\(\\d+ s ago\\), heard \\d+ s ago, .*Does not read amsterdam`));
	await until('its next Id', async () => /berlin~\w{8}2/.test(await page.textContent('#clock')));
	// Nobody reads it, until the other one is told to.
	await pillIs(page, /^No node reads amsterdam$/);
	assert.equal((await fetch(`${b.url}/peers`, { method: 'POST', body: JSON.stringify({ address: a.url.slice(7) }) })).status, 201);
	await pillIs(page, /^2 nodes$/);
	await cardIs(page, /Reads amsterdam since/);
	// What is shown anew stays under the finger.
	await page.focus('.card button[title]:visible');
	await until('it is shown anew', async () => /heard [2-9] s ago/.test(await page.textContent('#nodes')));
	assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), `Remove the peer ${address}`);
	await page.keyboard.press('Enter');
	assert.equal(await page.textContent('.card button[title]:visible'), 'Remove?');
	assert.equal((await (await fetch(`${a.url}/peers`)).json()).upstreams.length, 1, 'not at once');
	await page.keyboard.press('Enter');
	await says(/is no peer any more/);
	await cardIs(page, /berlin~\w{8}.*Not read by amsterdam/);
	assert.deepEqual((await (await fetch(`${a.url}/peers`)).json()).upstreams, []);
});

claim('a frozen node looks silent, and one that is killed looks down', async () => {
	const [a, b] = await pair(), page = await open(a);
	await pillIs(page, /^2 nodes$/);
	b.signal('SIGSTOP');
	await pillIs(page, /^berlin is silent$/, 40000);
	await wrongIs(page, /berlin is silent\. 127.*last heard \d\d:\d\d:\d\d \(2\d s ago\), says amsterdam/);
	await cardIs(page, /silent 2\d s.*heard 2\d s ago/);
	assert.equal(await page.locator('#ring path.off').count(), 1);
	b.signal('SIGCONT');
	await pillIs(page, /^2 nodes$/, 40000);
	await b.kill();
	await pillIs(page, /^berlin is down/);
	await wrongIs(page, /berlin is down\. 127.*last heard \d\d:\d\d:\d\d \(\d+ s ago\), says amsterdam: /);
	await cardIs(page, /Read by amsterdam: down since \d\d:\d\d:\d\d \(\d+ s ago\).*Does not read amsterdam/);
	await wrongIs(page, /No node reads amsterdam/);
});

claim('a lazy link is drawn thin and called so', async () => {
	const [a] = await pair();
	await context().route(/\/peers$/, async route => {
		const response = await route.fetch(), peers = await response.json();
		for (const one of [...peers.upstreams, ...peers.downstreams]) one.lazy = !!one.node;
		peers.upstreams[0].behind = 17;
		await route.fulfill({ response, json: peers });
	});
	const page = await open(a);
	await cardIs(page, /lazy, 17 to come.*Reads amsterdam: lazy, connected/);
	await pillIs(page, /^amsterdam lags$/);
	assert.equal(await page.locator('#ring path.lazy').count(), 2);
	assert.match(await page.textContent('#wrong'), /It lacks 17 transactions at most/);
});

claim('a node that is killed and comes back', async () => {
	const port = await freePort();
	let node = await startNode(port);
	await send(node, [{ op: 'add', path: '/before', value: 1 }]);
	const page = await open(node);
	await hasRow(page, /^before/);
	await node.kill();
	await page.waitForSelector('#banner:not([hidden])');
	await until('words', async () => /No connection to this node since/.test(await page.textContent('#banner')));
	assert.equal(await page.textContent('#status'), 'Cut off');
	await page.fill('#box', '[{"op":"add","path":"/lost","value":1}]');
	await page.click('#send');
	await page.waitForSelector('.answer.warn');
	node = await startNode(port);
	await send(node, [{ op: 'add', path: '/after', value: 2 }]);
	await page.waitForSelector('#banner', { state: 'hidden' });
	await hasRow(page, /^after/);
	assert.ok(!(await tree(page)).some(row => /^before/.test(row)), 'another life of the journal: the old document is gone');
	assert.equal(await page.locator('#entries .entry').count(), 1);
});

claim('of a node that does not answer nothing is taken for what is so now', async () => {
	const [a, b] = await pair(), page = await open(a), isColoured = () => page.$$eval('.pill:not(#status), #cluster *', all => {
		const colours = ['good', 'warn', 'bad'].map(name => {
			const one = document.body.appendChild(Object.assign(document.createElement('i'), { className: name })), { color } = getComputedStyle(one);
			one.remove();
			return color;
		});
		return all.filter(one => colours.includes(getComputedStyle(one).color)).map(one => one.outerHTML.slice(0, 60));
	});
	await pillIs(page, /^2 nodes$/);
	assert.notDeepEqual(await isColoured(), []);
	a.signal('SIGSTOP');
	await page.waitForSelector('#banner:not([hidden])');
	for (const id of ['peersPill', 'clusterFacts']) assert.match(await page.evaluate(id => getComputedStyle(document.getElementById(id), '::after').content, id), /^" as of \d\d:\d\d:\d\d"$/);
	assert.deepEqual(await isColoured(), []);
	// It knows where else to look.
	assert.equal(await page.getAttribute('#bannerNodes a', 'href'), `//${b.url.slice(7)}/test`);
	a.signal('SIGCONT');
	await page.waitForSelector('#peersPill.good');
	await until('it is coloured', async () => (await isColoured()).length > 0);
});

// A mesh of thirty that all read each other, as the first of them tells it: one of them down, one silent, one that tells nothing.
function meshOfThirty() {
	const names = Array.from({ length: 30 }, (_, i) => `node${i}~aaaaaaaa`), addressOf = i => `10.0.0.${i}:80`, told = new Map([[0, 0], [3, 95e3], [5, 42e3], [7, 75e3]]);
	const nodes = names.map((node, i) => ({
		node, address: addressOf(i), told_ms: told.get(i) ?? 5e3, length: 9, committed: 7, primary: i === 0, hash: { clock: 'c', state: 's' }, viewers: 0,
		reads: names.flatMap((node, j) => i === j ? [] : [{ address: addressOf(j), node, state: j === 3 ? 'waiting' : 'connected', since_ms: 9e4, heard_ms: { 3: 91e3, 5: 4e4 }[j] ?? 2e3, lazy: (i + j) % 3 > 0, behind: i === 9 && j === 1 ? 4 : 0, delay_ms: 1, agrees: true }]),
	}));
	return { node: names[0], nodes };
}

claim('thirty nodes are told of in a picture, in a list and in words', async () => {
	const a = await startNode(await freePort()), told = meshOfThirty(), [{ node: source, reads }] = told.nodes, ago = (time, ms) => time - ms * 1e3;
	await context().route(/\/mesh$/, route => route.fulfill({ json: told }));
	await context().route(/\/peers$/, async route => {
		const response = await route.fetch(), peers = await response.json();
		const upstreams = reads.map(read => ({ ...read, since: ago(peers.time, read.since_ms), heard: ago(peers.time, read.heard_ms), vclock: peers.vclock }));
		const downstreams = [{ address: '10.0.0.1:1', node: 'node1~aaaaaaaa', kind: 'node', behind: 0, since: peers.time, heard: peers.time }, { address: '10.0.0.9:1', node: null, kind: 'viewer', behind: 0, since: peers.time, heard: peers.time }];
		await route.fulfill({ response, json: { ...peers, source, upstreams, downstreams } });
	});
	const page = await open(a);
	await until('all rows', async () => await page.locator('.card').count() === 30);
	await pillIs(page, /^node3 is down, and \d+ more$/);
	const wrong = await page.textContent('#wrong');
	for (const words of [/^node3 is down\. 10\.0\.0\.3:80, last heard .* say node0, node1 and \d\d others/, /node5 is silent\./, /node7 tells nothing\. Since/]) assert.match(wrong, words);
	assert.equal(await page.textContent('#clusterFacts'), '1 page looks at this node');
	const textOf = name => page.locator('.card', { hasText: new RegExp(`^${name}~`) }).textContent();
	assert.match(await textOf('node0'), /primary, this node/);
	assert.match(await textOf('node3'), /10\.0\.0\.3:80.*down.*read by nobody/);
	assert.match(await textOf('node8'), /= equal.*Reads \d\d nodes, read by \d\d nodes\. 5 s ago: 9 transactions, 2 tentative, state hash s$/);
	assert.equal(await page.locator('#ring g').count(), 30);
	// By the keyboard: the links of another one.
	await page.click('#nodes button:has-text("node9~")');
	await cardIs(page, /4 to come/);
	await page.locator('#nodes button', { hasText: 'node8' }).focus();
	await press(page, 'Enter');
	assert.equal(await page.getAttribute('#nodes [aria-pressed=true]', 'aria-pressed'), 'true');
	assert.match(await textOf('node4'), /Read by node8 since .*Reads node8: .*= equal since/);
	assert.match(await page.evaluate(() => document.activeElement.textContent), /^node8/, 'it stays under the finger');
	assert.equal(await page.textContent('#ring .picked text'), 'node8');
	await page.hover('#ring g:nth-of-type(5)');
	await until('what is pointed at is drawn', async () => await page.textContent('#ring .picked text') === 'node4');
	assert.equal(await page.locator('.card button[title]:visible').count(), 0, 'peers of another node are not removed here');
});
