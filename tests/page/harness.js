// The debug page in a real browser, against real nodes; a file a section of the page.
//
//     PATCHMESH=target/debug/patchmesh CHROMIUM=/usr/bin/chromium node --test --test-concurrency=2 tests/page/*.test.js
//
// With --test-name-pattern=PART those of that name only. With SHOTS=DIR a page is pictured if its test fails.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { freePort, startBrowser, startFakePeer, startNode, stopNodes, until } from './nodes.js';

// A browser on a busy machine may be late for a key: a test that fails has one more try, and says so.
const TRIES = 2;

let browser, current, complaints = [], fakes = [];

before(async () => { browser = await startBrowser(); });
after(async () => { await browser?.close(); });

// What the page does, with real nodes. It must not complain, but for what is expected, or break its own policy.
export function claim(name, check, expected = /^$/) {
	test(name, async () => {
		for (let left = TRIES - 1; ; left--) {
			try {
				return await attempt(check, expected);
			} catch (error) {
				await picture(name);
				if (!left) throw error;
				console.log(`AGAIN ${name}\n${String(error.stack).slice(0, 1500)}`);
			} finally {
				await current.close();
				await stopNodes();
				for (const fake of fakes) fake.close();
			}
		}
	});
}

async function attempt(check, expected) {
	complaints = [];
	fakes = [];
	current = await browser.newContext();
	await current.addInitScript(() => {
		window.violations = [];
		document.addEventListener('securitypolicyviolation', event => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
	});
	await check();
	for (const page of current.pages()) complaints.push(...await page.evaluate(() => window.violations));
	assert.deepEqual(complaints.filter(text => !expected.test(text)), []);
}

async function picture(name) {
	for (const [i, page] of current.pages().entries()) if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name.replaceAll(/\W+/g, '-')}-${i}.png` }).catch(() => {});
}

// The browser context of the test that runs.
export const context = () => current;

export async function open(node, options = {}) {
	const page = await current.newPage();
	page.on('pageerror', error => complaints.push(`page error: ${error.stack}`));
	page.on('dialog', dialog => { complaints.push('a dialog opened'); dialog.dismiss(); });
	page.on('console', message => { if (message.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(message.text())) complaints.push(message.text()); });
	await page.setViewportSize(options.size ?? { width: 1280, height: 860 });
	await page.goto(`${node.url}/test`);
	await page.waitForSelector('#status.good');
	return page;
}

export const tree = page => page.$$eval('#tree [role=treeitem]', items => items.map(item => item.ariaLabel));
export const hasRow = (page, pattern) => until(`a row like ${pattern}`, async () => (await tree(page)).some(row => pattern.test(row)));
export const pathIs = (page, path) => until(`path ${path}`, async () => await page.textContent('#path') === path);
export const get = async (node, path = '') => (await fetch(`${node.url}/get${path}`)).json();
export const rowAt = (page, text) => page.locator('#tree .row', { hasText: text }).first();
export const press = async (page, ...keys) => { for (const key of keys) await page.keyboard.press(key); };

export async function pair() {
	const [a, b] = [await freePort(), await freePort()];
	return Promise.all([startNode(a, [b], '--source', 'amsterdam'), startNode(b, [a], '--source', 'berlin')]);
}

// The history of a node as the timeline has it.
export async function orderAt(node) {
	const lines = (await (await fetch(`${node.url}/history`)).text()).trim().split('\n').map(line => JSON.parse(line));
	return lines.map(({ Id: id, committed }) => id + (committed ? '' : '?')).reverse().join(' ');
}

export async function fakePeer() {
	const fake = await startFakePeer();
	fakes.push(fake);
	return fake;
}
