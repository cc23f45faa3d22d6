// bias_act and its derivatives: one pass over memory, the bias gradient summed on the way.
//
// Memory is [rows, groups, width] and a block walks tiles of [blockDim.y rows, blockDim.x vectors] within one group, so
// that a thread keeps its channels and their sums in registers.
//   planes  inner > 1: a row is a sample, a group a channel, the width its pixels.
//   pixels  inner == 1: a row is a pixel, or a few of them; the width is their channels, cut into groups.
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
  int64_t rows, width, row_stride, channels;
  unsigned groups;
  int across, down, tiles, steps;  // tiles of a group: beside and below each other, and all; those of a block
  Act act;
  bool from_output;
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

// One element of y before the clamp, dx or d2x. NaN passes every comparison, so that it is not masked.
template <int ORDER, Act ACT, typename A>
__device__ __forceinline__ A element(A v, A s, A w, A bias, A alpha, A gain, A clamp, bool from_output) {
  if constexpr (ORDER == 0) {
    return activation<0, ACT>(v + s + bias, alpha) * gain;  // s: the noise
  } else {
    const A u = s + bias;
    A d = v * activation<ORDER, ACT>(u, alpha) * gain;
    if constexpr (ORDER == 2) d *= w;
    const A y = from_output ? s : activation<0, ACT>(u, alpha) * gain;
    return magnitude(y) >= clamp ? A(0) : d;
  }
}

// SLOPE: linear, relu or lrelu, whose derivative is read off y; else any activation. NOISE: it is given; where not
// SLOPE it may be. SIZE: elements that a thread holds at once, a whole vector or one.
template <typename T, int ORDER, bool SLOPE, bool NOISE, bool PIXELS, int SIZE>
__global__ void __launch_bounds__(kThreads, 4) bias_act_kernel(const Problem p, const Numbers<T> n) {
  using A = Computed<T>;
  constexpr int kUnroll = ORDER == 2 ? 1 : 2;  // tiles in flight: 32 bytes a thread or more
  constexpr int kKept = PIXELS ? SIZE : 1;     // channels of a thread
  constexpr int kNoises = PIXELS ? 1 : SIZE;   // of a thread's vector: rows of pixels that have noise are one pixel
  constexpr bool kHasNoise = ORDER == 0 && (NOISE || !SLOPE);
  constexpr bool kHasBias = ORDER == 0 || !SLOPE;
  const int tx = threadIdx.x, ty = threadIdx.y, tile_width = blockDim.x * SIZE;
  const unsigned group = blockIdx.x % p.groups, part = blockIdx.x / p.groups;
  const int64_t column = (PIXELS ? int64_t(group) * tile_width : 0) + tx * SIZE;

  A bias[kKept] = {}, sums[kKept] = {};
  if (kHasBias && p.b != nullptr) {
    const T* b = static_cast<const T*>(p.b);
    const unsigned channels = static_cast<unsigned>(p.channels);
#pragma unroll
    for (int j = 0; j < kKept; ++j) {
      const unsigned c = PIXELS ? static_cast<unsigned>(column) + j : group;
      bias[j] = computed(b[c < channels ? c : c % channels]);
    }
  }
  const T* __restrict__ v_ptr = static_cast<const T*>(p.v);
  const T* __restrict__ s_ptr = static_cast<const T*>(p.s);
  const T* __restrict__ w_ptr = static_cast<const T*>(p.w);
  T* __restrict__ y_ptr = static_cast<T*>(p.y);

  const int first = part * p.steps, last = first + p.steps < p.tiles ? first + p.steps : p.tiles;
  int tile_y = PIXELS ? first : first / p.across, tile_x = PIXELS ? 0 : first % p.across;
  // tiles beside and below each other in which the thread is inside: at most the last ones are cut
  const int x_tiles = p.across - (column + int64_t(p.across - 1) * tile_width >= p.width);
  const int y_tiles = x_tiles > 0 ? p.down - (int64_t(p.down - 1) * blockDim.y + ty >= p.rows) : 0;
  // where the thread is in the tensors and in the noise [samples, pixels]; what a tile below adds to it
  const int64_t row = int64_t(tile_y) * blockDim.y + ty, x = int64_t(tile_x) * tile_width + column;
  int64_t at = row * p.row_stride + (PIXELS ? 0 : group * p.width) + x;
  int64_t noise_at = PIXELS ? row : row * p.width + x;
  const int64_t below_it = p.row_stride * blockDim.y - (PIXELS ? 0 : int64_t(p.across) * tile_width);
  const int64_t below_noise = PIXELS ? blockDim.y : p.width * blockDim.y - int64_t(p.across) * tile_width;

#pragma unroll 1
  for (int tile = first; tile < last; tile += kUnroll) {
    Packed<T, SIZE> v[kUnroll], s[kUnroll], w[kUnroll];
    Packed<T, kNoises> noise[kUnroll];
    int64_t to[kUnroll];
    bool inside[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      inside[i] = tile + i < last && tile_y < y_tiles && (PIXELS || tile_x < x_tiles);
      to[i] = at;
      v[i] = load_if<T, SIZE>(inside[i], v_ptr, at);
      if (ORDER > 0) s[i] = load_if<T, SIZE>(inside[i] && (SLOPE || s_ptr != nullptr), s_ptr, at);
      if (ORDER == 2) w[i] = load_if<T, SIZE>(inside[i], w_ptr, at);
      if (kHasNoise) noise[i] = load_if<T, kNoises>(inside[i] && (NOISE || s_ptr != nullptr), s_ptr, noise_at);
      if (!PIXELS) {
        at += tile_width;
        noise_at += tile_width;
      }
      if (PIXELS || ++tile_x == p.across) {
        tile_x = 0;
        ++tile_y;
        at += below_it;
        noise_at += below_noise;
      }
    }
    const auto compute = [&](auto&& f) {
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
        A of_v[SIZE], of_s[SIZE] = {}, of_w[SIZE] = {}, y[SIZE];
        if (SLOPE && ORDER == 1) v[i] = masked(v[i], s[i], n.clamp);
        widen(v[i], of_v);
        if (ORDER > 0) widen(s[i], of_s);
        if (ORDER == 2) widen(w[i], of_w);
        if (kHasNoise) {
          A of_noise[kNoises];
          widen(noise[i], of_noise);
#pragma unroll
          for (int j = 0; j < SIZE; ++j) of_s[j] = of_noise[PIXELS ? 0 : j];
        }
#pragma unroll
        for (int j = 0; j < SIZE; ++j) y[j] = f(of_v[j], of_s[j], of_w[j], bias[PIXELS ? j : 0]);
        if (ORDER > 0) add_up<PIXELS>(sums, y);  // what lies outside is 0
        Packed<T, SIZE> out = packed<T>(y);
        if (ORDER == 0) out = limited(out, n.low, n.high);
        store_if(inside[i], y_ptr + to[i], out);
      }
    };
    if constexpr (SLOPE) {
      compute([&](A of_v, A of_s, A, A of_b) {
        const A u = ORDER == 0 ? of_v + (NOISE ? of_s + of_b : of_b) : of_s;
        return (ORDER == 0 ? u : of_v) * (u > A(0) ? n.above : n.below);
      });
    } else {
      with_activation(p.act, [&](auto constant) {
        constexpr Act ACT = decltype(constant)::value;
        if constexpr (ORDER < 2 || ACT > Act::lrelu)
          compute([&](A of_v, A of_s, A of_w, A of_b) {
            return element<ORDER, ACT, A>(of_v, of_s, of_w, of_b, n.alpha, n.gain, computed(n.clamp), p.from_output);
          });
      });
    }
  }

  if (ORDER == 0 || p.sums == nullptr) return;
  const int thread = ty * blockDim.x + tx;
  const auto write = [&](int64_t to, A sum) {
    if (p.sums_are_final)
      static_cast<T*>(p.sums)[to] = stored<T>(sum);
    else
      static_cast<A*>(p.sums)[to] = sum;
  };
  if constexpr (PIXELS) {
    __shared__ A of_threads[SIZE][kThreads];
#pragma unroll
    for (int j = 0; j < SIZE; ++j) of_threads[j][thread] = sums[j];
    __syncthreads();
    const int across = blockDim.x, lane = thread % across, j = thread / across;  // across * SIZE <= kThreads
    const int64_t c = int64_t(group) * tile_width + lane * SIZE + j;
    if (j >= SIZE || c >= p.width) return;
    A sum = A(0);
    for (int i = lane; i < kThreads; i += across) sum += of_threads[j][i];
    write(part * p.width + c, sum);
  } else {
    const A sum = block_sum<kThreads>(sums[0], thread);
    if (thread == 0) write(int64_t(part) * p.groups + group, sum);
  }
}

struct Plan {
  Problem problem{};
  dim3 block;
  bool pixels = false, vectors = false;  // vectors: rows are whole, aligned ones
  int64_t parts = 0;
  int64_t partial_rows = 0;  // of the scratch tensor [partial_rows, channels]; at most 1: none is needed
};

// x: the tensors that are walked, all of y's strides; or, of the first order, x and its noise.
Plan plan(std::initializer_list<TensorView> tensors, const TensorView& y, int64_t dim, bool noise, bool sums) {
  Plan plan;
  Problem& p = plan.problem;
  const int64_t numel = y.numel();
  p.channels = y.sizes[dim];
  if (numel == 0) return plan;
  const int64_t inner = p.channels == 1 ? numel : y.strides[dim];
  const int64_t size = kVectorBytes / element_bytes(y.dtype);
  plan.pixels = inner == 1;
  if (plan.pixels) {
    p.rows = numel / p.channels;
    p.width = p.channels;
    while (!noise && p.width % size != 0 && p.rows % 2 == 0) {  // joins pixels until a row is whole vectors
      p.rows /= 2;
      p.width *= 2;
    }
  } else {
    p.rows = numel / (p.channels * inner);
    p.width = inner;
  }
  plan.vectors = p.width % size == 0 && aligned(y) && std::all_of(tensors.begin(), tensors.end(), aligned);
  const int64_t vectors = plan.vectors ? p.width / size : p.width;
  const int64_t block_x = std::min<int64_t>(power_of_two_from(vectors), plan.pixels ? 32 : kThreads);
  plan.block = dim3(static_cast<unsigned>(block_x), static_cast<unsigned>(kThreads / block_x));
  const int64_t across = ceil_div(vectors, block_x);
  p.groups = static_cast<unsigned>(plan.pixels ? across : p.channels);
  p.across = plan.pixels ? 1 : static_cast<int>(across);
  p.row_stride = plan.pixels ? p.width : p.channels * p.width;
  p.down = static_cast<int>(ceil_div(p.rows, int64_t(plan.block.y)));
  p.tiles = p.across * p.down;
  p.steps = static_cast<int>(steps_of(p.tiles, p.groups, sums));
  plan.parts = ceil_div(p.tiles, p.steps);
  plan.partial_rows = plan.parts * (plan.pixels ? p.width / p.channels : 1);
  return plan;
}

struct Settings {
  int64_t dim;
  std::string_view act;
  double alpha, gain, clamp;
  bool from_output;
};

template <typename T, int ORDER, bool PIXELS, int SIZE>
auto kernel_of(bool slope, bool noise) {
  if constexpr (ORDER < 2 && SIZE > 1 && sizeof(T) < sizeof(double))
    if (slope) {
      if constexpr (ORDER == 0)
        if (noise) return bias_act_kernel<T, ORDER, true, true, PIXELS, SIZE>;
      return bias_act_kernel<T, ORDER, true, false, PIXELS, SIZE>;
    }
  return bias_act_kernel<T, ORDER, false, false, PIXELS, SIZE>;
}

// Whether a kernel may take the activation for two slopes. It reads the derivative off y, which is positive where u is.
template <int ORDER>
bool is_slope(Act act, double gain, bool from_output, bool bias) {
  return act <= Act::lrelu && (ORDER == 0 ? gain != 0 : from_output && !bias);
}

template <int ORDER>
void run(const char* name, const TensorView& v, const TensorView& s, const TensorView& w, const TensorView& b,
         const Settings& settings, const TensorView& y, const TensorView* db, const TensorView* scratch, void* stream) {
  const bool noise = ORDER == 0 && s.given();
  Plan plan = gan_fast::plan({v, s, w}, y, settings.dim, noise, db != nullptr);
  Problem& p = plan.problem;
  p.v = v.data;
  p.s = s.data;
  p.w = w.data;
  p.b = b.data;
  p.y = y.data;
  p.sums_are_final = plan.partial_rows == 1;
  if (db) p.sums = p.sums_are_final ? db->data : scratch->data;
  p.act = act_of(settings.act);
  p.from_output = settings.from_output;
  const bool slope = is_slope<ORDER>(p.act, settings.gain, settings.from_output, b.given());
  if (ORDER == 1 && slope && !s.given()) p.s = p.v;  // of linear: both slopes are the same
  with_vectors(y.dtype, plan.vectors, [&](auto type, auto size) {
    using T = decltype(type);
    constexpr int SIZE = decltype(size)::value;
    if (plan.parts > 0) {
      const dim3 grid(static_cast<unsigned>(p.groups * plan.parts));
      auto* kernel =
          plan.pixels ? kernel_of<T, ORDER, true, SIZE>(slope, noise) : kernel_of<T, ORDER, false, SIZE>(slope, noise);
      launch(name, kernel, grid, plan.block, stream, p,
             numbers<T>(ORDER, p.act, settings.alpha, settings.gain, settings.clamp));
    }
    if (db && plan.partial_rows != 1)  // of no rows the sum is zero
      sum_rows<T>(name, *scratch, *db, plan.partial_rows, p.channels, stream);
  });
}

int64_t scratch_bytes(std::initializer_list<TensorView> tensors, const TensorView& y, int64_t dim, bool bias_grad) {
  const Plan plan = gan_fast::plan(tensors, y, dim, false, bias_grad);
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
