// The openai package: chat completions, completions, models, errors.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, calls, collect, invoke, load, metric, restOfCall, served, thinking } from './support.mjs';

const { OpenAI } = load('openai');
const connect = (url, apiKey = 'any') => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const user = (content) => [{ role: 'user', content }];

const WEATHER = {
    type: 'function',
    function: {
        name: 'weather',
        description: 'The weather of a town',
        parameters: {
            $schema: 'https://json-schema.org/draft/2020-12/schema',
            type: 'object',
            properties: { town: { type: 'string' }, days: { type: 'integer', minimum: 1 } },
            required: ['town'],
            additionalProperties: false,
        },
    },
};
const TIME = { type: 'function', function: { name: 'time' } };
const OSLO = invoke('weather', { town: 'Oslo', days: 2 });

// The same request answered at once and as a stream, which the package puts together again.
function chat(name, blocks, parameters, check, options) {
    test(`chat: ${name}`, () =>
        served(blocks, async (url) => check(await connect(url).chat.completions.create({ model: MODEL, ...parameters }), url), options));
    test(`chat, stream: ${name}`, () =>
        served(
            blocks,
            async (url) => {
                const stream = connect(url).chat.completions.stream({ model: MODEL, stream_options: { include_usage: true }, ...parameters });
                const reasoning = [];
                // the package knows no reasoning_content: it keeps the last piece
                stream.on('chunk', ({ choices }) => {
                    for (const { index, delta } of choices)
                        if (delta.reasoning_content) reasoning[index] = (reasoning[index] ?? '') + delta.reasoning_content;
                });
                const answer = await stream.finalChatCompletion();
                for (const { index, message } of answer.choices) message.reasoning_content = reasoning[index];
                await check(answer, url);
            },
            options,
        ));
}

chat('an answer has its reasoning, text and usage', [thinking('Hm.', 'Hello.')], { messages: user('Hi') }, (answer) => {
    assert.match(answer.id, /^chatcmpl-/);
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.model, MODEL);
    assert.equal(answer.choices.length, 1);
    const [{ message, finish_reason, index }] = answer.choices;
    assert.equal(index, 0);
    assert.equal(message.role, 'assistant');
    assert.equal(message.content, 'Hello.');
    assert.equal(message.reasoning_content, 'Hm.');
    assert.equal(message.tool_calls, undefined);
    assert.equal(finish_reason, 'stop');
    const { usage } = answer;
    assert(usage.prompt_tokens > 0);
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    assert.equal(usage.prompt_tokens_details.cached_tokens, 0);
    assert(usage.completion_tokens_details.reasoning_tokens > 0);
    assert(usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens);
});

chat('reasoning can be turned off', [thinking('Hm.', 'Hello.')], { messages: user('Hi'), reasoning_effort: 'none' }, (answer) => {
    assert.equal(answer.choices[0].message.content, 'Hello.');
    assert.equal(answer.choices[0].message.reasoning_content, undefined);
    assert.equal(answer.usage.completion_tokens_details.reasoning_tokens, 0);
});

for (const effort of ['low', 'medium', 'high', 'xhigh'])
    chat(`effort ${effort} reasons`, [thinking('Hm.', 'Hello.')], { messages: user('Hi'), reasoning_effort: effort }, (answer) => {
        assert.equal(answer.choices[0].message.reasoning_content, 'Hm.');
    });

chat('the model may call tools', [thinking('Hm.', `I look.${calls(OSLO, invoke('time', {}))}`)],
    { messages: user('Oslo?'), tools: [WEATHER, TIME] }, (answer) => {
        const [{ message, finish_reason }] = answer.choices;
        assert.equal(finish_reason, 'tool_calls');
        assert.equal(message.content, 'I look.');
        assert.equal(message.tool_calls.length, 2);
        assert.match(message.tool_calls[0].id, /^call_/);
        assert.notEqual(message.tool_calls[0].id, message.tool_calls[1].id);
        assert.equal(message.tool_calls[0].type, 'function');
        assert.equal(message.tool_calls[0].function.name, 'weather');
        assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { town: 'Oslo', days: 2 });
        assert.equal(message.tool_calls[1].function.name, 'time');
        assert.deepEqual(JSON.parse(message.tool_calls[1].function.arguments), {});
    });

chat('parallel_tool_calls: false ends after one call', [calls(OSLO, OSLO)],
    { messages: user('Oslo?'), tools: [WEATHER], parallel_tool_calls: false }, (answer) => {
        assert.equal(answer.choices[0].message.tool_calls.length, 1);
        assert.equal(answer.choices[0].finish_reason, 'tool_calls');
    });

chat('a tool can be forced by name', [restOfCall({ town: 'Rome' })],
    { messages: user('Hi'), tools: [TIME, WEATHER], tool_choice: { type: 'function', function: { name: 'weather' } }, reasoning_effort: 'none' },
    (answer) => {
        const [call] = answer.choices[0].message.tool_calls;
        assert(!answer.choices[0].message.content);
        assert.equal(call.function.name, 'weather');
        assert.deepEqual(JSON.parse(call.function.arguments), { town: 'Rome' });
    });

chat('a tool can be forced by name behind reasoning', [thinking('Hm.', restOfCall({ town: 'Rome' }))],
    { messages: user('Hi'), tools: [TIME, WEATHER], tool_choice: { type: 'function', function: { name: 'weather' } } }, (answer) => {
        const [call] = answer.choices[0].message.tool_calls;
        assert.equal(answer.choices[0].message.reasoning_content, 'Hm.');
        assert.equal(call.function.name, 'weather');
        assert.deepEqual(JSON.parse(call.function.arguments), { town: 'Rome' });
    });

chat('some tool can be required', [`weather">\n${restOfCall({ town: 'Rome' })}`],
    { messages: user('Hi'), tools: [TIME, WEATHER], tool_choice: 'required', reasoning_effort: 'none' }, (answer) => {
        assert.equal(answer.choices[0].message.tool_calls[0].function.name, 'weather');
        assert.equal(answer.choices[0].finish_reason, 'tool_calls');
    });

chat('tool_choice none gives no calls', [`Well.${calls(OSLO)}`],
    { messages: user('Hi'), tools: [WEATHER], tool_choice: 'none' }, (answer) => {
        assert.equal(answer.choices[0].message.tool_calls, undefined);
        assert.equal(answer.choices[0].finish_reason, 'stop');
        assert.match(answer.choices[0].message.content, /^Well\./);
    });

chat('allowed_tools restricts', ['Fine.'],
    { messages: user('Hi'), tools: [WEATHER, TIME],
      tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'time' } }] } } },
    (answer) => assert.equal(answer.choices[0].message.content, 'Fine.'));

chat('a stop string is not shown', ['one two three'], { messages: user('Count'), stop: ['two', 'never'] }, (answer) => {
    assert.equal(answer.choices[0].message.content, 'one ');
    assert.equal(answer.choices[0].finish_reason, 'stop');
});

// the package's stream helper throws where an answer was cut: the raw stream is looked at below
test('chat: max_completion_tokens cuts', () =>
    served(['one two three four five'], async (url) => {
        for (const limit of ['max_completion_tokens', 'max_tokens']) {
            const answer = await connect(url).chat.completions.create({ model: MODEL, messages: user('Count'), [limit]: 2, reasoning_effort: 'none' });
            assert.equal(answer.choices[0].finish_reason, 'length');
            assert.equal(answer.usage.completion_tokens, 2);
        }
    }));

chat('n choices come from n answers', [thinking('a', 'One.'), thinking('b', 'Two.'), thinking('c', 'Three.')],
    { messages: user('Say'), n: 3 }, (answer) => {
        assert.equal(answer.choices.length, 3);
        assert.deepEqual(answer.choices.map((c) => c.index), [0, 1, 2]);
        assert.deepEqual(answer.choices.map((c) => c.message.content).sort(), ['One.', 'Three.', 'Two.']);
        assert(answer.choices.every((c) => c.finish_reason === 'stop'));
    });

chat('logprobs are of the shown tokens', ['Hello, world.'], { messages: user('Hi'), logprobs: true, top_logprobs: 3, reasoning_effort: 'none' },
    (answer) => {
        const { content } = answer.choices[0].logprobs;
        assert.equal(content.map((t) => t.token).join(''), 'Hello, world.');
        assert.equal(Buffer.from(content.flatMap((t) => t.bytes)).toString(), 'Hello, world.');
        for (const token of content) {
            assert(token.logprob <= 0);
            assert.equal(token.top_logprobs.length, 3);
            assert(token.top_logprobs[0].logprob >= token.top_logprobs[2].logprob);
        }
        assert.equal(content.length, answer.usage.completion_tokens);
    });

const SCHEMA = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'], additionalProperties: false };
const FORMAT = { type: 'json_schema', json_schema: { name: 'number', strict: true, schema: SCHEMA } };
test('chat: an answer by a schema is parsed by the package', () =>
    served(['{"n": 7}'], async (url) => {
        const answer = await connect(url).chat.completions.parse({
            model: MODEL,
            messages: user('A number'),
            response_format: { ...FORMAT, $brand: undefined },
        });
        assert.deepEqual(JSON.parse(answer.choices[0].message.content), { n: 7 });
    }));
chat('json_schema', ['{"n": 7}'], { messages: user('A number'), response_format: FORMAT }, (answer) => {
    assert.deepEqual(JSON.parse(answer.choices[0].message.content), { n: 7 });
    assert.equal(answer.choices[0].finish_details, undefined);
});
chat('json_object', ['{"n": 7}'], { messages: user('A number'), response_format: { type: 'json_object' } }, (answer) => {
    assert.deepEqual(JSON.parse(answer.choices[0].message.content), { n: 7 });
});
chat('an answer that is not the JSON asked for is marked', ['{"n":'], { messages: user('A number'), response_format: { type: 'json_object' } },
    (answer) => {
        assert.equal(answer.choices[0].message.content, '{"n":');
        assert.equal(answer.choices[0].finish_details?.type, 'invalid_json');
    });

test('chat, stream: every chunk is as documented', () =>
    served([thinking('Hm.', `I look.${calls(OSLO)}`)], async (url) => {
        const chunks = await collect(
            await connect(url).chat.completions.create({
                model: MODEL, messages: user('Oslo?'), tools: [WEATHER], stream: true, stream_options: { include_usage: true },
            }),
        );
        const last = chunks.pop();
        assert.deepEqual(last.choices, []);
        assert(last.usage.total_tokens > 0);
        assert.equal(chunks[0].choices[0].delta.role, 'assistant');
        assert.equal(new Set(chunks.map((c) => c.id)).size, 1);
        for (const chunk of chunks) {
            assert.equal(chunk.object, 'chat.completion.chunk');
            assert.equal(chunk.usage, null);
            assert.equal(chunk.choices.length, 1);
            for (const call of chunk.choices[0].delta.tool_calls ?? []) assert.equal(call.index, 0);
        }
        const deltas = chunks.map((c) => c.choices[0].delta);
        assert.equal(deltas.map((d) => d.reasoning_content ?? '').join(''), 'Hm.');
        assert.equal(deltas.map((d) => d.content ?? '').join(''), 'I look.');
        const pieces = deltas.flatMap((d) => d.tool_calls ?? []);
        assert.match(pieces[0].id, /^call_/);
        assert.equal(pieces[0].type, 'function');
        assert.deepEqual(JSON.parse(pieces.map((p) => p.function.arguments).join('')), { town: 'Oslo', days: 2 });
        assert.deepEqual(chunks.map((c) => c.choices[0].finish_reason).filter(Boolean), ['tool_calls']);
    }));

test('chat, stream: a cut answer says length', () =>
    served(['one two three four five'], async (url) => {
        const chunks = await collect(
            await connect(url).chat.completions.create({ model: MODEL, messages: user('Count'), max_tokens: 2, reasoning_effort: 'none', stream: true }),
        );
        assert.equal(chunks.at(-1).choices[0].finish_reason, 'length');
    }));

for (const stream of [false, true])
    test(`chat${stream ? ', stream' : ''}: the package runs a tool and comes back with its result`, () =>
        served([thinking('Hm.', calls(OSLO)), thinking('Ah.', 'It rains.')], async (url) => {
            const asked = [];
            const runner = connect(url).chat.completions.runTools({
                model: MODEL,
                messages: user('Oslo?'),
                stream,
                tools: [
                    {
                        type: 'function',
                        function: {
                            ...WEATHER.function,
                            parse: JSON.parse,
                            function: (values) => {
                                asked.push(values);
                                return 'rain';
                            },
                        },
                    },
                ],
            });
            assert.equal(await runner.finalContent(), 'It rains.');
            assert.deepEqual(asked, [{ town: 'Oslo', days: 2 }]);
            // reasoning, call and all: only what is new was computed
            assert((await metric(url, 'ds4_cached_tokens_total')) > 0.4 * (await metric(url, 'ds4_prompt_tokens_total')));
        }));

test('chat: the next turn finds the first in the cache', () =>
    served([thinking('Hm.', 'Hello there.'), 'Again hello.'], async (url) => {
        const client = connect(url);
        const messages = [{ role: 'system', content: 'You are polite and you answer everything that you are asked. '.repeat(12) }, ...user('Hi')];
        const first = await client.chat.completions.create({ model: MODEL, messages });
        const second = await client.chat.completions.create({
            model: MODEL,
            messages: [...messages, first.choices[0].message, ...user('And again?')],
        });
        assert.equal(second.choices[0].message.content, 'Again hello.');
        const { prompt_tokens, prompt_tokens_details } = second.usage;
        assert(prompt_tokens_details.cached_tokens > 100, JSON.stringify(second.usage));
        assert(prompt_tokens_details.cached_tokens < prompt_tokens);
    }));

chat('a custom tool gets free text', [calls(invoke('note', { input: 'line 1\nline "2"' }))],
    { messages: user('Note'), tools: [{ type: 'custom', custom: { name: 'note', description: 'Takes a note' } }] }, (answer) => {
        const [call] = answer.choices[0].message.tool_calls;
        assert.equal(call.type, 'custom');
        assert.deepEqual({ ...call.custom }, { name: 'note', input: 'line 1\nline "2"' });
    });

chat('messages in every form are read',
    ['Read.'],
    {
        messages: [
            { role: 'developer', content: [{ type: 'text', text: 'Be brief.' }] },
            { role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] },
            { role: 'assistant', content: null, refusal: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'time', arguments: '{}' } }] },
            { role: 'tool', tool_call_id: 'call_1', content: [{ type: 'text', text: 'noon' }] },
            { role: 'system', content: 'Still brief.' },
            { role: 'user', name: 'Ann', content: '' },
        ],
        tools: [TIME], store: false, user: 'u', metadata: { a: 'b' }, service_tier: 'auto', prompt_cache_key: 'k', verbosity: 'low',
        safety_identifier: 's', temperature: 0.5, top_p: 0.9, presence_penalty: 0.1, frequency_penalty: 0.1, seed: 1, unknown_field: [1],
    },
    (answer) => assert.equal(answer.choices[0].message.content, 'Read.'));

const BROKEN = thinking('Hm.', calls('<｜DSML｜invoke name="weather">\nand so on\n</｜DSML｜invoke>\n'));
chat('a call that is none is marked, and the answer ends', [BROKEN], { messages: user('Oslo?'), tools: [WEATHER] }, (answer) => {
    assert.equal(answer.choices[0].finish_details?.type, 'invalid_tool_call');
    assert(['stop', 'tool_calls'].includes(answer.choices[0].finish_reason));
});

test('chat: a call that the limit cuts has arguments that are no JSON', () =>
    served([calls(OSLO)], async (url) => {
        const answer = await connect(url).chat.completions.create({
            model: MODEL, messages: user('Oslo?'), tools: [WEATHER], max_tokens: 30, reasoning_effort: 'none',
        });
        assert.equal(answer.choices[0].finish_reason, 'length');
        assert.throws(() => JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments));
    }));

test('chat, stream: choices come with their index, each to its end', () =>
    served([thinking('a', 'One, two.'), thinking('b', 'Three, four.')], async (url) => {
        const chunks = await collect(
            await connect(url).chat.completions.create({ model: MODEL, messages: user('Say'), n: 2, stream: true, logprobs: true }),
        );
        const text = ['', ''];
        const tokens = ['', ''];
        for (const { choices: [{ index, delta, logprobs }] } of chunks) {
            text[index] += delta.content ?? '';
            for (const token of logprobs?.content ?? []) tokens[index] += token.token;
        }
        assert.deepEqual([...text].sort(), ['One, two.', 'Three, four.']);
        assert.deepEqual(tokens, text);
        assert.deepEqual(chunks.filter((c) => c.choices[0].finish_reason).map((c) => c.choices[0].index).sort(), [0, 1]);
    }));

// ---- the model itself -------------------------------------------------------------------------------

test('chat: the same seed gives the same answer', () =>
    served(null, async (url) => {
        const ask = async (seed) =>
            (await connect(url).chat.completions.create({ model: MODEL, messages: user('Tell me'), seed, max_tokens: 12, temperature: 2, reasoning_effort: 'none' }))
                .choices[0].message.content;
        const first = await ask(7);
        assert.equal(await ask(7), first);
        assert.notEqual(await ask(8), first);
    }));

test('chat: logit_bias and temperature 0 steer', () =>
    served(null, async (url) => {
        const common = { model: MODEL, messages: user('Hi'), max_tokens: 3, temperature: 0, reasoning_effort: 'none', logprobs: true, top_logprobs: 1 };
        const plain = (await connect(url).chat.completions.create(common)).choices[0].logprobs.content;
        for (const token of plain) assert.equal(token.token, token.top_logprobs[0].token);
        const biased = await connect(url).chat.completions.create({ ...common, logit_bias: { 300: 100 } });
        const tokens = biased.choices[0].logprobs.content.map((t) => t.token);
        assert.equal(new Set(tokens).size, 1, JSON.stringify(tokens));
    }));

test('chat: a client that goes away is noticed', () =>
    served(['word '.repeat(3000)], async (url) => {
        const stream = await connect(url).chat.completions.create({ model: MODEL, messages: user('Go on'), stream: true, reasoning_effort: 'none' });
        for await (const chunk of stream) if (chunk.choices[0].delta.content) break; // which aborts it
        for (let i = 0; i < 50 && (await metric(url, 'ds4_running')) > 0; i++) await new Promise((resolve) => setTimeout(resolve, 100));
        assert.equal(await metric(url, 'ds4_running'), 0);
        assert.equal(await metric(url, 'ds4_cancelled_total'), 1);
    }));

test('chat: four conversations at once each get their answer', () =>
    served(['w', 'x', 'y', 'z'], async (url) => {
        const answers = await Promise.all(
            [1, 2, 3, 4].map((i) => connect(url).chat.completions.create({ model: MODEL, messages: user(`Question ${i}`) })),
        );
        assert.deepEqual(answers.map((a) => a.choices[0].message.content).sort(), ['w', 'x', 'y', 'z']);
    }));

// ---- completions ------------------------------------------------------------------------------------

test('completions: text, limit, choices and usage', () =>
    served([' upon a time', ' upon a hill'], async (url) => {
        const answer = await connect(url).completions.create({ model: MODEL, prompt: 'Once', n: 2, max_tokens: 40 });
        assert.match(answer.id, /^cmpl-/);
        assert.equal(answer.object, 'text_completion');
        assert.deepEqual(answer.choices.map((c) => c.text).sort(), [' upon a hill', ' upon a time']);
        assert(answer.choices.every((c) => c.finish_reason === 'stop'));
        assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
        const cut = await connect(url).completions.create({ model: MODEL, prompt: ['Once'], max_tokens: 2 });
        assert.equal(cut.choices[0].finish_reason, 'length');
        assert.equal(cut.usage.completion_tokens, 2);
    }));

test('completions, stream: pieces, stop string and usage', () =>
    served([' upon a time'], async (url) => {
        const chunks = await collect(
            await connect(url).completions.create({ model: MODEL, prompt: 'Once', stop: ' time', stream: true, stream_options: { include_usage: true } }),
        );
        const { usage, choices } = chunks.pop();
        assert.deepEqual(choices, []);
        assert(usage.total_tokens > 0);
        assert.equal(chunks.map((c) => c.choices[0].text).join(''), ' upon a');
        assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
    }));

test('completions: tokens as prompt, logprobs', () =>
    served(null, async (url) => {
        const answer = await connect(url).completions.create({ model: MODEL, prompt: [300, 301, 302], max_tokens: 3, logprobs: 2, temperature: 0, seed: 1 });
        const { tokens, token_logprobs, top_logprobs, text_offset } = answer.choices[0].logprobs;
        assert.equal(tokens.join(''), answer.choices[0].text);
        assert.equal(token_logprobs.length, tokens.length);
        assert(token_logprobs.every((l) => l <= 0));
        assert(top_logprobs.every((t) => Object.keys(t).length === 2));
        assert.equal(text_offset[0], 0);
    }));

// ---- models, errors ---------------------------------------------------------------------------------

test('models: a list, and any name', () =>
    served(null, async (url) => {
        const models = await collect(await connect(url).models.list());
        assert.deepEqual(models.map((m) => [m.id, m.object, m.owned_by]), [[MODEL, 'model', 'ds4']]);
        assert.equal((await connect(url).models.retrieve('gpt-5')).id, 'gpt-5');
    }));

// The error that a request ends with.
const failure = (promise) => promise.then(() => assert.fail('no error'), (error) => error);

for (const [what, parameters, expected] of [
    ['a missing field', {}, { param: 'messages', code: null }],
    ['a value out of range', { messages: user('Hi'), temperature: 3 }, { param: 'temperature', code: null }],
    ['a wrong type', { messages: user('Hi'), stop: 7 }, { param: 'stop', code: null }],
    ['an unknown role', { messages: [{ role: 'king', content: 'Hi' }] }, { param: 'messages[0].role', code: null }],
    ['an image', { messages: user([{ type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } }]) },
        { param: 'messages[0].content[0]', code: 'unsupported_value' }],
    ['store', { messages: user('Hi'), store: true }, { param: 'store', code: 'unsupported_parameter' }],
    ['a forced tool that is not there', { messages: user('Hi'), tools: [TIME], tool_choice: { type: 'function', function: { name: 'x' } } },
        { param: 'tool_choice', code: null }],
    ['too many choices', { messages: user('Hi'), n: 50 }, { param: 'n', code: null }],
])
    test(`chat: ${what} is refused by name`, () =>
        served(null, async (url) => {
            for (const stream of [false, true]) {
                const error = await failure(connect(url).chat.completions.create({ model: MODEL, stream, ...parameters }));
                assert(error instanceof OpenAI.BadRequestError, String(error));
                assert.equal(error.type, 'invalid_request_error');
                assert.deepEqual({ param: error.param, code: error.code }, expected, error.message);
                assert.match(error.requestID, /^req_/);
            }
        }));

test('chat: too long a prompt has the code that makes clients compact', () =>
    served(null, async (url) => {
        const error = await failure(connect(url).chat.completions.create({ model: MODEL, messages: user('word '.repeat(2000)) }));
        assert.equal(error.status, 400);
        assert.equal(error.code, 'context_length_exceeded');
        assert.match(error.message, /This model's maximum context length is 512 tokens\. However, your messages resulted in \d+ tokens/);
    }, ['--ctx', '512']));

test('errors: keys', () =>
    served(['Hi.'], async (url) => {
        const error = await failure(connect(url, 'wrong').models.list());
        assert(error instanceof OpenAI.AuthenticationError);
        assert.equal(error.code, 'invalid_api_key');
        const answer = await connect(url, 'right').chat.completions.create({ model: MODEL, messages: user('Hi') });
        assert.equal(answer.choices[0].message.content, 'Hi.');
    }, ['--api-key', 'right']));

test('errors: a path that is not there', () =>
    served(null, async (url) => {
        const error = await failure(connect(url).embeddings.create({ model: MODEL, input: 'x' }));
        assert(error instanceof OpenAI.NotFoundError);
    }));

test('errors: echo and suffix of completions are refused', () =>
    served(null, async (url) => {
        for (const extra of [{ echo: true }, { suffix: 'x' }, { best_of: 2 }]) {
            const error = await failure(connect(url).completions.create({ model: MODEL, prompt: 'x', ...extra }));
            assert.equal(error.status, 400);
            assert.equal(error.param, Object.keys(extra)[0]);
        }
    }));

test('errors: a full queue makes the package come again', () =>
    served(['word '.repeat(60), 'Second.'], async (url) => {
        const ask = (client) => client.chat.completions.create({ model: MODEL, messages: user('Hi'), stream: true, reasoning_effort: 'none' });
        const first = await ask(connect(url));
        const error = await failure(ask(connect(url)));
        assert(error instanceof OpenAI.RateLimitError, String(error));
        assert(Number(error.headers.get('retry-after')) >= 1);
        const patient = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 10 });
        const [, second] = await Promise.all([collect(first), ask(patient).then(collect)]);
        assert.equal(second.map((c) => c.choices[0].delta.content ?? '').join(''), 'Second.');
    }, ['--parallel', '1', '--queue', '0']));

test('errors: a server that is told to stop lets answers end', () =>
    served(['word '.repeat(60)], async (url, server) => {
        const stream = await connect(url).chat.completions.create({ model: MODEL, messages: user('Hi'), stream: true, reasoning_effort: 'none' });
        let text = '';
        for await (const chunk of stream) {
            text += chunk.choices[0].delta.content ?? '';
            if (text && !server.killed) server.kill('SIGTERM');
        }
        assert.equal(text.trim(), 'word '.repeat(60).trim());
    }));

test('errors: a server that will not wait ends a stream with an error', () =>
    served(['word '.repeat(3000)], async (url, server) => {
        const stream = await connect(url).chat.completions.create({ model: MODEL, messages: user('Hi'), stream: true, reasoning_effort: 'none' });
        const error = await failure(
            (async () => {
                for await (const chunk of stream) if (chunk.choices[0].delta.content && !server.killed) server.kill('SIGTERM');
            })(),
        );
        assert(error instanceof OpenAI.APIError, String(error));
        assert.equal(error.type, 'server_error', String(error));
    }, ['--drain-seconds', '0']));
