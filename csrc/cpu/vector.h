// Vectors as wide as the registers of the instruction set, through the compilers' vector extension.
#pragma once

#include <utility>

#include "common.h"

namespace {

#if GAN_FAST_ISA == 2
constexpr int kVectorBytes = 64;
#elif GAN_FAST_ISA == 1
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename A>
constexpr int kLanesOf = kVectorBytes / static_cast<int>(sizeof(A));

template <typename A, int L>
struct VectorOf {
  typedef A type __attribute__((vector_size(sizeof(A) * L)));
};
template <typename A, int L>
using Vector = typename VectorOf<A, L>::type;

template <int L, typename T>
GF_HD Vector<compute_t<T>, L> load_vector(const T* p) {
  Vector<compute_t<T>, L> v;
  if constexpr (std::is_same_v<T, compute_t<T>>) {
    std::memcpy(&v, p, sizeof v);
  } else {
    compute_t<T> loaded[L];
    for (int i = 0; i < L; ++i) loaded[i] = load(p[i]);
    std::memcpy(&v, loaded, sizeof v);
  }
  return v;
}

template <int L, typename T>
GF_HD void store_vector(T* p, Vector<compute_t<T>, L> v) {
  if constexpr (std::is_same_v<T, compute_t<T>>) {
    std::memcpy(p, &v, sizeof v);
  } else {
    compute_t<T> values[L];
    std::memcpy(values, &v, sizeof v);
    for (int i = 0; i < L; ++i) store(p[i], values[i]);
  }
}

// Vectors that are streamed must lie at multiples of their size.
template <int L, typename T>
GF_HD void put_vector(T* p, Vector<compute_t<T>, L> v, Write write) {
  if (L == kLanesOf<compute_t<T>> && write == Write::streamed) {
    T values[L];
    store_vector<L>(values, v);
    return stream<sizeof values>(p, values);
  }
  expect(p, L, write);
  store_vector<L>(p, v);
}

// The vector of indices that goes with a vector.
template <typename V>
struct IndexOfVector {
  typedef std::conditional_t<sizeof(V{}[0]) == 4, int32_t, int64_t> type __attribute__((vector_size(sizeof(V))));
};
template <typename V>
using IndexOf = typename IndexOfVector<V>::type;

// lane i: element lanes[i] of a and b side by side
template <typename V>
GF_HD V permute(V a, V b, IndexOf<V> lanes) {
#if defined(__clang__)
  constexpr int kLanes = sizeof(V) / sizeof(a[0]);
  V chosen;
  for (int i = 0; i < kLanes; ++i) chosen[i] = lanes[i] < kLanes ? a[lanes[i]] : b[lanes[i] - kLanes];
  return chosen;
#else
  return __builtin_shuffle(a, b, lanes);
#endif
}

template <int L, typename V, int... I>
GF_HD V shuffle(V a, V b, std::integer_sequence<int, I...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, I...);
#else
  return __builtin_shuffle(a, b, IndexOf<V>{I...});
#endif
}

// a0 b0 a1 b1 ...: its lower (HALF 0) or upper half
template <int L, int HALF, typename V, int... I>
GF_HD V interleave(V a, V b, std::integer_sequence<int, I...>) {
  return shuffle<L>(a, b, std::integer_sequence<int, (HALF * L / 2 + I / 2 + I % 2 * L)...>());
}

// v[i][j] and v[j][i] change places. Interleaving the halves of the list moves the first bit of an element's row behind
// the last one of its column; when all bits have gone round, rows are columns.
template <int L, typename V>
GF_HD void transpose(V (&v)[L]) {
  constexpr auto lanes = std::make_integer_sequence<int, L>();
  V turned[L];
#pragma GCC unroll 4
  for (int round = 1; round < L; round *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < L / 2; ++i) {
      turned[2 * i] = interleave<L, 0>(v[i], v[i + L / 2], lanes);
      turned[2 * i + 1] = interleave<L, 1>(v[i], v[i + L / 2], lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) v[i] = turned[i];
  }
}

// every second element of a and b, from element PARITY on
template <int L, int PARITY, typename V, int... I>
GF_HD V every_second(V a, V b, std::integer_sequence<int, I...>) {
  return shuffle<L>(a, b, std::integer_sequence<int, (2 * I + PARITY)...>());
}

}  // namespace
