// Coding agents, unmodified, each let write a file with a tool of its own. docs/clients.md has the same configurations.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { MODEL, calls, invoke, metric, newFolder, program, served, thinking } from './support.mjs';

const CONTENT = 'hello from the model\n';
const TASK = 'Write a greeting into hello.txt.';
const LAST_WORDS = 'The greeting is written.';
const MINUTES = 60 * 1000;

const script = (tool, values) => [thinking('A file is wanted.', `I write it.${calls(invoke(tool, values))}`), LAST_WORDS];

// An empty project and an empty home.
function newPlace(name) {
    const place = newFolder(name);
    const project = join(place, 'project');
    const home = join(place, 'home');
    mkdirSync(project);
    mkdirSync(home);
    spawnSync('git', ['init', '-q', project]); // so that no agent takes the repository around it for its project
    return { place, project, home, file: join(project, 'hello.txt') };
}

// Only what the recipe says is in the agent's environment.
function run({ project, home }, command, environment) {
    const { PATH, LANG, HTTP_PROXY, HTTPS_PROXY, NO_PROXY } = process.env;
    const env = { PATH, LANG, HTTP_PROXY, HTTPS_PROXY, NO_PROXY, HOME: home, TERM: 'dumb', ...environment };
    const child = spawn(program(command[0]), command.slice(1), { cwd: project, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const result = { stdout: '', stderr: '' };
    child.stdout.on('data', (bytes) => (result.stdout += bytes));
    child.stderr.on('data', (bytes) => (result.stderr += bytes));
    const timer = setTimeout(() => child.kill('SIGKILL'), 8 * MINUTES);
    return new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code, signal) => {
            clearTimeout(timer);
            resolve({ ...result, status: code ?? signal });
        });
    });
}

// recipe(url, place) writes configuration files and gives {command, environment}; tool(place) what the model calls.
// before: blocks of requests that come first.
function writesAFile(name, api, tool, recipe, before = []) {
    test(`${name} writes a file`, async () => {
        const place = newPlace(name.replace(/\W+/g, '-'));
        const [toolName, values] = tool(place);
        await served([...before, ...script(toolName, values)], async (url) => {
            const { command, environment } = recipe(url, place);
            const result = await run(place, command, environment);
            const all = `${result.stdout}\n${result.stderr}`;
            assert.equal(result.status, 0, all);
            assert.equal(readFileSync(place.file, 'utf8'), CONTENT, all);
            assert(result.stdout.includes(LAST_WORDS), all);
            // one request for the call and one for its result, none repeated; the second prompt is not computed again
            assert.equal(await metric(url, `ds4_requests_total{api="${api}",status="200"}`), before.length + 2, all);
            assert((await metric(url, 'ds4_cached_tokens_total')) > 0.4 * (await metric(url, 'ds4_prompt_tokens_total')), all);
        });
        rmSync(place.place, { recursive: true });
    });
}

// ---- Codex ------------------------------------------------------------------------------------------

const PRINTF = `printf '${CONTENT.replace('\n', '\\n')}'`;
const CODEX = ['codex', 'exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox'];

// What Codex is told of the model; without it, it guesses and warns.
const codexModel = (more) => ({
    slug: MODEL,
    display_name: 'ds4',
    supported_reasoning_levels: [{ effort: 'high', description: 'thinks' }],
    default_reasoning_level: 'high',
    supports_reasoning_summaries: true,
    support_verbosity: false,
    supports_parallel_tool_calls: true,
    shell_type: 'unified_exec',
    apply_patch_tool_type: 'freeform',
    truncation_policy: { mode: 'tokens', limit: 10000 },
    context_window: 131072,
    visibility: 'list',
    supported_in_api: true,
    priority: 1,
    experimental_supported_tools: [],
    base_instructions: 'You are a coding agent. Use your tools to do what the user asks.',
    ...more,
});

const codex = (model) => (url, { home }) => {
    const folder = join(home, '.codex');
    const catalog = join(folder, 'models.json');
    mkdirSync(folder);
    if (model) writeFileSync(catalog, JSON.stringify({ models: [model] }));
    writeFileSync(
        join(folder, 'config.toml'),
        `model = "${MODEL}"
model_provider = "ds4"
${model ? `model_catalog_json = "${catalog}"` : ''}

[model_providers.ds4]
name = "ds4"
base_url = "${url}/v1"
wire_api = "responses"
env_key = "DS4_API_KEY"
request_max_retries = 0
stream_max_retries = 0
`,
    );
    return { command: [...CODEX, TASK], environment: { DS4_API_KEY: 'any' } };
};
const codexOss = (url) => ({
    command: [...CODEX, '--oss', '--local-provider', 'lmstudio', '--model', MODEL, TASK],
    environment: { CODEX_OSS_BASE_URL: `${url}/v1` },
});

const PATCH = `*** Begin Patch\n*** Add File: hello.txt\n+${CONTENT}*** End Patch`;
const PROGRAM = `text(await tools.exec_command({ cmd: ${JSON.stringify(`${PRINTF} >hello.txt`)} }));`;
writesAFile('Codex', 'responses', () => ['exec_command', { cmd: `${PRINTF} >hello.txt` }], codex(null));
writesAFile('Codex, patch as free text,', 'responses', () => ['apply_patch', { input: PATCH }], codex(codexModel()));
writesAFile('Codex, code mode,', 'responses', () => ['exec', { input: PROGRAM }], codex(codexModel({ tool_mode: 'code_mode_only' })));
// it first asks for one token, to load the model
writesAFile('Codex --oss', 'responses', () => ['exec_command', { cmd: `${PRINTF} >hello.txt` }], codexOss, ['x']);

// ---- Claude Code ------------------------------------------------------------------------------------

function claude(url, ...options) {
    return {
        command: ['claude', ...options, '-p', TASK],
        environment: {
            ANTHROPIC_BASE_URL: url,
            ANTHROPIC_AUTH_TOKEN: 'any',
            ANTHROPIC_MODEL: MODEL,
            ANTHROPIC_DEFAULT_OPUS_MODEL: MODEL,
            ANTHROPIC_DEFAULT_SONNET_MODEL: MODEL,
            ANTHROPIC_DEFAULT_HAIKU_MODEL: MODEL,
            CLAUDE_CODE_SUBAGENT_MODEL: MODEL,
            CLAUDE_CODE_MAX_CONTEXT_TOKENS: '131072',
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
            DISABLE_AUTOUPDATER: '1',
        },
    };
}
writesAFile('Claude Code', 'messages', ({ file }) => ['Write', { file_path: file, content: CONTENT }], (url) =>
    claude(url, '--allowedTools=Write'));
writesAFile('Claude Code, bare', 'messages', ({ file }) => ['Bash', { command: `${PRINTF} >${file}` }], (url) => {
    const recipe = claude(url, '--bare', '--allowedTools=Bash');
    // --bare looks at the key only
    recipe.environment.ANTHROPIC_API_KEY = recipe.environment.ANTHROPIC_AUTH_TOKEN;
    delete recipe.environment.ANTHROPIC_AUTH_TOKEN;
    return recipe;
});

// ---- opencode ---------------------------------------------------------------------------------------

const opencode = (npm) => (url, { home }) => {
    const config = join(home, 'opencode.json');
    const model = { name: 'ds4', reasoning: true, tool_call: true, limit: { context: 131072, output: 8192 } };
    const provider = { npm, name: 'ds4', options: { baseURL: `${url}/v1`, apiKey: '{env:DS4_API_KEY}' }, models: { [MODEL]: model } };
    writeFileSync(
        config,
        JSON.stringify({
            $schema: 'https://opencode.ai/config.json',
            model: `ds4/${MODEL}`,
            small_model: `ds4/${MODEL}`,
            autoupdate: false,
            share: 'disabled',
            provider: { ds4: provider },
        }),
    );
    return {
        // with a title it asks the model for none, which would take a block of the script
        command: ['opencode', 'run', '--title', 'greeting', TASK],
        environment: { OPENCODE_CONFIG: config, DS4_API_KEY: 'any' },
    };
};
const opencodeTool = ({ file }) => ['write', { filePath: file, content: CONTENT }];
writesAFile('opencode, chat', 'chat', opencodeTool, opencode('@ai-sdk/openai-compatible'));
writesAFile('opencode, responses', 'responses', opencodeTool, opencode('@ai-sdk/openai'));
writesAFile('opencode, messages', 'messages', opencodeTool, opencode('@ai-sdk/anthropic'));

// ---- Pi ---------------------------------------------------------------------------------------------

const pi = (api, path) => (url, { home }) => {
    const folder = join(home, '.pi', 'agent');
    mkdirSync(folder, { recursive: true });
    const model = { id: MODEL, name: 'ds4', reasoning: true, input: ['text'], contextWindow: 131072, maxTokens: 8192 };
    writeFileSync(
        join(folder, 'models.json'),
        JSON.stringify({ providers: { ds4: { baseUrl: url + path, api, apiKey: 'DS4_API_KEY', models: [model] } } }),
    );
    return {
        command: ['pi', '--provider', 'ds4', '--model', MODEL, '-p', TASK],
        environment: { DS4_API_KEY: 'any', PI_OFFLINE: '1' },
    };
};
const piTool = () => ['write', { path: 'hello.txt', content: CONTENT }];
writesAFile('Pi, chat', 'chat', piTool, pi('openai-completions', '/v1'));
writesAFile('Pi, responses', 'responses', piTool, pi('openai-responses', '/v1'));
writesAFile('Pi, messages', 'messages', piTool, pi('anthropic-messages', ''));

// ---- Qwen Code --------------------------------------------------------------------------------------

const qwen = (provider, path, more, ...options) => (url, { home }) => {
    const folder = join(home, '.qwen');
    mkdirSync(folder);
    const model = {
        id: MODEL,
        name: 'ds4',
        baseUrl: url + path,
        envKey: 'DS4_API_KEY',
        generationConfig: { contextWindowSize: 131072 },
        ...more,
    };
    writeFileSync(
        join(folder, 'settings.json'),
        JSON.stringify({
            modelProviders: { [provider]: [model] },
            security: { auth: { selectedType: provider } },
            model: { name: MODEL },
            general: { enableAutoUpdate: false },
            privacy: { usageStatisticsEnabled: false },
        }),
    );
    return { command: ['qwen', '--approval-mode', 'auto-edit', ...options, '-p', TASK], environment: { DS4_API_KEY: 'any' } };
};
const qwenTool = ({ file }) => ['write_file', { file_path: file, content: CONTENT }];
// once with everything, else with half of the prompt, to save time
const QWEN_BRIEF = ['--core-tools', 'write_file', '--system-prompt', 'You are a coding agent.'];
writesAFile('Qwen Code, chat', 'chat', qwenTool, qwen('openai', '/v1', {}));
writesAFile('Qwen Code, responses', 'responses', qwenTool, qwen('openai', '/v1', { wireApi: 'responses' }, ...QWEN_BRIEF));
writesAFile('Qwen Code, messages', 'messages', qwenTool, qwen('anthropic', '', {}, ...QWEN_BRIEF));

// ---- Copilot ----------------------------------------------------------------------------------------

const copilot = (path, more, ...options) => (url) => ({
    command: ['copilot', '--allow-all-tools', ...options, '-p', TASK],
    environment: {
        COPILOT_PROVIDER_BASE_URL: url + path,
        COPILOT_PROVIDER_API_KEY: 'any',
        COPILOT_MODEL: MODEL,
        COPILOT_PROVIDER_MAX_PROMPT_TOKENS: '122880',
        COPILOT_PROVIDER_MAX_OUTPUT_TOKENS: '8192',
        COPILOT_OFFLINE: 'true',
        ...more,
    },
});
const copilotTool = ({ file }) => ['create', { path: file, file_text: CONTENT }];
const COPILOT_BRIEF = '--available-tools=create';
writesAFile('Copilot, chat', 'chat', copilotTool, copilot('/v1', {}));
writesAFile('Copilot, responses', 'responses', copilotTool,
    copilot('/v1', { COPILOT_PROVIDER_WIRE_API: 'responses' }, COPILOT_BRIEF));
writesAFile('Copilot, messages', 'messages', copilotTool, copilot('', { COPILOT_PROVIDER_TYPE: 'anthropic' }, COPILOT_BRIEF));

// ---- Continue ---------------------------------------------------------------------------------------

const continueCli = (provider) => (url, { home }) => {
    const config = join(home, 'config.yaml');
    writeFileSync(
        config,
        `name: ds4
version: 1.0.0
schema: v1
models:
  - name: ds4
    provider: ${provider}
    model: ${MODEL}
    apiBase: ${url}/v1
    apiKey: any
    roles: [chat]
    capabilities: [tool_use]
    defaultCompletionOptions:
      contextLength: 131072
      maxTokens: 8192
`,
    );
    return { command: ['cn', '--config', config, '--allow', 'Write', '-p', TASK], environment: {} };
};
const continueTool = ({ file }) => ['Write', { filepath: file, content: CONTENT }];
writesAFile('Continue, chat', 'chat', continueTool, continueCli('openai'));
writesAFile('Continue, messages', 'messages', continueTool, continueCli('anthropic'));
