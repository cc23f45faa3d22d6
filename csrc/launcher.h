// How a launcher becomes callable from Python: GAN_FAST_LAUNCHER(bias_act) in the file that defines it.
//
// A pointer to each entry lies in a linker section, found by csrc/python.cpp. This needs no constructor, so that no
// instruction of a wide instruction set runs at load on a processor that lacks it.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "tensor.h"

namespace gan_fast {

struct LauncherEntry {
  const char* name;
  int isa;  // 0 plain, 1 AVX2, 2 AVX-512: the highest that the processor has is taken
  int num_args;
  bool returns_text;  // call returns the address of a string that lives until the next call
  int64_t (*call)(const Arg*);
};

template <auto FUNCTION>
struct Launcher;

template <typename Result, typename... Params, Result (*FUNCTION)(Params...)>
struct Launcher<FUNCTION> {
  static constexpr int num_args = sizeof...(Params);
  static constexpr bool returns_text = std::is_same_v<Result, const char*>;
  template <size_t... I>
  static int64_t unpack(const Arg* args, std::index_sequence<I...>) {
    if constexpr (std::is_void_v<Result>)
      return FUNCTION(static_cast<Params>(args[I])...), 0;
    else if constexpr (returns_text)
      return reinterpret_cast<intptr_t>(FUNCTION(static_cast<Params>(args[I])...));
    else
      return FUNCTION(static_cast<Params>(args[I])...);
  }
  static int64_t call(const Arg* args) { return unpack(args, std::index_sequence_for<Params...>{}); }
};

}  // namespace gan_fast

#ifndef GAN_FAST_ISA
#define GAN_FAST_ISA 0
#endif

// the section holds pointers, as a compiler may leave gaps between anything larger
#define GAN_FAST_LAUNCHER(function)                                                                                  \
  static const gan_fast::LauncherEntry entry_##function = {                                                          \
      #function, GAN_FAST_ISA, gan_fast::Launcher<&function>::num_args, gan_fast::Launcher<&function>::returns_text, \
      &gan_fast::Launcher<&function>::call};                                                                         \
  __attribute__((section("gan_fast_launchers"), used,                                                                \
                 unused)) static const gan_fast::LauncherEntry* const launcher_##function = &entry_##function;
