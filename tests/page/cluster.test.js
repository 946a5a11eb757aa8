// The cluster: peers, readers, and a connection that breaks.

import assert from 'node:assert/strict';
import { claim, context, hasRow, open, pair, press, tree } from './harness.js';
import { freePort, send, startNode, until } from './nodes.js';

claim('on three nodes a write reaches all, and the pages tell of them', async () => {
	const ports = [await freePort(), await freePort(), await freePort()];
	const nodes = await Promise.all(ports.map((port, i) => startNode(port, ports.filter(other => other !== port), '--source', 'abc'[i])));
	const pages = await Promise.all(nodes.map(node => open(node)));
	for (const [i, node] of nodes.entries()) await send(node, [{ op: 'add', path: `/from${i}`, value: i }]);
	for (const page of pages) for (const i of [0, 1, 2]) await hasRow(page, new RegExp(`^from${i} : `));
	for (const page of pages) {
		await until('two peers', async () => await page.textContent('#peersPill') === '2 peers');
		assert.equal(await page.locator('#clocks tr').count(), 4);
	}
});

claim('two nodes cut from each other converge when they meet', async () => {
	const [a, b] = [await freePort(), await freePort()], one = await startNode(a, [b]), page = await open(one);
	await until('the dead peer is seen', async () => await page.textContent('#peersPill') === '1 of 1 peer down');
	await page.waitForSelector('.card.bad');
	await send(one, [{ op: 'add', path: '/x', value: 'one' }]);
	const other = await startNode(b, []);
	await send(other, [{ op: 'add', path: '/x', value: { y: 1 } }]);
	await send(other, [{ op: 'replace', path: '/x/y', value: 2 }]);
	await hasRow(page, /^y : +2/);
	await until('the peer is back', async () => await page.textContent('#peersPill') === '1 peer, unread');
	await until('that is told', async () => /^No node has read this one\./.test(await page.textContent('#unread')));
	await page.waitForSelector('#unread:not([hidden])');
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
	await until('it is named', async () => new RegExp(`berlin~\\w{8}.*${address}, heard \\d+ (s|ms) ago at \\d\\d:.*connected \\d+ s since \\d\\d:`).test(await page.textContent('#ins .card.good')));
	await until('its clock is named', async () => /berlin~/.test(await page.textContent('#clocks th:nth-child(3)')));
	// Nobody reads it, until the other one is told to.
	await page.waitForSelector('#unread:not([hidden])');
	assert.equal((await fetch(`${b.url}/peers`, { method: 'POST', body: JSON.stringify({ address: a.url.slice(7) }) })).status, 201);
	await page.waitForSelector('#unread', { state: 'hidden' });
	await until('the reader is named', async () => /berlin~\w{8}has all/.test(await page.textContent('#outs .card')));
	// What is shown anew stays under the finger.
	await page.focus('#ins .card button');
	await until('it is shown anew', async () => /heard [2-9] s ago/.test(await page.textContent('#ins .card')));
	assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), `Remove the peer ${address}`);
	await page.keyboard.press('Enter');
	assert.equal(await page.textContent('#ins .card button'), 'Remove?');
	assert.equal((await (await fetch(`${a.url}/peers`)).json()).upstreams.length, 1, 'not at once');
	await page.keyboard.press('Enter');
	await says(/is no peer any more/);
	await until('none is left', async () => await page.textContent('#ins') === 'No peers');
	assert.deepEqual((await (await fetch(`${a.url}/peers`)).json()).upstreams, []);
});

claim('a frozen node looks silent, and one that is killed looks down', async () => {
	const [a, b] = await pair(), page = await open(a), pill = text => until(text, async () => await page.textContent('#peersPill') === text, 40000);
	await pill('1 peer');
	b.signal('SIGSTOP');
	await page.waitForSelector('#ins .card.warn', { timeout: 40000 });
	await page.waitForSelector('#outs .card.warn');
	for (const side of ['#ins', '#outs']) assert.match(await page.textContent(`${side} .card.warn`), /silent 2\d s.*heard 2\d s ago at \d\d:\d\d:\d\d/);
	assert.match(await page.textContent('#peersPill'), /[12] silent/);
	assert.equal(await page.locator('#insLinks .off').count(), 1);
	b.signal('SIGCONT');
	await page.waitForSelector('#ins .card.good', { timeout: 40000 });
	await pill('1 peer');
	await b.kill();
	await pill('1 of 1 peer down');
	await until('since when', async () => /down.*heard \d+ m?s ago at .*down \d+ s since \d\d:\d\d:\d\d: /.test(await page.textContent('#ins .card.bad')));
	assert.doesNotMatch(await page.textContent('#outs'), /berlin/);
	await page.waitForSelector('#unread:not([hidden])');
	assert.match(await page.textContent('#unread'), /^No node reads this one now\./);
});

claim('a lazy stream is drawn thin and called so', async () => {
	const [a] = await pair();
	await context().route(/\/peers$/, async route => {
		const response = await route.fetch(), peers = await response.json();
		for (const one of [...peers.upstreams, ...peers.downstreams]) one.lazy = !!one.node;
		peers.upstreams[0].behind = 17;
		await route.fulfill({ response, json: peers });
	});
	const page = await open(a);
	for (const [side, fact] of [['ins', 'lazy, 17 to come'], ['outs', 'lazy']]) {
		await until('it is called so', async () => await page.textContent(`#${side} .card.lazy > span:nth-of-type(2)`) === fact);
		assert.equal(await page.locator(`#${side}Links path.lazy`).count(), 1);
	}
	await until('it lags', async () => await page.textContent('#peersPill') === '1 behind');
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
