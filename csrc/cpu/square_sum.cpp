// p[n] = gain sum of x[n, i] y[n, i], and its derivative, gain v[n] x[n, i], each in one walk over the elements of a
// sample, which lie side by side and in x and y alike. Spans sum by themselves, and their sums are added in order.
#include "vector.h"

namespace {

using namespace gan_fast;

constexpr int64_t kSpan = 4096;  // elements of a sample that a task takes

// Every sample in spans: the tasks of threads.
struct Spans {
  int64_t samples, elements, of_sample;

  explicit Spans(const TensorView& x)
      : samples(x.sizes[0]), elements(x.numel() / samples), of_sample((elements + kSpan - 1) / kSpan) {}

  // f(task, sample, where the span begins in memory, its length)
  template <typename F>
  void for_each(const F& f) const {
    parallel_for(samples * of_sample, threads_for(samples * elements), [&](int64_t task, int) {
      const int64_t n = task / of_sample, begin = task % of_sample * kSpan, left = elements - begin;
      f(task, n, n * elements + begin, left < kSpan ? left : kSpan);
    });
  }
};

// Four vectors of sums are in flight, as one would wait for its last addition.
template <typename T, typename A = compute_t<T>>
A sum_of_products(const T* x, const T* y, int64_t length) {
  constexpr int kLanes = kLanesOf<A>, kFlight = 4;
  Vector<A, kLanes> sums[kFlight] = {};
  int64_t i = 0;
  for (; i + kFlight * kLanes <= length; i += kFlight * kLanes)
    for (int j = 0; j < kFlight; ++j)
      sums[j] += load_vector<kLanes>(x + i + j * kLanes) * load_vector<kLanes>(y + i + j * kLanes);
  const Vector<A, kLanes> both = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  A sum = 0;
  for (int j = 0; j < kLanes; ++j) sum += both[j];
  for (; i < length; ++i) sum += load(x[i]) * load(y[i]);
  return sum;
}

void square_sum(TensorView x, TensorView y, double gain, TensorView p) {
  const Spans spans(x);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *xs = x.as<T>(), *ys = y.given() ? y.as<T>() : xs;
    const Scratch<double> sums(spans.samples * spans.of_sample);
    spans.for_each([&](int64_t task, int64_t, int64_t at, int64_t length) {
      sums[task] = static_cast<double>(sum_of_products(xs + at, ys + at, length));
    });
    for (int64_t n = 0; n < spans.samples; ++n) {
      double sum = 0;
      for (int64_t i = 0; i < spans.of_sample; ++i) sum += sums[n * spans.of_sample + i];
      p.as<compute_t<T>>()[n] = static_cast<compute_t<T>>(gain * sum);
    }
  });
}

void square_sum_grad(TensorView v, TensorView x, double gain, TensorView dx) {
  const Spans spans(x);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    constexpr int kLanes = kLanesOf<A>;
    const Write write = write_of(dx.as<T>(), spans.elements, x.numel());
    spans.for_each([&](int64_t, int64_t n, int64_t at, int64_t length) {
      const A factor = static_cast<A>(gain) * v.as<A>()[n];
      const T* from = x.as<T>() + at;
      T* to = dx.as<T>() + at;
      int64_t i = 0;
      for (; i + kLanes <= length; i += kLanes)
        put_vector<kLanes>(to + i, factor * load_vector<kLanes>(from + i), write);
      for (; i < length; ++i) store(to[i], factor * load(from[i]));
    });
  });
}

GAN_FAST_LAUNCHER(square_sum)
GAN_FAST_LAUNCHER(square_sum_grad)

}  // namespace
