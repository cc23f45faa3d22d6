// Stands in for CUDA's header: see cuda_runtime.h.
#pragma once

#include "cuda_runtime.h"

struct __half {
  _Float16 value;
};

inline float __half2float(__half v) { return static_cast<float>(v.value); }
inline __half __float2half_rn(float v) { return {static_cast<_Float16>(v)}; }

struct __half2 {
  __half x, y;
};

inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline float2 __half22float2(__half2 v) { return {__half2float(v.x), __half2float(v.y)}; }
inline __half2 __habs2(__half2 v) { return __floats2half2_rn(fabsf(__half2float(v.x)), fabsf(__half2float(v.y))); }
inline __half2 __hmin2_nan(__half2 a, __half2 b) {
  return __floats2half2_rn(cuda_on_cpu::min_nan(__half2float(a.x), __half2float(b.x)),
                           cuda_on_cpu::min_nan(__half2float(a.y), __half2float(b.y)));
}
inline __half2 __hmax2_nan(__half2 a, __half2 b) {
  return __floats2half2_rn(cuda_on_cpu::max_nan(__half2float(a.x), __half2float(b.x)),
                           cuda_on_cpu::max_nan(__half2float(a.y), __half2float(b.y)));
}
inline unsigned __hge2_mask(__half2 a, __half2 b) {
  return (__half2float(a.x) >= __half2float(b.x) ? 0xffffu : 0u)
         | (__half2float(a.y) >= __half2float(b.y) ? 0xffff0000u : 0u);
}
