// The timeline: order, conflicts, what is final.

import assert from 'node:assert/strict';
import { claim, fakePeer, hasRow, open, orderAt, pair } from './harness.js';
import { freePort, send, sleep, startNode, until } from './nodes.js';

claim('what loses a conflict shows as skipped, with its reason, on both nodes', async () => {
	const fake = await fakePeer(), [a, b] = [await freePort(), await freePort()];
	const nodes = [await startNode(a, [b, fake.port]), await startNode(b, [a])];
	await send(nodes[0], [{ op: 'add', path: '/seat', value: 'free' }]);
	await sleep(50);
	const between = Date.now();
	await sleep(50);
	const pages = await Promise.all(nodes.map(node => open(node)));
	await pages[0].fill('#box', '[{"op":"test","path":"/seat","value":"free"},{"op":"replace","path":"/seat","value":"Anna"}]');
	await pages[0].click('#send');
	await until('applied at first', async () => /applied at 1/.test(await pages[0].textContent('#sent')));
	// Its Time is earlier, so it counts first, wherever it comes.
	fake.send('cut-off~00000000', 1, [{ op: 'test', path: '/seat', value: 'free' }, { op: 'replace', path: '/seat', value: 'Boris' }], between);
	await until('the fate changed', async () => /skipped: .*not as tested/.test(await pages[0].textContent('#sent')));
	for (const page of pages) {
		await until('counted', async () => await page.textContent('#skippedPill') === '1 skipped');
		await hasRow(page, /seat : +"Boris"/);
		await page.click('#skippedPill');
		await until('only it is listed', async () => await page.locator('#entries .entry').count() === 1);
		await page.click('#entries summary');
		await until('why', async () => /not as tested/.test(await page.textContent('#entries .failing')));
		await until('nothing', async () => /changed nothing/.test(await page.textContent('#entries .entry > .effect')));
		await page.click('#bySkipped');
	}
	await until('the late one is marked', async () => /late/.test(await pages[0].locator('#entries summary', { hasText: 'cut-off' }).textContent()));
	assert.equal(await pages[0].locator('#chart .cross').count(), 1);
	assert.equal(await pages[0].locator('#chart path.late').count(), 1);
});

claim('what won stands beside what is skipped, which is written again or set aside', async () => {
	const fake = await fakePeer(), a = await startNode(await freePort(), [fake.port]), now = Date.now();
	const tell = (source, id, back, ...patch) => fake.send(source, id, patch, now - back);
	const [test, replace] = ['test', 'replace'].map(op => (path, value) => ({ op, path, value }));
	tell('anna~00000000', 1, 100, { op: 'add', path: '', value: { seat: 'free', list: [1, 2, 3] } });
	tell('anna~00000000', 2, 60, test('/seat', 'free'), test('/list/2', 3), test('/gone', 1), replace('/seat', 'Anna'));
	tell('boris~00000000', 1, 90, { op: 'add', path: '/other', value: 1 }, replace('/seat', 'Boris'));
	tell('boris~00000000', 2, 50, test('/never', 1));
	const page = await open(a), pill = words => until(words, async () => await page.textContent('#skippedPill') === words);
	await pill('2 skipped');
	const entry = page.locator('#entries .skipped', { hasText: 'anna' }), won = entry.locator('.sides > :last-child');
	await entry.locator('summary').click();
	await until('what won', async () => /^What wonboris~00000000 *1/.test(await won.textContent()));
	assert.match(await won.locator('.won').textContent(), /^1replace\/seat/);
	assert.match(await won.locator('.effect').textContent(), /\/seat"free"→"Boris"$/);
	assert.match(await entry.locator('.sides > :first-child').textContent(), /It wanted.*not as tested/s);
	const time = await won.locator('.when time').evaluate(time => [time.title, time.dateTime, time.micros]), utc = new Date(now - 90).toISOString();
	assert.ok(time[0].endsWith(`\n${utc} in the log`) && time[1] === utc && time[2] === (now - 90) * 1000, String(time));
	assert.match(await won.locator('.ago').textContent(), /^\d+ s ago$/);
	// The guard that fails is renewed, that which holds stays, and what is gone is not tested.
	await entry.locator('button', { hasText: 'Write it again' }).click();
	assert.deepEqual(JSON.parse(await page.inputValue('#box')), [test('/seat', 'Boris'), test('/list/2', 3), replace('/seat', 'Anna')]);
	assert.equal(await page.textContent('#check'), 'Written again: /seat is tested for "Boris"; /gone is gone, and not tested.');
	await page.keyboard.press('Control+Enter');
	await hasRow(page, /seat : +"Anna"/);
	// What was set aside is so when one comes back.
	await entry.locator('button', { hasText: 'Set aside' }).click();
	await pill('1 skipped');
	await page.reload();
	await pill('1 skipped');
	assert.equal(await page.textContent('#entries .aside .badges'), 'set aside');
	await page.click('#skippedPill');
	await page.click('#asideAll');
	await pill('0 skipped');
	assert.ok(await page.isHidden('#asideAll'));
	assert.match(await page.getAttribute('#skippedPill', 'title'), /2 more are final or set aside/);
	const never = page.locator('#entries .aside', { hasText: 'boris' });
	await never.locator('summary').click();
	await until('nothing won', async () => /Nothing wonnothing before it has changed "\/never"/.test(await never.textContent()));
	await never.locator('button', { hasText: 'Take back' }).click();
	await pill('1 skipped');
	// What is final is no alarm.
	fake.commit('main~k3x9q2pd^1', 1, { 'anna~00000000': 3, 'boris~00000000': 3 }, now - 30);
	await pill('0 skipped');
	await until('its badge', async () => /skipped, final/.test(await never.textContent()));
});

claim('what is final is told from what is tentative', async () => {
	const fake = await fakePeer(), a = await startNode(await freePort(), [fake.port]), now = Date.now();
	const add = (id, back) => fake.send('carla~00000000', id, [{ op: 'add', path: `/c${id}`, value: id }], now - back);
	for (const id of [1, 2, 3]) add(id, 100 - id);
	const page = await open(a), order = () => page.$$eval('#entries .entry', all => all.map(entry => `${entry.querySelector('.id').textContent}${entry.classList.contains('tentative') ? '?' : ''}`).join(' '));
	const is = (what, wanted) => until(`${what}: ${wanted}`, async () => { const is = await order(); if (is !== wanted) throw new Error(is); return true; });
	await is('nothing is said of it', '3 2 1');
	assert.ok(await page.isHidden('#finality') && await page.isHidden('#finalPill'));
	fake.commit('main~k3x9q2pd^1', 1, { 'carla~00000000': 3 }, now - 50);
	await is('two are final', '3? 2 1');
	await until('it is told', async () => /first 2, by commit 1 of main~k3x9q2pd, epoch 1, .* ago. 1 tentative/.test(await page.textContent('#finality')));
	assert.equal(await page.textContent('#finalPill'), '1 tentative');
	assert.equal(await page.locator('#chart circle.open').count(), 1);
	assert.equal(await page.locator('#chart path.good').count(), 1);
	// What is covered first comes first, and what comes late comes behind what is final.
	fake.send('dora~00000000', 4, [{ op: 'add', path: '/d', value: 1 }], now - 97.5);
	await is('between', '3? 4? 2 1');
	fake.commit('main~k3x9q2pd^1', 2, { 'carla~00000000': 4 }, now - 40);
	await is('three are final', '4? 3 2 1');
	fake.send('dora~00000000', 5, [{ op: 'add', path: '/d', value: 2 }], now - 200);
	await is('late', '4? 5? 3 2 1');
	await page.reload();
	await is('the same when it is read again', '4? 5? 3 2 1');
	fake.commit('main~k3x9q2pd^1', 3, { 'dora~00000000': 6 }, now - 30);
	await is('all are final', '4 5 3 2 1');
	await until('all', async () => await page.textContent('#finalPill') === 'All final');
	// Another primary.
	fake.send('dora~00000000', 6, [{ op: 'add', path: '/d', value: 3 }], now - 20);
	await is('one more', '6? 4 5 3 2 1');
	fake.commit('next~k3x9q2pd^2', 1, { 'carla~00000000': 4, 'dora~00000000': 6 }, now - 10);
	await until('of the next one', async () => /of next~k3x9q2pd, epoch 2/.test(await page.textContent('#finality')));
	await is('in its order', await orderAt(a));
});

claim('the timeline is filtered by source and by path', async () => {
	const [a, b] = await pair();
	await send(a, [{ op: 'add', path: '/apple', value: 1 }]);
	await send(a, [{ op: 'add', path: '/pear', value: 1 }]);
	await send(b, [{ op: 'add', path: '/plum', value: 1 }]);
	const page = await open(a), entries = number => until(`${number} entries`, async () => await page.locator('#entries .entry').count() === number);
	await entries(3);
	await page.fill('#byPath', '/p');
	await entries(2);
	const berlin = await page.$eval('#bySource option:nth-child(3)', option => option.value);
	await page.selectOption('#bySource', berlin);
	await until('one or two', async () => [0, 1].includes(await page.locator('#entries .entry').count()));
	await page.fill('#byPath', '');
	await page.selectOption('#bySource', '');
	await entries(3);
});
