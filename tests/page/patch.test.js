// The patch box, and what becomes of what is sent.

import assert from 'node:assert/strict';
import { claim, context, get, hasRow, open, pair, press, rowAt } from './harness.js';
import { freePort, send, startNode, until } from './nodes.js';

claim('what one page sends the other shows', async () => {
	const [a, b] = await pair(), [one, other] = [await open(a), await open(b)];
	for (const [example, row] of [['Make a list', /^list : +\[/], ['Append', /0 : +"A"/], ['Replace', /0 : +"B"/]]) {
		await one.click(`#examples button:text-is("${example}")`);
		await one.focus('#box');
		await one.keyboard.press('Control+Enter');
		await one.waitForSelector('.answer.good');
		await hasRow(one, row);
		await hasRow(other, row);
	}
	await until('equal hashes', async () => await one.textContent('#documentTag') === await other.textContent('#documentTag'));
	assert.deepEqual(await get(b), { list: ['B'] });
	await until('three sent and applied', async () => (await one.$$eval('#sent .good', all => all.length)) === 3);
	assert.equal(await other.locator('#entries .entry').count(), 3);
	assert.match(await other.textContent('#clocks'), /amsterdam/);
	await until('peer shown', async () => /connected/.test(await one.textContent('#picture')));
});

claim('an edit of what changed meanwhile is refused in words', async () => {
	const [a] = await pair();
	await send(a, [{ op: 'add', path: '/n', value: 1 }]);
	const page = await open(a);
	await hasRow(page, /^n : +1$/);
	await rowAt(page, 'n:').locator('.value').dblclick();
	await page.fill('.edit textarea', '10');
	await send(a, [{ op: 'replace', path: '/n', value: 2 }]);
	await hasRow(page, /^n : +2/);
	await page.click('.edit .main');
	await until('refused', async () => /not as tested/.test(await page.textContent('.edit [role=alert]')));
	assert.equal(await get(a, '/n'), 2);
	await until('in what was sent', async () => /refused/.test(await page.textContent('#sent')));
});

claim('a token is asked for, and used', async () => {
	const node = await startNode(await freePort(), [], '--token', 'sesam');
	const page = await context().newPage();
	await page.goto(`${node.url}/test`);
	await page.waitForSelector('#tokenForm:not([hidden])');
	await page.fill('#token', 'wrong');
	await page.keyboard.press('Enter');
	await until('refused', async () => /does not accept/.test(await page.textContent('#tokenWhy')));
	await page.fill('#token', 'sesam');
	await page.keyboard.press('Enter');
	await page.waitForSelector('#status.good');
	await page.click('#send');
	await page.waitForSelector('.answer.good');
	await page.fill('#peer', '127.0.0.1:1');
	await page.click('#peerAdd');
	await page.waitForSelector('#peerSays.good');
	await page.waitForSelector('#ins .card.bad');
});
