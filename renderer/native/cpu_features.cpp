#include "cpu_features.h"

#include <stdexcept>

#include "kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
#define VISAVIS_X86 1
#include <cpuid.h>
#endif
#if defined(__linux__) && defined(VISAVIS_X86)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace visavis {
namespace {

#if VISAVIS_X86
struct CpuId {
  unsigned a = 0, b = 0, c = 0, d = 0;
  CpuId(unsigned leaf, unsigned subleaf) { __get_cpuid_count(leaf, subleaf, &a, &b, &c, &d); }
};

bool bit(unsigned word, int index) { return word >> index & 1u; }

// Register state that the operating system saves (XCR0).
uint64_t saved_state() {
  if (!bit(CpuId(1, 0).c, 27)) return 0;  // OSXSAVE
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

constexpr uint64_t kAvxState = 0x6, kAvx512State = 0xe6, kTileState = 0x60000;

bool has_avx2() {
  const CpuId one(1, 0), seven(7, 0);
  return (saved_state() & kAvxState) == kAvxState && bit(one.c, 12) /* FMA */ && bit(seven.b, 5);
}

bool has_avx512() {
  const CpuId seven(7, 0);
  return has_avx2() && (saved_state() & kAvx512State) == kAvx512State && bit(seven.b, 16) /* F */ && bit(seven.b, 17) /* DQ */ &&
         bit(seven.b, 30) /* BW */ && bit(seven.b, 31) /* VL */;
}

bool has_avx512_bf16() { return has_avx512() && bit(CpuId(7, 1).a, 5); }

bool may_use_tiles() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool has_amx_bf16() {
#if defined(VISAVIS_EMULATED_TILES)
  return has_avx512_bf16();  // a test runs this kernel's arithmetic on machines without tiles
#endif
  const CpuId seven(7, 0);
  return has_avx512_bf16() && bit(seven.d, 24) /* TILE */ && bit(seven.d, 22) /* BF16 */ &&
         (saved_state() & kTileState) == kTileState && may_use_tiles();
}
#endif

}  // namespace

std::vector<const Kernel*> available_kernels() {
  std::vector<const Kernel*> kernels;
#if VISAVIS_X86
#if defined(VISAVIS_WITH_AMX_BF16)
  if (has_amx_bf16()) kernels.push_back(amx_bf16_kernel());
#endif
#if defined(VISAVIS_WITH_AVX512_BF16)
  if (has_avx512_bf16()) kernels.push_back(avx512_bf16_kernel());
#endif
#if defined(VISAVIS_WITH_AVX512)
  if (has_avx512()) kernels.push_back(avx512_kernel());
#endif
#if defined(VISAVIS_WITH_AVX2)
  if (has_avx2()) kernels.push_back(avx2_kernel());
#endif
#endif
  kernels.push_back(portable_kernel());
  return kernels;
}

std::string isa_names() {
  std::string names;
  for (const Kernel* kernel : available_kernels()) names += (names.empty() ? "" : " ") + std::string(kernel->name);
  return names;
}

const Kernel& kernel_named(const std::string& name) {
  for (const Kernel* kernel : available_kernels())
    if (name == "auto" || name == kernel->name) return *kernel;
  throw std::invalid_argument("isa " + name + " is not available here; available: auto " + isa_names());
}

}  // namespace visavis
