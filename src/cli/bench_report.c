/* What ds4 bench found, as text for people, as CSV and as JSON. The latter two are documented in docs/cli.md. */
#include "base/memory.h"
#include "cli/bench.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#ifndef DS4_COMMIT
#define DS4_COMMIT "" /* not built in a repository */
#endif

void bench_add(bench_text *text, const char *format, ...) {
    char piece[1024];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= sizeof piece || !buffer_append(&text->bytes, piece, (size_t)n)) text->failed = true;
}

const char *bench_number(double number, char text[BENCH_NUMBER_BYTES]) {
    int n_decimals = number >= 100 ? 0 : number >= 10 ? 1 : number >= 1 ? 2 : 3;
    snprintf(text, BENCH_NUMBER_BYTES, "%.*f", n_decimals, number);
    return text;
}

static double gigabytes(double n_bytes) {
    return n_bytes * 1e-9;
}

/* ---- text ---- */

static void add_head(bench_text *text, const bench_report *r) {
    bench_add(text, "ds4 %s%s%s%s, %s\n", DS4_VERSION, *DS4_COMMIT ? " (" : "", DS4_COMMIT, *DS4_COMMIT ? ")" : "",
              r->date);
    bench_add(text, "%s, %.1f GB of memory, %d thread%s\n", *r->cpu ? r->cpu : "unknown processor",
              gigabytes((double)r->machine_bytes), r->n_threads, r->n_threads == 1 ? "" : "s");
    bench_add(text, "%s, %.2f GB, ready in %.3f s\n", r->model, gigabytes((double)r->model_bytes), r->load_seconds);
    bench_add(text, "backend %s%s%s%s, chunks of %d tokens\n", r->backend, *r->kernels ? " " : "", r->kernels,
              r->exact ? " exact" : "", r->chunk);
    if (r->bandwidth_before > 0)
        bench_add(text, "reads memory at %.2f GB/s (%.2f before, ", gigabytes(r->bandwidth),
                  gigabytes(r->bandwidth_before));
    if (r->bandwidth_before > 0 && r->bandwidth_after > 0)
        bench_add(text, "%.2f after)\n", gigabytes(r->bandwidth_after));
    else if (r->bandwidth_before > 0)
        bench_add(text, "not measured after)\n");
    else if (r->bandwidth > 0)
        bench_add(text, "bandwidth taken as %.2f GB/s, not measured\n", gigabytes(r->bandwidth));
}

static void add_speed(bench_text *text, const bench_speed *speed) {
    char median[BENCH_NUMBER_BYTES] = "-", lowest[BENCH_NUMBER_BYTES], highest[BENCH_NUMBER_BYTES];
    char range[2 * BENCH_NUMBER_BYTES + 2] = "";
    if (speed->n_runs) {
        bench_number(speed->median, median);
        snprintf(range, sizeof range, "%s..%s", bench_number(speed->lowest, lowest),
                 bench_number(speed->highest, highest));
    }
    bench_add(text, " %10s %-18s", median, range);
}

static void add_row(bench_text *text, const bench_report *r, const bench_row *row) {
    bench_add(text, "%9zu", row->context);
    add_speed(text, &row->prefill);
    bench_add(text, " %9.3f s", row->first_token_seconds);
    add_speed(text, &row->decode);
    char rate[32] = "-", share[32] = "-";
    if (row->decode.n_runs) snprintf(rate, sizeof rate, "%.2f", gigabytes(bench_weight_rate(row)));
    if (bench_share(r, row) > 0) snprintf(share, sizeof share, "%.1f %%", 100 * bench_share(r, row));
    bench_add(text, " %8s %9s\n", rate, share);
}

static void add_notes(bench_text *text, const bench_report *r) {
    bool from_cache = false;
    for (size_t i = 0; i < r->n_rows; i++) from_cache = from_cache || bench_share(r, &r->row[i]) > 1;
    bench_add(
        text,
        "\nMedian and range of %d run%s (prefill: fewer where they take over a minute); %d token%s decoded one by\n"
        "one. GB/s: weights that these tokens must read; share: of the bandwidth.\n",
        r->repeat, r->repeat == 1 ? "" : "s", r->n_decode, r->n_decode == 1 ? "" : "s");
    bench_add(text, "Memory: %.3f GB, at most %.3f GB", gigabytes((double)r->memory.resident_bytes),
              gigabytes((double)r->memory.peak_bytes));
    if (r->memory.anonymous_bytes)
        bench_add(text, "; %.3f GB its own, %.3f GB files such as weights",
                  gigabytes((double)r->memory.anonymous_bytes), gigabytes((double)r->memory.file_bytes));
    bench_add(text, ".\n");
    if (from_cache)
        bench_add(text,
                  "More than 100 %%: much of what is read stays in the processor's cache, the model is that small.\n");
    if (r->machine_bytes && r->model_bytes > r->machine_bytes)
        bench_add(text, "The model is larger than the memory: weights come from the disk again and again.\n");
    if (!r->complete) bench_add(text, "Not complete.\n");
}

void bench_add_table(bench_text *text, const bench_report *r) {
    add_head(text, r);
    bench_add(text, "\n%9s %-29s %11s %-29s %8s %9s\n", "context", "    prefill tokens/s", "first token",
              "     decode tokens/s", "GB/s", "share");
    for (size_t i = 0; i < r->n_rows; i++) add_row(text, r, &r->row[i]);
    add_notes(text, r);
}

/* ---- CSV ---- */

static void add_csv_string(bench_text *text, const char *string) {
    bench_add(text, ",\"");
    for (; *string; string++) bench_add(text, "%s%c", *string == '"' ? "\"" : "", *string);
    bench_add(text, "\"");
}

/* Empty where there is no number. */
static void add_csv_number(bench_text *text, bool there, double number) {
    if (there)
        bench_add(text, ",%.6g", number);
    else
        bench_add(text, ",");
}

static void add_csv_speed(bench_text *text, const bench_speed *speed) {
    bench_add(text, ",%d", speed->n_runs);
    add_csv_number(text, speed->n_runs, speed->median);
    add_csv_number(text, speed->n_runs, speed->lowest);
    add_csv_number(text, speed->n_runs, speed->highest);
}

static void add_csv_row(bench_text *text, const bench_report *r, const bench_row *row) {
    bench_add(text, "%zu,%zu", row->context, row->prefill_tokens);
    add_csv_speed(text, &row->prefill);
    bench_add(text, ",%.6g,%d", row->first_token_seconds, r->n_decode);
    add_csv_speed(text, &row->decode);
    bench_add(text, ",%" PRIu64, row->weight_bytes);
    add_csv_number(text, row->decode.n_runs, gigabytes(bench_weight_rate(row)));
    add_csv_number(text, r->bandwidth > 0, gigabytes(r->bandwidth));
    add_csv_number(text, bench_share(r, row) > 0, bench_share(r, row));
    bench_add(text, ",%zu,%" PRIu64 ",%" PRIu64, row->timeline_bytes, row->resident_bytes, r->memory.peak_bytes);
    bench_add(text, ",%.6g,%d,%d", r->load_seconds, r->n_threads, r->chunk);
    add_csv_string(text, r->backend);
    add_csv_string(text, r->kernels);
    bench_add(text, ",%d", r->exact);
    add_csv_string(text, r->model);
    bench_add(text, ",%" PRIu64, r->model_bytes);
    add_csv_string(text, r->cpu);
    add_csv_string(text, DS4_VERSION);
    add_csv_string(text, DS4_COMMIT);
    add_csv_string(text, r->date);
    bench_add(text, "\n");
}

void bench_add_csv(bench_text *text, const bench_report *r) {
    bench_add(
        text,
        "context,prefill_tokens,prefill_runs,prefill_tokens_per_second,prefill_lowest,prefill_highest,"
        "first_token_seconds,decode_tokens,decode_runs,decode_tokens_per_second,decode_lowest,decode_highest,"
        "weight_bytes,weight_gb_per_second,bandwidth_gb_per_second,bandwidth_share,timeline_bytes,"
        "resident_bytes,peak_resident_bytes,load_seconds,threads,chunk,backend,kernels,exact,model,model_bytes,cpu,"
        "version,commit,date\n");
    for (size_t i = 0; i < r->n_rows; i++) add_csv_row(text, r, &r->row[i]);
}

/* ---- JSON ---- */

/* null where there is no number. A part that could not be made makes what takes it fail. */
static json_t *json_number(bool there, double number) {
    return there ? json_real(number) : json_null();
}

static json_t *json_speed(const bench_speed *speed) {
    bool there = speed->n_runs > 0;
    return json_pack("{s:i, s:o, s:o, s:o}", "runs", speed->n_runs, "median", json_number(there, speed->median),
                     "lowest", json_number(there, speed->lowest), "highest", json_number(there, speed->highest));
}

static json_t *json_row(const bench_report *r, const bench_row *row) {
    double share = bench_share(r, row);
    return json_pack("{s:I, s:I, s:o, s:f, s:o, s:I, s:o, s:o, s:I, s:I}", "context", (json_int_t)row->context,
                     "prefill_tokens", (json_int_t)row->prefill_tokens, "prefill_tokens_per_second",
                     json_speed(&row->prefill), "first_token_seconds", row->first_token_seconds,
                     "decode_tokens_per_second", json_speed(&row->decode), "weight_bytes",
                     (json_int_t)row->weight_bytes, "weight_gb_per_second",
                     json_number(row->decode.n_runs > 0, gigabytes(bench_weight_rate(row))), "bandwidth_share",
                     json_number(share > 0, share), "timeline_bytes", (json_int_t)row->timeline_bytes, "resident_bytes",
                     (json_int_t)row->resident_bytes);
}

static json_t *json_head(const bench_report *r) {
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:f, s:s, s:s, s:b, s:i, s:i, s:i, s:i}", "version",
                     DS4_VERSION, "commit", DS4_COMMIT, "date", r->date, "cpu", r->cpu, "memory_bytes",
                     (json_int_t)r->machine_bytes, "model", r->model, "model_bytes", (json_int_t)r->model_bytes,
                     "load_seconds", r->load_seconds, "backend", r->backend, "kernels", r->kernels, "exact", r->exact,
                     "threads", r->n_threads, "chunk", r->chunk, "decode_tokens", r->n_decode, "repeat", r->repeat);
}

static json_t *json_bandwidth(const bench_report *r) {
    return json_pack("{s:o, s:o, s:o}", "gb_per_second", json_number(r->bandwidth > 0, gigabytes(r->bandwidth)),
                     "before", json_number(r->bandwidth_before > 0, gigabytes(r->bandwidth_before)), "after",
                     json_number(r->bandwidth_after > 0, gigabytes(r->bandwidth_after)));
}

static json_t *json_memory(const process_memory *memory) {
    return json_pack("{s:I, s:I, s:I, s:I}", "resident_bytes", (json_int_t)memory->resident_bytes, "peak_bytes",
                     (json_int_t)memory->peak_bytes, "anonymous_bytes", (json_int_t)memory->anonymous_bytes,
                     "file_bytes", (json_int_t)memory->file_bytes);
}

void bench_add_json(bench_text *text, const bench_report *r) {
    json_t *object = json_head(r), *rows = json_array();
    bool ok = object && rows;
    for (size_t i = 0; i < r->n_rows; i++) ok = ok && json_array_append_new(rows, json_row(r, &r->row[i])) == 0;
    ok = ok && json_object_set_new(object, "bandwidth", json_bandwidth(r)) == 0;
    ok = ok && json_object_set_new(object, "memory", json_memory(&r->memory)) == 0;
    ok = ok && json_object_set_new(object, "complete", json_boolean(r->complete)) == 0;
    ok = ok && json_object_set(object, "contexts", rows) == 0;
    char *dump = ok ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    text->failed |= !dump || !buffer_append_string(&text->bytes, dump) || !buffer_append_string(&text->bytes, "\n");
    free(dump);
    json_decref(rows);
    json_decref(object);
}
