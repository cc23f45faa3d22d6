// y[i] = strength z[i], z normal: four numbers from each block of the counter (Philox4x32-10, Box and Muller).
#include "../launcher.h"
#include "../math.h"
#include "launch.h"
#include "vector.h"

namespace gan_fast {
namespace {

constexpr int kThreads = 256;

// A thread makes the numbers 4 i to 4 i + 3.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    noise_kernel(const T* strength, const int64_t* seed, T* y, int64_t n, bool aligned) {
  using A = Computed<T>;
  using V = Vec<T, 4>;
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (4 * i >= n) return;
  A z[4];
  normals(static_cast<uint64_t>(seed[0]), static_cast<uint64_t>(seed[1]), static_cast<uint64_t>(i), z);
  V v;
#pragma unroll
  for (int j = 0; j < 4; ++j) v.v[j] = stored<T>(computed(*strength) * z[j]);
  if (aligned && 4 * i + 4 <= n) {
    *reinterpret_cast<V*>(y + 4 * i) = v;
    return;
  }
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (4 * i + j < n) y[4 * i + j] = v.v[j];
}

void noise(TensorView strength, TensorView seed, Ints, TensorView y, void* stream) {
  const int64_t n = y.numel();
  with_dtype(y.dtype, [&](auto type) {
    using T = decltype(type);
    const bool whole = reinterpret_cast<uintptr_t>(y.data) % sizeof(Vec<T, 4>) == 0;
    const dim3 grid(static_cast<unsigned>(ceil_div(n, int64_t{4 * kThreads})));
    launch("noise", noise_kernel<T>, grid, dim3(kThreads), stream, strength.as<T>(), seed.as<int64_t>(), y.as<T>(), n,
           whole);
  });
}

GAN_FAST_LAUNCHER(noise)

}  // namespace
}  // namespace gan_fast
