// The page as a whole: an older node, a phone.

import assert from 'node:assert/strict';
import { claim, context, hasRow, open, pair } from './harness.js';
import { send, sleep } from './nodes.js';

claim('an older node, which lacks the newer endpoints, is still shown', async () => {
	const [a] = await pair();
	await context().route(/\/(history|conflicts|transaction)/, route => route.fulfill({ status: 404, contentType: 'application/problem+json', body: '{"status":404,"detail":"there is no such thing"}' }));
	await send(a, [{ op: 'add', path: '/n', value: 1 }]);
	const page = await open(a);
	await hasRow(page, /n : +1/);
	assert.ok(await page.isHidden('#travel'));
	await page.click('#entries summary');
	await page.waitForSelector('#entries .operations');
	await page.fill('#box', '[{"op":"add","path":"/n","value":2}]');
	await page.click('#send');
	await hasRow(page, /n : +2/);
});

claim('a phone, with less motion', async () => {
	const [a] = await pair();
	await send(a, [{ op: 'add', path: '/list', value: ['x'.repeat(200), { deep: { deeper: { deepest: [1, 2, 3] } } }] }]);
	const page = await open(a, { size: { width: 360, height: 740 } });
	await page.emulateMedia({ reducedMotion: 'reduce' });
	await hasRow(page, /list/);
	await sleep(2500);
	const wide = await page.evaluate(() => [document.documentElement.scrollWidth, ...[...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > 361 && !one.closest('.clip, .row, svg, pre')).map(one => one.outerHTML.slice(0, 80))]);
	assert.deepEqual(wide, [360]);
	await page.click('.jumps a:text-is("Timeline")');
	await page.click('#entries summary');
	await page.waitForSelector('#entries .effect .added');
});
