// How a launcher starts a kernel: on the stream that the contract hands over, with an exception where CUDA refuses.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace gan_fast {

template <typename... Params, typename... Args>
void launch(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block, void* stream, Args... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = static_cast<cudaStream_t>(stream);
  const cudaError_t status = cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the error is reported here, not again by the next call
  throw std::runtime_error(std::string(name) + ": CUDA refused the launch: " + cudaGetErrorString(status));
}

}  // namespace gan_fast
