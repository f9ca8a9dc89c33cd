// The openai package: responses, and the count of their tokens.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, calls, collect, invoke, load, metric, restOfCall, served, thinking } from './support.mjs';

const { OpenAI } = load('openai');
const connect = (url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });

const WEATHER = {
    type: 'function',
    name: 'weather',
    description: 'The weather of a town',
    strict: true,
    parameters: { type: 'object', properties: { town: { type: 'string' } }, required: ['town'], additionalProperties: false },
};
const TIME = { type: 'function', name: 'time', strict: false, parameters: null };
const OSLO = invoke('weather', { town: 'Oslo' });

// Every event has its number; items and their parts begin and end, and deltas add up to what is done.
function checkEvents(events) {
    assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
    assert.deepEqual(events.slice(0, 2).map((e) => e.type), ['response.created', 'response.in_progress']);
    const open = new Map();
    const text = new Map();
    for (const e of events) {
        if (e.type === 'response.output_item.added') open.set(e.output_index, e.item);
        if (e.item_id) assert.equal(open.get(e.output_index)?.id, e.item_id, e.type);
        const kind = e.type.replace(/\.(delta|done)$/, '');
        const key = `${kind} ${e.output_index}`;
        if (e.type.endsWith('.delta')) text.set(key, (text.get(key) ?? '') + e.delta);
        const whole = e.text ?? e.arguments ?? e.input;
        if (e.type.endsWith('.done') && whole !== undefined) assert.equal(text.get(key) ?? '', whole, e.type);
        if (e.type === 'response.output_item.done') {
            assert.equal(open.get(e.output_index).id, e.item.id);
            const { status, finish_details } = events.at(-1).response;
            const isWhole = status === 'completed' && !finish_details;
            assert((isWhole ? ['completed'] : ['completed', 'incomplete']).includes(e.item.status), e.item.status);
            open.delete(e.output_index);
        }
    }
    assert.equal(open.size, 0);
    const items = events.filter((e) => e.type === 'response.output_item.done').map((e) => e.item);
    assert.deepEqual(events.at(-1).response.output, items);
}

// The same request answered at once and as a stream, which the package puts together again.
function response(name, blocks, parameters, check) {
    test(`responses: ${name}`, () =>
        served(blocks, async (url) => check(await connect(url).responses.create({ model: MODEL, ...parameters }), url)));
    test(`responses, stream: ${name}`, () =>
        served(blocks, async (url) => {
            const stream = connect(url).responses.stream({ model: MODEL, ...parameters });
            const events = [];
            stream.on('event', (event) => events.push(structuredClone(event)));
            const final = await stream.finalResponse();
            for (const event of events) delete event.snapshot;
            checkEvents(events.map(({ parsed, parsed_arguments, ...event }) => event));
            await check(final, url);
        }));
}
const message = (answer) => answer.output.find((item) => item.type === 'message');

response('an answer has its reasoning, text and usage', [thinking('Hm.', 'Hello.')], { input: 'Hi' }, (answer) => {
    assert.match(answer.id, /^resp_/);
    assert.equal(answer.object, 'response');
    assert.equal(answer.status, 'completed');
    assert.equal(answer.model, MODEL);
    assert.equal(answer.error, null);
    assert.equal(answer.store, false);
    assert.equal(answer.output_text, 'Hello.');
    assert.deepEqual(answer.output.map((item) => item.type), ['reasoning', 'message']);
    assert.match(answer.output[0].id, /^rs_/);
    assert.equal(answer.output[0].content[0].text, 'Hm.');
    assert.match(answer.output[1].id, /^msg_/);
    const { usage } = answer;
    assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
    assert.equal(usage.input_tokens_details.cached_tokens, 0);
    assert(usage.output_tokens_details.reasoning_tokens > 0);
});

response('a summary and encrypted reasoning come where they are asked for', [thinking('Hm.', 'Hello.')],
    { input: 'Hi', reasoning: { effort: 'high', summary: 'auto' }, include: ['reasoning.encrypted_content'], store: false }, (answer) => {
        assert.deepEqual(answer.output[0].summary.map((s) => ({ ...s })), [{ type: 'summary_text', text: 'Hm.' }]);
        assert.equal(typeof answer.output[0].encrypted_content, 'string');
    });

response('reasoning can be turned off', [thinking('Hm.', 'Hello.')], { input: 'Hi', reasoning: { effort: 'none' } }, (answer) => {
    assert.deepEqual(answer.output.map((item) => item.type), ['message']);
    assert.equal(answer.usage.output_tokens_details.reasoning_tokens, 0);
});

response('instructions, hints and unknown fields are taken', ['Hello.'],
    { instructions: 'Be brief.', input: [{ role: 'user', content: 'Hi' }], metadata: { a: 'b' }, prompt_cache_key: 'k', user: 'u',
      truncation: 'disabled', service_tier: 'auto', temperature: 0.5, top_p: 0.9, text: { verbosity: 'low' }, parallel_tool_calls: true, unknown: 1 },
    (answer) => {
        assert.equal(answer.instructions, 'Be brief.');
        assert.deepEqual({ ...answer.metadata }, { a: 'b' });
        assert.equal(answer.temperature, 0.5);
        assert.equal(answer.top_p, 0.9);
    });

response('the model may call tools', [thinking('Hm.', `I look.${calls(OSLO, invoke('time', {}))}`)], { input: 'Oslo?', tools: [WEATHER, TIME] },
    (answer) => {
        assert.deepEqual(answer.output.map((item) => item.type), ['reasoning', 'message', 'function_call', 'function_call']);
        const [first, second] = answer.output.filter((item) => item.type === 'function_call');
        assert.match(first.id, /^fc_/);
        assert.match(first.call_id, /^call_/);
        assert.notEqual(first.call_id, second.call_id);
        assert.equal(first.name, 'weather');
        assert.deepEqual(JSON.parse(first.arguments), { town: 'Oslo' });
        assert.equal(second.name, 'time');
        assert.deepEqual(JSON.parse(second.arguments), {});
        assert.equal(answer.status, 'completed');
    });

response('parallel_tool_calls: false ends after one call', [calls(OSLO, OSLO)], { input: 'Oslo?', tools: [WEATHER], parallel_tool_calls: false },
    (answer) => assert.equal(answer.output.filter((item) => item.type === 'function_call').length, 1));

response('a tool can be forced by name', [thinking('Hm.', restOfCall({ town: 'Rome' }))],
    { input: 'Hi', tools: [TIME, WEATHER], tool_choice: { type: 'function', name: 'weather' } }, (answer) => {
        const call = answer.output.find((item) => item.type === 'function_call');
        assert.equal(call.name, 'weather');
        assert.deepEqual(JSON.parse(call.arguments), { town: 'Rome' });
    });

response('some tool can be required', [`weather">\n${restOfCall({ town: 'Rome' })}`],
    { input: 'Hi', tools: [TIME, WEATHER], tool_choice: 'required', reasoning: { effort: 'none' } }, (answer) => {
        assert.equal(answer.output[0].name, 'weather');
    });

response('tool_choice none gives no calls', [`Well.${calls(OSLO)}`], { input: 'Hi', tools: [WEATHER], tool_choice: 'none' }, (answer) => {
    assert(answer.output.every((item) => item.type !== 'function_call'));
    assert.match(answer.output_text, /^Well\./);
});

response('a custom tool gets free text', [calls(invoke('apply_patch', { input: '*** Begin Patch\n*** End Patch' }))],
    { input: 'Patch', tools: [{ type: 'custom', name: 'apply_patch', description: 'Patches',
        format: { type: 'grammar', syntax: 'lark', definition: 'start: /.+/' } }] },
    (answer) => {
        const call = answer.output.find((item) => item.type === 'custom_tool_call');
        assert.match(call.id, /^ctc_/);
        assert.match(call.call_id, /^call_/);
        assert.equal(call.name, 'apply_patch');
        assert.equal(call.input, '*** Begin Patch\n*** End Patch');
    });

response('a tool of a namespace comes back with its namespace', [calls(invoke('agents__spawn', { task: 'x' }))],
    { input: 'Go', tools: [{ type: 'namespace', name: 'agents', description: 'Agents',
        tools: [{ type: 'function', name: 'spawn', parameters: { type: 'object', properties: { task: { type: 'string' } } } }] }] },
    (answer) => {
        const call = answer.output.find((item) => item.type === 'function_call');
        assert.equal(call.namespace, 'agents');
        assert.equal(call.name, 'spawn');
    });

response('hosted tools are left out', ['Hello.'], { input: 'Hi', tools: [{ type: 'web_search' }, WEATHER] }, (answer) =>
    assert.equal(answer.output_text, 'Hello.'));

const FORMAT = {
    type: 'json_schema',
    name: 'number',
    strict: true,
    schema: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'], additionalProperties: false },
};
response('json_schema', ['{"n": 7}'], { input: 'A number', text: { format: FORMAT } }, (answer) => {
    assert.deepEqual(JSON.parse(answer.output_text), { n: 7 });
    assert.equal(answer.text.format.type, 'json_schema');
    assert.equal(answer.finish_details, undefined);
});
response('json_object', ['{"n": 7}'], { input: 'A number', text: { format: { type: 'json_object' } } }, (answer) =>
    assert.deepEqual(JSON.parse(answer.output_text), { n: 7 }));
response('an answer that is not the JSON asked for is marked', ['seven'], { input: 'A number', text: { format: { type: 'json_object' } } }, (answer) => {
    assert.equal(answer.output_text, 'seven');
    assert.equal(answer.finish_details?.type, 'invalid_json');
});

response('max_output_tokens cuts', ['one two three four five'], { input: 'Count', max_output_tokens: 2, reasoning: { effort: 'none' } }, (answer) => {
    assert.equal(answer.status, 'incomplete');
    assert.equal(answer.incomplete_details.reason, 'max_output_tokens');
    assert.equal(answer.usage.output_tokens, 2);
    assert.equal(answer.max_output_tokens, 2);
});

response('logprobs are of the shown tokens', ['Hello, world.'],
    { input: 'Hi', include: ['message.output_text.logprobs'], top_logprobs: 2, reasoning: { effort: 'none' } }, (answer) => {
        const { logprobs } = message(answer).content[0];
        assert.equal(logprobs.map((t) => t.token).join(''), 'Hello, world.');
        assert(logprobs.every((t) => t.logprob <= 0 && t.top_logprobs.length === 2));
    });

response('a stop string is not shown', ['one two three'], { input: 'Count', stop: ['two'] }, (answer) =>
    assert.equal(answer.output_text, 'one '));

const BROKEN = thinking('Hm.', calls('<｜DSML｜invoke name="weather">\nand so on\n</｜DSML｜invoke>\n'));
// the package throws where arguments of a strict tool are no JSON
response('a call that is none is marked, and the answer ends', [BROKEN], { input: 'Oslo?', tools: [{ ...WEATHER, strict: false }] }, (answer) =>
    assert.equal(answer.finish_details?.type, 'invalid_tool_call'));

response('a call that the limit cuts is incomplete', [calls(OSLO)],
    { input: 'Oslo?', tools: [WEATHER], max_output_tokens: 30, reasoning: { effort: 'none' } }, (answer) => {
        assert.equal(answer.status, 'incomplete');
        assert.equal(answer.output[0].type, 'function_call');
        assert.equal(answer.output[0].status, 'incomplete');
        assert.throws(() => JSON.parse(answer.output[0].arguments));
    });

response('a client can search for tools', [calls(invoke('tool_search', { query: 'weather' }))],
    { input: 'Oslo?', tools: [{ type: 'tool_search', execution: 'client', description: 'Finds tools',
        parameters: { type: 'object', properties: { query: { type: 'string' } } } }, { ...WEATHER, defer_loading: true }] },
    (answer) => {
        const call = answer.output.find((item) => item.type === 'tool_search_call');
        assert.equal(call.execution, 'client');
        assert.deepEqual({ ...call.arguments }, { query: 'weather' });
    });

test('responses: an empty input loads the model, as Codex asks with --oss', () =>
    served(['x'], async (url) => {
        const answer = await connect(url).responses.create({ model: MODEL, input: '', max_output_tokens: 1 });
        assert(['completed', 'incomplete'].includes(answer.status));
    }));

for (const stream of [false, true])
    test(`responses${stream ? ', stream' : ''}: the output as input of the next turn is found in the cache`, () =>
        served([thinking('Hm.', `I look.${calls(OSLO)}`), thinking('Ah.', 'It rains.')], async (url) => {
            const client = connect(url);
            const ask = async (parameters) =>
                stream ? await client.responses.stream(parameters).finalResponse() : await client.responses.create(parameters);
            const common = { model: MODEL, tools: [WEATHER], include: ['reasoning.encrypted_content'], instructions: 'You look things up. '.repeat(20) };
            const input = [{ role: 'user', content: [{ type: 'input_text', text: 'Oslo?' }] }];
            const first = await ask({ ...common, input });
            const call = first.output.find((item) => item.type === 'function_call');
            const output = first.output.map(({ parsed_arguments, ...item }) => item);
            const second = await ask({
                ...common,
                input: [...input, ...output, { type: 'function_call_output', call_id: call.call_id, output: 'rain' }],
            });
            assert.equal(second.output_text, 'It rains.');
            // the first prompt and its answer, token by token
            const { usage } = second;
            assert(usage.input_tokens_details.cached_tokens >= first.usage.total_tokens - 1, JSON.stringify([first.usage, usage]));
            assert.equal(await metric(url, 'ds4_cached_tokens_total'), usage.input_tokens_details.cached_tokens);
        }));

test('responses: items of every kind are read', () =>
    served(['Read.'], async (url) => {
        const answer = await connect(url).responses.create({
            model: MODEL,
            tools: [WEATHER],
            input: [
                { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'Be brief.' }] },
                { role: 'user', content: 'a' },
                { type: 'reasoning', id: 'rs_1', summary: [], content: null, encrypted_content: 'gAAAAA' },
                { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'b', annotations: [] }] },
                { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{"town":"Oslo"}' },
                { type: 'function_call_output', call_id: 'call_1', output: [{ type: 'input_text', text: 'rain' }] },
                { type: 'custom_tool_call', call_id: 'call_2', name: 'patch', input: 'x' },
                { type: 'custom_tool_call_output', call_id: 'call_2', output: 'done' },
                { type: 'compaction', encrypted_content: 'x' },
                { role: 'system', content: 'Still brief.' },
                { role: 'user', content: [{ type: 'input_text', text: 'c' }] },
            ],
        });
        assert.equal(answer.output_text, 'Read.');
    }));

test('responses: a count is what the request then takes', () =>
    served(['Hello.'], async (url) => {
        const parameters = { model: MODEL, input: 'Hi there', instructions: 'Be brief.', tools: [WEATHER] };
        const count = await connect(url).responses.inputTokens.count(parameters);
        assert.equal(count.object, 'response.input_tokens');
        const answer = await connect(url).responses.create(parameters);
        assert.equal(answer.usage.input_tokens, count.input_tokens);
    }));

const failure = (promise) => promise.then(() => assert.fail('no error'), (error) => error);
for (const [what, parameters, param] of [
    ['a former response', { input: 'Hi', previous_response_id: 'resp_1' }, 'previous_response_id'],
    ['a conversation', { input: 'Hi', conversation: 'conv_1' }, 'conversation'],
    ['background', { input: 'Hi', background: true }, 'background'],
    ['a stored prompt', { prompt: { id: 'pmpt_1' } }, 'prompt'],
    ['store', { input: 'Hi', store: true }, 'store'],
    ['truncation', { input: 'Hi', truncation: 'auto' }, 'truncation'],
    ['a missing input', {}, 'input'],
    ['a wrong temperature', { input: 'Hi', temperature: 'hot' }, 'temperature'],
    ['an image', { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:image/png;base64,AA==' }] }] }, 'input[0].content[0]'],
])
    test(`responses: ${what} is refused by name`, () =>
        served(null, async (url) => {
            for (const stream of [false, true]) {
                const error = await failure(connect(url).responses.create({ model: MODEL, stream, ...parameters }));
                assert(error instanceof OpenAI.BadRequestError, String(error));
                assert.equal(error.param, param, error.message);
                assert.equal(error.type, 'invalid_request_error');
            }
        }));

test('responses: too long a prompt has its code', () =>
    served(null, async (url) => {
        const error = await failure(connect(url).responses.create({ model: MODEL, input: 'word '.repeat(2000) }));
        assert.equal(error.code, 'context_length_exceeded');
        assert.equal(error.param, 'input');
    }, ['--ctx', '512']));
