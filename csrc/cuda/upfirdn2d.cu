// upfirdn2d, polyphase: inserted zeros are never met.
//
// Coordinates along an axis: output i begins at p = i down - pad on the grid of x with its inserted zeros; tap a lies
// at p + a and meets input q where p + a = up q. Taps are those of a correlation: flipped unless flip_filter says so.
//
// Memory is [images, H, W, pixel] vectors: planes of single elements (NCHW, an image is a channel), or images whose
// pixels are vectors of channels (channels_last). `choose` says which kernel takes a call:
//   planes     common filters on planes: tiles of x in shared memory, a square of outputs a thread
//   pixels     4x4 taps on channels_last: 16 bytes of channels a thread, its window in registers
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

// ------------------------------------------------------------------------------------------------------------ planes

template <typename T, int UP, int DOWN, int TAPS>
struct Planes {
  static constexpr int kThreads = 128;
  static constexpr int kOutX = kVectorBytes / sizeof(T), kOutY = (DOWN == 2 ? 8 : 16) / kOutX;  // outputs a thread
  static constexpr int kTileW = 64, kTileH = kThreads * kOutX * kOutY / kTileW;                 // the largest
  static constexpr int kInY = extent(kOutY, UP, DOWN, TAPS);
  __host__ __device__ static constexpr int height(int tile_h) { return extent(tile_h, UP, DOWN, TAPS); }
  __host__ __device__ static constexpr int width(int tile_w) { return extent(tile_w, UP, DOWN, TAPS); }
  __host__ __device__ static constexpr int pitch(int tile_w) { return (width(tile_w) + 3) / 4 * 4; }
  static constexpr int kTile = height(kTileH) * pitch(kTileW), kRows = height(kTileH) * kTileW;
};

// The window of a thread, from where it is aligned to LANES elements.
template <typename A, int SIZE, int LANES>
struct Window {
  Vec<A, LANES> v[(SIZE + LANES - 1) / LANES];
  __device__ explicit Window(const A* s) {
#pragma unroll
    for (int i = 0; i * LANES < SIZE; ++i) v[i] = reinterpret_cast<const Vec<A, LANES>*>(s)[i];
  }
  __device__ A operator[](int i) const { return v[i / LANES].v[i % LANES]; }
};

// tile[row][column] = x, or zero outside, for all rows of a block's planes. Vectors of x are aligned in memory, columns
// of the tile are not: vectors are taken apart, and lanes whose vectors begin in the same bank begin at another
// element.
template <int SIZE, typename T, typename A>
__device__ void load_tile(const Problem& p, const Place& at, int iy0, int ix0, int height, int width, int pitch,
                          A* tile) {
  const T* __restrict__ x = static_cast<const T*>(p.x);
  const int lead = ix0 & (SIZE - 1), turn = threadIdx.x % kWarp * SIZE / kWarp;
  const int lanes_log2 = 32 - __clz((lead + width - 1) / SIZE);
#pragma unroll 4
  for (int i = threadIdx.x; i < (p.planes * height) << lanes_log2; i += blockDim.x) {
    const int row = i >> lanes_log2, column = (i & ((1 << lanes_log2) - 1)) * SIZE - lead;
    if (column >= width) continue;
    const int plane = row / height, iy = iy0 + row - plane * height, ix = ix0 + column;
    Vec<T, SIZE> v = {};
    if (at.image + plane < p.images && iy >= 0 && iy < p.along.in && ix >= 0 && ix < p.across.in)
      v = *reinterpret_cast<const Vec<T, SIZE>*>(x + ((at.image + plane) * p.along.in + iy) * p.across.in + ix);
    A a[SIZE];
#pragma unroll
    for (int j = 0; j < SIZE; ++j) a[j] = computed(v.v[j]);
#pragma unroll
    for (int bit = 1; bit < SIZE; bit *= 2) {
      A turned[SIZE];
#pragma unroll
      for (int j = 0; j < SIZE; ++j) turned[j] = turn & bit ? a[(j + bit) % SIZE] : a[j];
#pragma unroll
      for (int j = 0; j < SIZE; ++j) a[j] = turned[j];
    }
#pragma unroll
    for (int j = 0; j < SIZE; ++j) {
      const int c = column + (j + turn) % SIZE;
      if (c >= 0 && c < width) tile[row * pitch + c] = a[j];
    }
  }
}

template <typename T, int UP, int DOWN, int TAPS, bool SEPARABLE>
__global__ void __launch_bounds__(128) upfirdn2d_planes_kernel(const Problem p) {
  using A = Computed<T>;
  using S = Planes<T, UP, DOWN, TAPS>;
  constexpr int OX = S::kOutX, OY = S::kOutY;
  __shared__ Vec<A, 4> tile_memory[S::kTile / 4];
  __shared__ Vec<A, 4> rows_memory[SEPARABLE ? S::kRows / 4 : 1];
  __shared__ A taps[SEPARABLE ? 2 * TAPS : TAPS * TAPS];  // across, then along; or both
  A *tile = tile_memory[0].v, *rows = rows_memory[0].v;
  const int thread = threadIdx.x;
  const Place at(p);
  const int iy0 = floor_div(at.oy * DOWN - p.along.pad, UP), ix0 = floor_div(at.ox * DOWN - p.across.pad, UP);
  const int height = S::height(p.tile_h), pitch = S::pitch(p.tile_w);

  for (int i = thread; i < (SEPARABLE ? 2 * TAPS : TAPS * TAPS); i += blockDim.x)
    taps[i] = !SEPARABLE ? tap_of_both<A>(p, i / TAPS, i % TAPS)
              : i < TAPS ? tap_across<A>(p, i)
                         : tap_along<A>(p, i - TAPS);
  if (p.vectors_in)
    load_tile<kVectorBytes / sizeof(T), T>(p, at, iy0, ix0, height, S::width(p.tile_w), pitch, tile);
  else
    load_tile<1, T>(p, at, iy0, ix0, height, S::width(p.tile_w), pitch, tile);
  __syncthreads();

  if constexpr (SEPARABLE) {
    constexpr int kIn = extent(4, UP, DOWN, TAPS);
    const int quads = p.tile_w / 4;
    for (int i = thread; i < p.planes * height * quads; i += blockDim.x) {
      const int row = i / quads, quad = i % quads;
      const Window<A, kIn, 4 / UP> w(tile + row * pitch + quad * (4 * DOWN / UP));
      Vec<A, 4> sum = {};
#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int c = 0; c < kIn; ++c)
          if (const int b = c * UP - j * DOWN; b >= 0 && b < TAPS) sum.v[j] += taps[b] * w[c];
      reinterpret_cast<Vec<A, 4>*>(rows)[i] = sum;
    }
    __syncthreads();
  }

  const int across = p.tile_w / OX, along = p.tile_h / OY;
  const int tx = thread % across, ty = thread / across % along, plane = thread / (across * along);
  if (plane >= p.planes || at.image + plane >= p.images) return;
  const int row0 = plane * height + ty * (OY * DOWN / UP);
  A sum[OY][OX] = {};
#pragma unroll
  for (int r = 0; r < S::kInY; ++r) {
    if constexpr (SEPARABLE) {
      const Window<A, OX, 4> w(rows + (row0 + r) * p.tile_w + tx * OX);
#pragma unroll
      for (int o = 0; o < OY; ++o)
        if (const int a = r * UP - o * DOWN; a >= 0 && a < TAPS)
#pragma unroll
          for (int j = 0; j < OX; ++j) sum[o][j] += taps[TAPS + a] * w[j];
    } else {
      constexpr int kInX = extent(OX, UP, DOWN, TAPS), kLanes = OX * DOWN / UP % 4 == 0 ? 4 : 2;
      const Window<A, kInX, kLanes> w(tile + (row0 + r) * pitch + tx * (OX * DOWN / UP));
#pragma unroll
      for (int o = 0; o < OY; ++o)
        if (const int a = r * UP - o * DOWN; a >= 0 && a < TAPS)
#pragma unroll
          for (int j = 0; j < OX; ++j)
#pragma unroll
            for (int c = 0; c < kInX; ++c)
              if (const int b = c * UP - j * DOWN; b >= 0 && b < TAPS) sum[o][j] += taps[a * TAPS + b] * w[c];
    }
  }
  const int ox = at.ox + tx * OX, oy0 = at.oy + ty * OY;
  T* y = static_cast<T*>(p.y) + ((at.image + plane) * p.along.out + oy0) * p.across.out + ox;
  if (p.vectors_out) {
#pragma unroll
    for (int o = 0; o < OY; ++o)
      if (oy0 + o >= 0 && oy0 + o < p.along.out && ox < p.across.out)
        *reinterpret_cast<Vec<T, OX>*>(y + int64_t(o) * p.across.out) = rounded<T>(sum[o]);
  } else {
#pragma unroll
    for (int o = 0; o < OY; ++o)
#pragma unroll
      for (int j = 0; j < OX; ++j)
        if (oy0 + o >= 0 && oy0 + o < p.along.out && ox + j >= 0 && ox + j < p.across.out)
          y[int64_t(o) * p.across.out + j] = stored<T>(sum[o][j]);
  }
}

// ------------------------------------------------------------------------------------------------------------ pixels

constexpr int kPixelTaps = 4, kPixelX = 2, kPixelY = 2;  // outputs a thread
constexpr int kPixelThreads = 128;

template <typename T, int UP, int DOWN>
__global__ void __launch_bounds__(kPixelThreads, 3) upfirdn2d_pixels_kernel(const Problem p) {
  using A = Computed<T>;
  constexpr int SIZE = kVectorBytes / sizeof(T), TAPS = kPixelTaps, OX = kPixelX, OY = kPixelY;
  constexpr int kInX = extent(OX, UP, DOWN, TAPS), kInY = extent(OY, UP, DOWN, TAPS);
  using V = Vec<T, SIZE>;
  __shared__ A shared_taps[TAPS * TAPS];
  const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  if (thread < TAPS * TAPS) shared_taps[thread] = tap_of_both<A>(p, thread / TAPS, thread % TAPS);
  __syncthreads();

  const Place at(p);
  const unsigned deep = static_cast<unsigned>(at.image);
  const int64_t image = deep / p.tiles_deep;
  const int k = static_cast<int>(deep % p.tiles_deep * blockDim.x + threadIdx.x);
  const int oy0 = at.oy + static_cast<int>(threadIdx.z) * OY, ox0 = at.ox + static_cast<int>(threadIdx.y) * OX;
  if (k >= p.pixel || oy0 >= p.along.out || ox0 >= p.across.out) return;
  const int iy0 = floor_div(oy0 * DOWN - p.along.pad, UP), ix0 = floor_div(ox0 * DOWN - p.across.pad, UP);
  const V* __restrict__ x = static_cast<const V*>(p.x) + image * p.along.in * p.across.in * p.pixel + k;
  A taps[TAPS * TAPS];
#pragma unroll
  for (int i = 0; i < TAPS * TAPS; ++i) taps[i] = shared_taps[i];

  A sum[OY][OX][SIZE] = {};
#pragma unroll
  for (int r = 0; r < kInY; ++r) {
    V w[kInX] = {};
    const int iy = iy0 + r;
    if (iy >= 0 && iy < p.along.in) {
      const V* __restrict__ row = x + (int64_t(iy) * p.across.in + ix0) * p.pixel;
#pragma unroll
      for (int c = 0; c < kInX; ++c)
        if (ix0 + c >= 0 && ix0 + c < p.across.in) w[c] = row[c * p.pixel];
    }
#pragma unroll
    for (int c = 0; c < kInX; ++c)
#pragma unroll
      for (int i = 0; i < SIZE; ++i) {
        const A value = computed(w[c].v[i]);
#pragma unroll
        for (int o = 0; o < OY; ++o)
#pragma unroll
          for (int j = 0; j < OX; ++j) {
            const int a = r * UP - o * DOWN, b = c * UP - j * DOWN;
            if (a >= 0 && a < TAPS && b >= 0 && b < TAPS) sum[o][j][i] += taps[a * TAPS + b] * value;
          }
      }
  }
  V* y = static_cast<V*>(p.y) + image * p.along.out * p.across.out * p.pixel + k;
#pragma unroll
  for (int o = 0; o < OY; ++o)
#pragma unroll
    for (int j = 0; j < OX; ++j) {
      const int oy = oy0 + o, ox = ox0 + j;
      if (oy < 0 || oy >= p.along.out || ox < 0 || ox >= p.across.out) continue;
      y[(int64_t(oy) * p.across.out + ox) * p.pixel] = rounded<T>(sum[o][j]);
    }
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
  const bool four = x.taps == 4 && y.taps == 4, twelve = separable && x.taps == 12;
  Problem tiled = call.problem;
  const Variant generic = separable && x.taps > 2 && tile_separable(call, tiled) ? Variant::separable : Variant::direct;
  if (call.dtype == DType::f64) return {generic, "float64"};
  if (!common_factors) return {generic, "up and down are not 1 and 1, 2 and 1, or 1 and 2 on both axes"};
  if (call.in_planes) {
    if (four || twelve) return {Variant::planes, "NCHW with 4x4 or 12 separable taps"};
    return {generic, "the filter has neither 4x4 nor 12 separable taps"};
  }
  if (!four) return {generic, "channels_last with a filter other than 4x4"};
  if (!whole_pixels(call)) return {generic, "the channels are not whole vectors of 16 bytes"};
  return {Variant::pixels, "channels_last with 4x4 taps"};
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

// So many outputs before y lies one that begins on an input.
int skip_of(const Axis& axis) { return axis.pad - floor_div(axis.pad, axis.up) * axis.up; }

template <typename T, int UP, int DOWN, int TAPS, bool SEPARABLE>
void run_planes(Call call, void* stream) {
  using S = Planes<T, UP, DOWN, TAPS>;
  Problem& p = call.problem;
  p.skip_x = skip_of(p.across);
  p.skip_y = skip_of(p.along);
  p.vectors_in = call.aligned && p.across.in % call.size == 0;
  p.vectors_out = call.aligned && p.across.out % call.size == 0 && p.skip_x == 0;
  constexpr int kOutputs = S::kTileW * S::kTileH;
  p.tile_w = std::min(power_of_two_from(ceil_div(p.across.out + p.skip_x, S::kOutX)) * S::kOutX, S::kTileW);
  p.tile_h = std::min(power_of_two_from(ceil_div(p.along.out + p.skip_y, S::kOutY)) * S::kOutY, kOutputs / p.tile_w);
  const auto planes = [&] {
    const int of_threads = kOutputs / (p.tile_w * p.tile_h);
    const int of_tile = S::kTile / (S::height(p.tile_h) * S::pitch(p.tile_w));
    const int of_rows = S::kRows / (S::height(p.tile_h) * p.tile_w);
    return std::min({of_threads, of_tile, of_rows});
  };
  while (planes() < 1) p.tile_h /= 2;  // a narrow tile can be too high
  p.planes = planes();
  count_tiles(p, p.across.out);
  const int64_t deep = (p.images + p.planes - 1) / p.planes;
  launch_tiles(upfirdn2d_planes_kernel<T, UP, DOWN, TAPS, SEPARABLE>, p, deep, S::kThreads, stream);
}

template <typename T, int UP, int DOWN>
void run_pixels(Call call, void* stream) {
  Problem& p = call.problem;
  p.pixel /= call.size;
  p.skip_x = skip_of(p.across);
  p.skip_y = skip_of(p.along);
  const int wide = std::min(power_of_two_from(ceil_div(p.across.out + p.skip_x, kPixelX)), 8);
  const int rows = std::min(power_of_two_from(ceil_div(p.along.out + p.skip_y, kPixelY)), 4);
  const int deep = std::min(power_of_two_from(p.pixel), kPixelThreads / (wide * rows));  // 64 bytes or more
  const int high = std::min(kPixelThreads / (wide * deep), 64);                          // as many as a block may have
  const dim3 block(deep, wide, high);
  p.tile_w = wide * kPixelX;
  p.tile_h = high * kPixelY;
  p.tiles_deep = static_cast<unsigned>(ceil_div(p.pixel, deep));
  count_tiles(p, p.across.out);
  launch_tiles(upfirdn2d_pixels_kernel<T, UP, DOWN>, p, p.images * p.tiles_deep, block, stream);
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
      const bool common = variant == Variant::planes || variant == Variant::pixels;
      if (common)
        return with_factors(call.problem.across, [&](auto u, auto d) {
          if (variant == Variant::pixels) return run_pixels<T, u(), d()>(call, stream);
          if (call.problem.across.taps == 4) return run_planes<T, u(), d(), 4, false>(call, stream);
          run_planes<T, u(), d(), 12, true>(call, stream);
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
