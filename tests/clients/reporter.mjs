// One line a test, what went wrong, and the counts at the end.
import { basename } from 'node:path';

export default async function* report(events) {
    let passed = 0;
    let failed = 0;
    for await (const { type, data } of events) {
        // left out by --test-name-pattern
        if (data?.skip !== undefined) continue;
        if (type === 'test:pass') {
            passed++;
            yield `ok    ${basename(data.file ?? '', '.mjs')}: ${data.name} (${(data.details.duration_ms / 1000).toFixed(1)} s)\n`;
        }
        if (type === 'test:fail') {
            failed++;
            const cause = data.details.error?.cause ?? data.details.error;
            yield `FAILED ${basename(data.file ?? '', '.mjs')}: ${data.name}\n${cause?.stack ?? cause}\n`;
        }
        if (type === 'test:stderr' || type === 'test:stdout') yield data.message;
    }
    // a run without a test is no success
    if (passed + failed === 0) process.exitCode = 1;
    yield `${passed} passed, ${failed} failed\n`;
}
