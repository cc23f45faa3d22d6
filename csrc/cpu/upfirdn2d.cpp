// Polyphase resampling: y[i, j] = gain sum over a, b of f[a, b] v[i down_y + a, j down_x + b], where v is x with up - 1
// zeros between its samples, padded. Inserted zeros are never met.
//
// An output row is made in two stages. The rows of x that meet the filter become one row t (a filter of rank 1) or are
// copied (any other); then each horizontal phase of the output is a weighted sum of shifted views of t. t holds only
// the columns that are read, with zeros where x has none.
#include "filter.h"
#include "vector.h"

namespace {

using namespace gan_fast;

constexpr int64_t kTile = 4096;     // elements of t made before they are read: they stay in the first-level cache
constexpr int64_t kPixels = 2048;   // likewise for pixels of many channels
constexpr int64_t kFirBand = 1024;  // elements that fir4_plane takes before it goes on to those below them
constexpr int64_t kMargin = 16;     // vectors may read this far beyond a row of t

// The weights of a sum: in registers where their number is known (TAPS > 0).
template <int TAPS, typename A>
struct Weights {
  A f[TAPS];
  Weights(const A* from, int64_t) {
    for (int k = 0; k < TAPS; ++k) f[k] = from[k];
  }
  static constexpr int64_t taps() { return TAPS; }
};
template <typename A>
struct Weights<0, A> {
  const A* f;
  int64_t given;
  Weights(const A* from, int64_t taps) : f(from), given(taps) {}
  int64_t taps() const { return given; }
};

// sum over k of f[k] x[k stride], an element or a vector of L. There is at least one tap.
template <int L, int TAPS, typename A, typename In>
GF_HD Vector<A, L> weigh(const Weights<TAPS, A>& w, const In* x, int64_t stride) {
  Vector<A, L> sum = w.f[0] * load_vector<L>(x);
  const int taps = static_cast<int>(w.taps());
  for (int k = 1; k < taps; ++k) sum += w.f[k] * load_vector<L>(x + k * stride);
  return sum;
}
template <int TAPS, typename A, typename In>
GF_HD A weigh_one(const Weights<TAPS, A>& w, const In* x, int64_t stride) {
  A sum = w.f[0] * load(*x);
  for (int64_t k = 1; k < w.taps(); ++k) sum += w.f[k] * load(x[k * stride]);
  return sum;
}

// For `count` outputs of n elements: y[i] = sum over k of f[k] x[k stride + i], added to y where ADD.
template <int L, int TAPS, bool ADD, typename In, typename Out, typename A>
void combine_taps(const In* x, int64_t stride, const A* f, int64_t taps, Out* y, int64_t n, int64_t count,
                  int64_t x_step, int64_t y_step, Write write) {
  const Weights<TAPS, A> w(f, taps);
  const auto vector = [&](int64_t i) __attribute__((always_inline)) {
    const Vector<A, L> sum = weigh<L>(w, x + i, stride);
    put_vector<L>(y + i, ADD ? sum + load_vector<L>(y + i) : sum, write);
  };
  for (; count > 0; --count, x += x_step, y += y_step) {
    int64_t i = 0;
    for (; i + 2 * L <= n; i += 2 * L) {
      vector(i);
      vector(i + L);
    }
    if (i + L <= n) {
      vector(i);
      i += L;
    }
    if (i == n) continue;
    if (!ADD && n >= L) {
      vector(n - L);
      continue;
    }
    for (; i < n; ++i) store(y[i], ADD ? weigh_one(w, x + i, stride) + load(y[i]) : weigh_one(w, x + i, stride));
  }
}

template <bool ADD, typename In, typename Out, typename A>
void combine(const In* x, int64_t stride, const A* f, int64_t taps, Out* y, int64_t n, int64_t count = 1,
             int64_t x_step = 0, int64_t y_step = 0, Write write = Write::scratch) {
  if (taps == 0) {
    for (; !ADD && count > 0; --count, y += y_step)
      for (int64_t i = 0; i < n; ++i) store(y[i], A(0));
    return;
  }
  const auto with_taps = [&](auto known) {
    constexpr int TAPS = decltype(known)::value;
    auto run = &combine_taps<kLanesOf<A>, TAPS, ADD, In, Out, A>;
    if constexpr (std::is_same_v<In, Out>) {  // short rows of half precision are not worth code of their own
      if (n < kLanesOf<A>) run = &combine_taps<kLanesOf<A> / 2, TAPS, ADD, In, Out, A>;
    }
    run(x, stride, f, taps, y, n, count, x_step, y_step, write);
  };
  switch (taps) {
    case 1:
      return with_taps(std::integral_constant<int, 1>());
    case 2:
      return with_taps(std::integral_constant<int, 2>());
    case 3:
      return with_taps(std::integral_constant<int, 3>());
    case 4:
      return with_taps(std::integral_constant<int, 4>());
    case 6:
      return with_taps(std::integral_constant<int, 6>());
    case 12:
      return with_taps(std::integral_constant<int, 12>());
    default:
      return with_taps(std::integral_constant<int, 0>());
  }
}

// One phase of a row: its view of t, its weights.
template <typename A>
struct View {
  const A *t, *f;
  int64_t taps;
};

// Rows of n elements: y[2 m + p] = sum over k of f[p][k] t[p][m + k]
template <int L, int TAPS, typename T, typename A>
void up2_rows(View<A> even, View<A> odd, int64_t t_step, T* y, int64_t n, int64_t rows, Write write) {
  const std::make_integer_sequence<int, L> lanes;
  const Weights<TAPS, A> w0(even.f, even.taps), w1(odd.f, odd.taps);
  for (; rows > 0; --rows, y += n, even.t += t_step, odd.t += t_step) {
    const auto vector = [&](int64_t m) __attribute__((always_inline)) {
      const auto a = weigh<L>(w0, even.t + m, 1), b = weigh<L>(w1, odd.t + m, 1);
      put_vector<L>(y + 2 * m, interleave<L, 0>(a, b, lanes), write);
      put_vector<L>(y + 2 * m + L, interleave<L, 1>(a, b, lanes), write);
    };
    int64_t m = 0;
    for (; 2 * (m + L) <= n; m += L) vector(m);
    if (2 * m == n) continue;
    if (n >= 2 * L && n % 2 == 0) {
      vector(n / 2 - L);
      continue;
    }
    for (; 2 * m < n; ++m) {
      store(y[2 * m], weigh_one(w0, even.t + m, 1));
      if (2 * m + 1 < n) store(y[2 * m + 1], weigh_one(w1, odd.t + m, 1));
    }
  }
}

// Pixels of n elements: y[2 m + p, i] = sum over k of f[p][k] t[p][m + k, i]
template <int L, int TAPS, typename T, typename A>
void up2_pixels(View<A> even, View<A> odd, T* y, int64_t n, int64_t count, Write write) {
  const Weights<TAPS, A> w0(even.f, even.taps), w1(odd.f, odd.taps);
  for (; count > 0; --count, y += 2 * n, even.t += n, odd.t += n) {
    const auto vector = [&](int64_t i) __attribute__((always_inline)) {
      put_vector<L>(y + i, weigh<L>(w0, even.t + i, n), write);
      put_vector<L>(y + n + i, weigh<L>(w1, odd.t + i, n), write);
    };
    int64_t i = 0;
    for (; i + L <= n; i += L) vector(i);
    if (i < n) vector(n - L);
  }
}

// Rows of n elements: y[m] = sum over k of f[k] t[2 m + k]
template <int L, int TAPS, typename T, typename A>
void down2_rows(View<A> view, int64_t t_step, T* y, int64_t n, int64_t rows, Write write) {
  const std::make_integer_sequence<int, L> lanes;
  const Weights<TAPS, A> w(view.f, view.taps);
  for (; rows > 0; --rows, y += n, view.t += t_step) {
    const auto vector = [&](int64_t m) __attribute__((always_inline)) {
      Vector<A, L> sum = {};
      const int taps = static_cast<int>(w.taps());
      for (int k = 0; k < taps; k += 2) {
        const auto a = load_vector<L>(view.t + 2 * m + k), b = load_vector<L>(view.t + 2 * m + k + L);
        sum += w.f[k] * every_second<L, 0>(a, b, lanes);
        if (k + 1 < taps) sum += w.f[k + 1] * every_second<L, 1>(a, b, lanes);
      }
      put_vector<L>(y + m, sum, write);
    };
    int64_t m = 0;
    for (; m + L <= n; m += L) vector(m);
    if (m == n) continue;
    if (n >= L) {
      vector(n - L);
      continue;
    }
    for (; m < n; ++m) store(y[m], weigh_one(w, view.t + 2 * m, 1));
  }
}

// One plane through a 4 x 4 filter of rank 1, its size kept: y[i, j] = sum over a, b < 4 of column[a] row[b]
// x[i + top + a, j + left + b], where -3 <= top, left <= 0. Neighbours in a row are shuffled from registers, and each
// row goes into the four sums that it is part of. A band of rows is taken down vector by vector: memory is met in order
// (and asked for a band ahead), and between bands the sums of each vector wait in `sums` [3, width].
template <int L, typename T, typename A = compute_t<T>>
void fir4_plane(const T* x, const A* row, const A* column, int64_t left, int64_t top, T* y, int64_t height,
                int64_t width, A* sums, Write write) {
  using V = Vector<A, L>;
  const Weights<4, A> across(row, 4), along(column, 4);
  IndexOf<V> from[4];  // where tap b finds lane i: in the vectors before and at it, or at and after it
  for (int b = 0; b < 4; ++b)
    for (int i = 0; i < L; ++i) from[b][i] = i + static_cast<int>(left) + b + (left + b < 0 ? L : 0);
  const int64_t band = ceil_div(kFirBand, width);
  for (int64_t first = 0; first < height; first += band) {
    const int64_t last = first + band < height ? first + band : height;
    for (int64_t j = 0; j < width; j += L) {
      V next[3] = {};
      for (int k = 0; k < 3 && first > 0; ++k) next[k] = load_vector<L>(sums + k * width + j);
      for (int64_t r = first; r < last; ++r) {
        const T* at = x + r * width + j;
        __builtin_prefetch(at + kFirBand);
        const V here = load_vector<L>(at);
        const V before = j > 0 ? load_vector<L>(at - L) : V{}, after = j + L < width ? load_vector<L>(at + L) : V{};
        V h = {};
        for (int b = 0; b < 4; ++b)
          h += across.f[b] * (left + b < 0 ? permute(before, here, from[b]) : permute(here, after, from[b]));
        const int64_t i = r - top - 3;
        if (i >= 0) put_vector<L>(y + i * width + j, next[0] + along.f[3] * h, write);
        next[0] = next[1] + along.f[2] * h;
        next[1] = next[2] + along.f[1] * h;
        next[2] = along.f[0] * h;
      }
      for (int k = 0; k < 3; ++k) store_vector<L>(sums + k * width + j, next[k]);
    }
  }
  for (int64_t i = height - top - 3, k = 0; i < height; ++i, ++k)
    for (int64_t j = 0; j < width && i >= 0; j += L)
      put_vector<L>(y + i * width + j, load_vector<L>(sums + k * width + j), write);
}

// The horizontal taps of down2_plane: where tap b finds the sample for lane l in two vectors that hold 2 L / width
// rows, and whether the plane has it: samples beside it are zeros, whatever stands in the vectors.
template <int L, typename A>
struct Halving {
  using V = Vector<A, L>;
  IndexOf<V> from[4], inside[4];
  Weights<4, A> row;

  Halving(const A* row, int left, int width) : row(row, 4) {
    for (int b = 0; b < 4; ++b)
      for (int l = 0; l < L; ++l) {
        const int j = 2 * l % width + left + b;
        inside[b][l] = j >= 0 && j < width ? -1 : 0;
        from[b][l] = inside[b][l] ? 2 * l / width * width + j : 0;
      }
  }
  GF_HD V tap(int b, V first, V second) const {
    return reinterpret_cast<V>(reinterpret_cast<IndexOf<V>>(permute(first, second, from[b])) & inside[b]);
  }
};

// One plane through a 4 x 4 filter of rank 1, its sides halved: y[i, m] = sum over a, b < 4 of column[a] row[b]
// x[2 i + top + a, 2 m + left + b]. The plane is L or 2 L wide, so that a vector of y comes from two vectors that have
// met the column: of two rows of y, or the halves of one.
template <int L, typename T, typename A = compute_t<T>>
void down2_plane(const T* x, const Halving<L, A>& across, const Weights<4, A>& along, int64_t top, T* y, int64_t height,
                 int64_t width, int64_t out_height, Write write) {
  using V = Vector<A, L>;
  const auto meet_column = [&](int64_t i, int64_t j) __attribute__((always_inline)) {
    const int64_t first = 2 * i + top;
    const T* at = x + first * width + j;
    if (first >= 0 && first + 4 <= height) return weigh<L>(along, at, width);
    V sum = {};
    for (int a = 0; a < 4; ++a)
      if (first + a >= 0 && first + a < height) sum += along.f[a] * load_vector<L>(at + a * width);
    return sum;
  };
  const bool pair = width == L;
  for (int64_t i = 0; i < out_height; i += pair ? 2 : 1, y += L) {
    const V a = meet_column(i, 0), b = pair ? meet_column(i + 1, 0) : meet_column(i, L);
    V sum = across.row.f[0] * across.tap(0, a, b);
    for (int k = 1; k < 4; ++k) sum += across.row.f[k] * across.tap(k, a, b);
    put_vector<L>(y, sum, write);
  }
}

// Along one axis, y[period m + p] = sum over k < taps of f[tap + k up] x[first + step m + k], where (first, tap, taps)
// belong to phase p.
struct Phase {
  int64_t first, tap, taps;
};

struct Axis {
  int64_t up, in, out, period, step;
  Scratch<Phase> phases;
  int64_t lowest = 0, highest = -1;  // what is read of x, also outside of it
  int64_t max_taps = 0;

  static int64_t gcd(int64_t a, int64_t b) { return b == 0 ? a : gcd(b, a % b); }

  Axis(int64_t in, int64_t out, int64_t filter, int64_t up, int64_t down, int64_t padding)
      : up(up), in(in), out(out), period(up / gcd(up, down)), step(down / gcd(up, down)), phases(period) {
    for (int64_t p = 0; p < period; ++p) {
      const int64_t begin = p * down - padding;  // the filter's first tap on the upsampled grid
      const int64_t first = ceil_div(begin, up), tap = first * up - begin;
      const int64_t taps = tap < filter ? (filter - tap + up - 1) / up : 0;
      phases[p] = {first, tap, taps};
      if (taps == 0 || count(p) == 0) continue;
      const int64_t last = first + step * (count(p) - 1) + taps - 1;
      if (max_taps == 0 || first < lowest) lowest = first;
      if (max_taps == 0 || last > highest) highest = last;
      if (taps > max_taps) max_taps = taps;
    }
  }
  int64_t count(int64_t phase) const { return (out - phase + period - 1) / period; }
  int64_t width() const { return highest - lowest + 1; }
  // the part of [lowest, highest] that x has
  int64_t begin() const { return lowest > 0 ? lowest : 0; }
  int64_t end() const { return highest + 1 < in ? highest + 1 : in; }

  // the first sample of x that the periods before m do not read
  int64_t first_unread(int64_t m) const {
    int64_t sample = lowest;
    for (int64_t p = 0; p < period; ++p) {
      const int64_t end = phases[p].first + step * (m - 1) + phases[p].taps;
      if (end > sample) sample = end;
    }
    return sample;
  }

  // The taps of a filter with those of each phase side by side: phase p's begin at p max_taps.
  template <typename A>
  void arrange(const A* f, A* taps) const {
    for (int64_t p = 0; p < period; ++p)
      for (int64_t k = 0; k < phases[p].taps; ++k) taps[p * max_taps + k] = f[phases[p].tap + k * up];
  }
};

template <typename T>
class Resampler {
  using A = compute_t<T>;
  static constexpr std::integral_constant<int, kLanesOf<A>> kFull{};
  static constexpr std::integral_constant<int, kLanesOf<A> / 2> kHalf{};

 public:
  Resampler(const TensorView& x, const TensorView& f, const Ints& up, const Ints& down, const Ints& padding, bool flip,
            double gain, const TensorView& y)
      : x_(x.as<T>()),
        y_(y.as<T>()),
        filter_(f, flip, gain),
        across_(x.sizes[3], y.sizes[3], filter_.width, up[0], down[0], padding[0]),
        along_(x.sizes[2], y.sizes[2], filter_.height, up[1], down[1], padding[2]),
        depth_(filter_.separable ? 1 : filter_.height),
        across_taps_(depth_ * across_.period * across_.max_taps),
        along_taps_(along_.period * along_.max_taps) {
    const int64_t channels = x.sizes[1];
    // with one channel or one pixel both formats are the same memory
    const bool channels_last = channels > 1 && (x.sizes[2] * x.sizes[3] > 1 ? x.strides[1] : y.strides[1]) == 1;
    images_ = channels_last ? x.sizes[0] : x.sizes[0] * channels;
    pixel_ = channels_last ? channels : 1;
    planes_ = pixel_ < kLanesOf<A> ? pixel_ : 1;
    block_ = planes_ == 1 ? pixel_ : 1;
    const int64_t before = (across_.begin() - across_.lowest) * block_;
    lead_ = (16 - before % 16) % 16;  // column 0 of x begins a cache line
    row_ = (lead_ + across_.width() * block_ + kMargin + 15) / 16 * 16;
    for (int64_t d = 0; d < depth_; ++d) across_.arrange(filter_.rows.get() + d * filter_.width, across_taps(d, 0));
    along_.arrange(filter_.column.get(), along_taps_.get());
    // what goes through a buffer first is not streamed
    if (filter_.separable && planes_ == 1) write_ = write_of(y_, block_ > 1 ? block_ : across_.out, y.numel());
  }

  void run() {
    if constexpr (kFull >= 4) {  // the taps of a lane lie within its neighbouring vectors
      constexpr int L = kHalf >= 4 ? kHalf : kFull;
      if (fir4(across_) && fir4(along_) && filter_.separable && pixel_ == 1 && across_.in % L == 0)
        return fir4_planes<L>();
    }
    if (halved(across_) && halved(along_) && filter_.separable && pixel_ == 1) {
      const int64_t size = along_.out * across_.out;
      if (size % kFull == 0 && (across_.in == kFull || across_.in == 2 * kFull)) return down2_planes<kFull>();
      if (size % kHalf == 0 && (across_.in == kHalf || across_.in == 2 * kHalf)) return down2_planes<kHalf>();
    }
    const int64_t row_set = depth_ * planes_ * row_;
    int64_t band = kTile / row_set;
    band = band < 1 ? 1 : band < along_.out ? band : along_.out;
    const int64_t bands = (along_.out + band - 1) / band;
    const int threads = threads_for(images_ * pixel_ * (along_.out * across_.out + along_.in * across_.in));
    const int64_t flat = planes_ > 1 ? pixel_ * across_.in : 0, sums = (across_.out * block_ + 15) / 16 * 16;
    const int64_t share = (band * row_set + flat + sums + 15) / 16 * 16;
    Scratch<A> scratch(threads * share);
    Scratch<T> staging(planes_ > 1 ? threads * across_.out : 0);
    for (int64_t i = 0; i < threads * share; ++i) scratch[i] = 0;  // what lies beside x stays zero
    parallel_for(images_ * bands, threads, [&](int64_t task, int thread) {
      const int64_t image = task / bands, first = task % bands * band;
      const int64_t last = first + band < along_.out ? first + band : along_.out;
      A* t = scratch.get() + thread * share + lead_;
      A* room = scratch.get() + thread * share + band * row_set;
      const T* x = x_ + image * along_.in * across_.in * pixel_;
      T* y = y_ + (image * along_.out + first) * across_.out * pixel_;
      if (filter_.separable && planes_ == 1) {
        if (block_ > 1) {
          for (int64_t i = first; i < last; ++i, y += across_.out * pixel_)
            make_pixels(x, row(i / along_.period, i % along_.period), t, y);
          return;
        }
        meet_band(x, first, last, t);
        filter_rows<false>(t, 0, y, last - first);
        return;
      }
      for (int64_t i = first; i < last; ++i, t += row_set, y += across_.out * pixel_) {
        const Row r = row(i / along_.period, i % along_.period);
        meet_row(x, r, t, room);
        if (planes_ == 1) {
          make_row(t, r, room, y);
          continue;
        }
        T* plane = staging.get() + thread * across_.out;
        for (int64_t c = 0; c < pixel_; ++c) {
          make_row(t + c * depth_ * row_, r, room, plane);
          for (int64_t j = 0; j < across_.out; ++j) y[j * pixel_ + c] = plane[j];
        }
      }
    });
  }

 private:
  // Whether an axis takes what fir4_plane does.
  static bool fir4(const Axis& axis) {
    const Phase& all = axis.phases[0];
    return axis.up == 1 && axis.step == 1 && axis.in == axis.out && all.taps == 4 && all.first <= 0 && all.first >= -3;
  }

  template <int L>
  void fir4_planes() {
    const int64_t width = across_.in, plane = along_.in * width;
    const int threads = threads_for(images_ * plane);
    const Scratch<A> sums(threads * 3 * width);
    const auto filter = width % kFull == 0 ? &fir4_plane<kFull, T> : &fir4_plane<L, T>;
    parallel_for(images_, threads, [&](int64_t i, int thread) {
      filter(x_ + i * plane, across_taps(0, 0), along_taps_.get(), across_.phases[0].first, along_.phases[0].first,
             y_ + i * plane, along_.in, width, sums.get() + thread * 3 * width, write_);
    });
  }

  // Whether an axis takes what down2_plane does.
  static bool halved(const Axis& axis) {
    return axis.up == 1 && axis.step == 2 && axis.in == 2 * axis.out && axis.phases[0].taps == 4;
  }

  template <int L>
  void down2_planes() {
    const int64_t plane = along_.in * across_.in, out_plane = along_.out * across_.out;
    const Halving<L, A> across(across_taps(0, 0), static_cast<int>(across_.phases[0].first),
                               static_cast<int>(across_.in));
    const Weights<4, A> along(along_taps_.get(), 4);
    parallel_for(images_, threads_for(images_ * plane), [&](int64_t i, int) {
      down2_plane<L, T>(x_ + i * plane, across, along, along_.phases[0].first, y_ + i * out_plane, along_.in,
                        across_.in, along_.out, write_);
    });
  }

  A* across_taps(int64_t d, int64_t p) const {
    return across_taps_.get() + (d * across_.period + p) * across_.max_taps;
  }

  // An output row: its phase p and the taps [begin, end) that meet x; tap k meets row base + k.
  struct Row {
    int64_t p, base, begin, end;
  };
  Row row(int64_t m, int64_t p) const {
    const int64_t base = along_.phases[p].first + along_.step * m, taps = along_.phases[p].taps;
    const int64_t begin = base < 0 ? -base : 0, end = along_.in - base < taps ? along_.in - base : taps;
    return {p, base, begin, end < begin ? begin : end};
  }

  // First stage of the output rows [first, last) of a filter of rank 1, one row of t for each: of every phase, the rows
  // that all taps meet are made together.
  void meet_band(const T* x, int64_t first, int64_t last, A* t) const {
    const int64_t begin = across_.begin(), columns = across_.end() - begin, x_row = across_.in * pixel_;
    if (columns <= 0) return;
    const int64_t period = along_.period, step = along_.step;
    x += begin * pixel_;
    t += (begin - across_.lowest) * block_;
    for (int64_t p = 0; p < period; ++p) {
      const Phase& phase = along_.phases[p];
      const A* f = along_taps_.get() + p * along_.max_taps;
      const auto make = [&](int64_t m, int64_t count) {
        const Row r = row(m, p);
        combine<false>(x + (r.base + r.begin) * x_row, x_row, f + r.begin, r.end - r.begin,
                       t + (m * period + p - first) * row_, columns * pixel_, count, step * x_row, period * row_);
      };
      const auto within = [](int64_t m, int64_t low, int64_t high) { return m < low ? low : m < high ? m : high; };
      const int64_t m_first = ceil_div(first - p, period), m_last = ceil_div(last - p, period);
      const int64_t whole = within(ceil_div(-phase.first, step), m_first, m_last);
      const int64_t cut = within(floor_div(along_.in - phase.taps - phase.first, step) + 1, whole, m_last);
      for (int64_t m = m_first; m < whole; ++m) make(m, 1);
      if (whole < cut) make(whole, cut - whole);
      for (int64_t m = cut; m < m_last; ++m) make(m, 1);
    }
  }

  // First stage of one output row: t[plane, d, (column - lowest) block + channel].
  void meet_row(const T* x, const Row& r, A* t, A* room) const {
    const int64_t begin = across_.begin(), columns = across_.end() - begin, x_row = across_.in * pixel_;
    if (columns <= 0 || r.begin >= r.end) return;
    const A* f = along_taps_.get() + r.p * along_.max_taps + r.begin;
    for (int64_t d = 0; d < (filter_.separable ? 1 : r.end - r.begin); ++d) {
      const T* from = x + (r.base + r.begin + d) * x_row + begin * pixel_;
      const int64_t taps = filter_.separable ? r.end - r.begin : 1;
      A* to = t + d * row_ + (begin - across_.lowest) * block_;
      combine<false>(from, x_row, f + d, taps, planes_ == 1 ? to : room, columns * pixel_);
      for (int64_t c = 0; planes_ > 1 && c < pixel_; ++c)
        for (int64_t j = 0; j < columns; ++j) to[c * depth_ * row_ + j] = room[j * pixel_ + c];
    }
  }

  // Second stage.
  void make_row(const A* t, const Row& r, A* room, T* y) const {
    if (r.begin >= r.end) {
      for (int64_t j = 0; j < across_.out * block_; ++j) store(y[j], A(0));
    } else if (filter_.separable) {
      filter_rows<false>(t, 0, y, 1);
    } else {
      const auto filter_row_of = [&](int64_t k) { return along_.phases[r.p].tap + k * along_.up; };
      filter_rows<false>(t, filter_row_of(r.begin), room, 1);
      for (int64_t k = r.begin + 1; k < r.end; ++k)
        filter_rows<true>(t + (k - r.begin) * row_, filter_row_of(k), room, 1);
      for (int64_t j = 0; j < across_.out * block_; ++j) store(y[j], room[j]);
    }
  }

  View<A> view(const A* t, int64_t d, int64_t p) const {
    const Phase& phase = across_.phases[p];
    return {t + (phase.first - across_.lowest) * block_, across_taps(d, p), phase.taps};
  }

  // The periods [begin, end) of one row of pixels.
  template <bool ADD, typename Out>
  void filter_pixels(const A* t, int64_t d, Out* y, int64_t begin, int64_t end) const {
    const int64_t period = across_.period, skip = across_.step * block_;
    t += begin * skip;
    y += begin * period * block_;
    if constexpr (!ADD) {
      const View<A> even = view(t, d, 0), odd = view(t, d, period - 1);
      const int64_t pairs = (across_.out < 2 * end ? across_.out / 2 : end) - begin;
      if (period == 2 && across_.step == 1 && even.taps == 2 && odd.taps == 2) {
        up2_pixels<kLanesOf<A>, 2>(even, odd, y, block_, pairs, write_);
        if (begin + pairs < end)
          combine<false>(even.t + pairs * block_, block_, even.f, 2, y + 2 * pairs * block_, block_);
        return;
      }
    }
    for (int64_t p = 0; p < period; ++p) {
      const View<A> v = view(t, d, p);
      const int64_t last = end < across_.count(p) ? end : across_.count(p);
      combine<ADD>(v.t, block_, v.f, v.taps, y + p * block_, block_, last - begin, skip, period * block_, write_);
    }
  }

  // One output row of pixels, a few at a time, so that t is read while it is in the first-level cache.
  void make_pixels(const T* x, const Row& r, A* t, T* y) const {
    const int64_t x_row = across_.in * pixel_, periods = across_.count(0);
    const int64_t size = kPixels / (block_ * across_.step) + 1;
    int64_t made = across_.begin();
    for (int64_t begin = 0; begin < periods; begin += size) {
      const int64_t end = begin + size < periods ? begin + size : periods;
      int64_t reach = across_.first_unread(end);
      if (reach > across_.end()) reach = across_.end();
      if (reach > made) {
        combine<false>(x + (r.base + r.begin) * x_row + made * pixel_, x_row,
                       along_taps_.get() + r.p * along_.max_taps + r.begin, r.end - r.begin,
                       t + (made - across_.lowest) * block_, (reach - made) * block_);
        made = reach;
      }
      filter_pixels<false>(t, 0, y, begin, end);
    }
  }

  // Rows of y = rows of t filtered by row d of the filter, added to y where ADD.
  template <bool ADD, typename Out>
  void filter_rows(const A* t, int64_t d, Out* y, int64_t rows) const {
    const int64_t period = across_.period, step = across_.step, n = across_.out;
    const View<A> first = view(t, d, 0), second = view(t, d, period > 1 ? 1 : 0);
    if (block_ > 1) {
      for (int64_t i = 0; i < rows; ++i) filter_pixels<ADD>(t + i * row_, d, y + i * n * block_, 0, across_.count(0));
    } else if (period == 1 && step == 1) {
      combine<ADD>(first.t, 1, first.f, first.taps, y, n, rows, row_, n, write_);
    } else if (!ADD && period == 2 && step == 1 && first.taps > 0 && second.taps > 0) {
      const int64_t both = first.taps == second.taps ? first.taps : 0;
      const auto run = [&](auto lanes) {
        constexpr int L = decltype(lanes)::value;
        if (both == 2) return up2_rows<L, 2>(first, second, row_, y, n, rows, write_);
        if (both == 6) return up2_rows<L, 6>(first, second, row_, y, n, rows, write_);
        up2_rows<L, 0>(first, second, row_, y, n, rows, write_);
      };
      n >= 2 * kLanesOf<A> ? run(kFull) : run(kHalf);
    } else if (!ADD && period == 1 && step == 2) {
      const auto run = [&](auto lanes) {
        constexpr int L = decltype(lanes)::value;
        if (first.taps == 4) return down2_rows<L, 4>(first, row_, y, n, rows, write_);
        if (first.taps == 12) return down2_rows<L, 12>(first, row_, y, n, rows, write_);
        down2_rows<L, 0>(first, row_, y, n, rows, write_);
      };
      n >= kLanesOf<A> ? run(kFull) : run(kHalf);
    } else {
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t p = 0; p < period; ++p) {
          View<A> v = view(t + i * row_, d, p);
          for (int64_t j = i * n + p; j < (i + 1) * n; j += period, v.t += step) {
            A sum = ADD ? load(y[j]) : A(0);
            for (int64_t k = 0; k < v.taps; ++k) sum += v.f[k] * v.t[k];
            store(y[j], sum);
          }
        }
    }
  }

  const T* x_;
  T* y_;
  const Filter<A> filter_;
  const Axis across_, along_;
  int64_t depth_;  // rows of t behind an output row: one, or those of the filter
  const Scratch<A> across_taps_, along_taps_;
  int64_t images_, pixel_;  // channels_last: images of pixels of C elements; else planes of single ones
  int64_t planes_, block_;  // pixels too short for a vector become planes of t
  Write write_ = Write::scratch;
  int64_t row_, lead_;  // size of a row of t, and of what lies before its first column
};

void upfirdn2d(TensorView x, TensorView f, Ints up, Ints down, Ints padding, bool flip_filter, double gain,
               TensorView y) {
  dispatch(x.dtype, [&](auto zero) { Resampler<decltype(zero)>(x, f, up, down, padding, flip_filter, gain, y).run(); });
}

GAN_FAST_LAUNCHER(upfirdn2d)

}  // namespace
