// Hocuspocus, the server of Yjs documents, without an extension that stores them. Its writers are its own providers.

import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider';
import { Server } from '@hocuspocus/server';
import WebSocket from 'ws';
import * as Y from 'yjs';

import { HOST, follow, webSocketHello } from '../wire.js';

const NAME = 'document';

export const title = 'Hocuspocus';

export async function serve(port) {
	const server = new Server({
		address: HOST,
		port,
		quiet: true,
		stopOnSignals: false,
		// Readers say nothing for as long as they last.
		timeout: 3_600_000,
	});
	// The document stays when its first writer is gone.
	await server.hocuspocus.openDirectConnection(NAME);
	await server.listen();
}

async function open(port) {
	const websocketProvider = new HocuspocusProviderWebsocket({
		url: `ws://${HOST}:${port}`,
		WebSocketPolyfill: WebSocket,
	});
	// The list of those who are there is no part of what is measured.
	const provider = new HocuspocusProvider({ websocketProvider, name: NAME, awareness: null });
	provider.attach();
	await new Promise(resolve => provider.on('synced', resolve));
	const close = () => {
		provider.destroy();
		websocketProvider.destroy();
	};
	return { provider, root: provider.document.getMap('document'), close };
}

// Until the server has said that it has the changes.
function taken(provider) {
	return new Promise(resolve => {
		const look = ({ number }) => {
			if (number > 0) return;
			provider.off('unsyncedChanges', look);
			resolve();
		};
		provider.on('unsyncedChanges', look);
	});
}

export async function fill(port, document) {
	const { provider, root, close } = await open(port);
	const done = taken(provider);
	provider.document.transact(() => {
		for (const [name, object] of Object.entries(document)) root.set(name, new Y.Map(Object.entries(object)));
	});
	await done;
	close();
}

// A token, which is empty, and the first step of the sync, with a state vector that knows nothing.
export function reader(port, take) {
	const name = [NAME.length, ...Buffer.from(NAME)];
	const hello = webSocketHello('/', 2, [[...name, 2, 0, 0], [...name, 0, 0, 1, 0]]);
	return follow(port, hello, take);
}

export async function writer(port) {
	const { provider, root } = await open(port);
	return (object, member, value) => {
		const done = taken(provider);
		root.get(object).set(member, value);
		return done;
	};
}

export async function newcomer(port) {
	const { root, close } = await open(port);
	return { value: () => root.toJSON(), close };
}
