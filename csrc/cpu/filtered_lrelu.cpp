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

constexpr int64_t kBlock = 16;             // channels of channels_last that are walked together
constexpr int64_t kStripBytes = 40 << 10;  // of the rings
constexpr int64_t kStep = 16;              // a strip is as many outputs of each plane, or a multiple
constexpr int64_t kMinBand = 16;           // output rows that are worth a task
constexpr int64_t kNone = 0;

enum Code : uint8_t { kPositive, kNegative, kClamped };

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

// A sum of rows * taps shifted rows: sum over r, t of weights[r taps + t] rows[r][offsets[t] + i].
template <typename A>
struct Sum {
  const A* const* rows;
  int64_t count;
  const int64_t* offsets;
  int64_t taps;
  const A* weights;
};

template <int VECTORS, typename A>
GF_HD void sum_vectors(const Sum<A>& s, int64_t i, A* y) {
  constexpr int L = kLanesOf<A>;
  Vector<A, L> sum[VECTORS] = {};
  const A* w = s.weights;
  for (int64_t r = 0; r < s.count; ++r) {
    const A* row = s.rows[r] + i;
    for (int64_t t = 0; t < s.taps; ++t, ++w)
      for (int v = 0; v < VECTORS; ++v) sum[v] += *w * load_vector<L>(row + s.offsets[t] + v * L);
  }
  for (int v = 0; v < VECTORS; ++v) store_vector<L>(y + i + v * L, sum[v]);
}

// y[0 ... n - 1], and whatever follows up to a whole vector.
template <typename A>
void weigh(const Sum<A>& s, A* y, int64_t n) {
  constexpr int L = kLanesOf<A>;
  constexpr int kMany = GAN_FAST_ISA == 2 ? 8 : 4;
  int64_t i = 0;
  for (; i + kMany * L <= n; i += kMany * L) sum_vectors<kMany>(s, i, y);
  if (kMany == 8 && i + 3 * L < n) {
    sum_vectors<4>(s, i, y);
    i += 4 * L;
  }
  if (i + L < n) {
    sum_vectors<2>(s, i, y);
    i += 2 * L;
  }
  for (; i < n; i += L) sum_vectors<1>(s, i, y);
}

// The last `size` rows of an image. Pointers to them lie in order from any row on.
template <typename A>
class Ring {
 public:
  Ring(A* memory, int64_t size, int64_t row) : size_(size), rows_(2 * size) {
    for (int64_t i = 0; i < 2 * size; ++i) rows_[i] = memory + i % size * row;
  }
  A* const* from(int64_t row) const { return &rows_[(row % size_ + size_) % size_]; }

 private:
  int64_t size_;
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
        bias_(x.sizes[1]),
        across_(period_),
        up_offsets_(period_ * up_taps_),
        up_weights_((fu_.separable ? 1 : settings.up * in_rows_) * period_ * up_taps_),
        along_weights_(settings.up * in_rows_),
        down_offsets_(out_planes_ * fd_.width) {
    for (int64_t c = 0; c < x.sizes[1]; ++c) bias_[c] = b.given() ? load(b.as<T>()[c]) : A(0);
    // with one channel or one pixel both formats are the same memory
    const bool pixel = x.sizes[2] * x.sizes[3] == 1;
    block_ = x.sizes[1] > 1 && (pixel ? y.strides[1] : x.strides[1]) == 1 ? kBlock : 1;
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
      Task t = {image / blocks, image % blocks * block_,     0, first, std::min(first + band, out), 0, 0,
                nullptr,        memory.get() + thread * share_, codes.get() + thread * code_share_};
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
      const Phase along = phase_of(q, set_.up, set_.y0, fu_.height);
      for (int64_t r = 0; r < along.count; ++r) {
        const int64_t row = along.tap + r * set_.up;
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
    const int64_t out = round_up(y_.sizes[3], out_planes_ * kStep);
    const auto bytes = [&](int64_t strip) {
      measure(strip);
      return (in_rows_ * in_row_ + fd_.height * grid_row_) * static_cast<int64_t>(sizeof(A));
    };
    strip_ = out;
    while (strip_ > out_planes_ * kStep && bytes(strip_) > kStripBytes)
      strip_ = round_up(strip_ / 2, out_planes_ * kStep);
    if (strip_ < out && out <= 2 * strip_ && strip_ % 2) strip_ = out;
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
    share_ = round_up(in_rows_ * in_row_ + fd_.height * grid_row_ + input_row_ + grid_row_ + out_row_ + L, 16);
    code_share_ = round_up(2 * (grid_row_ + 8 * period_ * kBlock), 64);
  }

  // The parts of a task's memory.
  A* in_ring(const Task& t) const { return t.memory; }
  A* grid_ring(const Task& t) const { return in_ring(t) + in_rows_ * in_row_; }
  A* input(const Task& t) const { return grid_ring(t) + fd_.height * grid_row_; }
  A* summed(const Task& t) const { return input(t) + input_row_; }
  A* output(const Task& t) const { return summed(t) + grid_row_; }

  void walk(const Task& t) const {
    std::fill(in_ring(t), in_ring(t) + in_rows_ * in_row_, A(0));
    std::fill(input(t), input(t) + input_row_, A(0));
    const Ring<A> in(in_ring(t), in_rows_, in_row_), grid(grid_ring(t), fd_.height, grid_row_);
    int64_t next_input = 0, next_grid = 0;
    for (int64_t i = t.first; i < t.last; ++i) {
      for (next_grid = std::max(next_grid, i * set_.down); next_grid < i * set_.down + fd_.height; ++next_grid) {
        const Phase phase = phase_of(next_grid, set_.up, set_.y0, fu_.height);
        const int64_t end = std::min(phase.first + phase.count, x_.sizes[2]);
        for (next_input = std::max(next_input, phase.first); next_input < end; ++next_input)
          make_input(t, next_input, in.from(next_input)[0]);
        A* row = grid.from(next_grid)[0];
        make_grid(in, next_grid, phase, row);
        if (reads_)
          scale(t, next_grid, row);
        else
          activate(t, next_grid, row);
      }
      make_output(t, i, grid.from(i * set_.down));
    }
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
    for (int64_t p = 0; fu_.separable && p < period_; ++p)
      weigh<A>({&row, 1, &up_offsets_[p * up_taps_], across_[p].count, &up_weights_[p * up_taps_]},
               to + p * grid_plane_, grid_steps_ * block_);
  }

  // Row k of the grid, of the input rows that x has.
  void make_grid(const Ring<A>& in, int64_t k, const Phase& phase, A* u) const {
    const int64_t q = k % set_.up, begin = std::max<int64_t>(0, -phase.first);
    const int64_t count = std::max<int64_t>(0, std::min(phase.count, x_.sizes[2] - phase.first) - begin);
    const A* const* rows = in.from(phase.first + begin);
    if (fu_.separable)
      return weigh<A>({rows, count, &kNone, 1, &along_weights_[q * in_rows_ + begin]}, u, grid_row_);
    for (int64_t p = 0; p < period_; ++p) {
      const int64_t taps = across_[p].count;
      const A* weights = &up_weights_[(q * period_ + p) * in_rows_ * up_taps_ + begin * taps];
      weigh<A>({rows, count, &up_offsets_[p * up_taps_], taps, weights}, u + p * grid_plane_, grid_steps_ * block_);
    }
  }

  void make_output(const Task& t, int64_t i, const A* const* rows) const {
    int64_t count = fd_.height;
    const A* row = summed(t);
    if (fd_.separable) {
      weigh<A>({rows, count, &kNone, 1, fd_.column.get()}, summed(t), grid_row_);
      rows = &row;
      count = 1;
    }
    const int64_t plane = out_row_ / out_planes_, skip = out_planes_ * y_.strides[3], apart = y_.strides[1];
    for (int64_t r = 0; r < out_planes_; ++r) {
      A* from = output(t) + r * plane;
      weigh<A>({rows, count, &down_offsets_[r * fd_.width], fd_.width, fd_.rows.get()}, from, steps_ * block_);
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

  static uint8_t pack(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return static_cast<uint8_t>(a | b << 2 | c << 4 | d << 6);
  }

  void write_signs(const Task& t, uint8_t* to, int64_t bytes) const {
    const uint8_t *c = t.codes, *d = c + grid_plane_;
    if (block_ == 1 && period_ == 1) {
      for (int64_t q = 0; q < bytes; ++q) to[q] = pack(c[4 * q], c[4 * q + 1], c[4 * q + 2], c[4 * q + 3]);
    } else if (block_ == 1 && period_ == 2) {
      for (int64_t q = 0; q < bytes; ++q) to[q] = pack(c[2 * q], d[2 * q], c[2 * q + 1], d[2 * q + 1]);
    } else if (block_ == 1 && period_ == 4) {
      for (int64_t q = 0; q < bytes; ++q) to[q] = pack(c[q], d[q], d[q + grid_plane_], d[q + 2 * grid_plane_]);
    } else {
      for (int64_t q = 0; q < bytes; ++q) {
        const uint8_t* of[4];
        for (int64_t i = 0; i < 4; ++i) of[i] = c + code_of(4 * q + i);
        for (int64_t i = 0; i < t.channels; ++i)
          to[q * signs_.strides[3] + i * signs_.strides[1]] = pack(of[0][i], of[1][i], of[2][i], of[3][i]);
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
    if (block_ == 1) {
      uint8_t* flat = codes + grid_row_;
      const int64_t step = signs_.strides[3];
      from += byte * step;
      std::fill(flat, flat + 4 * begin, kClamped);
      if (step == 1) {
        for (int64_t q = begin; q < end; ++q)
          for (int i = 0; i < 4; ++i) flat[4 * q + i] = from[q] >> 2 * i & 3;
      } else {
        for (int64_t q = begin; q < end; ++q)
          for (int i = 0; i < 4; ++i) flat[4 * q + i] = from[q * step] >> 2 * i & 3;
      }
      std::fill(flat + 4 * end, flat + 4 * bytes, kClamped);
      flat += first - 4 * byte;
      if (period_ == 1) {
        std::copy(flat, flat + columns, codes);
      } else if (period_ == 2) {
        for (int64_t m = 0; m < grid_steps_; ++m)
          for (int p = 0; p < 2; ++p) codes[p * grid_plane_ + m] = flat[2 * m + p];
      } else {
        for (int64_t p = 0; p < period_; ++p)
          for (int64_t m = 0; m < grid_steps_; ++m) codes[p * grid_plane_ + m] = flat[period_ * m + p];
      }
      return;
    }
    for (int64_t j = 0; j < columns; ++j) {
      const int64_t q = floor_div(first + j, 4), shift = (first + j - 4 * q) * 2;
      uint8_t* to = codes + code_of(j);
      if (q < byte + begin || q >= byte + end) {
        std::fill(to, to + kBlock, kClamped);
        continue;
      }
      const uint8_t* bits = from + q * signs_.strides[3];
      if (signs_.strides[1] == 1 && t.channels == kBlock) {
        for (int64_t c = 0; c < kBlock; ++c) to[c] = bits[c] >> shift & 3;
      } else {
        for (int64_t c = 0; c < t.channels; ++c) to[c] = bits[c * signs_.strides[1]] >> shift & 3;
      }
    }
  }

  TensorView x_, y_, signs_;
  Settings set_;
  bool reads_, writes_;
  Filter<A> fu_, fd_;
  int64_t period_, in_planes_, out_planes_;
  int64_t up_taps_, in_rows_;  // taps and input rows that a sample of the grid meets, at most
  Scratch<A> bias_;
  Scratch<Phase> across_;
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
    const Settings set = {
        up, down, padding[0], padding[2], flip_filter, static_cast<double>(up * up), gain, slope, clamp, 0, 0};
    Pass<decltype(zero)>(x, b, fu, fd, set, y, signs, false).run();
  });
}

void filtered_lrelu_grad(TensorView x, TensorView signs, TensorView fu, TensorView fd, int64_t up, int64_t down,
                         Ints padding, Ints offset, double gain, double slope, bool flip_filter, TensorView y) {
  dispatch(x.dtype, [&](auto zero) {
    const Settings set = {up,   down,  padding[0], padding[2], flip_filter, 1.0,
                          gain, slope, -1.0,       offset[0],  offset[1]};
    Pass<decltype(zero)>(x, {}, fu, fd, set, y, signs, true).run();
  });
}

GAN_FAST_LAUNCHER(filtered_lrelu)
GAN_FAST_LAUNCHER(filtered_lrelu_grad)

}  // namespace
