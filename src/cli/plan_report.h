/* What ds4 plan prints. */
#ifndef CLI_PLAN_REPORT_H
#define CLI_PLAN_REPORT_H

#include "engine/plan.h"

enum { PLAN_MAX_CASES = 6 };

/* Whose memory and speed it is about. */
typedef struct plan_target {
    char name[192];
    machine machine;
    bool is_this_computer;
    bool is_measured;                     /* the bandwidth */
    bool is_working_estimated;            /* what the GPU keeps at hand */
    plan_room room[MACHINE_MEMORY_SIZES]; /* the smallest first */
    size_t n_rooms;
} plan_target;

/* Of a room. */
typedef struct plan_limit {
    size_t context;        /* the largest that fits; 0: none */
    size_t raised_context; /* if the GPU may use more; 0: it cannot, or none fits then */
    uint64_t raised_bytes; /* what it must be allowed for that */
} plan_limit;

typedef struct plan_case {
    size_t n_context;
    plan_memory memory;
    plan_speed speed;
} plan_case;

typedef enum plan_source { SOURCE_RECIPE, SOURCE_FILE, SOURCE_URL } plan_source;

typedef struct plan_report {
    const char *model; /* name, path or URL */
    plan_source source;
    const plan *plan;
    plan_settings settings;
    plan_target target;
    plan_case cases[PLAN_MAX_CASES];
    size_t n_cases;
    plan_limit limit[MACHINE_MEMORY_SIZES]; /* of each room */
    uint64_t q2_bytes; /* what the first case would take with q2 instead; 0: that is the model, or has its size */
} plan_report;

void plan_report_text(const plan_report *report);
ds4_status plan_report_json(const plan_report *report, ds4_error *error);

#endif
