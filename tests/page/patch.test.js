// The patch box, and what becomes of what is sent.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
	assert.match(await other.textContent('#clock'), /amsterdam/);
	await until('peer shown', async () => /Read by amsterdam since/.test(await one.textContent('#nodes')));
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
	await page.waitForSelector('.card.bad');
});

claim('a value is set and a merge patch sent, where the tree points', async () => {
	const [a] = await pair(), big = '12345678901234567890';
	await send(a, [{ op: 'add', path: '/a', value: { 'b/c': { n: 1, old: true } } }, { op: 'add', path: '/list', value: ['A', 'B'] }]);
	const page = await open(a), says = (id, pattern) => until(`${id} ${pattern}`, async () => pattern.test(await page.textContent(id)));
	await hasRow(page, /^n : +1/);
	await page.focus('#tree [tabindex="0"]');
	await press(page, 'ArrowDown', 'ArrowDown', 'ArrowDown');
	await page.focus('#kinds button:nth-child(3)');
	await press(page, 'Enter', 'Tab', 'Tab');
	assert.equal(await page.inputValue('#at'), '/a/b~1c/n');
	assert.equal(await page.textContent('#guardText'), 'Only if still 1');
	await press(page, 'Tab', 'Tab');
	await page.keyboard.type(big);
	await says('#check', /^Valid JSON: replaces 1$/);
	assert.equal(await page.textContent('#preview'), `POST /replace\n[{"op":"test","path":"/a/b~1c/n","value":1},\n {"op":"add","path":"/a/b~1c/n","value":${big}}]`);
	// It is refused if it has changed meanwhile, and is about what is there now if that is chosen again.
	await send(a, [{ op: 'add', path: '/a/b~1c/n', value: 2 }]);
	await hasRow(page, /^n : +2/);
	await press(page, 'Control+Enter');
	await says('#answer', /409.*not as tested, it is 2.*not tried/);
	await says('#check', /^It is 2 now/);
	assert.equal(await page.textContent('#guardText'), 'Only if still 1');
	await rowAt(page, 'n:').locator('.value').click();
	await says('#guardText', /still 2/);
	await page.focus('#box');
	await press(page, 'Control+Enter');
	await says('#answer', /^Accepted as page~\w{8} Id 2/);
	assert.match(await (await fetch(`${a.url}/get/a/b~1c/n`)).text(), new RegExp(big));
	// What somebody writes stays aimed where it was.
	await page.fill('#box', '{"mine":1}');
	await rowAt(page, 'list').locator('.count').click();
	assert.equal(await page.inputValue('#at'), '/a/b~1c/n');
	await page.click('#kinds button:nth-child(2)');
	await says('#check', /no object is there: replaces /);
	await page.click('#kinds button:nth-child(3)');
	// What was refused, and why, is seen at every width.
	for (const width of [1440, 1024, 390]) {
		await page.setViewportSize({ width, height: 800 });
		const [patch, fate] = await page.$eval('#sentList li:nth-child(2)', row => [...row.children].slice(1, 3).map(one => one.getBoundingClientRect().width));
		assert.ok(patch > 150 && fate > 150, `${patch} and ${fate} of ${width}`);
	}
	// An element is replaced, and not pushed behind the new one; what is no JSON is a string.
	await page.fill('#at', '/list/0');
	await page.fill('#box', 'plain words');
	await says('#check', /^Not JSON, so a string: replaces "A"$/);
	await page.uncheck('#guard');
	await page.click('#send');
	await until('the element', async () => JSON.stringify(await get(a, '/list')) === '["plain words","B"]');
	await page.fill('#at', 'list');
	await says('#check', /begins with \//);
	assert.ok(await page.isDisabled('#send'));
	await page.fill('#at', '/none/x');
	await says('#check', /is not there/);

	await page.click('#kinds button:text-is("Merge patch")');
	await page.fill('#at', '/a');
	await page.fill('#box', `{"b/c":{"n":${big},"old":null}}`);
	assert.equal(await page.textContent('#preview'), 'PATCH /get/a\napplication/merge-patch+json');
	await page.click('#send');
	await says('#answer', /Accepted.*remove\/a\/b~1c\/old/);
	assert.match(await (await fetch(`${a.url}/get/a`)).text(), new RegExp(`^{"b/c":{"n":${big}}}`));
	await page.click('#sentList li:nth-child(2) button');
	assert.deepEqual([await page.inputValue('#at'), await page.inputValue('#box')], ['/list/0', 'plain words']);
});

claim('what was not answered is sent again, and has one effect', async () => {
	const [a] = await pair();
	await send(a, [{ op: 'add', path: '/list', value: [] }]);
	const page = await open(a);
	// It reaches the node, and the answer is lost.
	await context().route(/\/replace$/, async route => { await route.fetch(); await route.abort(); }, { times: 1 });
	await page.click('#examples button:text-is("Append")');
	await page.click('#send');
	await page.waitForSelector('.answer.warn');
	await until('it is found', async () => /applied at 1/.test(await page.textContent('#sent')));
	// It does not reach the node.
	await context().route(/\/replace$/, route => route.abort());
	await page.click('#send');
	const again = page.locator('#sentList button:text-is("Send again")');
	await until('it is not there', async () => await again.count() === 2 && await again.first().isVisible());
	await context().unroute(/\/replace$/);
	await context().route(/\/replace$/, async route => { await route.fetch(); await route.continue(); }, { times: 1 });
	await again.first().click();
	await until('both are applied', async () => await page.locator('#sent .good').count() === 2);
	assert.deepEqual(await get(a, '/list'), ['A', 'A']);
});

claim('links carry the token, and a greater right is asked for', async () => {
	const directory = await mkdtemp(join(tmpdir(), 'patchmesh-page-')), tokens = join(directory, 'tokens');
	await writeFile(tokens, 'sesam read\nquill write\n', { mode: 0o600 });
	const node = await startNode(await freePort(), [], '--token-file', tokens), page = await context().newPage();
	await fetch(`${node.url}/replace`, { method: 'POST', headers: { Authorization: 'Bearer quill' }, body: '[{"op":"add","path":"/x","value":"<b>bold</b><script>document.title=1</script>"}]' });
	await page.goto(`${node.url}/test`);
	const enter = async token => {
		await page.fill('#token', token);
		await page.keyboard.press('Enter');
		await page.waitForSelector('#tokenForm', { state: 'hidden' });
	};
	await enter('sesam');
	await hasRow(page, /^x/);
	const [tab] = await Promise.all([context().waitForEvent('page'), page.click('#links a')]);
	await until('its text', async () => await tab.textContent('body') === '{"x":"<b>bold</b><script>document.title=1</script>"}');
	assert.equal(await tab.locator('b, script').count(), 0);
	await page.click('#send');
	await until('it is refused', async () => /^403 /.test(await page.textContent('#answer')));
	await enter('quill');
	await page.click('#send');
	await page.waitForSelector('.answer.good');
	// These open no stream, and the page is live all the same.
	await page.waitForSelector('#status.good');
	await until('the timeline', async () => await page.locator('#entries .entry').count() === 2);
	assert.ok(await page.isHidden('#banner'));
	await rm(directory, { recursive: true });
});

// A file, as it is dropped on the page.
async function drop(page, name, text) {
	const transfer = await page.evaluateHandle(([name, text]) => {
		const data = new DataTransfer();
		data.items.add(new File([text], name));
		return data;
	}, [name, text]);
	await page.dispatchEvent('main', 'dragover', { dataTransfer: transfer });
	assert.ok(await page.$('.dropping'));
	await page.dispatchEvent('main', 'drop', { dataTransfer: transfer });
	assert.equal(await page.$('.dropping'), null);
}

claim('a file is imported in pieces, and the document saved', async () => {
	const [a] = await pair(), says = (id, pattern) => until(`${id} ${pattern}`, async () => pattern.test(await page.textContent(id)));
	await send(a, [{ op: 'add', path: '/old', value: [1, 2, 3] }]);
	const page = await open(a);
	await hasRow(page, /^old/);
	await drop(page, 'bad.json', '{"a": 1,\n "b": }');
	await says('#check', /^bad.json: Line 2, column 7/);
	// What could be a patch is one, unless another choice is made.
	await drop(page, 'patch.json', '[{"op":"add","path":"/x","value":12345678901234567890}]');
	await says('#check', /^Valid JSON, 1 operation$/);
	await page.click('#send');
	await page.waitForSelector('.answer.good');
	const text = `{"list":${JSON.stringify(Array.from({ length: 10000 }, (_, i) => ({ i, name: `name ${i}` })))},"big":12345678901234567890}`;
	await page.click('#kinds button:text-is("Set value")');
	await page.fill('#at', '/old');
	await drop(page, 'places.json', text);
	await says('#check', /^places.json, 297.8 KB: 3 transactions, which others see one by one: replaces 3 items$/);
	assert.equal(await page.evaluate(() => document.activeElement.id), 'box');
	// It goes on after an answer was lost.
	let requests = 0;
	await context().route(/\/replace$/, async route => {
		if (++requests === 2) await route.fetch();
		if (requests === 2 || requests === 3) return route.abort();
		await route.continue();
	});
	await press(page, 'Control+Enter');
	await page.waitForSelector('#running:not([hidden])');
	await says('#answer', /^Imported 3 transactions$/);
	assert.equal(requests, 5);
	assert.match(await (await fetch(`${a.url}/get/old/big`)).text(), /^12345678901234567890/);
	assert.equal((await get(a, '/old/list')).at(-1).name, 'name 9999');
	await says('#sentList li:first-child', /import places.json to \/old.*applied at 4/);
	// It is cancelled after the first one, and what was taken is said.
	await context().unroute(/\/replace$/);
	await page.click('#sentList li:first-child button');
	await says('#check', /3 transactions.*replaces 2 keys/);
	await context().route(/\/replace$/, async route => {
		await route.continue();
		await page.click('#cancel');
	}, { times: 1 });
	await page.click('#send');
	await says('#answer', /^Cancelled [01] of 3 transactions taken; one more may be on its way$/);
	// What it is in is not there.
	await page.fill('#at', '/none/x');
	await says('#check', /is not there/);
	const [download] = await Promise.all([page.waitForEvent('download'), page.click('#documentSave')]);
	assert.match(download.suggestedFilename(), /^amsterdam-\d+\.json$/);
	assert.equal(await readFile(await download.path(), 'utf8'), await (await fetch(`${a.url}/get?pretty`)).text());
	await page.click('#back');
	await page.waitForSelector('#past:not([hidden])');
	const [, at] = /^(\d+) of/.exec(await page.textContent('#placeText')), [past] = await Promise.all([page.waitForEvent('download'), page.click('#documentSave')]);
	assert.equal(await readFile(await past.path(), 'utf8'), await (await fetch(`${a.url}/get?pretty&at=${at}`)).text());
});
