// Kernels with one bug each, which running CUDA on the CPU must catch.

#include "../../../csrc/cuda/launch.h"
#include "../../../csrc/launcher.h"

namespace gan_fast {
namespace {

constexpr int kThreads = 256;

__global__ void copy_kernel(const float* x, float* y, int64_t n) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i <= n) y[i] = x[i < n ? i : 0];  // one too many
}

__attribute__((noinline)) void put(float* p, float value) { *p = value; }

__global__ void shared_kernel(float* y, int past) {
  __shared__ float s[kThreads];
  put(s + threadIdx.x + past, 1.0f);
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}

__global__ void reverse_kernel(const float* x, float* y) {
  __shared__ float s[kThreads];
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[kThreads - 1 - threadIdx.x];  // no barrier between
}

__global__ void barrier_kernel(const float* x, float* y) {
  if (threadIdx.x % 2 == 0) __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

__global__ void vector_kernel(const float* x, float* y) {
  struct alignas(16) Four {
    float v[4];
  };
  *reinterpret_cast<Four*>(y) = *reinterpret_cast<const Four*>(x + 1);
}

void planted_global_overrun(TensorView x, TensorView y) {
  launch("planted", copy_kernel, 2, kThreads, nullptr, x.as<float>(), y.as<float>(), y.numel());
}
void planted_shared_overrun(TensorView, TensorView y) {
  launch("planted", shared_kernel, 1, kThreads, nullptr, y.as<float>(), 1);
}
void planted_no_barrier(TensorView x, TensorView y) {
  launch("planted", reverse_kernel, 1, kThreads, nullptr, x.as<float>(), y.as<float>());
}
void planted_divergent_barrier(TensorView x, TensorView y) {
  launch("planted", barrier_kernel, 1, kThreads, nullptr, x.as<float>(), y.as<float>());
}
void planted_misaligned_vector(TensorView x, TensorView y) {
  launch("planted", vector_kernel, 1, 1, nullptr, x.as<float>(), y.as<float>());
}
void planted_too_many_threads(TensorView x, TensorView y) {
  launch("planted", vector_kernel, 1, 2048, nullptr, x.as<float>(), y.as<float>());
}

GAN_FAST_LAUNCHER(planted_global_overrun)
GAN_FAST_LAUNCHER(planted_shared_overrun)
GAN_FAST_LAUNCHER(planted_no_barrier)
GAN_FAST_LAUNCHER(planted_divergent_barrier)
GAN_FAST_LAUNCHER(planted_misaligned_vector)
GAN_FAST_LAUNCHER(planted_too_many_threads)

}  // namespace
}  // namespace gan_fast
