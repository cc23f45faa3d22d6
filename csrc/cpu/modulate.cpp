// y = clamp(act(s x + strength noise + b) gain), its gradient with the sums for s, strength and b, and the derivative
// of that: each in one pass over memory.
#include "pointwise.h"

namespace {

using namespace gan_fast;

// Memory is planes, [N, C, P], or pixels, [N, P, C]. A group is a plane, or a sample of pixels, and is cut into tiles,
// which sum by themselves: planes in lanes, pixels in each of their channels. Tiles do not depend on the number of
// threads, so neither do sums.
struct Tiles {
  int64_t samples, channels, pixels;
  bool planes;
  int64_t groups, width;       // sums of a group: 1 or C
  int64_t tile_pixels, tiles;  // of a group

  explicit Tiles(const TensorView& x) {
    samples = x.sizes[0];
    channels = x.sizes[1];
    pixels = samples * channels == 0 ? 0 : x.numel() / (samples * channels);
    planes = channels == 1 || x.strides[1] != 1;
    groups = planes ? samples * channels : samples;
    width = planes ? 1 : channels;
    tile_pixels = planes ? kSpan : kRows;
    tiles = ceil_div(pixels, tile_pixels);
  }
  int64_t count() const { return groups * tiles; }
  int64_t elements() const { return samples * channels * pixels; }
};

// What the elements of a row are computed with: that of element i lies at p + i, or with a step of 0 the kLanes equal
// ones at p serve every step.
template <typename T>
struct Operand {
  const T* p;
  int64_t step;
  GF_HD const T* at(int64_t i) const { return p + i * step; }
};

template <typename T>
struct Lanes {
  alignas(kLine) T values[kLanes];
  Operand<T> all(T value) {
    for (T& v : values) v = value;
    return {values, 0};
  }
};

struct Tile {
  const Tiles& of;
  int64_t index, sample, channel, pixel, pixels;

  Tile(const Tiles& tiles, int64_t task) : of(tiles), index(task) {
    const int64_t group = task / of.tiles;
    sample = of.planes ? group / of.channels : group;
    channel = of.planes ? group % of.channels : 0;
    pixel = task % of.tiles * of.tile_pixels;
    pixels = of.pixels - pixel < of.tile_pixels ? of.pixels - pixel : of.tile_pixels;
  }

  // Of a tensor that holds one number a channel from element `at` on; `absent` where it was not given.
  template <typename A>
  Operand<A> of_channels(const TensorView& t, int64_t at, A absent, Lanes<A>& same) const {
    if (!t.given()) return same.all(absent);
    const A* p = t.as<A>() + at + channel;
    return of.planes ? same.all(*p) : Operand<A>{p, 1};
  }
  template <typename A>
  Operand<A> of_samples(const TensorView& t, int64_t row, A absent, Lanes<A>& same) const {
    return of_channels(t, (row * of.samples + sample) * of.channels, absent, same);
  }

  // f(at, n, noise) for each row, the n elements from `at` on.
  template <typename A, typename F>
  void rows(const TensorView& noise, const F& f) const {
    Lanes<A> lanes;
    const Operand<A> same = lanes.all(0);
    const int64_t first = sample * of.pixels + pixel;
    const A* z = noise.as<A>() + (noise.given() ? first : 0);
    if (of.planes) return f(index / of.tiles * of.pixels + pixel, pixels, noise.given() ? Operand<A>{z, 1} : same);
    for (int64_t i = 0; i < pixels; ++i) {
      if (noise.given()) lanes.all(z[i]);
      f((first + i) * of.channels, of.channels, same);
    }
  }
};

// f(tile) for every tile.
template <typename F>
void for_each_tile(const Tiles& tiles, const F& f) {
  parallel_for(tiles.count(), threads_for(tiles.elements()), [&](int64_t task, int) { f(Tile(tiles, task)); });
}

template <typename T>
Write write_of(const TensorView& y, const Tiles& tiles) {
  return write_of(y.as<T>(), tiles.planes ? tiles.pixels : tiles.channels, tiles.elements());
}

// A tensor that lies like the output, from element `at` on; zeros where it was not given.
template <typename T>
Operand<T> alike(const TensorView& t, int64_t at, const Lanes<T>& zeros) {
  return t.given() ? Operand<T>{t.as<T>() + at, 1} : Operand<T>{zeros.values, 0};
}

template <Act ACT, typename T, typename A = compute_t<T>>
[[gnu::noinline]] void forward_row(const T* x, Operand<A> s, Operand<A> noise, A strength, Operand<A> b, int64_t first,
                                   T* y, int64_t n, Settings<A> set, Write write) {
  in_steps(n, [&](int64_t i, int64_t size) __attribute__((always_inline)) {
    const A *scale = s.at(first + i), *z = noise.at(first + i), *bias = b.at(first + i);
    if (write == Write::streamed) fetch(x + first + i);
    expect(y + i, size, write);
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) {
      const A u = load(x[first + i + j]) * scale[j] + (strength * z[j] + bias[j]);
      const A v = activation<0, ACT>(u, set.alpha) * set.gain;
      const A low = v < -set.clamp ? -set.clamp : v;
      store(y[i + j], low > set.clamp ? set.clamp : low);
    }
  });
}

// act'(u) gain, as it is read off y: `above` where y > 0, else `below`, and 0 where the clamp was reached.
template <typename A>
struct Slopes {
  A above, below, clamp;

  Slopes(std::string_view act, const Settings<A>& set) : above(set.gain), clamp(set.clamp) {
    below = act_of(act) == Act::linear ? set.gain : act_of(act) == Act::lrelu ? set.alpha * set.gain : A(0);
  }
  GF_HD bool masks(A y) const { return (y < A(0) ? -y : y) >= clamp; }
  GF_HD A at(A y) const { return masks(y) ? A(0) : y > A(0) ? above : below; }
};

// The sums of a tile, which stand beside its elements as operands do.
template <typename A>
struct Sums {
  A* p[3];
  int64_t step;
};

// dx = s h with h = dy D, and where SUMS those of h, h X and h noise. X is x, or with RECOVER u, of which D u = y.
template <bool SUMS, bool RECOVER, typename T, typename A = compute_t<T>>
[[gnu::noinline]] void grad_row(const T* dy, Operand<T> y, Operand<A> s, Operand<A> noise, Operand<T> x, int64_t first,
                                T* dx, const Sums<A>& sums, int64_t n, Slopes<A> slopes, Write write) {
  in_steps(n, [&](int64_t i, int64_t size) __attribute__((always_inline)) {
    const int64_t at = first + i, in_sums = at * sums.step;
    const T *v = dy + at, *output = y.at(at), *input = x.at(at);
    const A *scale = s.at(at), *z = noise.at(at);
    A *sum_h = sums.p[0] + in_sums, *sum_hx = sums.p[1] + in_sums, *sum_hz = sums.p[2] + in_sums;
    fetch(v);
    fetch(output);
    if (SUMS && !RECOVER) fetch(input);
    expect(dx + i, size, write);
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) {
      const A of_y = load(output[j]), h = load(v[j]) * slopes.at(of_y);
      store(dx[i + j], scale[j] * h);
      if constexpr (SUMS) {
        sum_h[j] += h;
        sum_hx[j] += RECOVER ? (slopes.masks(of_y) ? A(0) : load(v[j]) * of_y) : h * load(input[j]);
        sum_hz[j] += h * z[j];
      }
    }
  });
}

// D (s w + r0 + r1 X + r2 noise)
template <bool RECOVER, typename T, typename A = compute_t<T>>
[[gnu::noinline]] void tangent_row(Operand<T> w, Operand<T> y, Operand<A> s, const Operand<A> (&r)[3], Operand<A> noise,
                                   Operand<T> x, int64_t first, T* ddy, int64_t n, Slopes<A> slopes, Write write) {
  in_steps(n, [&](int64_t i, int64_t size) __attribute__((always_inline)) {
    const int64_t at = first + i;
    const T *cotangent = w.at(at), *output = y.at(at), *input = x.at(at);
    const A *scale = s.at(at), *r0 = r[0].at(at), *r1 = r[1].at(at), *r2 = r[2].at(at), *z = noise.at(at);
    fetch(cotangent);
    fetch(output);
    if (!RECOVER) fetch(input);
    expect(ddy + i, size, write);
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) {
      const A of_y = load(output[j]);
      A v = scale[j] * load(cotangent[j]) + (r0[j] + r2[j] * z[j]);
      if constexpr (RECOVER)
        v = slopes.masks(of_y) ? A(0) : v * slopes.at(of_y) + r1[j] * of_y;
      else
        v = (v + r1[j] * load(input[j])) * slopes.at(of_y);
      store(ddy[i + j], v);
    }
  });
}

template <typename T>
auto forward_of(std::string_view act) {
  switch (act_of(act)) {
    case Act::linear:
      return &forward_row<Act::linear, T>;
    case Act::relu:
      return &forward_row<Act::relu, T>;
    default:
      return &forward_row<Act::lrelu, T>;
  }
}

void modulate(TensorView x, TensorView s, TensorView noise, TensorView strength, TensorView b, std::string_view act,
              double alpha, double gain, double clamp, bool, TensorView y, TensorView) {
  const Tiles tiles(x);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const auto set = settings_of<T>(alpha, gain, clamp);
    const A factor = strength.given() ? *strength.as<A>() : A(1);
    const Write write = write_of<T>(y, tiles);
    const auto forward = forward_of<T>(act);
    for_each_tile(tiles, [&](const Tile& tile) {
      Lanes<A> of_s, of_b;
      const auto scale = tile.of_samples(s, 0, A(1), of_s);
      const auto bias = tile.of_channels(b, 0, A(0), of_b);
      tile.rows<A>(noise, [&](int64_t at, int64_t n, Operand<A> z) {
        write_row(y.as<T>() + at, n, write, [&](T* to, int64_t i, int64_t m) {
          forward(x.as<T>() + at, scale, z, factor, bias, i, to, m, set, write);
        });
      });
    });
  });
}

// totals [3, N, C] from the sums of tiles [3, groups, tiles, width], added in double precision in the order of memory.
template <typename A>
void add_up(const Tiles& t, const A* sums, A* totals) {
  Scratch<double> total(t.width);
  for (int64_t group = 0; group < 3 * t.groups; ++group) {
    for (int64_t i = 0; i < t.width; ++i) total[i] = 0;
    for (int64_t tile = 0; tile < t.tiles; ++tile)
      for (int64_t i = 0; i < t.width; ++i) total[i] += sums[(group * t.tiles + tile) * t.width + i];
    for (int64_t i = 0; i < t.width; ++i) totals[group * t.width + i] = static_cast<A>(total[i]);
  }
}

void modulate_grad(TensorView dy, TensorView y, TensorView s, TensorView noise, TensorView x, std::string_view act,
                   double alpha, double gain, double clamp, bool recover, bool sums, TensorView dx, TensorView totals) {
  const Tiles tiles(dy);
  dispatch(dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Slopes<A> slopes(act, settings_of<T>(alpha, gain, clamp));
    const Write write = write_of<T>(dx, tiles);
    const Scratch<A> partial(sums ? 3 * tiles.count() * tiles.width : 0);
    const auto with_sums = recover ? &grad_row<true, true, T> : &grad_row<true, false, T>;
    const auto row = sums ? with_sums : &grad_row<false, false, T>;
    for_each_tile(tiles, [&](const Tile& tile) {
      Lanes<A> of_s, lanes[3];
      const Lanes<T> zeros{};
      Sums<A> of_tile{{}, tiles.planes ? 0 : 1};
      for (int k = 0; sums && k < 3; ++k) {
        A* const kept = partial.get() + (k * tiles.count() + tile.index) * tiles.width;
        of_tile.p[k] = tiles.planes ? lanes[k].values : kept;
        for (int64_t i = 0; i < (tiles.planes ? kLanes : tiles.width); ++i) of_tile.p[k][i] = 0;
      }
      const auto scale = tile.of_samples(s, 0, A(1), of_s);
      tile.rows<A>(noise, [&](int64_t at, int64_t n, Operand<A> z) {
        const auto output = alike(y, at, zeros), input = alike(x, at, zeros);
        write_row(dx.as<T>() + at, n, write, [&](T* to, int64_t i, int64_t m) {
          row(dy.as<T>() + at, output, scale, z, input, i, to, of_tile, m, slopes, write);
        });
      });
      for (int k = 0; sums && tiles.planes && k < 3; ++k)
        partial[k * tiles.count() + tile.index] = sum_of_lanes(lanes[k].values);
    });
    if (sums) add_up(tiles, partial.get(), totals.as<A>());
  });
}

void modulate_tangent(TensorView dy, TensorView w, TensorView y, TensorView s, TensorView r, TensorView noise,
                      TensorView x, std::string_view act, double alpha, double gain, double clamp, bool recover,
                      TensorView ddy) {
  const Tiles tiles(dy);
  dispatch(dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = compute_t<T>;
    const Slopes<A> slopes(act, settings_of<T>(alpha, gain, clamp));
    const Write write = write_of<T>(ddy, tiles);
    const auto row = recover ? &tangent_row<true, T> : &tangent_row<false, T>;
    for_each_tile(tiles, [&](const Tile& tile) {
      Lanes<A> of_s, of_r[3];
      const Lanes<T> zeros{};
      const auto scale = tile.of_samples(s, 0, A(1), of_s);
      const Operand<A> along[3] = {tile.of_samples(r, 0, A(0), of_r[0]), tile.of_samples(r, 1, A(0), of_r[1]),
                                   tile.of_samples(r, 2, A(0), of_r[2])};
      tile.rows<A>(noise, [&](int64_t at, int64_t n, Operand<A> z) {
        const auto cotangent = alike(w, at, zeros), output = alike(y, at, zeros), input = alike(x, at, zeros);
        write_row(ddy.as<T>() + at, n, write, [&](T* to, int64_t i, int64_t m) {
          row(cotangent, output, scale, along, z, input, i, to, m, slopes, write);
        });
      });
    });
  });
}

GAN_FAST_LAUNCHER(modulate)
GAN_FAST_LAUNCHER(modulate_grad)
GAN_FAST_LAUNCHER(modulate_tangent)

}  // namespace
