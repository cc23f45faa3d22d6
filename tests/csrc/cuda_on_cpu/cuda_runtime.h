// Stands in for CUDA's header, so that a C++ compiler takes csrc/cuda/*.cu and the kernels run on the CPU, under
// AddressSanitizer and UBSan, with no GPU.
//
// A block's threads are fibres, switched at barriers and shuffles; blocks run one after another. Shared memory is
// filled with NaN (bytes of ones) before each block, and every other round runs the threads backwards: what a thread
// reads before another has written it, for want of a barrier, comes out as NaN in one order or the other. A block whose
// threads wait for each other at different places ends the process with a message.
#pragma once

#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>
#include <vector>

#define __CUDA_ARCH__ 800  // shared code takes its device branch
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define GAN_FAST_DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(cuda_on_cpu::machine.dynamic_shared)
#define __shared__ static __attribute__((section("cuda_shared")))  // its kernel must have internal linkage

extern "C" char __start_cuda_shared __attribute__((weak)), __stop_cuda_shared __attribute__((weak));

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct float2 {
  float x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

template <typename T>
void __stwb(T* to, T value) {
  *to = value;
}

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace cuda_on_cpu {

constexpr size_t kStackBytes = 1 << 18;
constexpr unsigned kWarp = 32, kMaxThreads = 1024;

enum class State { ready, at_barrier, at_shuffle, done };

struct Fibre {
  ucontext_t context;
  char* stack = nullptr;
  void* fake_stack = nullptr;
  State state = State::ready;
  dim3 index;
  alignas(16) char slots[2][16];  // values handed to a shuffle; the next shuffle takes the other slot
  unsigned shuffles = 0;
};

struct Machine {
  Fibre fibres[kMaxThreads];
  ucontext_t host;
  void* host_fake_stack = nullptr;
  const void* host_stack = nullptr;
  size_t host_stack_bytes = 0;
  unsigned threads = 0, current = 0, at_barrier = 0;
  unsigned at_shuffle[kMaxThreads / kWarp] = {};
  char* dynamic_shared = nullptr;  // exactly as many bytes as the launch asks for
  size_t dynamic_shared_bytes = 0;
  std::function<void()> kernel;
  bool launch_ends = false;
};

inline Machine machine;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "CUDA on the CPU: %s\n", what);
  std::abort();
}

inline Fibre& current() { return machine.fibres[machine.current]; }

inline void to_host() {
  Fibre& f = current();
  __sanitizer_start_switch_fiber(machine.launch_ends ? nullptr : &f.fake_stack, machine.host_stack,
                                 machine.host_stack_bytes);
  swapcontext(&f.context, &machine.host);
  __sanitizer_finish_switch_fiber(f.fake_stack, &machine.host_stack, &machine.host_stack_bytes);
}

inline void to_fibre(unsigned thread) {
  machine.current = thread;
  Fibre& f = machine.fibres[thread];
  threadIdx = f.index;
  __sanitizer_start_switch_fiber(&machine.host_fake_stack, f.stack, kStackBytes);
  swapcontext(&machine.host, &f.context);
  __sanitizer_finish_switch_fiber(machine.host_fake_stack, nullptr, nullptr);
}

inline void fibre_main() {
  __sanitizer_finish_switch_fiber(nullptr, &machine.host_stack, &machine.host_stack_bytes);
  while (!machine.launch_ends) {
    machine.kernel();
    current().state = State::done;
    to_host();
  }
  to_host();
}

inline void start(unsigned thread) {
  Fibre& f = machine.fibres[thread];
  if (!f.stack)
    f.stack = static_cast<char*>(
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (f.stack == MAP_FAILED) fail("no memory for the stack of a thread");
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack;
  f.context.uc_stack.ss_size = kStackBytes;
  f.context.uc_link = nullptr;
  makecontext(&f.context, fibre_main, 0);
  f.context.uc_stack.ss_size = 0;  // else the sanitizer's own swapcontext forgets, at each switch, what it knows of it
  f.fake_stack = nullptr;
}

// Byte by byte, as the sanitizer keeps guards between the variables of the section.
__attribute__((no_sanitize("address", "undefined"), noinline)) inline void poison_shared_memory() {
  for (volatile char* p = &__start_cuda_shared; p < &__stop_cuda_shared; ++p) *p = char(0xff);
}

inline void run_block() {
  Machine& m = machine;
  poison_shared_memory();
  std::memset(m.dynamic_shared, 0xff, m.dynamic_shared_bytes);
  m.at_barrier = 0;
  std::memset(m.at_shuffle, 0, sizeof m.at_shuffle);
  for (unsigned t = 0; t < m.threads; ++t) m.fibres[t].state = State::ready;
  unsigned round = blockIdx.x + blockIdx.y + blockIdx.z;
  for (unsigned done = 0; done < m.threads; ++round) {
    bool progress = false;
    for (unsigned i = 0; i < m.threads; ++i) {
      const unsigned t = round % 2 ? m.threads - 1 - i : i;
      if (m.fibres[t].state != State::ready) continue;
      to_fibre(t);
      progress = true;
      done += m.fibres[t].state == State::done;
    }
    if (!progress) fail("threads of a block wait for others that do not come: a barrier or shuffle in a branch?");
  }
}

template <typename Kernel>
void run(dim3 grid, dim3 block, size_t shared_bytes, Kernel&& kernel) {
  Machine& m = machine;
  m.dynamic_shared_bytes = shared_bytes;
  m.dynamic_shared = static_cast<char*>(std::malloc(shared_bytes));
  m.threads = block.x * block.y * block.z;
  blockDim = block;
  gridDim = grid;
  m.kernel = kernel;
  m.launch_ends = false;
  for (unsigned t = 0; t < m.threads; ++t) {
    start(t);
    m.fibres[t].index = dim3(t % block.x, t / block.x % block.y, t / (block.x * block.y));
  }
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(x, y, z);
        run_block();
      }
  m.launch_ends = true;
  for (unsigned t = 0; t < m.threads; ++t) to_fibre(t);
  std::free(m.dynamic_shared);
}

inline float min_nan(float a, float b) { return a != a || a < b ? a : b; }
inline float max_nan(float a, float b) { return a != a || a > b ? a : b; }

template <typename T>
T exchange(unsigned mask, T value, unsigned from_lane) {
  static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes");
  Machine& m = machine;
  const unsigned warp = m.current / kWarp;
  const unsigned lanes = m.threads - warp * kWarp < kWarp ? m.threads - warp * kWarp : kWarp;
  if (mask != (lanes == kWarp ? ~0u : (1u << lanes) - 1)) fail("a shuffle whose mask is not the whole warp");
  const unsigned slot = current().shuffles++ % 2;
  std::memcpy(current().slots[slot], &value, sizeof value);
  current().state = State::at_shuffle;
  if (++m.at_shuffle[warp] == lanes) {
    m.at_shuffle[warp] = 0;
    for (unsigned t = warp * kWarp; t < warp * kWarp + lanes; ++t) m.fibres[t].state = State::ready;
  }
  to_host();
  if (from_lane < lanes) std::memcpy(&value, m.fibres[warp * kWarp + from_lane].slots[slot], sizeof value);
  return value;
}

}  // namespace cuda_on_cpu

inline void __syncthreads() {
  auto& m = cuda_on_cpu::machine;
  cuda_on_cpu::current().state = cuda_on_cpu::State::at_barrier;
  if (++m.at_barrier == m.threads) {
    m.at_barrier = 0;
    for (unsigned t = 0; t < m.threads; ++t) m.fibres[t].state = cuda_on_cpu::State::ready;
  }
  cuda_on_cpu::to_host();
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  return cuda_on_cpu::exchange(mask, value, (cuda_on_cpu::machine.current % cuda_on_cpu::kWarp) ^ lane_mask);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  return cuda_on_cpu::exchange(mask, value, cuda_on_cpu::machine.current % cuda_on_cpu::kWarp + delta);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane) {
  return cuda_on_cpu::exchange(mask, value, static_cast<unsigned>(lane) % cuda_on_cpu::kWarp);
}

// Threads take turns, so that nothing comes between.
inline unsigned long long atomicAdd(unsigned long long* to, unsigned long long value) {
  const unsigned long long before = *to;
  *to += value;
  return before;
}
inline float __uint_as_float(unsigned bits) {
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}
inline int __clz(int v) { return v ? __builtin_clz(v) : 32; }

// The part of the runtime that csrc/cuda/launch.h calls.
enum cudaError_t { cudaSuccess, cudaErrorInvalidConfiguration = 9 };
using cudaStream_t = struct CUstream_st*;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

constexpr int kSharedOfBlock = 64 << 10;  // that every GPU grants
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
inline cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int value) {
  return value <= kSharedOfBlock ? cudaSuccess : cudaErrorInvalidConfiguration;
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "invalid configuration argument"; }

template <typename... Params, typename... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Args&&... args) {
  const dim3 g = config->gridDim, b = config->blockDim;
  if (!g.x || !g.y || !g.z || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535 || !b.x || !b.y || !b.z || b.z > 64
      || uint64_t(b.x) * b.y * b.z > cuda_on_cpu::kMaxThreads)
    return cudaErrorInvalidConfiguration;
  const std::tuple<Params...> values(args...);
  cuda_on_cpu::run(g, b, config->dynamicSmemBytes, [&] { std::apply(kernel, values); });
  return cudaSuccess;
}
