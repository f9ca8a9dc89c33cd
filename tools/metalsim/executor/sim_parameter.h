/* What a kernel's parameters are bound to. mslgen writes the initialisers; the CPU and the CUDA mode read them. */
#ifndef METALSIM_SIM_PARAMETER_H
#define METALSIM_SIM_PARAMETER_H

enum sim_parameter_kind {
    SIM_BUFFER,
    SIM_THREADGROUP_MEMORY,
    SIM_THREAD_IN_GRID,
    SIM_THREADS_PER_GRID,
    SIM_THREAD_IN_GROUP,
    SIM_THREADS_PER_GROUP,
    SIM_GROUP_IN_GRID,
    SIM_GROUPS_PER_GRID,
    SIM_THREAD_INDEX,
    SIM_SIMDGROUP_INDEX,
    SIM_LANE,
    SIM_SIMDGROUPS_PER_GROUP,
    SIM_SIMD_WIDTH
};

struct sim_parameter {
    int kind;  /* enum sim_parameter_kind */
    int index; /* of a buffer or of threadgroup memory */
};

#endif
