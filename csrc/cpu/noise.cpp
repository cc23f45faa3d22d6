// y[i] = strength z[i], z normal: four numbers from each block of the counter (Philox4x32-10, Box and Muller).
#include "common.h"

namespace {

using namespace gan_fast;

constexpr int64_t kBlocks = 32;  // taken side by side in vectors

void noise(TensorView strength, TensorView seed, Ints, TensorView y) {
  const auto key = static_cast<uint64_t>(seed.as<int64_t>()[0]), offset = static_cast<uint64_t>(seed.as<int64_t>()[1]);
  dispatch(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const A scale = load(*strength.as<T>());
    const int64_t n = y.numel(), step = 4 * kBlocks;
    parallel_for((n + step - 1) / step, threads_for(n), [&](int64_t task, int) {
      alignas(kLine) A z[4][kBlocks];
#pragma omp simd
      for (int64_t i = 0; i < kBlocks; ++i) {
        A four[4];
        normals(key, offset, static_cast<uint64_t>(task * kBlocks + i), four);
        for (int j = 0; j < 4; ++j) z[j][i] = scale * four[j];
      }
      T* to = y.as<T>() + task * step;
      const int64_t left = n - task * step;
      for (int64_t i = 0; i < (left < step ? left : step); ++i) store(to[i], z[i % 4][i / 4]);
    });
  });
}

GAN_FAST_LAUNCHER(noise)

}  // namespace
