// AMX tiles for the hidden layers, AVX-512 for the rest; grid rows in float16.
#include <immintrin.h>
#include <x86intrin.h>

#include "kernels.h"

namespace visavis {
namespace {
#include "kernels/simd_avx512.inl"
#include "kernels/layers_bf16.inl"
#if defined(VISAVIS_EMULATED_TILES)
#include VISAVIS_EMULATED_TILES
#else
#include "kernels/tiles_amx.inl"
#endif
#include "kernels/dense_amx_bf16.inl"
#include "kernels/pipeline.inl"
constexpr int kConvolveChannels = 32;
#include "kernels/convolve_avx512_bf16.inl"
#include "kernels/convolve_amx_bf16.inl"
constexpr Kernel kKernel = {"amx_bf16", Layout::kRowsBf16, kTileOuts, true, act_rows(kFeatures), render_block,
                            kConvolveChannels, convolve};
}  // namespace
const Kernel* amx_bf16_kernel() { return &kKernel; }
}  // namespace visavis
