// Element types of the CUDA kernels: how they are stored, computed with, and moved 16 bytes at a time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "../tensor.h"

namespace gan_fast {

// Half types are computed with in float.
template <typename T>
struct ComputedOf {
  using type = float;
};
template <>
struct ComputedOf<double> {
  using type = double;
};
template <typename T>
using Computed = typename ComputedOf<T>::type;

__host__ __device__ __forceinline__ float computed(float v) { return v; }
__host__ __device__ __forceinline__ double computed(double v) { return v; }
__host__ __device__ __forceinline__ float computed(__half v) { return __half2float(v); }
__host__ __device__ __forceinline__ float computed(__nv_bfloat16 v) { return __bfloat162float(v); }

template <typename T>
__host__ __device__ __forceinline__ T stored(Computed<T> v) {
  return v;
}
template <>
__host__ __device__ __forceinline__ __half stored<__half>(float v) {
  return __float2half_rn(v);
}
template <>
__host__ __device__ __forceinline__ __nv_bfloat16 stored<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

constexpr int kVectorBytes = 16;

// SIZE elements that are loaded and stored at once.
template <typename T, int SIZE>
struct alignas(sizeof(T) * SIZE) Vec {
  T v[SIZE];
};

inline bool aligned(const TensorView& t) { return reinterpret_cast<uintptr_t>(t.data) % kVectorBytes == 0; }

// The elements that a thread holds at once: SIZE neighbours in one load, or SIZE that lie `stride` apart, where only
// the first (left / stride) are inside.
template <typename T, int SIZE>
__device__ __forceinline__ Vec<T, SIZE> load(const T* p, bool vectors, int stride, int left) {
  Vec<T, SIZE> v = {};
  if (vectors) {
    if (left > 0) v = *reinterpret_cast<const Vec<T, SIZE>*>(p);
  } else {
#pragma unroll
    for (int j = 0; j < SIZE; ++j)
      if (j * stride < left) v.v[j] = p[j * stride];
  }
  return v;
}

template <typename T, int SIZE>
__device__ __forceinline__ void store(T* p, const Vec<T, SIZE>& v, bool vectors, int stride, int left) {
  if (vectors) {
    if (left > 0) *reinterpret_cast<Vec<T, SIZE>*>(p) = v;
  } else {
#pragma unroll
    for (int j = 0; j < SIZE; ++j)
      if (j * stride < left) p[j * stride] = v.v[j];
  }
}

// Calls f with a value of the element type.
template <typename F>
void with_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::f16:
      return f(__half{});
    case DType::bf16:
      return f(__nv_bfloat16{});
    default:
      throw std::invalid_argument("dtype: takes a floating-point type");
  }
}

// Calls f with a value of the element type and the size of a vector of it: 16 bytes' worth, or one element.
template <typename F>
void with_vectors(DType dtype, bool vectors, F&& f) {
  with_dtype(dtype, [&](auto type) {
    if (vectors)
      f(type, std::integral_constant<int, kVectorBytes / sizeof(type)>());
    else
      f(type, std::integral_constant<int, 1>());
  });
}

}  // namespace gan_fast
