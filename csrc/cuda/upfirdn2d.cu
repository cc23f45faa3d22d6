// upfirdn2d, polyphase: inserted zeros are never met.
//
// Coordinates along an axis: output i begins at p = i down - pad on the grid of x with its inserted zeros; tap a lies
// at p + a and meets input q where p + a = up q. Taps are those of a correlation: flipped unless flip_filter says so.
//
// Memory is [images, H, W, pixel] vectors: planes of single elements (NCHW, an image is a channel), or images whose
// pixels are vectors of channels (channels_last). `choose` says which kernel takes a call:
//   planes     4x4 taps on planes, or in float32 12 separable ones: a thread marches down a vector of columns
//   pixels     3x3 or 4x4 taps on channels_last: a thread marches down two columns of 16 bytes of channels
//   separable  any 1-D filter: rows filtered into shared memory, columns from there
//   direct     everything: one output a thread

#include <algorithm>
#include <cstdlib>
#include <string>
#include <type_traits>

#include "../launcher.h"
#include "launch.h"
#include "vector.h"

namespace gan_fast {
namespace {

constexpr int kWarp = 32;
constexpr int kSharedBytes = 40 * 1024;  // of a tile: under the 48 KiB that a block has with no special request

// Positions fit in 32 bits, addresses do not.
struct Axis {
  int in, out, up, down, pad, taps;
};

struct Problem {
  const void *x, *f;
  void* y;
  Axis across, along;
  int64_t images;
  int pixel;
  double gain;
  DType f_dtype;
  bool separable, flip;
  bool vectors_in, vectors_out;  // rows of planes are whole, aligned vectors
  // A block makes a tile of `planes` images, tile_h rows and tile_w columns; the first tile begins `skip` before y.
  unsigned tiles_across, tiles_along, tiles_deep;
  int planes, tile_h, tile_w, skip_x, skip_y;
};

__host__ __device__ inline int floor_div(int a, int b) { return (a < 0 ? a - b + 1 : a) / b; }
__host__ __device__ inline int ceil_div(int a, int b) { return -floor_div(-a, b); }

// Inputs from the first to the last that meets `outputs` neighbours, the first of which begins on an input.
__host__ __device__ constexpr int extent(int outputs, int up, int down, int taps) {
  return ((outputs - 1) * down + taps - 1) / up + 1;
}

template <typename A>
__device__ A tap(const Problem& p, int64_t i) {
  switch (p.f_dtype) {
    case DType::f64:
      return static_cast<A>(static_cast<const double*>(p.f)[i]);
    case DType::f16:
      return computed(static_cast<const __half*>(p.f)[i]);
    case DType::bf16:
      return computed(static_cast<const __nv_bfloat16*>(p.f)[i]);
    default:
      return static_cast<const float*>(p.f)[i];
  }
}
template <typename A>
__device__ A tap_across(const Problem& p, int b) {
  return tap<A>(p, p.flip ? b : p.across.taps - 1 - b) * A(p.gain);
}
template <typename A>
__device__ A tap_along(const Problem& p, int a) {
  return tap<A>(p, p.flip ? a : p.along.taps - 1 - a);
}
template <typename A>
__device__ A tap_of_both(const Problem& p, int a, int b) {
  if (p.separable) return tap_along<A>(p, a) * tap_across<A>(p, b);
  const int64_t i = int64_t(a) * p.across.taps + b, last = int64_t(p.along.taps) * p.across.taps - 1;
  return tap<A>(p, p.flip ? i : last - i) * A(p.gain);
}

// Where a block's tile lies.
struct Place {
  int64_t image;
  int oy, ox;
  __device__ explicit Place(const Problem& p) {
    ox = static_cast<int>(blockIdx.x % p.tiles_across) * p.tile_w - p.skip_x;
    oy = static_cast<int>(blockIdx.x / p.tiles_across % p.tiles_along) * p.tile_h - p.skip_y;
    image = int64_t(blockIdx.x / p.tiles_across / p.tiles_along) * p.planes;
  }
};

template <typename T, int SIZE, typename A>
__device__ Vec<T, SIZE> rounded(const A (&sum)[SIZE]) {
  Vec<T, SIZE> v;
#pragma unroll
  for (int i = 0; i < SIZE; ++i) v.v[i] = stored<T>(sum[i]);
  return v;
}

// ---------------------------------------------------------------------------------------------------------- marching
//
// A thread makes OUT neighbouring columns of a strip of outputs, from its first row on. It reads each row of x that it
// meets once, one row ahead, filters it across, and adds it to the sums of the outputs that the row lies under; a sum
// whose last row has come is written. Sums lie in a ring, output j of the strip in slot j mod kRing. A filter that is
// an outer product takes TAPS products along and TAPS / UP across, any other TAPS of the latter for each tap along.

constexpr int kMarchThreads = 128;

template <int UP, int DOWN, int TAPS>
struct March {
  static constexpr int kRing = DOWN == 2 ? (TAPS + 1) / 2 : (TAPS + UP - 1) / UP * UP;
  static constexpr int kPeriod = kRing * DOWN / UP;  // rows of x after which slots repeat
};

// The filter of a block: TAPS * TAPS numbers, and where it is an outer product its factors, across and along.
template <typename A, int TAPS, bool ONE_DIMENSIONAL>
struct Filter {
  A both[ONE_DIMENSIONAL ? 1 : TAPS * TAPS], across[TAPS], along[TAPS];
  bool outer;

  __device__ void load(const Problem& p) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    if constexpr (!ONE_DIMENSIONAL) {
      for (int i = thread; i < TAPS * TAPS; i += threads) both[i] = tap_of_both<A>(p, i / TAPS, i % TAPS);
      __syncthreads();
    }
    for (int i = thread; i < TAPS; i += threads) {
      across[i] = ONE_DIMENSIONAL || p.separable ? tap_across<A>(p, i) : both[i];
      along[i] = ONE_DIMENSIONAL || p.separable ? tap_along<A>(p, i) : both[i * TAPS] / both[0];
    }
    if (thread == 0) {
      outer = true;
      if constexpr (!ONE_DIMENSIONAL)  // binomial filters are outer products to the last bit
        for (int i = 0; i < TAPS * TAPS && !p.separable; ++i)
          outer = outer && both[0] != A(0) && both[i] * both[0] == both[i / TAPS * TAPS] * both[i % TAPS];
    }
    __syncthreads();
  }
};

template <typename T, int UP, int DOWN, int TAPS, bool OUTER, int OUT, int SIZE, bool ONE, typename Rows,
          typename Write>
__device__ __forceinline__ void march(const Filter<Computed<T>, TAPS, ONE>& filter, int outputs, Rows& rows,
                                      Write&& write) {
  using A = Computed<T>;
  using M = March<UP, DOWN, TAPS>;
  constexpr int kIn = extent(OUT, UP, DOWN, TAPS), kShift = M::kRing * DOWN * TAPS;
  A f[OUTER ? 2 * TAPS : TAPS * TAPS];
#pragma unroll
  for (int i = 0; i < (OUTER ? 2 * TAPS : TAPS * TAPS); ++i)
    f[i] = !OUTER ? filter.both[ONE ? 0 : i] : i < TAPS ? filter.across[i] : filter.along[i - TAPS];
  A sums[M::kRing][OUT][SIZE] = {};
  const int last = extent(outputs, UP, DOWN, TAPS);
  auto ahead = rows.next(last > 0);
  for (int base = 0; base < last; base += M::kPeriod) {
#pragma unroll
    for (int i = 0; i < M::kPeriod; ++i) {
      const int r = base + i;
      if (r >= last) return;
      A w[kIn][SIZE], across[OUT][SIZE] = {};
      rows.window(ahead, w);
      ahead = rows.next(r + 1 < last);
      const auto add_across = [&](A(&sum)[OUT][SIZE], const A* taps) {
#pragma unroll
        for (int c = 0; c < kIn; ++c)
#pragma unroll
          for (int o = 0; o < OUT; ++o)
            if (const int b = c * UP - o * DOWN; b >= 0 && b < TAPS)
#pragma unroll
              for (int k = 0; k < SIZE; ++k) sum[o][k] += taps[b] * w[c][k];
      };
      if constexpr (OUTER) add_across(across, f);
#pragma unroll
      for (int a = 0; a < TAPS; ++a) {
        if ((i * UP - a + kShift) % DOWN != 0) continue;
        A(&sum)[OUT][SIZE] = sums[(i * UP - a + kShift) / DOWN % M::kRing];
        if constexpr (OUTER) {
#pragma unroll
          for (int o = 0; o < OUT; ++o)
#pragma unroll
            for (int k = 0; k < SIZE; ++k)
              sum[o][k] = a < UP ? f[TAPS + a] * across[o][k] : sum[o][k] + f[TAPS + a] * across[o][k];
        } else {
          if (a < UP) {
#pragma unroll
            for (int o = 0; o < OUT; ++o)
#pragma unroll
              for (int k = 0; k < SIZE; ++k) sum[o][k] = A(0);
          }
          add_across(sum, f + a * TAPS);
        }
        if (a >= TAPS - UP) write((r * UP - a) / DOWN, sum);  // negative in the first rows: of the strip before
      }
    }
  }
}

// Where a thread's strip lies, and how many outputs of it are inside.
__device__ __forceinline__ int outputs_of(const Problem& p, int oy) {
  const int left = p.along.out - oy;
  return left < p.tile_h ? left : p.tile_h;
}

// ------------------------------------------------------------------------------------------------------------ planes

// Rows of one plane: whole vectors, of which the window begins at element `lead` of the first; or single elements.
template <typename T, int IN, int SIZE>
struct PlaneRows {
  using V = Packed<T, SIZE>;
  static constexpr int kVectors = (IN + 2 * SIZE - 2) / SIZE;
  struct Row {
    V v[kVectors];
  };
  const T* x;  // at the next row's first element
  int iy, in_h, ix, in_w, lead;
  bool vectors;

  __device__ PlaneRows(const Problem& p, const T* plane, int iy, int ix)
      : iy(iy), in_h(p.along.in), in_w(p.across.in), lead(p.vectors_in ? ix & (SIZE - 1) : 0), vectors(p.vectors_in) {
    this->ix = ix - lead;
    x = plane + int64_t(iy) * in_w + this->ix;
  }

  __device__ __forceinline__ V vector(int i, bool wanted) const {
    const int at = ix + i * SIZE;
    if (vectors) return load_if<T, SIZE>(wanted && i * SIZE < lead + IN && at >= 0 && at < in_w, x, i * SIZE);
    typename V::Word w[V::kWords] = {};
#pragma unroll
    for (int j = 0; j < SIZE; ++j)
      if (i * SIZE + j < IN && wanted && at + j >= 0 && at + j < in_w) {
        if constexpr (V::kPairs) {
          uint16_t bits;
          memcpy(&bits, x + i * SIZE + j, sizeof bits);
          w[j / 2] |= uint32_t(bits) << j % 2 * 16;
        } else {
          w[j] = x[i * SIZE + j];
        }
      }
    V v;
#pragma unroll
    for (int j = 0; j < V::kWords; ++j) v.w[j] = w[j];
    return v;
  }

  __device__ __forceinline__ Row next(bool wanted) {
    Row row;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) row.v[i] = vector(i, wanted && iy >= 0 && iy < in_h);
    ++iy;
    x += in_w;
    return row;
  }

  __device__ __forceinline__ void window(const Row& row, Computed<T> (&w)[IN][1]) const {
    constexpr int kElements = kVectors * SIZE;
    Computed<T> a[kElements];
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      Computed<T> wide[SIZE];
      widen(row.v[i], wide);
#pragma unroll
      for (int j = 0; j < SIZE; ++j) a[i * SIZE + j] = wide[j];
    }
#pragma unroll
    for (int stage = 0; stage < (SIZE == 8 ? 3 : 2); ++stage) {  // the first element to the front, by binary digits
      const int bit = SIZE >> (stage + 1);
#pragma unroll
      for (int i = 0; i < kElements; ++i)
        if (i + bit < kElements) a[i] = lead & bit ? a[i + bit] : a[i];
    }
#pragma unroll
    for (int i = 0; i < IN; ++i) w[i][0] = a[i];
  }
};

// Outputs of a thread: a vector of them, fewer under long filters, whose windows are long as well.
template <typename T>
constexpr int plane_outputs(int taps) {
  return taps > 4 ? 4 : kVectorBytes / int(sizeof(T));
}

// A block makes a strip of blockDim.y planes.
template <typename T, int UP, int DOWN, int TAPS, bool ONE_DIMENSIONAL>
__global__ void __launch_bounds__(kMarchThreads) upfirdn2d_planes_kernel(const Problem p) {
  using A = Computed<T>;
  constexpr int OUT = plane_outputs<T>(TAPS), SIZE = kVectorBytes / sizeof(T);
  __shared__ Filter<A, TAPS, ONE_DIMENSIONAL> filter;
  filter.load(p);
  const Place at(p);
  const int64_t image = at.image + threadIdx.y;
  const int ox = at.ox + static_cast<int>(threadIdx.x) * OUT, oy0 = at.oy;
  if (image >= p.images || ox >= p.across.out) return;
  const int ix = floor_div(ox * DOWN - p.across.pad, UP), iy = floor_div(oy0 * DOWN - p.along.pad, UP);
  PlaneRows<T, extent(OUT, UP, DOWN, TAPS), SIZE> rows(p, static_cast<const T*>(p.x) + image * p.along.in * p.across.in,
                                                       iy, ix);
  T* __restrict__ y = static_cast<T*>(p.y) + (image * p.along.out + oy0) * p.across.out + ox;
  const int outputs = outputs_of(p, oy0);
  const auto write = [&](int j, const A(&sum)[OUT][1]) {
    if (j < 0 || j >= outputs || oy0 + j < 0) return;
    T* to = y + int64_t(j) * p.across.out;
    Vec<T, OUT> v;
#pragma unroll
    for (int o = 0; o < OUT; ++o) v.v[o] = stored<T>(sum[o][0]);
    if (p.vectors_out) {
      *reinterpret_cast<Vec<T, OUT>*>(to) = v;
    } else {
#pragma unroll
      for (int o = 0; o < OUT; ++o)
        if (ox + o >= 0 && ox + o < p.across.out) to[o] = v.v[o];
    }
  };
  if (ONE_DIMENSIONAL || filter.outer)
    march<T, UP, DOWN, TAPS, true, OUT, 1>(filter, outputs, rows, write);
  else if constexpr (!ONE_DIMENSIONAL)
    march<T, UP, DOWN, TAPS, false, OUT, 1>(filter, outputs, rows, write);
}

// ------------------------------------------------------------------------------------------------------------ pixels

// Rows of 16 bytes of channels.
template <typename T, int IN>
struct PixelRows {
  static constexpr int SIZE = kVectorBytes / sizeof(T);
  using V = Vec<T, SIZE>;
  struct Row {
    V v[IN];
  };
  const V* x;  // at the next row's first pixel
  int iy, in_h, pixel;
  int64_t stride;
  unsigned inside;  // a bit for each column

  __device__ PixelRows(const Problem& p, const V* image, int iy, int ix)
      : iy(iy), in_h(p.along.in), pixel(p.pixel), stride(int64_t(p.across.in) * p.pixel), inside(0) {
    x = image + iy * stride + int64_t(ix) * pixel;
#pragma unroll
    for (int c = 0; c < IN; ++c) inside |= unsigned(ix + c >= 0 && ix + c < p.across.in) << c;
  }

  __device__ __forceinline__ Row next(bool wanted) {
    Row row = {};
    if (wanted && iy >= 0 && iy < in_h) {
#pragma unroll
      for (int c = 0; c < IN; ++c)
        if (inside >> c & 1) row.v[c] = x[c * pixel];
    }
    ++iy;
    x += stride;
    return row;
  }

  __device__ __forceinline__ void window(const Row& row, Computed<T> (&w)[IN][SIZE]) const {
#pragma unroll
    for (int c = 0; c < IN; ++c)
#pragma unroll
      for (int k = 0; k < SIZE; ++k) w[c][k] = computed(row.v[c].v[k]);
  }
};

constexpr int kPixelOut = 2;

// A block makes a strip of blockDim.y pairs of columns, blockDim.x vectors deep.
template <typename T, int UP, int DOWN, int TAPS>
__global__ void __launch_bounds__(kMarchThreads, 3) upfirdn2d_pixels_kernel(const Problem p) {
  using A = Computed<T>;
  constexpr int OUT = kPixelOut, SIZE = kVectorBytes / sizeof(T);
  using V = Vec<T, SIZE>;
  __shared__ Filter<A, TAPS, false> filter;
  filter.load(p);
  const Place at(p);
  const unsigned deep = static_cast<unsigned>(at.image);
  const int64_t image = deep / p.tiles_deep;
  const int k = static_cast<int>(deep % p.tiles_deep * blockDim.x + threadIdx.x);
  const int ox = at.ox + static_cast<int>(threadIdx.y) * OUT, oy0 = at.oy;
  if (k >= p.pixel || ox >= p.across.out) return;
  const int ix = floor_div(ox * DOWN - p.across.pad, UP), iy = floor_div(oy0 * DOWN - p.along.pad, UP);
  PixelRows<T, extent(OUT, UP, DOWN, TAPS)> rows(
      p, static_cast<const V*>(p.x) + image * p.along.in * p.across.in * p.pixel + k, iy, ix);
  V* __restrict__ y = static_cast<V*>(p.y) + ((image * p.along.out + oy0) * p.across.out + ox) * p.pixel + k;
  const int64_t stride = int64_t(p.across.out) * p.pixel;
  const int outputs = outputs_of(p, oy0);
  const auto write = [&](int j, const A(&sum)[OUT][SIZE]) {
    if (j < 0 || j >= outputs || oy0 + j < 0) return;
#pragma unroll
    for (int o = 0; o < OUT; ++o)
      if (ox + o >= 0 && ox + o < p.across.out) y[j * stride + int64_t(o) * p.pixel] = rounded<T>(sum[o]);
  };
  if (filter.outer)
    march<T, UP, DOWN, TAPS, true, OUT, SIZE>(filter, outputs, rows, write);
  else
    march<T, UP, DOWN, TAPS, false, OUT, SIZE>(filter, outputs, rows, write);
}

// ----------------------------------------------------------------------------------------------- separable and direct

constexpr int kGenericThreads = 256;
constexpr int kStagedTaps = 512;

// The inputs that meet an output: from q on, `count` of them, the first with tap `first`, each next one `up` further.
struct Reach {
  int q, first, count;
  __device__ Reach(const Axis& axis, int i) {
    const int position = i * axis.down - axis.pad, next = ceil_div(position, axis.up);
    const int phase = next * axis.up - position;
    const int begin = next < 0 ? -next : 0, of_filter = ceil_div(axis.taps - phase, axis.up);
    const int end = of_filter < axis.in - next ? of_filter : axis.in - next;
    q = next + begin;
    first = phase + begin * axis.up;
    count = end > begin ? end - begin : 0;
  }
};

template <int SIZE, typename T, typename A>
__device__ void add(A (&sum)[SIZE], A tap, const Vec<T, SIZE>& v) {
#pragma unroll
  for (int i = 0; i < SIZE; ++i) sum[i] += tap * computed(v.v[i]);
}

// A column is a vector of a pixel. rows[r][column] is input row q0 + r filtered across.
template <typename T, int SIZE>
__global__ void __launch_bounds__(kGenericThreads, 4) upfirdn2d_separable_kernel(const Problem p) {
  using A = Computed<T>;
  using V = Vec<T, SIZE>;
  using W = Vec<A, SIZE>;
  __shared__ W rows[kSharedBytes / sizeof(W)];
  __shared__ A taps[kStagedTaps];
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, size = p.across.taps;
  for (int i = thread; i < size; i += kGenericThreads) taps[i] = tap_along<A>(p, i);
  const Place at(p);
  const int columns = p.across.out * p.pixel, column = at.ox + static_cast<int>(threadIdx.x);
  const Reach across(p.across, column / p.pixel);
  const int q0 = ceil_div(at.oy * p.along.down - p.along.pad, p.along.up);
  const int height = extent(p.tile_h, p.along.up, p.along.down, size) + 1;
  const V* __restrict__ x = static_cast<const V*>(p.x) + at.image * p.along.in * p.across.in * p.pixel
                            + int64_t(across.q) * p.pixel + column % p.pixel;
  const A gain = A(p.gain);
  __syncthreads();

  for (int r = threadIdx.y; r < height; r += blockDim.y) {
    const int iy = q0 + r;
    A sum[SIZE] = {};
    if (column < columns && iy >= 0 && iy < p.along.in) {
      const V* from = x + int64_t(iy) * p.across.in * p.pixel;
      for (int i = 0; i < across.count; ++i, from += p.pixel)
        add(sum, taps[across.first + i * p.across.up] * gain, *from);
    }
    rows[r * p.tile_w + threadIdx.x] = rounded<A>(sum);
  }
  __syncthreads();

  V* y = static_cast<V*>(p.y) + at.image * p.along.out * columns + column;
  for (int o = threadIdx.y; o < p.tile_h; o += blockDim.y) {
    const int oy = at.oy + o;
    if (column >= columns || oy >= p.along.out) continue;
    const Reach along(p.along, oy);
    A sum[SIZE] = {};
    const W* from = rows + (along.q - q0) * p.tile_w + threadIdx.x;
    for (int i = 0; i < along.count; ++i) add(sum, taps[along.first + i * p.along.up], from[i * p.tile_w]);
    y[int64_t(oy) * columns] = rounded<T>(sum);
  }
}

template <typename T, int SIZE>
__global__ void __launch_bounds__(kGenericThreads, 4) upfirdn2d_kernel(const Problem p) {
  using A = Computed<T>;
  using V = Vec<T, SIZE>;
  __shared__ A staged[kStagedTaps];
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  const int64_t size = int64_t(p.along.taps) * p.across.taps;
  if (size <= kStagedTaps)
    for (int i = thread; i < size; i += kGenericThreads)
      staged[i] = tap_of_both<A>(p, i / p.across.taps, i % p.across.taps);
  __syncthreads();

  const Place at(p);
  const int columns = p.across.out * p.pixel;
  const int column = at.ox + static_cast<int>(threadIdx.x), oy = at.oy + static_cast<int>(threadIdx.y);
  if (column >= columns || oy >= p.along.out) return;
  const Reach across(p.across, column / p.pixel), along(p.along, oy);
  const V* __restrict__ x = static_cast<const V*>(p.x) + at.image * p.along.in * p.across.in * p.pixel
                            + (int64_t(along.q) * p.across.in + across.q) * p.pixel + column % p.pixel;
  A sum[SIZE] = {};
  for (int i = 0; i < along.count; ++i, x += int64_t(p.across.in) * p.pixel) {
    const int a = along.first + i * p.along.up;
    const V* from = x;
    for (int j = 0; j < across.count; ++j, from += p.pixel) {
      const int b = across.first + j * p.across.up;
      add(sum, size <= kStagedTaps ? staged[a * p.across.taps + b] : tap_of_both<A>(p, a, b), *from);
    }
  }
  static_cast<V*>(p.y)[(at.image * p.along.out + oy) * columns + column] = rounded<T>(sum);
}

// -------------------------------------------------------------------------------------------------------------- host

enum class Variant { planes, pixels, separable, direct };

struct Call {
  Problem problem;
  DType dtype;
  int size;        // elements in 16 bytes
  bool in_planes;  // not channels_last
  bool aligned;    // x and y begin on 16 bytes
};

Axis axis_of(int64_t in, int64_t out, int64_t up, int64_t down, int64_t pad, int64_t taps, int64_t pixel) {
  const int64_t last = std::max({in * up, out * down}) + std::abs(pad) + taps;
  if (std::max({last, in * pixel, out * pixel}) > INT32_MAX / 2)
    throw std::invalid_argument("upfirdn2d: x: got an axis of more than a thousand million samples");
  const auto narrow = [](int64_t v) { return static_cast<int>(v); };
  return {narrow(in), narrow(out), narrow(up), narrow(down), narrow(pad), narrow(taps)};
}

Call call_of(const TensorView& x, const TensorView& f, const Ints& up, const Ints& down, const Ints& padding,
             bool flip_filter, double gain, const TensorView& y) {
  Call call{};
  Problem& p = call.problem;
  const int64_t channels = x.sizes[1];
  const bool channels_last = channels > 1 && (x.sizes[2] * x.sizes[3] > 1 ? x.strides[1] : y.strides[1]) == 1;
  call.in_planes = !channels_last;
  call.dtype = x.dtype;
  call.size = x.dtype == DType::f64 ? 2 : x.dtype == DType::f32 ? 4 : 8;
  call.aligned = aligned(x) && aligned(y);
  p.x = x.data;
  p.f = f.data;
  p.y = y.data;
  p.pixel = channels_last ? static_cast<int>(channels) : 1;
  p.across = axis_of(x.sizes[3], y.sizes[3], up[0], down[0], padding[0], f.sizes[f.ndim - 1], p.pixel);
  p.along = axis_of(x.sizes[2], y.sizes[2], up[1], down[1], padding[2], f.sizes[0], 1);
  p.images = channels_last ? x.sizes[0] : x.sizes[0] * channels;
  p.gain = gain;
  p.f_dtype = f.dtype;
  p.separable = f.ndim == 1;
  p.flip = flip_filter;
  p.planes = 1;
  return call;
}

bool whole_pixels(const Call& call) { return !call.in_planes && call.aligned && call.problem.pixel % call.size == 0; }

int power_of_two_from(int n) {
  int p = 1;
  while (p < n) p *= 2;
  return p;
}

// The tile of the separable kernel; false where not even the smallest one fits into shared memory.
bool tile_separable(const Call& call, Problem& p) {
  const int64_t size = whole_pixels(call) ? call.size : 1, bytes = size * (call.dtype == DType::f64 ? 8 : 4);
  p.tile_w = kWarp;
  p.tile_h = std::min(power_of_two_from(p.along.out), 32);
  const auto fits = [&] {
    const int64_t height = extent(p.tile_h, p.along.up, p.along.down, p.along.taps) + 1;
    return height * p.tile_w * bytes <= kSharedBytes;
  };
  while (!fits() && p.tile_h > 8) p.tile_h /= 2;
  while (!fits() && p.tile_w > 4) p.tile_w /= 2;
  return p.along.taps <= kStagedTaps && fits();
}

struct Choice {
  Variant variant;
  const char* why;
};

Choice choose(const Call& call) {
  const Axis &x = call.problem.across, &y = call.problem.along;
  const bool separable = call.problem.separable;
  const bool common_factors = x.up == y.up && x.down == y.down && x.up * x.down <= 2;
  const bool three = x.taps == 3 && y.taps == 3, four = x.taps == 4 && y.taps == 4;
  const bool twelve = separable && x.taps == 12 && call.dtype == DType::f32 && x.up * x.down == 2;
  Problem tiled = call.problem;
  const Variant generic = separable && x.taps > 2 && tile_separable(call, tiled) ? Variant::separable : Variant::direct;
  if (call.dtype == DType::f64) return {generic, "float64"};
  if (!common_factors) return {generic, "up and down are not 1 and 1, 2 and 1, or 1 and 2 on both axes"};
  if (call.in_planes) {
    if (four || twelve) return {Variant::planes, "NCHW with 4x4 taps, or in float32 12 separable ones"};
    return {generic, "the filter has neither 4x4 taps nor, in float32 to resample, 12 separable ones"};
  }
  if (!three && !four) return {generic, "channels_last with a filter other than 3x3 and 4x4"};
  if (!whole_pixels(call)) return {generic, "the channels are not whole vectors of 16 bytes"};
  return {Variant::pixels, "channels_last with 3x3 or 4x4 taps"};
}

constexpr const char* kName = "upfirdn2d";

void count_tiles(Problem& p, int columns) {
  p.tiles_across = static_cast<unsigned>(ceil_div(columns + p.skip_x, p.tile_w));
  p.tiles_along = static_cast<unsigned>(ceil_div(p.along.out + p.skip_y, p.tile_h));
}

template <typename Kernel>
void launch_tiles(Kernel kernel, const Problem& p, int64_t deep, dim3 block, void* stream) {
  const int64_t blocks = int64_t(p.tiles_across) * p.tiles_along * deep;
  if (blocks > INT32_MAX) throw std::invalid_argument("upfirdn2d: more tiles than a grid has blocks");
  launch(kName, kernel, dim3(static_cast<unsigned>(blocks)), block, stream, p);
}

constexpr int kLongStrip = 32, kShortStrip = 8, kManyBlocks = 2048;

// So many outputs before y lies one that begins on an input.
int skip_of(const Axis& axis) { return axis.pad - floor_div(axis.pad, axis.up) * axis.up; }

// Rows of a strip: long ones read less twice, short ones fill a large GPU.
int strip_of(const Problem& p, int64_t of_a_row) {
  int rows = std::max(2, std::min(power_of_two_from(p.along.out + p.skip_y), kLongStrip));
  while (rows > kShortStrip && of_a_row * ceil_div(p.along.out + p.skip_y, rows) < kManyBlocks) rows /= 2;
  return rows;
}

template <typename T, int UP, int DOWN, int TAPS, bool ONE_DIMENSIONAL>
void run_planes(Call call, void* stream) {
  constexpr int OUT = plane_outputs<T>(TAPS);
  Problem& p = call.problem;
  p.skip_x = skip_of(p.across);
  p.skip_y = skip_of(p.along);
  p.vectors_in = call.aligned && p.across.in % call.size == 0;
  p.vectors_out = call.aligned && p.across.out % OUT == 0 && p.skip_x == 0;
  const int columns = ceil_div(p.across.out + p.skip_x, OUT);
  const dim3 block(std::min(power_of_two_from(columns), kMarchThreads));
  p.planes = kMarchThreads / block.x;
  const int64_t deep = (p.images + p.planes - 1) / p.planes;
  p.tile_w = block.x * OUT;
  p.tile_h = strip_of(p, deep * ceil_div(columns, block.x));
  count_tiles(p, p.across.out);
  const auto kernel = upfirdn2d_planes_kernel<T, UP, DOWN, TAPS, ONE_DIMENSIONAL>;
  launch_tiles(kernel, p, deep, dim3(block.x, p.planes), stream);
}

template <typename T, int UP, int DOWN, int TAPS>
void run_pixels(Call call, void* stream) {
  Problem& p = call.problem;
  p.pixel /= call.size;
  p.skip_x = skip_of(p.across);
  p.skip_y = skip_of(p.along);
  const int columns = ceil_div(p.across.out + p.skip_x, kPixelOut);
  const int wide = std::min(power_of_two_from(columns), kMarchThreads / 8);  // 128 bytes deep or more
  const int deep = std::min(power_of_two_from(p.pixel), kMarchThreads / wide);
  const int across = std::min(power_of_two_from(columns), kMarchThreads / deep);
  p.tile_w = across * kPixelOut;
  p.tiles_deep = static_cast<unsigned>(ceil_div(p.pixel, deep));
  p.tile_h = strip_of(p, p.images * p.tiles_deep * ceil_div(columns, across));
  count_tiles(p, p.across.out);
  const auto kernel = upfirdn2d_pixels_kernel<T, UP, DOWN, TAPS>;
  launch_tiles(kernel, p, p.images * p.tiles_deep, dim3(deep, across), stream);
}

template <typename T, int SIZE>
void run_generic(Call call, bool separable, void* stream) {
  Problem& p = call.problem;
  const int columns = p.across.out * p.pixel / SIZE;
  if (separable) {
    tile_separable(call, p);
  } else {
    p.tile_w = std::min(power_of_two_from(columns), kWarp);
    p.tile_h = kGenericThreads / p.tile_w;
  }
  p.pixel /= SIZE;
  count_tiles(p, columns);
  const dim3 block(p.tile_w, kGenericThreads / p.tile_w);
  const auto kernel = separable ? upfirdn2d_separable_kernel<T, SIZE> : upfirdn2d_kernel<T, SIZE>;
  launch_tiles(kernel, p, p.images, block, stream);
}

// Calls f with up and down as constants.
template <typename F>
void with_factors(const Axis& axis, F&& f) {
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  if (axis.up == 2) return f(Two{}, One{});
  if (axis.down == 2) return f(One{}, Two{});
  f(One{}, One{});
}

void upfirdn2d(TensorView x, TensorView f, Ints up, Ints down, Ints padding, bool flip_filter, double gain,
               TensorView y, void* stream) {
  const Call call = call_of(x, f, up, down, padding, flip_filter, gain, y);
  const Variant variant = choose(call).variant;
  with_dtype(x.dtype, [&](auto type) {
    using T = decltype(type);
    if constexpr (!std::is_same_v<T, double>) {
      const bool planes = variant == Variant::planes, pixels = variant == Variant::pixels;
      if (planes || pixels)
        return with_factors(call.problem.across, [&](auto up, auto down) {
          constexpr int UP = up(), DOWN = down();
          const int taps = call.problem.across.taps;
          if (pixels) return (taps == 3 ? run_pixels<T, UP, DOWN, 3> : run_pixels<T, UP, DOWN, 4>)(call, stream);
          if constexpr (std::is_same_v<T, float> && UP * DOWN == 2)  // as adaptive augmentation resamples images
            if (taps == 12) return run_planes<T, UP, DOWN, 12, true>(call, stream);
          run_planes<T, UP, DOWN, 4, false>(call, stream);
        });
    }
    const auto run = whole_pixels(call) ? run_generic<T, kVectorBytes / sizeof(T)> : run_generic<T, 1>;
    run(call, variant == Variant::separable, stream);
  });
}

// Which kernel takes a call, and why.
const char* upfirdn2d_variant(TensorView x, TensorView f, Ints up, Ints down, Ints padding, bool flip_filter,
                              double gain, TensorView y) {
  constexpr const char* kNames[] = {"planes", "pixels", "separable", "direct"};
  const Choice choice = choose(call_of(x, f, up, down, padding, flip_filter, gain, y));
  thread_local std::string text;
  text = std::string(kNames[static_cast<int>(choice.variant)]) + ": " + choice.why;
  return text.c_str();
}

GAN_FAST_LAUNCHER(upfirdn2d)
GAN_FAST_LAUNCHER(upfirdn2d_variant)

}  // namespace
}  // namespace gan_fast
