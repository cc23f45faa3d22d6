// filtered_lrelu and its linear form, one kernel a call: the upsampled samples live on the chip only.
//
// Coordinates along an axis, with taps as those of a correlation:
//   grid    k: u[k] = sum over a of fu[a] z[k + a - x0], where z[i up] = x[i], else 0
//   input   i meets k through tap a = i up + x0 - k
//   unit    the `up` samples that meet the same inputs; q of unit i is k = x0 + (i - 1) up + 1 + q, whose taps of
//   inputs
//           i, i + 1, ... are up - 1 - q, 2 up - 1 - q, ...
//   output  j: y[j] = sum over a of fd[a] v[j down + a]
// Columns of the grid are made four at a time: the signs of four are a byte.
//
// strips  the layers of StyleGAN3 and their adjoints. A block walks down a strip of a few planes, kChunk rows of the
//         grid at a time; a thread has four columns of the grid. Between walkers and their neighbours lies shared
//         memory:
//                                            1-D filter                    2-D filter
//           x + b                            input [rows_in, in_pitch]     input, of two chunks
//           upsampled across                 rows  [rows_in, pitch]
//           upsampled along, activated       registers                     registers, of the input
//           downsampled along                columns [rows_out, pitch]     grid, of two chunks
//           downsampled across               y                             y, of the grid
//         Along the strip what filters have yet to meet stays in registers: the last rows when upsampling, the sums of
//         outputs that are not complete when downsampling.
// tiles   everything else: a block makes a tile of outputs of one plane, which begins at sample `tile down` of the
// grid;
//         what is before `r`, the phase of that sample, is a multiple of up. Stages, with a barrier after each:
//                                            of 1-D filters                of 2-D filters
//           x + b                            input    [in_h, in_w]         input
//           upsampled across                 rows     [in_h, grid_w]
//           upsampled along, activated       grid     [grid_h, grid_w]     grid, of the input
//           downsampled along                columns  [tile_h, grid_w]
//           downsampled across               y                             y, of the grid

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

#include "../launcher.h"
#include "../math.h"
#include "launch.h"
#include "vector.h"

namespace gan_fast {
namespace {

constexpr int kThreads = 256;
constexpr int kSharedBytes = 47 * 1024;  // a block has 48 KiB with no special request
constexpr int kQuad = 4;

struct Strides {
  int64_t n, c, h, w;
};

// clamp is NaN where there is none, which no comparison reaches; `below` is the gain where u is not positive.
template <typename A>
struct Activation {
  A gain, below, clamp;
};

// How strips lie, and the shared memory of a plane, in elements; the same for all blocks.
struct Strips {
  int planes, quads;  // of a block
  int in_pitch, pitch, rows, last, plane;
  // The grid's first sample is `lead` after the first of its unit, across; `head` along, which is `skipped` outputs and
  // `skew` samples. An output is complete `late` rows of outputs after the youngest begins.
  int lead, head, skipped, skew, late;
  Activation<float> act;
};

struct Problem {
  const void *x, *b, *fu, *fd;
  void* y;
  uint8_t* signs;
  Strides x_strides, y_strides, sign_strides;
  int channels, in_h, in_w, out_h, out_w, sign_h, sign_bytes;
  int up, down, fu_h, fu_w, fd_h, fd_w;
  DType fu_dtype, fd_dtype;
  int x0, y0, sign_x, sign_y;
  double up_gain, gain, slope, clamp;  // up_gain along each axis
  bool flip, separable_up, separable_down;
  bool read_signs, write_signs;
  int tile_h, tile_w, tiles_across, tiles_along;
  Strips strips;
  bool vectors_out;  // four neighbours of a row of y are aligned
  int64_t planes;
  bool channels_last;
};

// Sizes of the stages, in elements.
struct Layout {
  int grid_h, grid_w, in_h, in_w;
  int up_taps, down_taps;  // kept of the filters
  int first, second;       // two regions, which the stages take in turn

  __host__ __device__ constexpr Layout(int tile_h, int tile_w, int up, int down, int fu_h, int fu_w, int fd_h, int fd_w,
                                       bool separable_up, bool separable_down)
      : grid_h((tile_h - 1) * down + fd_h),
        grid_w(((tile_w - 1) * down + fd_w + kQuad - 1) / kQuad * kQuad),
        in_h((grid_h + fu_h - 2) / up + 2),
        in_w((grid_w + fu_w - 2) / up + 2),
        up_taps(separable_up ? fu_w : fu_h * fu_w),
        down_taps(separable_down ? fd_w : fd_h * fd_w),
        first(larger(grid_h * grid_w, separable_up ? in_h * in_w : 0)),
        second(larger(separable_up ? in_h * grid_w : in_h * in_w, separable_down ? tile_h * grid_w : 0)) {
    first = (first + kQuad - 1) / kQuad * kQuad;
    second = (second + kQuad - 1) / kQuad * kQuad;
  }
  __host__ __device__ static constexpr int larger(int a, int b) { return a > b ? a : b; }
  __host__ __device__ constexpr int total() const { return first + second + up_taps + down_taps; }
};

// What the compiler knows of a call. The general kernel knows nothing: all sizes are 0, and read from the problem.
template <int UP_, int DOWN_, int FU_, int FD_, bool SEPARABLE_UP_, bool SEPARABLE_DOWN_, int TILE_H_, int TILE_W_>
struct Known {
  static constexpr int UP = UP_, DOWN = DOWN_, FU = FU_, FD = FD_, TILE_H = TILE_H_, TILE_W = TILE_W_;
  static constexpr bool SEPARABLE_UP = SEPARABLE_UP_, SEPARABLE_DOWN = SEPARABLE_DOWN_;
};
template <typename K>
bool is(const Problem& p) {
  return p.up == K::UP && p.down == K::DOWN && p.fu_h == K::FU && p.fu_w == K::FU && p.fd_h == K::FD && p.fd_w == K::FD
         && p.separable_up == K::SEPARABLE_UP && p.separable_down == K::SEPARABLE_DOWN;
}
using General = Known<0, 0, 0, 0, true, true, 0, 0>;

template <typename A>
__device__ A tap(const void* f, DType dtype, int i) {
  switch (dtype) {
    case DType::f64:
      return static_cast<A>(static_cast<const double*>(f)[i]);
    case DType::f16:
      return computed(static_cast<const __half*>(f)[i]);
    case DType::bf16:
      return computed(static_cast<const __nv_bfloat16*>(f)[i]);
    default:
      return static_cast<const float*>(f)[i];
  }
}

// The input that sample t of the grid meets first, and through which tap; t counts from an input on, t >= 0.
struct Meeting {
  int input, tap;
};
__device__ __forceinline__ Meeting meeting(int t, int up) {
  const int input = (t + up - 1) / up;
  return {input, input * up - t};
}

// A tile's origin along an axis: on the grid, and its first input; `phase` is how far the grid's is behind one.
struct Origin {
  int grid, phase, input;
};
__device__ __forceinline__ Origin origin(int grid, int up, int start) {
  const int at = grid - start;
  const int below = (at >= 0 ? at : at - up + 1) / up;
  const int phase = at - below * up;
  return {grid, phase, below + (phase > 0)};
}

// f(tap, n) for the taps with which a sample of the grid meets its n-th input.
template <typename K, typename F>
__device__ __forceinline__ void for_taps(int first, int taps, int up, F&& f) {
  if constexpr (K::UP == 0) {
    for (int n = 0; first < taps; first += up, ++n) f(first, n);
  } else {
#pragma unroll
    for (int n = 0; n < K::FU / K::UP; ++n) f(first + n * K::UP, n);
  }
}

// v of a pre-activation; its code, times `one`, is added to codes. NaN passes every comparison, so that it is not
// clamped.
template <typename A>
__device__ __forceinline__ A activated(A u, const Activation<A>& act, unsigned one, unsigned& codes) {
  const bool positive = u > A(0);
  const A v = u * (positive ? act.gain : act.below);
  const bool over = fabs(v) >= act.clamp;
  const unsigned unclamped = positive ? 0 : one;
  codes += over ? 2 * one : unclamped;
  return over ? copysign(act.clamp, v) : v;
}

// v of a pre-activation whose code is known: 3 is that of samples without signs.
template <typename A>
__device__ __forceinline__ A activated_as(unsigned code, A u, const Activation<A>& act) {
  const A factor = code & 1 ? act.below : act.gain;
  return u * (code & 2 ? A(0) : factor);
}

template <typename T, typename K>
__global__ void __launch_bounds__(kThreads) filtered_lrelu_tile_kernel(const Problem p) {
  using A = Computed<T>;
  using Quad = Vec<A, kQuad>;
  constexpr bool GENERAL = K::UP == 0;
  constexpr Layout known(K::TILE_H, K::TILE_W, GENERAL ? 1 : K::UP, K::DOWN, K::FU, K::FU, K::FD, K::FD,
                         K::SEPARABLE_UP, K::SEPARABLE_DOWN);
  constexpr int kElements = GENERAL ? kSharedBytes / int(sizeof(A)) : known.total();
  __shared__ Quad shared[(kElements + kQuad - 1) / kQuad];

  const int up = GENERAL ? p.up : K::UP, down = GENERAL ? p.down : K::DOWN;
  const int fu_h = GENERAL ? p.fu_h : K::FU, fu_w = GENERAL ? p.fu_w : K::FU;
  const int fd_h = GENERAL ? p.fd_h : K::FD, fd_w = GENERAL ? p.fd_w : K::FD;
  const int tile_h = GENERAL ? p.tile_h : K::TILE_H, tile_w = GENERAL ? p.tile_w : K::TILE_W;
  const bool separable_up = GENERAL ? p.separable_up : K::SEPARABLE_UP;
  const bool separable_down = GENERAL ? p.separable_down : K::SEPARABLE_DOWN;
  const Layout size(tile_h, tile_w, up, down, fu_h, fu_w, fd_h, fd_w, separable_up, separable_down);
  const int quads = size.grid_w / kQuad;

  A *first = reinterpret_cast<A*>(shared), *second = first + size.first, *fu = second + size.second,
    *fd = fu + size.up_taps;
  A *input = separable_up ? first : second, *rows = second, *grid = first, *columns = second;
  const int thread = threadIdx.x;
  for (int i = thread; i < size.up_taps; i += kThreads)
    fu[i] = tap<A>(p.fu, p.fu_dtype, p.flip ? i : size.up_taps - 1 - i);
  for (int i = thread; i < size.down_taps; i += kThreads)
    fd[i] = tap<A>(p.fd, p.fd_dtype, p.flip ? i : size.down_taps - 1 - i);
  const Activation<A> act = {A(p.gain), A(p.gain) * A(p.slope), p.clamp >= 0 ? A(p.clamp) : A(NAN)};
  const A up_gain = A(p.up_gain) * A(p.up_gain);

  const unsigned block = blockIdx.x, of_plane = p.tiles_across * p.tiles_along, planes = gridDim.x / of_plane;
  // neighbours in memory to neighbouring blocks
  const unsigned plane = p.channels_last ? block % planes : block / of_plane;
  const int tile = static_cast<int>(p.channels_last ? block / planes : block % of_plane);
  const int tile_x = tile % p.tiles_across, tile_y = tile / p.tiles_across;
  const unsigned channels = p.channels;
  const int64_t n = plane / channels, c = plane % channels;
  const Origin across = origin(tile_x * tile_w * down, up, p.x0), along = origin(tile_y * tile_h * down, up, p.y0);
  const int inputs_before_x = (across.phase + up - 1) / up, inputs_before_y = (along.phase + up - 1) / up;

  const A bias = p.b != nullptr ? computed(static_cast<const T*>(p.b)[c]) : A(0);
  const T* __restrict__ x = static_cast<const T*>(p.x) + n * p.x_strides.n + c * p.x_strides.c;
  for (int i = thread; i < size.in_h * size.in_w; i += kThreads) {
    const int row = along.input + i / size.in_w, column = across.input + i % size.in_w;
    const bool inside = row >= 0 && row < p.in_h && column >= 0 && column < p.in_w;
    input[i] = inside ? computed(x[row * p.x_strides.h + column * p.x_strides.w]) + bias : A(0);
  }
  __syncthreads();

  if (separable_up) {
    for (int i = thread; i < size.in_h * quads; i += kThreads) {
      const int row = i / quads, k = i % quads * kQuad;
      Quad u = {};
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        const Meeting m = meeting(across.phase + k + j, up);
        const A* from = input + row * size.in_w + m.input - inputs_before_x;
        for_taps<K>(m.tap, fu_w, up, [&](int a, int i) { u.v[j] += fu[a] * from[i]; });
      }
      *reinterpret_cast<Quad*>(rows + row * size.grid_w + k) = u;
    }
    __syncthreads();
  }

  uint8_t* signs = p.signs + n * p.sign_strides.n + c * p.sign_strides.c;
  for (int i = thread; i < size.grid_h * quads; i += kThreads) {
    const int row = i / quads, k = i % quads * kQuad;
    const Meeting m = meeting(along.phase + row, up);
    const int from_row = m.input - inputs_before_y;
    Quad u = {};
    if (separable_up) {
      for_taps<K>(m.tap, fu_h, up, [&](int a, int r) {
        const Quad v = *reinterpret_cast<const Quad*>(rows + (from_row + r) * size.grid_w + k);
#pragma unroll
        for (int j = 0; j < kQuad; ++j) u.v[j] += fu[a] * v.v[j];
      });
    } else {
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        const Meeting mx = meeting(across.phase + k + j, up);
        const A* from = input + from_row * size.in_w + mx.input - inputs_before_x;
        for_taps<K>(m.tap, fu_h, up, [&](int a, int r) {
          for_taps<K>(mx.tap, fu_w, up, [&](int b, int s) { u.v[j] += fu[a * fu_w + b] * from[r * size.in_w + s]; });
        });
      }
    }
    if (p.read_signs) {
      const int sign_row = along.grid + row + p.sign_y, column = across.grid + k + p.sign_x, byte = column >> 2;
      const auto bits_of = [&](int at) {  // 255, no slope, where there are no signs
        const bool inside = sign_row >= 0 && sign_row < p.sign_h && at >= 0 && at < p.sign_bytes;
        return inside ? unsigned(signs[sign_row * p.sign_strides.h + at * p.sign_strides.w]) : 255u;
      };
      const unsigned bits = (bits_of(byte) | bits_of(byte + 1) << 8) >> 2 * (column & 3);
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        u.v[j] = activated_as(bits >> 2 * j & 3, u.v[j], act);
      }
    } else {
      unsigned bits = 0;
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        u.v[j] = activated(u.v[j] * up_gain, act, 1u << 2 * j, bits);
      }
      // tiles share a few rows and columns of the grid: each writes those that are its own
      const int sign_row = along.grid + row, byte = across.grid / kQuad + k / kQuad;
      const bool own =
          (row < tile_h * down || tile_y == p.tiles_along - 1) && (k < tile_w * down || tile_x == p.tiles_across - 1);
      if (p.write_signs && own && sign_row < p.sign_h && byte < p.sign_bytes)
        signs[sign_row * p.sign_strides.h + byte * p.sign_strides.w] = static_cast<uint8_t>(bits);
    }
    *reinterpret_cast<Quad*>(grid + row * size.grid_w + k) = u;
  }
  __syncthreads();

  if (separable_down) {
    for (int i = thread; i < tile_h * quads; i += kThreads) {
      const int row = i / quads, k = i % quads * kQuad;
      const A* from = grid + row * down * size.grid_w + k;
      Quad sum = {};
#pragma unroll(GENERAL ? 1 : K::FD)
      for (int a = 0; a < fd_h; ++a) {
        const Quad v = *reinterpret_cast<const Quad*>(from + a * size.grid_w);
#pragma unroll
        for (int j = 0; j < kQuad; ++j) sum.v[j] += fd[a] * v.v[j];
      }
      *reinterpret_cast<Quad*>(columns + row * size.grid_w + k) = sum;
    }
    __syncthreads();
  }

  T* __restrict__ y = static_cast<T*>(p.y) + n * p.y_strides.n + c * p.y_strides.c;
  const int halves = tile_w / 2;
  for (int i = thread; i < tile_h * halves; i += kThreads) {  // two outputs that share most of what they read
    const int row = i / halves, column = i % halves * 2;
    A sum = A(0), next = A(0);
    const auto add_row = [&](const A* from, const A* taps) {
#pragma unroll(GENERAL ? 1 : K::FD + K::DOWN)
      for (int a = 0; a < fd_w + down; ++a) {
        const A v = from[a];
        if (a < fd_w) sum += taps[a] * v;
        if (a >= down) next += taps[a - down] * v;
      }
    };
    if (separable_down) {
      add_row(columns + row * size.grid_w + column * down, fd);
    } else {
      for (int a = 0; a < fd_h; ++a) add_row(grid + (row * down + a) * size.grid_w + column * down, fd + a * fd_w);
    }
    const int out_row = tile_y * tile_h + row, out_column = tile_x * tile_w + column;
    if (out_row >= p.out_h) continue;
    T* to = y + out_row * p.y_strides.h + out_column * p.y_strides.w;
    if (out_column < p.out_w) to[0] = stored<T>(sum);
    if (out_column + 1 < p.out_w) to[p.y_strides.w] = stored<T>(next);
  }
}

// ------------------------------------------------------------------------------------------------------------ strips

constexpr int kStripBytes = 64 * 1024;  // that every GPU lets a block have
constexpr int kChunk = 12;              // rows of the grid, at the end of which registers are where they began

constexpr int kPhase = 8;  // elements between the phases of a 1-D filter, of at most six taps each

// A call that strips take. The filters are square, of kReach inputs a sample along an axis, and of kLive outputs.
template <int UP_, int DOWN_, int FU_, int FD_, bool SEPARABLE_UP_, bool SEPARABLE_DOWN_>
struct Strip {
  static constexpr int UP = UP_, DOWN = DOWN_, FU = FU_, FD = FD_;
  static constexpr bool SEPARABLE_UP = SEPARABLE_UP_, SEPARABLE_DOWN = SEPARABLE_DOWN_;
  static constexpr int kReach = FU_ / UP_, kLive = FD_ / DOWN_;
  static constexpr int kRowsIn = kChunk / UP_, kRowsOut = kChunk / DOWN_;
  static constexpr int kUpTaps = SEPARABLE_UP_ ? UP_ * kPhase : FU_ * FU_;
  static constexpr int kDownTaps = SEPARABLE_DOWN_ ? DOWN_ * kPhase + FD_ : FD_ * FD_;  // in order as well
  // of a block at most, and blocks a multiprocessor: as registers and, for the grid's rows, shared memory allow
  static constexpr int kThreads = SEPARABLE_DOWN_ ? 256 : 128, kBlocks = SEPARABLE_DOWN_ ? 2 : 3;
  static_assert(FU_ % UP_ == 0 && FD_ % DOWN_ == 0 && kLive <= 6 && kUpTaps % kQuad == 0 && kDownTaps % kQuad == 0, "");
  static_assert(kChunk % UP_ == 0 && kChunk % DOWN_ == 0 && kReach % kRowsIn == 0 && kReach <= 6 && FD_ <= 2 * kChunk,
                "");
};

// Where quad v of a row lies: threads that read every second, or every fourth, meet in no bank.
__device__ __forceinline__ int at(int v) { return (v ^ (v >> 3 & 3)) * kQuad; }

// f(a constant that equals `value`), of those below COUNT
template <int COUNT, typename F>
__device__ __forceinline__ void with_constant(int value, F&& f) {
  if constexpr (COUNT > 1) {
    if (value != COUNT - 1) return with_constant<COUNT - 1>(value, f);
  }
  f(std::integral_constant<int, COUNT - 1>());
}

// Elements of shared memory, in registers, SIZE at a time.
template <int COUNT, int SIZE = kQuad>
struct Held {
  Vec<float, SIZE> v[(COUNT + SIZE - 1) / SIZE];
  Held() = default;
  __device__ __forceinline__ explicit Held(const float* from) {
#pragma unroll
    for (int i = 0; i * SIZE < COUNT; ++i) v[i] = reinterpret_cast<const Vec<float, SIZE>*>(from)[i];
  }
  __device__ __forceinline__ float operator[](int i) const { return v[i / SIZE].v[i % SIZE]; }
};

// Taps phase, phase + factor, ... of a 1-D filter: loaded where they are used, for all threads at once, as registers
// hold what a thread has of the grid.
__device__ __forceinline__ Held<kPhase> taps_of(const float* f, int phase) { return Held<kPhase>(f + phase * kPhase); }

template <typename T, typename K>
__global__ void __launch_bounds__(K::kThreads, K::kBlocks) filtered_lrelu_strip_kernel(const Problem p) {
  using Quad = Vec<float, kQuad>;
  constexpr int UP = K::UP, DOWN = K::DOWN, FU = K::FU, FD = K::FD, kReach = K::kReach, kLive = K::kLive;
  constexpr int kRowsIn = K::kRowsIn, kRowsOut = K::kRowsOut;
  GAN_FAST_DYNAMIC_SHARED(Quad, shared);
  float *fu = shared->v, *fd = fu + K::kUpTaps;
  const int thread = threadIdx.x, parts = p.strips.planes, quads = p.strips.quads;
  const float tap_gain = K::SEPARABLE_UP ? float(p.up_gain) : float(p.up_gain * p.up_gain);
  constexpr int kUpSize = K::SEPARABLE_UP ? FU : FU * FU, kDownSize = K::SEPARABLE_DOWN ? FD : FD * FD;
  for (int i = thread; i < kUpSize; i += blockDim.x)
    fu[K::SEPARABLE_UP ? i % UP * kPhase + i / UP : i] =
        tap<float>(p.fu, p.fu_dtype, p.flip ? i : kUpSize - 1 - i) * tap_gain;
  float* fd_in_order = fd + (K::SEPARABLE_DOWN ? DOWN * kPhase : 0);
  for (int i = thread; i < kDownSize; i += blockDim.x) {
    fd_in_order[i] = tap<float>(p.fd, p.fd_dtype, p.flip ? i : kDownSize - 1 - i);
    if (K::SEPARABLE_DOWN) fd[i % DOWN * kPhase + i / DOWN] = fd_in_order[i];
  }

  // neighbours in memory to neighbouring threads and blocks
  const bool busy = thread < parts * quads;
  const int part = !busy ? 0 : p.channels_last ? thread % parts : thread / quads;
  const int quad = !busy ? 0 : p.channels_last ? thread / parts : thread - part * quads;
  const unsigned block = blockIdx.x, of_group = p.tiles_across * p.tiles_along, groups = gridDim.x / of_group;
  const int64_t plane = int64_t(p.channels_last ? block % groups : block / of_group) * parts + part;
  const int tile = static_cast<int>(p.channels_last ? block / groups : block % of_group);
  const int tile_x = tile % p.tiles_across, tile_y = tile / p.tiles_across;
  const bool inside = busy && plane < p.planes;
  const int64_t n = plane / p.channels, c = plane - n * p.channels;
  const Strips& size = p.strips;
  float *input = fd + K::kDownTaps + part * size.plane, *rows = input + size.rows, *last = input + size.last;

  // The grid's first column here, and row, of which the walk begins `head` before; the inputs of their units.
  const int column0 = tile_x * p.tile_w * DOWN, row0 = tile_y * p.tile_h * DOWN, walk0 = row0 - size.head;
  const int input_x = (column0 - size.lead - p.x0 - 1) / UP + 1, input_y = (walk0 - p.y0 - 1) / UP + 1;
  const int out_rows = p.tile_h < p.out_h - tile_y * p.tile_h ? p.tile_h : p.out_h - tile_y * p.tile_h;
  const int chunks = (size.skipped + out_rows - 1 + size.late) / kRowsOut + 1;

  const float bias = inside && p.b != nullptr ? computed(static_cast<const T*>(p.b)[c]) : 0.f;
  const T* __restrict__ x = static_cast<const T*>(p.x) + n * p.x_strides.n + c * p.x_strides.c;
  T* __restrict__ y = static_cast<T*>(p.y) + n * p.y_strides.n + c * p.y_strides.c;
  uint8_t* signs = p.signs + n * p.sign_strides.n + c * p.sign_strides.c;

  const auto load = [&](int chunk) {
    const int row = input_y + kReach - 1 + chunk * kRowsIn;
    float* to = input + (K::SEPARABLE_UP ? 0 : (chunk & 1) * kRowsIn * size.in_pitch);
#pragma unroll 1
    for (int i = quad; i < quads * kQuad / UP + kReach; i += quads) {
      const int column = input_x + i;
      const bool within = inside && column >= 0 && column < p.in_w;
      const T* from = x + row * p.x_strides.h + column * p.x_strides.w;
      T v[kRowsIn];
#pragma unroll
      for (int r = 0; r < kRowsIn; ++r, from += p.x_strides.h)
        if (within && row + r >= 0 && row + r < p.in_h) v[r] = *from;
#pragma unroll
      for (int r = 0; r < kRowsIn; ++r)
        to[r * size.in_pitch + i] = within && row + r >= 0 && row + r < p.in_h ? computed(v[r]) + bias : 0.f;
    }
  };

  const int halves = quads / 2, half = quad >= halves, of_half = quad - half * halves;
  const auto upsample_across = [&] {  // eight samples a thread
    constexpr int kUnits = 2 * kQuad / UP;
    with_constant<UP>(size.lead, [&](auto constant) {
      constexpr int kLead = decltype(constant)::value;
#pragma unroll 1
      for (int r = half; r < kRowsIn; r += 2) {
        const Held<kUnits + kReach, kUnits> in(input + r * size.in_pitch + of_half * kUnits);
        Quad u[2] = {};
#pragma unroll
        for (int q = 0; q < UP; ++q) {
          const auto taps = taps_of(fu, UP - 1 - q);
#pragma unroll
          for (int j = (q - kLead + UP) % UP; j < 2 * kQuad; j += UP)
#pragma unroll
            for (int i = 0; i < kReach; ++i) u[j / kQuad].v[j % kQuad] += taps[i] * in[(kLead + j) / UP + i];
        }
#pragma unroll
        for (int j = 0; j < 2; ++j) *reinterpret_cast<Quad*>(rows + r * size.pitch + at(2 * of_half + j)) = u[j];
      }
    });
  };

  // A thread's column of the grid.
  const Activation<float>& act = size.act;
  const int sign_column = column0 + quad * kQuad + (p.read_signs ? p.sign_x : 0), byte = sign_column >> 2;
  const bool whole = (sign_column & 3) == 0;
  // tiles share a few rows and columns of the grid: each writes those that are its own
  const bool own_column = inside && p.write_signs && byte < p.sign_bytes
                          && (quad * kQuad < p.tile_w * DOWN || tile_x == p.tiles_across - 1);
  const int own_end = !own_column                                                        ? row0
                      : tile_y == p.tiles_along - 1 || row0 + p.tile_h * DOWN > p.sign_h ? p.sign_h
                                                                                         : row0 + p.tile_h * DOWN;
  const int place = at(quad);

  const auto signs_at = [&](int row) { return signs + row * p.sign_strides.h + byte * p.sign_strides.w; };
  const auto signs_of = [&](int row) {  // of four rows, a byte each
    unsigned bits = 0;
    const uint8_t* from = signs_at(row + p.sign_y);
    const bool here = inside && byte >= 0 && byte < p.sign_bytes;
    const bool next = inside && byte + 1 >= 0 && byte + 1 < p.sign_bytes;
#pragma unroll
    for (int r = 0; r < 4; ++r, from += p.sign_strides.h) {
      const bool within = row + r + p.sign_y >= 0 && row + r + p.sign_y < p.sign_h;
      unsigned of_row = within && here ? unsigned(from[0]) : 255u;  // 255, no slope, where there are no signs
      if (!whole) of_row |= (within && next ? unsigned(from[p.sign_strides.w]) : 255u) << 8;
      bits |= (of_row >> 2 * (sign_column & 3) & 255u) << 8 * r;
    }
    return bits;
  };
  const auto owned = [&](int row) {  // rows from here on whose signs this thread writes, a bit each
    const int from = row < row0 ? row0 - row : 0, to = own_end - row < kChunk ? own_end - row : kChunk;
    return to > from ? (1u << to) - (1u << from) : 0u;
  };
  const auto activate = [&](Quad& u, unsigned bits, bool own, uint8_t* to) {
    if (p.read_signs) {
#pragma unroll
      for (int j = 0; j < kQuad; ++j) u.v[j] = activated_as(bits >> 2 * j, u.v[j], act);
    } else {
      unsigned made = 0;
#pragma unroll
      for (int j = 0; j < kQuad; ++j) u.v[j] = activated(u.v[j], act, 1u << 2 * j, made);
      if (own) *to = static_cast<uint8_t>(made);
    }
  };

  Quad window[kReach] = {};  // rows that are upsampled across, the last first to come
  Quad sums[kLive] = {};     // of outputs that are not complete, the youngest first
  const auto push = [&](const Quad& row) {
#pragma unroll
    for (int i = 0; i + 1 < kReach; ++i) window[i] = window[i + 1];
    window[kReach - 1] = row;
  };
  // Row t of a chunk: to the sums it adds to, the last of which it completes; or to the grid.
  const auto downsample_along = [&](auto constant, int t, int done, const Quad& v) {
    constexpr int kSkew = decltype(constant)::value;
    const int phase = (t + DOWN - kSkew) % DOWN;
    if (phase == 0) {
#pragma unroll
      for (int i = kLive - 1; i > 0; --i) sums[i] = sums[i - 1];
      sums[0] = {};
    }
    const auto taps = taps_of(fd, phase);
#pragma unroll
    for (int i = 0; i < kLive; ++i)
#pragma unroll
      for (int j = 0; j < kQuad; ++j) sums[i].v[j] += taps[i] * v.v[j];
    if (phase == DOWN - 1) *reinterpret_cast<Quad*>(last + done * size.pitch + place) = sums[kLive - 1];
  };

  const auto walk_rows = [&](int chunk) {
    if (chunk < 0) {
#pragma unroll
      for (int r = 0; r < kRowsIn; ++r) push(*reinterpret_cast<const Quad*>(rows + r * size.pitch + place));
      return;
    }
    const int row = walk0 + chunk * kChunk;
    unsigned bits[kChunk / 4] = {};
    if (p.read_signs) {
#pragma unroll
      for (int i = 0; i < kChunk / 4; ++i) bits[i] = signs_of(row + 4 * i);
    }
    const unsigned own = owned(row);
    uint8_t* to = signs_at(row);
    const auto walk = [&](auto&& take) {
#pragma unroll
      for (int r = 0; r < kRowsIn; ++r) {
        push(*reinterpret_cast<const Quad*>(rows + r * size.pitch + place));
#pragma unroll
        for (int q = 0; q < UP; ++q) {
          const int t = r * UP + q;
          const auto taps = taps_of(fu, UP - 1 - q);
          Quad u = {};
#pragma unroll
          for (int i = 0; i < kReach; ++i)
#pragma unroll
            for (int j = 0; j < kQuad; ++j) u.v[j] += taps[i] * window[i].v[j];
          activate(u, bits[t / 4] >> 8 * (t % 4), own >> t & 1, to);
          to += p.sign_strides.h;
          take(t, u);
        }
      }
    };
    if constexpr (K::SEPARABLE_DOWN) {
      with_constant<(UP < DOWN ? UP : DOWN)>(size.skew, [&](auto constant) {
        walk([&](int t, const Quad& v) { downsample_along(constant, t, t / DOWN, v); });
      });
    } else {
      float* grid = last + (chunk & 1) * kChunk * size.pitch + place;
      walk([&](int t, const Quad& v) { *reinterpret_cast<Quad*>(grid + t * size.pitch) = v; });
    }
  };

  const auto walk_input = [&](int chunk) {  // two units at a time, by taps of both axes
    constexpr int kUnits = kQuad / UP, kRows = 2 * UP;
    if (chunk < 0) return;
#pragma unroll 1
    for (int t = 0; t < kChunk; t += kRows) {
      const int row = walk0 + chunk * kChunk + t;
      const unsigned bits = p.read_signs ? signs_of(row) : 0;
      Quad u[kRows] = {};
      with_constant<UP>(size.lead, [&](auto constant) {
        constexpr int kLead = decltype(constant)::value;
        using Row = Held<kUnits + kReach, kUnits>;
        const auto row_of = [&](int i) {  // of this chunk and the one before, whose first is met no more
          const int r = t / UP + 1 + i, of_chunk = r < kRowsIn ? r : r - kRowsIn;
          const int buffer = (chunk & 1) ^ (r < kRowsIn);
          return Row(input + (buffer * kRowsIn + of_chunk) * size.in_pitch + quad * kUnits);
        };
        Row above = row_of(0);
#pragma unroll
        for (int a = 0; a < kReach; ++a) {
          const Row below = row_of(a + 1);
#pragma unroll
          for (int q = 0; q < UP; ++q) {
            const Held<FU> taps(fu + (UP - 1 - q + a * UP) * FU);
#pragma unroll
            for (int j = 0; j < kQuad; ++j)
#pragma unroll
              for (int i = 0; i < kReach; ++i) {
                const float of_tap = taps[UP - 1 - (kLead + j) % UP + i * UP];
                u[q].v[j] += of_tap * above[(kLead + j) / UP + i];
                u[UP + q].v[j] += of_tap * below[(kLead + j) / UP + i];
              }
          }
          above = below;
        }
      });
#pragma unroll
      for (int r = 0; r < kRows; ++r)
        activate(u[r], bits >> 8 * r, owned(row) >> r & 1, signs_at(row) + r * p.sign_strides.h);
      if constexpr (K::SEPARABLE_DOWN) {
        with_constant<(UP < DOWN ? UP : DOWN)>(size.skew, [&](auto constant) {
#pragma unroll
          for (int r = 0; r < kRows; ++r) downsample_along(constant, r, (t + r) / DOWN, u[r]);
        });
      }
    }
  };

  const auto put = [&](int chunk, int r, const Quad& sum, int column) {
    const int row = chunk * kRowsOut - size.late + r - size.skipped;
    if (!inside || row < 0 || row >= out_rows) return;
    const int out_column = tile_x * p.tile_w + column;
    T* to = y + (tile_y * p.tile_h + row) * p.y_strides.h + out_column * p.y_strides.w;
    Vec<T, kQuad> v;
#pragma unroll
    for (int j = 0; j < kQuad; ++j) v.v[j] = stored<T>(sum.v[j]);
    if (p.vectors_out) {
      if (out_column < p.out_w) *reinterpret_cast<Vec<T, kQuad>*>(to) = v;
    } else {
#pragma unroll
      for (int j = 0; j < kQuad; ++j)
        if (out_column + j < p.out_w) to[j * p.y_strides.w] = v.v[j];
    }
  };
  constexpr int kMet = (kQuad - 1) * DOWN + FD;  // samples of a row that four outputs meet
  const bool puts = of_half * kQuad < p.tile_w;
  const auto row_met = [&](const float* row) {
    Held<kMet> v;
#pragma unroll
    for (int i = 0; i * kQuad < kMet; ++i) v.v[i] = *reinterpret_cast<const Quad*>(row + at(of_half * DOWN + i));
    return v;
  };
  const auto downsample_across = [&](int chunk) {
#pragma unroll 1
    for (int r = half; r < kRowsOut; r += 2) {
      const Held<FD> taps(fd_in_order);
      const auto in = row_met(last + r * size.pitch);
      Quad sum = {};
#pragma unroll
      for (int a = 0; a < FD; ++a)
#pragma unroll
        for (int j = 0; j < kQuad; ++j) sum.v[j] += taps[a] * in[j * DOWN + a];
      put(chunk, r, sum, of_half * kQuad);
    }
  };
  const auto downsample_grid = [&](int chunk) {  // half of a chunk's rows a thread: a row of the grid is read once
    constexpr int kRows = kRowsOut / 2;
    Quad sum[kRows] = {};
    // rows of the chunk before, and of this one
    const int first = half * kRows * DOWN + (size.skew > 0 ? size.skew - DOWN : 0) + kChunk - (kLive - 1) * DOWN;
#pragma unroll 1
    for (int i = 0; i < (kRows - 1) * DOWN + FD; ++i) {
      const int of_both = first + i, row = of_both < kChunk ? of_both : of_both - kChunk;
      const int buffer = (chunk & 1) ^ (of_both < kChunk);
      const auto in = row_met(last + (buffer * kChunk + row) * size.pitch);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int a = i - r * DOWN;
        if (a < 0 || a >= FD) continue;
        const Held<FD> taps(fd + a * FD);
#pragma unroll
        for (int b = 0; b < FD; ++b)
#pragma unroll
          for (int j = 0; j < kQuad; ++j) sum[r].v[j] += taps[b] * in[j * DOWN + b];
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) put(chunk, half * kRows + r, sum[r], of_half * kQuad);
  };

  // Chunks before the first fill the window. What a chunk leaves in shared memory becomes outputs beside the next one's
  // first stage.
  constexpr int kBefore = K::SEPARABLE_UP ? kReach / kRowsIn : 1;
  if (K::SEPARABLE_UP && busy) load(-kBefore);
#pragma unroll 1
  for (int chunk = -kBefore;; ++chunk) {
    __syncthreads();
    if (busy) {
      if (chunk < chunks) {
        if constexpr (K::SEPARABLE_UP)
          upsample_across();
        else
          load(chunk);
      }
      if (chunk > 0 && puts) {
        if constexpr (K::SEPARABLE_DOWN)
          downsample_across(chunk - 1);
        else
          downsample_grid(chunk - 1);
      }
    }
    if (chunk == chunks) break;
    __syncthreads();
    if (busy) {
      if constexpr (K::SEPARABLE_UP) {
        if (chunk + 1 < chunks) load(chunk + 1);
        walk_rows(chunk);
      } else {
        walk_input(chunk);
      }
    }
  }
}

template <typename T, typename K>
void start_tiles(const char* name, Problem p, void* stream) {
  if (K::UP != 0) {
    p.tile_h = K::TILE_H;
    p.tile_w = K::TILE_W;
  }
  p.tiles_across = static_cast<int>(ceil_div(p.out_w, p.tile_w));
  p.tiles_along = static_cast<int>(ceil_div(p.out_h, p.tile_h));
  const dim3 blocks(static_cast<unsigned>(p.planes * p.tiles_across * p.tiles_along));
  launch(name, filtered_lrelu_tile_kernel<T, K>, blocks, dim3(kThreads), stream, p);
}

// The largest tile of the general kernel that shared memory holds; a row of four outputs is the smallest.
template <typename A>
void fit_tile(const char* name, Problem& p) {
  p.tile_h = 16;
  p.tile_w = 32;
  const auto fits = [&] {
    const Layout size(p.tile_h, p.tile_w, p.up, p.down, p.fu_h, p.fu_w, p.fd_h, p.fd_w, p.separable_up,
                      p.separable_down);
    return int64_t(size.total()) * int64_t(sizeof(A)) <= kSharedBytes;
  };
  while (!fits() && p.tile_w > kQuad) (p.tile_w > p.tile_h ? p.tile_w : p.tile_h) /= 2;
  while (!fits() && p.tile_h > 1) p.tile_h /= 2;
  if (!fits())
    throw std::invalid_argument(std::string(name) + ": filters of " + std::to_string(p.fu_h) + " and "
                                + std::to_string(p.fd_h) + " rows do not fit in the shared memory of a block");
}

template <typename T>
void start_general(const char* name, Problem p, void* stream) {
  fit_tile<Computed<T>>(name, p);
  start_tiles<T, General>(name, p, stream);
}

// Shared memory of a plane of so many quads. A plane begins one quad of banks after another, so that threads of
// neighbouring planes do not meet in them.
template <typename K>
void lay_out(Strips& s) {
  const auto up_to = [](int value, int unit) { return (value + unit - 1) / unit * unit; };
  s.in_pitch = s.quads * kQuad / K::UP + 8;
  s.pitch = up_to(s.quads, 4) * kQuad;
  s.rows = up_to((K::SEPARABLE_UP ? 1 : 2) * K::kRowsIn * s.in_pitch, kQuad);
  s.last = s.rows + (K::SEPARABLE_UP ? K::kRowsIn * s.pitch : 0);
  s.plane = up_to(s.last + (K::SEPARABLE_DOWN ? K::kRowsOut : 2 * kChunk) * s.pitch - kQuad, 32) + kQuad;
}
template <typename K>
int shared_bytes(const Strips& s) {
  return int(sizeof(float)) * (K::kUpTaps + K::kDownTaps + s.planes * s.plane);
}

// The strips' width and the planes of a block: those that need the fewest threads, whole warps of them.
template <typename K>
void fit_strips(Problem& p) {
  // of channels_last, channels that share the sectors of memory; of planes, blocks small enough to take turns
  const int fewest = p.channels_last ? std::min(p.channels, K::SEPARABLE_DOWN ? 8 : 4) : 1;
  const int most = p.channels_last ? K::kThreads : std::min(K::kThreads, 160);
  double least = -1;
  Strips s{};
  for (int tiles = 1, tried = 0; tried < 5; ++tiles) {
    const int tile_w = static_cast<int>(ceil_div(ceil_div(p.out_w, tiles), kQuad)) * kQuad;
    s.quads = static_cast<int>(ceil_div((tile_w - 1) * K::DOWN + K::FD, 2 * kQuad)) * 2;
    lay_out<K>(s);
    for (s.planes = fewest; s.planes <= 8; ++s.planes) {
      if (s.planes * s.quads > most || shared_bytes<K>(s) > kStripBytes) break;
      const double threads = double(ceil_div(s.planes * s.quads, 32) * 32 * tiles) / s.planes;
      if (least >= 0 && threads >= least) continue;
      least = threads;
      p.strips = s;
      p.tile_w = tile_w;
      p.tiles_across = static_cast<int>(ceil_div(p.out_w, tile_w));
    }
    tried += least >= 0;
  }
}

template <typename T, typename K>
void start_strips(const char* name, Problem p, void* stream) {
  fit_strips<K>(p);
  Strips& s = p.strips;
  const auto phase = [](int start) { return static_cast<int>(ceil_div(-start, K::UP)) * -K::UP - start + K::UP - 1; };
  s.lead = phase(p.x0);
  s.head = phase(p.y0);
  s.skipped = s.head / K::DOWN;
  s.skew = s.head % K::DOWN;
  s.late = K::kLive - 1 + (s.skew > 0);
  s.act = {float(p.gain), float(p.gain * p.slope), p.clamp >= 0 ? float(p.clamp) : NAN};
  const int64_t groups = ceil_div(p.planes, s.planes);
  // a few waves of blocks, if that leaves strips of some length; the phases of all strips are the same
  const int64_t wanted = ceil_div(2048, groups * p.tiles_across), most = ceil_div(p.out_h, 32);
  p.tile_h = static_cast<int>(ceil_div(ceil_div(p.out_h, std::min(wanted, most)), 4) * 4);
  p.tiles_along = static_cast<int>(ceil_div(p.out_h, p.tile_h));
  const dim3 blocks(static_cast<unsigned>(groups * p.tiles_across * p.tiles_along));
  const dim3 threads(static_cast<unsigned>(ceil_div(s.planes * s.quads, 32) * 32));
  launch_with_shared(name, filtered_lrelu_strip_kernel<T, K>, blocks, threads, shared_bytes<K>(s), stream, p);
}

template <typename T, typename K, typename... More>
void start_first(const char* name, const Problem& p, void* stream) {
  if (is<K>(p)) return start_strips<T, K>(name, p, stream);
  if constexpr (sizeof...(More) > 0)
    start_first<T, More...>(name, p, stream);
  else
    start_general<T>(name, p, stream);
}

// float64 takes the general kernel.
template <typename T>
void start(const char* name, const Problem& p, void* stream) {
  using Pointwise = Known<1, 1, 1, 1, false, false, 32, 32>;
  if constexpr (sizeof(T) == 8) {
    start_general<T>(name, p, stream);
  } else {
    if (is<Pointwise>(p)) return start_tiles<T, Pointwise>(name, p, stream);
    start_first<T, Strip<2, 2, 12, 12, true, true>, Strip<4, 2, 24, 12, true, true>, Strip<2, 4, 12, 24, true, true>,
                Strip<2, 2, 12, 12, true, false>, Strip<4, 2, 24, 12, true, false>, Strip<2, 2, 12, 12, false, true>,
                Strip<2, 4, 12, 24, false, true>>(name, p, stream);
  }
}

Strides strides_of(const TensorView& t) { return {t.strides[0], t.strides[1], t.strides[2], t.strides[3]}; }

struct Settings {
  int64_t up, down;
  Ints padding;
  double up_gain, gain, slope, clamp;
  bool flip;
};

void run(const char* name, const TensorView& x, const TensorView& b, const TensorView& fu, const TensorView& fd,
         const Settings& s, const TensorView& y, const TensorView& signs, bool read_signs, int sign_x, int sign_y,
         void* stream) {
  if (y.numel() == 0) return;
  Problem p{};
  p.x = x.data;
  p.b = b.data;
  p.fu = fu.data;
  p.fd = fd.data;
  p.y = y.data;
  p.signs = signs.as<uint8_t>();
  p.x_strides = strides_of(x);
  p.y_strides = strides_of(y);
  const auto size = [](const TensorView& t, int dim) { return static_cast<int>(t.sizes[dim]); };
  p.channels = size(x, 1);
  p.in_h = size(x, 2);
  p.in_w = size(x, 3);
  p.out_h = size(y, 2);
  p.out_w = size(y, 3);
  p.read_signs = read_signs;
  p.write_signs = !read_signs && signs.numel() > 0;
  if (signs.ndim == 4) {
    p.sign_strides = strides_of(signs);
    p.sign_h = size(signs, 2);
    p.sign_bytes = size(signs, 3);
  }
  p.up = static_cast<int>(s.up);
  p.down = static_cast<int>(s.down);
  p.fu_h = size(fu, 0);
  p.fu_w = size(fu, fu.ndim - 1);
  p.fd_h = size(fd, 0);
  p.fd_w = size(fd, fd.ndim - 1);
  p.fu_dtype = fu.dtype;
  p.fd_dtype = fd.dtype;
  p.separable_up = fu.ndim == 1;
  p.separable_down = fd.ndim == 1;
  p.x0 = static_cast<int>(s.padding[0]);
  p.y0 = static_cast<int>(s.padding[2]);
  p.sign_x = sign_x;
  p.sign_y = sign_y;
  p.up_gain = s.up_gain;
  p.gain = s.gain;
  p.slope = s.slope;
  p.clamp = s.clamp;
  p.flip = s.flip;
  p.planes = x.sizes[0] * x.sizes[1];
  p.channels_last = y.strides[1] == 1;
  const auto even = [&](int64_t stride) { return stride % kQuad == 0; };
  p.vectors_out = y.strides[3] == 1 && even(y.strides[2]) && even(y.strides[1]) && even(y.strides[0])
                  && p.out_w % kQuad == 0 && aligned(y);
  with_dtype(x.dtype, [&](auto type) { start<decltype(type)>(name, p, stream); });
}

void filtered_lrelu(TensorView x, TensorView b, TensorView fu, TensorView fd, int64_t up, int64_t down, Ints padding,
                    double gain, double slope, double clamp, bool flip_filter, bool, TensorView y, TensorView signs,
                    void* stream) {
  const Settings s = {up, down, padding, static_cast<double>(up), gain, slope, clamp, flip_filter};
  run("filtered_lrelu", x, b, fu, fd, s, y, signs, false, 0, 0, stream);
}

void filtered_lrelu_grad(TensorView x, TensorView signs, TensorView fu, TensorView fd, int64_t up, int64_t down,
                         Ints padding, Ints offset, double gain, double slope, bool flip_filter, TensorView y,
                         void* stream) {
  const Settings s = {up, down, padding, 1.0, gain, slope, -1.0, flip_filter};
  run("filtered_lrelu_grad", x, {}, fu, fd, s, y, signs, true, static_cast<int>(offset[0]), static_cast<int>(offset[1]),
      stream);
}

GAN_FAST_LAUNCHER(filtered_lrelu)
GAN_FAST_LAUNCHER(filtered_lrelu_grad)

}  // namespace
}  // namespace gan_fast
