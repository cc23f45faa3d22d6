// y[n] = a[n] + t[n] (b[n] - a[n]), and its adjoint, with t[n] drawn from the counter. The elements of a sample lie
// side by side, in all tensors alike.
#include "common.h"

namespace {

using namespace gan_fast;

constexpr int64_t kSpan = 4096;  // elements of a sample that a task takes

// f(t of the sample, where a span of it begins in memory, where it ends)
template <typename A, typename F>
void for_each_span(const TensorView& x, const TensorView& seed, const F& f) {
  const auto key = static_cast<uint64_t>(seed.as<int64_t>()[0]), offset = static_cast<uint64_t>(seed.as<int64_t>()[1]);
  const int64_t samples = x.sizes[0], elements = x.numel() / samples, spans = (elements + kSpan - 1) / kSpan;
  parallel_for(samples * spans, threads_for(x.numel()), [&](int64_t task, int) {
    const int64_t n = task / spans, begin = task % spans * kSpan;
    const int64_t end = begin + kSpan < elements ? begin + kSpan : elements;
    f(uniform<A>(key, offset, static_cast<uint64_t>(n)), n * elements + begin, n * elements + end);
  });
}

void interpolate(TensorView a, TensorView b, TensorView seed, TensorView y) {
  dispatch(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    for_each_span<A>(y, seed, [&](A t, int64_t begin, int64_t end) {
      const T *from = a.as<T>(), *towards = b.as<T>();
      T* to = y.as<T>();
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) store(to[i], load(from[i]) + t * (load(towards[i]) - load(from[i])));
    });
  });
}

void interpolate_grad(TensorView dy, TensorView seed, bool a_grad, bool b_grad, TensorView da, TensorView db) {
  dispatch(dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    for_each_span<A>(dy, seed, [&](A t, int64_t begin, int64_t end) {
      const T* from = dy.as<T>();
      const auto scale = [&](A factor, T* to) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) store(to[i], factor * load(from[i]));
      };
      if (a_grad) scale(A(1) - t, da.as<T>());
      if (b_grad) scale(t, db.as<T>());
    });
  });
}

GAN_FAST_LAUNCHER(interpolate)
GAN_FAST_LAUNCHER(interpolate_grad)

}  // namespace
