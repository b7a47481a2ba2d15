#include <stdint.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

extern "C" {

// Which vectors this processor has instructions for, and the system keeps the registers of: 0,
// none of eight floats; 1, those, with fused multiply-adds; 2, of sixteen, too.
int32_t vector_level() {
#ifdef __x86_64__
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  const uint32_t needed = bit_FMA | bit_AVX | bit_OSXSAVE;
  if ((c & needed) != needed) return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 0x06) != 0x06) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return 0;
  return (b & bit_AVX512F) && (low & 0xe6) == 0xe6 ? 2 : 1;
#else
  return 1;  // all of its family have them
#endif
}

}  // extern "C"
