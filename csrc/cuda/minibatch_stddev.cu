// minibatch_stddev and its derivatives, one launch each. The formulas stand in gan_fast/ops/minibatch_stddev.py.
//
// A statistic belongs to group m and share k of the channels. In x, and in the first channels of y, that share is
//   planes         one row of C / F channels, all their pixels
//   channels_last  a row for each pixel, of C / F channels; x_row and y_row lie between rows
// A block walks tiles of [blockDim.y rows, blockDim.x vectors] of one statistic, the same in all samples of its group.
// Orders 0 and 2 end with a sum over all values, so that one block walks them all (they are few: a discriminator takes
// the statistic at 4x4); order 1 begins with a short sum and has `parts`. Sums have a fixed order.

#include <algorithm>
#include <cmath>

#include "../launcher.h"
#include "../math.h"
#include "block_sum.h"
#include "launch.h"
#include "vector.h"

namespace gan_fast {
namespace {

constexpr int kThreads = 512;
constexpr int64_t kParts = 32;  // blocks that share a statistic, at most: each gathers the gradient of that statistic
constexpr double kEps = 1e-8;

struct Problem {
  const void* x;
  const void* v;  // nothing, dy or dy
  const void* w;  // nothing, nothing or ddx
  void* y;        // y, nothing, ddy or nothing
  void* dx;       // nothing, dx, d2x or nothing
  const int64_t *members, *offsets;
  int64_t groups, group_size, shares, pixels;
  int64_t rows, width, x_row, y_row, x_sample, y_sample;
  int64_t statistic_channel, channel_step, pixel_step;  // where y holds the statistics
  int64_t across, tiles, steps, parts;
  bool vectors;  // rows are whole, aligned vectors
};

template <typename T, int ORDER>
__global__ void __launch_bounds__(kThreads, 1) minibatch_stddev_kernel(const Problem p) {
  using A = Computed<T>;
  constexpr int SIZE = kVectorBytes / sizeof(A);  // more would not fit the registers
  constexpr int kFlight = ORDER == 2 ? 2 : 4;     // samples whose loads are in flight together
  using V = Vec<T, SIZE>;
  const int tx = threadIdx.x, ty = threadIdx.y, thread = ty * blockDim.x + tx;
  const int64_t statistic = blockIdx.x / p.parts, part = blockIdx.x % p.parts;
  const int64_t m = statistic / p.shares, k = statistic % p.shares;
  const int64_t begin = p.offsets != nullptr ? p.offsets[m] : 0;
  const int64_t size = p.offsets != nullptr ? p.offsets[m + 1] - begin : p.group_size;
  if (size == 0) return;
  const auto sample = [&](int64_t j) { return p.members != nullptr ? p.members[begin + j] : m + j * p.groups; };
  const T* __restrict__ x_ptr = static_cast<const T*>(p.x);
  const T* __restrict__ v_ptr = static_cast<const T*>(p.v);
  const T* __restrict__ w_ptr = static_cast<const T*>(p.w);
  T* __restrict__ y_ptr = static_cast<T*>(p.y);
  T* __restrict__ dx_ptr = static_cast<T*>(p.dx);
  const A count = A(size), values = A(p.rows * p.width);
  // the i-th place in y that holds the statistic: pixels of one sample, then of the next
  const int64_t uses = size * p.pixels, channel = (p.statistic_channel + k) * p.channel_step;
  const auto use = [&](int64_t i) { return sample(i / p.pixels) * p.y_sample + channel + i % p.pixels * p.pixel_step; };

  A a = A(0);  // the gradient at each sigma
  if constexpr (ORDER > 0) {
    for (int64_t i = thread; i < uses; i += kThreads) a += computed(v_ptr[use(i)]);
    a = block_sum<kThreads>(a, thread) / values;
  }

  const int tile_width = blockDim.x * SIZE, stride = p.vectors ? 1 : blockDim.x;
  const int64_t first = part * p.steps, last = first + p.steps < p.tiles ? first + p.steps : p.tiles;
  A result = A(0);
  for (int64_t tile = first; tile < last; ++tile) {
    const int64_t row = tile / p.across * blockDim.y + ty;
    const int64_t column = tile % p.across * tile_width + tx * (p.vectors ? SIZE : 1);
    if (row >= p.rows || column >= p.width) continue;
    const int left = static_cast<int>(p.width - column < tile_width ? p.width - column : tile_width);
    const int64_t x_at = row * p.x_row + k * p.width + column, y_at = row * p.y_row + k * p.width + column;

    A mean[SIZE] = {}, variance[SIZE] = {}, w_mean[SIZE] = {}, c[SIZE] = {};  // running (Welford), times the count
    for (int64_t some = 0; some < size; some += kFlight) {
      V x[kFlight], w[kFlight] = {};
#pragma unroll
      for (int f = 0; f < kFlight && some + f < size; ++f) {
        const int64_t at = sample(some + f) * p.x_sample + x_at;
        x[f] = load<T, SIZE>(x_ptr + at, p.vectors, stride, left);
        if constexpr (ORDER == 2) w[f] = load<T, SIZE>(w_ptr + at, p.vectors, stride, left);
      }
#pragma unroll
      for (int f = 0; f < kFlight && some + f < size; ++f) {
        if (ORDER != 1 && y_ptr != nullptr) {
          T* to = y_ptr + sample(some + f) * p.y_sample + y_at;
          store<T, SIZE>(to, ORDER == 2 ? w[f] : x[f], p.vectors, stride, left);
        }
        const A share = A(1) / A(some + f + 1);
#pragma unroll
        for (int i = 0; i < SIZE; ++i) {
          const A before = computed(x[f].v[i]) - mean[i];
          mean[i] += before * share;
          const A u = computed(x[f].v[i]) - mean[i];
          variance[i] += before * u;
          if constexpr (ORDER == 2) {
            const A w_before = computed(w[f].v[i]) - w_mean[i];
            w_mean[i] += w_before * share;
            c[i] += w_before * u;
          }
        }
      }
    }

    A scale[SIZE], slope[SIZE] = {};
#pragma unroll
    for (int i = 0; i < SIZE; ++i) {
      const bool inside = i * stride < left;
      const A square = variance[i] / count + A(kEps), sigma = std::sqrt(square);
      scale[i] = a / (count * sigma);
      if (ORDER == 0 && inside) result += sigma;
      if constexpr (ORDER == 2) {
        slope[i] = c[i] / (count * square);
        if (inside) result += c[i] / (count * sigma);
      }
    }
    if constexpr (ORDER > 0) {
      if (dx_ptr == nullptr) continue;
      for (int64_t some = 0; some < size; some += kFlight) {
        V x[kFlight], other[kFlight];
#pragma unroll
        for (int f = 0; f < kFlight && some + f < size; ++f) {
          const int64_t n = sample(some + f);
          const T* from = ORDER == 1 ? v_ptr + n * p.y_sample + y_at : w_ptr + n * p.x_sample + x_at;
          x[f] = load<T, SIZE>(x_ptr + n * p.x_sample + x_at, p.vectors, stride, left);
          other[f] = load<T, SIZE>(from, p.vectors, stride, left);
        }
#pragma unroll
        for (int f = 0; f < kFlight && some + f < size; ++f) {
          V d;
#pragma unroll
          for (int i = 0; i < SIZE; ++i) {
            const A u = computed(x[f].v[i]) - mean[i], o = computed(other[f].v[i]);
            d.v[i] = stored<T>(ORDER == 1 ? o + scale[i] * u : scale[i] * (o - w_mean[i] - slope[i] * u));
          }
          store<T, SIZE>(dx_ptr + sample(some + f) * p.x_sample + x_at, d, p.vectors, stride, left);
        }
      }
    }
  }

  if (ORDER == 1 || y_ptr == nullptr) return;
  const T s = stored<T>(block_sum<kThreads>(result, thread) / values);
  for (int64_t i = thread; i < uses; i += kThreads) y_ptr[use(i)] = s;
}

template <int ORDER>
void run(const char* name, const TensorView& x, const TensorView& v, const TensorView& w, const TensorView& members,
         const TensorView& offsets, int64_t group_size, int64_t shares, const TensorView& like_y, const TensorView& y,
         const TensorView& dx, void* stream) {
  const int64_t n = x.sizes[0], channels = x.sizes[1], y_channels = channels + shares;
  const int64_t size = x.dtype == DType::f64 ? 2 : 4;
  const bool channels_last = like_y.strides[1] == 1;
  Problem p{};
  p.x = x.data;
  p.v = v.data;
  p.w = w.data;
  p.y = y.data;
  p.dx = dx.data;
  p.members = members.as<int64_t>();
  p.offsets = offsets.as<int64_t>();
  p.groups = offsets.given() ? n : n / group_size;
  p.group_size = group_size;
  p.shares = shares;
  p.pixels = x.sizes[2] * x.sizes[3];
  p.rows = channels_last ? p.pixels : 1;
  p.width = channels / shares * (channels_last ? 1 : p.pixels);
  p.x_row = channels_last ? channels : 0;
  p.y_row = channels_last ? y_channels : 0;
  p.x_sample = channels * p.pixels;
  p.y_sample = y_channels * p.pixels;
  p.statistic_channel = channels;
  p.channel_step = channels_last ? 1 : p.pixels;
  p.pixel_step = channels_last ? y_channels : 1;
  const auto whole = [&](int64_t step) { return step % size == 0; };
  p.vectors = whole(p.width) && whole(p.x_row) && whole(p.y_row) && whole(p.x_sample) && whole(p.y_sample) && aligned(x)
              && aligned(v) && aligned(w) && aligned(y) && aligned(dx);
  int64_t block_x = 1;
  while (block_x < kThreads && block_x * size < p.width) block_x *= 2;
  const dim3 block(static_cast<unsigned>(block_x), static_cast<unsigned>(kThreads / block_x));
  p.across = ceil_div(p.width, block_x * size);
  p.tiles = p.across * ceil_div(p.rows, int64_t(block.y));
  p.steps = ORDER == 1 ? std::max<int64_t>(ceil_div(p.tiles, kParts), 1) : p.tiles;
  p.parts = ORDER == 1 ? ceil_div(p.tiles, p.steps) : 1;
  const dim3 grid(static_cast<unsigned>(p.groups * shares * p.parts));
  with_dtype(x.dtype,
             [&](auto type) { launch(name, minibatch_stddev_kernel<decltype(type), ORDER>, grid, block, stream, p); });
}

void minibatch_stddev(TensorView x, TensorView members, TensorView offsets, int64_t group_size, int64_t num_channels,
                      TensorView y, void* stream) {
  run<0>("minibatch_stddev", x, {}, {}, members, offsets, group_size, num_channels, y, y, {}, stream);
}

void minibatch_stddev_grad(TensorView dy, TensorView x, TensorView members, TensorView offsets, int64_t group_size,
                           int64_t num_channels, TensorView dx, void* stream) {
  run<1>("minibatch_stddev_grad", x, dy, {}, members, offsets, group_size, num_channels, dy, {}, dx, stream);
}

void minibatch_stddev_grad2(TensorView ddx, TensorView dy, TensorView x, TensorView members, TensorView offsets,
                            int64_t group_size, int64_t num_channels, bool dy_grad, bool x_grad, TensorView ddy,
                            TensorView d2x, void* stream) {
  run<2>("minibatch_stddev_grad2", x, dy, ddx, members, offsets, group_size, num_channels, dy,
         dy_grad ? ddy : TensorView{}, x_grad ? d2x : TensorView{}, stream);
}

GAN_FAST_LAUNCHER(minibatch_stddev)
GAN_FAST_LAUNCHER(minibatch_stddev_grad)
GAN_FAST_LAUNCHER(minibatch_stddev_grad2)

}  // namespace
}  // namespace gan_fast
