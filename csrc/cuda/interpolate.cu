// y[n] = a[n] + t[n] (b[n] - a[n]), and its adjoint, with t[n] drawn from the counter by every thread. The elements of
// a sample lie side by side, in all tensors alike. A block takes a tile of kThreads vectors: tile k of sample n is
// block n tiles + k.
#include "../launcher.h"
#include "../math.h"
#include "launch.h"
#include "vector.h"

namespace gan_fast {
namespace {

constexpr int kThreads = 256;

// What a thread does: the t of its sample, and where in memory its vector lies; threads past the end of the sample take
// its first vector and write nothing.
template <typename A>
struct Place {
  A t;
  int64_t at;
  bool inside;
};

template <int SIZE, typename A>
__device__ __forceinline__ Place<A> place(const int64_t* seed, int64_t elements, int64_t tiles) {
  const int64_t n = blockIdx.x / tiles, i = (blockIdx.x % tiles * kThreads + threadIdx.x) * SIZE;
  const auto key = static_cast<uint64_t>(seed[0]), offset = static_cast<uint64_t>(seed[1]);
  return {uniform<A>(key, offset, static_cast<uint64_t>(n)), n * elements + (i < elements ? i : 0), i < elements};
}

template <typename T, int SIZE>
__global__ void __launch_bounds__(kThreads)
    interpolate_kernel(const T* a, const T* b, const int64_t* seed, T* y, int64_t elements, int64_t tiles) {
  using A = Computed<T>;
  using V = Vec<T, SIZE>;
  const Place<A> p = place<SIZE, A>(seed, elements, tiles);
  const V from = *reinterpret_cast<const V*>(a + p.at), towards = *reinterpret_cast<const V*>(b + p.at);
  V to;
#pragma unroll
  for (int i = 0; i < SIZE; ++i)
    to.v[i] = stored<T>(computed(from.v[i]) + p.t * (computed(towards.v[i]) - computed(from.v[i])));
  if (p.inside) *reinterpret_cast<V*>(y + p.at) = to;
}

// da or db is nullptr where nobody asks for it.
template <typename T, int SIZE>
__global__ void __launch_bounds__(kThreads)
    interpolate_grad_kernel(const T* dy, const int64_t* seed, T* da, T* db, int64_t elements, int64_t tiles) {
  using A = Computed<T>;
  using V = Vec<T, SIZE>;
  const Place<A> p = place<SIZE, A>(seed, elements, tiles);
  const V v = *reinterpret_cast<const V*>(dy + p.at);
  V to_a, to_b;
#pragma unroll
  for (int i = 0; i < SIZE; ++i) {
    to_a.v[i] = stored<T>((A(1) - p.t) * computed(v.v[i]));
    to_b.v[i] = stored<T>(p.t * computed(v.v[i]));
  }
  if (da != nullptr && p.inside) *reinterpret_cast<V*>(da + p.at) = to_a;
  if (db != nullptr && p.inside) *reinterpret_cast<V*>(db + p.at) = to_b;
}

// f(element type, size of a vector, elements of a sample, tiles of a sample, grid)
template <typename F>
void run(std::initializer_list<TensorView> tensors, const F& f) {
  const TensorView& x = *tensors.begin();
  const int64_t elements = x.numel() / x.sizes[0];
  bool vectors = elements % kVectorBytes == 0;
  for (const TensorView& t : tensors) vectors = vectors && aligned(t);
  with_vectors(x.dtype, vectors, [&](auto type, auto size) {
    const int64_t tiles = ceil_div(elements, kThreads * size());
    f(type, size, elements, tiles, dim3(static_cast<unsigned>(x.sizes[0] * tiles)));
  });
}

void interpolate(TensorView a, TensorView b, TensorView seed, TensorView y, void* stream) {
  run({a, b, y}, [&](auto type, auto size, int64_t elements, int64_t tiles, dim3 grid) {
    using T = decltype(type);
    launch("interpolate", interpolate_kernel<T, size()>, grid, dim3(kThreads), stream, a.as<T>(), b.as<T>(),
           seed.as<int64_t>(), y.as<T>(), elements, tiles);
  });
}

void interpolate_grad(TensorView dy, TensorView seed, bool a_grad, bool b_grad, TensorView da, TensorView db,
                      void* stream) {
  if (!a_grad) da = {};
  if (!b_grad) db = {};
  run({dy, da, db}, [&](auto type, auto size, int64_t elements, int64_t tiles, dim3 grid) {
    using T = decltype(type);
    launch("interpolate_grad", interpolate_grad_kernel<T, size()>, grid, dim3(kThreads), stream, dy.as<T>(),
           seed.as<int64_t>(), da.as<T>(), db.as<T>(), elements, tiles);
  });
}

GAN_FAST_LAUNCHER(interpolate)
GAN_FAST_LAUNCHER(interpolate_grad)

}  // namespace
}  // namespace gan_fast
