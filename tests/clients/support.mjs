// A server for one test, and the model's side of a conversation as --script wants it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export const MODEL = 'ds4-nano';
const { DS4, CLIENTS } = process.env;
assert(DS4 && CLIENTS, 'run these with tests/clients/run.sh');

// From where run.sh installed it.
export const load = createRequire(join(CLIENTS, 'package.json'));
export const loadModule = (name) => import(pathToFileURL(load.resolve(name)));
export const program = (name) => join(CLIENTS, 'node_modules', '.bin', name);

// A new folder below the build folder (Codex wants none below /tmp).
export function newFolder(name) {
    mkdirSync(join(CLIENTS, 'work'), { recursive: true });
    return mkdtempSync(join(CLIENTS, 'work', `${name}-`));
}

// ---- what the model writes --------------------------------------------------------------------------

const parameter = (name, value) => {
    const isText = typeof value === 'string';
    return `<｜DSML｜parameter name="${name}" string="${isText}">${isText ? value : JSON.stringify(value)}</｜DSML｜parameter>\n`;
};
export const invoke = (name, values) =>
    `<｜DSML｜invoke name="${name}">\n${Object.entries(values).map(([k, v]) => parameter(k, v)).join('')}</｜DSML｜invoke>\n`;
export const calls = (...invokes) => `\n\n<｜DSML｜tool_calls>\n${invokes.join('')}</｜DSML｜tool_calls>`;
// Behind a forced start: `...invoke name="NAME">\n` is there already.
export const restOfCall = (values) =>
    `${Object.entries(values).map(([k, v]) => parameter(k, v)).join('')}</｜DSML｜invoke>\n</｜DSML｜tool_calls>`;
export const thinking = (reasoning, answer) => `${reasoning}</think>${answer}`;

// ---- the server -------------------------------------------------------------------------------------

// Resolves with the URL, or rejects with what the server said.
function started(child, said) {
    return new Promise((resolve, reject) => {
        child.stderr.on('data', (bytes) => {
            said.text += bytes;
            const url = / listens at (http:\S+),/.exec(said.text);
            if (url) resolve(url[1]);
        });
        child.on('error', reject);
        child.on('exit', (code) => reject(new Error(`ds4 serve ended with ${code}: ${said.text}`)));
    });
}

// use(url, process) with a server that answers with the blocks, or, if they are null, with what the model says.
export async function served(blocks, use, options = []) {
    const folder = newFolder('server');
    const script = join(folder, 'script');
    if (blocks) writeFileSync(script, `${blocks.join('\n---\n')}\n`);
    const said = { text: '' };
    const child = spawn(DS4, ['serve', '--model', 'nano', '--port', '0', ...(blocks ? ['--script', script] : []), ...options], {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { PATH: process.env.PATH, HOME: folder },
    });
    const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
    try {
        await use(await started(child, said), child);
    } catch (error) {
        error.stack += `\nthe server said: ${said.text}`;
        throw error;
    } finally {
        // a second signal would not let it end in order
        if (!child.killed) child.kill('SIGTERM');
    }
    assert.equal(await ended, 0, said.text);
    rmSync(folder, { recursive: true });
}

// Of /metrics: the value of a line that begins so, 0 without one.
export async function metric(url, name) {
    const text = await (await fetch(`${url}/metrics`)).text();
    const line = text.split('\n').find((l) => l.startsWith(`${name} `));
    return line ? Number(line.slice(name.length + 1)) : 0;
}

export async function collect(stream) {
    const all = [];
    for await (const event of stream) all.push(event);
    return all;
}
