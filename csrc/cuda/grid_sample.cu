// Bilinear sampling at given points, its adjoint, and its gradient in the points; each plain or along directions.
// The formulas stand in gan_fast/ops/grid_sample.py.
//
// Coordinates: a point of the grid in [-1, 1] x [-1, 1]; (p, q) in pixels of x, across and down; a corner is one of the
// four pixels around it. A thread takes a point, with a few of the channels of planes, with one of channels_last.
//
// The adjoint adds what points scatter in 64-bit fixed point, so that the order of atomic additions does not matter:
// four kernels, for zeros and the bounds of a sample's terms, for the unit, for the sums, and for dx. The unit is 2^-60
// of what as many of the largest terms as there are points add up to: at 256 x 256 points, 2^-44 of the largest term.
// Where a term is not finite, all of that sample's dx is NaN.
//
// There is no Triton version: threads load from places that nobody knows before, which vectors of a tile do not help.

#include <algorithm>
#include <cmath>

#include "../launcher.h"
#include "../math.h"
#include "launch.h"
#include "vector.h"

namespace gan_fast {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kChannels = 8;  // of planes, that a thread takes
constexpr int kParts = 64;        // blocks that look for the bound of one sample
constexpr int kCorners = 4;       // top left, top right, bottom left, bottom right

// A tensor [N, C, H, W] in either memory format.
struct Image {
  int64_t n, channels, height, width, sample, channel, pixel;

  explicit Image(const TensorView& x)
      : n(x.sizes[0]), channels(x.sizes[1]), height(x.sizes[2]), width(x.sizes[3]), sample(channels * height * width) {
    const bool channels_last = x.strides[1] == 1 && channels > 1;
    channel = channels_last ? 1 : height * width;
    pixel = channels_last ? channels : 1;
  }
  __host__ __device__ int64_t pixels() const { return height * width; }
};

template <typename A>
struct Points {
  const A* grid;
  const A* along;  // null: none
  int64_t count;   // of one sample
  A scale_x, scale_y, centre_x, centre_y;

  Points(const TensorView& grid, const TensorView& along, const Image& x, bool align_corners)
      : grid(grid.as<A>()),
        along(along.as<A>()),
        count(grid.sizes[1] * grid.sizes[2]),
        scale_x(A(x.width - align_corners) / 2),
        scale_y(A(x.height - align_corners) / 2),
        centre_x(A(x.width - 1) / 2),
        centre_y(A(x.height - 1) / 2) {}
};

// The corners of a point: where in a channel of x, -1 for those outside, and how far the point is from the first.
template <typename A>
struct Corners {
  int64_t at[kCorners];
  A fx, fy;

  __device__ Corners(const Points<A>& points, int64_t i, const Image& x) {
    const A p = near(points.grid[2 * i] * points.scale_x + points.centre_x, A(x.width));
    const A q = near(points.grid[2 * i + 1] * points.scale_y + points.centre_y, A(x.height));
    const A left = floor(p), top = floor(q);
    fx = p - left;
    fy = q - top;
    const int64_t column = static_cast<int64_t>(left), row = static_cast<int64_t>(top);
#pragma unroll
    for (int c = 0; c < kCorners; ++c) {
      const int64_t j = column + c % 2, i = row + c / 2;
      at[c] = j >= 0 && j < x.width && i >= 0 && i < x.height ? (i * x.width + j) * x.pixel : -1;
    }
  }
  // A point that no pixel is near, or that is NaN, goes to -2.
  __device__ static A near(A at, A size) { return at > A(-2) && at < size + 1 ? at : A(-2); }
};

// The weights of S, or with directions of S'.
template <typename A>
__device__ __forceinline__ void weigh(const Corners<A>& c, const Points<A>& points, int64_t i, A (&w)[kCorners]) {
  const A x1 = c.fx, y1 = c.fy, x0 = 1 - x1, y0 = 1 - y1;
  if (points.along != nullptr) {
    const A ex = points.along[2 * i] * points.scale_x, ey = points.along[2 * i + 1] * points.scale_y;
    w[0] = -ex * y0 - ey * x0;
    w[1] = ex * y0 - ey * x1;
    w[2] = -ex * y1 + ey * x0;
    w[3] = ex * y1 + ey * x1;
  } else {
    w[0] = x0 * y0;
    w[1] = x1 * y0;
    w[2] = x0 * y1;
    w[3] = x1 * y1;
  }
}

// What a thread takes: a point, numbered through all samples, and channels.
struct Work {
  int64_t point, n, first_channel, last_channel;
  bool any;

  __device__ Work(const Image& y) {
    const int64_t thread = int64_t(blockIdx.x) * kThreads + threadIdx.x, lanes = y.pixel == 1 ? 1 : y.channels;
    point = thread / lanes;
    n = point / y.pixels();
    any = point < y.n * y.pixels();
    first_channel = y.pixel == 1 ? blockIdx.y * kChannels : thread % lanes;
    last_channel = first_channel + (y.pixel == 1 ? kChannels : 1);
    if (last_channel > y.channels) last_channel = y.channels;
  }
  static dim3 grid(const Image& y) {
    const int64_t threads = y.n * y.pixels() * (y.pixel == 1 ? 1 : y.channels);
    const int64_t rows = y.pixel == 1 ? ceil_div(y.channels, kChannels) : 1;
    return dim3(static_cast<unsigned>(ceil_div(threads, int64_t(kThreads))), static_cast<unsigned>(rows));
  }
};

template <typename T, typename A = Computed<T>>
__global__ void __launch_bounds__(kThreads)
    grid_sample_kernel(const T* x, Points<A> points, T* y, const Image in, const Image out) {
  const Work work(out);
  if (!work.any) return;
  const Corners<A> corners(points, work.point, in);
  A w[kCorners];
  weigh(corners, points, work.point, w);
  for (int64_t c = work.first_channel; c < work.last_channel; ++c) {
    const T* from = x + work.n * in.sample + c * in.channel;
    A sum = A(0);
#pragma unroll
    for (int q = 0; q < kCorners; ++q)
      if (corners.at[q] >= 0) sum += w[q] * computed(from[corners.at[q]]);
    y[work.n * out.sample + c * out.channel + work.point % out.pixels() * out.pixel] = stored<T>(sum);
  }
}

template <typename T, typename A = Computed<T>>
__global__ void __launch_bounds__(kThreads)
    grid_sample_grid_grad_kernel(const T* dy, const T* x, Points<A> points, A* dgrid, const Image in, const Image out) {
  const int64_t point = int64_t(blockIdx.x) * kThreads + threadIdx.x, n = point / out.pixels();
  if (point >= out.n * out.pixels()) return;
  const Corners<A> corners(points, point, in);
  const A x1 = corners.fx, y1 = corners.fy, x0 = 1 - x1, y0 = 1 - y1;
  const T* v = dy + n * out.sample + point % out.pixels() * out.pixel;
  A across = A(0), down = A(0), both = A(0);  // v times Dx x, Dy x, Dxy x
  for (int64_t c = 0; c < in.channels; ++c) {
    const T* from = x + n * in.sample + c * in.channel;
    A p[kCorners];
#pragma unroll
    for (int q = 0; q < kCorners; ++q) p[q] = corners.at[q] >= 0 ? computed(from[corners.at[q]]) : A(0);
    const A value = computed(v[c * out.channel]);
    across += value * ((p[1] - p[0]) * y0 + (p[3] - p[2]) * y1);
    down += value * ((p[2] - p[0]) * x0 + (p[3] - p[1]) * x1);
    both += value * (p[3] - p[2] - p[1] + p[0]);
  }
  if (points.along != nullptr) {
    across = points.along[2 * point + 1] * points.scale_y * both;
    down = points.along[2 * point] * points.scale_x * both;
  }
  dgrid[2 * point] = across * points.scale_x;
  dgrid[2 * point + 1] = down * points.scale_y;
}

// The larger of two magnitudes, NaN if either is.
__device__ __forceinline__ double larger(double a, double b) { return a >= b || a != a ? a : b; }

// bounds[n, part] = the largest |v| times |weight| of a part of a sample; sums = 0.
template <typename T, typename A = Computed<T>>
__global__ void __launch_bounds__(kThreads)
    grid_sample_bound_kernel(const T* dy, Points<A> points, double* bounds, unsigned long long* sums, const Image in,
                             const Image out) {
  const int64_t n = blockIdx.x / kParts, part = blockIdx.x % kParts;
  const int64_t first = part * kThreads + threadIdx.x, step = kParts * kThreads;
  for (int64_t i = first; i < in.sample; i += step) sums[n * in.sample + i] = 0;
  double bound = 0;
  for (int64_t i = first; i < out.sample; i += step) {
    double weight = 1;
    if (points.along != nullptr) {
      const A* along = points.along + 2 * (n * out.pixels() + i / out.pixel % out.pixels());
      weight = fabs(double(along[0]) * points.scale_x) + fabs(double(along[1]) * points.scale_y);
    }
    bound = larger(bound, fabs(double(computed(dy[n * out.sample + i]))) * weight);
  }
  __shared__ double of_threads[kThreads];
  of_threads[threadIdx.x] = bound;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int i = 1; i < kThreads; ++i) bound = larger(bound, of_threads[i]);
  bounds[blockIdx.x] = bound;
}

// Of a sample: how many units of the fixed point are 1, a power of two, or NaN; and the unit.
struct Unit {
  double in_one, one;
};

__global__ void __launch_bounds__(kThreads)
    grid_sample_unit_kernel(const double* bounds, Unit* units, int64_t samples, int64_t count) {
  const int64_t n = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (n >= samples) return;
  double bound = 0;
  for (int i = 0; i < kParts; ++i) bound = larger(bound, bounds[n * kParts + i]);
  double in_one = bound < double(INFINITY) ? 1 : double(NAN);
  if (in_one == 1 && bound > 0) {
    const int exponent = 60 - ilogb(bound) - ilogb(double(count));
    in_one = ldexp(1.0, exponent < 1000 ? exponent : 1000);
  }
  units[n] = {in_one, 1 / in_one};
}

template <typename T, typename A = Computed<T>>
__global__ void __launch_bounds__(kThreads)
    grid_sample_scatter_kernel(const T* dy, Points<A> points, const Unit* unit, unsigned long long* sums,
                               const Image in, const Image out) {
  const Work work(out);
  if (!work.any) return;
  const double units = unit[work.n].in_one;
  if (units != units) return;
  const Corners<A> corners(points, work.point, in);
  A w[kCorners];
  weigh(corners, points, work.point, w);
  for (int64_t c = work.first_channel; c < work.last_channel; ++c) {
    const A v = computed(dy[work.n * out.sample + c * out.channel + work.point % out.pixels() * out.pixel]);
    unsigned long long* to = sums + work.n * in.sample + c * in.channel;
#pragma unroll
    for (int q = 0; q < kCorners; ++q)
      if (corners.at[q] >= 0) {
        const long long term = llrint(double(w[q]) * double(v) * units);
        atomicAdd(to + corners.at[q], static_cast<unsigned long long>(term));
      }
  }
}

constexpr int kUnscaled = 4;  // numbers that a thread takes, of a sample that `blocks` share

template <typename T>
__global__ void __launch_bounds__(kThreads) grid_sample_unscale_kernel(const unsigned long long* sums, const Unit* unit,
                                                                       T* dx, unsigned blocks, const Image in) {
  const unsigned n = blockIdx.x / blocks;
  const double one = unit[n].one;
  const int64_t first = int64_t(blockIdx.x % blocks) * kThreads * kUnscaled + threadIdx.x, base = n * in.sample;
#pragma unroll
  for (int j = 0; j < kUnscaled; ++j)
    if (const int64_t i = first + j * kThreads; i < in.sample)
      dx[base + i] = stored<T>(Computed<T>(double(static_cast<long long>(sums[base + i])) * one));
}

dim3 blocks_for(int64_t threads) { return dim3(static_cast<unsigned>(ceil_div(threads, int64_t(kThreads)))); }

void grid_sample(TensorView x, TensorView grid, TensorView along, bool align_corners, TensorView y, void* stream) {
  const Image in(x), out(y);
  with_dtype(x.dtype, [&](auto type) {
    using T = decltype(type);
    const Points<Computed<T>> points(grid, along, in, align_corners);
    launch("grid_sample", grid_sample_kernel<T>, Work::grid(out), dim3(kThreads), stream, x.as<T>(), points, y.as<T>(),
           in, out);
  });
}

void grid_sample_adjoint(TensorView dy, TensorView grid, TensorView along, int64_t, int64_t, bool align_corners,
                         TensorView dx, TensorView scratch, void* stream) {
  const char* name = "grid_sample_adjoint";
  const Image in(dx), out(dy);
  auto* sums = scratch.as<unsigned long long>();
  auto* bounds = reinterpret_cast<double*>(sums + dx.numel());
  auto* units = reinterpret_cast<Unit*>(bounds + in.n * kParts);
  with_dtype(dx.dtype, [&](auto type) {
    using T = decltype(type);
    const Points<Computed<T>> points(grid, along, in, align_corners);
    const dim3 block(kThreads), parts(static_cast<unsigned>(in.n * kParts));
    launch(name, grid_sample_bound_kernel<T>, parts, block, stream, dy.as<T>(), points, bounds, sums, in, out);
    launch(name, grid_sample_unit_kernel, blocks_for(in.n), block, stream, bounds, units, in.n, points.count);
    if (out.sample > 0)
      launch(name, grid_sample_scatter_kernel<T>, Work::grid(out), block, stream, dy.as<T>(), points, units, sums, in,
             out);
    const unsigned blocks = blocks_for(ceil_div(in.sample, int64_t(kUnscaled))).x;
    launch(name, grid_sample_unscale_kernel<T>, dim3(static_cast<unsigned>(in.n) * blocks), block, stream, sums, units,
           dx.as<T>(), blocks, in);
  });
}

int64_t grid_sample_adjoint_scratch(TensorView, TensorView, TensorView, int64_t, int64_t, bool, TensorView dx) {
  return 8 * (dx.numel() + dx.sizes[0] * kParts) + int64_t(sizeof(Unit)) * dx.sizes[0];
}

void grid_sample_grid_grad(TensorView dy, TensorView x, TensorView grid, TensorView along, bool align_corners,
                           TensorView dgrid, void* stream) {
  const Image in(x), out(dy);
  with_dtype(x.dtype, [&](auto type) {
    using T = decltype(type);
    using A = Computed<T>;
    const Points<A> points(grid, along, in, align_corners);
    launch("grid_sample_grid_grad", grid_sample_grid_grad_kernel<T>, blocks_for(out.n * out.pixels()), dim3(kThreads),
           stream, dy.as<T>(), x.as<T>(), points, dgrid.as<A>(), in, out);
  });
}

GAN_FAST_LAUNCHER(grid_sample)
GAN_FAST_LAUNCHER(grid_sample_adjoint)
GAN_FAST_LAUNCHER(grid_sample_adjoint_scratch)
GAN_FAST_LAUNCHER(grid_sample_grid_grad)

}  // namespace
}  // namespace gan_fast
