// Connections whose bytes are only looked through: what a client of any product has to do at least.

import { connect } from 'node:net';
import { once } from 'node:events';

import { makeDocument } from './document.js';

export const HOST = '127.0.0.1';

// A reader that says `hello` and from then on hands everything that it hears to `take`. It is one as soon as it has
// heard as many bytes as the document has: no product but Automerge sends less, and that one is read otherwise.
export async function follow(port, hello, take) {
	const size = JSON.stringify(makeDocument()).length;
	const socket = connect(port, HOST);
	await once(socket, 'connect');
	socket.write(hello);
	await new Promise((resolve, reject) => {
		let heard = 0;
		socket.on('data', bytes => {
			heard += bytes.length;
			if (heard >= size) resolve();
			take(bytes);
		});
		socket.on('close', () => reject(new Error('the server closed the connection of a reader')));
		socket.on('error', reject);
	});
	return socket;
}

// The request for a WebSocket, and messages for it. Each is short, and has a mask that changes nothing.
export function webSocketHello(target, opcode, messages) {
	const request =
		`GET ${target} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
		'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n';
	const frames = messages.map(message => {
		if (message.length > 125) throw new Error('such a message needs a longer head');
		return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | message.length, 0, 0, 0, 0]), Buffer.from(message)]);
	});
	return Buffer.concat([Buffer.from(request), ...frames]);
}
