// Stands in for CUDA's header: see cuda_runtime.h.
#pragma once

#include <cstdint>
#include <cstring>

struct __nv_bfloat16 {
  uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 v) {
  const uint32_t wide = static_cast<uint32_t>(v.bits) << 16;
  float f;
  std::memcpy(&f, &wide, sizeof f);
  return f;
}

inline __nv_bfloat16 __float2bfloat16_rn(float v) {
  uint32_t wide;
  std::memcpy(&wide, &v, sizeof wide);
  if (v != v) return {0x7fff};
  wide += 0x7fff + (wide >> 16 & 1);  // to the nearest, ties to even
  return {static_cast<uint16_t>(wide >> 16)};
}
