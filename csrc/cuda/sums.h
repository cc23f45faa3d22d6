// The second stage of sums over blocks, and how blocks are cut: what the pointwise kernels share.
#pragma once

#include "launch.h"
#include "vector.h"

namespace gan_fast {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int64_t kMinSteps = 4;   // tiles that a block walks, at least: fewer, and the partial sums cost bandwidth
constexpr int64_t kBlocks = 4096;  // about as many as fill the largest GPU a few times over
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

inline int64_t power_of_two_from(int64_t n) {
  int64_t p = 1;
  while (p < n) p *= 2;
  return p;
}

inline int64_t element_bytes(DType dtype) { return dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2; }

}  // namespace gan_fast
