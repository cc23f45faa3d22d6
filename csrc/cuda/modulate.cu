// modulate and its derivatives: one pass over memory, the sums for s, strength and b on the way.
//
// Memory is planes, [N, C, P], or pixels, [N, P, C]. A block walks tiles of [blockDim.y rows, blockDim.x vectors]
//   planes  whose rows are planes, the same in each tile: of blockDim.x vectors of their pixels
//   pixels  whose rows are pixels of one sample: of the same blockDim.x vectors of their channels
// so that a thread keeps in registers what it is given of its channels, and their sums. Those of a block go to row
// `part` of a scratch tensor [parts, 3, N, C], which a second kernel adds up in order.

#include <algorithm>

#include "../launcher.h"
#include "../math.h"
#include "sums.h"

namespace gan_fast {
namespace {

enum class Pass { forward, grad, tangent };

// Bytes of an element whose vectors have as many elements as a thread holds at once. The derivatives of pixels keep
// several numbers of each channel, in registers that halves by the eight would exceed.
constexpr int64_t bytes_of(Pass pass, bool planes, int64_t stored) {
  return planes || pass == Pass::forward || stored > 4 ? stored : 4;
}

struct Problem {
  const void* v;  // x, dy or w
  const void* y;  // the output that was kept
  const void* x;  // the input that was kept
  const void *s, *r, *noise, *strength, *b;
  void* out;
  void* sums;  // null: no sums
  int64_t planes, channels, pixels, samples;
  int64_t across, tiles, steps;  // blocks beside each other for all channels; tiles of a group, and of a block
  double gain, slope, clamp;     // slope: of the activation below 0
  bool relu, recover;
};

template <typename A>
__device__ __forceinline__ A magnitude(A x) {
  return x < A(0) ? -x : x;
}

// SIZE elements from p + at on, in vectors of up to 16 bytes; `absent` where there is nothing, or outside.
template <typename T, int SIZE>
__device__ __forceinline__ Vec<T, SIZE> load_or(T absent, const void* p, int64_t at, bool inside) {
  constexpr int kPart = SIZE * sizeof(T) > kVectorBytes ? kVectorBytes / sizeof(T) : SIZE;
  Vec<T, SIZE> v;
#pragma unroll
  for (int i = 0; i < SIZE; i += kPart) {
    Vec<T, kPart> part;
#pragma unroll
    for (int j = 0; j < kPart; ++j) part.v[j] = absent;
    if (p != nullptr && inside) part = *reinterpret_cast<const Vec<T, kPart>*>(static_cast<const T*>(p) + at + i);
#pragma unroll
    for (int j = 0; j < kPart; ++j) v.v[i + j] = part.v[j];
  }
  return v;
}

// What a thread adds up of one of its channels, summed over the threads of the block that share it, and written by one.
template <typename A>
__device__ __forceinline__ void write_plane_sum(A sum, A* to, bool exists) {
  __shared__ A warps[kWarps];
  const int tx = threadIdx.x, across = blockDim.x, warp = (threadIdx.y * across + tx) / 32;
  for (int lane = (across < 32 ? across : 32) / 2; lane > 0; lane /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lane);
  if (across > 32) {
    __syncthreads();  // the sum before has been read
    if (tx % 32 == 0) warps[warp] = sum;
    __syncthreads();
    if (tx == 0)
      for (int i = 1; i < across / 32; ++i) sum += warps[warp + i];
  }
  if (tx == 0 && exists) *to = sum;
}

template <int SIZE, typename A>
__device__ __forceinline__ void write_channel_sums(const A (&sums)[SIZE], A* to, int64_t channels) {
  __shared__ A of_threads[SIZE][kThreads];
  const int across = blockDim.x, thread = threadIdx.y * across + threadIdx.x;
  __syncthreads();  // the sums before have been read
#pragma unroll
  for (int j = 0; j < SIZE; ++j) of_threads[j][thread] = sums[j];
  __syncthreads();
  const int lane = thread % across, j = thread / across;  // across * SIZE <= kThreads
  if (j >= SIZE || lane * SIZE + j >= channels) return;
  A sum = A(0);
  for (int i = lane; i < kThreads; i += across) sum += of_threads[j][i];
  to[lane * SIZE + j] = sum;
}

// SIZE: elements that a thread holds at once, whole vectors or one.
template <typename T, Pass PASS, bool PLANES, int SIZE>
__global__ void __launch_bounds__(kThreads, 4) modulate_kernel(const Problem p) {
  using A = Computed<T>;
  constexpr int KEPT = PLANES ? 1 : SIZE;  // channels of a thread
  const int tx = threadIdx.x, ty = threadIdx.y, tile_width = blockDim.x * SIZE;
  const int64_t group = blockIdx.x % p.across, others = blockIdx.x / p.across;
  const int64_t part = PLANES ? others : others / p.samples;
  const int64_t begin = PLANES ? 0 : group * tile_width;  // the block's first channel
  const int64_t plane = PLANES ? group * blockDim.y + ty : others % p.samples * p.channels + begin + tx * SIZE;
  const bool exists = PLANES ? plane < p.planes : begin + tx * SIZE < p.channels;
  const int64_t sample = PLANES ? plane / p.channels : others % p.samples, channel = plane - sample * p.channels;

  Vec<A, KEPT> r[3];
#pragma unroll
  for (int k = 0; k < 3; ++k) r[k] = load_or<A, KEPT>(A(0), p.r, k * p.planes + plane, exists);
  const Vec<A, KEPT> s = load_or<A, KEPT>(A(1), p.s, plane, exists);
  const Vec<A, KEPT> b = load_or<A, KEPT>(A(0), p.b, channel, exists);
  A sums[3][KEPT] = {};
  const A strength = p.strength != nullptr ? *static_cast<const A*>(p.strength) : A(1);
  const A gain = A(p.gain), slope = A(p.slope), below = gain * slope;
  const A clamp = computed(stored<T>(A(p.clamp)));  // as it is found in y
  const bool clamped = p.clamp >= 0;

  // where the thread's channels and the noise of its sample begin
  const int64_t x_at = PLANES ? plane * p.pixels : sample * p.pixels * p.channels + channel;
  const int64_t z_at = sample * p.pixels;

  const int64_t first = part * p.steps, last = first + p.steps < p.tiles ? first + p.steps : p.tiles;
  const int tiles = static_cast<int>(last - first);
#pragma unroll 1
  for (int i = 0; i < tiles; ++i) {
    const int64_t pixel = PLANES ? (first + i) * tile_width + tx * SIZE : (first + i) * blockDim.y + ty;
    const int64_t at = x_at + (PLANES ? pixel : pixel * p.channels);
    const bool inside = exists && pixel < p.pixels;
    const auto v = load_or<T, SIZE>(stored<T>(A(0)), p.v, at, inside);
    const auto y = load_or<T, SIZE>(stored<T>(A(0)), p.y, at, inside),
               x = load_or<T, SIZE>(stored<T>(A(0)), p.x, at, inside);
    const auto z = load_or<A, PLANES ? SIZE : 1>(A(0), p.noise, z_at + pixel, inside);
    Vec<T, SIZE> out;
#pragma unroll
    for (int j = 0; j < SIZE; ++j) {
      const int k = PLANES ? 0 : j;
      const A of_v = computed(v.v[j]), of_x = computed(x.v[j]), noise = z.v[PLANES ? j : 0];
      A result;
      if constexpr (PASS == Pass::forward) {
        const A u = of_v * s.v[k] + (strength * noise + b.v[k]);
        const A negative = p.relu ? (u < A(0) ? A(0) : u) : u * slope;  // written so that NaN stays NaN
        result = (u > A(0) ? u : negative) * gain;
        if (clamped && magnitude(result) >= clamp) result = result < A(0) ? -clamp : clamp;
      } else {
        A of_y = computed(y.v[j]), d = of_y > A(0) ? gain : below;  // act'(u) gain
        if (clamped && magnitude(of_y) >= clamp) of_y = d = A(0);
        if constexpr (PASS == Pass::grad) {
          const A h = of_v * d;
          result = s.v[k] * h;
          sums[0][k] += h;
          sums[1][k] += p.recover ? of_v * of_y : h * of_x;
          sums[2][k] += h * noise;
        } else {
          result = d * (s.v[k] * of_v + r[0].v[k] + r[2].v[k] * noise) + r[1].v[k] * (p.recover ? of_y : d * of_x);
        }
      }
      out.v[j] = stored<T>(result);
    }
    if (inside) *reinterpret_cast<Vec<T, SIZE>*>(static_cast<T*>(p.out) + at) = out;
  }

  if constexpr (PASS == Pass::grad) {
    if (p.sums == nullptr) return;
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      A* to = static_cast<A*>(p.sums) + (part * 3 + k) * p.planes;
      if constexpr (PLANES)
        write_plane_sum(sums[k][0], to + plane, exists);
      else
        write_channel_sums<SIZE>(sums[k], to + (plane - tx * SIZE), p.channels - begin);
    }
  }
}

struct Plan {
  Problem problem{};
  dim3 block;
  bool planes = true, vectors = true;  // vectors: rows are whole, aligned ones
  int64_t groups = 0, parts = 0;       // parts: rows of the scratch tensor; at most 1: none is needed
};

// tensors: all that are read in vectors; those that were not given do not count.
Plan plan(Pass pass, std::initializer_list<TensorView> tensors, const TensorView& out) {
  Plan plan;
  Problem& p = plan.problem;
  p.samples = out.sizes[0];
  p.channels = out.sizes[1];
  p.planes = p.samples * p.channels;
  const int64_t numel = out.numel();
  if (numel == 0) return plan;
  p.pixels = numel / p.planes;
  plan.planes = p.channels == 1 || out.strides[1] != 1;
  const int64_t width = plan.planes ? p.pixels : p.channels;
  const int64_t size = kVectorBytes / bytes_of(pass, plan.planes, element_bytes(out.dtype));
  plan.vectors = width % size == 0 && aligned(out) && std::all_of(tensors.begin(), tensors.end(), aligned);
  const int64_t vectors = plan.vectors ? width / size : width;
  const int64_t block_x = std::min<int64_t>(power_of_two_from(vectors), plan.planes ? kThreads : 32);
  const int64_t block_y = kThreads / block_x;
  plan.block = dim3(static_cast<unsigned>(block_x), static_cast<unsigned>(block_y));
  p.across = plan.planes ? ceil_div(p.planes, block_y) : ceil_div(vectors, block_x);
  p.tiles = plan.planes ? ceil_div(vectors, block_x) : ceil_div(p.pixels, block_y);
  plan.groups = plan.planes ? p.across : p.across * p.samples;
  p.steps = std::max(kMinSteps, ceil_div(p.tiles * plan.groups, kBlocks));
  plan.parts = ceil_div(p.tiles, p.steps);
  return plan;
}

struct Settings {
  std::string_view act;
  double alpha, gain, clamp;
  bool recover;
};

void set(Problem& p, const Settings& settings) {
  const Act act = act_of(settings.act);
  p.slope = act == Act::linear ? 1.0 : act == Act::lrelu ? settings.alpha : 0.0;
  p.relu = act == Act::relu;
  p.gain = settings.gain;
  p.clamp = settings.clamp;
  p.recover = settings.recover;
}

template <Pass PASS>
void run(const char* name, const Plan& plan, const TensorView& out, void* stream) {
  if (plan.parts == 0) return;
  with_dtype(out.dtype, [&](auto type) {
    using T = decltype(type);
    const dim3 grid(static_cast<unsigned>(plan.groups * plan.parts));
    constexpr int kOfPlane = kVectorBytes / bytes_of(PASS, true, sizeof(T));
    constexpr int kOfPixel = kVectorBytes / bytes_of(PASS, false, sizeof(T));
    auto* kernel = plan.planes ? modulate_kernel<T, PASS, true, 1> : modulate_kernel<T, PASS, false, 1>;
    if (plan.vectors)
      kernel = plan.planes ? modulate_kernel<T, PASS, true, kOfPlane> : modulate_kernel<T, PASS, false, kOfPixel>;
    launch(name, kernel, grid, plan.block, stream, plan.problem);
  });
}

void modulate(TensorView x, TensorView s, TensorView noise, TensorView strength, TensorView b, std::string_view act,
              double alpha, double gain, double clamp, bool recover, TensorView y, TensorView, void* stream) {
  Plan plan = gan_fast::plan(Pass::forward, {x, s, noise, b}, y);
  Problem& p = plan.problem;
  set(p, {act, alpha, gain, clamp, recover});
  p.v = x.data;
  p.s = s.data;
  p.noise = noise.data;
  p.strength = strength.data;
  p.b = b.data;
  p.out = y.data;
  run<Pass::forward>("modulate", plan, y, stream);
}

// With `recover` x only stands for the input: it holds nothing.
TensorView kept(const TensorView& x, bool recover) { return recover ? TensorView{} : x; }

void modulate_grad(TensorView dy, TensorView y, TensorView s, TensorView noise, TensorView x, std::string_view act,
                   double alpha, double gain, double clamp, bool recover, bool sums, TensorView dx, TensorView totals,
                   TensorView scratch, void* stream) {
  x = kept(x, recover);
  Plan plan = gan_fast::plan(Pass::grad, {dy, y, s, noise, x}, dx);
  Problem& p = plan.problem;
  set(p, {act, alpha, gain, clamp, recover});
  p.v = dy.data;
  p.y = y.data;
  p.x = x.data;
  p.s = s.data;
  p.noise = noise.data;
  p.out = dx.data;
  if (sums) p.sums = plan.parts == 1 ? totals.data : scratch.data;
  run<Pass::grad>("modulate_grad", plan, dx, stream);
  if (!sums || plan.parts == 1) return;
  if (dx.dtype == DType::f64)
    sum_rows<double>("modulate_grad", scratch, totals, plan.parts, 3 * p.planes, stream);
  else
    sum_rows<float>("modulate_grad", scratch, totals, plan.parts, 3 * p.planes, stream);
}

int64_t modulate_grad_scratch(TensorView dy, TensorView y, TensorView s, TensorView noise, TensorView x,
                              std::string_view, double, double, double, bool recover, bool sums, TensorView dx,
                              TensorView totals) {
  const Plan plan = gan_fast::plan(Pass::grad, {dy, y, s, noise, kept(x, recover)}, dx);
  return sums && plan.parts > 1 ? plan.parts * totals.numel() * element_bytes(totals.dtype) : 0;
}

void modulate_tangent(TensorView, TensorView w, TensorView y, TensorView s, TensorView r, TensorView noise,
                      TensorView x, std::string_view act, double alpha, double gain, double clamp, bool recover,
                      TensorView ddy, void* stream) {
  x = kept(x, recover);
  Plan plan = gan_fast::plan(Pass::tangent, {w, y, s, r, noise, x}, ddy);
  Problem& p = plan.problem;
  set(p, {act, alpha, gain, clamp, recover});
  p.v = w.data;
  p.y = y.data;
  p.x = x.data;
  p.s = s.data;
  p.r = r.data;
  p.noise = noise.data;
  p.out = ddy.data;
  run<Pass::tangent>("modulate_tangent", plan, ddy, stream);
}

GAN_FAST_LAUNCHER(modulate)
GAN_FAST_LAUNCHER(modulate_grad)
GAN_FAST_LAUNCHER(modulate_grad_scratch)
GAN_FAST_LAUNCHER(modulate_tangent)

}  // namespace
}  // namespace gan_fast
