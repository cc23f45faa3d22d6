// What the CPU kernels share: number formats, threads, scratch memory.
//
// Each file of this folder is compiled once for every instruction set, so all of it lies in an anonymous namespace:
// the linker would merge functions of one name.
#pragma once

#include <omp.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include "launcher.h"
#include "math.h"

namespace {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// The type in which a storage type is computed.
template <typename T>
struct Compute {
  using type = float;
};
template <>
struct Compute<double> {
  using type = double;
};
template <typename T>
using compute_t = typename Compute<T>::type;

GF_HD uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
GF_HD float float_of(uint32_t bits) { return gan_fast::bits_to_float(static_cast<int32_t>(bits)); }

// The conversions have no branches, so that loops over them vectorise.
GF_HD float load(float x) { return x; }
GF_HD double load(double x) { return x; }
GF_HD float load(BFloat16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }
GF_HD float load(Half x) {
  const uint32_t magnitude = static_cast<uint32_t>(x.bits & 0x7fff) << 13;
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16;
  const uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f);  // moves the exponent's bias, subnormals included
  return float_of((magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite) | sign);
}

// Rounded to nearest even.
GF_HD void store(float& y, float x) { y = x; }
GF_HD void store(double& y, double x) { y = x; }
GF_HD void store(BFloat16& y, float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40;
  y.bits = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}
GF_HD void store(Half& y, float x) {
  const uint32_t bits = bits_of(x), magnitude = bits & 0x7fffffff;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;  // the addition rounds at 2^-24
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  uint32_t h = magnitude < 0x38800000u ? subnormal : normal;
  h = magnitude >= 0x477ff000u ? special : h;
  y.bits = static_cast<uint16_t>(h | (bits >> 16 & 0x8000));
}

// Calls f with a value of the C++ type that a dtype stores.
template <typename F>
void dispatch(gan_fast::DType dtype, F&& f) {
  switch (dtype) {
    case gan_fast::DType::f32:
      return f(float());
    case gan_fast::DType::f64:
      return f(double());
    case gan_fast::DType::f16:
      return f(Half());
    case gan_fast::DType::bf16:
      return f(BFloat16());
    default:
      throw std::invalid_argument("a tensor that does not hold floating-point numbers");
  }
}

// Below this number of elements a second thread costs more than it saves.
constexpr int64_t kSerial = 1 << 15;

inline int threads_for(int64_t elements) { return elements < kSerial || omp_in_parallel() ? 1 : omp_get_max_threads(); }

constexpr int kLine = 64;

// How results are written.
//   scratch   to memory that is in the caches
//   output    the line of a page ahead is asked for, as processors do by themselves for loads but hardly for stores
//   streamed  past the caches, which would not hold so much until it is read again: a store that does not read its line
//             first saves a third of a copy's traffic
enum class Write { scratch, output, streamed };

// Outputs of this size are streamed: that of the last cache, unless GAN_FAST_STREAM_BYTES says otherwise.
inline int64_t stream_bytes() {
  static const int64_t bytes = [] {
    if (const char* given = std::getenv("GAN_FAST_STREAM_BYTES")) return static_cast<int64_t>(std::atoll(given));
    int64_t cache = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return cache > 0 ? cache : int64_t{32} << 20;
  }();
  return bytes;
}

// How an output of rows of n elements each, side by side from p on, is written. Only whole cache lines can be streamed.
template <typename T>
Write write_of(const T* p, int64_t n, int64_t elements) {
  const bool large = elements * static_cast<int64_t>(sizeof(T)) >= stream_bytes();
  const bool lines = reinterpret_cast<uintptr_t>(p) % kLine == 0 && n * static_cast<int64_t>(sizeof(T)) % kLine == 0;
  return large && lines ? Write::streamed : Write::output;
}

// Before n elements are written to p.
template <typename T>
GF_HD void expect(const T* p, int64_t n, Write write) {
  constexpr int kPage = 4096, kInLine = kLine / sizeof(T);
  if (write != Write::output) return;
  for (int64_t j = 0; j < n; j += kInLine) __builtin_prefetch(p + kPage / sizeof(T) + j, 1);
}

// BYTES past the caches, to an address that is a multiple of them.
template <int BYTES>
GF_HD void stream(void* to, const void* from) {
#if GAN_FAST_ISA == 2
  if constexpr (BYTES == 64) return _mm512_stream_si512(static_cast<__m512i*>(to), _mm512_loadu_si512(from));
#endif
#if defined(__x86_64__)
  for (int i = 0; i < BYTES / 16; ++i)
    _mm_stream_si128(static_cast<__m128i*>(to) + i, _mm_loadu_si128(static_cast<const __m128i*>(from) + i));
#else
  std::memcpy(to, from, BYTES);
#endif
}

// Makes streamed lines visible to other threads.
inline void finish_streams() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// f(task, thread) for every task; each thread takes a contiguous range.
// A team is all threads or one: libgomp ends and starts threads where its size changes.
template <typename F>
void parallel_for(int64_t tasks, int threads, const F& f) {
  if (threads == 1) {
    for (int64_t task = 0; task < tasks; ++task) f(task, 0);
    return finish_streams();
  }
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static) nowait
    for (int64_t task = 0; task < tasks; ++task) f(task, omp_get_thread_num());
    finish_streams();
  }
}

// Uninitialised memory, aligned to cache lines.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size)
      : data_(static_cast<T*>(::operator new(static_cast<size_t>(size) * sizeof(T), std::align_val_t(64)))) {}
  ~Scratch() { ::operator delete(data_, std::align_val_t(64)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  T* data_;
};

}  // namespace
