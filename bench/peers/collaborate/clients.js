// A process of clients of one product: node clients.js PRODUCT PORT. The parent asks, one thing at a time.

import { OBJECTS, Marks, mark, objectName, random } from './document.js';

const [name, port] = process.argv.slice(2);
const product = await import(`./products/${name}.js`);
const marks = [];
const writers = [];
let ends = [];

// Each is told what its message holds and says what the answer is.
const requests = {
	async read({ count }) {
		for (let number = 0; number < count; number += 1) {
			const mine = new Marks();
			marks.push(mine);
			await product.reader(port, bytes => mine.take(bytes));
		}
	},

	async join({ count }) {
		for (let number = 0; number < count; number += 1) writers.push(await product.writer(port));
	},

	// From now on the readers look for the end of this phase, and one of them looks at the time.
	listen({ phase, writers: count }) {
		ends = marks.map(mine => mine.phaseEnd(phase, count));
		marks[0].delays = [];
	},

	async heard() {
		await Promise.all(ends);
		const { delays } = marks[0];
		marks[0].delays = null;
		return delays;
	},

	// Writes for so many milliseconds, each writer one after the other: as fast as they are answered, or one in each
	// `interval` milliseconds. Says how many that were.
	async write({ phase, time, interval }) {
		const begin = performance.now();
		const counts = writers.map(async (write, writer) => {
			const next = random(phase * 100 + writer);
			let count = 0;
			for (;;) {
				const due = interval === null ? 0 : begin + (count + writer / writers.length) * interval - performance.now();
				if (due > 0) await new Promise(resolve => setTimeout(resolve, due));
				if (performance.now() - begin >= time) break;
				await write(objectName(next(OBJECTS)), 'at', mark(0, writer));
				count += 1;
			}
			await write(objectName(writer), 'last', mark(phase, writer));
			return count + 1;
		});
		return (await Promise.all(counts)).reduce((sum, count) => sum + count);
	},
};

process.on('message', async ({ request, ...values }) => {
	process.send({ answer: (await requests[request](values)) ?? null });
});
process.on('unhandledRejection', error => {
	console.error(error);
	process.exit(1);
});
