// p[n] = gain sum of x[n, i] y[n, i], and its derivative, gain v[n] x[n, i]. The elements of a sample lie side by side,
// in x and y alike.
//
// A block takes tiles of kThreads vectors: part k of sample n is block n parts + k. Of several parts of a sum, each
// leaves its own in memory, and a second launch adds them in order.
#include "../launcher.h"
#include "../math.h"
#include "block_sum.h"
#include "launch.h"
#include "vector.h"

namespace gan_fast {
namespace {

constexpr int kThreads = 256;
constexpr int kTiles = 4;  // of a part of a sum: their loads are in flight together

template <typename T, int SIZE>
__global__ void __launch_bounds__(kThreads)
    square_sum_kernel(const T* x, const T* y, Computed<T> gain, Computed<T>* sums, int64_t elements, int64_t parts) {
  using A = Computed<T>;
  using V = Vec<T, SIZE>;
  const int64_t sample = blockIdx.x / parts * elements;
  V xs[kTiles] = {}, ys[kTiles] = {};
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
    const int64_t i = ((blockIdx.x % parts * kTiles + j) * kThreads + threadIdx.x) * SIZE;
    if (i >= elements) continue;
    xs[j] = *reinterpret_cast<const V*>(x + sample + i);
    ys[j] = y == x ? xs[j] : *reinterpret_cast<const V*>(y + sample + i);
  }
  A sum = A(0);
#pragma unroll
  for (int j = 0; j < kTiles; ++j)
#pragma unroll
    for (int i = 0; i < SIZE; ++i) sum += computed(xs[j].v[i]) * computed(ys[j].v[i]);
  sum = block_sum<kThreads>(sum, threadIdx.x);
  if (threadIdx.x == 0) sums[blockIdx.x] = gain * sum;
}

template <typename A>
__global__ void __launch_bounds__(kThreads) square_sum_parts_kernel(const A* sums, A* p, int64_t parts) {
  A sum = A(0);
  for (int64_t k = threadIdx.x; k < parts; k += kThreads) sum += sums[blockIdx.x * parts + k];
  sum = block_sum<kThreads>(sum, threadIdx.x);
  if (threadIdx.x == 0) p[blockIdx.x] = sum;
}

template <typename T, int SIZE>
__global__ void __launch_bounds__(kThreads)
    square_sum_grad_kernel(const Computed<T>* v, const T* x, Computed<T> gain, T* dx, int64_t elements, int64_t parts) {
  using V = Vec<T, SIZE>;
  const int64_t n = blockIdx.x / parts, i = (blockIdx.x % parts * kThreads + threadIdx.x) * SIZE;
  const int64_t at = n * elements + (i < elements ? i : 0);  // past the end: read, but not written
  const Computed<T> factor = gain * v[n];
  V d = *reinterpret_cast<const V*>(x + at);
#pragma unroll
  for (int j = 0; j < SIZE; ++j) d.v[j] = stored<T>(factor * computed(d.v[j]));
  if (i < elements) *reinterpret_cast<V*>(dx + at) = d;
}

struct Plan {
  int64_t samples, elements, parts;
  bool vectors;  // samples are whole, aligned vectors
};

Plan plan(const TensorView& x, const TensorView& other, int tiles) {
  const int64_t size = kVectorBytes / (x.dtype == DType::f64 ? 8 : x.dtype == DType::f32 ? 4 : 2);
  Plan p{};
  p.samples = x.sizes[0];
  p.elements = x.numel() / p.samples;
  p.vectors = p.elements % size == 0 && aligned(x) && aligned(other);
  p.parts = ceil_div(p.elements, tiles * kThreads * (p.vectors ? size : 1));
  if (p.parts == 0) p.parts = 1;  // the sum of nothing is written too
  return p;
}

void square_sum(TensorView x, TensorView y, double gain, TensorView p, TensorView scratch, void* stream) {
  const TensorView& other = y.given() ? y : x;
  const Plan s = plan(x, other, kTiles);
  with_vectors(x.dtype, s.vectors, [&](auto type, auto size) {
    using T = decltype(type);
    using A = Computed<T>;
    A* sums = (s.parts == 1 ? p : scratch).as<A>();
    launch("square_sum", square_sum_kernel<T, size()>, dim3(static_cast<unsigned>(s.samples * s.parts)), dim3(kThreads),
           stream, x.as<T>(), other.as<T>(), gain, sums, s.elements, s.parts);
    if (s.parts == 1) return;
    launch("square_sum", square_sum_parts_kernel<A>, dim3(static_cast<unsigned>(s.samples)), dim3(kThreads), stream,
           sums, p.as<A>(), s.parts);
  });
}

int64_t square_sum_scratch(TensorView x, TensorView y, double, TensorView p) {
  const Plan s = plan(x, y.given() ? y : x, kTiles);
  return s.parts == 1 ? 0 : s.samples * s.parts * (p.dtype == DType::f64 ? 8 : 4);
}

void square_sum_grad(TensorView v, TensorView x, double gain, TensorView dx, void* stream) {
  const Plan s = plan(x, dx, 1);
  with_vectors(x.dtype, s.vectors, [&](auto type, auto size) {
    using T = decltype(type);
    launch("square_sum_grad", square_sum_grad_kernel<T, size()>, dim3(static_cast<unsigned>(s.samples * s.parts)),
           dim3(kThreads), stream, v.as<Computed<T>>(), x.as<T>(), gain, dx.as<T>(), s.elements, s.parts);
  });
}

GAN_FAST_LAUNCHER(square_sum)
GAN_FAST_LAUNCHER(square_sum_scratch)
GAN_FAST_LAUNCHER(square_sum_grad)

}  // namespace
}  // namespace gan_fast
