// AVX2 and FMA, float32.
#include <immintrin.h>
#include <x86intrin.h>

#include "kernels.h"

namespace visavis {
namespace {
constexpr int kTileOuts = 6, kTileVectors = 2;
#include "kernels/simd_avx2.inl"
#include "kernels/layers_float.inl"
#include "kernels/pipeline.inl"
constexpr int kConvolvePlaces = 6, kConvolveStep = 1;
#include "kernels/convolve_float.inl"
constexpr Kernel kKernel = {"avx2", Layout::kTiledFloat, kTileOuts, false, act_rows(kFeatures), render_block,
                            kConvolveChannels, convolve};
}  // namespace
const Kernel* avx2_kernel() { return &kKernel; }
}  // namespace visavis
