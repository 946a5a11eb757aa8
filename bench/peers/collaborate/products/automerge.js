// Automerge's sync server: automerge-repo with its WebSocket adapter, as in its package automerge-repo-sync-server, but
// in its present version and without storage. Clients use Automerge's own sync, by which each of them answers what it
// gets; they do without the Repo, which would hold each change back for up to 100 ms.

import { createServer } from 'node:http';

import * as Automerge from '@automerge/automerge';
import { Repo, stringifyAutomergeUrl } from '@automerge/automerge-repo';
import { WebSocketServerAdapter } from '@automerge/automerge-repo-network-websocket';
import { decode, encode } from 'cbor-x';
import WebSocket, { WebSocketServer } from 'ws';

import { HOST } from '../wire.js';

const DOCUMENT = stringifyAutomergeUrl(new Uint8Array(16).fill(7)).replace('automerge:', '');

export const title = 'Automerge';

export async function serve(port) {
	const server = createServer();
	// Clients that share the machine with a busy server may be late to answer its pings.
	const adapter = new WebSocketServerAdapter(new WebSocketServer({ server }), 3_600_000);
	new Repo({ network: [adapter], peerId: 'server', sharePolicy: async () => false });
	server.listen(port, HOST);
}

// A text that is replaced as a whole, as the texts of JSON are; a plain one could be written to letter by letter.
function whole(text) {
	return new Automerge.ImmutableString(text);
}

// A client's document, which is kept in step with the server's.
class Replica {
	#state = Automerge.initSyncState();
	#socket;
	#name = `client${process.pid}-${Math.random()}`;
	#settled = () => {};
	#isClosing = false;
	#patchCallback;
	document;

	constructor(port, document, patchCallback) {
		this.document = document;
		this.#patchCallback = patchCallback;
		this.#socket = new WebSocket(`ws://${HOST}:${port}`);
		this.#socket.on('open', () => {
			this.#send({ type: 'join', peerMetadata: {}, supportedProtocolVersions: ['1'] });
		});
		this.#socket.on('message', bytes => this.#receive(decode(bytes)));
		this.#socket.on('close', () => {
			if (!this.#isClosing) throw new Error('the server closed the connection of a client');
		});
	}

	// Until the server has all changes of this one, and this one all that the server has told of.
	settled() {
		return new Promise(resolve => {
			this.#settled = resolve;
		});
	}

	change(callback) {
		this.document = Automerge.change(this.document, callback);
		const done = this.settled();
		this.#advance();
		return done;
	}

	close() {
		this.#isClosing = true;
		this.#socket.close();
	}

	#receive(message) {
		if (message.type === 'peer') return this.#advance();
		if (message.type !== 'sync') throw new Error(`the server said ${message.type}`);
		const options = { patchCallback: this.#patchCallback };
		[this.document, this.#state] = Automerge.receiveSyncMessage(this.document, this.#state, message.data, options);
		this.#advance();
		const theirs = this.#state.theirHeads ?? [];
		const has = theirs.length > 0 && Automerge.hasHeads(this.document, theirs);
		if (has && Automerge.hasOurChanges(this.document, this.#state)) this.#settled();
	}

	// Says what the server should hear, if there is anything.
	#advance() {
		const [state, data] = Automerge.generateSyncMessage(this.document, this.#state);
		this.#state = state;
		if (data === null) return;
		const isEmpty = Automerge.getHeads(this.document).length === 0;
		this.#send({ type: isEmpty ? 'request' : 'sync', targetId: 'server', documentId: DOCUMENT, data });
	}

	#send(message) {
		this.#socket.send(encode({ senderId: this.#name, ...message }));
	}
}

// What the first client of this process has been sent. The others begin with a copy, so that all are there in good time.
let first = null;

async function open(port, take) {
	const replica = new Replica(port, first === null ? Automerge.init() : Automerge.clone(first), take);
	await replica.settled();
	first ??= Automerge.clone(replica.document);
	return replica;
}

export async function fill(port, document) {
	const convert = object => Object.fromEntries(Object.entries(object).map(([name, text]) => [name, whole(text)]));
	const objects = Object.entries(document).map(([name, object]) => [name, convert(object)]);
	const replica = new Replica(port, Automerge.from(Object.fromEntries(objects)));
	await replica.settled();
	replica.close();
}

export async function reader(port, take) {
	return open(port, patches => {
		for (const { value } of patches) {
			if (Automerge.isImmutableString(value)) take(Buffer.from(value.val));
		}
	});
}

export async function writer(port) {
	const replica = await open(port);
	return (object, member, value) => replica.change(document => {
		document[object][member] = whole(value);
	});
}

export async function newcomer(port) {
	const replica = new Replica(port, Automerge.init());
	await replica.settled();
	return { value: () => JSON.parse(JSON.stringify(replica.document)), close: () => replica.close() };
}
