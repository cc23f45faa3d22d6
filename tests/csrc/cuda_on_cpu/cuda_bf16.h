// Stands in for CUDA's header: see cuda_runtime.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda_runtime.h"

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

struct __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
inline __nv_bfloat162 __habs2(__nv_bfloat162 v) {
  return {{static_cast<uint16_t>(v.x.bits & 0x7fff)}, {static_cast<uint16_t>(v.y.bits & 0x7fff)}};
}
inline __nv_bfloat162 __hmin2_nan(__nv_bfloat162 a, __nv_bfloat162 b) {
  return __floats2bfloat162_rn(cuda_on_cpu::min_nan(__bfloat162float(a.x), __bfloat162float(b.x)),
                               cuda_on_cpu::min_nan(__bfloat162float(a.y), __bfloat162float(b.y)));
}
inline __nv_bfloat162 __hmax2_nan(__nv_bfloat162 a, __nv_bfloat162 b) {
  return __floats2bfloat162_rn(cuda_on_cpu::max_nan(__bfloat162float(a.x), __bfloat162float(b.x)),
                               cuda_on_cpu::max_nan(__bfloat162float(a.y), __bfloat162float(b.y)));
}
inline unsigned __hge2_mask(__nv_bfloat162 a, __nv_bfloat162 b) {
  return (__bfloat162float(a.x) >= __bfloat162float(b.x) ? 0xffffu : 0u)
         | (__bfloat162float(a.y) >= __bfloat162float(b.y) ? 0xffff0000u : 0u);
}
