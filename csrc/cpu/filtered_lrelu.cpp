// y = down(act(up(x + b))): upsampling, leaky ReLU with gain and clamp, downsampling, with no more of the upsampled
// image in existence than the rows that the second filter meets; and the same with the slopes read instead.
//
// Three coordinates along each axis, here of columns:
//   grid    k = 0 ... (out - 1) down + fd - 1    u[k] = sum over a of fu[a] z[k + a - x0], where z[i up] = x[i], else 0
//   input   i                                    meets k through tap a = i up + x0 - k
//   output  j                                    y[j] = sum over a of fd[a] v[j down + a]
// With the period P = lcm(up, down), column k = P m + p of a grid row lies at m in plane p, of an input row of
// P / up planes and an output row of P / down planes likewise. Then every stage, of any up and down, is a weighted sum
// of contiguous rows. A sample is a block of neighbours: one for NCHW, kBlock channels for channels_last.
//
// A task walks down a band of output rows of one image, strip by strip; its rows live in rings within the caches.
#include <algorithm>

#include "filter.h"
#include "vector.h"

namespace {

using namespace gan_fast;

constexpr int64_t kBlock = 16;              // channels of channels_last that are walked together
constexpr int64_t kNarrow = 48;             // planes of fewer columns are walked in blocks of channels as well
constexpr int64_t kStripBytes = 384 << 10;  // of the rings: they are to stay in the second-level cache
constexpr int64_t kStep = 16;               // a strip is as many outputs of each plane, or a multiple
constexpr int64_t kMinBand = 16;            // output rows that are worth a task
constexpr int64_t kNone = 0;

enum Code : uint8_t { kPositive, kNegative, kClamped };

template <typename T>
GF_HD T read(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

int64_t gcd(int64_t a, int64_t b) { return b == 0 ? a : gcd(b, a % b); }
int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// The taps that one phase of the grid has: input first + n meets tap + n up, for n < count.
struct Phase {
  int64_t first, tap, count;
};
Phase phase_of(int64_t k, int64_t up, int64_t start, int64_t filter) {
  const int64_t first = ceil_div(k - start, up), tap = first * up - (k - start);
  return {first, tap, tap < filter ? (filter - tap + up - 1) / up : 0};
}

// Calls f(i, V) for pieces of a row of n elements: V vectors from element i on, the last one maybe beyond the end.
template <int MOST, int L, typename F>
GF_HD void in_pieces(int64_t n, const F& f) {
  int64_t i = 0, vectors = (n + L - 1) / L;
  for (; vectors >= MOST; vectors -= MOST, i += MOST * L) f(i, std::integral_constant<int, MOST>());
  if constexpr (MOST > 4) {
    if (vectors >= 4) {
      f(i, std::integral_constant<int, 4>());
      vectors -= 4, i += 4 * L;
    }
  }
  switch (vectors) {
    case 3:
      return f(i, std::integral_constant<int, 3>());
    case 2:
      return f(i, std::integral_constant<int, 2>());
    case 1:
      return f(i, std::integral_constant<int, 1>());
  }
}

// sum[v] += w p[v] for vectors that follow each other
template <int V, typename A>
GF_HD void add(Vector<A, kLanesOf<A>>* sum, A w, const A* p) {
  asm("" : "+r"(p));  // one address for all of them: gcc would make one for each
  for (int v = 0; v < V; ++v) sum[v] += w * load_vector<kLanesOf<A>>(p + v * kLanesOf<A>);
}
template <int V, typename A>
GF_HD void put(A* y, const Vector<A, kLanesOf<A>>* sum) {
  for (int v = 0; v < V; ++v) store_vector<kLanesOf<A>>(y + v * kLanesOf<A>, sum[v]);
}

// y = sum over r, t of weights[r taps + t] rows[r][offsets[t] ...]. Up to a whole vector beyond n is written.
template <typename A>
void weigh(const A* const* rows, int64_t count, const int64_t* offsets, int64_t taps, const A* weights, A* y,
           int64_t n) {
  in_pieces<8, kLanesOf<A>>(n, [&](int64_t i, auto vectors) __attribute__((always_inline)) {
    constexpr int V = decltype(vectors)::value;
    Vector<A, kLanesOf<A>> sum[V] = {};
    const A* w = weights;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t t = 0; t < taps; ++t) add<V>(sum, *w++, rows[r] + offsets[t] + i);
    put<V>(y + i, sum);
  });
}

// Which rows each of two sums takes, of rows in order: `head` the first alone, `shared` both, `tail` the second alone.
struct Overlap {
  int64_t head, shared, tail;
  // The first of them has count0 of the rows from first0 on, the second count1 from first1 on, and neither has none.
  Overlap(int64_t first0, int64_t count0, int64_t first1, int64_t count1)
      : head(std::min(first1 - first0, count0)), shared(count0 - head), tail(count1 - shared) {}
};

// Both at once, so that a row is loaded once: y0 = sum of weights0[r] row(r), y1 = sum of weights1[r] row(head + r).
template <typename A, typename Row>
void weigh_two(const Row& row, const Overlap& o, const A* weights0, const A* weights1, A* y0, A* y1, int64_t n) {
  in_pieces<GAN_FAST_ISA == 2 ? 8 : 4, kLanesOf<A>>(n, [&](int64_t i, auto vectors) __attribute__((always_inline)) {
    constexpr int V = decltype(vectors)::value;
    Vector<A, kLanesOf<A>> sum0[V] = {}, sum1[V] = {};
    int64_t r = 0;
    for (; r < o.head; ++r) add<V>(sum0, weights0[r], row(r) + i);
    for (; r < o.head + o.shared; ++r) {
      const A *p = row(r) + i, w0 = weights0[r], w1 = weights1[r - o.head];
      asm("" : "+r"(p));
      for (int v = 0; v < V; ++v) {
        const Vector<A, kLanesOf<A>> x = load_vector<kLanesOf<A>>(p + v * kLanesOf<A>);
        sum0[v] += w0 * x;
        sum1[v] += w1 * x;
      }
    }
    for (; r < o.head + o.shared + o.tail; ++r) add<V>(sum1, weights1[r - o.head], row(r) + i);
    put<V>(y0 + i, sum0);
    put<V>(y1 + i, sum1);
  });
}

// The last `size` rows of an image. Pointers to them lie in order from any row on.
template <typename A>
class Ring {
 public:
  Ring(A* memory, int64_t size, int64_t row) : size_(static_cast<uint32_t>(size)), rows_(2 * size) {
    for (int64_t i = 0; i < 2 * size; ++i) rows_[i] = memory + i % size * row;
  }
  A* const* from(int64_t row) const { return &rows_[static_cast<uint32_t>(row) % size_]; }

 private:
  uint32_t size_;
  Scratch<A*> rows_;
};

struct Settings {
  int64_t up, down, x0, y0;
  bool flip;
  double up_gain, gain, slope, clamp;  // clamp < 0: none
  int64_t sign_x, sign_y;              // the grid's first sample in the signs
};

template <typename T>
class Pass {
  using A = compute_t<T>;

 public:
  Pass(const TensorView& x, const TensorView& b, const TensorView& fu, const TensorView& fd, const Settings& settings,
       const TensorView& y, const TensorView& signs, bool read_signs)
      : x_(x),
        y_(y),
        signs_(signs),
        set_(settings),
        reads_(read_signs),
        writes_(!read_signs && signs.numel() > 0),
        fu_(fu, settings.flip, settings.up_gain),
        fd_(fd, settings.flip, 1.0),
        period_(settings.up / gcd(settings.up, settings.down) * settings.down),
        in_planes_(period_ / settings.up),
        out_planes_(period_ / settings.down),
        up_taps_(ceil_div(fu_.width, settings.up)),
        in_rows_(ceil_div(fu_.height, settings.up)),
        in_ring_rows_(in_rows_ + 1),
        grid_rows_(fd_.height + settings.down),
        bias_(x.sizes[1]),
        across_(period_),
        along_(settings.up),
        up_offsets_(period_ * up_taps_),
        up_weights_((fu_.separable ? 1 : settings.up * in_rows_) * period_ * up_taps_),
        along_weights_(settings.up * in_rows_),
        down_offsets_(out_planes_ * fd_.width) {
    for (int64_t c = 0; c < x.sizes[1]; ++c) bias_[c] = b.given() ? load(b.as<T>()[c]) : A(0);
    // with one channel or one pixel both formats are the same memory
    const bool pixel = x.sizes[2] * x.sizes[3] == 1;
    const bool channels_last = x.sizes[1] > 1 && (pixel ? y.strides[1] : x.strides[1]) == 1;
    block_ = channels_last || (x.sizes[1] >= kBlock && y.sizes[3] < kNarrow * out_planes_) ? kBlock : 1;
    reach_ = ((out_planes_ - 1) * set_.down + fd_.width - 1) / period_;
    lay_out_columns();
    choose_strip();
    lay_out_taps();
  }

  void run() const {
    const int64_t blocks = (x_.sizes[1] + block_ - 1) / block_, images = x_.sizes[0] * blocks;
    const int threads = threads_for(y_.numel() * set_.down * set_.down + x_.numel());
    const int64_t out = y_.sizes[2];
    int64_t bands = threads == 1 ? 1 : ceil_div(4 * threads, images);
    bands = std::max<int64_t>(1, std::min(bands, out / kMinBand));
    const int64_t band = ceil_div(out, bands);
    Scratch<A> memory(threads * share_);
    Scratch<uint8_t> codes(threads * code_share_);
    for (int64_t i = 0; i < threads * share_; ++i) memory[i] = 0;
    parallel_for(images * bands, threads, [&](int64_t task, int thread) {
      const int64_t image = task / bands, first = task % bands * band;
      if (first >= out) return;
      Task t = {image / blocks,
                image % blocks * block_,
                0,
                first,
                std::min(first + band, out),
                0,
                0,
                nullptr,
                memory.get() + thread * share_,
                codes.get() + thread * code_share_};
      t.channels = std::min(block_, x_.sizes[1] - t.channel);
      for (t.column = 0; t.column < y_.sizes[3]; t.column += strip_) {
        t.columns = std::min(strip_, y_.sizes[3] - t.column);
        walk(t);
      }
    });
  }

 private:
  struct Task {
    int64_t sample, channel, channels;
    int64_t first, last;      // output rows
    int64_t column, columns;  // of the output: the strip
    const T* x;
    A* memory;
    uint8_t* codes;
  };

  // Where, in an input row, each phase of the grid finds its taps.
  void lay_out_columns() {
    int64_t lowest = INT64_MAX, highest = INT64_MIN;
    for (int64_t p = 0; p < period_; ++p) {
      across_[p] = phase_of(p, set_.up, set_.x0, fu_.width);
      lowest = std::min(lowest, across_[p].first);
      highest = std::max(highest, across_[p].first + std::max<int64_t>(across_[p].count, 1) - 1);
    }
    first_input_ = floor_div(lowest, in_planes_) * in_planes_;
    in_reach_ = (highest - first_input_) / in_planes_;
    pairs_columns_ = in_planes_ == 1 && period_ % 2 == 0 && set_.up <= fu_.width;
    pairs_rows_ = fu_.separable && set_.up <= fu_.height;
    pairs_outputs_ = fd_.separable && set_.down <= fd_.height;
  }

  // Offsets in rows, and the taps of each phase side by side.
  void lay_out_taps() {
    for (int64_t p = 0; p < period_; ++p)
      for (int64_t n = 0; n < across_[p].count; ++n) {
        const int64_t at = across_[p].first - first_input_ + n;
        up_offsets_[p * up_taps_ + n] = at % in_planes_ * input_plane_ + at / in_planes_ * block_;
        if (fu_.separable) up_weights_[p * up_taps_ + n] = fu_.rows[across_[p].tap + n * set_.up];
      }
    for (int64_t q = 0; q < set_.up; ++q) {
      along_[q] = phase_of(q, set_.up, set_.y0, fu_.height);
      for (int64_t r = 0; r < along_[q].count; ++r) {
        const int64_t row = along_[q].tap + r * set_.up;
        along_weights_[q * in_rows_ + r] = fu_.column[row];
        if (fu_.separable) continue;
        for (int64_t p = 0; p < period_; ++p)
          for (int64_t n = 0; n < across_[p].count; ++n)
            up_weights_[(q * period_ + p) * in_rows_ * up_taps_ + r * across_[p].count + n] =
                fu_.rows[row * fu_.width + across_[p].tap + n * set_.up];
      }
    }
    for (int64_t r = 0; r < out_planes_; ++r)
      for (int64_t a = 0; a < fd_.width; ++a) {
        const int64_t k = r * set_.down + a;
        down_offsets_[r * fd_.width + a] = k % period_ * grid_plane_ + k / period_ * block_;
      }
  }

  void choose_strip() {
    const int64_t out = round_up(y_.sizes[3], out_planes_);
    const auto bytes = [&](int64_t strip) {
      measure(strip);
      return (in_ring_rows_ * in_row_ + grid_rows_ * grid_row_) * static_cast<int64_t>(sizeof(A));
    };
    strip_ = out;
    while (strip_ > out_planes_ * kStep && bytes(strip_) > kStripBytes)
      strip_ = round_up(strip_ / 2, out_planes_ * kStep);
    measure(strip_);
  }

  void measure(int64_t strip) {
    constexpr int64_t L = kLanesOf<A>;
    steps_ = strip / out_planes_;
    grid_steps_ = steps_ + reach_;
    grid_plane_ = round_up(grid_steps_ * block_, L);
    grid_row_ = period_ * grid_plane_;
    input_plane_ = round_up((grid_steps_ + in_reach_) * block_, L);
    input_row_ = in_planes_ * input_plane_;
    in_row_ = fu_.separable ? grid_row_ : input_row_;
    out_row_ = out_planes_ * round_up(steps_ * block_, L);
    share_ = round_up(in_ring_rows_ * in_row_ + grid_rows_ * grid_row_ + input_row_ + 2 * grid_row_ + out_row_ + L, 16);
    code_share_ = round_up(2 * (grid_row_ + 8 * period_ * kBlock), 64);
  }

  // The parts of a task's memory.
  A* in_ring(const Task& t) const { return t.memory; }
  A* grid_ring(const Task& t) const { return in_ring(t) + in_ring_rows_ * in_row_; }
  A* input(const Task& t) const { return grid_ring(t) + grid_rows_ * grid_row_; }
  A* summed(const Task& t) const { return input(t) + input_row_; }
  A* output(const Task& t) const { return summed(t) + 2 * grid_row_; }

  void walk(const Task& t) const {
    std::fill(in_ring(t), in_ring(t) + in_ring_rows_ * in_row_, A(0));
    std::fill(input(t), input(t) + input_row_, A(0));
    const Ring<A> in(in_ring(t), in_ring_rows_, in_row_), grid(grid_ring(t), grid_rows_, grid_row_);
    const int64_t fd = fd_.height, down = set_.down;
    int64_t next_input = 0, next_grid = 0;
    for (int64_t i = t.first; i < t.last;) {
      const int64_t pair = pairs_outputs_ && i + 1 < t.last, last = (i + pair) * down + fd;
      for (next_grid = std::max(next_grid, i * down); next_grid < last;)
        next_grid += make_grid(t, in, grid, next_grid, last, next_input);
      make_output(t, i, pair, grid.from(i * down));
      i += 1 + pair;
    }
  }

  // The phase of a row of the grid.
  Phase along(int64_t k) const {
    const uint32_t up = static_cast<uint32_t>(set_.up), row = static_cast<uint32_t>(k);
    const Phase& phase = along_[row % up];
    return {phase.first + row / up, phase.tap, phase.count};
  }

  // A row of x with its bias and its zeros; upsampled horizontally too, for a filter of rank 1.
  void make_input(const Task& t, int64_t i, A* to) const {
    A* row = fu_.separable ? input(t) : to;
    const T* x = x_.as<T>() + t.sample * x_.strides[0] + t.channel * x_.strides[1] + i * x_.strides[2];
    const int64_t origin = first_input_ + t.column / out_planes_ * in_planes_, width = grid_steps_ + in_reach_;
    const int64_t skip = in_planes_ * x_.strides[3], apart = x_.strides[1];
    const A* bias = bias_.get() + t.channel;
    for (int64_t plane = 0; plane < in_planes_; ++plane) {
      const int64_t start = origin + plane;
      const int64_t begin = start < 0 ? ceil_div(-start, in_planes_) : 0;
      const int64_t end = std::min(ceil_div(x_.sizes[3] - start, in_planes_), width);
      A* a = row + plane * input_plane_;
      const T* from = x + start * x_.strides[3];
      if (block_ == 1 && skip == 1) {
        for (int64_t m = begin; m < end; ++m) a[m] = load(from[m]) + bias[0];
      } else if (block_ == 1) {
        for (int64_t m = begin; m < end; ++m) a[m] = load(from[m * skip]) + bias[0];
      } else if (apart == 1 && t.channels == kBlock) {
        for (int64_t m = begin; m < end; ++m)
          for (int64_t c = 0; c < kBlock; ++c) a[m * kBlock + c] = load(from[m * skip + c]) + bias[c];
      } else {
        for (int64_t c = 0; c < t.channels; ++c)
          for (int64_t m = begin; m < end; ++m) a[m * kBlock + c] = load(from[m * skip + c * apart]) + bias[c];
      }
    }
    if (!fu_.separable) return;
    const int64_t n = grid_steps_ * block_;
    for (int64_t p = 0; p < period_; p += 1 + pairs_columns_) {
      const int64_t* offsets = &up_offsets_[p * up_taps_];
      const A* weights = &up_weights_[p * up_taps_];
      if (!pairs_columns_) {
        weigh<A>(&row, 1, offsets, across_[p].count, weights, to + p * grid_plane_, n);
        continue;
      }
      const Overlap overlap(across_[p].first, across_[p].count, across_[p + 1].first, across_[p + 1].count);
      const A* first = row + offsets[0];
      weigh_two<A>([&](int64_t k) { return first + k * block_; }, overlap, weights, weights + up_taps_,
                   to + p * grid_plane_, to + (p + 1) * grid_plane_, n);
    }
  }

  // Makes row k of the grid, or two rows, before `last`; returns their number. The rows of x that they meet come first.
  int64_t make_grid(const Task& t, const Ring<A>& in, const Ring<A>& grid, int64_t k, int64_t last,
                    int64_t& next_input) const {
    const bool pair = pairs_rows_ && k + 1 < last;
    const Phase phase = along(k), second = along(k + pair);
    const int64_t end = std::min(second.first + second.count, x_.sizes[2]);
    for (next_input = std::max(next_input, phase.first); next_input < end; ++next_input)
      make_input(t, next_input, in.from(next_input)[0]);

    const auto clip = [&](const Phase& p) {  // to the rows that x has
      const int64_t first = std::max<int64_t>(p.first, 0);
      return Phase{first, first - p.first, std::max<int64_t>(0, std::min(p.first + p.count, x_.sizes[2]) - first)};
    };
    const Phase rows = clip(phase), rows2 = clip(second);
    const A* const* x = in.from(rows.first);
    A *u = grid.from(k)[0], *u2 = grid.from(k + pair)[0];
    const A* weights = &along_weights_[k % set_.up * in_rows_ + rows.tap];
    if (pair) {
      const Overlap overlap(rows.first, rows.count, rows2.first, rows2.count);
      weigh_two<A>([&](int64_t r) { return x[r]; }, overlap, weights,
                   &along_weights_[(k + 1) % set_.up * in_rows_ + rows2.tap], u, u2, grid_row_);
    } else if (fu_.separable) {
      weigh<A>(x, rows.count, &kNone, 1, weights, u, grid_row_);
    } else {
      for (int64_t p = 0; p < period_; ++p) {
        const int64_t taps = across_[p].count;
        weights = &up_weights_[(k % set_.up * period_ + p) * in_rows_ * up_taps_ + rows.tap * taps];
        weigh<A>(x, rows.count, &up_offsets_[p * up_taps_], taps, weights, u + p * grid_plane_, grid_steps_ * block_);
      }
    }
    for (int64_t row = k; row <= k + pair; ++row, u = u2)
      if (reads_)
        scale(t, row, u);
      else
        activate(t, row, u);
    return 1 + pair;
  }

  // Output row i, or that and the next, of the rows of the grid from i down on.
  void make_output(const Task& t, int64_t i, bool pair, const A* const* rows) const {
    if (!fd_.separable) return make_output(t, i, rows, fd_.height);
    A *sum = summed(t), *sum2 = sum + grid_row_;
    const A *column = fd_.column.get(), *row = sum, *row2 = sum2;
    if (!pair) {
      weigh<A>(rows, fd_.height, &kNone, 1, column, sum, grid_row_);
      return make_output(t, i, &row, 1);
    }
    const Overlap overlap(0, fd_.height, set_.down, fd_.height);
    weigh_two<A>([&](int64_t r) { return rows[r]; }, overlap, column, column, sum, sum2, grid_row_);
    make_output(t, i, &row, 1);
    make_output(t, i + 1, &row2, 1);
  }

  void make_output(const Task& t, int64_t i, const A* const* rows, int64_t count) const {
    const int64_t plane = out_row_ / out_planes_, skip = out_planes_ * y_.strides[3], apart = y_.strides[1];
    for (int64_t r = 0; r < out_planes_; ++r) {
      A* from = output(t) + r * plane;
      weigh<A>(rows, count, &down_offsets_[r * fd_.width], fd_.width, fd_.rows.get(), from, steps_ * block_);
      T* y = y_.as<T>() + t.sample * y_.strides[0] + t.channel * apart + i * y_.strides[2]
             + (t.column + r) * y_.strides[3];
      const int64_t columns = ceil_div(t.columns - r, out_planes_);
      if (block_ == 1 && skip == 1) {
        for (int64_t m = 0; m < columns; ++m) store(y[m], from[m]);
      } else if (block_ == 1) {
        for (int64_t m = 0; m < columns; ++m) store(y[m * skip], from[m]);
      } else if (apart == 1 && t.channels == kBlock) {
        for (int64_t m = 0; m < columns; ++m)
          for (int64_t c = 0; c < kBlock; ++c) store(y[m * skip + c], from[m * kBlock + c]);
      } else {
        for (int64_t c = 0; c < t.channels; ++c)
          for (int64_t m = 0; m < columns; ++m) store(y[m * skip + c * apart], from[m * kBlock + c]);
      }
    }
  }

  // u becomes v, and its codes go to the signs.
  void activate(const Task& t, int64_t k, A* u) const {
    const A slope = static_cast<A>(set_.slope), gain = static_cast<A>(set_.gain);
    const A clamp = static_cast<A>(set_.clamp < 0 ? __builtin_nan("") : set_.clamp);  // NaN: never reached
    uint8_t* codes = t.codes;
    if (!writes_) {
#pragma omp simd
      for (int64_t i = 0; i < grid_row_; ++i) {
        const A v = (u[i] > A(0) ? u[i] : u[i] * slope) * gain;
        const A low = v < -clamp ? -clamp : v;
        u[i] = low > clamp ? clamp : low;
      }
      return;
    }
#pragma omp simd
    for (int64_t i = 0; i < grid_row_; ++i) {
      const bool positive = u[i] > A(0);
      const A v = (positive ? u[i] : u[i] * slope) * gain;
      const A low = v < -clamp ? -clamp : v, y = low > clamp ? clamp : low;
      u[i] = y;
      const uint8_t code = positive ? kPositive : kNegative;
      codes[i] = (y < A(0) ? -y : y) >= clamp ? kClamped : code;
    }
    // the strips and bands share a few rows and columns of the grid: each writes those that are its own
    const bool last_row = t.last == y_.sizes[2], last_column = t.column + t.columns == y_.sizes[3];
    if (k >= t.last * set_.down && !last_row) return;
    const int64_t first = t.column * set_.down / 4;
    const int64_t end = last_column ? signs_.sizes[3] : (t.column + t.columns) * set_.down / 4;
    write_signs(t, sign_row(t, k) + first * signs_.strides[3], end - first);
  }

  uint8_t* sign_row(const Task& t, int64_t row) const {
    return signs_.as<uint8_t>() + t.sample * signs_.strides[0] + t.channel * signs_.strides[1]
           + row * signs_.strides[2];
  }

  // The codes of column j of the grid, in the planes of t.codes.
  int64_t code_of(int64_t j) const { return j % period_ * grid_plane_ + j / period_ * block_; }

  void write_signs(const Task& t, uint8_t* to, int64_t bytes) const {
    const uint8_t* c = t.codes;
    const int64_t apart = signs_.strides[1], step = signs_.strides[3];
    if (block_ == 1 && step == 1 && period_ == 1) {
#pragma omp simd
      for (int64_t q = 0; q < bytes; ++q) {
        const uint32_t w = read<uint32_t>(c + 4 * q);
        to[q] = static_cast<uint8_t>(w | w >> 6 | w >> 12 | w >> 18);
      }
    } else if (block_ == 1 && step == 1 && period_ == 2) {
      const uint8_t* c1 = c + grid_plane_;
#pragma omp simd
      for (int64_t q = 0; q < bytes; ++q) {
        const int w = read<uint16_t>(c + 2 * q) | read<uint16_t>(c1 + 2 * q) << 2;
        to[q] = static_cast<uint8_t>(w | w >> 4);
      }
    } else if (block_ == 1 && step == 1 && period_ == 4) {
      const uint8_t *c1 = c + grid_plane_, *c2 = c1 + grid_plane_, *c3 = c2 + grid_plane_;
#pragma omp simd
      for (int64_t q = 0; q < bytes; ++q) to[q] = static_cast<uint8_t>(c[q] | c1[q] << 2 | c2[q] << 4 | c3[q] << 6);
    } else {
      const bool whole = apart == 1 && t.channels == kBlock;
      for (int64_t q = 0; q < bytes; ++q, to += step) {
        alignas(kBlock) uint8_t packed[kBlock] = {};
        for (int i = 0; i < 4; ++i) {
          const uint8_t* of = c + code_of(4 * q + i);
          for (int64_t k = 0; k < kBlock; ++k) packed[k] |= static_cast<uint8_t>(of[k] << 2 * i);
        }
        if (whole)
          std::memcpy(to, packed, kBlock);
        else
          for (int64_t k = 0; k < t.channels; ++k) to[k * apart] = packed[k];
      }
    }
  }

  // u becomes u times the derivative that the signs say.
  void scale(const Task& t, int64_t k, A* u) const {
    const int64_t row = k + set_.sign_y;
    if (row < 0 || row >= signs_.sizes[2]) return std::fill(u, u + grid_row_, A(0));
    read_signs(t, sign_row(t, row), t.column * set_.down + set_.sign_x);
    const A positive = static_cast<A>(set_.gain), negative = static_cast<A>(set_.gain * set_.slope);
    const uint8_t* codes = t.codes;
#pragma omp simd
    for (int64_t i = 0; i < grid_row_; ++i)
      u[i] *= codes[i] == kPositive ? positive : codes[i] == kNegative ? negative : A(0);
  }

  // Into the planes of t.codes, from column `first` of the signs on; there is no slope where they have no column.
  void read_signs(const Task& t, const uint8_t* from, int64_t first) const {
    const int64_t columns = grid_steps_ * period_, byte = floor_div(first, 4);
    const int64_t bytes = ceil_div(columns + 3, 4);
    const int64_t begin = std::clamp<int64_t>(-byte, 0, bytes), end = std::clamp(signs_.sizes[3] - byte, begin, bytes);
    uint8_t* codes = t.codes;
    from += byte * signs_.strides[3];
    if (block_ > 1) {
      const bool whole = signs_.strides[1] == 1 && t.channels == kBlock;
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t q = (first - 4 * byte + j) / 4, shift = ((first + j) & 3) * 2;
        uint8_t* to = codes + code_of(j);
        if (q < begin || q >= end) {
          std::fill(to, to + kBlock, kClamped);
          continue;
        }
        const uint8_t* bits = from + q * signs_.strides[3];
        if (whole) {
          for (int64_t c = 0; c < kBlock; c += 8) {
            const uint64_t two = read<uint64_t>(bits + c) >> shift & 0x0303030303030303u;
            std::memcpy(to + c, &two, sizeof two);
          }
        } else {
          for (int64_t c = 0; c < t.channels; ++c) to[c] = bits[c * signs_.strides[1]] >> shift & 3;
        }
      }
      return;
    }
    uint8_t* flat = codes + grid_row_;  // in the order of columns
    std::fill(flat, flat + 4 * begin, kClamped);
    const int64_t step = signs_.strides[3], steps = grid_steps_;
#pragma omp simd
    for (int64_t q = begin; q < end; ++q) {
      const uint32_t b = from[q * step], four = (b | b << 6 | b << 12 | b << 18) & 0x03030303u;
      std::memcpy(flat + 4 * q, &four, sizeof four);
    }
    std::fill(flat + 4 * end, flat + 4 * bytes, kClamped);
    flat += first - 4 * byte;
    if (period_ == 2) {
      uint8_t* odd = codes + grid_plane_;
#pragma omp simd
      for (int64_t m = 0; m < steps; ++m) {
        const uint16_t two = read<uint16_t>(flat + 2 * m);
        codes[m] = static_cast<uint8_t>(two);
        odd[m] = static_cast<uint8_t>(two >> 8);
      }
      return;
    }
    const int64_t period = period_;
    for (int64_t p = 0; p < period; ++p, codes += grid_plane_) {
#pragma omp simd
      for (int64_t m = 0; m < steps; ++m) codes[m] = flat[period * m + p];
    }
  }

  TensorView x_, y_, signs_;
  Settings set_;
  bool reads_, writes_;
  Filter<A> fu_, fd_;
  int64_t period_, in_planes_, out_planes_;
  int64_t up_taps_, in_rows_;                        // taps and input rows that a sample of the grid meets, at most
  int64_t in_ring_rows_, grid_rows_;                 // of the rings: they are to stay in the second-level cache
  bool pairs_columns_, pairs_rows_, pairs_outputs_;  // made two by two: what they meet overlaps or adjoins
  Scratch<A> bias_;
  Scratch<Phase> across_, along_;
  Scratch<int64_t> up_offsets_;
  Scratch<A> up_weights_, along_weights_;
  Scratch<int64_t> down_offsets_;
  int64_t block_;
  int64_t first_input_;       // of the strip at column 0: where its input rows begin
  int64_t reach_, in_reach_;  // steps beyond its own that a sum takes in
  int64_t strip_, steps_, grid_steps_;
  int64_t grid_plane_, grid_row_, input_plane_, input_row_, in_row_, out_row_;
  int64_t share_, code_share_;  // of a thread
};

void filtered_lrelu(TensorView x, TensorView b, TensorView fu, TensorView fd, int64_t up, int64_t down, Ints padding,
                    double gain, double slope, double clamp, bool flip_filter, bool, TensorView y, TensorView signs) {
  dispatch(x.dtype, [&](auto zero) {
    const Settings set = {up,    down,  padding[0], padding[2], flip_filter, static_cast<double>(up * up), gain,
                          slope, clamp, 0,          0};
    Pass<decltype(zero)>(x, b, fu, fd, set, y, signs, false).run();
  });
}

void filtered_lrelu_grad(TensorView x, TensorView signs, TensorView fu, TensorView fd, int64_t up, int64_t down,
                         Ints padding, Ints offset, double gain, double slope, bool flip_filter, TensorView y) {
  dispatch(x.dtype, [&](auto zero) {
    const Settings set = {up, down, padding[0], padding[2], flip_filter, 1.0, gain, slope, -1.0, offset[0], offset[1]};
    Pass<decltype(zero)>(x, {}, fu, fd, set, y, signs, true).run();
  });
}

GAN_FAST_LAUNCHER(filtered_lrelu)
GAN_FAST_LAUNCHER(filtered_lrelu_grad)

}  // namespace
