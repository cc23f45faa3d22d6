// FIR filters as the CPU kernels take them.
#pragma once

#include "common.h"

namespace {

// The filter as a correlation with the gain: one row for each of its rows, or for rank 1 a single row and a column.
template <typename A>
struct Filter {
  int64_t width, height;
  bool separable;
  Scratch<A> rows, column;

  Filter(const gan_fast::TensorView& f, bool flip, double gain)
      : width(f.sizes[f.ndim - 1]), height(f.sizes[0]), rows(width * height), column(height) {
    Scratch<double> full(width * height);
    dispatch(f.dtype, [&](auto zero) {
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
    for (int64_t i = 0; i < height; ++i)
      column[i] = separable ? static_cast<A>(full[i * width + px] / full[pivot]) : A(1);
    for (int64_t i = 0; i < width * height; ++i)
      rows[i] = static_cast<A>((separable ? (i < width ? full[py * width + i] : 0) : full[i]) * gain);
  }
};

}  // namespace
