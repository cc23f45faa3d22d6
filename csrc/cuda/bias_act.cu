// bias_act and its derivatives: one pass over memory, the bias gradient summed on the way.
//
// Memory is [rows, groups, width] and a block walks tiles of [blockDim.y rows, blockDim.x vectors] within one group, so
// that a thread keeps its channels and their sums in registers.
//   planes         inner > 1: a row is a sample, a group a channel, the width its pixels.
//   channels_last  inner == 1: a row is a pixel, or a few of them; the width is their channels, cut into groups.
// The sums of a block go to row `part` of a scratch tensor [parts, channels], which a second kernel adds up in order.

#include <algorithm>
#include <type_traits>

#include "../launcher.h"
#include "../math.h"
#include "block_sum.h"
#include "sums.h"

namespace gan_fast {
namespace {

struct Problem {
  const void* v;  // x, dy or dy
  const void* s;  // noise or nothing, saved, x
  const void* w;  // nothing, nothing or ddx
  const void* b;
  void* y;
  void* sums;  // null: no sums
  bool sums_are_final;
  int64_t rows, groups, width, row_stride, channels;
  int64_t tiles, across, steps;
  double alpha, gain, clamp;
  Act act;
  bool from_output;
  bool channels_last;
  bool vectors;  // rows are whole, aligned vectors
};

template <typename F>
__device__ __forceinline__ void with_activation(Act act, F&& f) {
#define GF_CASE(name) \
  case Act::name:     \
    return f(std::integral_constant<Act, Act::name>{})
  switch (act) {
    GF_CASE(linear);
    GF_CASE(relu);
    GF_CASE(lrelu);
    GF_CASE(tanh);
    GF_CASE(sigmoid);
    GF_CASE(elu);
    GF_CASE(selu);
    GF_CASE(softplus);
    GF_CASE(swish);
  }
#undef GF_CASE
}

template <typename A>
__device__ __forceinline__ A magnitude(A x) {
  return x < A(0) ? -x : x;
}

// One element of y, dx or d2x. NaN passes every comparison, so that it is neither clamped nor masked.
template <int ORDER, Act ACT, typename A>
__device__ __forceinline__ A element(A v, A s, A w, A bias, A alpha, A gain, A clamp, bool clamped, bool from_output) {
  if constexpr (ORDER == 0) {
    const A y = activation<0, ACT>(v + s + bias, alpha) * gain;  // s: the noise
    return clamped && magnitude(y) >= clamp ? (y < A(0) ? -clamp : clamp) : y;
  } else {
    const A u = s + bias;
    A d = v * activation<ORDER, ACT>(u, alpha) * gain;
    if constexpr (ORDER == 2) d *= w;
    if (clamped) {
      const A y = from_output ? s : activation<0, ACT>(u, alpha) * gain;
      if (magnitude(y) >= clamp) d = A(0);
    }
    return d;
  }
}

// The noise [samples, pixels] of the elements that a thread holds.
template <typename T, int SIZE>
__device__ __forceinline__ Vec<T, SIZE> load_noise(const Problem& p, int64_t row, int64_t x, int stride, int left) {
  const T* noise = static_cast<const T*>(p.s);
  if (!p.channels_last) return load<T, SIZE>(noise + row * p.width + x, p.vectors, stride, left);
  const unsigned channels = static_cast<unsigned>(p.channels), first = static_cast<unsigned>(x);
  noise += row * (p.width / p.channels);
  Vec<T, SIZE> v = {};
#pragma unroll
  for (int j = 0; j < SIZE; ++j)
    if (j * stride < left) v.v[j] = noise[(first + j * stride) / channels];
  return v;
}

template <typename T, int ORDER, bool NOISE>
__global__ void __launch_bounds__(kThreads) bias_act_kernel(const Problem p) {
  using A = Computed<T>;
  constexpr int SIZE = kVectorBytes / sizeof(T);
  using V = Vec<T, SIZE>;
  constexpr int kUnroll = ORDER == 0 && !NOISE ? 2 : 1;  // vectors in flight: 32 bytes a thread or more
  const int tx = threadIdx.x, ty = threadIdx.y, thread = ty * blockDim.x + tx;
  const int64_t group = blockIdx.x % p.groups, part = blockIdx.x / p.groups;
  const int64_t base = p.channels_last ? 0 : group * p.width;
  const int tile_width = blockDim.x * SIZE;
  const int stride = p.vectors ? 1 : blockDim.x;
  const int64_t column = (p.channels_last ? group * tile_width : 0) + tx * (p.vectors ? SIZE : 1);

  A bias[SIZE] = {}, sums[SIZE] = {};
  if (p.b != nullptr)
    for (int j = 0; j < SIZE; ++j)
      bias[j] = computed(static_cast<const T*>(p.b)[p.channels_last ? (column + j * stride) % p.channels : group]);
  const A alpha = A(p.alpha), gain = A(p.gain);
  const A clamp = computed(stored<T>(A(p.clamp)));  // as it is found in y
  const bool clamped = p.clamp >= 0;
  const T* __restrict__ v_ptr = static_cast<const T*>(p.v);
  const T* __restrict__ s_ptr = static_cast<const T*>(p.s);
  const T* __restrict__ w_ptr = static_cast<const T*>(p.w);
  T* __restrict__ y_ptr = static_cast<T*>(p.y);

  const int64_t first = part * p.steps, last = first + p.steps < p.tiles ? first + p.steps : p.tiles;
  int64_t tile_y = first / p.across, tile_x = first % p.across;
  for (int64_t tile = first; tile < last; tile += kUnroll) {
    V v[kUnroll], s[kUnroll] = {}, w[kUnroll] = {}, y[kUnroll];
    int64_t at[kUnroll];
    int left[kUnroll];  // columns from the thread's first to the end of the row, 0 or less outside
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const int64_t row = tile_y * blockDim.y + ty, x = tile_x * tile_width + column;
      const bool inside = tile + i < last && row < p.rows;
      left[i] = inside ? static_cast<int>(p.width - x < tile_width ? p.width - x : tile_width) : 0;
      at[i] = row * p.row_stride + base + x;
      v[i] = load<T, SIZE>(v_ptr + at[i], p.vectors, stride, left[i]);
      if (ORDER > 0 && s_ptr != nullptr) s[i] = load<T, SIZE>(s_ptr + at[i], p.vectors, stride, left[i]);
      if (ORDER == 2) w[i] = load<T, SIZE>(w_ptr + at[i], p.vectors, stride, left[i]);
      if (NOISE) s[i] = load_noise<T, SIZE>(p, row, x, stride, left[i]);
      if (++tile_x == p.across) {
        tile_x = 0;
        ++tile_y;
      }
    }
    with_activation(p.act, [&](auto constant) {
      constexpr Act ACT = decltype(constant)::value;
      if constexpr (ORDER < 2 || ACT > Act::lrelu) {
#pragma unroll
        for (int i = 0; i < kUnroll; ++i) {
#pragma unroll
          for (int j = 0; j < SIZE; ++j) {
            const A value = element<ORDER, ACT, A>(computed(v[i].v[j]), computed(s[i].v[j]), computed(w[i].v[j]),
                                                   bias[j], alpha, gain, clamp, clamped, p.from_output);
            y[i].v[j] = stored<T>(value);
            if (ORDER > 0 && j * stride < left[i]) sums[j] += value;
          }
        }
      }
    });
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) store<T, SIZE>(y_ptr + at[i], y[i], p.vectors, stride, left[i]);
  }

  if (ORDER == 0 || p.sums == nullptr) return;
  const auto write = [&](int64_t to, A sum) {
    if (p.sums_are_final)
      static_cast<T*>(p.sums)[to] = stored<T>(sum);
    else
      static_cast<A*>(p.sums)[to] = sum;
  };
  if (p.channels_last) {
    __shared__ A of_threads[SIZE][kThreads];
    for (int j = 0; j < SIZE; ++j) of_threads[j][thread] = sums[j];
    __syncthreads();
    const int across = blockDim.x, lane = thread % across, j = thread / across;  // across * SIZE <= kThreads
    const int64_t x = group * tile_width + (p.vectors ? lane * SIZE + j : j * across + lane);
    if (j >= SIZE || x >= p.width) return;
    A sum = A(0);
    for (int i = lane; i < kThreads; i += across) sum += of_threads[j][i];
    write(part * p.width + x, sum);
  } else {
    A sum = sums[0];
    for (int j = 1; j < SIZE; ++j) sum += sums[j];
    sum = block_sum<kThreads>(sum, thread);
    if (thread == 0) write(part * p.groups + group, sum);
  }
}

struct Plan {
  Problem problem{};
  dim3 block;
  int64_t parts = 0;
  int64_t partial_rows = 0;  // of the scratch tensor [partial_rows, channels]; at most 1: none is needed
};

// x: the tensors that are walked, all of y's strides.
Plan plan(std::initializer_list<TensorView> tensors, const TensorView& y, int64_t dim) {
  Plan plan;
  Problem& p = plan.problem;
  const int64_t numel = y.numel();
  p.channels = y.sizes[dim];
  if (numel == 0) return plan;
  const int64_t inner = p.channels == 1 ? numel : y.strides[dim];
  const int64_t size = kVectorBytes / element_bytes(y.dtype);
  p.channels_last = inner == 1;
  if (p.channels_last) {
    p.rows = numel / p.channels;
    p.width = p.channels;
    while (p.width % size != 0 && p.rows % 2 == 0) {  // joins pixels until a row is whole vectors
      p.rows /= 2;
      p.width *= 2;
    }
  } else {
    p.rows = numel / (p.channels * inner);
    p.width = inner;
  }
  p.vectors = p.width % size == 0 && aligned(y) && std::all_of(tensors.begin(), tensors.end(), aligned);
  const int64_t vectors = ceil_div(p.width, size);
  const int64_t block_x = std::min<int64_t>(power_of_two_from(vectors), p.channels_last ? 32 : kThreads);
  plan.block = dim3(static_cast<unsigned>(block_x), static_cast<unsigned>(kThreads / block_x));
  const int64_t across = ceil_div(vectors, block_x);
  p.groups = p.channels_last ? across : p.channels;
  p.across = p.channels_last ? 1 : across;
  p.row_stride = p.channels_last ? p.width : p.channels * p.width;
  p.tiles = p.across * ceil_div(p.rows, int64_t(plan.block.y));
  p.steps = std::max(kMinSteps, ceil_div(p.tiles * p.groups, kBlocks));
  plan.parts = ceil_div(p.tiles, p.steps);
  plan.partial_rows = plan.parts * (p.channels_last ? p.width / p.channels : 1);
  return plan;
}

struct Settings {
  int64_t dim;
  std::string_view act;
  double alpha, gain, clamp;
  bool from_output;
};

template <int ORDER>
void run(const char* name, const TensorView& v, const TensorView& s, const TensorView& w, const TensorView& b,
         const Settings& settings, const TensorView& y, const TensorView* db, const TensorView* scratch, void* stream) {
  Plan plan = gan_fast::plan({v, s, w}, y, settings.dim);
  Problem& p = plan.problem;
  p.v = v.data;
  p.s = s.data;
  p.w = w.data;
  p.b = b.data;
  p.y = y.data;
  p.sums_are_final = plan.partial_rows == 1;
  if (db) p.sums = p.sums_are_final ? db->data : scratch->data;
  p.alpha = settings.alpha;
  p.gain = settings.gain;
  p.clamp = settings.clamp;
  p.act = act_of(settings.act);
  p.from_output = settings.from_output;
  with_dtype(y.dtype, [&](auto type) {
    using T = decltype(type);
    if (plan.parts > 0) {
      const dim3 grid(static_cast<unsigned>(p.groups * plan.parts));
      auto* kernel = bias_act_kernel<T, ORDER, false>;
      if constexpr (ORDER == 0)
        if (s.given()) kernel = bias_act_kernel<T, 0, true>;
      launch(name, kernel, grid, plan.block, stream, p);
    }
    if (db && plan.partial_rows != 1)  // of no rows the sum is zero
      sum_rows<T>(name, *scratch, *db, plan.partial_rows, p.channels, stream);
  });
}

int64_t scratch_bytes(std::initializer_list<TensorView> tensors, const TensorView& y, int64_t dim, bool bias_grad) {
  const Plan plan = gan_fast::plan(tensors, y, dim);
  if (!bias_grad || plan.partial_rows < 2) return 0;
  return plan.partial_rows * plan.problem.channels * (y.dtype == DType::f64 ? 8 : 4);
}

void bias_act(TensorView x, TensorView b, TensorView noise, int64_t dim, std::string_view act, double alpha,
              double gain, double clamp, TensorView y, void* stream) {
  run<0>("bias_act", x, noise, {}, b, {dim, act, alpha, gain, clamp, false}, y, nullptr, nullptr, stream);
}

void bias_act_grad(TensorView dy, TensorView saved, TensorView b, int64_t dim, std::string_view act, double alpha,
                   double gain, double clamp, bool from_output, bool bias_grad, TensorView dx, TensorView db,
                   TensorView scratch, void* stream) {
  run<1>("bias_act_grad", dy, saved, {}, b, {dim, act, alpha, gain, clamp, from_output}, dx, bias_grad ? &db : nullptr,
         &scratch, stream);
}

int64_t bias_act_grad_scratch(TensorView dy, TensorView saved, TensorView, int64_t dim, std::string_view, double,
                              double, double, bool, bool bias_grad, TensorView dx, TensorView) {
  return scratch_bytes({dy, saved}, dx, dim, bias_grad);
}

void bias_act_grad2(TensorView ddx, TensorView dy, TensorView x, TensorView b, int64_t dim, std::string_view act,
                    double alpha, double gain, double clamp, bool bias_grad, TensorView d2x, TensorView d2b,
                    TensorView scratch, void* stream) {
  run<2>("bias_act_grad2", dy, x, ddx, b, {dim, act, alpha, gain, clamp, false}, d2x, bias_grad ? &d2b : nullptr,
         &scratch, stream);
}

int64_t bias_act_grad2_scratch(TensorView ddx, TensorView dy, TensorView x, TensorView, int64_t dim, std::string_view,
                               double, double, double, bool bias_grad, TensorView d2x, TensorView) {
  return scratch_bytes({dy, x, ddx}, d2x, dim, bias_grad);
}

GAN_FAST_LAUNCHER(bias_act)
GAN_FAST_LAUNCHER(bias_act_grad)
GAN_FAST_LAUNCHER(bias_act_grad_scratch)
GAN_FAST_LAUNCHER(bias_act_grad2)
GAN_FAST_LAUNCHER(bias_act_grad2_scratch)

}  // namespace
}  // namespace gan_fast
