// The @anthropic-ai/sdk package: messages, the count of their tokens, models, errors.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, calls, collect, invoke, load, metric, restOfCall, served, thinking } from './support.mjs';

const { Anthropic } = load('@anthropic-ai/sdk');
const connect = (url, key = { apiKey: 'any' }) => new Anthropic({ baseURL: url, apiKey: null, authToken: null, maxRetries: 0, ...key });
const user = (content) => [{ role: 'user', content }];
const THINK = { thinking: { type: 'enabled', budget_tokens: 1024 } };

const WEATHER = {
    name: 'weather',
    description: 'The weather of a town',
    input_schema: { type: 'object', properties: { town: { type: 'string' }, days: { type: 'integer' } }, required: ['town'] },
};
const TIME = { name: 'time', input_schema: { type: 'object' } };
const OSLO = invoke('weather', { town: 'Oslo', days: 2 });

// Blocks begin and end one after the other; what the deltas say is inside the block.
function checkEvents(events) {
    assert.equal(events[0].type, 'message_start');
    assert.deepEqual(events.slice(-2).map((e) => e.type), ['message_delta', 'message_stop']);
    let open = null;
    let next = 0;
    for (const event of events) {
        if (event.type === 'content_block_start') {
            assert.equal(open, null);
            assert.equal(event.index, next++);
            open = event.index;
        } else if (event.type === 'content_block_delta') {
            assert.equal(event.index, open);
        } else if (event.type === 'content_block_stop') {
            assert.equal(event.index, open);
            open = null;
        }
    }
    assert.equal(open, null);
}

// The same request answered at once and as a stream, which the package puts together again.
function message(name, blocks, parameters, check) {
    const whole = { model: MODEL, max_tokens: 500, ...parameters };
    test(`messages: ${name}`, () => served(blocks, async (url) => check(await connect(url).messages.create(whole), url)));
    test(`messages, stream: ${name}`, () =>
        served(blocks, async (url) => {
            const stream = connect(url).messages.stream(whole);
            const events = [];
            stream.on('streamEvent', (event) => events.push(structuredClone(event)));
            const final = await stream.finalMessage();
            checkEvents(events);
            await check(final, url);
        }));
}
const plain = (value) => JSON.parse(JSON.stringify(value));

message('an answer has text and usage', ['Hello.'], { messages: user('Hi') }, (answer) => {
    assert.match(answer.id, /^msg_/);
    assert.equal(answer.type, 'message');
    assert.equal(answer.role, 'assistant');
    assert.equal(answer.model, MODEL);
    assert.deepEqual(plain(answer.content), [{ type: 'text', text: 'Hello.' }]);
    assert.equal(answer.stop_reason, 'end_turn');
    assert.equal(answer.stop_sequence, null);
    assert(answer.usage.input_tokens > 0);
    assert(answer.usage.output_tokens > 0);
    assert.equal(answer.usage.cache_read_input_tokens, 0);
    assert.equal(answer.usage.cache_creation_input_tokens, 0);
});

for (const thinkingField of [{ type: 'enabled', budget_tokens: 1024 }, { type: 'enabled', budget_tokens: 500 }, { type: 'adaptive' }])
    message(`thinking ${JSON.stringify(thinkingField)} comes first, with a signature`, [thinking('Hm.', 'Hello.')],
        { messages: user('Hi'), thinking: thinkingField, temperature: 1 }, (answer) => {
            assert.deepEqual(answer.content.map((block) => block.type), ['thinking', 'text']);
            assert.equal(answer.content[0].thinking, 'Hm.');
            assert(answer.content[0].signature.length > 0);
            assert.equal(answer.content[1].text, 'Hello.');
        });

message('thinking can be turned off', [thinking('Hm.', 'Hello.')], { messages: user('Hi'), thinking: { type: 'disabled' } }, (answer) =>
    assert.deepEqual(plain(answer.content), [{ type: 'text', text: 'Hello.' }]));

message('the budget ends the thinking', [thinking(`${'so '.repeat(40)}`, 'Hello.')],
    { messages: user('Hi'), thinking: { type: 'enabled', budget_tokens: 5 } }, (answer) => {
        assert.equal(answer.content[0].type, 'thinking');
        assert(answer.content[0].thinking.length < 40, answer.content[0].thinking);
    });

message('the model may call tools', [thinking('Hm.', `I look.${calls(OSLO, invoke('time', {}))}`)],
    { messages: user('Oslo?'), tools: [WEATHER, TIME], ...THINK }, (answer) => {
        assert.deepEqual(answer.content.map((block) => block.type), ['thinking', 'text', 'tool_use', 'tool_use']);
        assert.equal(answer.stop_reason, 'tool_use');
        assert.equal(answer.content[1].text, 'I look.');
        assert.match(answer.content[2].id, /^toolu_/);
        assert.notEqual(answer.content[2].id, answer.content[3].id);
        assert.equal(answer.content[2].name, 'weather');
        assert.deepEqual(plain(answer.content[2].input), { town: 'Oslo', days: 2 });
        assert.equal(answer.content[3].name, 'time');
        assert.deepEqual(plain(answer.content[3].input), {});
    });

message('disable_parallel_tool_use ends after one call', [calls(OSLO, OSLO)],
    { messages: user('Oslo?'), tools: [WEATHER], tool_choice: { type: 'auto', disable_parallel_tool_use: true } }, (answer) => {
        assert.equal(answer.content.length, 1);
        assert.equal(answer.stop_reason, 'tool_use');
    });

message('a tool can be forced by name', [restOfCall({ town: 'Rome' })],
    { messages: user('Hi'), tools: [TIME, WEATHER], tool_choice: { type: 'tool', name: 'weather' } }, (answer) => {
        assert.deepEqual(answer.content.map((block) => block.type), ['tool_use']);
        assert.equal(answer.content[0].name, 'weather');
        assert.deepEqual(plain(answer.content[0].input), { town: 'Rome' });
    });

message('any tool can be required', [`weather">\n${restOfCall({ town: 'Rome' })}`],
    { messages: user('Hi'), tools: [TIME, WEATHER], tool_choice: { type: 'any' } }, (answer) =>
        assert.equal(answer.content[0].name, 'weather'));

message('tool_choice none gives no calls', [`Well.${calls(OSLO)}`],
    { messages: user('Hi'), tools: [WEATHER], tool_choice: { type: 'none' } }, (answer) => {
        assert.deepEqual(answer.content.map((block) => block.type), ['text']);
        assert.equal(answer.stop_reason, 'end_turn');
    });

const BROKEN = thinking('Hm.', calls('<｜DSML｜invoke name="weather">\nand so on\n</｜DSML｜invoke>\n'));
message('a call that is none ends the answer', [BROKEN], { messages: user('Oslo?'), tools: [WEATHER], ...THINK }, (answer) =>
    assert(['end_turn', 'tool_use'].includes(answer.stop_reason)));

message('a call that the limit cuts says so', [calls(OSLO)], { messages: user('Oslo?'), tools: [WEATHER], max_tokens: 30 }, (answer) => {
    assert.equal(answer.stop_reason, 'max_tokens');
    assert.equal(answer.content[0].type, 'tool_use');
});

message('a stop sequence is named and not shown', ['one two three'], { messages: user('Count'), stop_sequences: ['never', 'two'] }, (answer) => {
    assert.equal(answer.content[0].text, 'one ');
    assert.equal(answer.stop_reason, 'stop_sequence');
    assert.equal(answer.stop_sequence, 'two');
});

message('max_tokens cuts', ['one two three four five'], { messages: user('Count'), max_tokens: 2 }, (answer) => {
    assert.equal(answer.stop_reason, 'max_tokens');
    assert.equal(answer.usage.output_tokens, 2);
});

message('an answer can be begun', [' world.'], { messages: [...user('Hi'), { role: 'assistant', content: 'Hello,' }] }, (answer) =>
    assert.equal(answer.content[0].text, ' world.'));

const SCHEMA = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'], additionalProperties: false };
message('json_schema', ['{"n": 7}'], { messages: user('A number'), output_config: { format: { type: 'json_schema', schema: SCHEMA } } }, (answer) =>
    assert.deepEqual(JSON.parse(answer.content[0].text), { n: 7 }));

test('messages: an answer by a schema is parsed by the package', () =>
    served(['{"n": 7}'], async (url) => {
        const { jsonSchemaOutputFormat } = load('@anthropic-ai/sdk/helpers/json-schema');
        const answer = await connect(url).messages.parse({
            model: MODEL, max_tokens: 100, messages: user('A number'), output_config: { format: jsonSchemaOutputFormat(SCHEMA) },
        });
        assert.deepEqual(answer.parsed_output, { n: 7 });
    }));

message('messages and blocks of every kind are read', ['Read.'],
    {
        system: [
            { type: 'text', text: 'x-anthropic-billing-header: cc_version=1;' },
            { type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } },
        ],
        messages: [
            { role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b', cache_control: { type: 'ephemeral' } }] },
            {
                role: 'assistant',
                content: [
                    { type: 'thinking', thinking: 'Hm.', signature: 'x' },
                    { type: 'redacted_thinking', data: 'x' },
                    { type: 'text', text: 'I look.' },
                    { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { town: 'Oslo' } },
                    { type: 'tool_use', id: 'toolu_2', name: 'time', input: {} },
                    { type: 'tool_use', id: 'toolu_3', name: 'time', input: {} },
                ],
            },
            {
                role: 'user',
                content: [
                    { type: 'tool_result', tool_use_id: 'toolu_1', content: [{ type: 'text', text: 'rain' }] },
                    { type: 'tool_result', tool_use_id: 'toolu_2', content: 'late', is_error: true },
                    { type: 'tool_result', tool_use_id: 'toolu_3' },
                    { type: 'text', text: 'Now?' },
                ],
            },
            { role: 'system', content: 'Still brief.' },
            { role: 'user', content: 'Go.' },
        ],
        tools: [{ ...WEATHER, cache_control: { type: 'ephemeral' } }, TIME, { type: 'web_search_20250305', name: 'web_search' }],
        metadata: { user_id: 'u' }, service_tier: 'auto', top_p: 0.9, top_k: 40, ...THINK,
    },
    (answer) => assert.equal(answer.content.at(-1).text, 'Read.'));

for (const stream of [false, true])
    test(`messages${stream ? ', stream' : ''}: the answer as part of the next turn is found in the cache`, () =>
        served([thinking('Hm.', `I look.${calls(OSLO)}`), thinking('Ah.', 'It rains.')], async (url) => {
            const client = connect(url);
            const ask = async (parameters) =>
                stream ? await client.messages.stream(parameters).finalMessage() : await client.messages.create(parameters);
            const common = { model: MODEL, max_tokens: 500, tools: [WEATHER], system: 'You look things up. '.repeat(20), ...THINK };
            const first = await ask({ ...common, messages: user('Oslo?') });
            const call = first.content.find((block) => block.type === 'tool_use');
            const second = await ask({
                ...common,
                messages: [
                    ...user('Oslo?'),
                    { role: 'assistant', content: first.content },
                    { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: 'rain' }] },
                ],
            });
            assert.equal(second.content.at(-1).text, 'It rains.');
            const { usage } = second;
            assert(usage.cache_read_input_tokens >= first.usage.input_tokens + first.usage.output_tokens - 1, JSON.stringify([first.usage, usage]));
            assert(usage.input_tokens > 0 && usage.input_tokens < 40, JSON.stringify(usage));
            assert.equal(await metric(url, 'ds4_cached_tokens_total'), usage.cache_read_input_tokens);
        }));

for (const stream of [false, true])
    test(`messages${stream ? ', stream' : ''}: the package runs a tool and comes back with its result`, () =>
        served([calls(OSLO), 'It rains.'], async (url) => {
            const asked = [];
            const runner = connect(url).beta.messages.toolRunner({
                model: MODEL,
                max_tokens: 500,
                messages: user('Oslo?'),
                stream,
                tools: [{ ...WEATHER, type: 'custom', parse: (input) => input, run: (input) => (asked.push(plain(input)), 'rain') }],
            });
            assert.equal((await runner.runUntilDone()).content[0].text, 'It rains.');
            assert.deepEqual(asked, [{ town: 'Oslo', days: 2 }]);
        }));

test('messages: a deferred tool is in the prompt only where it is referenced', () =>
    served(['a', 'b'], async (url) => {
        const client = connect(url);
        const tools = [TIME, { ...WEATHER, defer_loading: true }];
        const count = async (messages, of = tools) => (await client.messages.countTokens({ model: MODEL, messages, tools: of })).input_tokens;
        assert.equal(await count(user('Hi')), await count(user('Hi'), [TIME]));
        const found = (content) => [
            ...user('Hi'),
            { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'time', input: {} }] },
            { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content }] },
        ];
        const referenced = await count(found([{ type: 'tool_reference', tool_name: 'weather' }]));
        assert(referenced > 20 + (await count(found([{ type: 'text', text: 'x' }]))), String(referenced));
    }));

test('messages: a count is what the request then takes', () =>
    served(['Hello.'], async (url) => {
        const parameters = { model: MODEL, messages: user('Hi there'), system: 'Be brief.', tools: [WEATHER], ...THINK };
        const counts = await Promise.all(Array.from({ length: 30 }, () => connect(url).messages.countTokens(parameters)));
        const answer = await connect(url).messages.create({ max_tokens: 2000, ...parameters });
        for (const count of counts) assert.equal(count.input_tokens, answer.usage.input_tokens);
    }));

test('messages, stream: the raw events', () =>
    served([thinking('Hm.', `I look.${calls(OSLO)}`)], async (url) => {
        const events = await collect(
            await connect(url).messages.create({ model: MODEL, max_tokens: 500, messages: user('Oslo?'), tools: [WEATHER], stream: true, ...THINK }),
        );
        checkEvents(events);
        assert(events[0].message.usage.input_tokens > 0);
        assert.deepEqual(events.filter((e) => e.type === 'content_block_start').map((e) => plain(e.content_block)), [
            { type: 'thinking', thinking: '', signature: '' },
            { type: 'text', text: '' },
            { type: 'tool_use', id: events.find((e) => e.content_block?.id).content_block.id, name: 'weather', input: {} },
        ]);
        const json = events.map((e) => e.delta?.partial_json ?? '').join('');
        assert.deepEqual(JSON.parse(json), { town: 'Oslo', days: 2 });
        const { delta, usage } = events.at(-2);
        assert.equal(delta.stop_reason, 'tool_use');
        assert(usage.output_tokens > 0);
    }));

test('messages: the betas are the same', () =>
    served(['Hello.', 'Hello.'], async (url) => {
        const client = connect(url);
        const answer = await client.beta.messages.create({ model: MODEL, max_tokens: 10, messages: user('Hi'), betas: ['unknown-2030-01-01'],
            context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] } });
        assert.equal(answer.content[0].text, 'Hello.');
        const streamed = await client.beta.messages.stream({ model: MODEL, max_tokens: 10, messages: user('Hi') }).finalMessage();
        assert.equal(streamed.content[0].text, 'Hello.');
        assert((await client.beta.messages.countTokens({ model: MODEL, messages: user('Hi') })).input_tokens > 0);
    }));

test('models: a list, and any name', () =>
    served(null, async (url) => {
        const models = await collect(await connect(url).models.list());
        assert.deepEqual(models.map((m) => [m.id, m.type, m.display_name]), [[MODEL, 'model', MODEL]]);
        assert.equal((await connect(url).models.retrieve('claude-opus-4')).id, 'claude-opus-4');
    }));

// ---- errors -----------------------------------------------------------------------------------------

const failure = (promise) => promise.then(() => assert.fail('no error'), (error) => error);

for (const [what, parameters, words] of [
    ['a missing max_tokens', { max_tokens: undefined }, /^max_tokens: /],
    ['a missing list of messages', { messages: undefined }, /^messages: /],
    ['a temperature out of range', { temperature: 1.5 }, /^temperature: /],
    ['an image', { messages: user([{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA==' } }]) }, /^messages\.0\.content\.0: .*image/],
    ['a document', { messages: user([{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'x' } }]) }, /^messages\.0\.content\.0: /],
    ['an unknown role', { messages: [{ role: 'king', content: 'Hi' }] }, /^messages\.0\.role: /],
    ['a forced tool that is not there', { tools: [TIME], tool_choice: { type: 'tool', name: 'x' } }, /^tool_choice/],
    ['mcp_servers', { mcp_servers: [{ type: 'url', url: 'http://x', name: 'x' }] }, /^mcp_servers: /],
])
    test(`messages: ${what} is refused by name`, () =>
        served(null, async (url) => {
            for (const stream of [false, true]) {
                const error = await failure(connect(url).messages.create({ model: MODEL, max_tokens: 10, messages: user('Hi'), stream, ...parameters }));
                assert(error instanceof Anthropic.BadRequestError, String(error));
                assert.equal(error.error.type, 'error');
                assert.equal(error.error.error.type, 'invalid_request_error');
                assert.match(error.error.error.message, words);
                assert.match(error.requestID, /^req_/);
                assert.equal(error.error.request_id, error.requestID);
            }
        }));

test('messages: too long a prompt has the words that make Claude Code compact', () =>
    served(null, async (url) => {
        const error = await failure(connect(url).messages.create({ model: MODEL, max_tokens: 10, messages: user('word '.repeat(2000)) }));
        assert.equal(error.status, 400);
        assert.match(error.error.error.message, /^prompt is too long: \d+ tokens > 512 maximum$/);
    }, ['--ctx', '512']));

test('errors: keys, in either header', () =>
    served(['a', 'b'], async (url) => {
        for (const key of [{ apiKey: 'wrong' }, { authToken: 'wrong' }]) {
            const error = await failure(connect(url, key).messages.create({ model: MODEL, max_tokens: 10, messages: user('Hi') }));
            assert(error instanceof Anthropic.AuthenticationError, String(error));
            assert.equal(error.error.error.type, 'authentication_error');
        }
        for (const key of [{ apiKey: 'right' }, { authToken: 'right' }])
            assert.equal((await connect(url, key).messages.create({ model: MODEL, max_tokens: 10, messages: user('Hi') })).type, 'message');
    }, ['--api-key', 'right']));
