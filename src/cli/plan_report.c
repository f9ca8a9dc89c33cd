#include "cli/plan_report.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static double gib(uint64_t n_bytes) {
    return (double)n_bytes / 0x1p30;
}

static bool of_gpu(const plan_report *r) {
    return r->settings.backend == PLAN_GPU;
}

static uint64_t session_bytes(const plan_memory *m) {
    return m->rings + m->rows + m->lists;
}

/* ---- text: the model ---- */

/* A name of a file goes to the terminal as an error message would: without control characters. */
static void put_heading(const plan_report *r) {
    static const char *const source[] = {[SOURCE_RECIPE] = "; the file is not needed for this",
                                         [SOURCE_FILE] = "",
                                         [SOURCE_URL] = "; only the beginning of the file was read"};
    ds4_error line;
    error_set(&line, DS4_OK, "%s: %.2f GiB of weights (%" PRIu64 " bytes)%s", r->model, gib(r->plan->weight_bytes),
              r->plan->weight_bytes, source[r->source]);
    stdout_print("%s\n", line.message);
    if (r->plan->tensor_bytes > r->plan->weight_bytes)
        stdout_print("Its tensors share bytes: each with its own they would be %.2f GiB.\n",
                     gib(r->plan->tensor_bytes));
}

static void put_weights(const plan *p) {
    char size[32];
    size_t n_tensors = 0;
    stdout_print("\nWeights\n");
    for (size_t g = 0; g < N_TENSOR_GROUPS; g++) {
        const tensor_group *group = &p->group[g];
        n_tensors += group->n_tensors;
        size_format(group->n_bytes, size);
        if (group->n_tensors) stdout_print("  %-20s %5zu tensors  %12s\n", group->name, group->n_tensors, size);
    }
    size_format(p->tensor_bytes, size);
    stdout_print("  %-20s %5zu tensors  %12s\n", "all", n_tensors, size);
}

static void put_beside_weights(const plan_report *r) {
    const plan_case *last = &r->cases[r->n_cases - 1];
    char size[32], more[32];
    uint64_t least, most;
    stdout_print("\nBeside the weights\n");
    size_format(last->memory.scratch, size);
    stdout_print("  %-20s %12s   for chunks of %d tokens", "scratch", size, r->settings.chunk_tokens);
    if (!of_gpu(r)) stdout_print(", %d thread%s", r->settings.n_threads, r->settings.n_threads == 1 ? "" : "s");
    size_format(last->memory.rings, size);
    stdout_print("\n  %-20s %12s   of a session: the window's rows, open windows\n", "frontier", size);
    size_format(last->memory.rows / last->n_context, size);
    stdout_print("  %-20s %12s   of a session, for each token of context\n", "rows", size);
    plan_checkpoint_bytes(r->plan, &least, &most);
    size_format(least, size);
    size_format(most, more);
    stdout_print("  %-20s %12s   to %s, if one is made; it shares the rows\n", "a checkpoint", size, more);
}

/* ---- text: the machine ---- */

static void put_room(const plan_report *r, const plan_room *room) {
    stdout_print("  %-20s %8.1f GiB", "memory", gib(room->memory_bytes));
    if (of_gpu(r) && room->can_be_raised)
        stdout_print("   of which its GPU may use %s%.0f GiB", r->target.is_working_estimated ? "about " : "",
                     gib(room->working_bytes));
    stdout_print("\n");
}

static void put_machine(const plan_report *r) {
    const plan_target *t = &r->target;
    const machine *m = &t->machine;
    stdout_print("\nMachine: %s, %s\n", t->name, of_gpu(r) ? "GPU" : "CPU");
    for (size_t i = 0; i < t->n_rooms; i++) put_room(r, &t->room[i]);
    stdout_print("  %-20s %7.*f GB/s   %s\n", "memory bandwidth", m->bandwidth_gb < 100, m->bandwidth_gb,
                 t->is_measured ? "measured just now" : "from its maker's figures");
    if (of_gpu(r) && m->tflops > 0)
        stdout_print("  %-20s %5.1f TFLOP/s   from its maker's figures\n", "arithmetic", m->tflops);
}

/* ---- text: contexts ---- */

/* The smallest memory in which the case fits, or for a single one whether it does. */
static void describe_fit(const plan_report *r, const plan_case *c, char text[24], bool *any_raised) {
    const plan_target *t = &r->target;
    snprintf(text, 24, "%s", t->n_rooms > 1 ? "-" : "no");
    for (size_t i = 0; i < t->n_rooms; i++) {
        plan_fit fit = plan_fits(&t->room[i], c->memory.total);
        if (fit == PLAN_DOES_NOT_FIT) continue;
        const char *mark = fit == PLAN_FITS_IF_RAISED ? "*" : "";
        if (*mark) *any_raised = true;
        if (t->n_rooms > 1)
            snprintf(text, 24, "%.0f GiB%s", gib(t->room[i].memory_bytes), mark);
        else
            snprintf(text, 24, "yes%s", mark);
        return;
    }
}

static void put_case(const plan_report *r, const plan_case *c, bool *any_raised) {
    char rows[32], sessions[32], total[32], prefill[24], fit[24];
    size_format(c->memory.rows, rows);
    size_format(c->memory.sessions, sessions);
    size_format(c->memory.total, total);
    describe_fit(r, c, fit, any_raised);
    const char *at_most = c->speed.prefill_bound == BOUND_UNKNOWN ? "<" : "";
    snprintf(prefill, sizeof prefill, "%s%.*f", at_most, c->speed.prefill < 10 ? 1 : 0, c->speed.prefill);
    stdout_print("  %8zu %12s %12s %12s %9.2f %8.*f %9s  %s\n", c->n_context, rows, sessions, total,
                 (double)(c->speed.weight_bytes + c->speed.row_bytes) / 1e9, c->speed.decode < 10 ? 2 : 1,
                 c->speed.decode, prefill, fit);
}

static void put_cases(const plan_report *r) {
    bool any_raised = false;
    char sessions[32];
    snprintf(sessions, sizeof sessions, r->settings.n_sessions > 1 ? "%zu sessions" : "session",
             r->settings.n_sessions);
    stdout_print("\n  %8s %12s %12s %12s %9s %8s %9s  %s\n", "context", "rows", sessions, "total", "GB/token", "decode",
                 "prefill", r->target.n_rooms > 1 ? "fits in" : "fits");
    for (size_t i = 0; i < r->n_cases; i++) put_case(r, &r->cases[i], &any_raised);
    if (any_raised) stdout_print("  *: if the GPU may use more than it does now (see below)\n");
}

static void put_prediction(const plan_report *r) {
    const plan_case *c = &r->cases[0];
    const machine *m = &r->target.machine;
    double part = machine_bandwidth_part(m->kind);
    stdout_print("\nPredicted, not measured: tokens a second of one session whose context is full\n"
                 "  decode   bound by memory bandwidth: GB/token / (%g * %.*f GB/s)",
                 part, m->bandwidth_gb < 100, m->bandwidth_gb);
    if (of_gpu(r))
        stdout_print(" + %" PRIu64 " dispatches * %g us", r->cases[r->n_cases - 1].speed.dispatches,
                     machine_dispatch_seconds(m->kind) * 1e6);
    if (c->speed.prefill_bound == BOUND_COMPUTE)
        stdout_print("\n  prefill  bound by arithmetic: %.3g GFLOP a token at %zu tokens / (%g * %.1f TFLOP/s)\n",
                     c->speed.operations / 1e9, c->n_context, machine_compute_part(), m->tflops);
    else if (c->speed.prefill_bound == BOUND_BANDWIDTH)
        stdout_print("\n  prefill  bound by memory bandwidth: each chunk reads all weights it needs once\n");
    else
        stdout_print(
            "\n  prefill  <: the most that bandwidth allows. The rate of arithmetic is not known; a token takes "
            "%.3g GFLOP\n           at %zu tokens.\n",
            c->speed.operations / 1e9, c->n_context);
    if (m->kind == MACHINE_CUDA)
        stdout_print("  This build has no backend for NVIDIA GPUs: the figures are what the machine allows.\n");
}

/* ---- text: the verdict ---- */

static void put_raise_hint(const plan_report *r, const plan_room *room, uint64_t total_bytes) {
    stdout_print("fits if its GPU may use more than %s%.0f GiB: sudo sysctl iogpu.wired_limit_mb=%" PRIu64 "\n",
                 r->target.is_working_estimated ? "about " : "", gib(room->working_bytes),
                 plan_raised_mib(total_bytes));
}

static void put_verdict_of_room(const plan_report *r, size_t i) {
    const plan_room *room = &r->target.room[i];
    const plan_limit *limit = &r->limit[i];
    const plan_case *c = &r->cases[0];
    int indent = 2;
    if (r->target.n_rooms > 1)
        stdout_print("  %4.0f GiB: ", gib(room->memory_bytes)), indent = 12;
    else
        stdout_print("  ");
    switch (plan_fits(room, c->memory.total)) {
    case PLAN_FITS:
        stdout_print("fits, up to %zu tokens of context\n", limit->context);
        if (limit->raised_context > limit->context)
            stdout_print("%*sup to %zu if its GPU may use more: sudo sysctl iogpu.wired_limit_mb=%" PRIu64 "\n", indent,
                         "", limit->raised_context, plan_raised_mib(limit->raised_bytes));
        return;
    case PLAN_FITS_IF_RAISED:
        put_raise_hint(r, room, c->memory.total);
        stdout_print("%*sthis is for %zu tokens of context; up to %zu are possible\n", indent, "", c->n_context,
                     limit->raised_context);
        return;
    case PLAN_DOES_NOT_FIT: break;
    }
    stdout_print("does not fit: %.1f GiB with %zu tokens of context, and %.1f GiB can be used\n", gib(c->memory.total),
                 c->n_context, gib(plan_usable_bytes(room)));
    size_t smaller = limit->context ? limit->context : limit->raised_context;
    if (smaller)
        stdout_print("%*sa context of %zu tokens does%s\n", indent, "", smaller,
                     limit->context ? "" : ", if the GPU may use more");
}

static bool fits_somewhere(const plan_report *r) {
    for (size_t i = 0; i < r->target.n_rooms; i++)
        if (plan_fits(&r->target.room[i], r->cases[0].memory.total) != PLAN_DOES_NOT_FIT) return true;
    return false;
}

static void put_smaller_model(const plan_report *r) {
    if (!r->q2_bytes) return;
    stdout_print("  q2 takes %.1f GiB", gib(r->q2_bytes));
    for (size_t i = 0; i < r->target.n_rooms; i++)
        if (plan_fits(&r->target.room[i], r->q2_bytes) != PLAN_DOES_NOT_FIT) {
            stdout_print(" and fits in %.0f GiB", gib(r->target.room[i].memory_bytes));
            break;
        }
    stdout_print("\n");
}

/* The smallest memory of a machine that is enough; 0: none is. */
static int enough_memory(const machine *m, uint64_t n_bytes, plan_fit *fit) {
    for (int i = MACHINE_MEMORY_SIZES - 1; i >= 0; i--) {
        plan_room room = plan_room_of(m, PLAN_GPU, m->memory_gib[i]);
        *fit = plan_fits(&room, n_bytes);
        if (m->memory_gib[i] && *fit != PLAN_DOES_NOT_FIT) return m->memory_gib[i];
    }
    return 0;
}

static void put_alternatives(const plan_report *r) {
    uint64_t total = r->cases[0].memory.total;
    put_smaller_model(r);
    stdout_print("  enough: %" PRIu64 " GiB of memory", ((total + total / 15) >> 30) + 1);
    const char *before = ", as in ";
    for (const machine *m = machines; m->name; m++) {
        plan_fit fit;
        int memory_gib = enough_memory(m, total, &fit);
        if (!memory_gib) continue;
        stdout_print("%s%s (%d%s)", before, m->name, memory_gib, fit == PLAN_FITS_IF_RAISED ? "*" : "");
        before = ", ";
    }
    stdout_print("\n  *: with a raised limit of what the GPU may use\n");
}

static void put_verdict(const plan_report *r) {
    stdout_print("\nVerdict\n");
    for (size_t i = 0; i < r->target.n_rooms; i++) put_verdict_of_room(r, i);
    if (of_gpu(r) && !r->plan->runs_on_gpu) stdout_print("  no GPU runs it: %s\n", r->plan->gpu_error.message);
    if (fits_somewhere(r)) return;
    if (!of_gpu(r)) stdout_print("  it runs all the same, at the speed at which weights come from the disk\n");
    put_alternatives(r);
}

void plan_report_text(const plan_report *r) {
    put_heading(r);
    put_weights(r->plan);
    if (r->plan->is_mtp) {
        stdout_print("\nA multi-token prediction block: it comes on top of what its model takes.\n");
        return;
    }
    put_beside_weights(r);
    put_machine(r);
    put_cases(r);
    put_prediction(r);
    put_verdict(r);
}

/* ---- JSON ---- */

/* A part that could not be made is left out by the function that takes it, which then fails too. */
static json_t *json_groups(const plan *p) {
    json_t *groups = json_array();
    for (size_t g = 0; g < N_TENSOR_GROUPS; g++)
        if (p->group[g].n_tensors &&
            json_array_append_new(groups, json_pack("{s:s, s:I, s:I}", "name", p->group[g].name, "tensors",
                                                    (json_int_t)p->group[g].n_tensors, "bytes",
                                                    (json_int_t)p->group[g].n_bytes)) != 0) {
            json_decref(groups);
            return NULL;
        }
    return groups;
}

static json_t *json_rooms(const plan_report *r) {
    json_t *rooms = json_array();
    for (size_t i = 0; i < r->target.n_rooms; i++) {
        const plan_room *room = &r->target.room[i];
        json_t *object =
            json_pack("{s:I, s:I, s:I, s:b, s:I, s:I, s:I}", "memory_bytes", (json_int_t)room->memory_bytes,
                      "usable_bytes", (json_int_t)plan_usable_bytes(room), "working_bytes",
                      (json_int_t)room->working_bytes, "can_be_raised", room->can_be_raised, "largest_context",
                      (json_int_t)r->limit[i].context, "largest_context_raised", (json_int_t)r->limit[i].raised_context,
                      "raised_limit_mb", (json_int_t)plan_raised_mib(r->limit[i].raised_bytes));
        if (json_array_append_new(rooms, object) != 0) {
            json_decref(rooms);
            return NULL;
        }
    }
    return rooms;
}

static json_t *json_machine(const plan_report *r) {
    const plan_target *t = &r->target;
    return json_pack("{s:s, s:s, s:f, s:b, s:f, s:b, s:o}", "name", t->name, "processor", of_gpu(r) ? "gpu" : "cpu",
                     "bandwidth_gb", t->machine.bandwidth_gb, "bandwidth_measured", t->is_measured, "tflops",
                     t->machine.tflops, "working_bytes_estimated", t->is_working_estimated, "memory", json_rooms(r));
}

static json_t *json_fits(const plan_report *r, const plan_case *c) {
    static const char *const name[] = {
        [PLAN_FITS] = "yes", [PLAN_FITS_IF_RAISED] = "if_raised", [PLAN_DOES_NOT_FIT] = "no"};
    json_t *fits = json_array();
    for (size_t i = 0; i < r->target.n_rooms; i++)
        if (json_array_append_new(fits, json_string(name[plan_fits(&r->target.room[i], c->memory.total)])) != 0) {
            json_decref(fits);
            return NULL;
        }
    return fits;
}

static json_t *json_speed(const plan_speed *speed) {
    static const char *const bound[] = {
        [BOUND_UNKNOWN] = "unknown", [BOUND_BANDWIDTH] = "bandwidth", [BOUND_COMPUTE] = "compute"};
    return json_pack("{s:I, s:I, s:I, s:f, s:s, s:f, s:f, s:s}", "weight_bytes_per_token",
                     (json_int_t)speed->weight_bytes, "row_bytes_per_token", (json_int_t)speed->row_bytes, "dispatches",
                     (json_int_t)speed->dispatches, "decode_tokens_per_second", speed->decode, "decode_bound",
                     "bandwidth", "operations_per_prompt_token", speed->operations, "prefill_tokens_per_second",
                     speed->prefill, "prefill_bound", bound[speed->prefill_bound]);
}

static json_t *json_case(const plan_report *r, const plan_case *c) {
    const plan_memory *m = &c->memory;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o}", "context", (json_int_t)c->n_context,
                     "scratch_bytes", (json_int_t)m->scratch, "frontier_bytes", (json_int_t)m->rings, "row_bytes",
                     (json_int_t)m->rows, "session_bytes", (json_int_t)session_bytes(m), "sessions_bytes",
                     (json_int_t)m->sessions, "total_bytes", (json_int_t)m->total, "fits", json_fits(r, c),
                     "raised_limit_mb", (json_int_t)plan_raised_mib(m->total), "prediction", json_speed(&c->speed));
}

static json_t *json_cases(const plan_report *r) {
    json_t *cases = json_array();
    for (size_t i = 0; i < r->n_cases; i++)
        if (json_array_append_new(cases, json_case(r, &r->cases[i])) != 0) {
            json_decref(cases);
            return NULL;
        }
    return cases;
}

static json_t *json_plan(const plan_report *r) {
    static const char *const source[] = {[SOURCE_RECIPE] = "recipe", [SOURCE_FILE] = "file", [SOURCE_URL] = "url"};
    const plan *p = r->plan;
    json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "model", r->model, "source", source[r->source],
                               "content", p->is_mtp ? "mtp" : "model", "tensor_bytes", (json_int_t)p->tensor_bytes,
                               "weight_bytes", (json_int_t)p->weight_bytes, "groups", json_groups(p));
    if (!object || p->is_mtp) return object;
    uint64_t least, most;
    plan_checkpoint_bytes(p, &least, &most);
    json_t *rest = json_pack("{s:i, s:i, s:I, s:I, s:I, s:o, s:o}", "chunk", r->settings.chunk_tokens, "threads",
                             of_gpu(r) ? 0 : r->settings.n_threads, "sessions", (json_int_t)r->settings.n_sessions,
                             "checkpoint_bytes_least", (json_int_t)least, "checkpoint_bytes_most", (json_int_t)most,
                             "machine", json_machine(r), "contexts", json_cases(r));
    bool ok = rest && json_object_update(object, rest) == 0;
    json_decref(rest);
    if (ok) return object;
    json_decref(object);
    return NULL;
}

ds4_status plan_report_json(const plan_report *r, ds4_error *error) {
    json_t *object = json_plan(r);
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    if (text) {
        stdout_write(text, strlen(text));
        stdout_write("\n", 1);
    }
    ds4_status status = text ? DS4_OK : error_memory(error, "JSON", sizeof *r);
    free(text);
    json_decref(object);
    return status;
}
