// client.js in Chromium, in pages of another origin than the nodes'.
//
//     PATCHMESH=target/debug/patchmesh CHROMIUM=/usr/bin/chromium node --test tests/js/*.test.js

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { freePort, send, startBrowser, startNode, stopNodes, until } from '../page/nodes.js';

// What a stranger's web server serves: a page for each path.
const pages = new Map();
let browser, server, origin, contexts = [];

before(async () => {
	browser = await startBrowser('--host-resolver-rules=MAP app.example 127.0.0.1');
	server = createServer((request, response) => {
		response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(pages.get(request.url) ?? '<!doctype html><title>page</title>');
	});
	await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
	origin = `http://127.0.0.1:${server.address().port}`;
});
afterEach(async () => {
	for (const context of contexts.splice(0)) await context.close();
	await stopNodes();
});
after(async () => {
	await browser?.close();
	server?.close();
	await stopNodes();
});

async function newContext() {
	const context = await browser.newContext();
	contexts.push(context);
	return context;
}

// A page with a live document as `doc`.
async function open(context, urls, home = origin) {
	const page = await context.newPage();
	await page.goto(`${home}/`);
	await page.evaluate(async ([module, urls]) => {
		const { connect } = await import(module);
		window.doc = connect(urls, { queue: 'test' });
	}, [`${urls[0]}/client.js`, urls]);
	return page;
}

async function pair(...origins) {
	const [a, b] = [await freePort(), await freePort()], options = (origins.length ? origins : [origin]).flatMap(one => ['--allow-origin', one]);
	return Promise.all([startNode(a, [b], ...options), startNode(b, [a], ...options)]);
}

const get = async (node, path = '') => (await fetch(`${node.url}/get${path}`)).json();
const documentOf = page => page.evaluate(() => doc.get());
const append = (page, ...values) => page.evaluate(async values => {
	await Promise.all(values.map(value => doc.patch([{ op: 'add', path: '/list/-', value }]).kept));
}, values);
const is = (what, check, wanted) => until(`${what}: ${JSON.stringify(wanted)}`, async () => {
	const found = await check();
	if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(JSON.stringify(found));
	return true;
});

test('two pages write while they are offline, and are equal when they are back', async () => {
	const [a, b] = await pair();
	await send(a, [{ op: 'add', path: '/list', value: [] }]);
	await is('both nodes', () => get(b), { list: [] });
	const [one, other] = [await newContext(), await newContext()], left = await open(one, [a.url, b.url]), right = await open(other, [b.url, a.url]);
	for (const page of [left, right]) await is('read', () => documentOf(page), { list: [] });
	await Promise.all([one.setOffline(true), other.setOffline(true)]);
	await until('cut off', async () => (await left.evaluate(() => doc.status.state)) === 'offline');
	await Promise.all([append(left, 'l1', 'l2'), append(right, 'r1', 'r2')]);
	await left.evaluate(() => { doc.merge({ from: 'left' }); });
	// Each shows its own.
	assert.deepEqual([await documentOf(left), await documentOf(right)], [{ list: ['l1', 'l2'], from: 'left' }, { list: ['r1', 'r2'] }]);
	assert.deepEqual(await get(a), { list: [] });
	await Promise.all([one.setOffline(false), other.setOffline(false)]);
	await until('all is there', async () => (await get(a, '/list')).length === 4 && (await get(a)).from === 'left');
	const document = await get(a);
	for (const node of [a, b]) await is('the nodes', () => get(node), document);
	for (const page of [left, right]) {
		await is('the pages', async () => JSON.parse(JSON.stringify(await documentOf(page), ['list', 'from'])), { list: document.list, from: 'left' });
		await is('all are answered', () => page.evaluate(() => doc.status.pending), 0);
	}
	const order = document.list.join(' ');
	assert.ok(/l1.*l2/.test(order) && /r1.*r2/.test(order), order);
});

test('what a page wrote offline is sent once when it was closed and is opened again', async () => {
	const [a, b] = await pair(), context = await newContext(), page = await open(context, [a.url, b.url]);
	await page.evaluate(async () => { await doc.set('/list', []); });
	await context.setOffline(true);
	await until('cut off', () => page.evaluate(() => doc.status.state === 'offline'));
	await append(page, 1, 2, 3);
	await page.close();
	assert.deepEqual(await get(a), { list: [] });
	await context.setOffline(false);
	const again = await open(context, [b.url, a.url]);
	await is('sent', () => get(a), { list: [1, 2, 3] });
	await is('shown', () => documentOf(again), { list: [1, 2, 3] });
	// By the source of the page that was closed.
	const lines = (await (await fetch(`${a.url}/log`)).text()).trim().split('\n').map(line => JSON.parse(line));
	assert.deepEqual(lines.map(({ Id }) => Id), [1, 2, 3, 4]);
	assert.equal(new Set(lines.map(({ Source }) => Source)).size, 1);
	await is('all are answered', () => again.evaluate(() => doc.status.pending), 0);
	await again.reload();
	await is('nothing is kept', () => again.evaluate(() => new Promise(resolve => {
		const opening = indexedDB.open('patchmesh');
		opening.onsuccess = () => { opening.result.transaction('writes').objectStore('writes').count().onsuccess = event => { opening.result.close(); resolve(event.target.result); }; };
	})), 0);
});

for (const [how, host] of [['with locks', '127.0.0.1'], ['without locks', 'app.example']]) {
	test(`two tabs write as two sources, and one sends what the other left, ${how}`, async () => {
		const home = origin.replace('127.0.0.1', host), [a] = await pair(home), context = await newContext();
		const first = await open(context, [a.url], home), second = await open(context, [a.url], home);
		assert.equal(await first.evaluate(() => 'locks' in navigator), how === 'with locks');
		await first.evaluate(async () => { await doc.set('/list', []); });
		await Promise.all([append(first, 'a', 'b'), append(second, 'c', 'd')]);
		await until('four', async () => (await get(a, '/list')).length === 4);
		await context.setOffline(true);
		await Promise.all([append(first, 'e', 'f'), append(second, 'g')]);
		await first.close();
		await context.setOffline(false);
		await until('seven', async () => (await get(a, '/list')).length === 7);
		const list = await get(a, '/list');
		assert.deepEqual([...list].sort(), [...'abcdefg']);
		await is('shown', () => documentOf(second), { list });
		const lines = (await (await fetch(`${a.url}/log`)).text()).trim().split('\n').map(line => JSON.parse(line));
		assert.deepEqual([lines.length, new Set(lines.map(({ Source }) => Source)).size], [8, 2]);
	});
}

test('the page in README shows a live value, from another origin', async () => {
	const [, section] = (await readFile(new URL('../../README.md', import.meta.url), 'utf8')).split('### In a browser\n'), [, html] = /```html\n(.*?)```/s.exec(section);
	assert.ok(html.trim().split('\n').length <= 10, 'ten lines');
	const port = await freePort(), node = await startNode(port, [], '--allow-origin', origin), page = await (await newContext()).newPage();
	pages.set('/readme', html.replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`));
	await page.goto(`${origin}/readme`);
	await send(node, [{ op: 'add', path: '/title', value: 'Menu of the day' }]);
	await until('shown', async () => (await page.textContent('h1')) === 'Menu of the day');
	await send(node, [{ op: 'add', path: '/title', value: 'Menu of the night' }]);
	await until('live', async () => (await page.textContent('h1')) === 'Menu of the night');
	await page.fill('input', 'Soup');
	await page.press('input', 'Enter');
	await until('written', async () => (await get(node)).title === 'Soup');
	// A page of any other origin is not let in.
	pages.set('/readme', pages.get('/readme').replaceAll('<h1>', '<h1 hidden>'));
	const stranger = await (await newContext()).newPage();
	await stranger.goto(`${origin.replace('127.0.0.1', 'localhost')}/readme`);
	assert.equal(await stranger.textContent('h1'), '');
});
