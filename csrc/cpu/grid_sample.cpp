// Bilinear sampling at given points, its adjoint, and its gradient in the points; each plain or along directions.
// The formulas stand in gan_fast/ops/grid_sample.py.
#include <cmath>

#include "common.h"

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
  }
  int64_t pixels() const { return height * width; }
};

// Coordinates: a point of the grid in [-1, 1] x [-1, 1]; (p, q) in pixels of x, across and down; a corner is one of the
// four pixels around it, `at` its place in a channel of x, clamped into the image, and a bit of `inside` whether it
// needed no clamping.
template <typename A>
struct Points {
  int64_t size;
  A fx[kTile], fy[kTile];  // from the top left corner to the point
  int32_t at[kCorners][kTile], inside[kTile];
  bool all_inside;

  Points(const A* grid, int64_t size, const Image& x, bool align_corners) : size(size) {
    const int32_t width = static_cast<int32_t>(x.width), height = static_cast<int32_t>(x.height);
    const int32_t pixel = static_cast<int32_t>(x.pixel);
    int32_t everywhere = 15;
#pragma omp simd reduction(& : everywhere)
    for (int64_t i = 0; i < size; ++i) {
      const A p = to_pixels(grid[2 * i], width, align_corners), q = to_pixels(grid[2 * i + 1], height, align_corners);
      const A left = std::floor(p), top = std::floor(q);
      fx[i] = p - left;
      fy[i] = q - top;
      const int32_t x0 = static_cast<int32_t>(left), y0 = static_cast<int32_t>(top);
      const int32_t columns = (x0 >= 0 && x0 < width ? 5 : 0) | (x0 >= -1 && x0 < width - 1 ? 10 : 0);
      const int32_t rows = (y0 >= 0 && y0 < height ? 3 : 0) | (y0 >= -1 && y0 < height - 1 ? 12 : 0);
      inside[i] = columns & rows;
      everywhere &= inside[i];
      const int32_t column0 = clamp(x0, width), column1 = clamp(x0 + 1, width);
      const int32_t row0 = clamp(y0, height) * width, row1 = clamp(y0 + 1, height) * width;
      at[0][i] = (row0 + column0) * pixel;
      at[1][i] = (row0 + column1) * pixel;
      at[2][i] = (row1 + column0) * pixel;
      at[3][i] = (row1 + column1) * pixel;
    }
    all_inside = everywhere == 15;
  }
  // What no pixel is near, and NaN, goes to -2.
  static A to_pixels(A g, int32_t size, bool align_corners) {
    const A at = align_corners ? (g + 1) * (static_cast<A>(size - 1) / 2) : ((g + 1) * static_cast<A>(size) - 1) / 2;
    return at > A(-2) && at < static_cast<A>(size + 1) ? at : A(-2);
  }
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

// One corner of a point in a channel of x, 0 outside.
template <bool ALL_INSIDE, typename T, typename A>
GF_HD A corner(const Points<A>& points, const T* x, int q, int64_t i) {
  const A value = load(x[points.at[q][i]]);
  return ALL_INSIDE || (points.inside[i] >> q & 1) ? value : A(0);
}

template <typename F>
void with_bool(bool value, const F& f) {
  value ? f(std::true_type()) : f(std::false_type());
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

void grid_sample(TensorView x, TensorView grid, TensorView along, bool align_corners, TensorView y) {
  const Image in(x), out(y);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    for_each_tile<A>(grid, in, in.channels, align_corners, [&](int64_t n, int64_t first, const Points<A>& points) {
      alignas(kLine) Weights<A> w;
      const A* directions = along.given() ? along.as<A>() + 2 * (n * out.pixels() + first) : nullptr;
      weigh(points, directions, Scales<A>(in, align_corners), w);
      for (int64_t c = 0; c < in.channels; ++c) {
        const T* from = x.as<T>() + n * in.sample + c * in.channel;
        T* to = y.as<T>() + n * out.sample + c * out.channel + first * out.pixel;
        with_bool(points.all_inside, [&](auto all_inside) {
#pragma omp simd
          for (int64_t i = 0; i < points.size; ++i) {
            A sum = 0;
            for (int q = 0; q < kCorners; ++q) sum += w[q][i] * corner<decltype(all_inside)::value>(points, from, q, i);
            store(to[i * out.pixel], sum);
          }
        });
      }
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
          for (int64_t i = 0; i < size; ++i) {
            const A v = load(from[i * out.pixel]);
            for (int q = 0; q < kCorners; ++q)
              if (points.inside[i] >> q & 1) to[points.at[q][i]] += w[q][i] * v;
          }
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
      alignas(kLine) Weights<A> wx, wy;
      alignas(kLine) A gx[kTile] = {}, gy[kTile] = {};
      const int64_t at = 2 * (n * out.pixels() + first);
      weigh_gradient(points, along.given() ? along.as<A>() + at : nullptr, Scales<A>(in, align_corners), wx, wy);
      for (int64_t c = 0; c < in.channels; ++c) {
        const T* from = x.as<T>() + n * in.sample + c * in.channel;
        const T* v = dy.as<T>() + n * out.sample + c * out.channel + first * out.pixel;
        with_bool(points.all_inside, [&](auto all_inside) {
#pragma omp simd
          for (int64_t i = 0; i < points.size; ++i) {
            A across = 0, down = 0;
            for (int q = 0; q < kCorners; ++q) {
              const A value = corner<decltype(all_inside)::value>(points, from, q, i);
              across += wx[q][i] * value;
              down += wy[q][i] * value;
            }
            gx[i] += load(v[i * out.pixel]) * across;
            gy[i] += load(v[i * out.pixel]) * down;
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
