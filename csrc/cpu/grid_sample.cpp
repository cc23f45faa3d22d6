// Bilinear sampling at given points, its adjoint, and its gradient in the points; each plain or along directions.
// The formulas stand in gan_fast/ops/grid_sample.py.
#include <cmath>

#include "vector.h"

namespace {

using namespace gan_fast;

constexpr int64_t kTile = 256;  // points whose corners and weights are held at once
constexpr int64_t kPlanes = 8;  // channels of the adjoint that one thread adds to
constexpr int kCorners = 4;     // top left, top right, bottom left, bottom right

// A tensor [N, C, H, W] in either memory format: the address of a pixel, counted through the rows, is linear in it.
struct Image {
  int64_t n, channels, height, width, sample, channel, pixel;

  explicit Image(const TensorView& x) {
    n = x.sizes[0];
    channels = x.sizes[1];
    height = x.sizes[2];
    width = x.sizes[3];
    const bool channels_last = x.strides[1] == 1 && channels > 1;
    sample = channels * pixels();
    channel = channels_last ? 1 : pixels();
    pixel = channels_last ? channels : 1;
    if (pixels() * pixel > INT32_MAX)  // gathers take 32-bit places
      throw std::length_error("grid_sample: a plane, or a sample in channels_last, of 2^31 values or more");
  }
  int64_t pixels() const { return height * width; }
};

// Coordinates: a point of the grid in [-1, 1] x [-1, 1]; (p, q) in pixels of x, across and down; a corner is one of the
// four pixels around it, `at` its place in a channel of x, clamped into the image, and `inside` whether it needed no
// clamping: all bits or none. Behind the last point corners are the first pixel, so that whole vectors can be read.
template <typename A>
struct Points {
  using Mask = std::conditional_t<sizeof(A) == 4, int32_t, int64_t>;

  int64_t size;
  alignas(kLine) A fx[kTile], fy[kTile];  // from the top left corner to the point
  alignas(kLine) int32_t at[kCorners][kTile];
  alignas(kLine) Mask inside[kCorners][kTile];
  bool all_inside;

  Points(const A* grid, int64_t size, const Image& x, bool align_corners) : size(size) {
    const int32_t width = static_cast<int32_t>(x.width), height = static_cast<int32_t>(x.height);
    const int32_t pixel = static_cast<int32_t>(x.pixel), row = width * pixel;
    const A scale_x = static_cast<A>(width - align_corners) / 2, scale_y = static_cast<A>(height - align_corners) / 2;
    const A centre_x = static_cast<A>(width - 1) / 2, centre_y = static_cast<A>(height - 1) / 2;
    Mask everywhere = -1;
#pragma omp simd reduction(& : everywhere)
    for (int64_t i = 0; i < size; ++i) {
      const A p = near(grid[2 * i] * scale_x + centre_x, static_cast<A>(width));
      const A q = near(grid[2 * i + 1] * scale_y + centre_y, static_cast<A>(height));
      const A left = std::floor(p), top = std::floor(q);
      fx[i] = p - left;
      fy[i] = q - top;
      const int32_t x0 = static_cast<int32_t>(left), y0 = static_cast<int32_t>(top);
      const int32_t column0 = clamp(x0, width), column1 = clamp(x0 + 1, width);
      const int32_t row0 = clamp(y0, height), row1 = clamp(y0 + 1, height);
      const int32_t left_at = column0 * pixel, right_at = column1 * pixel;
      const int32_t top_at = row0 * row, bottom_at = row1 * row;
      at[0][i] = top_at + left_at;
      at[1][i] = top_at + right_at;
      at[2][i] = bottom_at + left_at;
      at[3][i] = bottom_at + right_at;
      const Mask in_x0 = column0 == x0 ? -1 : 0, in_x1 = column1 == x0 + 1 ? -1 : 0;
      const Mask in_y0 = row0 == y0 ? -1 : 0, in_y1 = row1 == y0 + 1 ? -1 : 0;
      inside[0][i] = in_x0 & in_y0;
      inside[1][i] = in_x1 & in_y0;
      inside[2][i] = in_x0 & in_y1;
      inside[3][i] = in_x1 & in_y1;
      everywhere &= in_x0 & in_x1 & in_y0 & in_y1;
    }
    all_inside = everywhere != 0;
    for (int q = 0; q < kCorners; ++q)
      for (int64_t i = size; i < kTile && i % kLanesOf<A> != 0; ++i) at[q][i] = 0;
  }
  // A point that no pixel is near, or that is NaN, goes to -2.
  static A near(A at, A size) { return (at > A(-2)) & (at < size + 1) ? at : A(-2); }
  static int32_t clamp(int32_t i, int32_t size) { return i < 0 ? 0 : i >= size ? size - 1 : i; }
};

template <typename A>
struct Scales {
  A x, y;  // pixels to a unit of the grid
  Scales(const Image& image, bool align_corners)
      : x(static_cast<A>(image.width - align_corners) / 2), y(static_cast<A>(image.height - align_corners) / 2) {}
};

template <typename A>
using Weights = A[kCorners][kTile];

// Of S, or with directions of S'.
template <typename A>
void weigh(const Points<A>& points, const A* along, Scales<A> scales, Weights<A>& w) {
#pragma omp simd
  for (int64_t i = 0; i < points.size; ++i) {
    const A x1 = points.fx[i], y1 = points.fy[i], x0 = 1 - x1, y0 = 1 - y1;
    if (along) {
      const A ex = along[2 * i] * scales.x, ey = along[2 * i + 1] * scales.y;
      w[0][i] = -ex * y0 - ey * x0;
      w[1][i] = ex * y0 - ey * x1;
      w[2][i] = -ex * y1 + ey * x0;
      w[3][i] = ex * y1 + ey * x1;
    } else {
      w[0][i] = x0 * y0;
      w[1][i] = x1 * y0;
      w[2][i] = x0 * y1;
      w[3][i] = x1 * y1;
    }
  }
}

// Of Dx and Dy, or with directions of e_y Dxy and e_x Dxy.
template <typename A>
void weigh_gradient(const Points<A>& points, const A* along, Scales<A> scales, Weights<A>& wx, Weights<A>& wy) {
#pragma omp simd
  for (int64_t i = 0; i < points.size; ++i) {
    const A x1 = points.fx[i], y1 = points.fy[i], x0 = 1 - x1, y0 = 1 - y1;
    if (along) {
      const A both = scales.x * scales.y, ex = along[2 * i] * both, ey = along[2 * i + 1] * both;
      wx[0][i] = wx[3][i] = ey;
      wx[1][i] = wx[2][i] = -ey;
      wy[0][i] = wy[3][i] = ex;
      wy[1][i] = wy[2][i] = -ex;
    } else {
      wx[0][i] = -y0 * scales.x;
      wx[1][i] = y0 * scales.x;
      wx[2][i] = -y1 * scales.x;
      wx[3][i] = y1 * scales.x;
      wy[0][i] = -x0 * scales.y;
      wy[1][i] = -x1 * scales.y;
      wy[2][i] = x0 * scales.y;
      wy[3][i] = x1 * scales.y;
    }
  }
}

template <typename T, typename A = compute_t<T>>
GF_HD Vector<A, kLanesOf<A>> gather(const T* x, const int32_t* at) {
#if GAN_FAST_ISA == 2
  if constexpr (std::is_same_v<T, float>)
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, _mm512_loadu_si512(at), x, 4);
#elif GAN_FAST_ISA == 1
  if constexpr (std::is_same_v<T, float>)
    return _mm256_i32gather_ps(x, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)), 4);
#endif
  alignas(kLine) A values[kLanesOf<A>];
  for (int i = 0; i < kLanesOf<A>; ++i) values[i] = load(x[at[i]]);
  return load_vector<kLanesOf<A>>(values);
}

// Two neighbours x[at], x[at + 1] of each place: half as many loads.
template <typename T, typename A = compute_t<T>>
GF_HD void gather_pairs(const T* x, const int32_t* at, Vector<A, kLanesOf<A>>& left, Vector<A, kLanesOf<A>>& right) {
  constexpr int L = kLanesOf<A>;
  constexpr std::make_integer_sequence<int, L> lanes;
#if GAN_FAST_ISA == 2
  if constexpr (std::is_same_v<T, float>) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 8));
    const Vector<A, L> low = _mm512_castpd_ps(_mm512_mask_i32gather_pd(_mm512_setzero_pd(), 0xff, first, x, 4));
    const Vector<A, L> high = _mm512_castpd_ps(_mm512_mask_i32gather_pd(_mm512_setzero_pd(), 0xff, second, x, 4));
    left = every_second<L, 0>(low, high, lanes);
    right = every_second<L, 1>(low, high, lanes);
    return;
  }
#endif
  alignas(kLine) A pairs[2 * L];
  for (int i = 0; i < L; ++i) {
    pairs[2 * i] = load(x[at[i]]);
    pairs[2 * i + 1] = load(x[at[i] + 1]);
  }
  left = every_second<L, 0>(load_vector<L>(pairs), load_vector<L>(pairs + L), lanes);
  right = every_second<L, 1>(load_vector<L>(pairs), load_vector<L>(pairs + L), lanes);
}

// Where the corners of a tile's points may lie; `pairs`: inside, and left and right ones side by side in memory.
enum class Where { anywhere, inside, pairs };

// The corners of a vector of points in a channel of x, 0 outside.
template <Where WHERE, typename T, typename A>
GF_HD void corners(const Points<A>& points, const T* x, int64_t i, Vector<A, kLanesOf<A>> (&v)[kCorners]) {
  using Bits = Vector<typename Points<A>::Mask, kLanesOf<A>>;
  if constexpr (WHERE == Where::pairs) {
    gather_pairs(x, points.at[0] + i, v[0], v[1]);
    gather_pairs(x, points.at[2] + i, v[2], v[3]);
    return;
  }
  for (int q = 0; q < kCorners; ++q) {
    v[q] = gather(x, points.at[q] + i);
    if (WHERE == Where::inside) continue;
    Bits bits, inside;
    std::memcpy(&bits, &v[q], sizeof bits);
    std::memcpy(&inside, points.inside[q] + i, sizeof inside);
    bits &= inside;
    std::memcpy(&v[q], &bits, sizeof bits);
  }
}

template <typename A, typename F>
void with_where(const Points<A>& points, const Image& x, const F& f) {
  if (points.all_inside && x.pixel == 1) return f(std::integral_constant<Where, Where::pairs>());
  if (points.all_inside) return f(std::integral_constant<Where, Where::inside>());
  f(std::integral_constant<Where, Where::anywhere>());
}

// The lanes of a vector from the i-th point on, of which there may be fewer left.
template <typename T, typename A>
GF_HD void put(T* to, int64_t i, int64_t size, Vector<A, kLanesOf<A>> v) {
  constexpr int L = kLanesOf<A>;
  if (i + L <= size) return store_vector<L>(to + i, v);
  A lanes[L];
  std::memcpy(lanes, &v, sizeof v);
  for (int64_t j = 0; i + j < size; ++j) store(to[i + j], lanes[j]);
}

template <typename A, typename T>
GF_HD Vector<A, kLanesOf<A>> take(const T* from, int64_t i, int64_t size, int64_t step) {
  constexpr int L = kLanesOf<A>;
  if (step == 1 && i + L <= size) return load_vector<L>(from + i);
  A lanes[L] = {};
  for (int64_t j = 0; j < L && i + j < size; ++j) lanes[j] = load(from[(i + j) * step]);
  return load_vector<L>(lanes);
}

// f(sample, first point, points) for tiles of points, which threads share out.
template <typename A, typename F>
void for_each_tile(const TensorView& grid, const Image& x, int64_t channels, bool align_corners, const F& f) {
  const int64_t count = grid.sizes[1] * grid.sizes[2], tiles = (count + kTile - 1) / kTile;
  parallel_for(x.n * tiles, threads_for(x.n * count * channels), [&](int64_t task, int) {
    const int64_t n = task / tiles, first = task % tiles * kTile;
    const int64_t size = count - first < kTile ? count - first : kTile;
    f(n, first, Points<A>(grid.as<A>() + 2 * (n * count + first), size, x, align_corners));
  });
}

// The channels of one point after the other, which lie side by side. CHANNELS: how many if known, or 0.
template <int CHANNELS, typename T, typename A>
void sample_pixels(const Points<A>& points, const T* x, const T* zeros, const Weights<A>& w, int64_t channels, T* y) {
  if (CHANNELS > 0) channels = CHANNELS;
  for (int64_t i = 0; i < points.size; ++i, y += channels) {
    const T* from[kCorners];
    for (int q = 0; q < kCorners; ++q) from[q] = points.inside[q][i] ? x + points.at[q][i] : zeros;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c)
      store(y[c], w[0][i] * load(from[0][c]) + w[1][i] * load(from[1][c]) + w[2][i] * load(from[2][c])
                      + w[3][i] * load(from[3][c]));
  }
}

// The points of one channel after the other.
template <typename T, typename A>
void sample_planes(const Points<A>& points, const T* x, const Image& in, const Weights<A>& w, int64_t y_channel, T* y) {
  constexpr int L = kLanesOf<A>;
  for (int64_t c = 0; c < in.channels; ++c, x += in.channel, y += y_channel)
    with_where(points, in, [&](auto where) {
      for (int64_t i = 0; i < points.size; i += L) {
        Vector<A, L> v[kCorners], sum = {};
        corners<decltype(where)::value>(points, x, i, v);
        for (int q = 0; q < kCorners; ++q) sum += load_vector<L>(w[q] + i) * v[q];
        put<T, A>(y, i, points.size, sum);
      }
    });
}

void grid_sample(TensorView x, TensorView grid, TensorView along, bool align_corners, TensorView y) {
  const Image in(x), out(y);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Scratch<T> zeros(in.channels);
    std::memset(zeros.get(), 0, static_cast<size_t>(in.channels) * sizeof(T));
    for_each_tile<A>(grid, in, in.channels, align_corners, [&](int64_t n, int64_t first, const Points<A>& points) {
      alignas(kLine) Weights<A> w;
      const A* directions = along.given() ? along.as<A>() + 2 * (n * out.pixels() + first) : nullptr;
      weigh(points, directions, Scales<A>(in, align_corners), w);
      const T* from = x.as<T>() + n * in.sample;
      T* to = y.as<T>() + n * out.sample + first * out.pixel;
      // of a single pixel both memory formats are the same
      if (in.pixel == 1 || out.pixel == 1) return sample_planes(points, from, in, w, out.channel, to);
      if (in.channels == 3) return sample_pixels<3>(points, from, zeros.get(), w, 3, to);
      sample_pixels<0>(points, from, zeros.get(), w, in.channels, to);
    });
  });
}

// The scattered sums of a few channels belong to one thread, which adds in the order of points.
void grid_sample_adjoint(TensorView dy, TensorView grid, TensorView along, int64_t, int64_t, bool align_corners,
                         TensorView dx) {
  const Image in(dx), out(dy);
  dispatch(dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const int64_t blocks = (in.channels + kPlanes - 1) / kPlanes, count = out.pixels();
    parallel_for(in.n * blocks, threads_for(in.n * in.channels * count), [&](int64_t task, int) {
      const int64_t n = task / blocks, first_channel = task % blocks * kPlanes;
      const int64_t channels = in.channels - first_channel < kPlanes ? in.channels - first_channel : kPlanes;
      const Scratch<A> sums(channels * in.pixels());
      for (int64_t i = 0; i < channels * in.pixels(); ++i) sums[i] = 0;
      Image plane = in;
      plane.pixel = 1;
      for (int64_t first = 0; first < count; first += kTile) {
        const int64_t size = count - first < kTile ? count - first : kTile, at = 2 * (n * count + first);
        const Points<A> points(grid.as<A>() + at, size, plane, align_corners);
        alignas(kLine) Weights<A> w;
        weigh(points, along.given() ? along.as<A>() + at : nullptr, Scales<A>(in, align_corners), w);
        for (int64_t c = 0; c < channels; ++c) {
          const T* from = dy.as<T>() + n * out.sample + (first_channel + c) * out.channel + first * out.pixel;
          A* to = sums.get() + c * in.pixels();
          with_where(points, plane, [&](auto where) {
            for (int64_t i = 0; i < size; ++i) {
              const A v = load(from[i * out.pixel]);
              for (int q = 0; q < kCorners; ++q)
                if (decltype(where)::value == Where::pairs || points.inside[q][i]) to[points.at[q][i]] += w[q][i] * v;
            }
          });
        }
      }
      for (int64_t c = 0; c < channels; ++c) {
        T* to = dx.as<T>() + n * in.sample + (first_channel + c) * in.channel;
        for (int64_t i = 0; i < in.pixels(); ++i) store(to[i * in.pixel], sums[c * in.pixels() + i]);
      }
    });
  });
}

void grid_sample_grid_grad(TensorView dy, TensorView x, TensorView grid, TensorView along, bool align_corners,
                           TensorView dgrid) {
  const Image in(x), out(dy);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    for_each_tile<A>(grid, in, in.channels, align_corners, [&](int64_t n, int64_t first, const Points<A>& points) {
      constexpr int L = kLanesOf<A>;
      alignas(kLine) Weights<A> wx, wy;
      alignas(kLine) A gx[kTile] = {}, gy[kTile] = {};
      const int64_t at = 2 * (n * out.pixels() + first);
      weigh_gradient(points, along.given() ? along.as<A>() + at : nullptr, Scales<A>(in, align_corners), wx, wy);
      for (int64_t c = 0; c < in.channels; ++c) {
        const T* from = x.as<T>() + n * in.sample + c * in.channel;
        const T* v = dy.as<T>() + n * out.sample + c * out.channel + first * out.pixel;
        with_where(points, in, [&](auto where) {
          for (int64_t i = 0; i < points.size; i += L) {
            Vector<A, L> values[kCorners], across = {}, down = {};
            corners<decltype(where)::value>(points, from, i, values);
            for (int q = 0; q < kCorners; ++q) {
              across += load_vector<L>(wx[q] + i) * values[q];
              down += load_vector<L>(wy[q] + i) * values[q];
            }
            const Vector<A, L> dy_i = take<A>(v, i, points.size, out.pixel);
            store_vector<L>(gx + i, load_vector<L>(gx + i) + dy_i * across);
            store_vector<L>(gy + i, load_vector<L>(gy + i) + dy_i * down);
          }
        });
      }
      A* to = dgrid.as<A>() + at;
      for (int64_t i = 0; i < points.size; ++i) {
        to[2 * i] = gx[i];
        to[2 * i + 1] = gy[i];
      }
    });
  });
}

GAN_FAST_LAUNCHER(grid_sample)
GAN_FAST_LAUNCHER(grid_sample_adjoint)
GAN_FAST_LAUNCHER(grid_sample_grid_grad)

}  // namespace
