// RGB to I420, BT.601 limited range: the colours that WebRTC's video encoders expect.
//
// Fixed point with 16 fraction bits; chroma is the mean of each 2 x 2 square. Written so that the compiler vectorises the planes.
#include <cstddef>

#include "field_abi.h"

namespace {

constexpr int kFraction = 16, kHalf = 1 << (kFraction - 1);
constexpr int kYR = 16829, kYG = 33039, kYB = 6416;     // 0.256788, 0.504129, 0.097906
constexpr int kUR = -9714, kUG = -19070, kUB = 28784;   // -0.148223, -0.290993, 0.439216
constexpr int kVR = 28784, kVG = -24103, kVB = -4681;   // 0.439216, -0.367788, -0.071427
constexpr int kSquare = 2;                              // chroma sums four pixels

void luma_row(const uint8_t* rgb, int width, uint8_t* y) {
  for (int x = 0; x < width; x++)
    y[x] = (uint8_t)((kYR * rgb[3 * x] + kYG * rgb[3 * x + 1] + kYB * rgb[3 * x + 2] + (16 << kFraction) + kHalf) >> kFraction);
}

void chroma_row(const uint8_t* top, const uint8_t* bottom, int width, uint8_t* u, uint8_t* v) {
  constexpr int kShift = kFraction + kSquare, kOffset = (128 << kShift) + (1 << (kShift - 1));
  for (int x = 0; x < width / 2; x++) {
    const int i = 6 * x;
    const int r = top[i] + top[i + 3] + bottom[i] + bottom[i + 3];
    const int g = top[i + 1] + top[i + 4] + bottom[i + 1] + bottom[i + 4];
    const int b = top[i + 2] + top[i + 5] + bottom[i + 2] + bottom[i + 5];
    u[x] = (uint8_t)((kUR * r + kUG * g + kUB * b + kOffset) >> kShift);
    v[x] = (uint8_t)((kVR * r + kVG * g + kVB * b + kOffset) >> kShift);
  }
}

}  // namespace

extern "C" void visavis_rgb_to_i420(const uint8_t* rgb, int32_t width, int32_t height, uint8_t* y, uint8_t* u, uint8_t* v) {
  const size_t stride = 3 * (size_t)width, half = (size_t)width / 2;
  for (int32_t row = 0; row < height; row += 2) {
    const uint8_t* top = rgb + (size_t)row * stride;
    luma_row(top, width, y + (size_t)row * (size_t)width);
    luma_row(top + stride, width, y + (size_t)(row + 1) * (size_t)width);
    chroma_row(top, top + stride, width, u + (size_t)(row / 2) * half, v + (size_t)(row / 2) * half);
  }
}
