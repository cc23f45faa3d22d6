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
  bool recover;
};

// SIZE elements from p + at on, in vectors of up to 16 bytes; `absent` where there is nothing, or nothing is wanted.
template <typename T, int SIZE>
__device__ __forceinline__ Vec<T, SIZE> load_or(T absent, const void* p, int64_t at, bool wanted) {
  constexpr int kPart = SIZE * sizeof(T) > kVectorBytes ? kVectorBytes / sizeof(T) : SIZE;
  Vec<T, SIZE> v;
#pragma unroll
  for (int i = 0; i < SIZE; i += kPart) {
    Vec<T, kPart> part;
#pragma unroll
    for (int j = 0; j < kPart; ++j) part.v[j] = absent;
    if (p != nullptr && wanted) part = *reinterpret_cast<const Vec<T, kPart>*>(static_cast<const T*>(p) + at + i);
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
__global__ void __launch_bounds__(kThreads, 4) modulate_kernel(const Problem p, const Numbers<T> n) {
  using A = Computed<T>;
  constexpr int KEPT = PLANES ? 1 : SIZE;    // channels of a thread
  constexpr int NOISES = PLANES ? SIZE : 1;  // of its vector
  // tiles in flight; of planes the derivatives read three tensors and as much noise, which is enough
  constexpr int kUnroll = PASS == Pass::forward || (PASS == Pass::grad && !PLANES) ? 2 : 1;
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
  const T* v_ptr = static_cast<const T*>(p.v);
  const T* y_ptr = static_cast<const T*>(p.y);
  const T* x_ptr = static_cast<const T*>(p.x);
  const bool has_v = PASS != Pass::tangent || v_ptr != nullptr, has_y = y_ptr != nullptr, has_x = x_ptr != nullptr;

  const int64_t first = part * p.steps, last = first + p.steps < p.tiles ? first + p.steps : p.tiles;
  // the thread's place in a tile, and the tiles in which it is inside: all, or all but the last
  const int64_t pixels = PLANES ? tile_width : blockDim.y, offset = PLANES ? tx * SIZE : ty;
  const int64_t limit = exists ? p.tiles - ((p.tiles - 1) * pixels + offset >= p.pixels) : 0;
  const int tiles = static_cast<int>(last - first), filled = static_cast<int>(limit < last ? limit - first : tiles);
  // where it is in the tensors and in the noise of its sample, and how far from tile to tile
  const int64_t pixel = first * pixels + offset, stride = PLANES ? pixels : pixels * p.channels;
  int64_t at = PLANES ? plane * p.pixels + pixel : (sample * p.pixels + pixel) * p.channels + channel;
  int64_t z_at = sample * p.pixels + pixel;

#pragma unroll 1
  for (int tile = 0; tile < tiles; tile += kUnroll) {
    Packed<T, SIZE> vs[kUnroll], ys[kUnroll], xs[kUnroll];
    Vec<A, NOISES> zs[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const bool inside = tile + i < filled;
      vs[i] = load_if<T, SIZE>(inside && has_v, v_ptr, at + i * stride);
      if (PASS != Pass::forward) ys[i] = load_if<T, SIZE>(inside && has_y, y_ptr, at + i * stride);
      if (PASS != Pass::forward) xs[i] = load_if<T, SIZE>(inside && has_x, x_ptr, at + i * stride);
      zs[i] = load_or<A, NOISES>(A(0), p.noise, z_at + i * pixels, inside);
    }
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      A v[SIZE], y[SIZE], x[SIZE], z[SIZE], out[SIZE];
      const bool inside = tile + i < filled;
      if constexpr (PASS == Pass::grad) vs[i] = masked(vs[i], ys[i], n.clamp);
      widen(vs[i], v);
      if constexpr (PASS != Pass::forward) {
        widen(PASS == Pass::grad ? masked(ys[i], ys[i], n.clamp) : ys[i], y);
        widen(xs[i], x);
      }
#pragma unroll
      for (int j = 0; j < SIZE; ++j) z[j] = zs[i].v[PLANES ? j : 0];
      if constexpr (PASS == Pass::forward) {
#pragma unroll
        for (int j = 0; j < SIZE; ++j) {
          const int k = PLANES ? 0 : j;
          const A u = v[j] * s.v[k] + (strength * z[j] + b.v[k]);
          out[j] = u * (u > A(0) ? n.above : n.below);
        }
      } else if constexpr (PASS == Pass::grad) {
        A h[SIZE], of_x[SIZE], of_z[SIZE];
#pragma unroll
        for (int j = 0; j < SIZE; ++j) {
          h[j] = v[j] * (y[j] > A(0) ? n.above : n.below);  // act'(u) gain
          out[j] = s.v[PLANES ? 0 : j] * h[j];
          of_x[j] = p.recover ? v[j] * y[j] : h[j] * x[j];
          of_z[j] = h[j] * z[j];
        }
        add_up<!PLANES>(sums[0], h);
        add_up<!PLANES>(sums[1], of_x);
        add_up<!PLANES>(sums[2], of_z);
      } else {
#pragma unroll
        for (int j = 0; j < SIZE; ++j) {
          const int k = PLANES ? 0 : j;
          const A d = y[j] > A(0) ? n.above : n.below;
          out[j] = d * (s.v[k] * v[j] + r[0].v[k] + r[2].v[k] * z[j]) + r[1].v[k] * (p.recover ? y[j] : d * x[j]);
        }
      }
      Packed<T, SIZE> result = packed<T>(out);
      if constexpr (PASS == Pass::forward) result = limited(result, n.low, n.high);
      if constexpr (PASS == Pass::tangent) result = masked(result, ys[i], n.clamp);
      store_if(inside, static_cast<T*>(p.out) + at + i * stride, result);
    }
    at += kUnroll * stride;
    z_at += kUnroll * pixels;
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
Plan plan(Pass pass, std::initializer_list<TensorView> tensors, const TensorView& out, bool sums = false) {
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
  p.steps = steps_of(p.tiles, plan.groups, sums);
  plan.parts = ceil_div(p.tiles, p.steps);
  return plan;
}

struct Settings {
  std::string_view act;
  double alpha, gain, clamp;
  bool recover;
};

template <Pass PASS>
void run(const char* name, Plan& plan, const Settings& settings, const TensorView& out, void* stream) {
  plan.problem.recover = settings.recover;
  if (plan.parts == 0) return;
  with_dtype(out.dtype, [&](auto type) {
    using T = decltype(type);
    const dim3 grid(static_cast<unsigned>(plan.groups * plan.parts));
    constexpr int kOfPlane = kVectorBytes / bytes_of(PASS, true, sizeof(T));
    constexpr int kOfPixel = kVectorBytes / bytes_of(PASS, false, sizeof(T));
    auto* kernel = plan.planes ? modulate_kernel<T, PASS, true, 1> : modulate_kernel<T, PASS, false, 1>;
    if (plan.vectors)
      kernel = plan.planes ? modulate_kernel<T, PASS, true, kOfPlane> : modulate_kernel<T, PASS, false, kOfPixel>;
    const Numbers<T> n =
        numbers<T>(PASS != Pass::forward, act_of(settings.act), settings.alpha, settings.gain, settings.clamp);
    launch(name, kernel, grid, plan.block, stream, plan.problem, n);
  });
}

void modulate(TensorView x, TensorView s, TensorView noise, TensorView strength, TensorView b, std::string_view act,
              double alpha, double gain, double clamp, bool recover, TensorView y, TensorView, void* stream) {
  Plan plan = gan_fast::plan(Pass::forward, {x, s, noise, b}, y);
  Problem& p = plan.problem;
  p.v = x.data;
  p.s = s.data;
  p.noise = noise.data;
  p.strength = strength.data;
  p.b = b.data;
  p.out = y.data;
  run<Pass::forward>("modulate", plan, {act, alpha, gain, clamp, recover}, y, stream);
}

// With `recover` x only stands for the input: it holds nothing.
TensorView kept(const TensorView& x, bool recover) { return recover ? TensorView{} : x; }

void modulate_grad(TensorView dy, TensorView y, TensorView s, TensorView noise, TensorView x, std::string_view act,
                   double alpha, double gain, double clamp, bool recover, bool sums, TensorView dx, TensorView totals,
                   TensorView scratch, void* stream) {
  x = kept(x, recover);
  Plan plan = gan_fast::plan(Pass::grad, {dy, y, s, noise, x}, dx, sums);
  Problem& p = plan.problem;
  p.v = dy.data;
  p.y = y.data;
  p.x = x.data;
  p.s = s.data;
  p.noise = noise.data;
  p.out = dx.data;
  if (sums) p.sums = plan.parts == 1 ? totals.data : scratch.data;
  run<Pass::grad>("modulate_grad", plan, {act, alpha, gain, clamp, recover}, dx, stream);
  if (!sums || plan.parts == 1) return;
  if (dx.dtype == DType::f64)
    sum_rows<double>("modulate_grad", scratch, totals, plan.parts, 3 * p.planes, stream);
  else
    sum_rows<float>("modulate_grad", scratch, totals, plan.parts, 3 * p.planes, stream);
}

int64_t modulate_grad_scratch(TensorView dy, TensorView y, TensorView s, TensorView noise, TensorView x,
                              std::string_view, double, double, double, bool recover, bool sums, TensorView dx,
                              TensorView totals) {
  const Plan plan = gan_fast::plan(Pass::grad, {dy, y, s, noise, kept(x, recover)}, dx, sums);
  return sums && plan.parts > 1 ? plan.parts * totals.numel() * element_bytes(totals.dtype) : 0;
}

void modulate_tangent(TensorView, TensorView w, TensorView y, TensorView s, TensorView r, TensorView noise,
                      TensorView x, std::string_view act, double alpha, double gain, double clamp, bool recover,
                      TensorView ddy, void* stream) {
  x = kept(x, recover);
  Plan plan = gan_fast::plan(Pass::tangent, {w, y, s, r, noise, x}, ddy);
  Problem& p = plan.problem;
  p.v = w.data;
  p.y = y.data;
  p.x = x.data;
  p.s = s.data;
  p.r = r.data;
  p.noise = noise.data;
  p.out = ddy.data;
  run<Pass::tangent>("modulate_tangent", plan, {act, alpha, gain, clamp, recover}, ddy, stream);
}

GAN_FAST_LAUNCHER(modulate)
GAN_FAST_LAUNCHER(modulate_grad)
GAN_FAST_LAUNCHER(modulate_grad_scratch)
GAN_FAST_LAUNCHER(modulate_tangent)

}  // namespace
}  // namespace gan_fast
