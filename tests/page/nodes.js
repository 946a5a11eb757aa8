// Starts real nodes and a real browser for the tests and for the picture.
//
// PATCHMESH: the binary. CHROMIUM: the browser's path (default /usr/bin/chromium).

import { spawn } from 'node:child_process';
import { createServer as createTcp } from 'node:net';
import { createServer } from 'node:http';
import { createHash } from 'node:crypto';
import { chromium } from 'playwright-core';

const binary = process.env.PATCHMESH;
if (!binary) {
	console.error('PATCHMESH must be the path of the binary to test');
	process.exit(1);
}

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const running = new Set();

export async function until(what, check, ms = 15000) {
	const end = Date.now() + ms;
	for (let last; ; await sleep(50)) {
		try {
			last = await check();
			if (last) return last;
		} catch (error) {
			last = error;
		}
		if (Date.now() > end) throw new Error(`waited ${ms} ms in vain: ${what} (last: ${last?.message ?? JSON.stringify(last)})`);
	}
}

// A port that was free a moment ago.
export const freePort = () => new Promise(resolve => {
	const server = createTcp().listen(0, '127.0.0.1', () => {
		const { port } = server.address();
		server.close(() => resolve(port));
	});
});

export async function startNode(port, peers = [], ...options) {
	const address = `127.0.0.1:${port}`;
	const child = spawn(binary, [address, ...peers.map(peer => `127.0.0.1:${peer}`), ...options], { stdio: 'ignore' });
	running.add(child);
	const exited = new Promise(resolve => child.once('exit', resolve)).then(() => running.delete(child));
	await until(`node on ${port}`, async () => (await fetch(`http://${address}/healthz`)).ok);
	return { port, url: `http://${address}`, signal: name => child.kill(name), async kill() { child.kill('SIGKILL'); await exited; } };
}

export async function stopNodes() {
	for (const child of [...running]) {
		const exited = new Promise(resolve => child.once('exit', resolve));
		child.kill('SIGKILL');
		await exited;
	}
}

export async function send(node, patch) {
	const response = await fetch(`${node.url}/replace`, { method: 'POST', body: typeof patch === 'string' ? patch : JSON.stringify(patch) });
	if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
	return response.json();
}

// A peer that sends what it is told to: transactions with a Time of one's choice, so that they come late.
export async function startFakePeer() {
	const sent = [], sockets = new Set();
	const frame = text => {
		const body = Buffer.from(text);
		const head = body.length < 126 ? Buffer.from([0x81, body.length]) : Buffer.from([0x81, 126, body.length >> 8, body.length & 255]);
		return Buffer.concat([head, body]);
	};
	const server = createServer((_, response) => response.writeHead(404).end());
	server.on('upgrade', (request, socket) => {
		const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
		socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
		for (const one of sent) socket.write(frame(one));
		sockets.add(socket);
		socket.on('error', () => {}).on('close', () => sockets.delete(socket)).resume();
	});
	await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
	const tell = transaction => {
		const text = JSON.stringify(transaction);
		sent.push(text);
		for (const socket of sockets) socket.write(frame(text));
	};
	return {
		port: server.address().port,
		send(source, id, patch, ms) {
			tell({ Source: source, Id: id, Payload: JSON.stringify(patch), Time: Math.round(ms * 1000) });
		},
		// A commit of a primary, which makes final what the clock has.
		commit(source, id, clock, ms) {
			const time = Math.round(ms * 1000), epoch = Number(source.split('^')[1]);
			tell({ Source: source, Id: id, Payload: '[]', Time: time, Commit: { Epoch: epoch, After: null, Until: time, Clock: clock, Horizon: 2592000 } });
		},
		close() {
			for (const socket of sockets) socket.destroy();
			server.close();
		},
	};
}

export const startBrowser = (...options) => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', ...options] });
