// A product that is a library of JavaScript as a server of its own process: node server.js PRODUCT PORT

const [product, port] = process.argv.slice(2);
const { serve } = await import(`./products/${product}.js`);
await serve(Number(port));
