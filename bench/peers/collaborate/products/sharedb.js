// ShareDB over WebSockets, with its database in memory and JSON documents of its type json0. Its writers are its own
// clients.

import { createServer } from 'node:http';

import WebSocketJSONStream from '@teamwork/websocket-json-stream';
import ShareDB from 'sharedb';
import { Connection } from 'sharedb/lib/client/index.js';
import WebSocket, { WebSocketServer } from 'ws';

import { HOST, follow, webSocketHello } from '../wire.js';

const [COLLECTION, ID] = ['bench', 'document'];

export const title = 'ShareDB';

export async function serve(port) {
	const backend = new ShareDB();
	const server = createServer();
	const sockets = new WebSocketServer({ server });
	sockets.on('connection', socket => {
		const stream = new WebSocketJSONStream(socket);
		// A message to a client that has just gone would end the process.
		stream.on('error', () => {});
		backend.listen(stream);
	});
	server.listen(port, HOST);
}

function open(port) {
	const connection = new Connection(new WebSocket(`ws://${HOST}:${port}`));
	return { connection, doc: connection.get(COLLECTION, ID) };
}

// Calls a method of a document, which takes a callback as its last argument.
function called(doc, method, ...given) {
	return new Promise((resolve, reject) => {
		doc[method](...given, error => (error ? reject(error) : resolve()));
	});
}

export async function fill(port, document) {
	const { connection, doc } = open(port);
	await called(doc, 'create', document);
	connection.close();
}

export function reader(port, take) {
	const messages = [{ a: 'hs', id: null, protocol: 1, protocolMinor: 2 }, { a: 's', c: COLLECTION, d: ID, v: null }];
	return follow(port, webSocketHello('/', 1, messages.map(message => JSON.stringify(message))), take);
}

export async function writer(port) {
	const { doc } = open(port);
	await called(doc, 'subscribe');
	return (object, member, value) => {
		const operation = { p: [object, member], od: doc.data[object][member], oi: value };
		return called(doc, 'submitOp', [operation]);
	};
}

export async function newcomer(port) {
	const { connection, doc } = open(port);
	await called(doc, 'subscribe');
	return { value: () => doc.data, close: () => connection.close() };
}
