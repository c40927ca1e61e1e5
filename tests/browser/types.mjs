// The shipped types hold TypeScript programs to the API: what is right compiles in strict mode, what is marked as wrong does not.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const file = (path) => fileURLToPath(new URL(path, import.meta.url));
const ts = createRequire(file('../../.tools/browser/package.json'))('typescript');

/** What was read once: the browser's own types are most of it. */
const parsed = new Map();
const unmarked = (text) => text.replaceAll('@ts-expect-error', '');

/** What the compiler says of programs, by file and line. */
function complaints(names, { like = (text) => text, module = ts.ModuleKind.ESNext, moduleResolution = ts.ModuleResolutionKind.Bundler } = {}) {
  const options = {
    strict: true, noEmit: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, skipDefaultLibCheck: true, types: [],
    target: ts.ScriptTarget.ES2022, lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'], module, moduleResolution,
    paths: { 'https://calls.example.com/offhook.js': [file('../../crates/web/offhook.d.ts')] },
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, readFile } = host;
  host.readFile = (path) => (path.includes('/types/') ? like(readFile(path)) : readFile(path));
  host.getSourceFile = (path, ...more) => {
    if (!/\/lib\.[\w.]+\.d\.ts$/.test(path)) return getSourceFile(path, ...more);
    if (!parsed.has(path)) parsed.set(path, getSourceFile(path, ...more));
    return parsed.get(path);
  };
  const program = ts.createProgram({ rootNames: names.map((name) => file(`types/${name}.ts`)), options, host });
  return ts.getPreEmitDiagnostics(program).map(({ file: of, start, messageText }) => {
    const line = of ? of.getLineAndCharacterOfPosition(start).line + 1 : 0;
    return `${of?.fileName.split('/').at(-1)}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
}

test('right programs of both spellings compile, and what is marked as wrong is wrong', () =>
  assert.deepEqual(complaints(['module', 'global', 'wrong']), []));
test('the same types are found by the rules of Node', () => {
  const { NodeNext } = ts.ModuleKind;
  assert.deepEqual(complaints(['module'], { module: NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext }), []);
});
test('without their marks the wrong lines are refused, each of them', () => {
  const marked = readFileSync(file('types/wrong.ts'), 'utf8').split('@ts-expect-error').length - 1;
  assert.ok(marked > 20, 'the wrong program is there');
  const lines = new Set(complaints(['wrong'], { like: unmarked }).map((text) => text.split(':')[1]));
  assert.equal(lines.size, marked);
});
