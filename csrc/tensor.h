// What a launcher receives. Launchers fill tensors that the contract (gan_fast/ops) has allocated and checked.
#pragma once

#include <cstdint>
#include <string_view>

namespace gan_fast {

enum class DType : int { f32 = 0, f64 = 1, f16 = 2, bf16 = 3, u8 = 4, i64 = 5 };

constexpr int kMaxDims = 8;

// A strided tensor in somebody else's memory. Sizes and strides count elements.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  int ndim = -1;  // -1: an optional tensor that was not given
  int64_t sizes[kMaxDims] = {};
  int64_t strides[kMaxDims] = {};

  bool given() const { return ndim >= 0; }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < ndim; ++i) n *= sizes[i];
    return n;
  }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

struct Ints {
  const int64_t* data = nullptr;
  int64_t size = 0;
  int64_t operator[](int64_t i) const { return data[i]; }
};

// One argument as it comes from Python, and its reading as a launcher's parameter.
struct Arg {
  TensorView tensor;
  Ints ints;
  std::string_view text;
  double real = 0;
  int64_t integer = 0;

  operator TensorView() const { return tensor; }
  operator Ints() const { return ints; }
  operator std::string_view() const { return text; }
  operator double() const { return real; }
  operator int64_t() const { return integer; }
  operator bool() const { return integer != 0; }
  operator void*() const { return reinterpret_cast<void*>(integer); }
};

}  // namespace gan_fast
