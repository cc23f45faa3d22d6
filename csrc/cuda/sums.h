// The second stage of sums over blocks, and how blocks are cut: what the pointwise kernels share.
#pragma once

#include <algorithm>
#include <limits>

#include "../math.h"
#include "launch.h"
#include "vector.h"

namespace gan_fast {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int64_t kTilesAtOnce = 2;    // that a thread has in flight
constexpr int64_t kFullBlocks = 1024;  // about as many as run at once on the largest GPU
constexpr int kSumRows = 32, kSumColumns = 8;

// y = partial [rows, columns] summed over its rows.
template <typename T>
__global__ void __launch_bounds__(kSumRows* kSumColumns)
    sum_rows_kernel(const Computed<T>* partial, T* y, int64_t rows, int64_t columns) {
  using A = Computed<T>;
  __shared__ A of_threads[kSumRows][kSumColumns];
  const int tx = threadIdx.x, ty = threadIdx.y;
  const int64_t c = int64_t(blockIdx.x) * kSumColumns + tx;
  A sum = A(0);
  if (c < columns)
#pragma unroll 8  // loads in flight
    for (int64_t row = ty; row < rows; row += kSumRows) sum += partial[row * columns + c];
  of_threads[ty][tx] = sum;
  __syncthreads();
  if (ty > 0 || c >= columns) return;
  for (int i = 1; i < kSumRows; ++i) sum += of_threads[i][tx];
  y[c] = stored<T>(sum);
}

template <typename T>
void sum_rows(const char* name, const TensorView& partial, const TensorView& y, int64_t rows, int64_t columns,
              void* stream) {
  if (columns == 0) return;
  const dim3 grid(static_cast<unsigned>((columns + kSumColumns - 1) / kSumColumns));
  launch(name, sum_rows_kernel<T>, grid, dim3(kSumColumns, kSumRows), stream, partial.as<Computed<T>>(), y.as<T>(),
         rows, columns);
}

// What a kernel computes with, in its types: converted in the kernel, they would be so again for each element.
template <typename T>
struct Numbers {
  Computed<T> alpha, gain, above, below;  // factors of positive and other numbers: linear, relu and lrelu
  T clamp, low, high;                     // as y has them. clamp: NaN, which nothing reaches, if there is none
};

template <typename T>
Numbers<T> numbers(int order, Act act, double alpha, double gain, double clamp) {
  using A = Computed<T>;
  double below = act == Act::lrelu ? gain * alpha : gain;
  double high = clamp < 0 ? std::numeric_limits<double>::infinity() : clamp, low = -high;
  if (act == Act::relu && order > 0) below = 0;
  if (act == Act::relu) (gain > 0 ? low : high) = 0;  // instead of a factor, by which infinity would become NaN
  if (clamp < 0) clamp = std::numeric_limits<double>::quiet_NaN();
  return {A(alpha), A(gain), A(gain), A(below), stored<T>(A(clamp)), stored<T>(A(low)), stored<T>(A(high))};
}

// Tiles of a block, where groups of so many tiles each are cut into blocks: as many as a thread has in flight once the
// GPU is full. With sums no more blocks than run at once, as each writes a row of them; without, a few times as many,
// so that the last ones to run are short.
inline int64_t steps_of(int64_t tiles, int64_t groups, bool sums) {
  const int64_t at_least = std::min(kTilesAtOnce, ceil_div(tiles * groups, kFullBlocks));
  const int64_t steps = std::max(at_least, ceil_div(tiles * groups, sums ? kFullBlocks : 4 * kFullBlocks));
  return steps > 1 ? ceil_div(steps, kTilesAtOnce) * kTilesAtOnce : steps;
}

// Adds what a thread found of a vector to its sums: of a channel each, or of the one that all are of.
template <bool PER_ELEMENT, int KEPT, int SIZE, typename A>
__device__ __forceinline__ void add_up(A (&sums)[KEPT], const A (&v)[SIZE]) {
  if constexpr (PER_ELEMENT) {
#pragma unroll
    for (int j = 0; j < SIZE; ++j) sums[j] += v[j];
  } else {
    A tree[SIZE];
#pragma unroll
    for (int j = 0; j < SIZE; ++j) tree[j] = v[j];
#pragma unroll
    for (int n = SIZE / 2; n > 0; n /= 2)
#pragma unroll
      for (int j = 0; j < n; ++j) tree[j] += tree[j + n];
    sums[0] += tree[0];
  }
}

inline int64_t power_of_two_from(int64_t n) {
  int64_t p = 1;
  while (p < n) p *= 2;
  return p;
}

inline int64_t element_bytes(DType dtype) { return dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2; }

}  // namespace gan_fast
