// What a call of upfirdn2d comes down to: an axis each for its polyphase structure, and the filter.
#pragma once

#include "common.h"

namespace {

using namespace gan_fast;

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

}  // namespace
