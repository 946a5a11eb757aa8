// Makes README's picture: three nodes with traffic, one transaction that came late and one that is skipped.
//
//     PATCHMESH=target/debug/patchmesh node picture.js page.png

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, send, sleep, startBrowser, startFakePeer, startNode, stopNodes, until } from './nodes.js';

const file = process.argv[2] ?? 'page.png';
const ports = [await freePort(), await freePort(), await freePort()], names = ['amsterdam', 'berlin', 'cairo'];
const fake = await startFakePeer();
const data = await mkdtemp(join(tmpdir(), 'patchmesh-picture-')), primary = ['--primary', '--data', data];
const nodes = await Promise.all(ports.map((port, i) => startNode(port, [...ports.filter(other => other !== port), ...i ? [] : [fake.port]], '--source', names[i], ...i ? [] : primary)));
const browser = await startBrowser();
const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
await page.goto(`${nodes[0].url}/test`);
await page.waitForSelector('#status.good');

await send(nodes[0], [{ op: 'add', path: '/title', value: 'Menu of the day' }, { op: 'add', path: '/dishes', value: [] }]);
await send(nodes[0], [{ op: 'add', path: '/tables', value: { terrace: { seats: 4, guest: null }, window: { seats: 2, guest: 'Anna' } } }]);
const dishes = ['soup', 'bread', 'olives', 'risotto', 'salad', 'cheese', 'figs', 'coffee'];
for (const [i, dish] of dishes.entries()) {
	await send(nodes[i % 3], [{ op: 'add', path: '/dishes/-', value: { dish, price: 4 + i } }]);
	await sleep(120);
	if (i === 3 || i === 6) fake.send('delft~9k2m4x7p', i, [{ op: 'replace', path: '/tables/window/seats', value: i }], Date.now() - 280);
}
await send(nodes[1], [{ op: 'test', path: '/tables/terrace/guest', value: null }, { op: 'replace', path: '/tables/terrace/guest', value: 'Boris' }]);
await sleep(60);
const between = Date.now();
await sleep(60);
await send(nodes[2], [{ op: 'test', path: '/tables/terrace/guest', value: 'Boris' }, { op: 'replace', path: '/tables/terrace/guest', value: 'Chloe' }]);
await send(nodes[1], [{ op: 'replace', path: '/dishes/0/price', value: 5 }]);
fake.send('delft~9k2m4x7p', 9, [{ op: 'replace', path: '/tables/terrace/guest', value: 'Dora' }], between);
await until('skipped', async () => await page.textContent('#skippedPill') === '1 skipped');
await sleep(12000);

await page.fill('#box', '[{"op":"test","path":"/dishes/2/dish","value":"olives"},\n {"op":"replace","path":"/dishes/2/price","value":9}]');
await page.click('#send');
await page.waitForSelector('.answer.good');
await sleep(1200);
await page.mouse.move(1, 1);
await page.screenshot({ path: file, animations: 'disabled' });
await browser.close();
await stopNodes();
fake.close();
await rm(data, { recursive: true });
process.exit(0);
