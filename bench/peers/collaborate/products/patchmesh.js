// A patchmesh node, in memory. It is written to by POST and read by event streams.

import { once } from 'node:events';
import { connect } from 'node:net';

import { HOST, follow } from '../wire.js';

const READ = `GET /get HTTP/1.1\r\nHost: ${HOST}\r\nAccept: text/event-stream\r\n\r\n`;

export const title = 'patchmesh';

export function command(port) {
	const program = process.env.PATCHMESH;
	if (!program) throw new Error('PATCHMESH must name a release build of patchmesh');
	return [program, `${HOST}:${port}`];
}

export async function fill(port, document) {
	const patch = [{ op: 'replace', path: '', value: document }];
	const response = await fetch(`http://${HOST}:${port}/replace`, { method: 'POST', body: JSON.stringify(patch) });
	if (!response.ok) throw new Error(`the document was refused: ${await response.text()}`);
}

export function reader(port, take) {
	return follow(port, READ, take);
}

// A writer reads the document live, too, as writers of the others do.
export async function writer(port) {
	await follow(port, READ, () => {});
	const socket = connect(port, HOST).setNoDelay();
	await once(socket, 'connect');
	let heard = '';
	let answered;
	socket.on('data', bytes => {
		heard += bytes.latin1Slice();
		const end = heard.indexOf('\r\n\r\n') + 4;
		if (end < 4) return;
		const length = /^content-length: (\d+)/im.exec(heard.slice(0, end));
		if (heard.length < end + Number(length?.[1] ?? 0)) return;
		if (!heard.startsWith('HTTP/1.1 2')) throw new Error(`a write was refused: ${heard}`);
		heard = '';
		answered();
	});
	return (object, member, value) => {
		const patch = `[{"op":"replace","path":"/${object}/${member}","value":"${value}"}]`;
		const head = `POST /replace HTTP/1.1\r\nHost: ${HOST}\r\nPrefer: return=minimal\r\nContent-Length: ${patch.length}`;
		socket.write(`${head}\r\n\r\n${patch}`);
		return new Promise(resolve => {
			answered = resolve;
		});
	};
}

// The first event is the document.
export async function newcomer(port) {
	const stop = new AbortController();
	const headers = { Accept: 'text/event-stream' };
	const response = await fetch(`http://${HOST}:${port}/get`, { headers, signal: stop.signal });
	const decoder = new TextDecoder();
	let text = '';
	for await (const bytes of response.body) {
		text += decoder.decode(bytes, { stream: true });
		if (bytes.at(-1) === 10 && text.includes('\ndata: ') && text.endsWith('\n\n')) break;
	}
	const data = /^data: (.*)$/m.exec(text);
	const document = JSON.parse(data[1]);
	return { value: () => document, close: () => stop.abort() };
}
