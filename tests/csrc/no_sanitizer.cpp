// What cuda_on_cpu/cuda_runtime.h asks of AddressSanitizer, for a build without it.
#include <cstddef>

extern "C" {
void __sanitizer_start_switch_fiber(void**, const void*, size_t) {}
void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) {}
}
