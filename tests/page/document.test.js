// The document: the tree, edits in it, time travel.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claim, get, hasRow, open, pair, pathIs, press, rowAt, tree } from './harness.js';
import { freePort, send, sleep, startNode, until } from './nodes.js';

claim('a value is changed, added and removed in the tree', async () => {
	const [a, b] = await pair();
	await send(a, [{ op: 'add', path: '/users', value: [{ name: 'Anna', age: 31 }, { name: 'Boris', age: 27 }] }]);
	const page = await open(a);
	await hasRow(page, /Boris/);
	await rowAt(page, '"Boris"').locator('.value').dblclick();
	await page.fill('.edit textarea', '"Bo"');
	// An array is in the path: the whole element is tested.
	assert.deepEqual(JSON.parse(await page.textContent('.edit pre')), [
		{ op: 'test', path: '/users/1', value: { name: 'Boris', age: 27 } }, { op: 'replace', path: '/users/1/name', value: 'Bo' }]);
	await page.keyboard.press('Enter');
	await until('changed', async () => (await get(b, '/users/1/name')) === 'Bo');
	await page.waitForSelector('.row .change.changed');
	assert.match(await page.textContent('.row .change.changed'), /was "Boris"/);

	await rowAt(page, 'users').click({ position: { x: 60, y: 8 } });
	await rowAt(page, 'users').click({ position: { x: 60, y: 8 } });
	await page.click('#add');
	await page.fill('.edit textarea', 'plain words');
	assert.match(await page.textContent('.edit'), /sent as a string/);
	assert.deepEqual(JSON.parse(await page.textContent('.edit pre')), [{ op: 'add', path: '/users/-', value: 'plain words' }]);
	await page.click('.edit .main');
	await until('added', async () => (await get(b, '/users')).length === 3);
	await page.waitForSelector('.row .change.added');

	await rowAt(page, 'plain words').locator('.value').click();
	await page.click('#remove');
	assert.deepEqual(JSON.parse(await page.textContent('.edit pre')), [{ op: 'test', path: '/users/2', value: 'plain words' }, { op: 'remove', path: '/users/2' }]);
	await page.click('.edit .main');
	await until('removed', async () => (await get(b, '/users')).length === 2);
	await page.waitForSelector('.ghost.removed');
});

claim('the keyboard alone is enough', async () => {
	const [a] = await pair();
	await send(a, [{ op: 'add', path: '/a', value: { b: [1, 2, { c: 3 }] } }, { op: 'add', path: '/z', value: 1 }]);
	const page = await open(a);
	await hasRow(page, /^z/);
	await page.focus('#tree [tabindex="0"]');
	await press(page, 'ArrowDown');
	await pathIs(page, '/a');
	await press(page, 'ArrowRight', 'ArrowRight', 'ArrowDown');
	await pathIs(page, '/a/b/1');
	await press(page, 'ArrowLeft');
	await pathIs(page, '/a/b');
	await press(page, 'ArrowLeft', 'ArrowDown');
	await pathIs(page, '/z');
	await press(page, 'F2');
	await page.keyboard.type('42');
	await press(page, 'Enter');
	await until('changed by keys', async () => (await get(a, '/z')) === 42);
	await until('focus is back in the tree', () => page.evaluate(() => document.activeElement.role === 'treeitem'));
	await press(page, 'Insert');
	await page.keyboard.type('y');
	await press(page, 'Tab');
	await page.keyboard.type('true');
	await press(page, 'Enter');
	await until('added by keys', async () => (await get(a, '/y')) === true);
	await until('focus is back in the tree', () => page.evaluate(() => document.activeElement.role === 'treeitem'));
	await hasRow(page, /^y/);
	await press(page, 'Delete', 'Escape');
	await until('focus is back in the tree', () => page.evaluate(() => document.activeElement.role === 'treeitem'));
	await pathIs(page, '/z');
	await press(page, 'Delete', 'Enter');
	await until('removed by keys', async () => !('z' in await get(a)));
	await page.focus('#entries summary');
	await press(page, 'Enter');
	await page.waitForSelector('#entries .operations');
	await page.focus('#place');
	await press(page, 'ArrowLeft');
	await page.waitForSelector('#past:not([hidden])');
});

claim('a hostile document runs no script', async () => {
	const [a, b] = await pair(), evil = '<img src=x onerror=alert(1)>';
	const page = await open(b);
	await send(a, [{ op: 'add', path: `/${evil}`, value: { '</script><script>alert(2)</script>': '<svg onload=alert(3)>', __proto__x: 1, constructor: { prototype: 1 }, '': '"><b>', 'a/b~c': 'javascript:alert(4)', '\u202e\u0000': 1 } }]);
	await send(a, `[{"op":"add","path":"/__proto__","value":{"__proto__":{"polluted":true}}},{"op":"add","path":"/n","value":[12345678901234567890,1e300,-0.0]}]`);
	await hasRow(page, /onerror=alert/);
	await hasRow(page, /__proto__/);
	await hasRow(page, /n : +\[/);
	for (const summary of await page.locator('#entries summary').all()) await summary.click();
	await until('effects', async () => await page.locator('.effect .added').count() >= 2);
	await rowAt(page, 'a/b~c').locator('.value').click();
	await pathIs(page, `/${evil}/a~1b~0c`);
	await rowAt(page, 'a/b~c').locator('.value').dblclick();
	await page.fill('.edit textarea', evil);
	await page.keyboard.press('Enter');
	await until('hostile edit', async () => JSON.stringify(await get(a)).includes(`"a/b~c":"${evil}"`));
	await page.click('#back');
	await page.waitForSelector('#past:not([hidden])');
	await page.fill('#box', `[{"op":"remove","path":"/<b>${evil}"}]`);
	await page.click('#send');
	await page.waitForSelector('.answer.bad');
	assert.equal(await page.locator('main img, main b b, main script, main svg svg').count(), 0);
	assert.equal(await page.evaluate(() => ({}).polluted), undefined);
	await page.evaluate(() => document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.ran=1"><p style="color:red">'));
	assert.equal(await page.evaluate(() => window.ran), undefined);
	// These two the page did not do itself: they show that the policy works and that its complaints are heard.
	await until('the policy is at work', async () => (await page.evaluate(() => window.violations.length)) >= 1);
	await page.evaluate(() => { window.violations.length = 0; });
}, /Content Security Policy/);

claim('a hundred thousand elements scroll', async () => {
	const [a] = await pair();
	// In pieces: the node takes a body of one MiB.
	await send(a, [{ op: 'add', path: '/big', value: Array.from({ length: 50000 }, (_, i) => i) }]);
	await send(a, Array.from({ length: 10000 }, (_, i) => ({ op: 'add', path: '/big/-', value: 50000 + i })));
	for (let from = 60000; from < 100000; from += 10000) await send(a, Array.from({ length: 10000 }, (_, i) => ({ op: 'add', path: '/big/-', value: from + i })));
	const page = await open(a);
	await hasRow(page, /big/);
	assert.match((await tree(page)).join(), /100,000 items/);
	await rowAt(page, 'big').click({ position: { x: 8, y: 8 } });
	await hasRow(page, /^0 : +0$/);
	assert.ok((await tree(page)).length < 400, 'only what is near the view is drawn');
	const seen = () => page.evaluate(() => {
		const view = treeBody.getBoundingClientRect();
		return [...document.querySelectorAll('#tree .numeric')].filter(one => { const { top, bottom } = one.getBoundingClientRect(); return top >= view.top && bottom <= view.bottom; }).map(one => Number(one.textContent));
	});
	for (const part of [0.25, 0.5, 0.999, 0.1, 0]) {
		const began = Date.now();
		await page.evaluate(part => { treeBody.scrollTop = part * (treeBody.scrollHeight - treeBody.clientHeight); }, part);
		await until(`elements at ${part}`, async () => { const all = await seen(); return all.length > 5 && Math.abs(all[0] - part * 100000) < 1000; });
		assert.ok(Date.now() - began < 3000);
	}
	// Slowly, by the wheel, none is left out.
	await page.mouse.move(200, 300);
	const met = new Set();
	for (let i = 0; i < 90; i++) {
		await page.mouse.wheel(0, 90);
		await sleep(40);
		for (const one of await seen()) met.add(one);
	}
	const most = Math.max(...met);
	assert.ok(most > 250 && met.size > 0.97 * most, `${met.size} of ${most}`);
	await page.focus('#tree [tabindex="0"]');
	await press(page, 'End');
	await pathIs(page, '/big/99999');
	await page.keyboard.press('F2');
	await page.fill('.edit textarea', '"last"');
	await page.keyboard.press('Enter');
	await until('the last is changed', async () => (await get(a, '/big/99999')) === 'last');
	await hasRow(page, /^99999 : +"last"/);
	await press(page, 'Home');
	await pathIs(page, 'the whole document');
});

claim('time travel', async () => {
	const [a] = await pair();
	for (let i = 0; i < 5; i++) await send(a, [{ op: 'add', path: '/n', value: i }]);
	const page = await open(a);
	await hasRow(page, /n : +4/);
	await page.click('#back');
	await hasRow(page, /n : +3/);
	assert.match(await page.textContent('#past'), /You look at the past/);
	assert.equal(await page.textContent('#placeText'), '4 of 5');
	assert.ok(await page.isDisabled('#change'));
	// What comes meanwhile does not disturb.
	await send(a, [{ op: 'add', path: '/n', value: 99 }]);
	await until('longer', async () => await page.textContent('#placeText') === '4 of 6');
	await page.evaluate(() => { place.value = 0; place.dispatchEvent(new Event('input')); });
	await until('the beginning', async () => (await tree(page)).length === 1);
	await page.locator('#entries .entry').nth(3).locator('summary').click();
	await until('before and after', async () => /\/n.*1.*→.*2/.test(await page.textContent('#entries .effect')));
	await page.click('#entries .facts button:text-is("See the document here")');
	await hasRow(page, /n : +2/);
	await page.click('#now');
	await hasRow(page, /n : +99/);
	assert.ok(await page.isHidden('#past'));
});

claim('time travel begins where the history begins', async () => {
	const data = await mkdtemp(join(tmpdir(), 'patchmesh-page-'));
	const a = await startNode(await freePort(), [], '--source', 'anna', '--data', data, '--primary', '--keep', '1s');
	for (let i = 0; i < 5; i++) await send(a, [{ op: 'add', path: '/n', value: i }]);
	const page = await open(a);
	await until('final', async () => await page.textContent('#finalPill') === 'All final');
	const begins = async () => (await (await fetch(`${a.url}/peers`)).json()).begins;
	await until('folded', async () => {
		await send(a, [{ op: 'add', path: '/n', value: 9 }]);
		await sleep(300);
		return await begins() >= 5;
	});
	// It may have been folded twice, and the page asks now and then.
	await until('told', async () => Number(/A document stands for the first (\d+)/.exec(await page.textContent('#finality'))?.[1]) >= 5);
	await page.evaluate(() => { place.value = 0; place.dispatchEvent(new Event('input')); });
	await hasRow(page, /n : +[49]/);
	assert.ok(await page.evaluate(() => Number(place.min) >= 5));
	assert.ok(await page.isDisabled('#back'));
	await rm(data, { recursive: true });
});
