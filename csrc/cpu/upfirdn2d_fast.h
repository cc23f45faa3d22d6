// The common cases of upfirdn2d in registers: up 2, down 2 or neither on both axes, separable filters of 4 or 12 taps.
//
// A window of filtered rows (planes) or columns (pixels) slides along the image: each step takes new ones in and emits
// the output of one period. Planes are first copied, a band of rows at a time, into a frame with zeros around them.
#pragma once

#include "upfirdn2d.h"
#include "vector.h"

namespace {

constexpr int64_t kFrame = 6144;  // elements of a frame: it stays in the first-level cache

// UP, DOWN: of both axes. TAPS: of each phase.
template <int UP_, int DOWN_, int TAPS_>
struct Rate {
  static constexpr int UP = UP_, DOWN = DOWN_, TAPS = TAPS_;
  static constexpr int WINDOW = TAPS + UP - 1;  // the second phase may begin one later than the first

  static bool fits(const Axis& axis, int64_t filter) {
    return axis.up == UP && axis.step == DOWN && axis.period == UP && filter == UP * TAPS;
  }
};

// The taps of an axis: tap k of phase p meets x[first + DOWN m + p late + k].
template <typename R, typename A>
struct Taps {
  A f[R::UP][R::TAPS];
  int64_t first;
  bool late;

  Taps(const Axis& axis, const A* filter) : first(axis.phases[0].first), late(axis.phases[R::UP - 1].first > first) {
    for (int p = 0; p < R::UP; ++p)
      for (int k = 0; k < R::TAPS; ++k) f[p][k] = filter[axis.phases[p].tap + k * R::UP];
  }
};

// next() gives the rows or columns of x in turn, emit(m, window) makes period m of the output.
template <typename R, typename Item, typename Next, typename Emit>
GF_HD void slide(int64_t periods, const Next& next, const Emit& emit) {
  Item window[R::WINDOW];
  for (int k = R::DOWN; k < R::WINDOW; ++k) window[k] = next();
  for (int64_t m = 0; m < periods; ++m) {
    for (int k = 0; k + R::DOWN < R::WINDOW; ++k) window[k] = window[k + R::DOWN];
    for (int k = R::WINDOW - R::DOWN; k < R::WINDOW; ++k) window[k] = next();
    emit(m, window);
  }
}

// ------------------------------------------------------------------------------------------------- planes (NCHW)

// L periods of columns, all rows of a band. x: the frame from the first tap of the band's first row and column.
template <typename R, bool LATE, int L, typename A, typename T>
void filter_columns(const A* x, int64_t x_stride, const Taps<R, A>& across, const Taps<R, A>& along, T* y,
                    int64_t y_stride, int64_t rows, int64_t columns) {
  using V = Vector<A, L>;
  struct Item {
    V v[R::UP];
  };
  const std::make_integer_sequence<int, L> lanes;
  const auto next = [&]() __attribute__((always_inline)) {
    Item item;
    if constexpr (R::DOWN == 2) {
      static_assert(R::TAPS % 2 == 0);
      item.v[0] = V{};
      for (int k = 0; k < R::TAPS; k += 2) {
        const V a = load_vector<L>(x + k), b = load_vector<L>(x + k + L);
        item.v[0] += across.f[0][k] * every_second<L, 0>(a, b, lanes);
        item.v[0] += across.f[0][k + 1] * every_second<L, 1>(a, b, lanes);
      }
    } else {
      for (int p = 0; p < R::UP; ++p) {
        const A* from = x + (p == 1 && across.late);
        item.v[p] = across.f[p][0] * load_vector<L>(from);
        for (int k = 1; k < R::TAPS; ++k) item.v[p] += across.f[p][k] * load_vector<L>(from + k);
      }
    }
    x += x_stride;
    return item;
  };
  const auto put = [&](T* to, V v, int64_t at) __attribute__((always_inline)) {
    if (at + L <= columns) return store_vector<L>(to + at, v);
    for (int64_t i = at; i < columns; ++i) store(to[i], v[i - at]);
  };
  const auto emit = [&](int64_t m, const Item* window) __attribute__((always_inline)) {
    for (int q = 0; q < R::UP; ++q) {
      if (R::UP == 2 && m * R::UP + q >= rows) return;
      V sum[R::UP];
      for (int p = 0; p < R::UP; ++p) {
        sum[p] = along.f[q][0] * window[q && LATE].v[p];
        for (int k = 1; k < R::TAPS; ++k) sum[p] += along.f[q][k] * window[k + (q && LATE)].v[p];
      }
      T* to = y + (m * R::UP + q) * y_stride;
      if constexpr (R::UP == 1) {
        put(to, sum[0], 0);
      } else {
        put(to, interleave<L, 0>(sum[0], sum[1], lanes), 0);
        put(to, interleave<L, 1>(sum[0], sum[1], lanes), L);
      }
    }
  };
  slide<R, Item>((rows + R::UP - 1) / R::UP, next, emit);
}

// A plane is every pixel-th element of x and of y: channels_last images of few channels are planes too.
template <typename R, int L, typename T, typename A = compute_t<T>>
void filter_planes(const T* x, T* y, int64_t images, int64_t channels, int64_t pixel, const Axis& across_axis,
                   const Axis& along_axis, const Filter<A>& filter) {
  const Taps<R, A> across(across_axis, filter.rows.get()), along(along_axis, filter.column.get());
  const int64_t in_w = across_axis.in, in_h = along_axis.in, out_w = across_axis.out, out_h = along_axis.out;
  const int64_t periods = (out_w + R::UP - 1) / R::UP, out_periods = (out_h + R::UP - 1) / R::UP;
  // the last vector may begin earlier, but then it must fill complete periods
  const bool overlap = out_w % R::UP == 0 && periods >= L;
  const int64_t vectors = (periods + L - 1) / L;
  const int64_t stride = ((vectors * L * R::DOWN + R::WINDOW + L) + 15) / 16 * 16;
  const int64_t fit = (kFrame / stride - R::WINDOW) / R::DOWN;
  const int64_t band = fit < 4 ? 4 : fit < out_periods ? fit : out_periods;  // in periods
  const int64_t bands = (out_periods + band - 1) / band;
  const int64_t frame_rows = band * R::DOWN + R::WINDOW;
  const int64_t begin = across.first > 0 ? across.first : 0;
  const int64_t frame_end = across.first + stride, end = in_w < frame_end ? in_w : frame_end;
  const int threads = threads_for(images * channels * (in_w * in_h + out_w * out_h));
  const int64_t staged = pixel == 1 ? 0 : band * R::UP * out_w;  // output of a band, where it cannot go to y directly
  Scratch<A> frames(threads * frame_rows * stride);
  Scratch<T> stages(threads * staged);
  for (int64_t i = 0; i < threads * frame_rows * stride; ++i) frames[i] = 0;  // the margins stay zero
  parallel_for(images * channels * bands, threads, [&](int64_t task, int thread) {
    A* frame = frames.get() + thread * frame_rows * stride;
    const int64_t plane = task / bands, first = task % bands * band;
    const int64_t count = out_periods - first < band ? out_periods - first : band;
    const int64_t rows = (first + count) * R::UP < out_h ? count * R::UP : out_h - first * R::UP;
    const int64_t top = along.first + first * R::DOWN, needed = (count - 1) * R::DOWN + R::WINDOW;
    const T* from = pixel == 1 ? x + plane * in_h * in_w : x + plane / channels * in_h * in_w * pixel + plane % channels;
    for (int64_t r = 0; r < needed; ++r) {
      A* row = frame + r * stride + (begin - across.first);
      const int64_t n = end - begin;
      if (top + r < 0 || top + r >= in_h) {
        for (int64_t i = 0; i < n; ++i) row[i] = 0;
        continue;
      }
      const T* source = from + ((top + r) * in_w + begin) * pixel;
      if (pixel == 1 && n >= L) {
        for (int64_t i = 0; i < n; i += L) {
          const int64_t at = i + L <= n ? i : n - L;
          store_vector<L>(row + at, load_vector<L>(source + at));
        }
      } else {
        for (int64_t i = 0; i < n; ++i) row[i] = load(source[i * pixel]);
      }
    }
    T* to = pixel == 1 ? y + (plane * out_h + first * R::UP) * out_w : stages.get() + thread * staged;
    for (int64_t v = 0; v < vectors; ++v) {
      const int64_t m = overlap && (v + 1) * L > periods ? periods - L : v * L;
      const auto run = along.late ? &filter_columns<R, true, L, A, T> : &filter_columns<R, false, L, A, T>;
      run(frame + m * R::DOWN, stride, across, along, to + m * R::UP, out_w, rows, out_w - m * R::UP);
    }
    if (pixel == 1) return;
    T* target = y + (plane / channels * out_h + first * R::UP) * out_w * pixel + plane % channels;
    for (int64_t i = 0; i < rows * out_w; ++i) target[i * pixel] = to[i];
  });
}

// ------------------------------------------------------------------------------------------ pixels (channels_last)

// B vectors of channels along one output row. rows, f, taps: what the row is made of.
template <typename R, bool LATE, int B, typename T, typename A = compute_t<T>>
void filter_pixels(const T* const* rows, const A* f, int64_t taps, const Axis& axis, const Taps<R, A>& across, T* y,
                   int64_t channels) {
  constexpr int L = kLanesOf<A>;
  using V = Vector<A, L>;
  struct Item {
    V v[B];
  };
  int64_t column = across.first;
  const auto next = [&]() __attribute__((always_inline)) {
    Item item = {};
    const int64_t at = column++;
    if (at < 0 || at >= axis.in) return item;
    for (int64_t k = 0; k < taps; ++k)
      for (int b = 0; b < B; ++b) item.v[b] += f[k] * load_vector<L>(rows[k] + at * channels + b * L);
    return item;
  };
  const auto emit = [&](int64_t m, const Item* window) __attribute__((always_inline)) {
    for (int p = 0; p < R::UP; ++p) {
      if (R::UP == 2 && m * R::UP + p >= axis.out) return;
      T* to = y + (m * R::UP + p) * channels;
      for (int b = 0; b < B; ++b) {
        V sum = across.f[p][0] * window[p && LATE].v[b];
        for (int k = 1; k < R::TAPS; ++k) sum += across.f[p][k] * window[k + (p && LATE)].v[b];
        store_vector<L>(to + b * L, sum);
      }
    }
  };
  slide<R, Item>((axis.out + R::UP - 1) / R::UP, next, emit);
}

// channels: at least a vector.
template <typename R, typename T, typename A = compute_t<T>>
void filter_images(const T* x, T* y, int64_t images, int64_t channels, const Axis& across_axis, const Axis& along_axis,
                   const Filter<A>& filter) {
  constexpr int L = kLanesOf<A>, B = R::WINDOW > 6 ? 1 : kVectorBytes == 64 ? 4 : 2;
  const Taps<R, A> across(across_axis, filter.rows.get()), along(along_axis, filter.column.get());
  const int64_t in_w = across_axis.in, in_h = along_axis.in, out_w = across_axis.out, out_h = along_axis.out;
  const int threads = threads_for(images * channels * (in_w * in_h + out_w * out_h));
  parallel_for(images * out_h, threads, [&](int64_t task, int) {
    const int64_t image = task / out_h, i = task % out_h, q = i % R::UP;
    const int64_t top = along.first + i / R::UP * R::DOWN + (q && along.late);
    const T* rows[R::TAPS];
    A f[R::TAPS];
    for (int64_t c = 0; c < channels;) {
      const bool wide = c + B * L <= channels;
      if (!wide && c + L > channels) c = channels - L;
      int64_t taps = 0;
      for (int k = 0; k < R::TAPS; ++k)
        if (top + k >= 0 && top + k < in_h) {
          rows[taps] = x + (image * in_h + top + k) * in_w * channels + c;
          f[taps++] = along.f[q][k];
        }
      T* to = y + task * out_w * channels + c;
      if (wide)
        across.late ? filter_pixels<R, true, B>(rows, f, taps, across_axis, across, to, channels)
                    : filter_pixels<R, false, B>(rows, f, taps, across_axis, across, to, channels);
      else
        across.late ? filter_pixels<R, true, 1>(rows, f, taps, across_axis, across, to, channels)
                    : filter_pixels<R, false, 1>(rows, f, taps, across_axis, across, to, channels);
      c += wide ? B * L : L;
    }
  });
}

// Runs a call if it is one of the common cases; false if it is not.
template <typename T, typename A = compute_t<T>>
bool run_fast(const T* x, T* y, int64_t images, int64_t channels, bool channels_last, const Axis& across,
              const Axis& along, const Filter<A>& filter) {
  const auto attempt = [&](auto rate) {
    using R = decltype(rate);
    if (!filter.separable || !R::fits(across, filter.width) || !R::fits(along, filter.height)) return false;
    constexpr int L = kLanesOf<A>;
    const int64_t pixel = channels_last ? channels : 1;
    if (channels_last && channels >= L)
      filter_images<R>(x, y, images, channels, across, along, filter);
    else if (L > 4 && across.out <= R::UP * L / 2)
      filter_planes<R, (L > 4 ? L / 2 : L)>(x, y, images, channels, pixel, across, along, filter);
    else
      filter_planes<R, L>(x, y, images, channels, pixel, across, along, filter);
    return true;
  };
  return attempt(Rate<2, 1, 2>()) || attempt(Rate<1, 2, 4>()) || attempt(Rate<1, 1, 4>()) || attempt(Rate<2, 1, 6>())
         || attempt(Rate<1, 2, 12>()) || attempt(Rate<1, 1, 12>());
}

}  // namespace
