'use strict';
// Runs JavaScript for the guest: one interpreter, one piece of code after another.
//
// Descriptor 3 brings requests and descriptor 4 takes events, one JSON object a
// line; package code of the guest describes them. Output is no event: it is what
// the process and its children write to descriptors 1 and 2.
//
// Code runs in the main thread, as in a program. A worker thread drives it
// through the inspector's protocol, for two reasons: the inspector's replMode
// lets const, let and class be declared again and await stand at top level, and
// the worker can terminate what the main thread cannot.

const { isMainThread, Worker, workerData } = require('node:worker_threads');

const MAX_TEXT = 1 << 20; // longest text/plain of a result, in characters
const REQUESTS = 3;
const EVENTS = 4;
const LIMIT = isMainThread ? Number(process.argv[2]) : workerData; // bytes an event may have

if (isMainThread) prepareMain();
else drive();

// prepareMain makes the main thread look to code as if it ran in a program of
// the working directory, and survive what code leaves behind.
function prepareMain() {
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
    if (!(error instanceof ProcessExit)) console.error('Uncaught', error);
  };
  process.on('uncaughtException', report);

  // A rejected promise may still be awaited, as the last value of a run is; so
  // it is reported at the end of the run.
  const rejected = new Map();
  process.on('unhandledRejection', (error, promise) => rejected.set(promise, error));
  process.on('rejectionHandled', (promise) => rejected.delete(promise));

  // The functions the worker calls in this thread.
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

  new Worker(__filename, { workerData: LIMIT });
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

// tidy removes the frames of this file from a stack.
function tidy(stack) {
  return stack
    .split('\n')
    .filter((frame) => !frame.includes(__filename))
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

// drive is the worker: it takes requests and has the main thread carry them out.
function drive() {
  const { Session } = require('node:inspector');
  const { createReadStream } = require('node:fs');
  const { createInterface } = require('node:readline');

  const session = new Session();
  session.connectToMainThread();
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

  async function serve({ code }) {
    const stopped = new Promise((resolve) => {
      interrupted = () => resolve({ error: { name: 'Interrupted', message: 'interrupted', traceback: '' } });
    });
    const failed = (error) => ({ error: { name: 'Error', message: String(error.message ?? error), traceback: '' } });
    const outcome = await Promise.race([run(code).catch(failed), stopped]);
    interrupted = null;
    await settle();
    if (outcome?.result) sendResult(outcome.result, true);
    else if (outcome) send(outcome);
    send({ end: true });
    post('Runtime.releaseObjectGroup', { objectGroup: '' }).catch(() => {});
  }

  // interrupt terminates what the main thread runs. What it merely waits for is
  // given up: the run ends once the main thread answers again.
  async function interrupt() {
    const stop = interrupted;
    if (!stop) return;
    await post('Runtime.terminateExecution');
    stop();
  }

  // settle returns once the main thread is idle, and a termination that found
  // nothing to terminate has been used up.
  async function settle() {
    for (let tries = 0; tries < 3; tries++) {
      const settled = await inMain('end', {}).then(() => true, () => false);
      if (settled) return;
    }
  }

  let calls;
  async function start() {
    const answer = await post('Runtime.evaluate', { expression: "process[Symbol.for('agentbay.calls')]", objectGroup: 'own' });
    calls = answer.result.objectId;
    send({ ready: true });
    let last = Promise.resolve();
    const lines = createInterface({ input: createReadStream(null, { fd: REQUESTS }), crlfDelay: Infinity });
    lines.on('line', (line) => {
      const message = JSON.parse(line);
      if (message.interrupt) interrupt();
      else last = last.then(() => serve(message));
    });
    lines.on('close', () => process.kill(process.pid, 'SIGKILL')); // the guest is gone
  }
  start();
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
