// Polyphase resampling: y[i, j] = gain sum over a, b of f[a, b] v[i down_y + a, j down_x + b], where v is x with up - 1
// zeros between its samples, padded. Inserted zeros are never met.
//
// Everything is a weighted sum of rows (`combine`). An output row is made in two stages: the rows of x that meet the
// filter become one row t (a filter of rank 1) or are copied (any other); then shifted views of t are combined into
// each horizontal phase of the output. t holds only the columns that are read, with zeros where x has none.
#include "common.h"

namespace {

using namespace gan_fast;

constexpr int64_t kTile = 4096;       // elements of t worked on at a time: they stay in the first-level cache
constexpr int64_t kFewChannels = 16;  // below this, channels_last pixels are too short to be rows

// y[i] = sum over k of f[k] rows[k][i]
template <int TAPS, typename In, typename Out, typename A>
void combine_fixed(const In* const* rows, const A* f, Out* y, int64_t n) {
  const In* r[TAPS];
  A w[TAPS];
  for (int k = 0; k < TAPS; ++k) r[k] = rows[k], w[k] = f[k];
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    A sum = w[0] * load(r[0][i]);
    for (int k = 1; k < TAPS; ++k) sum += w[k] * load(r[k][i]);
    store(y[i], sum);
  }
}

template <typename In, typename Out, typename A>
void combine(const In* const* rows, const A* f, int64_t taps, Out* y, int64_t n) {
  switch (taps) {
    case 1: return combine_fixed<1>(rows, f, y, n);
    case 2: return combine_fixed<2>(rows, f, y, n);
    case 3: return combine_fixed<3>(rows, f, y, n);
    case 4: return combine_fixed<4>(rows, f, y, n);
    case 6: return combine_fixed<6>(rows, f, y, n);
    case 12: return combine_fixed<12>(rows, f, y, n);
  }
  constexpr int64_t kLanes = 64;
  for (int64_t begin = 0; begin < n; begin += kLanes) {
    A sum[kLanes] = {};
    const int64_t size = n - begin < kLanes ? n - begin : kLanes;
    const auto add = [&](int64_t lanes) __attribute__((always_inline)) {
      for (int64_t k = 0; k < taps; ++k) {
        const In* row = rows[k] + begin;
#pragma omp simd
        for (int64_t i = 0; i < lanes; ++i) sum[i] += f[k] * load(row[i]);
      }
      for (int64_t i = 0; i < lanes; ++i) store(y[begin + i], sum[i]);
    };
    size == kLanes ? add(kLanes) : add(size);
  }
}

// Along one axis, y[period m + p] = sum over k < taps of f[k up + tap] x[first + step m + k], (tap, first, taps)
// belonging to phase p.
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
      if (highest < lowest || first < lowest) lowest = first;
      if (highest < lowest || last > highest) highest = last;
      if (taps > max_taps) max_taps = taps;
    }
  }
  int64_t count(int64_t phase) const { return (out - phase + period - 1) / period; }
  int64_t width() const { return highest - lowest + 1; }
  // the part of [lowest, highest] that x has
  int64_t begin() const { return lowest > 0 ? lowest : 0; }
  int64_t end() const { return highest + 1 < in ? highest + 1 : in; }
};

// The filter as a correlation with the gain: one row for each of its rows, or for rank 1 a single row and a column.
template <typename A>
struct Filter {
  int64_t width, height;
  bool separable;
  Scratch<A> rows, column;

  Filter(const TensorView& f, bool flip, double gain)
      : width(f.sizes[f.ndim - 1]), height(f.sizes[0]), rows(width * height), column(height) {
    Scratch<double> full(width * height);
    dispatch(f.dtype, "f", [&](auto zero) {
      const auto* p = f.as<decltype(zero)>();
      const int64_t size = f.ndim == 1 ? width : width * height;
      for (int64_t i = 0; i < size; ++i) full[flip ? i : size - 1 - i] = load(p[i]);
    });
    if (f.ndim == 1) {
      separable = true;
      for (int64_t i = 0; i < width; ++i) {
        column[i] = static_cast<A>(full[i]);
        rows[i] = static_cast<A>(full[i] * gain);
      }
      return;
    }
    int64_t pivot = 0;
    for (int64_t i = 1; i < width * height; ++i)
      if (__builtin_fabs(full[i]) > __builtin_fabs(full[pivot])) pivot = i;
    const int64_t py = pivot / width, px = pivot % width;
    separable = full[pivot] != 0;
    for (int64_t i = 0; separable && i < height; ++i)
      for (int64_t j = 0; separable && j < width; ++j) {
        // exactly equal for float32 numbers of rank 1, to the rounding of A for others
        const double left = full[i * width + j] * full[pivot], right = full[i * width + px] * full[py * width + j];
        const double tolerance = sizeof(A) == 4 ? 0x1p-23 : 0x1p-52;
        separable = __builtin_fabs(left - right) <= tolerance * __builtin_fabs(left);
      }
    for (int64_t i = 0; i < height; ++i) column[i] = separable ? static_cast<A>(full[i * width + px] / full[pivot]) : A(1);
    for (int64_t i = 0; i < width * height; ++i)
      rows[i] = static_cast<A>((separable ? (i < width ? full[py * width + i] : 0) : full[i]) * gain);
  }
};

template <typename T>
class Resampler {
  using A = compute_t<T>;

 public:
  Resampler(const TensorView& x, const TensorView& f, const Ints& up, const Ints& down, const Ints& padding, bool flip,
            double gain, const TensorView& y)
      : x_(x.as<T>()),
        y_(y.as<T>()),
        filter_(f, flip, gain),
        across_(x.sizes[3], y.sizes[3], filter_.width, up[0], down[0], padding[0]),
        along_(x.sizes[2], y.sizes[2], filter_.height, up[1], down[1], padding[2]),
        channels_(x.sizes[1]) {
    // with one channel or one pixel both formats are the same memory
    const bool channels_last = channels_ > 1 && (x.sizes[2] * x.sizes[3] > 1 ? x.strides[1] : y.strides[1]) == 1;
    depth_ = filter_.separable ? 1 : along_.max_taps;
    const int64_t width = across_.width() > 0 ? across_.width() : 1;
    if (!channels_last) {
      images_ = x.sizes[0] * channels_;
      pixel_ = 1;
    } else {
      images_ = x.sizes[0];
      pixel_ = channels_;
    }
    few_ = channels_last && channels_ < kFewChannels;
    // the channels of a pixel that are worked on together: all, or as many as fit
    block_ = few_ || !channels_last ? 1 : channels_;
    while (block_ > kFewChannels && block_ * width * depth_ > 2 * kTile) block_ = (block_ / 2 + 15) / 16 * 16;
    planes_ = few_ ? channels_ : 1;
    row_size_ = (width * block_ + 15) / 16 * 16;
    const int64_t tile = kTile / (row_size_ * depth_ * planes_);
    band_ = tile < 1 ? 1 : tile < along_.out ? tile : along_.out;
  }

  void run() {
    const int64_t bands = (along_.out + band_ - 1) / band_, blocks = few_ ? 1 : (pixel_ + block_ - 1) / block_;
    const int64_t elements = images_ * pixel_ * (along_.out * across_.out + along_.in * across_.in);
    const int threads = threads_for(elements);
    const int64_t t_size = band_ * depth_ * planes_ * row_size_;
    const int64_t flat_size = few_ ? pixel_ * across_.width() : 0;
    const int64_t split_size = across_.step > 1 && block_ == 1 ? depth_ * (row_size_ + across_.step) : 0;
    const int64_t phase_size = (across_.out + across_.period - 1) / across_.period * across_.period;
    const int64_t stage = (t_size + flat_size + split_size + phase_size + 15) / 16 * 16;
    const int64_t taps = depth_ * across_.max_taps + along_.max_taps + 1;
    Scratch<A> numbers(threads * (stage + 2 * taps));
    Scratch<const void*> addresses(threads * 2 * taps);
    Scratch<T> out_rows(few_ ? threads * across_.out : 0);
    for (int64_t i = 0; i < threads * stage; ++i) numbers[i] = 0;  // the margins of t stay zero
    parallel_for(images_ * blocks * bands, threads, [&](int64_t task, int thread) {
      Worker w;
      w.t = numbers.get() + thread * stage;
      w.flat = w.t + t_size;
      w.split = w.flat + flat_size;
      w.phase = w.split + split_size;
      w.taps = numbers.get() + threads * stage + thread * 2 * taps;
      w.row_taps = w.taps + taps;
      w.views = reinterpret_cast<const A**>(addresses.get() + thread * 2 * taps);
      w.rows = reinterpret_cast<const T**>(addresses.get() + thread * 2 * taps + taps);
      w.out_row = out_rows.get() + (few_ ? thread * across_.out : 0);
      const int64_t band = task % bands, block = task / bands % blocks, image = task / bands / blocks;
      const int64_t first = band * band_, last = first + band_ < along_.out ? first + band_ : along_.out;
      const int64_t channel = block * block_;
      const T* x = x_ + image * along_.in * across_.in * pixel_ + channel;
      T* y = y_ + image * along_.out * across_.out * pixel_ + channel;
      w.width = few_ ? 1 : pixel_ - channel < block_ ? pixel_ - channel : block_;
      for (int64_t i = first; i < last; ++i) meet_rows(w, x, i, w.t + (i - first) * depth_ * planes_ * row_size_);
      for (int64_t i = first; i < last; ++i)
        make_row(w, w.t + (i - first) * depth_ * planes_ * row_size_, i, y + i * across_.out * pixel_);
    });
  }

 private:
  struct Worker {
    A *t, *flat, *split, *phase, *taps, *row_taps;
    const A** views;
    const T** rows;
    T* out_row;
    int64_t width;  // channels of a pixel
  };

  // The taps of output row i that meet x: f(k, row of x, row of the filter).
  template <typename F>
  void for_each_tap(int64_t i, const F& f) const {
    const Phase& p = along_.phases[i % along_.period];
    const int64_t base = p.first + along_.step * (i / along_.period);
    int64_t met = 0;
    for (int64_t k = 0; k < p.taps; ++k)
      if (base + k >= 0 && base + k < along_.in) f(met++, base + k, p.tap + k * along_.up);
  }

  // First stage: t[plane, d, column - lowest, channel].
  void meet_rows(Worker& w, const T* x, int64_t i, A* t) const {
    const int64_t begin = across_.begin(), end = across_.end();
    if (end <= begin) return;
    const int64_t row = across_.in * pixel_;
    int64_t taps = 0;
    for_each_tap(i, [&](int64_t k, int64_t at, int64_t tap) {
      w.rows[k] = x + at * row + begin * pixel_;
      w.row_taps[k] = filter_.column[tap];
      taps = k + 1;
    });
    if (filter_.separable) {
      combine_rows(w, w.rows, w.row_taps, taps, t + (begin - across_.lowest) * block_, end - begin);
    } else {
      for (int64_t k = 0; k < taps; ++k)
        combine_rows(w, w.rows + k, w.row_taps + k, 1, t + k * row_size_ + (begin - across_.lowest) * block_,
                     end - begin);
    }
  }

  void combine_rows(Worker& w, const T** rows, const A* f, int64_t taps, A* t, int64_t columns) const {
    if (few_) {
      combine(rows, f, taps, w.flat, columns * pixel_);
      for (int64_t c = 0; c < pixel_; ++c) {
        A* plane = t + c * depth_ * row_size_;
        for (int64_t j = 0; j < columns; ++j) plane[j] = w.flat[j * pixel_ + c];
      }
    } else if (block_ == pixel_) {
      combine(rows, f, taps, t, columns * pixel_);
    } else {
      for (int64_t j = 0; j < columns; ++j) {
        combine(rows, f, taps, t + j * block_, w.width);
        for (int64_t k = 0; k < taps; ++k) rows[k] += pixel_;
      }
    }
  }

  // Second stage: output row i.
  void make_row(Worker& w, const A* t, int64_t i, T* y) const {
    if (few_) {
      for (int64_t c = 0; c < pixel_; ++c) {
        filter_row(w, t + c * depth_ * row_size_, i, w.out_row);
        for (int64_t j = 0; j < across_.out; ++j) y[j * pixel_ + c] = w.out_row[j];
      }
    } else if (pixel_ == 1) {
      filter_row(w, t, i, y);
    } else {
      for (int64_t p = 0; p < across_.period; ++p) {
        const Phase& phase = across_.phases[p];
        const int64_t taps = horizontal_taps(w, phase, i, [&](int64_t d, int64_t k) {
          return t + d * row_size_ + (phase.first + k - across_.lowest) * block_;
        });
        for (int64_t j = p; j < across_.out; j += across_.period) {
          combine(w.views, w.taps, taps, y + j * pixel_, w.width);
          for (int64_t k = 0; k < taps; ++k) w.views[k] += across_.step * block_;
        }
      }
    }
  }

  // One row of single elements.
  void filter_row(Worker& w, const A* t, int64_t i, T* y) const {
    const int64_t step = across_.step, period = across_.period;
    const int64_t part = row_size_ / step + 1;  // of each residue of t
    if (step > 1) {
      for (int64_t d = 0; d < depth_; ++d)
        for (int64_t r = 0; r < step; ++r) {
          A* split = w.split + d * part * step + r * part;
          const A* row = t + d * row_size_ + r;
          const int64_t size = (across_.width() - r + step - 1) / step;
          if (step == 2)
            for (int64_t j = 0; j < size; ++j) split[j] = row[2 * j];
          else
            for (int64_t j = 0; j < size; ++j) split[j] = row[step * j];
        }
    }
    const int64_t size = (across_.out + period - 1) / period;
    for (int64_t p = 0; p < period; ++p) {
      const Phase& phase = across_.phases[p];
      const int64_t taps = horizontal_taps(w, phase, i, [&](int64_t d, int64_t k) {
        const int64_t column = phase.first + k - across_.lowest;
        return step == 1 ? t + d * row_size_ + column : w.split + d * part * step + column % step * part + column / step;
      });
      if (period == 1)
        combine(w.views, w.taps, taps, y, across_.out);
      else
        combine(w.views, w.taps, taps, w.phase + p * size, across_.count(p));
    }
    if (period == 2) {
      for (int64_t m = 0; m < across_.out / 2; ++m) {
        store(y[2 * m], w.phase[m]);
        store(y[2 * m + 1], w.phase[size + m]);
      }
      if (across_.out % 2) store(y[across_.out - 1], w.phase[size - 1]);
    } else if (period > 2) {
      for (int64_t p = 0; p < period; ++p)
        for (int64_t m = 0; m < across_.count(p); ++m) store(y[m * period + p], w.phase[p * size + m]);
    }
  }

  // Fills views and taps of one horizontal phase; view(d, k) is where the k-th tap of the d-th row begins.
  template <typename F>
  int64_t horizontal_taps(Worker& w, const Phase& phase, int64_t i, const F& view) const {
    int64_t taps = 0;
    const auto add = [&](int64_t d, int64_t filter_row) {
      for (int64_t k = 0; k < phase.taps; ++k, ++taps) {
        w.views[taps] = view(d, k);
        w.taps[taps] = filter_.rows[filter_row * filter_.width + phase.tap + k * across_.up];
      }
    };
    bool met = false;
    for_each_tap(i, [&](int64_t k, int64_t, int64_t tap) {
      if (!filter_.separable) add(k, tap);
      met = true;
    });
    if (filter_.separable && met) add(0, 0);
    return taps;
  }

  const T* x_;
  T* y_;
  Filter<A> filter_;
  Axis across_, along_;
  int64_t channels_;
  int64_t images_, pixel_;  // planes and 1, or batch and channels for channels_last
  bool few_;
  int64_t block_, planes_, depth_, row_size_, band_;
};

void upfirdn2d(TensorView x, TensorView f, Ints up, Ints down, Ints padding, bool flip_filter, double gain,
               TensorView y) {
  dispatch(x.dtype, "x", [&](auto zero) {
    Resampler<decltype(zero)>(x, f, up, down, padding, flip_filter, gain, y).run();
  });
}

GAN_FAST_LAUNCHER(upfirdn2d)

}  // namespace
