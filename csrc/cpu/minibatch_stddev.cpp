// y = cat(x, mean of sigma) over groups of samples, and its first two derivatives, each in one walk over the samples.
// The formulas stand in gan_fast/ops/minibatch_stddev.py.
#include <cmath>

#include "common.h"

namespace {

using namespace gan_fast;

constexpr int64_t kSpan = 512;  // values that one span covers in each sample: its statistics stay in the nearest cache
constexpr double kEps = 1e-8;

// Group m is the samples members[offsets[m]], ...; where these are not given m, m + count, m + 2 count, ...
struct Groups {
  const int64_t *members, *offsets;
  int64_t count, group_size;

  int64_t size(int64_t m) const { return offsets ? offsets[m + 1] - offsets[m] : group_size; }
  int64_t member(int64_t m, int64_t j) const { return members ? members[offsets[m] + j] : m + j * count; }
};

// A statistic belongs to a group and a share of the channels. In x, and in the first channels of y, that share is
//   planes         one row of C / F channels, all their pixels
//   channels_last  a row for each pixel, of C / F channels; x_row and y_row lie between rows
// Rows are cut into spans, the same in all samples of the group: the tasks of threads. A span sums by itself, and sums
// are added in the order of spans, which does not depend on the number of threads.
struct Walk {
  Groups groups;
  int64_t samples, channels, shares, pixels, rows, width, spans_of_row;
  int64_t x_row, y_row, x_sample, y_sample, y_channel, y_pixel;

  Walk(const TensorView& x, const TensorView& y, const TensorView& members, const TensorView& offsets,
       int64_t group_size, int64_t num_channels) {
    const bool channels_last = y.strides[1] == 1;
    samples = x.sizes[0];
    groups = {members.as<int64_t>(), offsets.as<int64_t>(), offsets.given() ? samples : samples / group_size,
              group_size};
    channels = x.sizes[1];
    shares = num_channels;
    pixels = x.sizes[2] * x.sizes[3];
    rows = channels_last ? pixels : 1;
    width = channels / shares * (channels_last ? 1 : pixels);
    spans_of_row = (width + kSpan - 1) / kSpan;
    x_row = channels;
    y_row = channels + shares;
    x_sample = x_row * pixels;
    y_sample = y_row * pixels;
    y_channel = channels_last ? 1 : pixels;
    y_pixel = channels_last ? y_row : 1;
  }
  int64_t statistics() const { return groups.count * shares; }
  int64_t spans() const { return rows * spans_of_row; }  // of one statistic
  int64_t values() const { return rows * width; }        // of one sample in one share
  int64_t tasks() const { return statistics() * spans(); }
  int threads() const { return threads_for(samples * x_sample); }
};

struct Span {
  const Walk& walk;
  int64_t task, m, size, length;  // which; its group, of how many samples; its values
  int64_t x_at, y_at;             // where they begin in a sample

  template <typename T>
  T* in_x(T* x, int64_t j) const {
    return x + walk.groups.member(m, j) * walk.x_sample + x_at;
  }
  template <typename T>
  T* in_y(T* y, int64_t j) const {
    return y + walk.groups.member(m, j) * walk.y_sample + y_at;
  }
};

template <typename F>
void for_each_span(const Walk& w, const F& f) {
  parallel_for(w.tasks(), w.threads(), [&](int64_t task, int) {
    const int64_t statistic = task / w.spans(), m = statistic / w.shares, k = statistic % w.shares;
    const int64_t row = task % w.spans() / w.spans_of_row, begin = task % w.spans_of_row * kSpan;
    const int64_t length = w.width - begin < kSpan ? w.width - begin : kSpan, at = k * w.width + begin;
    const Span span = {w, task, m, w.groups.size(m), length, row * w.x_row + at, row * w.y_row + at};
    if (span.size > 0) f(span, statistic);
  });
}

// The mean of each statistic's values, of which each span has summed its own.
inline void add_up(const Walk& w, const double* sums, double* means) {
  for (int64_t s = 0; s < w.statistics(); ++s) {
    double sum = 0;
    for (int64_t i = 0; i < w.spans(); ++i) sum += sums[s * w.spans() + i];
    means[s] = sum / static_cast<double>(w.values());
  }
}

// f(value) for every value of y that stands for a statistic.
template <typename T, typename F>
void for_each_use(const Walk& w, T* y, int64_t statistic, const F& f) {
  const int64_t m = statistic / w.shares, channel = w.channels + statistic % w.shares;
  for (int64_t j = 0; j < w.groups.size(m); ++j) {
    T* p = y + w.groups.member(m, j) * w.y_sample + channel * w.y_channel;
    for (int64_t i = 0; i < w.pixels; ++i) f(p[i * w.y_pixel]);
  }
}

template <typename T>
void spread(const Walk& w, const double* statistics, T* y) {
  for (int64_t s = 0; s < w.statistics(); ++s)
    for_each_use(w, y, s, [&](T& to) { store(to, static_cast<compute_t<T>>(statistics[s])); });
}

template <typename T>
void gather(const Walk& w, const T* dy, double* statistics) {
  for (int64_t s = 0; s < w.statistics(); ++s) {
    double sum = 0;
    for_each_use(w, dy, s, [&](const T& from) { sum += static_cast<double>(load(from)); });
    statistics[s] = sum / static_cast<double>(w.values());
  }
}

// result[i] = start + the mean over the group of f(j)(i), for each value i of a span.
template <typename A, typename F>
void average(const Span& span, A start, A* result, const F& f) {
  const A scale = A(1) / static_cast<A>(span.size);
  for (int64_t i = 0; i < span.length; ++i) result[i] = 0;
  for (int64_t j = 0; j < span.size; ++j) {
    const auto term = f(j);
#pragma omp simd
    for (int64_t i = 0; i < span.length; ++i) result[i] += term(i);
  }
#pragma omp simd
  for (int64_t i = 0; i < span.length; ++i) result[i] = start + result[i] * scale;
}

// The statistics of a span's values: the group's mean and sigma; for derivatives the inverse of sigma; with w its mean
// and c.
template <typename T, typename A = compute_t<T>>
struct Statistics {
  alignas(kLine) A mean[kSpan], sigma[kSpan], inverse[kSpan], w_mean[kSpan], c[kSpan];

  Statistics(const Span& span, const T* x) {
    average(span, A(0), mean, [&](int64_t j) { return [p = span.in_x(x, j)](int64_t i) { return load(p[i]); }; });
    average(span, static_cast<A>(kEps), sigma, [&](int64_t j) {
      return [p = span.in_x(x, j), this](int64_t i) {
        const A u = load(p[i]) - mean[i];
        return u * u;
      };
    });
#pragma omp simd
    for (int64_t i = 0; i < span.length; ++i) sigma[i] = std::sqrt(sigma[i]);
  }
  void invert(const Span& span) {
#pragma omp simd
    for (int64_t i = 0; i < span.length; ++i) inverse[i] = A(1) / sigma[i];
  }
  Statistics(const Span& span, const T* x, const T* w) : Statistics(span, x) {
    invert(span);
    average(span, A(0), w_mean, [&](int64_t j) { return [p = span.in_x(w, j)](int64_t i) { return load(p[i]); }; });
    average(span, A(0), c, [&](int64_t j) {
      return
          [p = span.in_x(x, j), q = span.in_x(w, j), this](int64_t i) { return load(q[i]) * (load(p[i]) - mean[i]); };
    });
  }
};

// The sum of f(i) over a span's values.
template <typename A, typename F>
A sum_of(const Span& span, const F& f) {
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < span.length; ++i) sum += f(i);
  return sum;
}

template <typename T>
void copy_to_y(const Span& span, const T* x, T* y) {
  for (int64_t j = 0; j < span.size; ++j)
    std::memcpy(span.in_y(y, j), span.in_x(x, j), static_cast<size_t>(span.length) * sizeof(T));
}

void minibatch_stddev(TensorView x, TensorView members, TensorView offsets, int64_t group_size, int64_t num_channels,
                      TensorView y) {
  const Walk walk(x, y, members, offsets, group_size, num_channels);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Scratch<double> s(walk.statistics()), sums(walk.tasks());
    for_each_span(walk, [&](const Span& span, int64_t) {
      copy_to_y(span, x.as<T>(), y.as<T>());
      const Statistics<T> of(span, x.as<T>());
      sums[span.task] = sum_of<A>(span, [&](int64_t i) { return of.sigma[i]; });
    });
    add_up(walk, sums.get(), s.get());
    spread(walk, s.get(), y.as<T>());
  });
}

void minibatch_stddev_grad(TensorView dy, TensorView x, TensorView members, TensorView offsets, int64_t group_size,
                           int64_t num_channels, TensorView dx) {
  const Walk walk(x, dy, members, offsets, group_size, num_channels);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Scratch<double> a(walk.statistics());
    gather(walk, dy.as<T>(), a.get());
    for_each_span(walk, [&](const Span& span, int64_t statistic) {
      Statistics<T> of(span, x.as<T>());
      of.invert(span);
      const A scale = static_cast<A>(a[statistic] / static_cast<double>(span.size));
      for (int64_t j = 0; j < span.size; ++j) {
        const T *xs = span.in_x(x.as<T>(), j), *vs = span.in_y(dy.as<T>(), j);
        T* to = span.in_x(dx.as<T>(), j);
#pragma omp simd
        for (int64_t i = 0; i < span.length; ++i)
          store(to[i], load(vs[i]) + scale * of.inverse[i] * (load(xs[i]) - of.mean[i]));
      }
    });
  });
}

void minibatch_stddev_grad2(TensorView ddx, TensorView dy, TensorView x, TensorView members, TensorView offsets,
                            int64_t group_size, int64_t num_channels, bool dy_grad, bool x_grad, TensorView ddy,
                            TensorView d2x) {
  const Walk walk(x, dy, members, offsets, group_size, num_channels);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Scratch<double> a(walk.statistics()), b(walk.statistics()), sums(walk.tasks());
    gather(walk, dy.as<T>(), a.get());
    for_each_span(walk, [&](const Span& span, int64_t statistic) {
      const Statistics<T> of(span, x.as<T>(), ddx.as<T>());
      if (dy_grad) {
        copy_to_y(span, ddx.as<T>(), ddy.as<T>());
        sums[span.task] = sum_of<A>(span, [&](int64_t i) { return of.c[i] * of.inverse[i]; });
      }
      if (!x_grad) return;
      const A scale = static_cast<A>(a[statistic] / static_cast<double>(span.size));
      for (int64_t j = 0; j < span.size; ++j) {
        const T *xs = span.in_x(x.as<T>(), j), *ws = span.in_x(ddx.as<T>(), j);
        T* to = span.in_x(d2x.as<T>(), j);
#pragma omp simd
        for (int64_t i = 0; i < span.length; ++i) {
          const A u = load(xs[i]) - of.mean[i];
          const A d = load(ws[i]) - of.w_mean[i] - u * of.c[i] * of.inverse[i] * of.inverse[i];
          store(to[i], scale * of.inverse[i] * d);
        }
      }
    });
    if (dy_grad) {
      add_up(walk, sums.get(), b.get());
      spread(walk, b.get(), ddy.as<T>());
    }
  });
}

GAN_FAST_LAUNCHER(minibatch_stddev)
GAN_FAST_LAUNCHER(minibatch_stddev_grad)
GAN_FAST_LAUNCHER(minibatch_stddev_grad2)

}  // namespace
