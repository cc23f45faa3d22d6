// filtered_lrelu and its linear form, one kernel a call: a block makes a tile of outputs of one plane, and the
// upsampled samples behind it live in shared memory only.
//
// Coordinates along an axis, with taps as those of a correlation:
//   grid    k: u[k] = sum over a of fu[a] z[k + a - x0], where z[i up] = x[i], else 0
//   input   i meets k through tap a = i up + x0 - k
//   output  j: y[j] = sum over a of fd[a] v[j down + a]
// A tile of outputs begins at sample `tile down` of the grid; what is before `r`, the phase of that sample, is a
// multiple of up. Columns of the grid are made four at a time: the signs of four are a byte.
//
// Stages, with a barrier after each:      of 1-D filters                      of 2-D filters
//   x + b                                 input    [in_h, in_w]               input
//   upsampled across                      rows     [in_h, grid_w]
//   upsampled along, activated            grid     [grid_h, grid_w]           grid, of the input
//   downsampled along                     columns  [tile_h, grid_w]
//   downsampled across                    y                                   y, of the grid

#include <algorithm>
#include <string>

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

struct Problem {
  const void *x, *b, *fu, *fd;
  void* y;
  uint8_t* signs;
  Strides x_strides, y_strides, sign_strides;
  int channels, in_h, in_w, out_h, out_w, sign_h, sign_bytes;
  int up, down, fu_h, fu_w, fd_h, fd_w;
  DType fu_dtype, fd_dtype;
  int x0, y0, sign_x, sign_y;
  double up_gain, gain, slope, clamp;
  bool flip, separable_up, separable_down;
  bool read_signs, write_signs;
  int tile_h, tile_w, tiles_across, tiles_along;
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
  static bool is(const Problem& p) {
    return p.up == UP && p.down == DOWN && p.fu_h == FU && p.fu_w == FU && p.fd_h == FD && p.fd_w == FD
           && p.separable_up == SEPARABLE_UP && p.separable_down == SEPARABLE_DOWN;
  }
};
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

template <typename A>
struct Activation {
  A up_gain, gain, slope, clamp;
  bool clamped;
};

// v of a pre-activation, and its code. NaN passes every comparison, so that it is not clamped.
template <typename A>
__device__ __forceinline__ A activated(A u, const Activation<A>& act, unsigned& code) {
  const bool positive = u > A(0);
  const A v = (positive ? u : u * act.slope) * act.gain;
  const bool over = act.clamped && (v < A(0) ? -v : v) >= act.clamp;
  code = over ? 2 : positive ? 0 : 1;
  return over ? (v < A(0) ? -act.clamp : act.clamp) : v;
}

template <typename T, typename K>
__global__ void __launch_bounds__(kThreads) filtered_lrelu_kernel(const Problem p) {
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
  const Activation<A> act = {A(p.up_gain), A(p.gain), A(p.slope), A(p.clamp), p.clamp >= 0};

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
        const unsigned code = bits >> 2 * j & 3;
        u.v[j] *= code == 0 ? act.gain : code == 1 ? act.gain * act.slope : A(0);
      }
    } else {
      unsigned bits = 0;
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        unsigned code;
        u.v[j] = activated(u.v[j] * act.up_gain, act, code);
        bits |= code << 2 * j;
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

template <typename T, typename K>
void start(const char* name, Problem p, void* stream) {
  if (K::UP != 0) {
    p.tile_h = K::TILE_H;
    p.tile_w = K::TILE_W;
  }
  p.tiles_across = static_cast<int>(ceil_div(p.out_w, p.tile_w));
  p.tiles_along = static_cast<int>(ceil_div(p.out_h, p.tile_h));
  const dim3 blocks(static_cast<unsigned>(p.planes * p.tiles_across * p.tiles_along));
  launch(name, filtered_lrelu_kernel<T, K>, blocks, dim3(kThreads), stream, p);
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

template <typename T, typename K, typename... More>
void start_first(const char* name, const Problem& p, void* stream) {
  if (K::is(p)) return start<T, K>(name, p, stream);
  if constexpr (sizeof...(More) > 0) {
    start_first<T, More...>(name, p, stream);
  } else {
    Problem general = p;
    fit_tile<Computed<T>>(name, general);
    start<T, General>(name, general, stream);
  }
}

// The layers of StyleGAN3 and their adjoints; other calls, and float64, take the general kernel.
template <typename T>
void start(const char* name, const Problem& p, void* stream) {
  if constexpr (sizeof(T) == 8) {
    Problem general = p;
    fit_tile<double>(name, general);
    start<T, General>(name, general, stream);
  } else {
    start_first<T, Known<2, 2, 12, 12, true, true, 16, 32>, Known<4, 2, 24, 12, true, true, 16, 32>,
                Known<2, 4, 12, 24, true, true, 8, 16>, Known<1, 1, 1, 1, false, false, 32, 32>,
                Known<2, 2, 12, 12, false, true, 16, 32>, Known<2, 2, 12, 12, true, false, 16, 32>>(name, p, stream);
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
  with_dtype(x.dtype, [&](auto type) { start<decltype(type)>(name, p, stream); });
}

void filtered_lrelu(TensorView x, TensorView b, TensorView fu, TensorView fd, int64_t up, int64_t down, Ints padding,
                    double gain, double slope, double clamp, bool flip_filter, bool, TensorView y, TensorView signs,
                    void* stream) {
  const Settings s = {up, down, padding, static_cast<double>(up * up), gain, slope, clamp, flip_filter};
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
