// Measures the products in turns and prints the table. ../collaborate.sh says what is measured.

import assert from 'node:assert/strict';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { OBJECTS, makeDocument, objectName } from './document.js';
import { ask, end, endAll, freePort, peak, startClients, startServer, used, within } from './processes.js';

const PRODUCTS = ['patchmesh', 'hocuspocus', 'automerge', 'sharedb'];

const WRITERS = 16;

const READER_PROCESSES = 2;

// Writes a second of all writers, if all products get the same.
const STEADY = 40;

const { values: given } = parseArgs({
	options: {
		quick: { type: 'boolean', default: false },
		rounds: { type: 'string', default: '1' },
		only: { type: 'string', default: '' },
		readers: { type: 'string', default: '100' },
	},
});
const READERS = Number(given.readers);
const [WARM_TIME, STEADY_TIME, FULL_TIME, NEWCOMERS] = given.quick ? [500, 1000, 1000, 3] : [2000, 8000, 8000, 7];

function median(numbers) {
	const sorted = numbers.toSorted((one, other) => one - other);
	return sorted[Math.floor(sorted.length / 2)];
}

function quantile(numbers, share) {
	const sorted = numbers.toSorted((one, other) => one - other);
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

// How long a new reader takes until it has the whole document, in milliseconds.
async function newcomer(product, port, phase) {
	const times = [];
	for (let number = 0; number < NEWCOMERS; number += 1) {
		const begin = performance.now();
		const { value, close } = await within('to read the document', product.newcomer(port));
		times.push(performance.now() - begin);
		check(value(), phase);
		close();
	}
	return median(times);
}

// What all have been told is what the server has, and nothing is lost.
function check(document, phase) {
	assert.equal(Object.keys(document).length, OBJECTS);
	for (let writer = 0; writer < WRITERS; writer += 1) {
		const last = `MARK${phase}${String(writer).padStart(2, '0')}`;
		assert.ok(document[objectName(writer)].last.startsWith(last), `${last} is not the last`);
	}
	assert.equal(document[objectName(0)].text0, makeDocument()[objectName(0)].text0);
}

// Has the writers write, until each reader has the last of it, and says what that took.
async function measure(product, port, { server, writing, reading }, phase, time, interval) {
	for (const child of reading) await ask(child, 'listen', { phase, writers: WRITERS });
	const children = [server, writing, ...reading];
	const [begin, before] = [performance.now(), children.map(used)];
	const [writes, ...delays] = await Promise.all([
		ask(writing, 'write', { phase, time, interval }),
		...reading.map(child => ask(child, 'heard')),
	]);
	const elapsed = performance.now() - begin;
	const [own, ...others] = children.map((child, at) => used(child) - before[at]);
	return {
		writes,
		rate: (writes / elapsed) * 1000,
		cost: (own / writes / READERS) * 1000,
		delay: quantile(delays.flat(), 0.5),
		longest: quantile(delays.flat(), 0.99),
		busy: own / elapsed,
		busiest: Math.max(...others) / elapsed,
		memory: peak(server),
		newcomer: await newcomer(product, port, phase),
	};
}

async function round(name, directory) {
	const product = await import(`./products/${name}.js`);
	const port = await freePort();
	const log = join(directory, name);
	const command = product.command?.(port) ?? [process.execPath, new URL('server.js', import.meta.url).pathname, name, port];
	const server = await startServer(command, port, openSync(log, 'w'));
	try {
		await within('to make the document', product.fill(port, makeDocument()));
		const writing = startClients(name, port);
		const reading = Array.from({ length: READER_PROCESSES }, () => startClients(name, port));
		await ask(writing, 'join', { count: WRITERS });
		await Promise.all(reading.map(child => ask(child, 'read', { count: READERS / READER_PROCESSES })));
		const children = { server, writing, reading };
		const interval = (WRITERS / STEADY) * 1000;
		// Automerge's sync sends the whole document once more at the first change of each client.
		await measure(product, port, children, 1, WARM_TIME, interval);
		const steady = await measure(product, port, children, 2, STEADY_TIME, interval);
		const full = await measure(product, port, children, 3, FULL_TIME, null);
		for (const child of [writing, ...reading, server]) await end(child);
		return { steady, full };
	} catch (error) {
		console.error(`${product.title} is left out, ${error.stack}\n${readFileSync(log, 'utf8').slice(-2000)}`);
		await endAll();
		return null;
	}
}

// The rows: what they are called, how many digits behind the point they show, and whether they are compared.
const ROWS = [
	[`At ${STEADY} writes a second`, 'steady'],
	['writes a second', 'rate', 1, false],
	['CPU a write and reader, µs', 'cost', 2, true],
	['until a write is heard, ms', 'delay', 0, false],
	['the same at p99, ms', 'longest', 0, false],
	['a new reader has the document, ms', 'newcomer', 0, true],
	['memory of the server, MiB', 'memory', 0, true],
	['As fast as writes are answered', 'full'],
	['writes a second', 'rate', 0, true],
	['CPU a write and reader, µs', 'cost', 2, true],
	['until a write is heard, ms', 'delay', 0, false],
	['the same at p99, ms', 'longest', 0, false],
	['a new reader has the document, ms', 'newcomer', 0, true],
	['memory of the server, MiB', 'memory', 0, true],
	['after so many writes', 'writes', 0, false],
	['server, of a core', 'busy', 2, false],
	['busiest process of clients, of a core', 'busiest', 2, false],
];

function print(names, titles, rounds) {
	console.log(`\n| | ${titles.join(' | ')} |`);
	console.log(`| --- |${' ---: |'.repeat(titles.length)}`);
	let phase;
	for (const [title, key, digits, isCompared] of ROWS) {
		if (digits === undefined) {
			phase = key;
			console.log(`| **${title}** |${' |'.repeat(titles.length)}`);
			continue;
		}
		const figures = names.map(name => rounds.map(results => results[name]?.[phase][key] ?? NaN));
		const cells = figures.map((own, at) => {
			if (own.some(Number.isNaN)) return '';
			const shown = median(own).toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
			const ratio = median(own.map((figure, number) => figure / figures[0][number]));
			return isCompared && at > 0 ? `${shown} (× ${ratio.toPrecision(2).replace('e+', 'e')})` : shown;
		});
		console.log(`| ${title} | ${cells.join(' | ')} |`);
	}
}

const names = PRODUCTS.filter(name => name.includes(given.only));
const directory = mkdtempSync(join(tmpdir(), 'collaborate-'));
process.on('exit', () => {
	endAll();
	rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
const rounds = [];
for (let number = 0; number < Number(given.rounds); number += 1) {
	const results = {};
	for (const name of names) results[name] = await round(name, directory);
	rounds.push(results);
}
const titles = await Promise.all(names.map(async name => (await import(`./products/${name}.js`)).title));
const size = JSON.stringify(makeDocument()).length;
console.log(`${WRITERS} writers, ${READERS} readers, a document of ${size} bytes, ${availableParallelism()} cores for all`);
print(names, titles, rounds);
process.exit();
