// y = clamp(act(x + noise + b) gain) and its first two derivatives, each in one pass over memory with the sums for the
// bias.
#include "pointwise.h"

namespace {

using namespace gan_fast;

constexpr int64_t kColumns = 4096;  // columns that one tile covers
constexpr int64_t kNoise = 512;     // elements whose bias and noise are added up at once

// The memory of a tensor [outer, C, inner] as rows.
//   planes:  inner is long; a row is `inner` elements that share one bias
//   columns: inner is short; a row is C inner elements, each column with its own bias
// Rows are cut into tiles, and each tile sums by itself: in lanes for planes, in every column for columns. Tiles do
// not depend on the number of threads, so neither do sums.
struct Tiles {
  int64_t channels, inner;
  bool planes;
  int64_t rows, length;            // of the whole
  int64_t tile_rows, tile_length;  // of one tile
  int64_t row_tiles, length_tiles;

  Tiles(const TensorView& x, int64_t dim) {
    const int64_t numel = x.numel();
    channels = x.sizes[dim];
    inner = channels == 1 ? numel : x.strides[dim];
    planes = inner >= kLanes;
    length = planes ? inner : channels * inner;
    rows = numel == 0 ? 0 : numel / length;
    tile_rows = planes ? 1 : kRows;
    tile_length = planes ? kSpan : kColumns;
    row_tiles = (rows + tile_rows - 1) / tile_rows;
    length_tiles = (length + tile_length - 1) / tile_length;
  }
  int64_t count() const { return row_tiles * length_tiles; }
  int64_t biases() const { return planes ? channels : length; }
  int64_t sums() const { return row_tiles * (planes ? length_tiles : length); }
};

constexpr int64_t kBuffer = 1024;  // numbers of half precision that are converted at a time

// n numbers in the type of computation: where they lie, or, n <= kBuffer, converted.
template <typename T, typename A = compute_t<T>>
class Computed {
 public:
  Computed(const T* p, int64_t n) {
    in_steps(n, [&](int64_t i, int64_t size) __attribute__((always_inline)) {
      fetch(p + i);
#pragma omp simd
      for (int64_t j = 0; j < size; ++j) converted_[i + j] = load(p[i + j]);
    });
  }
  const A* get() const { return converted_; }

 private:
  alignas(kLine) A converted_[kBuffer];
};
template <typename A>
class Computed<A, A> {
 public:
  Computed(const A* p, int64_t) : p_(p) {}
  const A* get() const { return p_; }

 private:
  const A* p_;
};

// run(y', i, m, how) makes m results from the i-th on in the type of computation, all at once if that is how y has
// them.
template <typename T, typename F, typename A = compute_t<T>>
GF_HD void compute_row(T* y, int64_t n, Write write, const F& run) {
  if constexpr (std::is_same_v<T, A>) {
    run(y, 0, n, write);
  } else {
    alignas(kLine) A computed[kBuffer];
    for (int64_t first = 0; first < n; first += kBuffer) {
      const int64_t m = n - first < kBuffer ? n - first : kBuffer;
      run(computed, first, m, Write::scratch);
      in_steps(m, [&](int64_t i, int64_t size) __attribute__((always_inline)) {
        expect(y + first + i, size, write);
#pragma omp simd
        for (int64_t j = 0; j < size; ++j) store(y[first + i + j], computed[i + j]);
      });
    }
  }
}

// Rows are functions of their own, of numbers in the type of computation: one for each activation is enough to compile.
template <Act ACT, typename A>
[[gnu::noinline]] void forward_row(const A* x, const A* b, int64_t b_step, A* y, int64_t n, Settings<A> s,
                                   Write write) {
  const auto step = [&](int64_t i, int64_t size) __attribute__((always_inline)) {
    const A* bias = b + i * b_step;
    if (write == Write::streamed) fetch(x + i);
    expect(y + i, size, write);
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) {
      const A v = activation<0, ACT>(x[i + j] + bias[j], s.alpha) * s.gain;
      const A low = v < -s.clamp ? -s.clamp : v;
      y[i + j] = low > s.clamp ? s.clamp : low;
    }
  };
  in_steps(n, step);
}

// ORDER 1: dx = dy act'(u) gain where |y| < clamp, else 0. ORDER 2: the same of ddx dy act''(u).
template <int ORDER, Act ACT, bool FROM_OUTPUT, bool CLAMPED, typename A>
[[gnu::noinline]] void derivative_row(const A* ddx, const A* dy, const A* saved, const A* b, int64_t b_step, A* dx,
                                      A* sums, int64_t sums_step, int64_t n, Settings<A> s, Write write) {
  const auto step = [&](int64_t i, int64_t size) __attribute__((always_inline)) {
    const A* bias = b + i * b_step;
    A* sum = sums + i * sums_step;
    if (write != Write::scratch) {
      fetch(dy + i);
      fetch(saved + i);
      if (ORDER == 2) fetch(ddx + i);
    }
    expect(dx + i, size, write);
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) {
      const A u = FROM_OUTPUT ? saved[i + j] : saved[i + j] + bias[j];
      A v = dy[i + j];
      if constexpr (ORDER == 2) v *= ddx[i + j];
      v *= activation<ORDER, ACT>(u, s.alpha) * s.gain;
      if constexpr (CLAMPED) {
        const A y = FROM_OUTPUT ? u : activation<0, ACT>(u, s.alpha) * s.gain;
        v = (y < A(0) ? -y : y) >= s.clamp ? A(0) : v;
      }
      dx[i + j] = v;
      sum[j] += v;
    }
  };
  in_steps(n, step);
}

// The bias in the type of computation: one for each channel of planes, one for each column of columns.
template <typename A>
class Bias {
 public:
  Bias(const TensorView& b, const Tiles& t) : values_(t.biases()) {
    const int64_t repeat = t.planes ? 1 : t.inner;
    if (!b.given()) {
      for (int64_t i = 0; i < t.biases(); ++i) values_[i] = 0;
      return;
    }
    dispatch(b.dtype, [&](auto zero) {
      const auto* p = b.as<decltype(zero)>();
      for (int64_t c = 0; c < t.channels; ++c)
        for (int64_t i = 0; i < repeat; ++i) values_[c * repeat + i] = static_cast<A>(load(p[c]));
    });
  }
  const A* get() const { return values_.get(); }

 private:
  Scratch<A> values_;
};

// f(offset, n, bias, step, sums, sums_step) for the rows of every tile: element i takes bias[i step] of each kLanes
// elements, and likewise adds to sums. Results go to `sums` unless it is null.
template <typename A, typename F>
void for_each_row(const Tiles& t, const A* bias, A* sums, const F& f) {
  parallel_for(t.count(), threads_for(t.rows * t.length), [&](int64_t task, int) {
    alignas(64) A lanes[kLanes] = {};
    const int64_t row_tile = task / t.length_tiles, begin = task % t.length_tiles * t.tile_length;
    const int64_t n = t.length - begin < t.tile_length ? t.length - begin : t.tile_length;
    if (t.planes) {
      alignas(64) A shared[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) shared[i] = bias[row_tile % t.channels];
      f(row_tile * t.length + begin, n, shared, 0, lanes, 0);
      if (!sums) return;
      sums[task] = sum_of_lanes(lanes);
      return;
    }
    A* sum = sums ? sums + row_tile * t.length + begin : lanes;
    for (int64_t i = 0; sums && i < n; ++i) sum[i] = 0;
    const int64_t first = row_tile * t.tile_rows, last = first + t.tile_rows < t.rows ? first + t.tile_rows : t.rows;
    for (int64_t row = first; row < last; ++row) f(row * t.length + begin, n, bias + begin, 1, sum, sums ? 1 : 0);
  });
}

// The sums of all tiles, added in double precision in the order of memory.
template <typename T, typename A>
void add_up(const Tiles& t, const A* sums, T* db) {
  Scratch<double> total(t.channels);
  for (int64_t c = 0; c < t.channels; ++c) total[c] = 0;
  if (t.planes) {
    for (int64_t row = 0; row < t.rows; ++row)
      for (int64_t i = 0; i < t.length_tiles; ++i) total[row % t.channels] += sums[row * t.length_tiles + i];
  } else {
    for (int64_t tile = 0; tile < t.row_tiles; ++tile)
      for (int64_t c = 0; c < t.channels; ++c)
        for (int64_t i = 0; i < t.inner; ++i) total[c] += sums[tile * t.length + c * t.inner + i];
  }
  for (int64_t c = 0; c < t.channels; ++c) store(db[c], static_cast<A>(total[c]));
}

// f(which), which is the activation as a constant.
template <typename F>
auto with_activation(std::string_view act, const F& f) {
  switch (act_of(act)) {
    case Act::linear:
      return f(std::integral_constant<Act, Act::linear>());
    case Act::relu:
      return f(std::integral_constant<Act, Act::relu>());
    case Act::lrelu:
      return f(std::integral_constant<Act, Act::lrelu>());
    case Act::tanh:
      return f(std::integral_constant<Act, Act::tanh>());
    case Act::sigmoid:
      return f(std::integral_constant<Act, Act::sigmoid>());
    case Act::elu:
      return f(std::integral_constant<Act, Act::elu>());
    case Act::selu:
      return f(std::integral_constant<Act, Act::selu>());
    case Act::softplus:
      return f(std::integral_constant<Act, Act::softplus>());
    default:
      return f(std::integral_constant<Act, Act::swish>());
  }
}

// What is added to n elements from offset `at` on: the bias, and the noise of their pixels.
template <typename T, typename A>
void add_noise(const Tiles& t, const T* noise, int64_t at, const A* b, int64_t b_step, A* sum, int64_t n) {
  const int64_t row = at / t.length, begin = at % t.length;
  if (t.planes) {
    noise += row / t.channels * t.inner + begin;
    for (int64_t i = 0; i < n; ++i) sum[i] = b[0] + load(noise[i]);
    return;
  }
  noise += row * t.inner;
  for (int64_t i = 0, pixel = begin % t.inner; i < n; ++i) {
    sum[i] = b[i * b_step] + load(noise[pixel]);
    pixel = pixel + 1 < t.inner ? pixel + 1 : 0;
  }
}

void bias_act(TensorView x, TensorView b, TensorView noise, int64_t dim, std::string_view act, double alpha,
              double gain, double clamp, TensorView y) {
  const Tiles tiles(x, dim);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Bias<A> bias(b, tiles);
    const auto s = settings_of<T>(alpha, gain, clamp);
    const Write write = write_of(y.as<T>(), tiles.length, tiles.rows * tiles.length);
    const auto forward = with_activation(act, [](auto which) { return &forward_row<decltype(which)::value, A>; });
    for_each_row<A>(tiles, bias.get(), nullptr, [&](int64_t at, int64_t n, const A* b, int64_t step, A*, int64_t) {
      write_row(y.as<T>() + at, n, write, [&](T* results, int64_t first, int64_t size) {
        compute_row(results, size, write, [&](A* to, int64_t i, int64_t m, Write how) {
          const Computed<T> from(x.as<T>() + at + first + i, m);
          const A* added = b + (first + i) * step;
          if (!noise.given()) return forward(from.get(), added, step, to, m, s, how);
          alignas(kLine) A sum[kNoise];
          for (int64_t j = 0; j < m; j += kNoise) {
            const int64_t part = m - j < kNoise ? m - j : kNoise;
            add_noise(tiles, noise.as<T>(), at + first + i + j, added + j * step, step, sum, part);
            forward(from.get() + j, sum, 1, to + j, part, s, how);
          }
        });
      });
    });
  });
}

// The row of a derivative for an activation and what is known of the call.
template <int ORDER, typename A>
auto derivative_of(std::string_view act, bool from_output, bool clamped) {
  return with_activation(act, [&](auto which) {
    constexpr Act a = decltype(which)::value;
    auto row = &derivative_row<ORDER, a, false, true, A>;
    if constexpr (ORDER == 1 && (a == Act::linear || a == Act::relu || a == Act::lrelu)) {
      if (from_output) row = &derivative_row<ORDER, a, true, true, A>;
    }
    // without a clamp s.clamp is NaN, which masks nothing: code of its own for that case is for float only
    if constexpr (std::is_same_v<A, float>) {
      if (!clamped && !from_output) row = &derivative_row<ORDER, a, false, false, A>;
    }
    return row;
  });
}

template <int ORDER>
void derivative(const TensorView& ddx, const TensorView& dy, const TensorView& saved, const TensorView& b, int64_t dim,
                std::string_view act, double alpha, double gain, double clamp, bool from_output, bool bias_grad,
                const TensorView& dx, const TensorView& db) {
  const Tiles tiles(dx, dim);
  dispatch(dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Bias<A> bias(b, tiles);
    const Scratch<A> sums(bias_grad ? tiles.sums() : 0);
    auto s = settings_of<T>(alpha, gain, clamp);
    const Write write = write_of(dx.as<T>(), tiles.length, tiles.rows * tiles.length);
    if (from_output) {  // y was rounded to T, and so was the clamp that it may have reached
      T rounded;
      store(rounded, s.clamp);
      s.clamp = load(rounded);
    }
    const T* source = saved.given() ? saved.as<T>() : dy.as<T>();  // nothing is saved for a constant derivative
    const auto row = derivative_of<ORDER, A>(act, from_output || !saved.given(), clamp >= 0);
    A* all_sums = bias_grad ? sums.get() : nullptr;
    for_each_row<A>(
        tiles, bias.get(), all_sums, [&](int64_t at, int64_t n, const A* b, int64_t step, A* sum, int64_t sum_step) {
          write_row(dx.as<T>() + at, n, write, [&](T* results, int64_t first, int64_t size) {
            compute_row(results, size, write, [&](A* to, int64_t i, int64_t m, Write how) {
              const int64_t in_row = first + i, from = at + in_row;
              const Computed<T> v(dy.as<T>() + from, m), u(source + from, m), w(ddx.as<T>() + from, ORDER == 2 ? m : 0);
              row(w.get(), v.get(), u.get(), b + in_row * step, step, to, sum + in_row * sum_step, sum_step, m, s, how);
            });
          });
        });
    if (bias_grad) add_up(tiles, sums.get(), db.as<T>());
  });
}

void bias_act_grad(TensorView dy, TensorView saved, TensorView b, int64_t dim, std::string_view act, double alpha,
                   double gain, double clamp, bool from_output, bool bias_grad, TensorView dx, TensorView db) {
  derivative<1>(dy, dy, saved, b, dim, act, alpha, gain, clamp, from_output, bias_grad, dx, db);
}

void bias_act_grad2(TensorView ddx, TensorView dy, TensorView x, TensorView b, int64_t dim, std::string_view act,
                    double alpha, double gain, double clamp, bool bias_grad, TensorView d2x, TensorView d2b) {
  derivative<2>(ddx, dy, x, b, dim, act, alpha, gain, clamp, false, bias_grad, d2x, d2b);
}

GAN_FAST_LAUNCHER(bias_act)
GAN_FAST_LAUNCHER(bias_act_grad)
GAN_FAST_LAUNCHER(bias_act_grad2)

}  // namespace
