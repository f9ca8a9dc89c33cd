// Frameworks over the APIs: each runs a loop in which the model calls a tool that writes a file.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { MODEL, calls, collect, invoke, load, loadModule, metric, newFolder, served, thinking } from './support.mjs';

const CONTENT = 'hello from the model\n';
const TASK = 'Write a greeting into hello.txt.';
const LAST_WORDS = 'The greeting is written.';
const DESCRIPTION = 'Writes a file.';
const SCRIPT = [thinking('A file is wanted.', `I write it.${calls(invoke('write_file', { path: 'hello.txt', content: CONTENT }))}`), LAST_WORDS];
const { z } = load('zod');
const PARAMETERS = z.object({ path: z.string(), content: z.string() });

// converse(url, write) resolves with the last words; write is what the tool does.
function writesAFile(name, api, converse) {
    test(`${name} writes a file`, async () => {
        const folder = newFolder('framework');
        const write = ({ path, content }) => {
            writeFileSync(join(folder, path), content);
            return 'written';
        };
        await served(SCRIPT, async (url) => {
            assert.equal(await converse(url, write), LAST_WORDS);
            assert.equal(readFileSync(join(folder, 'hello.txt'), 'utf8'), CONTENT);
            assert.equal(await metric(url, `ds4_requests_total{api="${api}",status="200"}`), 2);
            assert((await metric(url, 'ds4_cached_tokens_total')) > 0.4 * (await metric(url, 'ds4_prompt_tokens_total')));
        });
        rmSync(folder, { recursive: true });
    });
}

// ---- Vercel's AI SDK --------------------------------------------------------------------------------

const ai = await loadModule('ai');
const { createOpenAICompatible } = await loadModule('@ai-sdk/openai-compatible');
const { createOpenAI } = await loadModule('@ai-sdk/openai');
const { createAnthropic } = await loadModule('@ai-sdk/anthropic');

const settings = (url) => ({ name: 'ds4', baseURL: `${url}/v1`, apiKey: 'any' });
for (const [name, api, model] of [
    ['AI SDK, openai-compatible', 'chat', (url) => createOpenAICompatible(settings(url))(MODEL)],
    ['AI SDK, openai chat', 'chat', (url) => createOpenAI(settings(url)).chat(MODEL)],
    ['AI SDK, openai responses', 'responses', (url) => createOpenAI(settings(url)).responses(MODEL)],
    ['AI SDK, anthropic', 'messages', (url) => createAnthropic(settings(url))(MODEL)],
]) {
    const parameters = (url, write) => ({
        model: model(url),
        maxRetries: 0,
        maxOutputTokens: 4000,
        prompt: TASK,
        tools: { write_file: ai.tool({ description: DESCRIPTION, inputSchema: PARAMETERS, execute: write }) },
        stopWhen: ai.stepCountIs(3),
        // else it refers to what it takes for stored, and leaves the reasoning out
        providerOptions: { openai: { store: false, include: ['reasoning.encrypted_content'] } },
    });
    writesAFile(name, api, async (url, write) => (await ai.generateText(parameters(url, write))).text);
    writesAFile(`${name}, stream,`, api, (url, write) => ai.streamText(parameters(url, write)).text);
}

// ---- LangChain --------------------------------------------------------------------------------------

const { ChatOpenAI } = await loadModule('@langchain/openai');
const { tool: langchainTool } = await loadModule('@langchain/core/tools');

for (const api of ['chat', 'responses'])
    for (const stream of [false, true])
        writesAFile(`LangChain, ${api}${stream ? ', stream' : ''},`, api, async (url, write) => {
            const tool = langchainTool(write, { name: 'write_file', description: DESCRIPTION, schema: PARAMETERS });
            const model = new ChatOpenAI({
                model: MODEL,
                apiKey: 'any',
                configuration: { baseURL: `${url}/v1` },
                useResponsesApi: api === 'responses',
                maxRetries: 0,
            }).bindTools([tool]);
            const messages = [{ role: 'user', content: TASK }];
            for (;;) {
                const answer = stream
                    ? (await collect(await model.stream(messages))).reduce((sum, chunk) => sum.concat(chunk))
                    : await model.invoke(messages);
                if (!answer.tool_calls.length) return answer.text;
                messages.push(answer);
                for (const call of answer.tool_calls) messages.push(await tool.invoke(call));
            }
        });

// ---- OpenAI's Agents SDK ----------------------------------------------------------------------------

const agents = await loadModule('@openai/agents');
const { OpenAI } = load('openai');

for (const api of ['chat', 'responses'])
    for (const stream of [false, true])
        writesAFile(`OpenAI Agents, ${api}${stream ? ', stream' : ''},`, api, async (url, write) => {
            const openAIClient = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
            const modelProvider = new agents.OpenAIProvider({ openAIClient, useResponses: api === 'responses' });
            const tool = agents.tool({ name: 'write_file', description: DESCRIPTION, parameters: PARAMETERS, execute: write });
            const agent = new agents.Agent({ name: 'Writer', instructions: 'Use your tool.', model: MODEL, tools: [tool] });
            const result = await new agents.Runner({ modelProvider, tracingDisabled: true }).run(agent, TASK, { stream });
            if (stream) await result.completed;
            return result.finalOutput;
        });
