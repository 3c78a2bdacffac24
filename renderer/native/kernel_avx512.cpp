// AVX-512 F, BW, DQ and VL, float32.
#include <immintrin.h>
#include <x86intrin.h>

#include "kernels.h"

namespace visavis {
namespace {
constexpr int kTileOuts = 8, kTileVectors = 2;
#include "kernels/simd_avx512.inl"
#include "kernels/pairs_avx512_float.inl"
#include "kernels/layers_float.inl"
#include "kernels/pipeline.inl"
constexpr int kConvolvePlaces = 24, kConvolveStep = 4;
#include "kernels/convolve_float.inl"
constexpr Kernel kKernel = {"avx512", Layout::kTiledFloat, kTileOuts, false, act_rows(kFeatures), render_block,
                            kConvolveChannels, convolve};
}  // namespace
const Kernel* avx512_kernel() { return &kKernel; }
}  // namespace visavis
