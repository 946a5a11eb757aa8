/**
 * A live copy of a patchmesh document, for browsers and for Node.js from version 18 on. No dependencies.
 *
 *     import { connect } from 'http://127.0.0.1:8080/client.js';
 *     const doc = connect(['http://127.0.0.1:8080', 'http://127.0.0.1:8081']);
 *     doc.subscribe('/title', title => { heading.textContent = title; });
 *     await doc.set('/title', 'Menu of the day');
 *
 * Rules:
 * - What is shown is the node's document with the writes on top that the node has not shown yet. A write shows at
 *   once; if it is refused, or skipped later, it is taken back and says why.
 * - A write is kept (in IndexedDB, if there is one) until a node has said what became of it. It has a name, a source
 *   and an Id, and the same request is repeated under that name, at any of the nodes: it takes effect once.
 * - Writes are sent one after the other, in the order in which they were made.
 * - A browser opens six connections to one host at most, and the stream of each document takes one.
 * - Values are shared and never changed in place: what did not change is the same object as before. Do not
 *   change what `get` and `subscribe` give.
 *
 * @module
 */

/** @typedef {any} Json a JSON value */
/** @typedef {{ op: string, path: string, from?: string, value?: Json }} Operation */

/** How many arrays and objects may lie in one another: the node's limit. */
const MAX_DEPTH = 127;
/** The greatest weight that a patch may copy: the node's limit. */
const MAX_COPIED = 2 ** 30;

/** How long a request may take until its answer begins. */
const ANSWER_MS = 10_000;
/** How long a write may take. */
const WRITE_MS = 30_000;
/** A node says something every 15 s. A stream that says nothing for so long is dead, unless `silence` says otherwise. */
const SILENCE_MS = 40_000;
/** How long is waited before the first new try, and at most; a random part of it. */
const FIRST_DELAY_MS = 1000;
const MOST_DELAY_MS = 3000;
/** A connection that lasted so long shows that the node is well. */
const WELL_MS = 10_000;
/** How long events wait for the answer to a write that may be in them. */
const HOLD_MS = 1000;
/** How long a node is waited for that has to hear of a write from another one. */
const HEARSAY_S = 20;
/** When it is first asked whether a write is final or skipped, and then at twice its age. */
const FIRST_LOOK_MS = 1000;
/** How long, and for how many writes, that is asked. */
const WATCH_MS = 3_600_000;
const MOST_WATCHED = 100;
/** How many writes may wait to be sent. */
const MOST_WAITING = 10_000;
/** How often writes of closed pages are looked for. */
const ORPHANS_MS = 60_000;

// ---- JSON

/** Letters and digits drawn at random. Node.js 18 has `crypto` only if it is imported. */
const draw = count => Array.from({ length: count }, () => {
	const random = globalThis.crypto?.getRandomValues(new Uint32Array(1))[0] ?? Math.random() * 2 ** 32;
	return 'abcdefghijklmnopqrstuvwxyz0123456789'[Math.floor(random % 36)];
}).join('');

/** Marks the numbers that JSON.parse and JSON.stringify would not keep; no text holds it. */
const MARK = draw(24);
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;
const [LEAST_INTEGER, GREATEST_INTEGER] = [-(2n ** 63n), 2n ** 64n - 1n];

const isContainer = value => typeof value === 'object' && value !== null;
const isObject = value => isContainer(value) && !Array.isArray(value);
const isNumber = value => typeof value === 'number' || typeof value === 'bigint';

/** Reads JSON. With `bigints`, integers that no number holds exactly become BigInts, as far as nodes hold them. */
export function parse(text, bigints = false) {
	if (!bigints || !/\d{16}/.test(text)) return JSON.parse(text);
	const marked = text.replace(TOKENS, token => {
		if (token[0] === '"' || /[.eE]/.test(token) || Number.isSafeInteger(Number(token))) return token;
		const integer = BigInt(token);
		return integer < LEAST_INTEGER || integer > GREATEST_INTEGER ? token : `"${MARK}${token}"`;
	});
	return JSON.parse(marked, (_, value) => typeof value === 'string' && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value);
}

/** What JSON is made of, beside white space (RFC 8259); the text of a string is looked through apart. */
const TOKEN = /[[\]{},:"]|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.+-])|(?:true|false|null)(?!\w)/y;
const IN_STRING = /[^"\\\0-\x1f]*(?:(\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))|("))?/y;

/** Where a text ceases to be JSON: the index of what cannot stand there. undefined if it is JSON. */
export function faultAt(text) {
	// By their first characters: V for values without parts, K for names, and E for the end.
	const around = [], value = 'V[{', ends = { '[': ']', '{': '}' };
	for (let at = 0, wanted = value; ;) {
		while (' \t\n\r'.includes(text[at] ?? '?')) at++;
		if (at === text.length) return wanted === 'E' ? undefined : at;
		TOKEN.lastIndex = at;
		if (!TOKEN.test(text)) return at;
		const begins = text[at], inside = around.at(-1), kind = ends[begins] || ']},:'.includes(begins) ? begins : begins === '"' && wanted[0] === 'K' ? 'K' : 'V';
		if (!wanted.includes(kind)) return at;
		at = TOKEN.lastIndex;
		if (begins === '"') {
			for (let isOver = false; !isOver; at = IN_STRING.lastIndex) {
				IN_STRING.lastIndex = at;
				const [part, escape, end] = IN_STRING.exec(text);
				if (!end && !escape) return at + part.length;
				isOver = !!end;
			}
		}
		if (ends[kind]) {
			around.push(kind);
			wanted = kind === '[' ? `${value}]` : 'K}';
		} else if (kind === 'K') wanted = ':';
		else if (kind === ':') wanted = value;
		else if (kind === ',') wanted = inside === '[' ? value : 'K';
		else {
			if (kind !== 'V') around.pop();
			wanted = around.length ? `,${ends[around.at(-1)]}` : 'E';
		}
	}
}

/** In words where a text is wrong that is no JSON. */
export function faultIn(text) {
	const at = faultAt(text), lines = text.slice(0, at).split('\n');
	return `Line ${lines.length}, column ${lines.pop().length + 1}: ${at < text.length ? `${JSON.stringify(text[at])} cannot stand there` : 'the end comes too soon'}.`;
}

/** Writes JSON, BigInts too. Other large numbers get an exponent: to a node digits alone are an exact integer. */
export function stringify(value) {
	const mark = (_, value) => {
		if (typeof value === 'bigint') return MARK + value;
		return typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value) ? MARK + value.toExponential() : value;
	};
	let text;
	try {
		text = JSON.stringify(value);
	} catch {
		// It holds a BigInt.
	}
	if (text !== undefined && !/\d{16}/.test(text)) return text;
	return JSON.stringify(value, mark)?.replaceAll(new RegExp(`"${MARK}([^"]+)"`, 'g'), '$1');
}

/** Whether two values are equal as the operation `test` asks (RFC 6902, 4.6): numbers by value. */
export function equal(one, other) {
	if (one === other) return true;
	// A number and a BigInt are compared exactly by `==`.
	if (!isContainer(one) || !isContainer(other)) return isNumber(one) && isNumber(other) && one == other;
	if (Array.isArray(one)) return Array.isArray(other) && one.length === other.length && one.every((value, i) => equal(value, other[i]));
	if (Array.isArray(other)) return false;
	const names = Object.keys(one);
	return names.length === Object.keys(other).length && names.every(name => Object.hasOwn(other, name) && equal(one[name], other[name]));
}

/** Sets a member, whatever its name is: an assignment to `__proto__` is none. */
function setMember(object, name, value) {
	if (name === '__proto__') Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
	else object[name] = value;
	return value;
}

const memberOf = (object, name) => Object.hasOwn(object, name) ? object[name] : undefined;

/** `fresh`, with the parts of `old` that are equal in place of its own. */
function share(old, fresh) {
	if (!isContainer(fresh) || !isContainer(old) || Array.isArray(fresh) !== Array.isArray(old)) return fresh;
	const names = Object.keys(fresh);
	let same = names.length === Object.keys(old).length;
	for (const name of names) {
		const before = memberOf(old, name), value = share(before, fresh[name]);
		if (value !== fresh[name]) setMember(fresh, name, value);
		same &&= value === before && Object.hasOwn(old, name);
	}
	return same ? old : fresh;
}

// ---- JSON Pointer and JSON Patch

/** Why something was not done: what the node says, in the members of its answer (RFC 9457), or what is found here. */
export class Problem extends Error {
	/** The status of the answer; 409 and 400 also of what is found here. @type {number | undefined} */
	status;
	/** What kind of problem it is. @type {string | undefined} */
	type;
	/** Which operation of a patch does not apply, where it works, and why. @type {number | undefined} */
	operation;
	/** @type {string | undefined} */
	path;
	/** @type {string | undefined} */
	reason;
	/** Of a refused write: where it was sent before without an answer, and may have been taken. @type {string[] | undefined} */
	doubtful;
	/** Of a skipped write. @type {Json | undefined} */
	transaction;

	/**
	 * @param {string} detail
	 * @param {object} members
	 */
	constructor(detail, members = {}) {
		super(detail);
		this.name = 'Problem';
		Object.assign(this, members);
	}
}

const doesNotApply = reason => new Problem(reason, { status: 409, type: '/problems/does-not-apply', reason });
const malformed = reason => new Problem(`not a JSON Patch: ${reason}`, { status: 400, type: '/problems/not-a-json-patch', reason });
const quote = text => JSON.stringify(text);

/** The tokens of a JSON Pointer (RFC 6901), called so if it is none. */
export function tokensOf(pointer, name = 'the pointer') {
	if (typeof pointer !== 'string') throw malformed(`${name} is not a string`);
	if (pointer !== '' && pointer[0] !== '/') throw malformed(`${name} is ${quote(pointer)}, but a JSON Pointer is empty or begins with /`);
	if (/~(?![01])/.test(pointer)) throw malformed(`${name} is ${quote(pointer)}, but in a JSON Pointer ~ is followed by 0 or 1`);
	return pointer.split('/').slice(1).map(token => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The JSON Pointer of tokens, of which some may be indexes. */
export const pointerOf = tokens => tokens.map(token => '/' + String(token).replaceAll('~', '~0').replaceAll('/', '~1')).join('');

/** Which members an operation needs besides `op` and `path`. */
const NEEDS = new Map([['add', 'value'], ['replace', 'value'], ['test', 'value'], ['remove', null], ['move', 'from'], ['copy', 'from']]);

/** An operation as it is carried out, with its pointers as tokens. */
function readOperation(operation) {
	if (!isObject(operation)) throw malformed('an operation is an object');
	const op = memberOf(operation, 'op'), needed = NEEDS.get(op);
	if (needed === undefined) throw malformed(`\`op\` is ${quote(op)}, but it is one of ${[...NEEDS.keys()].join(', ')}`);
	if (!Object.hasOwn(operation, 'path')) throw malformed('missing field `path`');
	const path = tokensOf(operation.path, '`path`');
	if (needed && !Object.hasOwn(operation, needed)) throw malformed(`missing field \`${needed}\``);
	return { op, path, from: needed === 'from' ? tokensOf(operation.from, '`from`') : undefined, value: needed === 'value' ? operation.value : undefined };
}

/** Reads a patch, or says what is wrong with it. */
function readPatch(operations) {
	if (!Array.isArray(operations)) throw malformed('it is an array of operations');
	return eachOperation(operations, readOperation);
}

/** What `act` gives of each operation; if it fails, it is said where. */
function eachOperation(operations, act) {
	return operations.map((operation, i) => {
		try {
			return act(operation, i);
		} catch (error) {
			throw error instanceof Problem ? located(error, i, operation) : error;
		}
	});
}

function located(error, index, operation) {
	const path = isObject(operation) && typeof operation.path === 'string' ? operation.path : undefined;
	const where = `operation ${index}${path === undefined ? '' : ` at ${quote(path)}`}: ${error.message}`;
	return Object.assign(new Problem(where), { ...error, operation: index, path });
}

/** The key of a token in a value. */
function keyOf(value, token, end = value?.length) {
	if (Array.isArray(value)) {
		if (!/^(0|[1-9]\d*)$/.test(token)) throw doesNotApply(`${quote(token)} is not the index of an element`);
		if (Number(token) >= end) throw doesNotApply(`there is no element ${token}: the array has ${value.length}`);
		return Number(token);
	}
	if (!isContainer(value)) throw notBelow(value, token);
	if (!Object.hasOwn(value, token)) throw doesNotApply(`there is no member ${quote(token)}`);
	return token;
}

const notBelow = (value, token) => doesNotApply(`there is nothing below ${value === null ? 'null' : `a ${isNumber(value) ? 'number' : typeof value}`}, so no ${quote(token)}`);
const valueAt = (root, tokens) => tokens.reduce((value, token) => value[keyOf(value, token)], root);

/** What is in a value under this name, or at this position; undefined if there is nothing. */
export const childOf = (value, name) => isContainer(value) && Object.hasOwn(value, name) && !(Array.isArray(value) && name === 'length') ? value[name] : undefined;

/** What is at these tokens; undefined if there is nothing. */
const lookUp = (value, tokens) => tokens.reduce((value, token) => childOf(value, token), value);

/**
 * How far a pointer leads: the names and positions that are there, and the value at them; `token` is the next one, if there is
 * nothing at it.
 *
 * @returns {{ labels: (string | number)[], value: Json, token?: string }}
 */
export function follow(value, pointer) {
	const labels = [];
	for (const token of tokensOf(pointer)) {
		const inner = childOf(value, token);
		if (inner === undefined) return { labels, value, token };
		labels.push(Array.isArray(value) ? Number(token) : token);
		value = inner;
	}
	return { labels, value };
}

/**
 * What differs between two values, of which one may be missing. Of arrays of different lengths that is the whole.
 *
 * @returns {{ labels: (string | number)[], before?: Json, after?: Json }[]}
 */
export function differences(before, after, labels = []) {
	if (before === after || (before !== undefined && after !== undefined && equal(before, after))) return [];
	const isOfOneKind = isContainer(before) && isContainer(after) && Array.isArray(before) === Array.isArray(after);
	if (!isOfOneKind || (Array.isArray(before) && before.length !== after.length)) return [{ labels, before, after }];
	const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
	return names.flatMap(name => differences(childOf(before, name), childOf(after, name), [...labels, name]));
}

/** The depth of a value, and its weight as nodes reckon it. What is shared is looked at once. */
function measure(value, known = new Map()) {
	const ofText = text => text.length > 4 && new TextEncoder().encode(text).length;
	const long = bytes => bytes > 14 ? 16 + bytes : 0;
	if (typeof value === 'string') return { depth: 0, weight: 16 + long(ofText(value)) };
	if (!isContainer(value)) return { depth: 0, weight: 16 };
	let sum = known.get(value);
	if (sum) return sum;
	sum = { depth: 0, weight: 40 };
	for (const name of Object.keys(value)) {
		const { depth, weight } = measure(value[name], known);
		sum.depth = Math.max(sum.depth, depth);
		sum.weight += weight + (Array.isArray(value) ? 0 : 16 + long(ofText(name)));
	}
	sum.depth++;
	known.set(value, sum);
	return sum;
}

/**
 * A document being changed: what a change meets on its way is copied once, and all else is shared. One that is changed
 * in place is the node's, which has found that the patch applies.
 */
class Draft {
	copied = 0;
	/** The containers that nobody else has. */
	own = new Set();

	constructor(root, isInPlace = false) {
		this.root = root;
		this.isInPlace = isInPlace;
	}

	/** The container at these tokens, in which `next` is looked up; it may be changed. */
	open(tokens, next) {
		const claim = (value, token) => {
			if (!isContainer(value)) throw notBelow(value, token);
			if (this.isInPlace || this.own.has(value)) return value;
			const copy = Array.isArray(value) ? value.slice() : { ...value };
			this.own.add(copy);
			return copy;
		};
		let container = this.root = claim(this.root, tokens[0] ?? next);
		tokens.forEach((token, i) => {
			const key = keyOf(container, token);
			container = setMember(container, key, claim(container[key], tokens[i + 1] ?? next));
		});
		return container;
	}

	admit(path, value) {
		if (!this.isInPlace && path.length + measure(value).depth > MAX_DEPTH) throw doesNotApply('the document would be nested too deep');
	}

	add(path, value) {
		this.admit(path, value);
		if (!path.length) {
			this.root = value;
			return;
		}
		const token = path.at(-1), container = this.open(path.slice(0, -1), token);
		if (!Array.isArray(container)) setMember(container, token, value);
		else if (token === '-') container.push(value);
		else container.splice(keyOf(container, token, container.length + 1), 0, value);
	}

	remove(path) {
		if (!path.length) throw doesNotApply('the whole document cannot be removed');
		const token = path.at(-1), container = this.open(path.slice(0, -1), token), key = keyOf(container, token), value = container[key];
		if (Array.isArray(container)) container.splice(key, 1);
		else delete container[key];
		return value;
	}

	replace(path, value) {
		this.admit(path, value);
		if (!path.length) {
			this.root = value;
			return;
		}
		const token = path.at(-1), container = this.open(path.slice(0, -1), token);
		setMember(container, keyOf(container, token), value);
	}

	move(path, from) {
		const isInside = from.length < path.length && from.every((token, i) => token === path[i]);
		if (isInside) throw doesNotApply('a value cannot be moved into itself');
		if (from.length === path.length && from.every((token, i) => token === path[i])) valueAt(this.root, from);
		else this.add(path, this.remove(from));
	}

	copy(path, from) {
		const value = valueAt(this.root, from);
		// It stands at two places now, and a change at one of them must not show at the other.
		if (this.isInPlace) return this.add(path, structuredClone(value));
		this.copied += measure(value).weight;
		if (this.copied > MAX_COPIED) throw doesNotApply('the patch copies too much');
		this.own.clear();
		this.add(path, value);
	}

	test(path, value) {
		const found = valueAt(this.root, path);
		if (!equal(found, value)) throw doesNotApply(`the value is not as tested, it is ${stringify(found).slice(0, 64)}`);
	}
}

/**
 * The document that a JSON Patch (RFC 6902) makes of `document`, which stays as it is. It decides as a node does, except
 * that a document over 1 GiB, which the node refuses, is none here.
 *
 * @param {Json} document
 * @param {Operation[]} operations
 * @returns {Json}
 * @throws {Problem} the first operation that does not apply, or is none
 */
export function apply(document, operations) {
	return carryOut(new Draft(document), operations);
}

function carryOut(draft, operations) {
	const read = readPatch(operations);
	eachOperation(operations, (_, i) => {
		const { op, path, from, value } = read[i];
		draft[op](path, from ?? value);
	});
	return draft.root;
}

/**
 * What operations do below a pointer, relative to it; undefined if one of them does something to the value there as a
 * whole, or brings something there from elsewhere or the other way round.
 *
 * @param {Operation[]} operations
 * @param {string[]} tokens
 * @returns {Operation[] | undefined}
 */
function within(operations, tokens) {
	if (!tokens.length) return operations.some(({ path }) => path === '') ? undefined : operations;
	const depth = tokens.length, isIndex = token => /^\d+$/.test(token), isBelow = path => path.length > depth && tokens.every((token, i) => token === path[i]);
	// An element that comes or goes shifts those behind it.
	const isAbove = (path, op, last = path.length - 1) => last < depth && path.every((token, i) => token === tokens[i] || (i === last && op !== 'replace' && isIndex(token) && isIndex(tokens[i])));
	const told = [];
	for (const operation of operations.filter(({ op }) => op !== 'test')) {
		const { op } = operation, path = tokensOf(operation.path), from = operation.from === undefined ? path : tokensOf(operation.from);
		if (isAbove(path, op) || (op === 'move' && isAbove(from, op))) return undefined;
		if (isBelow(path) !== isBelow(from) && (op === 'move' || isBelow(path))) return undefined;
		if (!isBelow(path)) continue;
		told.push({ ...operation, path: pointerOf(path.slice(depth)) });
		if (from !== path) told.at(-1).from = pointerOf(from.slice(depth));
	}
	return told;
}

/**
 * Where a patch changes something: what is moved goes from one place and comes to another.
 *
 * @param {Operation[]} operations
 * @returns {Operation[]} without `test` and `move`
 */
export const changesOf = operations => operations.flatMap(({ op, path, from, value }) => {
	if (op === 'test') return [];
	return op === 'move' ? [{ op: 'remove', path: from }, { op: 'add', path }] : [{ op, path, value }];
});

/**
 * The parts that a patch touches, none within another. Behind an element that comes or goes others have other positions, so the
 * part is the array then, unless it is all that the patch does: then nothing `isBefore` or `isAfter` at that position that the
 * patch has to do with.
 *
 * @param {Operation[]} operations
 * @returns {{ tokens: string[], value?: Json, isBefore: boolean, isAfter: boolean }[]}
 */
export function partsOf(operations) {
	const parts = new Map();
	for (const { op, path, value } of changesOf(operations)) {
		const all = tokensOf(path), dots = all.findIndex(isDots), tokens = dots < 0 ? all : all.slice(0, dots), last = tokens.at(-1) ?? '';
		const isElement = op !== 'replace' && /^(-|\d+)$/.test(last), isAlone = operations.length === 1 && (last !== '-' || value !== undefined);
		if (isElement && !isAlone) tokens.pop();
		parts.set(pointerOf(tokens), { tokens, value, isBefore: !(isElement && isAlone && op === 'add'), isAfter: !(isElement && isAlone && op === 'remove') });
	}
	return [...parts.values()].filter(({ tokens }) => !tokens.some((_, i) => parts.has(pointerOf(tokens.slice(0, i)))));
}

/**
 * What a patch did, by the parts that it touches, as far as `most` of them: `before` and `after` read such a part of the
 * document before and after it; undefined if it was not there.
 *
 * @param {Operation[]} operations
 * @param {(pointer: string) => Promise<Json | undefined>} before
 * @param {(pointer: string) => Promise<Json | undefined>} after
 */
export async function effectOf(operations, before, after, most = 12) {
	const effects = await Promise.all(partsOf(operations).slice(0, most).map(async ({ tokens, value, isBefore, isAfter }) => {
		const part = pointerOf(tokens), isLast = tokens.at(-1) === '-';
		const [old, fresh] = await Promise.all([isBefore ? before(part) : undefined, !isLast && isAfter ? after(part) : undefined]);
		return differences(old, isLast ? value : fresh, tokens);
	}));
	return effects.flat();
}

/**
 * The same wish against another document: a `test` that does not hold there tests for what is there, or goes if nothing is.
 *
 * @param {Operation[]} operations
 * @param {Json} document
 * @returns {{ operations: Operation[], renewed: { path: string, value?: Json }[], failing: Operation[] }} with the tests that
 *   are others now, and the operations that do not apply
 */
export function renew(operations, document) {
	const written = [], renewed = [], failing = [];
	let draft = new Draft(document);
	for (const operation of operations) {
		const { op, path, from, value } = readOperation(operation), there = lookUp(draft.root, path);
		if (op === 'test' && !equal(there, value)) {
			renewed.push({ path: operation.path, value: there });
			if (there !== undefined) written.push({ ...operation, value: there });
			continue;
		}
		written.push(operation);
		try {
			// A move that fails in its second half would leave the first one.
			if (op === 'move') draft = new Draft(apply(draft.root, [operation]));
			else draft[op](path, from ?? value);
		} catch {
			failing.push(operation);
		}
	}
	return { operations: written, renewed, failing };
}

/** What a JSON Merge Patch (RFC 7396) makes of `target`, which stays as it is. */
export function merge(target, wanted) {
	if (!isObject(wanted)) return wanted;
	const merged = isObject(target) ? { ...target } : {};
	for (const name of Object.keys(wanted)) {
		if (wanted[name] === null) delete merged[name];
		else setMember(merged, name, merge(memberOf(merged, name), wanted[name]));
	}
	return merged;
}

/** The same of the part at these tokens. */
function mergePart(document, path, wanted) {
	const draft = new Draft(document), target = lookUp(document, path);
	if (target === undefined) draft.add(path, merge(undefined, wanted));
	else draft.replace(path, merge(target, wanted));
	return draft.root;
}

// ---- Where writes are kept

/**
 * A write as it is kept: its name, and its request, which is repeated as it is. `at`: the part that is merged into.
 *
 * @typedef {{ source: string, id: number, method: string, path: string, type: string, body: string, at: string }} Kept
 */

/**
 * Where writes are kept until their fate is known. Two stores of the same content never hold the same source.
 *
 * @typedef {object} Store
 * @property {(source: string) => Promise<boolean>} hold keeps others from the writes of a source, until `close`; false if another holds it
 * @property {(write: Kept) => Promise<void>} add resolves when the write is safe
 * @property {(write: Kept) => Promise<void>} remove
 * @property {(take: (writes: Kept[]) => void) => Promise<void>} adopt holds the sources that nobody holds, and gives their writes in
 *   their order: before it resolves, or later if one is let go
 * @property {() => void} close
 */

/** Keeps nothing beyond this process. @returns {Store} */
export const memoryStore = () => ({ hold: async () => true, add: async () => {}, remove: async () => {}, adopt: async () => {}, close() {} });

/** In a page that may use no locks, a source is held for so long after its holder was last seen. */
const LEASE_MS = 180_000;

/** Keeps writes in IndexedDB. Tabs share it; a source is held by a lock that goes with its tab. */
class BrowserStore {
	#queue;
	#database;
	#held = new Map();
	/** Sources that are held by others, and are waited for until this ends. */
	#awaited = new Set();
	#end = new AbortController();

	constructor(queue) {
		this.#queue = queue;
	}

	async #run(mode, act) {
		this.#database ??= new Promise((resolve, reject) => {
			const opening = indexedDB.open('patchmesh', 1);
			opening.onupgradeneeded = () => opening.result.createObjectStore('writes', { keyPath: ['queue', 'source', 'id'] });
			opening.onsuccess = () => resolve(opening.result);
			opening.onerror = opening.onblocked = () => reject(opening.error ?? new Error('the database is in use'));
		});
		const opening = this.#database;
		const database = await opening.catch(error => {
			// The next one tries it again.
			if (this.#database === opening) this.#database = undefined;
			throw error;
		});
		return new Promise((resolve, reject) => {
			const transaction = database.transaction('writes', mode, { durability: 'strict' }), request = act(transaction.objectStore('writes'));
			transaction.oncomplete = () => resolve(request.result);
			transaction.onerror = transaction.onabort = () => reject(transaction.error);
		});
	}

	/** @param {LockOptions} options */
	async hold(source, options = { ifAvailable: true }) {
		const name = `patchmesh ${source}`, keep = release => this.#held.set(source, release);
		if (globalThis.navigator?.locks) {
			return new Promise((resolve, reject) => {
				navigator.locks.request(name, options, lock => {
					resolve(lock !== null);
					return lock && new Promise(keep);
				}).catch(reject);
			});
		}
		// Only a page that came encrypted, or from this machine, may use locks.
		const { localStorage } = globalThis;
		if (Date.now() - Number(localStorage?.getItem(name)) < LEASE_MS) return false;
		const renew = () => localStorage?.setItem(name, String(Date.now())), end = () => localStorage?.removeItem(name);
		const timer = setInterval(renew, LEASE_MS / 6);
		renew();
		globalThis.addEventListener('pagehide', end);
		keep(() => {
			clearInterval(timer);
			globalThis.removeEventListener('pagehide', end);
			end();
		});
		return true;
	}

	async add(write) {
		await this.#run('readwrite', writes => writes.put({ ...write, queue: this.#queue }));
	}

	async remove({ source, id }) {
		await this.#run('readwrite', writes => writes.delete([this.#queue, source, id]));
	}

	async adopt(take) {
		const read = async (...source) => {
			const range = IDBKeyRange.bound([this.#queue, ...source], [this.#queue, ...source, []]);
			return (await this.#run('readonly', writes => writes.getAll(range))).map(({ queue, ...write }) => write);
		};
		for (const source of new Set((await read()).map(write => write.source))) {
			if (this.#held.has(source)) continue;
			// Whoever held it may have sent some of them meanwhile.
			if (await this.hold(source)) take(await read(source));
			else if (globalThis.navigator?.locks && !this.#awaited.has(source)) {
				this.#awaited.add(source);
				this.hold(source, { signal: this.#end.signal }).then(async () => take(await read(source))).catch(() => {}).finally(() => this.#awaited.delete(source));
			}
		}
	}

	close() {
		for (const release of this.#held.values()) release();
		this.#held.clear();
		this.#end.abort();
		this.#database?.then(database => database.close(), () => {});
	}
}

// ---- Writes

const PENDING = 'pending', ACCEPTED = 'accepted', COMMITTED = 'committed', REFUSED = 'refused', SKIPPED = 'skipped';

/**
 * A write, and what becomes of it. It can be awaited, which waits until it is accepted.
 *
 * `pending`: not sent, or not answered yet. `accepted`: a node has it, and it takes effect. `committed`: that is final; there is
 * no such thing without a primary. `refused`: it did not apply. `skipped`: it was accepted, and something
 * earlier that came late took the ground from under it. The last two have an `error`.
 */
export class Write {
	/** @type {'pending' | 'accepted' | 'committed' | 'refused' | 'skipped'} */
	status = PENDING;
	/** Why it is refused or skipped. @type {Problem | undefined} */
	error;
	/** What the node made of it. @type {Json | undefined} */
	transaction;
	/** Resolves when it is kept, so that closing the page does not lose it; rejects if it cannot be. @type {Promise<void>} */
	kept = Promise.resolve();
	#watchers = new Set();
	#resolve = {};
	#reject = {};

	/** @param {Kept} kept */
	constructor(kept) {
		this.source = kept.source;
		this.id = kept.id;
		const promise = name => {
			const made = new Promise((resolve, reject) => {
				this.#resolve[name] = resolve;
				this.#reject[name] = reject;
			});
			// Not everybody waits for it.
			made.catch(() => {});
			return made;
		};
		/** Resolves when a node has accepted it; rejects if it is refused. @type {Promise<Json>} */
		this.accepted = promise(ACCEPTED);
		/** Resolves when it is final; rejects if it is refused or skipped; neither if no node knows that any more. @type {Promise<Json>} */
		this.committed = promise(COMMITTED);
	}

	then(resolve, reject) {
		return this.accepted.then(resolve, reject);
	}

	catch(reject) {
		return this.accepted.catch(reject);
	}

	finally(callback) {
		return this.accepted.finally(callback);
	}

	/** Calls back with this write now and whenever its status changes. Gives what ends that. */
	watch(callback) {
		this.#watchers.add(callback);
		callSafely(callback, this);
		return () => this.#watchers.delete(callback);
	}

	/**
	 * For the document only.
	 *
	 * @param {Write['status']} status
	 * @param {{ error?: Problem, transaction?: Json }} members
	 */
	become(status, { error, transaction = this.transaction } = {}) {
		if (status === this.status) return;
		Object.assign(this, { status, error, transaction });
		if (status === ACCEPTED || status === COMMITTED) this.#resolve[ACCEPTED](transaction);
		if (status === COMMITTED) this.#resolve[COMMITTED](transaction);
		if (error) for (const name of [ACCEPTED, COMMITTED]) this.#reject[name](error);
		for (const callback of this.#watchers) callSafely(callback, this);
	}
}

/** A callback that fails is reported, and holds up nobody else. */
function callSafely(callback, ...values) {
	try {
		callback(...values);
	} catch (error) {
		queueMicrotask(() => { throw error; });
	}
}

// ---- HTTP

/** Reads Server-Sent Events (HTML, 9.2) until they end. */
async function readEvents(body, heard, take) {
	const reader = body.getReader(), decoder = new TextDecoder();
	let begun = [], event = { data: [] };
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return;
		heard(value.length);
		const text = decoder.decode(value, { stream: true });
		// A long line comes in many pieces.
		begun.push(text);
		if (!text.includes('\n')) continue;
		const lines = begun.join('').split('\n');
		begun = [lines.pop()];
		for (const line of lines.map(line => line.replace(/\r$/, ''))) {
			if (!line) {
				if (event.event || event.data.length || event.id !== undefined) take({ type: event.event, id: event.id, data: event.data.join('\n') });
				event = { data: [] };
				continue;
			}
			const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
			if (name === 'data') event.data.push(value);
			else if (name === 'retry') take({ retry: Number(value) });
			else event[name] = value;
		}
	}
}

/** What an answer that is no success says. */
async function problemOf(response) {
	const text = await response.text();
	let members = {};
	try {
		members = Object(JSON.parse(text));
	} catch {
		// Something between the node and here has answered.
	}
	return new Problem(members.detail ?? `the answer is ${response.status} ${response.statusText}`, { ...members, status: response.status });
}

/** The header with a token, if there is one. What a header may hold are bytes. */
export const authorization = token => token && { Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(token))}` };

/** Where in a process's changes something is: `PROCESS.NUMBER`. */
function changeOf(text) {
	const [, process, number] = /^([^.]+)\.(\d+)$/.exec(text ?? '') ?? [];
	return process && { process, number: Number(number) };
}

/** These answers say something about the request itself; after others it is tried again. What a token may do can change. */
const isFinal = status => [400, 409, 412, 413, 415, 422].includes(status);

/** A time that can be waited for and cut short. */
class Pause {
	#end = () => {};

	wait(ms) {
		return new Promise(resolve => {
			const timer = setTimeout(resolve, ms);
			this.#end = () => {
				clearTimeout(timer);
				resolve();
			};
		});
	}

	end() {
		this.#end();
	}
}

/** How long is waited before the next of several tries: the more failed, the longer; a random part of it. */
const delayOf = (first, fails) => Math.random() * Math.min(MOST_DELAY_MS, first * 2 ** fails);

/** A pointer in a path. */
export const inPath = tokens => tokens.map(token => '/' + encodeURIComponent(pointerOf([token]).slice(1))).join('');
/** In a path these names mean something else. */
const isDots = token => token === '.' || token === '..';

// ---- The document

/**
 * @typedef {object} Status
 * @property {'connecting' | 'online' | 'offline' | 'closed'} state
 * @property {string | null} node the URL of the node that is read from
 * @property {Error | null} error why it is offline, or why a write has to wait
 * @property {number} pending how many writes are not accepted yet
 */

/**
 * @typedef {object} Options
 * @property {string} [token] of the node, if it wants one
 * @property {string} [part] a JSON Pointer: the document is this part, and pointers are relative to it
 * @property {boolean} [bigints] integers that no number holds exactly are BigInts, and not rounded
 * @property {boolean} [inPlace] what comes from the node changes the values in place, in a time that does not depend on
 *   their size: to copy an object of 100,000 members takes a tenth of a second. What `get` and `subscribe` gave changes, too
 * @property {string} [name] begins the source under which writes are made; shown by the nodes
 * @property {string} [queue] names the writes that are kept: pages of one origin with the same one send each other's
 * @property {Store} [store] where writes are kept until their fate is known
 * @property {number} [mostBytes] it closes itself if the document's text is longer at first
 * @property {number} [silence] after how many milliseconds of silence a node is given up
 * @property {typeof fetch} [fetch]
 */

export class LiveDocument {
	/** Resolves when the document is known. @type {Promise<void>} */
	ready;
	/** @type {Status} */
	status = { state: 'connecting', node: null, error: null, pending: 0 };
	#isReady;
	/** The process that is read. */
	#process;
	#urls;
	/** Which of them is read from, counted on and on. */
	#at = 0;
	#part;
	#options;
	#fetch;
	#store;
	#source;
	#ids = 0;
	#isClosed = false;
	/** What the stream says, where that is in the node's changes, and its last event's id. */
	#base;
	#position;
	#lastId;
	/** What is shown. */
	#view;
	#isKnown = false;
	/**
	 * Writes that are not accepted, or not shown by the stream, in their order. Beside the `write` and how it is `kept`:
	 * `safe` resolves when it is; `act` does it to a document; the `change` by which a process of a node has it, and
	 * whether the stream `isShown` that far; to which nodes it was sent without an answer (`doubtful`).
	 */
	#writes = [];
	/** Accepted writes that may still be skipped. */
	#watched = new Set();
	#subscriptions = new Set();
	#statusWatchers = new Set();
	#writeWatchers = new Set();
	#stream = null;
	#firstDelay = FIRST_DELAY_MS;
	/** Waits for the next try to read, to write, and to find a write in the stream. */
	#streamPause = new Pause();
	#writePause = new Pause();
	#locatePause = new Pause();
	#isSending = false;
	#isAnswerDue = false;
	#isLocating = false;
	#inbox = [];
	#inboxTimer;
	#adopted;
	#orphanTimer;
	#wake = () => this.retry();
	/** A stream over a network that is gone would not say so for long. */
	#cut = () => this.#stream?.abort(new Problem('the network is gone'));

	/**
	 * @param {string[]} urls
	 * @param {Options} options
	 */
	constructor(urls, options) {
		const { part = '', name = 'js', store, fetch = globalThis.fetch.bind(globalThis) } = options;
		this.#urls = urls.map(url => new URL(url, globalThis.location?.href ?? import.meta.url).href.replace(/[?#].*$/, '').replace(/\/*$/, '/'));
		this.#part = tokensOf(part, 'the part');
		if (this.#part.some(isDots)) throw new Problem('a part below . or .. cannot be named in a URL');
		if (!/^[ -}]{1,80}$/.test(name) || name.includes('^')) throw new Problem(`the name ${quote(name)} is not 1 to 80 letters of ASCII without ~ and ^`);
		this.#options = options;
		this.#fetch = fetch;
		const queue = options.queue ?? `${this.#urls[0]} ${part}`;
		this.#store = store ?? (globalThis.indexedDB ? new BrowserStore(queue) : memoryStore());
		this.#source = `${name}~${draw(8)}`;
		this.ready = new Promise(resolve => { this.#isReady = resolve; });
		this.#adopted = this.#store.hold(this.#source).then(() => this.#adopt()).catch(error => this.#setStatus({ error }));
		this.#orphanTimer = setInterval(() => this.#adopt().catch(() => {}), ORPHANS_MS);
		globalThis.addEventListener?.('online', this.#wake);
		globalThis.addEventListener?.('offline', this.#cut);
		this.#follow();
	}

	/** The value at a JSON Pointer; undefined if there is none, or the document is not known yet. @returns {Json | undefined} */
	get(pointer = '') {
		return lookUp(this.#view, tokensOf(pointer));
	}

	/**
	 * Calls back with the value at a JSON Pointer: now, if there is one, and whenever it changes, and not otherwise.
	 * The operations are relative to that pointer, and lead from the value that was told before to this one. If it came
	 * anew, or how it changed is not known, that is one operation with the path "".
	 *
	 * @param {string} pointer
	 * @param {(value: Json | undefined, operations: Operation[]) => void} callback
	 * @returns {() => void} ends that
	 */
	subscribe(pointer, callback) {
		const subscription = { tokens: tokensOf(pointer), callback, value: undefined };
		this.#subscriptions.add(subscription);
		this.#tell(subscription);
		return () => this.#subscriptions.delete(subscription);
	}

	/** Writes a JSON Patch (RFC 6902). @param {Operation[]} operations */
	patch(operations) {
		const body = textOf(operations);
		readPatch(JSON.parse(body));
		return this.#write({ method: this.#part.length ? 'PATCH' : 'POST', path: this.#part.length ? `get${inPath(this.#part)}` : 'replace', type: 'application/json-patch+json', body, at: '' });
	}

	/** Writes a JSON Merge Patch (RFC 7396) of the part at a pointer, or of the whole: `merge(value)`. */
	merge(pointer, value) {
		if (arguments.length < 2) [pointer, value] = ['', pointer];
		let tokens = tokensOf(pointer);
		const dots = tokens.findIndex(isDots);
		if (dots >= 0) {
			value = tokens.slice(dots).reduceRight((inner, token) => ({ [token]: inner }), value);
			tokens = tokens.slice(0, dots);
		}
		return this.#write({ method: 'PATCH', path: `get${inPath([...this.#part, ...tokens])}`, type: 'application/merge-patch+json', body: textOf(value), at: pointerOf(tokens) });
	}

	/** Sets the value at a pointer: a member, an element that is there, or the whole. */
	set(pointer, value) {
		const tokens = tokensOf(pointer), isElement = Array.isArray(lookUp(this.#view, tokens.slice(0, -1))) && tokens.at(-1) !== '-';
		if (!this.#isKnown && /^\d+$/.test(tokens.at(-1) ?? '')) throw new Problem('whether that is an element is not known yet; wait for `ready`');
		textOf(value);
		return this.patch([{ op: tokens.length && isElement ? 'replace' : 'add', path: pointer, value }]);
	}

	/** Removes the value at a pointer. */
	remove(pointer) {
		return this.patch([{ op: 'remove', path: pointer }]);
	}

	/** The writes that no node has accepted yet, those of closed pages included. @returns {Write[]} */
	get writes() {
		return this.#writes.filter(({ write }) => write.status === PENDING).map(({ write }) => write);
	}

	/** Calls back with the status now and whenever it changes. Gives what ends that. */
	onStatus(callback) {
		this.#statusWatchers.add(callback);
		callSafely(callback, this.status);
		return () => this.#statusWatchers.delete(callback);
	}

	/** Calls back with each write whose status changes, those of closed pages included. Gives what ends that. */
	onWrite(callback) {
		this.#writeWatchers.add(callback);
		return () => this.#writeWatchers.delete(callback);
	}

	/** The token that the nodes want. */
	set token(token) {
		this.#options = { ...this.#options, token };
		this.retry();
	}

	/** Tries again now, if it waits for that. */
	retry() {
		this.#streamPause.end();
		this.#writePause.end();
		this.#locatePause.end();
	}

	/** Ends it. Writes that are not sent stay where they are kept. */
	close() {
		if (this.#isClosed) return;
		this.#isClosed = true;
		this.#stream?.abort();
		this.retry();
		clearInterval(this.#orphanTimer);
		clearTimeout(this.#inboxTimer);
		for (const { timer } of this.#watched) clearTimeout(timer);
		globalThis.removeEventListener?.('online', this.#wake);
		globalThis.removeEventListener?.('offline', this.#cut);
		this.#store.close();
		this.#setStatus({ state: 'closed', node: null });
	}

	// -- What is shown

	/** Tells what has changed, by these operations if that is known. */
	#tell(subscription, operations) {
		const { tokens, callback, value: before } = subscription, { inPlace } = this.#options, value = lookUp(this.#view, tokens);
		if (value === before && !(inPlace && isContainer(value))) return;
		const told = operations && within(operations, tokens);
		if (told?.length === 0 || (!inPlace && value !== undefined && equal(value, before))) return;
		subscription.value = value;
		callSafely(callback, value, told ?? [value === undefined ? { op: 'remove', path: '' } : { op: before === undefined ? 'add' : 'replace', path: '', value }]);
	}

	/** Shows the base with all writes on it that apply; or what is shown with another one. */
	#show(operations, added) {
		const before = this.#view;
		this.#view = (added ? [added] : this.#writes).reduce((view, { act, isShown }) => {
			try {
				return isShown ? view : act(view);
			} catch {
				// The node decides.
				return view;
			}
		}, added ? before : this.#base);
		// What was done to the base leads to what is shown only if there is nothing on it.
		if (!added && this.#view !== this.#base) operations = undefined;
		if (this.#view !== before || (!added && operations)) for (const subscription of [...this.#subscriptions]) this.#tell(subscription, operations);
	}

	#setStatus(changes) {
		const status = { ...this.status, ...changes, pending: this.writes.length };
		if (Object.keys(status).every(name => status[name] === this.status[name])) return;
		this.status = status;
		for (const callback of [...this.#statusWatchers]) callSafely(callback, status);
	}

	// -- Reading

	/**
	 * @param {string} url
	 * @param {string} path
	 * @param {RequestInit & { headers?: Record<string, string> }} request
	 */
	#ask(url, path, { headers = {}, ...request }) {
		return this.#fetch(url + path, { cache: 'no-store', headers: { ...headers, ...authorization(this.#options.token) }, ...request });
	}

	async #follow() {
		for (let fails = 0; !this.#isClosed;) {
			const url = this.#urls[this.#at % this.#urls.length], began = Date.now();
			let error, isLeft = true;
			try {
				await this.#read(url, isHeard => { isLeft = !isHeard; });
				error = new Problem('the stream has ended');
			} catch (why) {
				error = why;
			}
			this.#stream = null;
			if (this.#isClosed) return;
			this.#setStatus({ state: 'offline', node: null, error });
			if (Date.now() - began > WELL_MS) fails = 0;
			// Where a stream breaks off, it goes on; another node may be behind. But not if it breaks off again and again.
			if (isLeft || fails) this.#at++;
			await this.#streamPause.wait(delayOf(this.#firstDelay, Math.floor(fails++ / this.#urls.length)));
		}
	}

	/** Reads the stream of a node until it ends; tells whether something was heard, and the node has not fallen silent. */
	async #read(url, tell) {
		const stream = new AbortController(), headers = { Accept: 'text/event-stream' };
		this.#stream = stream;
		if (this.#lastId !== undefined) headers['Last-Event-ID'] = this.#lastId;
		let timer;
		const expect = (ms, what) => {
			clearTimeout(timer);
			timer = setTimeout(() => {
				tell(false);
				stream.abort(new Problem(what));
			}, ms);
		};
		try {
			expect(ANSWER_MS, 'the node does not answer');
			await this.#placeWrites(url, stream.signal);
			const response = await this.#ask(url, `get${inPath(this.#part)}`, { headers, signal: stream.signal });
			if (!response.ok) throw await problemOf(response);
			if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) throw new Problem('it answers with no events');
			const listen = () => expect(this.#options.silence ?? SILENCE_MS, 'the node says nothing any more');
			listen();
			this.#setStatus({ state: 'online', node: url, error: null });
			this.#writePause.end();
			this.#adopt().catch(() => {});
			this.#locate();
			let size = 0;
			const heard = bytes => {
				tell(true);
				listen();
				if (this.#isKnown || (size += bytes) <= (this.#options.mostBytes ?? Infinity)) return;
				this.close();
				this.#setStatus({ error: new Problem('the document is larger than what is to be held', { status: 413 }) });
			};
			await readEvents(response.body, heard, event => this.#receive(event, stream));
		} finally {
			clearTimeout(timer);
			stream.abort();
			this.#dropEvents();
		}
	}

	/** Takes an event; if it may hold a write whose answer is on its way, after that. */
	#receive(event, stream) {
		if ('retry' in event) {
			this.#firstDelay = Math.min(Math.max(event.retry || FIRST_DELAY_MS, 100), MOST_DELAY_MS);
			return;
		}
		this.#process = changeOf(event.id)?.process;
		this.#inbox.push({ ...event, stream });
		this.#locate();
		if (!this.#isAnswerDue) this.#takeEvents();
		else this.#inboxTimer ??= setTimeout(() => this.#takeEvents(), HOLD_MS);
	}

	/** Forgets the events that are not taken: they come again with the next stream. */
	#dropEvents() {
		clearTimeout(this.#inboxTimer);
		this.#inboxTimer = undefined;
		return this.#inbox.splice(0);
	}

	#takeEvents() {
		const events = this.#dropEvents();
		if (!events.length || this.#isClosed) return;
		const { inPlace } = this.#options;
		let operations = this.#view === this.#base ? [] : undefined;
		try {
			for (const { type, data, id, stream } of events) {
				if (stream.signal.aborted) continue;
				if (type === 'patch') {
					const done = this.#parse(data);
					this.#base = carryOut(new Draft(this.#base, inPlace), done);
					operations = operations?.concat(done);
				} else if (type === 'put' || type === 'gone') {
					const fresh = type === 'put' ? this.#parse(data) : undefined;
					this.#base = inPlace ? fresh : share(this.#base, fresh);
					operations = undefined;
				} else if (type || data) continue;
				// An id alone says that nothing has changed here up to it.
				this.#lastId = id;
				this.#position = changeOf(id);
			}
		} catch (error) {
			// Then this copy is not what the node takes it for, and comes anew.
			this.#lastId = undefined;
			this.#stream?.abort(error);
			return;
		}
		this.#isKnown = true;
		this.#isReady();
		this.#dropShown();
		this.#show(operations);
		this.#look();
	}

	#parse(text) {
		return parse(text, this.#options.bigints);
	}

	/** Forgets the writes that the stream has shown, and says whether there were any. */
	#dropShown() {
		const at = this.#position, shown = this.#writes.filter(({ isShown, change }) => !isShown && change && at && change.process === at.process && change.number <= at.number);
		for (const entry of shown) entry.isShown = true;
		this.#writes = this.#writes.filter(({ write, isShown }) => write.status === PENDING || !isShown);
		return shown.length > 0;
	}

	// -- Writing

	/** @param {Omit<Kept, 'source' | 'id'>} request */
	#write(request) {
		if (this.#isClosed) throw new Problem('the document is closed');
		if (this.#writes.length >= MOST_WAITING) throw new Problem(`${MOST_WAITING} writes wait to be sent; no more are taken`);
		const kept = { source: this.#source, id: ++this.#ids, ...request }, safe = this.#adopted.then(() => this.#store.add(kept));
		const entry = this.#enter(kept, safe, this.#writes.length);
		entry.write.kept = safe;
		// If it cannot be kept, it is sent all the same.
		safe.catch(error => this.#setStatus({ error })).then(() => this.#send());
		this.#setStatus({});
		this.#show(kept.type.includes('merge') ? undefined : this.#parse(kept.body), entry);
		return entry.write;
	}

	#enter(kept, safe, at, doubtful = []) {
		const write = new Write(kept), wanted = this.#parse(kept.body), tokens = tokensOf(kept.at);
		const act = view => kept.type.includes('merge') ? mergePart(view, tokens, wanted) : apply(view, wanted);
		const entry = { kept, write, safe, act, change: undefined, doubtful };
		this.#writes.splice(at, 0, entry);
		return entry;
	}

	/** Takes over what closed pages have left. */
	async #adopt() {
		if (!this.#isClosed) await this.#store.adopt(writes => this.#takeOver(writes));
	}

	#takeOver(left) {
		if (this.#isClosed || !left.length) return;
		left.forEach((kept, i) => this.#enter(kept, Promise.resolve(), i, ['a page that was closed']));
		this.#setStatus({});
		this.#show();
		this.#send();
	}

	/** Sends what is not answered yet, one after the other. */
	async #send() {
		if (this.#isSending) return;
		this.#isSending = true;
		await this.#adopted;
		for (let fails = 0, entry; !this.#isClosed && (entry = this.#writes.find(({ write }) => write.status === PENDING));) {
			await entry.safe.catch(() => {});
			// The node that is read from first, since its stream shows the write; then the others.
			const urls = [this.status.node ?? this.#urls[0], ...this.#urls], url = [...new Set(urls)][fails % this.#urls.length];
			const error = await this.#post(entry, url);
			if (!error) {
				fails = 0;
				continue;
			}
			if (this.#isClosed) break;
			this.#setStatus({ error });
			await this.#writePause.wait(delayOf(FIRST_DELAY_MS / 4, Math.floor(fails++ / this.#urls.length)));
		}
		this.#isSending = false;
	}

	/** Sends a write to a node; gives why it has to be sent again, if it has. */
	async #post(entry, url) {
		const { source, id, method, path, type, body } = entry.kept;
		const headers = { 'Content-Type': type, 'Patchmesh-Source': source, 'Patchmesh-Id': String(id) };
		this.#isAnswerDue = true;
		let status, problem;
		try {
			const response = await this.#ask(url, path, { method, body, headers, signal: AbortSignal.timeout(WRITE_MS) });
			status = response.status;
			if (response.ok) this.#accept(entry, await response.json(), response.headers, url);
			else problem = await problemOf(response);
		} catch (error) {
			// Whether it was taken is not known.
			if (!entry.doubtful.includes(url)) entry.doubtful.push(url);
			return error;
		} finally {
			this.#isAnswerDue = false;
			this.#takeEvents();
		}
		if (!problem) return undefined;
		if ([500, 502, 504].includes(status) && !entry.doubtful.includes(url)) entry.doubtful.push(url);
		if (status === 410) this.#accept(entry, undefined, new Headers(), url);
		else if (problem.type === '/problems/skipped') this.#end(entry, SKIPPED, problem);
		else if (!isFinal(status)) return problem;
		else this.#end(entry, REFUSED, entry.doubtful.length ? new Problem(problem.message, { ...problem, doubtful: entry.doubtful }) : problem);
		return undefined;
	}

	#accept(entry, transaction, headers, url) {
		if (!this.#stream) {
			// That node is well: it is read from now.
			this.#at = this.#urls.indexOf(url);
			this.#streamPause.end();
		}
		// If it was known already, it was so at an earlier change.
		const change = changeOf(headers.get('Patchmesh-Change'));
		if (!change || change.process !== entry.change?.process) entry.change = change;
		this.#become(entry.write, ACCEPTED, { transaction });
		this.#store.remove(entry.kept).catch(() => {});
		this.#watch(entry);
		if (this.#dropShown()) this.#show();
		this.#locate();
	}

	/** Takes a write back. */
	#end(entry, status, error) {
		this.#writes = this.#writes.filter(other => other !== entry);
		this.#store.remove(entry.kept).catch(() => {});
		this.#become(entry.write, status, { error, transaction: error.transaction });
		this.#show();
	}

	#become(write, status, members) {
		const before = write.status;
		write.become(status, members);
		this.#setStatus(before === PENDING ? { error: this.status.state === 'online' ? null : this.status.error } : {});
		if (before !== status) for (const callback of [...this.#writeWatchers]) callSafely(callback, write);
	}

	/** Finds out which of the writes that were sent a node has before its stream begins, which then begins with them. */
	async #placeWrites(url, signal) {
		const asked = new Map();
		for (const entry of this.#writes) {
			const { write, kept, change, doubtful } = entry;
			// What a process has accepted first comes first wherever it comes; and of a source, one is sent at a time.
			if (write.status !== PENDING) asked.set(change?.process, entry);
			else if (doubtful.length && !asked.has(kept.source)) asked.set(kept.source, entry);
		}
		for (const entry of asked.values()) await this.#place(entry, url, 0, signal);
	}

	/** Asks a node by which change it has a write. Gives the status of the answer. */
	async #place(entry, url, seconds, signal) {
		const { kept: { source, id }, change: before } = entry;
		const response = await this.#ask(url, `get?source=${encodeURIComponent(source)}&id=${id}&wait=${seconds}s`, { method: 'HEAD', signal });
		const change = changeOf(response.headers.get('Patchmesh-Change'));
		if (response.ok && change && change.process !== before?.process) {
			const isBefore = other => before && other.change?.process === before.process && other.change.number <= before.number;
			for (const other of this.#writes) if (other === entry || isBefore(other)) other.change = change;
		}
		return response.status;
	}

	/** Whether another process has accepted it than the one that is read. */
	#isElsewhere({ write, change, isShown }) {
		return write.status !== PENDING && !isShown && change?.process !== this.#process;
	}

	/** Waits until the node that is read has the writes that others have accepted. */
	async #locate() {
		if (this.#isLocating) return;
		this.#isLocating = true;
		for (let entry; this.#stream && this.#process && (entry = this.#writes.findLast(entry => this.#isElsewhere(entry)));) {
			const url = this.status.node;
			try {
				// The one that has accepted it may be gone.
				if (url && await this.#place(entry, url, HEARSAY_S, this.#stream.signal) === 504) await this.#post(entry, url);
			} catch {
				// The stream may be at its end.
			}
			if (this.#isElsewhere(entry) && !this.#isClosed) await this.#locatePause.wait(delayOf(FIRST_DELAY_MS, 1));
			if (this.#dropShown()) this.#show();
		}
		this.#isLocating = false;
	}

	// -- What becomes of accepted writes

	#watch(entry) {
		this.#watched.add(Object.assign(entry, { since: Date.now() }));
		if (this.#watched.size > MOST_WATCHED) this.#unwatch(this.#watched.values().next().value);
		this.#lookAfter(entry, FIRST_LOOK_MS);
	}

	#unwatch(entry) {
		clearTimeout(entry.timer);
		this.#watched.delete(entry);
	}

	#lookAfter(entry, ms) {
		clearTimeout(entry.timer);
		entry.due = Date.now() + ms;
		entry.timer = setTimeout(() => this.#lookAt(entry), ms);
	}

	/** Something has changed: what may have been skipped by that is asked for soon, the youngest first. */
	#look() {
		for (const entry of [...this.#watched].slice(-10)) if (entry.due > Date.now() + FIRST_LOOK_MS) this.#lookAfter(entry, FIRST_LOOK_MS);
	}

	async #lookAt(entry) {
		const { write, kept: { source, id }, since } = entry, url = this.status.node;
		try {
			if (url) this.#judge(entry, await this.#ask(url, `transaction?source=${encodeURIComponent(source)}&id=${id}&because=false`, { signal: AbortSignal.timeout(ANSWER_MS) }));
		} catch {
			// It is asked again.
		}
		const age = Date.now() - since;
		if (this.#isClosed || !this.#watched.has(entry)) return;
		if (write.status === COMMITTED || age > WATCH_MS) this.#unwatch(entry);
		else this.#lookAfter(entry, Math.max(FIRST_LOOK_MS, age));
	}

	async #judge(entry, response) {
		const { write } = entry;
		// It is final, and no longer known whether it was applied.
		if (response.status === 410) this.#unwatch(entry);
		if (!response.ok) return;
		const { state, committed, reason, operation, path } = await response.json(), isSkipped = state === 'skipped' || state === 'void';
		if (isSkipped) {
			const error = new Problem(`the transaction is skipped: ${reason}`, { status: 409, type: '/problems/skipped', operation, path, reason });
			this.#end(entry, SKIPPED, error);
			if (committed) this.#unwatch(entry);
		} else this.#become(write, committed ? COMMITTED : ACCEPTED);
	}
}

// ---- What has changed, and what there is, for whoever draws it

/** The names of an object of more than so many are sorted once; after more changes than these at once, again. */
const WIDE = 256;
const MANY = 100;

/** This part and all in it. */
export const ALL = { get: () => ALL };
/** This part was written. */
export const HERE = { get: () => ALL };

/** Where a name is in these, or would be. */
export function placeOf(names, name) {
	let low = 0;
	for (let high = names.length; low < high;) {
		const middle = (low + high) >> 1;
		if (names[middle] < name) low = middle + 1;
		else high = middle;
	}
	return low;
}

/** What operations have touched in a document since that was last taken, and the names of its objects in their order. */
export class Touched {
	#parts;
	#names = new WeakMap();

	/** Whether something was touched. */
	get isAny() {
		return this.#parts !== undefined;
	}

	/** The names of an object in their order. */
	namesOf(object) {
		const known = this.#names.get(object), names = known ?? Object.keys(object).sort();
		if (!known && names.length > WIDE) this.#names.set(object, names);
		return names;
	}

	/** Takes note of operations that have led to this document. */
	note(operations, document) {
		const isShift = ({ op, path }) => op === 'move' || (op !== 'replace' && /\/\d+$/.test(path)), hasMore = this.isAny || operations.length > 1 || operations[0]?.op === 'move', isShifted = hasMore && operations.some(isShift);
		// What was named may be elsewhere by now, or it takes less time to sort all.
		if (isShifted || operations.length > MANY) this.#names = new WeakMap();
		for (const { op, path } of changesOf(operations)) {
			const tokens = tokensOf(path), name = tokens.at(-1), into = path && lookUp(document, tokens.slice(0, -1)), names = this.#names.get(into);
			if (names) {
				const at = placeOf(names, name), isKnown = names[at] === name;
				if (isKnown !== Object.hasOwn(into, name)) names.splice(at, isKnown ? 1 : 0, ...isKnown ? [] : [name]);
			}
			this.#touch(isShifted && Array.isArray(into) && op !== 'replace' ? tokens.slice(0, -1) : tokens);
		}
	}

	/** Takes note that all may be another. */
	noteAll() {
		this.#parts = ALL;
	}

	#touch(tokens) {
		if (!tokens.length) this.#parts = HERE;
		let parts = this.#parts ??= new Map();
		for (const [i, token] of tokens.entries()) {
			const next = parts.get(token) ?? new Map();
			if (!(parts instanceof Map && next instanceof Map)) return;
			parts.set(token, i === tokens.length - 1 ? HERE : next);
			parts = next;
		}
	}

	/** Gives what was touched, and forgets it: maps by names and positions (as texts), `HERE` or `ALL`; undefined if nothing was. */
	take() {
		const parts = this.#parts;
		this.#parts = undefined;
		return parts;
	}
}

/**
 * Where a text is in the names and plain values of a document, whether its letters are large or small: the labels of each, in
 * the order of the document. It looks for `slice` milliseconds at a time.
 *
 * @param {Json} document
 * @param {string} text
 * @param {{ most: number, slice?: number, namesOf?: (object: Json) => string[], isWanted?: () => boolean }} options how many at
 *   most; `isWanted` ends it early, and then nothing is given
 * @returns {Promise<(string | number)[][] | undefined>}
 */
export async function find(document, text, { most, slice = 10, namesOf = object => Object.keys(object).sort(), isWanted = () => true }) {
	const wanted = text.toLowerCase(), has = one => String(one).toLowerCase().includes(wanted), matches = [];
	const enter = value => ({ value, names: Array.isArray(value) ? null : namesOf(value), next: 0, label: undefined });
	const way = isContainer(document) ? [enter(document)] : [];
	for (let until = performance.now() + slice; way.length && matches.length < most;) {
		if (performance.now() > until) {
			await new Promise(resolve => setTimeout(resolve));
			if (!isWanted()) return undefined;
			until = performance.now() + slice;
		}
		const here = way.at(-1), { value, names } = here, at = here.next++, label = here.label = names ? names[at] : at, inner = childOf(value, label);
		if (at >= (names ?? value).length) way.pop();
		else if (inner !== undefined && ((names && has(label)) || (!isContainer(inner) && has(inner)))) matches.push(way.map(({ label }) => label));
		if (isContainer(inner)) way.push(enter(inner));
	}
	return matches;
}

// ---- The history

/** How many transactions that have come since are read; of more, only the last of all are. */
const MOST_NEW = 5000;
/** A longer payload is left out of a history's rows. */
const LONG_PAYLOAD = 65_536;

/** By what nodes count a transaction: its name, unless a node has stamped it for somebody else. */
export const stampOf = ({ Source: source, Id: id, By: stamp }) => stamp ?? [source, id];

/** The order of two transactions that no commit covers. */
function inOrder(one, other) {
	const [source, id] = stampOf(one), [otherSource, otherId] = stampOf(other);
	return one.Time - other.Time || (source > otherSource) - (source < otherSource) || id - otherId;
}

/**
 * The last transactions of a node's history, in its order. They are read once, and go on by what the journal has got since:
 * what comes late slips in, and what a commit covers comes before what is tentative.
 */
export class History {
	/** The node's source. @type {string | undefined} */
	source;
	/**
	 * The last transactions, with their `position` in the journal, their `index` here, as which of these they `came`, and before
	 * how many that came before them they count (`late`). A long `Payload` is left out. @type {Json[]}
	 */
	rows = [];
	/** How many transactions the history has, the first that is more than a document, and how many are final. */
	length = 0;
	begins = 0;
	committed = 0;
	/** How many records the journal has. */
	position = 0;
	/** The last commit. @type {{ source: string, id: number } | undefined} */
	commit;
	#ask;
	#most;

	/**
	 * @param {(path: string) => Promise<Json[]>} ask gives the lines of an answer of the node, or throws an error with its `status`
	 * @param {number} most how many transactions are kept
	 */
	constructor(ask, most = 500) {
		this.#ask = ask;
		this.#most = most;
	}

	/**
	 * Reads what has come. Says whether that was `more`, or all was read `anew`; nothing if there was nothing.
	 *
	 * @param {Json} peers what `GET /peers` has just answered
	 */
	async read(peers) {
		const { source, position, begins, commit } = peers;
		// Another source is another life of the node's journal; a shorter journal is an older copy; with another
		// primary the order may be another one.
		const goesOn = source === this.source && position >= this.position && commit?.source === this.commit?.source;
		this.begins = begins;
		if (goesOn && position === this.position) return null;
		const isMore = goesOn && await this.#readOn(peers);
		if (!isMore) await this.#readAnew(peers);
		this.#number();
		return isMore ? 'more' : 'anew';
	}

	#number() {
		const { rows } = this, base = this.length - rows.length;
		for (let i = rows.length - 1, least = Infinity; i >= 0; i--) {
			const row = rows[i], { position } = row;
			row.index = base + i;
			row.late = least < position ? rows.slice(i + 1).filter(other => other.position < position).length : 0;
			least = Math.min(least, position);
		}
		// Of what came in between, commits count nowhere.
		for (const [i, row] of [...rows].sort((one, other) => one.position - other.position).entries()) row.came = base + i;
	}

	/** The end of the history as it was then; what has come meanwhile is read after it. */
	async #readAnew({ source, position, length, begins, commit, committed }) {
		const from = Math.max(begins, length - this.#most), read = [];
		while (from + read.length < length) {
			const lines = await this.#ask(`history?from=${from + read.length}&limit=1000`);
			if (!lines.length) break;
			read.push(...lines);
		}
		const rows = read.filter(row => row.position < position).map(lighten), final = rows.filter(row => row.committed).length;
		Object.assign(this, { source, rows, length, position, commit: commit ?? undefined, committed: final ? length - rows.length + final : committed });
	}

	/**
	 * Reads the journal on. Says whether what there is is known now: not if more is gone, or has come, than is read here, nor
	 * if some of it counts nowhere.
	 */
	async #readOn({ position, length, committed }) {
		if (position - this.position > MOST_NEW) return false;
		while (this.position < position) {
			const lines = await this.#ask(`log?from=${this.position}&limit=${position - this.position}`).catch(error => {
				if (error.status !== 410) throw error;
				return [];
			});
			if (!lines.length) return false;
			for (const line of lines) this.#add(line);
		}
		return this.length === length && this.committed === committed;
	}

	#add(row) {
		const { rows } = this, base = this.length - rows.length;
		row.position = this.position++;
		if (row.Commit) {
			this.#pass(row);
			return;
		}
		this.length++;
		let at = rows.length;
		// Nothing comes before what is final.
		while (at && base + at > this.committed && inOrder(rows[at - 1], row) > 0) at--;
		// What is before the first of many is not kept.
		if (at || base <= this.begins || !rows.length) rows.splice(at, 0, lighten(row));
		if (rows.length > this.#most) rows.shift();
	}

	/** What a commit covers comes first of what was tentative. */
	#pass({ Source: source, Id: id, Commit: { Clock: clock } }) {
		if (source !== this.commit?.source) return;
		const base = this.length - this.rows.length, from = Math.max(0, this.committed - base), tentative = this.rows.slice(from);
		const isCovered = row => {
			const [source, id] = stampOf(row);
			return Object.hasOwn(clock, source) && clock[source] > id;
		};
		const final = tentative.filter(isCovered);
		this.rows = [...this.rows.slice(0, from), ...final, ...tentative.filter(row => !isCovered(row))];
		this.commit = { source, id };
		this.committed = base + from + final.length;
	}
}

const lighten = row => row.Payload.length > LONG_PAYLOAD ? Object.assign(row, { Payload: undefined }) : row;

// ---- The mesh

/** A node says something every ten seconds; one that says nothing for so long is silent. */
const SILENT_MS = 20_000;
/** What a node told longer ago is not taken for what is so now. */
const TOLD_MS = 60_000;
/** Who reads a node may be away for so long. */
const UNREAD_MS = 8000;
/** Who lacks something for so long lags; what others lack is told every thirty seconds at least. */
const LAG_MS = 3000;
const LAG_TOLD_MS = 31_000;

/** How bad it is, the best last. */
const TONES = ['bad', 'warn', 'good', 'quiet'];
const toneOf = how => ({ down: 'bad', differs: 'bad', silent: 'warn', lags: 'warn', unread: 'warn', up: 'good' })[how] ?? 'quiet';
/** Sorts what has a tone, the worst first. */
export const byTone = (one, other) => TONES.indexOf(one.tone) - TONES.indexOf(other.tone);

const baseOf = name => name.split('~')[0];
/** Names of nodes in words. */
export function listed(nodes) {
	const names = [...new Set(nodes)].map(({ short }) => short);
	return names.length > 3 ? `${names.slice(0, 2).join(', ')} and ${names.length - 2} others` : names.join(', ').replace(/, (?=[^,]*$)/, ' and ');
}

/**
 * A node reads another one.
 *
 * @typedef {object} MeshLink
 * @property {MeshNode} from who reads
 * @property {MeshNode} to whom
 * @property {number} told how many milliseconds ago that was told; 0 if the node that is asked knows it itself
 * @property {'up' | 'lags' | 'silent' | 'down' | 'differs' | 'not known' | 'connecting'} how
 * @property {'bad' | 'warn' | 'good' | 'quiet'} tone how bad that is
 * @property {boolean} isUp
 * @property {boolean} isLost whether it is down or silent
 * @property {number} quiet for how many milliseconds nothing was heard, or it is down
 */

/**
 * A node, as far as it is known, with what `GET /mesh` tells of it.
 *
 * @typedef {object} MeshNode
 * @property {string} name its source, or its address if no more is known
 * @property {string} short the shortest name by which it is told from the others
 * @property {number} told how many milliseconds ago it told of itself; Infinity if never
 * @property {MeshLink[]} reads
 * @property {MeshLink[]} readers
 * @property {'up' | 'lags' | 'unread' | 'silent' | 'down' | 'differs' | 'not known'} how
 * @property {'bad' | 'warn' | 'good' | 'quiet'} tone how bad that is
 * @property {boolean} isGone whether all who read it say that it is down or silent
 * @property {boolean} isEqual whether it has the same document as the node that is asked
 * @property {number} heard when it was last heard, in microseconds since 1970; 0 if never
 */

/** Who there is in a mesh, who reads whom, and what is wrong: what a node knows itself, and what others have told it. */
export class Mesh {
	/** The node that is asked first, by their names. @type {Map<string, MeshNode>} */
	nodes = new Map();
	/**
	 * What is wrong, the worst first: what in words, and why in words and times (microseconds since 1970).
	 *
	 * @type {{ tone: string, what: string, why: (string | number)[] }[]}
	 */
	wrong = [];
	/** Since when something is so that is no trouble for a moment. */
	#sinces = new Map();
	#now = 0;

	/**
	 * Takes what the node has answered.
	 *
	 * @param {Json} peers to `GET /peers`
	 * @param {Json} mesh to `GET /mesh`
	 * @param {number} now its time, in milliseconds since 1970
	 */
	read(peers, mesh, now = peers.time / 1000) {
		this.#now = now;
		this.nodes = new Map();
		const self = this.#gather(peers, mesh);
		const forms = ({ name }) => [/:\d+$/.exec(baseOf(name))?.[0] ?? baseOf(name), baseOf(name), name];
		const all = [...this.nodes.values()], taken = all.flatMap(node => [...new Set(forms(node))]);
		// What one told that is frozen or dead itself is no sign that another one lives.
		const doubtful = new Set(all.flatMap(node => node.reads).filter(link => link.isLost && link.to !== self).map(link => link.to));
		for (const node of all) {
			node.short = forms(node).find(form => taken.indexOf(form) === taken.lastIndexOf(form)) ?? node.name;
			this.#judge(node, self, doubtful, peers.was_read);
		}
		this.wrong = this.#findWrong(peers.was_read);
	}

	#age(micros) {
		return Math.max(0, this.#now - micros / 1000);
	}

	/** When that was, in microseconds, to the second: it is said again and again, and should be the same. */
	#ago(ms) {
		return Math.round((this.#now - ms) / 1000) * 1e6;
	}

	#lasts(key, is, ms) {
		if (!is) this.#sinces.delete(key);
		else if (!this.#sinces.has(key)) this.#sinces.set(key, this.#now);
		return is && this.#now - this.#sinces.get(key) >= ms;
	}

	#node(name, address) {
		if (!this.nodes.has(name)) this.nodes.set(name, { name, address, told: Infinity, reads: [], readers: [] });
		return this.nodes.get(name);
	}

	/** Finds the nodes and the links. Gives the node that was asked. */
	#gather({ source, upstreams, downstreams }, { nodes: [own, ...others] }) {
		const self = Object.assign(this.#node(source), own, { told: 0, reads: [], readers: [] }), links = upstreams.map(read => [self, { ...read, told: 0 }]);
		for (const { node: name, told_ms: told, reads, ...facts } of others) {
			// One that has lost its journal goes on as another one.
			const isAnotherNow = other => other.told_ms < told && other.address === facts.address && baseOf(other.node) === baseOf(name);
			if (told > TOLD_MS && others.some(isAnotherNow)) continue;
			const from = Object.assign(this.#node(name), facts, { told });
			for (const read of reads) {
				// Who reads the node that is asked is known there.
				if (read.node === source && read.state === 'connected') continue;
				links.push([from, { ...read, told, since: this.#ago(read.since_ms + told), heard: read.heard_ms == null ? null : this.#ago(read.heard_ms + told) }]);
			}
		}
		for (const reader of downstreams.filter(({ kind }) => kind === 'node')) {
			const from = this.#node(reader.node);
			from.heardOf = this.#age(reader.heard);
			links.push([from, { ...reader, told: 0, state: 'connected', node: null, address: null, to: self }]);
		}
		const names = new Map(links.map(([, { node, address }]) => [address, node]).filter(([, node]) => node));
		for (const [from, read] of links) {
			const to = read.to ?? this.#node(read.node ?? names.get(read.address) ?? read.address, read.address);
			if (from === to) continue;
			const link = this.#judgeLink({ ...read, from, to });
			from.reads.push(link);
			to.readers.push(link);
		}
		return self;
	}

	/** A node says something every ten seconds; a plain one need not. */
	#judgeLink(link) {
		const { from, to, told, state, behind, agrees, divergence, error, node } = link, isConnected = state === 'connected';
		const quiet = this.#age(isConnected ? link.heard : link.since), isDown = state === 'waiting' || (state === 'connecting' && error);
		const lags = this.#lasts(`${from.name} ${to.name}`, isConnected && behind > 0, told ? LAG_TOLD_MS : LAG_MS);
		let how = state;
		if (told > TOLD_MS) how = 'not known';
		else if (divergence || agrees === false) how = 'differs';
		else if (isDown) how = 'down';
		else if (node && quiet - told > SILENT_MS) how = 'silent';
		else if (isConnected) how = lags ? 'lags' : 'up';
		return Object.assign(link, { how, tone: toneOf(how), quiet, isUp: isConnected && how !== 'not known', isLost: how === 'down' || how === 'silent' });
	}

	/** It is gone if nobody who reads it hears of it, and it has told nothing since. */
	#judge(node, self, doubtful, wasRead) {
		const { told, hash } = node, isFresh = link => link.told < TOLD_MS && (!link.told || !doubtful.has(link.from)), reads = node.reads.filter(isFresh), readers = node.readers.filter(isFresh);
		const isSelf = node === self, lost = readers.filter(link => link.isLost), lostAt = link => this.#age(link.how === 'down' ? link.since : link.heard ?? link.since);
		const isGone = !isSelf && lost.length > 0 && lost.length === readers.length && Math.min(told, node.heardOf ?? told) + 2000 >= Math.min(...lost.map(lostAt));
		const isSame = !!hash && hash.clock === self.hash?.clock, lag = reads.find(link => link.how === 'lags')?.behind;
		// A node is to be read if it takes part.
		const takesPart = isSelf ? reads.some(link => link.tone !== 'quiet' && (link.node || link.how === 'down')) : told < TOLD_MS;
		const unreadTime = !isSelf ? TOLD_MS : wasRead ? UNREAD_MS : 0;
		const isUnread = this.#lasts(node.name, !isGone && !readers.some(link => link.isUp) && takesPart, unreadTime);
		let how = 'not known';
		if (isGone) how = lost.every(link => link.how === 'down') ? 'down' : 'silent';
		else if ((isSame && hash.state !== self.hash.state) || [...reads, ...readers].some(link => link.how === 'differs')) how = 'differs';
		else if (told < TOLD_MS || (told === Infinity && readers.some(link => link.isUp))) how = lag ? 'lags' : isUnread ? 'unread' : 'up';
		const isEqual = how !== 'differs' && !isSelf && (isSame || readers.some(link => link.from === self && link.isUp && link.agrees));
		Object.assign(node, { how, tone: toneOf(how), isSelf, isGone, isUnread, isEqual, lag, lost, heard: Math.max(...readers.map(link => link.heard ?? 0), 0) });
	}

	#findWrong(wasRead) {
		const wrong = [], add = (tone, what, ...why) => wrong.push({ tone, what, why }), nodes = [...this.nodes.values()];
		for (const node of nodes) {
			const { short, how, isGone, isUnread, lost, heard, tone, address, told, lag } = node, because = error => error ? `: ${error}` : '';
			if (isGone) {
				const who = `, ${lost.length > 1 ? 'say' : 'says'} ${listed(lost.map(link => link.from))}${because(lost.find(link => link.error)?.error)}`;
				add(tone, `${short} is ${how}`, `${address && address !== short ? `${address}, ` : ''}${heard ? 'last heard ' : 'never heard'}`, heard || '', who);
				continue;
			}
			if (how === 'differs') add(tone, `${short} differs`, 'It has the same transactions as another node, and another document.');
			else if (how === 'not known' && told < Infinity) add(tone, `${short} tells nothing`, 'Since ', this.#ago(told));
			if (lag) add('warn', `${short} lags`, `It lacks ${lag} transaction${lag === 1 ? '' : 's'} at most.`);
			if (isUnread) add('warn', `No node reads ${short}`, `${node === nodes[0] && wasRead === false ? 'None has done so. ' : ''}What is written there gets no further until another node names it as its peer.`);
			for (const how of ['down', 'silent']) {
				const links = lost.filter(link => link.how === how), [{ tone, error } = {}] = links, isDown = how === 'down';
				if (!links.length) continue;
				const words = isDown ? 'cannot read' : links.length > 1 ? 'hear nothing of' : 'hears nothing of', times = links.map(link => (isDown ? link.since : link.heard) ?? Infinity);
				add(tone, `${listed(links.map(link => link.from))} ${words} ${short}`, 'Since ', Math.min(...times), because(error));
			}
		}
		const primaries = nodes.filter(node => node.primary && !node.isGone && node.told < TOLD_MS);
		if (primaries.length > 1) add('bad', 'There is more than one primary', listed(primaries));
		return wrong.sort(byTone);
	}
}

function textOf(value) {
	const text = stringify(value);
	if (text === undefined) throw new Problem('the value is none that JSON has');
	return text;
}

// ---- Values of any size

/** How long a patch is of several that set a value: few are needed, and others have their turn in between. */
const PIECE = 1 << 18;
/** How many bytes a patch has at most: the node's limit. */
const MAX_PAYLOAD = 1 << 20;
/** How long is worked until others have their turn. */
const TURN_MS = 12;

/** The text of a value if it has at most so many characters. Little more than that is looked at. */
function textWithin(value, most, depth) {
	let left = most;
	const take = (value, depth) => {
		if (typeof value === 'number' && !isFinite(value)) throw doesNotApply('a number in it is too large');
		left -= typeof value === 'string' ? value.length : 1;
		if (!isContainer(value)) return;
		if (depth >= MAX_DEPTH) throw doesNotApply('the document would be nested too deep');
		for (const name in value) {
			left -= Array.isArray(value) ? 1 : name.length;
			if (left < 0) return;
			take(value[name], depth + 1);
		}
	};
	take(value, depth);
	const text = left < 0 ? undefined : stringify(value);
	return text?.length <= most ? text : undefined;
}

/** Operations, as texts: what is too long for one is set empty, and then what is in it. */
function* operationsOf(tokens, value, op = 'add') {
	const path = pointerOf(tokens), text = textWithin(value, PIECE, tokens.length), isOpen = text === undefined && isContainer(value);
	const operation = `${stringify({ op, path }).slice(0, -1)},"value":${text ?? (isOpen ? stringify(Array.isArray(value) ? [] : {}) : stringify(value))}}`;
	if (text === undefined && !isOpen && new TextEncoder().encode(operation).length > MAX_PAYLOAD - 2) {
		throw new Problem(`the value at ${quote(path)} is too long for a transaction, and cannot be cut`, { status: 413, path });
	}
	if (isOpen && tokens.at(-1) === '-') throw new Problem('a value that is cut needs a place with a name or an index, and not -', { status: 413, path });
	yield operation;
	if (isOpen) for (const name in value) yield* operationsOf([...tokens, name], value[name]);
}

/**
 * Patches, as texts, that set the value at a pointer one after the other, however large it is. The first one begins with
 * `tests`, and has the operation `op` in place of `add`. It works in turns, so that a page lives meanwhile.
 *
 * @param {string} pointer
 * @param {Json} value
 * @param {{ op?: string, tests?: Operation[] }} [how]
 * @throws {Problem} what is in it and fits into no transaction
 */
export async function* cut(pointer, value, { op, tests = [] } = {}) {
	let patch = tests.map(stringify).join(), isBegun = false, since = 0;
	for (const operation of operationsOf(tokensOf(pointer), value, op)) {
		if (performance.now() - since > TURN_MS) {
			await (globalThis.scheduler?.yield?.() ?? new Promise(resolve => setTimeout(resolve)));
			since = performance.now();
		}
		// What is tested and what is written first are one transaction.
		if (isBegun && patch.length + operation.length > PIECE) {
			yield `[${patch}]`;
			patch = '';
		}
		patch += (patch && ',') + operation;
		isBegun = true;
		if (patch.length > PIECE && new TextEncoder().encode(patch).length > MAX_PAYLOAD - 2) throw new Problem('what is tested and what is set are together too long for a transaction', { status: 413 });
	}
	yield `[${patch}]`;
}

/**
 * Sets the value at a pointer, however large it is, in as many transactions as that takes; others see it arrive in pieces.
 * Each has one effect, however often it must be sent until it is answered.
 *
 * @param {string} url of a node
 * @param {string} pointer
 * @param {Json} value
 * @param {{ token?: string, name?: string, op?: string, tests?: Operation[], signal?: AbortSignal, onProgress?: (taken: number, error: Error | null) => void }} [options]
 *   as for `connect` and `cut`; what ends it; and what is called with how many are taken, and why it waits
 * @returns {Promise<{ source: string, id: number }>} the last transaction
 * @throws {Problem} why one is refused: those before it are taken
 */
export async function importValue(url, pointer, value, { token, name = 'js', signal, onProgress = () => {}, ...how } = {}) {
	const source = `${name}~${draw(8)}`;
	let id = 0;
	for await (const body of cut(pointer, value, how)) {
		const headers = { 'Content-Type': 'application/json-patch+json', 'Patchmesh-Source': source, 'Patchmesh-Id': String(++id), Prefer: 'return=minimal', ...authorization(token) };
		for (let fails = 0, error = true; error; fails++) {
			signal?.throwIfAborted();
			const patience = AbortSignal.timeout(WRITE_MS);
			error = await fetch(new URL('replace', url), { method: 'POST', body, headers, signal: signal && AbortSignal.any?.([signal, patience]) || patience })
				.then(response => response.ok || response.status === 410 ? null : problemOf(response), error => error);
			if (isFinal(error?.status) || [401, 403].includes(error?.status)) throw error;
			onProgress(id - (error ? 1 : 0), error);
			if (error) await new Promise(resolve => setTimeout(resolve, delayOf(FIRST_DELAY_MS, fails)));
		}
	}
	return { source, id };
}

/**
 * Gives a live document.
 *
 * @param {string | string[]} [urls] nodes of one mesh; the one from which this module came if there are none
 * @param {Options} [options]
 */
export function connect(urls = new URL('.', import.meta.url).href, options = {}) {
	const all = [urls].flat();
	if (!all.length) throw new Problem('there is no URL of a node');
	return new LiveDocument(all, options);
}
