// Prompts that take so long that the server has to send something in between: each API, at once and as a stream.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, load, metric, served } from './support.mjs';

const { OpenAI } = load('openai');
const { Anthropic } = load('@anthropic-ai/sdk');

// Different from the first word on, so that nobody gets it from another's cache.
const long = (name) => `${name}: ${'a long and tedious story follows here, word by word. '.repeat(350)}`;
const QUIET_SECONDS = 20; // longer than what the server bears without a sign of life

test('six long prompts at once are answered, though it takes its time', () =>
    served(Array(6).fill('Read.'), async (url) => {
        const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
        const anthropic = new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0 });
        const chat = (name) => ({ model: MODEL, messages: [{ role: 'user', content: long(name) }] });
        const response = (name) => ({ model: MODEL, input: long(name) });
        const message = (name) => ({ ...chat(name), max_tokens: 100 });
        const begun = Date.now();
        const texts = await Promise.all([
            openai.chat.completions.create(chat('one')).then((a) => a.choices[0].message.content),
            openai.chat.completions.stream(chat('two')).finalContent(),
            openai.responses.create(response('three')).then((a) => a.output_text),
            openai.responses.stream(response('four')).finalResponse().then((a) => a.output_text),
            anthropic.messages.create(message('five')).then((a) => a.content[0].text),
            anthropic.messages.stream(message('six')).finalText(),
        ]);
        assert.deepEqual(texts, Array(6).fill('Read.'));
        assert((Date.now() - begun) / 1000 > QUIET_SECONDS, 'too quick a machine: this showed nothing');
        assert.equal(await metric(url, 'ds4_cancelled_total'), 0);
    }, ['--parallel', '6', '--threads', '1']));
