// What pointwise kernels share: rows in steps of kLanes elements, whose sums lie side by side, and how rows are
// written.
#pragma once

#include "vector.h"

namespace {

constexpr int64_t kLanes = 64;   // sums side by side in a plane, and the elements of one step
constexpr int64_t kSpan = 8192;  // elements of a plane that one tile covers
constexpr int64_t kRows = 128;   // rows that one tile covers where each column has a sum of its own

template <typename A>
struct Settings {
  A alpha, gain, clamp;  // clamp is NaN where there is none: every comparison with it is false
};

template <typename T>
Settings<compute_t<T>> settings_of(double alpha, double gain, double clamp) {
  using A = compute_t<T>;
  return {static_cast<A>(alpha), static_cast<A>(gain), static_cast<A>(clamp < 0 ? __builtin_nan("") : clamp)};
}

// Asks for the elements that the steps to come read: processors do not follow several streams across pages by
// themselves.
template <typename T>
GF_HD void fetch(const T* p) {
  for (int64_t j = 0; j < kLanes; j += kLine / sizeof(T)) __builtin_prefetch(p + 8 * kLanes + j);
}

// step(i, m) for the m elements from the i-th on, kLanes at a time.
template <typename F>
GF_HD void in_steps(int64_t n, const F& step) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) step(i, kLanes);
  if (i < n) step(i, n - i);
}

// run(y', i, m) fills m elements from the i-th on; what is to be streamed goes by way of a buffer in the
// first-level cache.
template <typename T, typename F>
GF_HD void write_row(T* y, int64_t n, Write write, const F& run) {
  if (write != Write::streamed) return run(y, 0, n);
  constexpr int64_t kBuffer = 1024;
  alignas(kLine) T buffer[kBuffer];
  for (int64_t i = 0; i < n; i += kBuffer) {
    const int64_t m = n - i < kBuffer ? n - i : kBuffer;
    run(buffer, i, m);
    for (int64_t j = 0; j < m; j += kLine / sizeof(T)) stream<kLine>(y + i + j, buffer + j);
  }
}

// The sum of kLanes sums: halves are added until one is left, in vectors as long as they last.
template <typename A>
GF_HD A sum_of_lanes(const A* lanes) {
  constexpr int L = kLanesOf<A>, kVectors = kLanes / L;
  Vector<A, L> v[kVectors];
  std::memcpy(v, lanes, sizeof v);
#pragma GCC unroll 8
  for (int half = kVectors / 2; half; half /= 2)
#pragma GCC unroll 16
    for (int i = 0; i < half; ++i) v[i] += v[i + half];
  A last[L];
  std::memcpy(last, v, sizeof last);
#pragma GCC unroll 8
  for (int half = L / 2; half; half /= 2)
#pragma GCC unroll 16
    for (int i = 0; i < half; ++i) last[i] += last[i + half];
  return last[0];
}

}  // namespace
