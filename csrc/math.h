// Scalar mathematics shared by the CPU and the CUDA kernels.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#if defined(__CUDACC__)
#define GF_HD __host__ __device__ __forceinline__
#else
#define GF_HD inline __attribute__((always_inline))
#endif

namespace gan_fast {

GF_HD int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
GF_HD int64_t ceil_div(int64_t a, int64_t b) { return floor_div(a + b - 1, b); }

enum class Act : int { linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish };

inline Act act_of(std::string_view name) {
  constexpr std::string_view names[] = {"linear", "relu", "lrelu",    "tanh", "sigmoid",
                                        "elu",    "selu", "softplus", "swish"};
  for (int i = 0; i < 9; ++i)
    if (names[i] == name) return static_cast<Act>(i);
  throw std::invalid_argument("act: unknown activation '" + std::string(name) + "'");
}

// exp and log1p on the host are branch-free for float, so that the compiler can vectorise a loop over them.
#if defined(__CUDA_ARCH__)
GF_HD float exp_of(float x) { return expf(x); }
GF_HD float log1p_of(float x) { return log1pf(x); }
GF_HD float expm1_of(float x) { return expm1f(x); }
GF_HD float tanh_of(float x) { return tanhf(x); }
#else
GF_HD float bits_to_float(int32_t i) {
  float f;
  std::memcpy(&f, &i, sizeof f);
  return f;
}

// 2^k e^r with k = round(x / ln 2), e^r by its Taylor series to r^7 on |r| <= ln(2)/2: relative error below 2e-7.
GF_HD float exp_of(float x) {
  float t = x < -104.0f ? -104.0f : x;  // NaN passes every comparison unchanged
  t = t > 89.0f ? 89.0f : t;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float k = (t * 1.44269504f + magic) - magic;
  float r = t - k * 0.693359375f;
  r = r + k * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t n = static_cast<int32_t>(k == k ? k : 0.0f);
  const int32_t half = n / 2;  // two factors, so that subnormal and overflowing results come out right
  return p * bits_to_float((half + 127) << 23) * bits_to_float((n - half + 127) << 23);
}

// log(1 + x) for 0 <= x <= 1 through 2 artanh(x / (2 + x)).
GF_HD float log1p_of(float x) {
  const float q = x / (2.0f + x), q2 = q * q;
  float p = 1.0f / 15.0f;
  p = p * q2 + 1.0f / 13.0f;
  p = p * q2 + 1.0f / 11.0f;
  p = p * q2 + 1.0f / 9.0f;
  p = p * q2 + 1.0f / 7.0f;
  p = p * q2 + 1.0f / 5.0f;
  p = p * q2 + 1.0f / 3.0f;
  p = p * q2 + 1.0f;
  return 2.0f * q * p;
}

GF_HD float expm1_of(float x) {
  float p = 1.0f / 5040.0f;
  p = p * x + 1.0f / 720.0f;
  p = p * x + 1.0f / 120.0f;
  p = p * x + 1.0f / 24.0f;
  p = p * x + 1.0f / 6.0f;
  p = p * x + 0.5f;
  p = p * x + 1.0f;
  const float a = x < 0.0f ? -x : x;
  return a < 0.3f ? p * x : exp_of(x) - 1.0f;
}

// x P(x^2) / Q(x^2), fitted to tanh on [-9, 9], beyond which it rounds to 1: relative error below 4e-7.
GF_HD float tanh_of(float x) {
  float c = x < -9.0f ? -9.0f : x;  // NaN passes every comparison unchanged
  c = c > 9.0f ? 9.0f : c;
  const float y = c * c;
  float p = 1.33534107e-8f;
  p = p * y + 2.0608183e-5f;
  p = p * y + 3.49553443e-3f;
  p = p * y + 0.133809811f;
  p = p * y + 0.99999998f;
  float q = 7.77604616e-7f;
  q = q * y + 3.28554614e-4f;
  q = q * y + 2.58767797e-2f;
  q = q * y + 0.467142967f;
  q = q * y + 1.0f;
  const float t = c * p / q, low = (t < -1.0f) | (x < -9.0f) ? -1.0f : t;
  return (low > 1.0f) | (x > 9.0f) ? 1.0f : low;
}
#endif
GF_HD double exp_of(double x) { return ::exp(x); }
GF_HD double log1p_of(double x) { return ::log1p(x); }
GF_HD double expm1_of(double x) { return ::expm1(x); }
GF_HD double tanh_of(double x) { return ::tanh(x); }

// 1 / x; on a GPU to one unit in the last place, in one instruction instead of a division's many.
#if defined(__CUDACC__) && defined(__CUDA_ARCH__)
GF_HD float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
GF_HD float reciprocal(float x) { return 1.0f / x; }
#endif
GF_HD double reciprocal(double x) { return 1.0 / x; }

template <typename T>
GF_HD T sigmoid_of(T u) {
  return reciprocal(T(1) + exp_of(-u));
}

// act(u), act'(u) or act''(u) for ORDER 0, 1, 2. At a kink the derivative is the one of the left side, as in PyTorch.
template <int ORDER, Act ACT, typename T>
GF_HD T activation(T u, T alpha) {
  constexpr double kSeluScale = 1.0507009873554804934193349852946, kSeluAlpha = 1.6732632423543772848170429916717;
  const bool positive = u > T(0);
  if constexpr (ACT == Act::linear) {
    return ORDER == 0 ? u : ORDER == 1 ? T(1) : T(0);
  } else if constexpr (ACT == Act::relu) {
    if constexpr (ORDER == 0) return u < T(0) ? T(0) : u;  // written so that NaN stays NaN
    return ORDER == 1 && positive ? T(1) : T(0);
  } else if constexpr (ACT == Act::lrelu) {
    if constexpr (ORDER == 0) return positive ? u : u * alpha;
    return ORDER == 2 ? T(0) : positive ? T(1) : alpha;
  } else if constexpr (ACT == Act::tanh) {
    const T t = tanh_of(u);
    return ORDER == 0 ? t : ORDER == 1 ? T(1) - t * t : T(-2) * t * (T(1) - t * t);
  } else if constexpr (ACT == Act::sigmoid) {
    const T s = sigmoid_of(u);
    return ORDER == 0 ? s : ORDER == 1 ? s * (T(1) - s) : s * (T(1) - s) * (T(1) - T(2) * s);
  } else if constexpr (ACT == Act::elu || ACT == Act::selu) {
    const T scale = ACT == Act::selu ? T(kSeluScale) : T(1);
    const T a = ACT == Act::selu ? T(kSeluAlpha) : T(1);
    const T below = positive ? T(0) : u;  // exp of a large positive u would overflow
    if constexpr (ORDER == 0) return scale * (positive ? u : a * expm1_of(below));
    return scale * (positive ? (ORDER == 1 ? T(1) : T(0)) : a * exp_of(below));
  } else if constexpr (ACT == Act::softplus) {
    if constexpr (ORDER == 0) return (positive ? u : T(0)) + log1p_of(exp_of(positive ? -u : u)) + (u != u ? u : T(0));
    const T s = sigmoid_of(u);
    return ORDER == 1 ? s : s * (T(1) - s);
  } else {
    static_assert(ACT == Act::swish, "unknown activation");
    const T s = sigmoid_of(u);
    if constexpr (ORDER == 0) return u * s;
    return ORDER == 1 ? s * (T(1) + u * (T(1) - s)) : s * (T(1) - s) * (T(2) + u * (T(1) - T(2) * s));
  }
}

// Philox4x32-10 (Salmon et al. 2011): four numbers of a counter's 128 bits under a key.
GF_HD void philox(uint64_t key, uint64_t low, uint64_t high, uint32_t (&c)[4]) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  c[0] = static_cast<uint32_t>(low);
  c[1] = static_cast<uint32_t>(low >> 32);
  c[2] = static_cast<uint32_t>(high);
  c[3] = static_cast<uint32_t>(high >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c[0], b = uint64_t{0xCD9E8D57u} * c[2];
    c[0] = static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0;
    c[1] = static_cast<uint32_t>(b);
    c[2] = static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1;
    c[3] = static_cast<uint32_t>(a);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// The i-th number in [0, 1) of the counter, exact in float.
template <typename A>
GF_HD A uniform(uint64_t seed, uint64_t offset, uint64_t i) {
  uint32_t c[4];
  philox(seed, i / 4, offset, c);
  const uint32_t even = i & 2 ? c[2] : c[0], odd = i & 2 ? c[3] : c[1];  // an index would need a stack on a GPU
  return A((i & 1 ? odd : even) >> 8) * A(0x1p-24);
}

#if defined(__CUDA_ARCH__)
GF_HD float log_of(float u) { return logf(u); }
GF_HD double log_of(double u) { return log(u); }
GF_HD float sqrt_of(float u) { return sqrtf(u); }
GF_HD double sqrt_of(double u) { return sqrt(u); }
GF_HD void sin_cos_turns(float u, float& s, float& c) { sincospif(2.0f * u, &s, &c); }
GF_HD void sin_cos_turns(double u, double& s, double& c) { sincospi(2.0 * u, &s, &c); }
#else
// log(u) of a normal positive number: 2^e m with m next to 1, log(m) = 2 artanh((m - 1) / (m + 1)).
GF_HD float log_of(float u) {
  int32_t bits;
  std::memcpy(&bits, &u, sizeof bits);
  const int32_t e = (bits - 0x3f3504f3) >> 23;
  const float f = bits_to_float(bits - e * (1 << 23)) - 1.0f, q = f / (2.0f + f), q2 = q * q;
  float p = 1.0f / 11.0f;
  p = p * q2 + 1.0f / 9.0f;
  p = p * q2 + 1.0f / 7.0f;
  p = p * q2 + 1.0f / 5.0f;
  p = p * q2 + 1.0f / 3.0f;
  p = p * q2 + 1.0f;
  return static_cast<float>(e) * 0.693147181f + 2.0f * q * p;
}
GF_HD double log_of(double u) { return ::log(u); }
GF_HD float sqrt_of(float u) { return __builtin_sqrtf(u); }
GF_HD double sqrt_of(double u) { return ::sqrt(u); }

// sin and cos of 2 pi u, 0 <= u < 1, from those of the angle to the nearest quarter turn.
GF_HD void sin_cos_turns(float u, float& s, float& c) {
  const int32_t quarter = static_cast<int32_t>(4.0f * u + 0.5f);
  const float r = (u - 0.25f * static_cast<float>(quarter)) * 6.28318531f, r2 = r * r;
  const float sine = r * (1.0f + r2 * (-1.0f / 6 + r2 * (1.0f / 120 + r2 * (-1.0f / 5040 + r2 * (1.0f / 362880)))));
  const float cosine = 1.0f + r2 * (-0.5f + r2 * (1.0f / 24 + r2 * (-1.0f / 720 + r2 * (1.0f / 40320))));
  const bool odd = quarter & 1;
  s = odd ? cosine : sine;
  c = odd ? sine : cosine;
  s = quarter & 2 ? -s : s;
  c = (quarter + 1) & 2 ? -c : c;
}
GF_HD void sin_cos_turns(double u, double& s, double& c) {
  s = ::sin(6.283185307179586476925 * u);
  c = ::cos(6.283185307179586476925 * u);
}
#endif

// Four normal numbers by Box and Muller; both uniform numbers are exact in float, and the first is never 0.
template <typename A>
GF_HD void normals(uint64_t seed, uint64_t offset, uint64_t block, A (&z)[4]) {
  uint32_t c[4];
  philox(seed, block, offset, c);
  for (int i = 0; i < 4; i += 2) {
    const A radius = sqrt_of(A(-2) * log_of((A(c[i] >> 9) + A(0.5)) * A(0x1p-23)));
    A sine, cosine;
    sin_cos_turns(A(c[i + 1] >> 8) * A(0x1p-24), sine, cosine);
    z[i] = radius * cosine;
    z[i + 1] = radius * sine;
  }
}

}  // namespace gan_fast
