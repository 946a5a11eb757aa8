// The page as a whole, on a phone.

import assert from 'node:assert/strict';
import { claim, hasRow, open, pair } from './harness.js';
import { send, sleep } from './nodes.js';

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
