// Measures the page with a document of 3 MB and 100,000 members, in one object, in a hundred, or in an array.
//
//     PATCHMESH=target/release/patchmesh node speed.js flat | hundred | array

import { freePort, send, sleep, startBrowser, startNode, stopNodes, until } from './nodes.js';

const shape = process.argv[2] ?? 'flat', MEMBERS = 100_000, PIECES = 10, EACH = MEMBERS / PIECES;
const key = i => `member${String(i).padStart(6, '0')}`, value = i => `value number ${i} x`, from = (count, make) => Array.from({ length: count }, (_, i) => make(i));
const shapes = {
	flat: piece => from(EACH, i => ({ op: 'add', path: `/${key(piece * EACH + i)}`, value: value(piece * EACH + i) })),
	hundred: piece => from(EACH / 1000, group => ({ op: 'add', path: `/group${piece * 10 + group}`, value: Object.fromEntries(from(1000, i => [key(i), value(i)])) })),
	array: piece => [...piece ? [] : [{ op: 'add', path: '/list', value: [] }], ...from(EACH, i => ({ op: 'add', path: '/list/-', value: value(piece * EACH + i) }))],
};
// What is written: a value that is shown, a new one, and one more.
const paths = { flat: [`/${key(5)}`, `/${key(5)}a`, `/${key(6)}`], hundred: [`/group1/${key(7)}`, `/group1/${key(5)}a`, '/x'], array: ['/list/5', '/x', '/list/0'] }[shape];

const node = await startNode(await freePort());
for (let piece = 0; piece < PIECES; piece++) await send(node, shapes[shape](piece));
const bytes = (await (await fetch(`${node.url}/get`)).text()).length;

const browser = await startBrowser('--enable-precise-memory-info'), context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.addInitScript(() => {
	window.tasks = [];
	new PerformanceObserver(list => window.tasks.push(...list.getEntries().map(one => Math.round(one.duration)))).observe({ type: 'longtask', buffered: true });
	document.addEventListener('DOMContentLoaded', () => new MutationObserver(() => {
		if (document.querySelectorAll('#tree [role=treeitem]').length > 1) window.treeAt ??= Math.round(performance.now());
	}).observe(document.querySelector('#tree'), { childList: true, subtree: true }));
});
const page = await context.newPage(), takeTasks = () => page.evaluate(() => window.tasks.splice(0).join(', ') || 'none');
await page.goto(`${node.url}/test`);
await page.waitForFunction(() => window.treeAt);
await page.waitForSelector('#entries .entry');
await sleep(1500);
const paint = await page.evaluate(() => Math.round(performance.getEntriesByName('first-contentful-paint')[0].startTime));
console.log(`${shape}: ${bytes} bytes; first paint ${paint} ms, tree ${await page.evaluate(() => window.treeAt)} ms; tasks above 50 ms: ${await takeTasks()}`);

if (shape !== 'flat') await page.locator('#tree .row', { hasText: shape === 'array' ? 'list' : 'group1' }).first().click({ position: { x: 8, y: 8 } });
await page.evaluate(() => {
	window.shown = new Map();
	new MutationObserver(() => {
		for (const text of document.querySelector('#tree').textContent.match(/tick\d+/g) ?? []) if (!window.shown.has(text)) requestAnimationFrame(() => window.shown.has(text) || window.shown.set(text, Date.now()));
	}).observe(document.querySelector('#tree'), { childList: true, subtree: true });
});
await sleep(500);
await takeTasks();
const times = [];
for (let i = 0; i < 30; i++) {
	const began = Date.now();
	await send(node, [{ op: 'add', path: paths[i % 3], value: `tick${i}` }]);
	await until('it is shown', () => page.evaluate(text => window.shown.has(text), `tick${i}`));
	times.push(await page.evaluate(text => window.shown.get(text), `tick${i}`) - began);
	await sleep(300);
}
times.sort((one, other) => one - other);
console.log(`from a write to its frame: median ${times[15]} ms, the slowest of 30 ${times.at(-1)} ms; tasks above 50 ms: ${await takeTasks()}`);

const began = Date.now();
await page.locator('#entries summary').first().click();
await until('what it did', () => page.evaluate(() => document.querySelectorAll('#entries .effect li:not(.quiet)').length > 0));
console.log(`an entry opened: ${Date.now() - began} ms; tasks above 50 ms: ${await takeTasks()}`);

const tools = await context.newCDPSession(page);
await tools.send('HeapProfiler.collectGarbage');
await tools.send('Performance.enable');
const { metrics } = await tools.send('Performance.getMetrics');
console.log(`heap: ${Math.round(metrics.find(one => one.name === 'JSHeapUsedSize').value / 1e6)} MB`);
await browser.close();
await stopNodes();
process.exit(0);
