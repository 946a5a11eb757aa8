// Processes: how they are started and ended, and what they have used.

import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';

import { HOST } from './wire.js';

// How long a process may take for any one thing, in milliseconds.
const PATIENCE = 120_000;

// What the kernel tells processes' times in (USER_HZ), in milliseconds.
const TICK = 10;

const running = new Set();

function keep(child) {
	running.add(child);
	child.on('exit', () => running.delete(child));
	return child;
}

// What `promise` comes to, unless any process ends before, or it takes too long.
export async function within(what, promise) {
	const stop = new AbortController();
	const fail = new Promise((_, reject) => {
		const timer = setTimeout(() => reject(new Error(`${what}: not within ${PATIENCE / 1000} s`)), PATIENCE);
		stop.signal.addEventListener('abort', () => clearTimeout(timer));
		for (const child of running) {
			const ended = () => reject(new Error(`${what}: a process ended: ${child.spawnargs.join(' ')}`));
			child.on('exit', ended);
			stop.signal.addEventListener('abort', () => child.off('exit', ended));
		}
	});
	try {
		return await Promise.race([promise, fail]);
	} finally {
		stop.abort();
	}
}

export async function freePort() {
	const server = createServer().listen(0, HOST);
	await once(server, 'listening');
	const { port } = server.address();
	server.close();
	await once(server, 'close');
	return port;
}

async function listens(port) {
	for (;;) {
		const socket = connect(port, HOST);
		const connected = await new Promise(resolve => {
			socket.on('connect', () => resolve(true));
			socket.on('error', () => resolve(false));
		});
		socket.destroy();
		if (connected) return;
		await new Promise(resolve => setTimeout(resolve, 50));
	}
}

export async function startServer([program, ...given], port, log) {
	const child = keep(spawn(program, given, { stdio: ['ignore', log, log] }));
	await within('to listen', listens(port));
	return child;
}

export function startClients(product, port) {
	return keep(fork(new URL('clients.js', import.meta.url), [product, String(port)]));
}

// Asks a process of clients.
export async function ask(child, request, values = {}) {
	child.send({ request, ...values });
	const [{ answer }] = await within(request, once(child, 'message'));
	return answer;
}

export async function end(child) {
	child.kill();
	await once(child, 'exit');
}

export function endAll() {
	return Promise.all([...running].map(end));
}

// Processor time used up to now, in milliseconds (proc(5), `utime` and `stime`).
export function used(child) {
	const text = readFileSync(`/proc/${child.pid}/stat`, 'latin1');
	// The name before may have spaces, and ends with the last parenthesis.
	const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
	return (Number(fields[11]) + Number(fields[12])) * TICK;
}

// The most memory that it had at any time, in MiB.
export function peak(child) {
	const text = readFileSync(`/proc/${child.pid}/status`, 'latin1');
	return Number(/^VmHWM:\s*(\d+) kB/m.exec(text)[1]) / 1024;
}
