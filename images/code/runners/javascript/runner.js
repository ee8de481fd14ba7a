'use strict';
// Runs JavaScript for the guest: one interpreter, one piece of code after another.
//
// Descriptor 3 brings requests and descriptor 4 takes events, one JSON object a
// line; package code of the guest describes them. Output is no event: it is what
// the process and its children write to descriptors 1 and 2.
//
// Code runs in the main thread, as in a program, but through the inspector,
// whose replMode lets const, let and class be declared again and await stand at
// top level. A worker thread reads the requests, because it can terminate what
// keeps the main thread from reading anything.

const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

const MAX_TEXT = 1 << 20; // longest text/plain of a result, in characters
const REQUESTS = 3;
const EVENTS = 4;
const LIMIT = Number(process.argv[2]); // bytes an event may have

if (isMainThread) {
  prepare();
  serve();
} else {
  read();
}

// prepare makes the main thread look to code as if it ran in a program of the
// working directory, and survive what code leaves behind.
function prepare() {
  const { createRequire } = require('node:module');
  const { inspect } = require('node:util');

  class ProcessExit extends Error {
    constructor(code) {
      super(`process.exit(${code})`);
      this.name = 'ProcessExit';
      this.code = code;
    }
  }

  globalThis.require = createRequire(process.cwd() + '/');
  globalThis.module = { exports: {}, children: [], paths: [] };
  globalThis.exports = globalThis.module.exports;
  process.argv = [process.argv[0]];
  process.exit = (code = process.exitCode ?? 0) => {
    throw new ProcessExit(Number(code));
  };

  const report = (error) => {
    if (!(error instanceof ProcessExit)) console.error('Uncaught ' + tidy(inspect(error)));
  };
  process.on('uncaughtException', report);

  // A rejected promise may still be awaited, as the last value of a run is; so
  // it is reported at the end of the run.
  const rejected = new Map();
  process.on('unhandledRejection', (error, promise) => rejected.set(promise, error));
  process.on('rejectionHandled', (promise) => rejected.delete(promise));

  const calls = {
    show: (value) => JSON.stringify(mimeBundle(value, inspect)),
    importModule,
    begin: () => rejected.clear(),
    end() {
      rejected.forEach(report);
      rejected.clear();
    },
    exitCode: (value) => (value instanceof ProcessExit ? value.code : -1),
    describe(value) {
      rejected.forEach((error, promise) => error === value && rejected.delete(promise));
      if (value instanceof Error) {
        return JSON.stringify({
          name: String(value.name || 'Error'),
          message: String(value.message),
          traceback: tidy(inspect(value)),
        });
      }
      return JSON.stringify({ name: 'Error', message: 'thrown: ' + inspect(value), traceback: '' });
    },
  };
  Object.defineProperty(process, Symbol.for('agentbay.calls'), { value: calls });

  const display = (value) => sendResult(mimeBundle(value, inspect), false);
  Object.defineProperty(globalThis, 'display', { value: display, writable: true, configurable: true });
}

// importModule is import() as code in the working directory means it.
function importModule(name) {
  const { builtinModules, createRequire } = require('node:module');
  const { pathToFileURL } = require('node:url');
  if (/^[a-z]+:/.test(name) || builtinModules.includes(name)) return import(name);
  return import(pathToFileURL(createRequire(process.cwd() + '/').resolve(name)));
}

// mimeBundle is a value as MIME types: its text, and what its own method
// Symbol.for('Jupyter.display') or toMimeBundle says.
function mimeBundle(value, inspect) {
  const bundle = { 'text/plain': cut(inspect(value)) };
  const own = value?.[Symbol.for('Jupyter.display')] ?? value?.toMimeBundle;
  if (typeof own !== 'function') return bundle;
  for (const [mime, data] of Object.entries(own.call(value) ?? {})) {
    bundle[mime] = data instanceof Uint8Array ? Buffer.from(data).toString('base64') : data;
  }
  return bundle;
}

function cut(text) {
  if (text.length <= MAX_TEXT) return text;
  return text.slice(0, MAX_TEXT) + `… [${text.length - MAX_TEXT} more characters]`;
}

// tidy removes from a stack the frames below the code, which are this file's.
function tidy(stack) {
  let below = false;
  return stack
    .split('\n')
    .filter((text) => {
      below ||= text.startsWith('    at Session.post (node:inspector');
      return !below || !text.startsWith('    at ');
    })
    .join('\n');
}

function send(event) {
  const { writeSync } = require('node:fs');
  let rest = Buffer.from(JSON.stringify(event) + '\n');
  while (rest.length > 0) rest = rest.subarray(writeSync(EVENTS, rest));
}

// sendResult sends a bundle of MIME types, without what is too large to be sent.
function sendResult(bundle, main) {
  let size = 4096;
  for (const mime of Object.keys(bundle)) {
    size += Buffer.byteLength(JSON.stringify(bundle[mime]) ?? '');
    if (size <= LIMIT) continue;
    delete bundle[mime];
    bundle['text/plain'] ??= `[${mime} is too large to be returned: save it to a file instead]`;
    break;
  }
  send({ result: bundle, main });
}

// serve carries out the requests that the worker reads.
function serve() {
  const { Session } = require('node:inspector');
  const session = new Session();
  session.connect();
  const post = (method, params = {}) =>
    new Promise((resolve, reject) => {
      session.post(method, params, (error, answer) => (error ? reject(error) : resolve(answer)));
    });

  let interrupted = null; // ends the run at hand; null between runs

  // evaluate runs code and returns the inspector's answer, with a promise that
  // is the last value awaited.
  async function evaluate(code) {
    const repl = (expression) => post('Runtime.evaluate', { expression, replMode: true, awaitPromise: true });
    let answer = await repl(code);
    if (isModuleSyntax(answer)) answer = await repl(withoutImports(code));
    if (answer.exceptionDetails || answer.result.subtype !== 'promise') return answer;
    return post('Runtime.awaitPromise', { promiseObjectId: answer.result.objectId });
  }

  // inMain calls one of the main thread's functions on a value that lives there.
  async function inMain(name, value) {
    const argument = 'objectId' in value ? { objectId: value.objectId } : primitive(value);
    const answer = await post('Runtime.callFunctionOn', {
      functionDeclaration: `function (calls, value) { return calls.${name}(value); }`,
      objectId: calls,
      arguments: [{ objectId: calls }, argument],
      returnByValue: true,
    });
    if (answer.exceptionDetails) throw new Error(answer.exceptionDetails.exception?.description ?? 'no text');
    return answer.result.value;
  }

  function primitive(value) {
    return 'unserializableValue' in value ? { unserializableValue: value.unserializableValue } : { value: value.value };
  }

  // failureOf describes what was thrown; null if it was only the wish to exit.
  async function failureOf(details) {
    const thrown = details.exception;
    if (!thrown) return { name: 'Error', message: details.text, traceback: '' };
    if (thrown.objectId && (await inMain('exitCode', thrown)) === 0) return null;
    return JSON.parse(await inMain('describe', thrown));
  }

  // run runs code and returns its last event, if it has one.
  async function run(code) {
    await inMain('begin', {});
    const answer = await evaluate(code);
    if (answer.exceptionDetails) {
      const failure = await failureOf(answer.exceptionDetails);
      return failure && { error: failure };
    }
    if (answer.result.type === 'undefined') return null;
    return { result: JSON.parse(await inMain('show', answer.result)), main: true };
  }

  async function carryOut({ code }) {
    const stopped = new Promise((resolve) => {
      interrupted = () => resolve({ error: { name: 'Interrupted', message: 'interrupted', traceback: '' } });
    });
    const failed = (error) => ({ error: { name: 'Error', message: String(error.message ?? error), traceback: '' } });
    const outcome = await Promise.race([run(code).catch(failed), stopped]);
    interrupted = null;
    await inMain('end', {}).catch(() => {});
    if (outcome?.result) sendResult(outcome.result, true);
    else if (outcome) send(outcome);
    send({ end: true });
    post('Runtime.releaseObjectGroup', { objectGroup: '' }).catch(() => {});
  }

  let calls;
  async function start() {
    const answer = await post('Runtime.evaluate', { expression: "process[Symbol.for('agentbay.calls')]", objectGroup: 'own' });
    calls = answer.result.objectId;
    let last = Promise.resolve();
    const seen = new Int32Array(new SharedArrayBuffer(4)); // interrupts that have been dealt with here
    const worker = new Worker(__filename, { workerData: seen });
    worker.on('message', (message) => {
      if (message.code !== undefined) {
        last = last.then(() => carryOut(message));
        return;
      }
      Atomics.add(seen, 0, 1);
      interrupted?.();
    });
    worker.once('online', () => send({ ready: true }));
  }
  start();
}

// read is the worker. An interrupt is left to the main thread if that is merely
// waiting; if it does not take notice, what it runs is terminated.
function read() {
  const { Session } = require('node:inspector');
  const { createReadStream } = require('node:fs');
  const { createInterface } = require('node:readline');

  const session = new Session();
  session.connectToMainThread();
  let interrupts = 0;

  function interrupt() {
    const number = ++interrupts;
    parentPort.postMessage({});
    setTimeout(() => {
      if (Atomics.load(workerData, 0) < number) session.post('Runtime.terminateExecution');
    }, 100);
  }

  const lines = createInterface({ input: createReadStream(null, { fd: REQUESTS }), crlfDelay: Infinity });
  lines.on('line', (line) => {
    const message = JSON.parse(line);
    if (message.interrupt) interrupt();
    else parentPort.postMessage(message);
  });
  lines.on('close', () => process.kill(process.pid, 'SIGKILL')); // the guest is gone
}

function isModuleSyntax({ exceptionDetails }) {
  const text = exceptionDetails?.exception?.description ?? '';
  return text.includes('Cannot use import statement outside a module');
}

// withoutImports is code with its import declarations as await import(…).
function withoutImports(code) {
  const declaration = /(?<=^|;)[ \t]*import\s+(?:([\w$]+)\s*,?\s*)?(?:(\{[^}]*\})|\*\s*as\s+([\w$]+))?(?:\s*from\s*)?(['"][^'"\n]+['"])[ \t]*;?/gm;
  return code.replace(declaration, (_, one, names, all, module) => {
    const imported = `await process[Symbol.for('agentbay.calls')].importModule(${module})`;
    const wanted = [one && `default: ${one}`, names && names.slice(1, -1).replace(/\bas\b/g, ':')];
    if (all) return `const ${all} = ${imported};`;
    return `const {${wanted.filter(Boolean).join(', ')}} = ${imported};`;
  });
}
