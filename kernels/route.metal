/* The router's choice for batches whose experts run in tiles; smaller ones choose in experts_gate_up. */
#include "route.h"

/* logits: [T][E]; bias: [E]; fixed: [V][n_used]; expert, weight: [T][n_used]. Groups: T. */
[[max_total_threads_per_threadgroup(32)]] kernel void choose_experts(
    constant expert_params &p [[buffer(0)]], device const float *logits [[buffer(1)]],
    device const float *bias [[buffer(2)]], device const int *fixed [[buffer(3)]],
    device const token_info *token [[buffer(4)]], device int *expert [[buffer(5)]], device float *weight [[buffer(6)]],
    uint t [[threadgroup_position_in_grid]], uint lane [[thread_index_in_simdgroup]]) {
    float lane_weight;
    uint chosen = route_token(p, logits + t * p.n_experts, bias, fixed + ulong(token[t].token) * p.n_used, lane,
                              lane_weight);
    if (lane < p.n_used) {
        expert[t * p.n_used + lane] = int(chosen);
        weight[t * p.n_used + lane] = lane_weight;
    }
}
