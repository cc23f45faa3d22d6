// Element types of the CUDA kernels: how they are stored, computed with, and moved 16 bytes at a time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>
#include <cstring>
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

// SIZE neighbours in the registers that they are moved in: halves lie in pairs, which most instructions take at once.
template <typename T, int SIZE>
struct alignas(sizeof(T) * SIZE) Packed {
  static constexpr bool kPairs = sizeof(T) == 2 && SIZE % 2 == 0;
  static constexpr int kWords = kPairs ? SIZE / 2 : SIZE;
  using Word = std::conditional_t<kPairs, uint32_t, T>;
  Word w[kWords];
};

template <typename T>
using PairOf = std::conditional_t<std::is_same_v<T, __half>, __half2, __nv_bfloat162>;

template <typename T>
__device__ __forceinline__ PairOf<T> pair_of(uint32_t word) {
  PairOf<T> pair;
  memcpy(&pair, &word, sizeof pair);
  return pair;
}

template <typename P>
__device__ __forceinline__ uint32_t word_of(P pair) {
  uint32_t word;
  memcpy(&word, &pair, sizeof word);
  return word;
}

__device__ __forceinline__ float magnitude(float x) { return fabsf(x); }
__device__ __forceinline__ double magnitude(double x) { return fabs(x); }

// In one load; zeros where they are not wanted, as where there is no tensor.
template <typename T, int SIZE>
__device__ __forceinline__ Packed<T, SIZE> load_if(bool wanted, const T* p, int64_t at) {
  Packed<T, SIZE> v = {};
  if (wanted) v = *reinterpret_cast<const Packed<T, SIZE>*>(p + at);
  return v;
}

template <typename T, int SIZE>
__device__ __forceinline__ void store_if(bool wanted, T* p, const Packed<T, SIZE>& v) {
  if (!wanted) return;
  if constexpr (sizeof v < 8) {
    *reinterpret_cast<Packed<T, SIZE>*>(p) = v;
  } else {  // by the instruction's name: left to the compiler, some are cut into words
    using Words = std::conditional_t<sizeof v == 8, uint2, uint4>;
    Words words;
    memcpy(&words, &v, sizeof words);
    __stwb(reinterpret_cast<Words*>(p), words);
  }
}

// As they are computed with. A bfloat16 is the upper half of a float.
template <typename T, int SIZE>
__device__ __forceinline__ void widen(const Packed<T, SIZE>& v, Computed<T> (&wide)[SIZE]) {
#pragma unroll
  for (int i = 0; i < v.kWords; ++i) {
    if constexpr (!v.kPairs) {
      wide[i] = computed(v.w[i]);
    } else if constexpr (std::is_same_v<T, __half>) {
      const float2 pair = __half22float2(pair_of<T>(v.w[i]));
      wide[2 * i] = pair.x;
      wide[2 * i + 1] = pair.y;
    } else {
      wide[2 * i] = __uint_as_float(v.w[i] << 16);
      wide[2 * i + 1] = __uint_as_float(v.w[i] & 0xffff0000u);
    }
  }
}

// As they are stored.
template <typename T, int SIZE>
__device__ __forceinline__ Packed<T, SIZE> packed(const Computed<T> (&wide)[SIZE]) {
  Packed<T, SIZE> v;
#pragma unroll
  for (int i = 0; i < v.kWords; ++i) {
    if constexpr (!v.kPairs)
      v.w[i] = stored<T>(wide[i]);
    else if constexpr (std::is_same_v<T, __half>)
      v.w[i] = word_of(__floats2half2_rn(wide[2 * i], wide[2 * i + 1]));
    else
      v.w[i] = word_of(__floats2bfloat162_rn(wide[2 * i], wide[2 * i + 1]));
  }
  return v;
}

// Limited to [low, high]; NaN stays NaN.
template <typename T, int SIZE>
__device__ __forceinline__ Packed<T, SIZE> limited(Packed<T, SIZE> v, T low, T high) {
#pragma unroll
  for (int i = 0; i < v.kWords; ++i) {
    if constexpr (v.kPairs) {
      const PairOf<T> lowest{low, low}, highest{high, high};
      v.w[i] = word_of(__hmin2_nan(__hmax2_nan(pair_of<T>(v.w[i]), lowest), highest));
    } else {
      const Computed<T> x = computed(v.w[i]), lowest = computed(low), highest = computed(high);
      const Computed<T> raised = x < lowest ? lowest : x;
      v.w[i] = stored<T>(raised > highest ? highest : raised);
    }
  }
  return v;
}

// v, but 0 where |y| reaches the clamp, which a NaN never does.
template <typename T, int SIZE>
__device__ __forceinline__ Packed<T, SIZE> masked(Packed<T, SIZE> v, const Packed<T, SIZE>& y, T clamp) {
#pragma unroll
  for (int i = 0; i < v.kWords; ++i) {
    if constexpr (v.kPairs)
      v.w[i] &= ~__hge2_mask(__habs2(pair_of<T>(y.w[i])), PairOf<T>{clamp, clamp});
    else
      v.w[i] = magnitude(computed(y.w[i])) >= computed(clamp) ? T{} : v.w[i];
  }
  return v;
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
