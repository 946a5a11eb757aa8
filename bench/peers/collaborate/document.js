// The document that all products hold, and the values that are written to it, which can be found in any bytes.

export const OBJECTS = 1000;

const TEXTS = 9;

const TEXT_LENGTH = 100;

// Numbers from 0 to below `end`, the same ones for each seed (mulberry32's constants).
export function random(seed) {
	let state = seed;
	return end => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
	};
}

export function objectName(number) {
	return 'object' + String(number).padStart(3, '0');
}

// About 1 MB: objects of about 1 KB. `at` is what writers change, `last` is what each of them writes at the end.
export function makeDocument() {
	const next = random(1);
	const letter = () => 'abcdefghijklmnopqrstuvwxyz      '[next(32)];
	const document = {};
	for (let number = 0; number < OBJECTS; number += 1) {
		const object = { at: '', last: '' };
		for (let text = 0; text < TEXTS; text += 1) {
			object['text' + text] = Array.from({ length: TEXT_LENGTH }, letter).join('');
		}
		document[objectName(number)] = object;
	}
	return document;
}

const MARK = Buffer.from('MARK');

const MARK_LENGTH = MARK.length + 1 + 2 + 13;

// A value that a writer writes now. `phase` is 0, or says of which phase it is the last one.
export function mark(phase, writer) {
	return MARK + String(phase) + String(writer).padStart(2, '0') + String(Date.now());
}

// Finds the values in a stream of bytes, of whatever form it is, as long as texts are in it as they are.
export class Marks {
	#tail = Buffer.alloc(0);
	#latest = new Map();
	// The phase whose end is awaited, the writers whose last value of it has been heard, and what to call then.
	#phase = 0;
	#ended = new Set();
	#wanted = 0;
	#done = () => {};
	// From the making of a value until it was heard, in milliseconds, if anybody wants to know.
	delays = null;

	take(bytes) {
		const all = this.#tail.length > 0 ? Buffer.concat([this.#tail, bytes]) : bytes;
		let begin = 0;
		for (;;) {
			const at = all.indexOf(MARK, begin);
			if (at < 0) {
				begin = Math.max(begin, all.length - MARK.length + 1);
				break;
			}
			begin = at;
			if (at + MARK_LENGTH > all.length) break;
			this.#hear(all, at + MARK.length);
			begin += MARK_LENGTH;
		}
		// It is copied, so that it does not hold all of it.
		this.#tail = Buffer.from(all.subarray(begin));
	}

	// Until the last values of `phase` of so many writers have been heard.
	phaseEnd(phase, writers) {
		[this.#phase, this.#wanted] = [phase, writers];
		this.#ended.clear();
		return new Promise(resolve => {
			this.#done = resolve;
		});
	}

	#hear(all, at) {
		const phase = all[at] - 48;
		if (phase > 0 && phase === this.#phase) {
			this.#ended.add(all.latin1Slice(at + 1, at + 3));
			if (this.#ended.size === this.#wanted) this.#done();
		} else if (phase === 0 && this.delays !== null) {
			const writer = all.latin1Slice(at + 1, at + 3);
			const made = Number(all.latin1Slice(at + 3, at + 16));
			// If the whole document comes again, most values are heard for the second time.
			if (made <= (this.#latest.get(writer) ?? 0)) return;
			this.#latest.set(writer, made);
			this.delays.push(Date.now() - made);
		}
	}
}
