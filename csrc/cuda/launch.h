// How a launcher starts a kernel: on the stream that the contract hands over, with an exception where CUDA refuses.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

// The shared memory of launch_with_shared, as T* name.
#ifndef GAN_FAST_DYNAMIC_SHARED
#define GAN_FAST_DYNAMIC_SHARED(T, name) extern __shared__ T name[]
#endif

namespace gan_fast {

constexpr size_t kSharedUnasked = 48 * 1024;  // bytes that a block has with no special request

template <typename... Params, typename... Args>
void launch_with_shared(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                        void* stream, Args... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  cudaError_t status = cudaSuccess;
  if (shared_bytes > kSharedUnasked)
    status = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(shared_bytes));
  if (status == cudaSuccess) status = cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the error is reported here, not again by the next call
  throw std::runtime_error(std::string(name) + ": CUDA refused the launch: " + cudaGetErrorString(status));
}

template <typename... Params, typename... Args>
void launch(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block, void* stream, Args... args) {
  launch_with_shared(name, kernel, grid, block, 0, stream, args...);
}

}  // namespace gan_fast
