// The sum over a block, in a fixed order.
#pragma once

#include <cuda_runtime.h>

namespace {

// Of v over a block of THREADS, in every one of them.
template <int THREADS, typename A>
__device__ A block_sum(A v, int thread) {
  constexpr int kWarps = THREADS / 32;
  __shared__ A warps[kWarps];
  for (int lane = 16; lane > 0; lane /= 2) v += __shfl_xor_sync(0xffffffffu, v, lane);
  if (thread % 32 == 0) warps[thread / 32] = v;
  __syncthreads();
  A total = A(0);
  for (int i = 0; i < kWarps; ++i) total += warps[i];
  __syncthreads();  // the next sum takes the same memory
  return total;
}

}  // namespace
