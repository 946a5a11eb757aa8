// A Hocuspocus server of one Yjs document that takes the same writes as a node, over HTTP, and tells its readers.
//
//     NODE_PATH=FOLDER/node_modules node hocuspocus.cjs PORT

const { Server } = require('@hocuspocus/server');

let writer;
const server = new Server({
	address: '127.0.0.1',
	port: Number(process.argv[2]),
	quiet: true,
	stopOnSignals: false,
	// The readers answer no pings, so there are none while they last.
	timeout: 3_600_000,
	async onRequest({ request, response }) {
		let body = '';
		for await (const piece of request) body += piece;
		await writer.transact(document => {
			for (const { path, value } of JSON.parse(body)) document.getMap('document').set(path.slice(1), value);
		});
		response.end();
		// Nothing else is to answer.
		throw null;
	},
	// By this a reader knows that it is one from now on.
	async onStateless({ connection, payload }) {
		connection.sendStateless(payload);
	},
});
server.hocuspocus.openDirectConnection('bench').then(connection => {
	writer = connection;
	return server.listen();
});
