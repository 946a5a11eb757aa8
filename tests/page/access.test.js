// Whoever cannot see, or has no mouse: axe finds nothing in any state of the page, at any width, in light and dark.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { claim, context, fakePeer, hasRow, open, press, rowAt } from './harness.js';
import { freePort, send, startNode, until } from './nodes.js';

const axe = await readFile(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const SIZES = [[1440, 900], [1024, 768], [390, 844]];

// A tree item is called as its row, and not as all that is below it.
const isMeant = (id, html) => id === 'label-content-name-mismatch' && html.includes('role="treeitem"');

// In each state the page is looked at as a whole, when nothing moves any more.
async function looks(page, state) {
	if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(axe);
	for (const colorScheme of ['light', 'dark']) {
		await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
		for (const [width, height] of SIZES) {
			await page.setViewportSize({ width, height });
			const found = await page.evaluate(async () => {
				for (const animation of document.getAnimations()) if (animation.effect.getComputedTiming().endTime < Infinity) animation.finish();
				const { violations } = await window.axe.run(document, { resultTypes: ['violations'] });
				return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => ({ id, html: html.slice(0, 300), why: failureSummary })));
			});
			assert.deepEqual(found.filter(({ id, html }) => !isMeant(id, html)), [], `${state}, ${width} wide, ${colorScheme}`);
		}
	}
}

claim('axe finds nothing in any state', async () => {
	const fake = await fakePeer(), down = await freePort(), node = await startNode(await freePort(), [fake.port, down], '--source', 'amsterdam');
	const page = await open(node);
	await page.waitForSelector('.card.bad');
	await looks(page, 'empty, and a peer is down');

	let deep = 'x'.repeat(500);
	for (let i = 0; i < 30; i++) deep = i % 2 ? [deep] : { [`key ${i}`]: deep };
	await send(node, [{ op: 'add', path: '/deep', value: deep }, { op: 'add', path: '/list', value: Array.from({ length: 30 }, (_, i) => ({ i })) }, { op: 'add', path: '/seat', value: 'free' }]);
	const between = Date.now();
	await until('a later time', () => Date.now() > between + 20);
	await page.fill('#box', '[{"op":"test","path":"/seat","value":"free"},{"op":"replace","path":"/seat","value":"Anna"}]');
	await press(page, 'Control+Enter');
	await hasRow(page, /seat : +"Anna"/);
	fake.send('cut-off~00000000', 1, [{ op: 'replace', path: '/seat', value: 'Boris' }], between + 5);
	await until('skipped', async () => await page.textContent('#skippedPill') === '1 skipped');
	await hasRow(page, /seat : +"Boris"/);
	await page.click('#skippedPill');
	await page.click('#entries summary');
	await page.waitForSelector('#entries .sides .won');
	for (const key of ['deep', 'list']) await rowAt(page, key).click({ position: { x: 8, y: 8 } });
	await page.focus('#tree [aria-selected]');
	await press(page, 'F2');
	await page.click('#kinds button:nth-child(3)');
	await page.fill('#box', '1');
	await page.fill('#find', 'key 2');
	await looks(page, 'deep and large, one skipped, an edit open');
	await press(page, 'Escape');
	await page.click('#asideAll');
	fake.commit('main~k3x9q2pd^1', 1, { 'cut-off~00000000': 2 }, Date.now());
	await page.waitForSelector('#entries .aside');
	await rowAt(page, 'list').click({ position: { x: 8, y: 8 } });
	await page.click('#back');
	await page.waitForSelector('#past:not([hidden])');
	await page.fill('#find', 'key 29');
	await press(page, 'Enter', 'Shift+Enter');
	await page.click('#only');
	await page.fill('#find', '/deep/no');
	await looks(page, 'past, only a part, and a pointer to nothing');
	await page.click('#way button');
	await page.click('#helpOpen');
	await looks(page, 'the keys');
	await page.click('#helpClose');
	await page.click('#now');

	const reads = [1, 2].map(step => i => ({ address: `127.0.0.1:${9000 + (i + step) % 30}`, node: `node${(i + step) % 30}~00000000`, state: i % 7 ? 'connected' : 'waiting', since_ms: 9000, heard_ms: 100, lazy: step > 1, behind: i % 3, delay_ms: 2, agrees: i % 5 > 0 }));
	const nodes = Array.from({ length: 30 }, (_, i) => ({ node: `node${i}~00000000`, address: `127.0.0.1:${9000 + i}`, told_ms: i * 4000, length: 5, committed: null, primary: false, hash: { clock: 'a', state: `${i % 2}` }, viewers: 1, reads: reads.map(read => read(i)) }));
	await context().route(/\/mesh$/, async route => {
		const response = await route.fetch(), mesh = await response.json();
		mesh.nodes.push(...nodes);
		await route.fulfill({ response, json: mesh });
	});
	await until('thirty nodes', async () => /node29/.test(await page.textContent('#cluster')));
	await looks(page, 'a mesh of thirty nodes');
	await context().unrouteAll({ behavior: 'wait' });

	await context().route(/\/replace$/, () => {});
	const data = await page.evaluateHandle(text => {
		const data = new DataTransfer();
		data.items.add(new File([text], 'places.json'));
		return data;
	}, JSON.stringify(Array.from({ length: 20000 }, (_, i) => `place ${i}`)));
	await page.dispatchEvent('main', 'drop', { dataTransfer: data });
	await page.waitForSelector('#send:not(:disabled)');
	await page.click('#send');
	await page.waitForSelector('#running:not([hidden])');
	await looks(page, 'an import runs');
	await page.click('#cancel');
	await page.waitForSelector('.answer.warn');
	await node.kill();
	await page.waitForSelector('#banner:not([hidden])');
	await looks(page, 'cut off');
});

claim('axe finds nothing while a token is asked for', async () => {
	const node = await startNode(await freePort(), [], '--token', 'sesam'), page = await context().newPage();
	await page.goto(`${node.url}/test`);
	await page.waitForSelector('#tokenForm:not([hidden])');
	await looks(page, 'a token is asked for');
});
