// 3x3 convolution by Winograd's minimal filtering F(M x M, 3 x 3), M 2 or 4 (Lavin and Gray 2016, arXiv 1509.09308):
//
//   V[k] = (B^T x B)[k] of each input tile   into, "input"     M + 2 points a side, M apart: tiles overlap
//   U[k] = (G w G^T)[k] of each kernel       into, "weight"    or "flipped": the kernel rotated by 180 degrees
//   Y    = A^T (sum over channels of U[k] V[k]) A              from, "output": M x M results a tile
//
// and the weight gradient is the adjoint of that:
//
//   E[k] = (A dy A^T)[k] of each tile of dy                    into, "grad"
//   dw   = G^T (sum over tiles of E[k] V[k]) G                 from, "weight"
//
// The sums between are (M + 2)^2 matrix products, which are not made here. They take 2.25 (M = 2) or 4 (M = 4) times
// fewer multiplications than the convolution. Tiles lie as [(M + 2)^2, tiles, channels], tiles in the order sample,
// row, column; a kernel counts as an image of one tile whose samples are the output channels.
#include "vector.h"

namespace {

using namespace gan_fast;

constexpr int64_t kBlock = 8;  // tiles of a row that are in work at once: their pixels stay in the first-level cache

// The matrices of M outputs a tile, of polynomials evaluated at 0, 1, -1, (2, -2,) and infinity.
template <int M>
struct Filtering;

template <>
struct Filtering<2> {
  struct Input {  // B^T
    static constexpr int kRows = 4, kColumns = 4;
    static constexpr double at[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
  };
  struct Weight {  // G
    static constexpr int kRows = 4, kColumns = 3;
    static constexpr double at[4][3] = {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
  };
  struct Output {  // A^T
    static constexpr int kRows = 2, kColumns = 4;
    static constexpr double at[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
  };
};

template <>
struct Filtering<4> {
  struct Input {
    static constexpr int kRows = 6, kColumns = 6;
    static constexpr double at[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                        {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
  };
  struct Weight {
    static constexpr int kRows = 6, kColumns = 3;
    static constexpr double at[6][3] = {{1. / 4, 0, 0},
                                        {-1. / 6, -1. / 6, -1. / 6},
                                        {-1. / 6, 1. / 6, -1. / 6},
                                        {1. / 24, 1. / 12, 1. / 6},
                                        {1. / 24, -1. / 12, 1. / 6},
                                        {0, 0, 1}};
  };
  struct Output {
    static constexpr int kRows = 4, kColumns = 6;
    static constexpr double at[4][6] = {
        {1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
  };
};

template <typename MATRIX>
struct Transposed {
  static constexpr int kRows = MATRIX::kColumns, kColumns = MATRIX::kRows;
  static constexpr double entry(int i, int j) { return MATRIX::at[j][i]; }
};
template <typename MATRIX>
struct Plain {
  static constexpr int kRows = MATRIX::kRows, kColumns = MATRIX::kColumns;
  static constexpr double entry(int i, int j) { return MATRIX::at[i][j]; }
};
template <typename MATRIX>
struct Flipped {
  static constexpr int kRows = MATRIX::kRows, kColumns = MATRIX::kColumns;
  static constexpr double entry(int i, int j) { return MATRIX::at[i][kColumns - 1 - j]; }
};

// One row of a product: entries of 0 and 1 cost nothing.
template <typename MATRIX, int ROW, int COLUMN, typename V, typename A>
GF_HD V row_times(const V* x, int64_t step, A one) {
  constexpr double entry = MATRIX::entry(ROW, COLUMN);
  if constexpr (COLUMN + 1 == MATRIX::kColumns) {
    return static_cast<A>(entry) * x[COLUMN * step];
  } else if constexpr (entry == 0) {
    return row_times<MATRIX, ROW, COLUMN + 1>(x, step, one);
  } else {
    bool last = true;
    for (int j = COLUMN + 1; j < MATRIX::kColumns; ++j) last = last && MATRIX::entry(ROW, j) == 0;
    const V term = entry == 1 ? x[COLUMN * step] : static_cast<A>(entry) * x[COLUMN * step];
    return last ? term : term + row_times<MATRIX, ROW, COLUMN + 1>(x, step, one);
  }
}

// y = MATRIX x
template <typename MATRIX, typename A, typename V, int... ROWS>
GF_HD void multiply(const V* x, int64_t x_step, V* y, int64_t y_step, std::integer_sequence<int, ROWS...>) {
  ((y[ROWS * y_step] = row_times<MATRIX, ROWS, 0>(x, x_step, A(1))), ...);
}
template <typename MATRIX, typename A, typename V>
GF_HD void multiply(const V* x, int64_t x_step, V* y, int64_t y_step) {
  multiply<MATRIX, A>(x, x_step, y, y_step, std::make_integer_sequence<int, MATRIX::kRows>());
}

// Where the tiles of an image lie: `every` pixels apart, the first `pad` pixels before the image; `first` is the first
// row of tiles, of all samples', that a buffer of tiles holds.
struct Grid {
  int64_t every, pad_y, pad_x, tiles_y, tiles_x, first;
  explicit Grid(Ints g) : every(g[0]), pad_y(g[1]), pad_x(g[2]), tiles_y(g[3]), tiles_x(g[4]), first(g[5]) {}
};

template <typename T>
struct Image {
  T* data;
  int64_t channels, height, width;
  int64_t sample_step, channel_step, y_step, x_step;
  const T* end;  // of its memory

  explicit Image(const TensorView& x)
      : data(x.as<T>()),
        channels(x.sizes[1]),
        height(x.sizes[2]),
        width(x.sizes[3]),
        sample_step(x.strides[0]),
        channel_step(x.strides[1]),
        y_step(x.strides[2]),
        x_step(x.strides[3]),
        end(at(x.sizes[0] - 1, channels - 1, height - 1, width - 1) + 1) {}
  T* at(int64_t n, int64_t c, int64_t y, int64_t x) const {
    return data + n * sample_step + c * channel_step + y * y_step + x * x_step;
  }
};

// f(first channel, channels, first tile, tiles) for pieces of a row of tiles
template <int L, typename F>
GF_HD void for_each_block(int64_t tiles, int64_t channels, const F& f) {
  for (int64_t c = 0; c < channels; c += L)
    for (int64_t t = 0; t < tiles; t += kBlock)
      f(c, channels - c < L ? channels - c : L, t, tiles - t < kBlock ? tiles - t : kBlock);
}

template <int L, typename A>
GF_HD Vector<A, L> take_lanes(const A* from, int64_t lanes) {
  Vector<A, L> v{};
  lanes == L ? std::memcpy(&v, from, sizeof v) : std::memcpy(&v, from, lanes * sizeof(A));
  return v;
}
template <int L, typename A>
GF_HD void put_lanes(A* to, Vector<A, L> v, int64_t lanes) {
  lanes == L ? std::memcpy(to, &v, sizeof v) : std::memcpy(to, &v, lanes * sizeof(A));
}

// the first L or L / 2 lanes
template <int L, typename T, typename A = compute_t<T>>
void store_lanes(T* to, Vector<A, L> v, int64_t lanes) {
  if (lanes == L) return store_vector<L>(to, v);
  if constexpr (std::is_same_v<T, A>) {
    std::memcpy(to, &v, sizeof v / 2);
  } else {
    for (int k = 0; k < L / 2; ++k) store(to[k], v[k]);
  }
}

// to [rows, width], in each vector the channels from c on = sample n of x from (y, first) on, zero outside
template <int L, typename T, typename A = compute_t<T>>
void gather(const TensorView& x, int64_t n, int64_t c, int64_t lanes, int64_t y, int64_t first, int64_t rows,
            int64_t width, Vector<A, L>* to) {
  const Image<const T> image(x);
  const int64_t begin = first < 0 ? -first : 0, end = image.width - first < width ? image.width - first : width;
  for (int64_t i = 0; i < rows; ++i, to += width) {
    const bool inside = y + i >= 0 && y + i < image.height && begin < end;
    const int64_t before = inside ? begin : width, after = inside ? end : width;
    for (int64_t j = 0; j < before; ++j) to[j] = Vector<A, L>{};
    for (int64_t j = after; j < width; ++j) to[j] = Vector<A, L>{};
    if (!inside) continue;
    const T* from = image.at(n, c, y + i, first + begin);
    if (lanes == L && image.channel_step == 1) {
      for (int64_t j = begin; j < end; ++j, from += image.x_step) to[j] = load_vector<L>(from);
      continue;
    }
    int64_t j = begin;
    if (lanes == L && image.x_step == 1)  // L channels of L pixels at a time, as long as there is so much to read
      for (; end - j > L / 4 && from + (L - 1) * image.channel_step + L <= image.end; j += L, from += L) {
        Vector<A, L> block[L];
        for (int k = 0; k < L; ++k) block[k] = load_vector<L>(from + k * image.channel_step);
        transpose<L>(block);
        for (int k = 0; k < L && j + k < end; ++k) to[j + k] = block[k];
      }
    if (j >= end) continue;
    A* lane = reinterpret_cast<A*>(to + j);
    for (int64_t k = 0; k < L; ++k, from += image.channel_step, ++lane)
      for (int64_t i = 0; i < end - j; ++i) lane[i * L] = k < lanes ? load(from[i * image.x_step]) : A(0);
  }
}

// the same way back, where it is inside
template <int L, typename T, typename A = compute_t<T>>
void scatter(const Vector<A, L>* from, const TensorView& x, int64_t n, int64_t c, int64_t lanes, int64_t y,
             int64_t first, int64_t rows, int64_t width) {
  const Image<T> image(x);
  const int64_t end = image.width - first < width ? image.width - first : width;
  for (int64_t i = 0; i < rows && y + i < image.height; ++i, from += width) {
    T* to = image.at(n, c, y + i, first);
    if (lanes == L && image.channel_step == 1) {
      for (int64_t j = 0; j < end; ++j, to += image.x_step) store_vector<L>(to, from[j]);
      continue;
    }
    int64_t j = 0;
    if (lanes == L && image.x_step == 1)
      for (int64_t count; (count = end - j >= L ? L : end - j >= L / 2 ? L / 2 : 0) > 0; j += count) {
        Vector<A, L> block[L];
        for (int k = 0; k < L; ++k) block[k] = k < count ? from[j + k] : Vector<A, L>{};
        transpose<L>(block);
        for (int k = 0; k < L; ++k) store_lanes<L>(to + j + k * image.channel_step, block[k], count);
      }
    if (j == end) continue;
    const A* lane = reinterpret_cast<const A*>(from + j);
    for (int64_t k = 0; k < lanes; ++k, to += image.channel_step, ++lane)
      for (int64_t i = j; i < end; ++i) store(to[i * image.x_step], lane[(i - j) * L]);
  }
}

// gather and scatter of an image of any type of numbers
template <typename A>
using Gather = void (*)(const TensorView&, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                        Vector<A, kLanesOf<A>>*);
template <typename A>
using Scatter = void (*)(const Vector<A, kLanesOf<A>>*, const TensorView&, int64_t, int64_t, int64_t, int64_t, int64_t,
                         int64_t, int64_t);

template <typename MATRIX, typename A>
void into_tiles(const TensorView& x, const Grid& g, const TensorView& v, Gather<A> gather) {
  constexpr int L = kLanesOf<A>, R = MATRIX::kRows, C = MATRIX::kColumns;
  using V = Vector<A, L>;
  const int64_t most = (kBlock - 1) * g.every + C, channels = x.sizes[1];
  const int threads = threads_for(v.numel());
  const Scratch<V> scratch(threads * (C + R) * most);
  parallel_for(v.sizes[1] / g.tiles_x, threads, [&](int64_t row, int thread) {
    V *pixels = scratch.get() + thread * (C + R) * most, *half = pixels + C * most;
    const int64_t n = (g.first + row) / g.tiles_y, y = (g.first + row) % g.tiles_y * g.every - g.pad_y;
    for_each_block<L>(g.tiles_x, channels, [&](int64_t c, int64_t lanes, int64_t first, int64_t count) {
      const int64_t width = (count - 1) * g.every + C;
      gather(x, n, c, lanes, y, first * g.every - g.pad_x, C, width, pixels);
      for (int64_t j = 0; j < width; ++j) multiply<MATRIX, A>(pixels + j, width, half + j, width);
      A* to = v.as<A>() + (row * g.tiles_x + first) * channels + c;
      for (int64_t t = 0; t < count; ++t, to += channels) {
        V tile[R * R];
        for (int i = 0; i < R; ++i) multiply<MATRIX, A>(half + i * width + t * g.every, 1, tile + i * R, 1);
        for (int k = 0; k < R * R; ++k) put_lanes<L>(to + k * v.strides[0], tile[k], lanes);
      }
    });
  });
}

template <typename MATRIX, typename A>
void from_tiles(const TensorView& v, const Grid& g, const TensorView& y, Scatter<A> scatter) {
  constexpr int L = kLanesOf<A>, R = MATRIX::kRows, C = MATRIX::kColumns;
  using V = Vector<A, L>;
  const int64_t channels = y.sizes[1];
  const int threads = threads_for(v.numel());
  const Scratch<V> scratch(threads * R * R * kBlock);
  parallel_for(v.sizes[1] / g.tiles_x, threads, [&](int64_t row, int thread) {
    V* pixels = scratch.get() + thread * R * R * kBlock;
    const int64_t n = (g.first + row) / g.tiles_y, top = (g.first + row) % g.tiles_y * R;
    for_each_block<L>(g.tiles_x, channels, [&](int64_t c, int64_t lanes, int64_t first, int64_t count) {
      const A* from = v.as<A>() + (row * g.tiles_x + first) * channels + c;
      for (int64_t t = 0; t < count; ++t, from += channels) {
        V tile[C * C], half[R * C];
        for (int k = 0; k < C * C; ++k) tile[k] = take_lanes<L>(from + k * v.strides[0], lanes);
        for (int j = 0; j < C; ++j) multiply<MATRIX, A>(tile + j, C, half + j, C);
        for (int i = 0; i < R; ++i) multiply<MATRIX, A>(half + i * C, 1, pixels + (i * count + t) * R, 1);
      }
      scatter(pixels, y, n, c, lanes, top, first * R, R, count * R);
    });
  });
}

// f(Filtering<M>()) for tiles of (M + 2)^2 points
template <typename F>
void with_filtering(const TensorView& v, const F& f) {
  v.sizes[0] == 16 ? f(Filtering<2>()) : f(Filtering<4>());
}

void winograd_into(TensorView x, std::string_view matrix, Ints grid, TensorView v) {
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Gather<A> from = &gather<kLanesOf<A>, T>;
    with_filtering(v, [&](auto filtering) {
      using F = decltype(filtering);
      const Grid g(grid);
      if (matrix == "input") return into_tiles<Plain<typename F::Input>, A>(x, g, v, from);
      if (matrix == "grad") return into_tiles<Transposed<typename F::Output>, A>(x, g, v, from);
      if (matrix == "flipped") return into_tiles<Flipped<typename F::Weight>, A>(x, g, v, from);
      into_tiles<Plain<typename F::Weight>, A>(x, g, v, from);
    });
  });
}

void winograd_from(TensorView v, std::string_view matrix, Ints grid, TensorView y) {
  dispatch(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Scatter<A> to = &scatter<kLanesOf<A>, T>;
    with_filtering(v, [&](auto filtering) {
      using F = decltype(filtering);
      const Grid g(grid);
      if (matrix == "output") return from_tiles<Plain<typename F::Output>, A>(v, g, y, to);
      from_tiles<Transposed<typename F::Weight>, A>(v, g, y, to);
    });
  });
}

GAN_FAST_LAUNCHER(winograd_into)
GAN_FAST_LAUNCHER(winograd_from)

}  // namespace
