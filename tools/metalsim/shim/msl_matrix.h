// simdgroup_matrix: two elements a lane, side by side. A mode says before it includes this where a lane's first element
// is: msl_matrix_row(), msl_matrix_column().
#pragma once

template <class T, int C, int R = C> struct simdgroup_matrix {
    static_assert((std::is_same<T, float>::value || std::is_same<T, half>::value) && C == 8 && R == 8,
                  "simdgroup_matrix: 8x8 of float or half");
    T e[2];
    simdgroup_matrix() = default;
    explicit simdgroup_matrix(T v) { e[0] = e[1] = v; }
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
template <class T, int C, int R = C> static inline simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(T v) {
    return simdgroup_matrix<T, C, R>(v);
}
// Where a lane's element number i lies in memory.
static inline ulong msl_element(uint i, ulong elements_per_row, ulong2 origin, bool transpose) {
    ulong row = msl_matrix_row(), column = msl_matrix_column() + i;
    return (origin.y + (transpose ? column : row)) * elements_per_row + origin.x + (transpose ? row : column);
}
template <class T>
static inline void simdgroup_load(simdgroup_matrix<T, 8, 8> &m, const T *p, ulong elements_per_row = 8,
                                  ulong2 origin = (ulong2)0ul, bool transpose = false) {
    for (uint i = 0; i < 2; i++) m.e[i] = p[msl_element(i, elements_per_row, origin, transpose)];
}
template <class T>
static inline void simdgroup_store(const simdgroup_matrix<T, 8, 8> &m, T *p, ulong elements_per_row = 8,
                                   ulong2 origin = (ulong2)0ul, bool transpose = false) {
    for (uint i = 0; i < 2; i++) p[msl_element(i, elements_per_row, origin, transpose)] = m.e[i];
}
