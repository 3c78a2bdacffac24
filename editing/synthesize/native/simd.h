// Packets of floats, vectors of them, and a small kit of signed distance functions.
// GCC vector extensions; a packet is one register: 16 floats with AVX-512, 8 with AVX2, 4 elsewhere (SSE2, NEON). Wider
// ones than the machine has are legal, but GCC then takes comparisons apart float by float.
// Distances are in head units (the head is about two units tall); angles are in radians unless a name says degrees.
#pragma once
#include <cmath>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace visavis {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef int Mask __attribute__((vector_size(4 * kLanes)));  // -1 where true, 0 where false
#define VISAVIS_INLINE static inline __attribute__((always_inline))
#define VISAVIS_NOINLINE __attribute__((noinline))  // for the big ones: inlined everywhere they would take a minute to compile

VISAVIS_INLINE Lanes splat(float value) { return Lanes{} + value; }
VISAVIS_INLINE Lanes minimum(Lanes a, Lanes b) { return a < b ? a : b; }
VISAVIS_INLINE Lanes maximum(Lanes a, Lanes b) { return a > b ? a : b; }
VISAVIS_INLINE Lanes minimum(Lanes a, float b) { return minimum(a, splat(b)); }
VISAVIS_INLINE Lanes maximum(Lanes a, float b) { return maximum(a, splat(b)); }
VISAVIS_INLINE Lanes absolute(Lanes a) { return maximum(a, -a); }
VISAVIS_INLINE Lanes clamp(Lanes a, float low, float high) { return minimum(maximum(a, low), high); }
VISAVIS_INLINE Lanes saturate(Lanes a) { return clamp(a, 0.f, 1.f); }
VISAVIS_INLINE float saturate(float a) { return a < 0.f ? 0.f : a > 1.f ? 1.f : a; }

// Estimates with one Newton step: enough for distances, and the same bits on every run of one library.
VISAVIS_INLINE Lanes inverse_root(Lanes a) {
#if defined(__AVX512F__)
  Lanes r = (Lanes)_mm512_rsqrt14_ps((__m512)a);
  return r * (1.5f - 0.5f * a * r * r);
#elif defined(__AVX2__)
  Lanes r = (Lanes)_mm256_rsqrt_ps((__m256)a);
  return r * (1.5f - 0.5f * a * r * r);
#else
  Lanes r;
  for (int i = 0; i < kLanes; i++) r[i] = 1.f / sqrtf(a[i]);
  return r;
#endif
}
VISAVIS_INLINE Lanes reciprocal(Lanes a) {
#if defined(__AVX512F__)
  Lanes r = (Lanes)_mm512_rcp14_ps((__m512)a);
  return r * (2.f - a * r);
#elif defined(__AVX2__)
  Lanes r = (Lanes)_mm256_rcp_ps((__m256)a);
  return r * (2.f - a * r);
#else
  return 1.f / a;
#endif
}
VISAVIS_INLINE Lanes root(Lanes a) {
  a = maximum(a, 1e-14f);
  return a * inverse_root(a);
}
VISAVIS_INLINE bool any(Mask m) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps((__m256)m) != 0;
#else
  int bits = 0;
  for (int i = 0; i < kLanes; i++) bits |= m[i];
  return bits != 0;
#endif
}
VISAVIS_INLINE Lanes round_down(Lanes a) {
#if defined(__AVX512F__)
  return (Lanes)_mm512_roundscale_ps((__m512)a, 1);
#elif defined(__AVX2__)
  return (Lanes)_mm256_floor_ps((__m256)a);
#else
  Lanes r;
  for (int i = 0; i < kLanes; i++) r[i] = floorf(a[i]);
  return r;
#endif
}
// Range-reduced odd polynomial, error below 1e-3: for textures.
VISAVIS_INLINE Lanes sine(Lanes x) {
  x *= 0.15915494f;
  x -= round_down(x + 0.5f);
  Lanes y = x * (8.f - 16.f * absolute(x));
  return y * (0.775f + 0.225f * absolute(y));
}
VISAVIS_INLINE Lanes cosine(Lanes x) { return sine(x + 1.5707963f); }
// exp(-a) for a >= 0, as (1 - a/32)^32, exactly zero from a = 32 on.
VISAVIS_INLINE Lanes exp_minus(Lanes a) {
  Lanes t = maximum(1.f - a * 0.03125f, 0.f);
  t *= t;
  t *= t;
  t *= t;
  t *= t;
  return t * t;
}
VISAVIS_INLINE Lanes smoothstep(float from, float to, Lanes x) {
  Lanes t = saturate((x - from) * (1.f / (to - from)));
  return t * t * (3.f - 2.f * t);
}
VISAVIS_INLINE Lanes mix(Lanes a, Lanes b, Lanes t) { return a + (b - a) * t; }
VISAVIS_INLINE Lanes mix(float a, float b, Lanes t) { return a + (b - a) * t; }
VISAVIS_INLINE Lanes power(Lanes x, int n) {
  Lanes r = splat(1.f);
  for (; n; n >>= 1) {
    if (n & 1) r *= x;
    x *= x;
  }
  return r;
}
// A bell of height 1 with standard deviations sx, sy.
VISAVIS_INLINE Lanes bell(Lanes x, Lanes y, float sx, float sy) {
  return exp_minus(x * x * (0.5f / (sx * sx)) + y * y * (0.5f / (sy * sy)));
}

// ---- vectors: Vec is a packet of them, Point is one ------------------------------------------------------------------
struct Vec {
  Lanes x, y, z;
};
struct Point {
  float x, y, z;
};
VISAVIS_INLINE Vec operator+(Vec a, Vec b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
VISAVIS_INLINE Vec operator-(Vec a, Vec b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
VISAVIS_INLINE Vec operator+(Vec a, Point b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
VISAVIS_INLINE Vec operator-(Vec a, Point b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
VISAVIS_INLINE Vec operator*(Vec a, Lanes b) { return {a.x * b, a.y * b, a.z * b}; }
VISAVIS_INLINE Vec operator*(Vec a, float b) { return {a.x * b, a.y * b, a.z * b}; }
VISAVIS_INLINE Vec operator*(Vec a, Vec b) { return {a.x * b.x, a.y * b.y, a.z * b.z}; }
VISAVIS_INLINE Vec operator*(Vec a, Point b) { return {a.x * b.x, a.y * b.y, a.z * b.z}; }
VISAVIS_INLINE Point operator+(Point a, Point b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
VISAVIS_INLINE Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
VISAVIS_INLINE Point operator*(Point a, float b) { return {a.x * b, a.y * b, a.z * b}; }
VISAVIS_INLINE Vec splat(Point a) { return {splat(a.x), splat(a.y), splat(a.z)}; }
VISAVIS_INLINE Lanes dot(Vec a, Vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
VISAVIS_INLINE Lanes dot(Vec a, Point b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
VISAVIS_INLINE float dot(Point a, Point b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
VISAVIS_INLINE Lanes length(Vec a) { return root(dot(a, a)); }
VISAVIS_INLINE float length(Point a) { return sqrtf(dot(a, a)); }
VISAVIS_INLINE Vec normalize(Vec a) { return a * inverse_root(maximum(dot(a, a), 1e-14f)); }
VISAVIS_INLINE Point normalize(Point a) { return a * (1.f / length(a)); }
VISAVIS_INLINE Vec cross(Vec a, Vec b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
VISAVIS_INLINE Vec mix(Vec a, Vec b, Lanes t) { return {mix(a.x, b.x, t), mix(a.y, b.y, t), mix(a.z, b.z, t)}; }
VISAVIS_INLINE Vec mix(Vec a, Point b, Lanes t) { return mix(a, splat(b), t); }
VISAVIS_INLINE Vec select(Mask m, Vec a, Vec b) { return {m ? a.x : b.x, m ? a.y : b.y, m ? a.z : b.z}; }
VISAVIS_INLINE Lanes select(Mask m, Lanes a, Lanes b) { return m ? a : b; }

VISAVIS_INLINE Vec rotate_x(Vec p, float c, float s) { return {p.x, p.y * c - p.z * s, p.y * s + p.z * c}; }
VISAVIS_INLINE Vec rotate_y(Vec p, float c, float s) { return {p.x * c + p.z * s, p.y, p.z * c - p.x * s}; }

// ---- signed distances ---------------------------------------------------------------------------------------------
// Polynomial smooth minimum: differs from min only where |a - b| < k.
VISAVIS_INLINE Lanes smooth_min(Lanes a, Lanes b, float k) {
  Lanes h = maximum(k - absolute(a - b), 0.f);
  return minimum(a, b) - h * h * (0.25f / k);
}
VISAVIS_INLINE Lanes smooth_max(Lanes a, Lanes b, float k) { return -smooth_min(-a, -b, k); }
VISAVIS_INLINE Lanes ellipsoid(Vec p, Point radii) {
  const Point inverse = {1.f / radii.x, 1.f / radii.y, 1.f / radii.z};
  Vec a = p * inverse;
  Vec b = a * inverse;
  Lanes k = length(a);
  return k * (k - 1.f) * inverse_root(maximum(dot(b, b), 1e-12f));
}
// A capsule from a (radius ra) to b (radius rb).
VISAVIS_INLINE Lanes capsule(Vec p, Point a, Point b, float ra, float rb) {
  Point axis = b - a;
  Vec q = p - a;
  Lanes t = saturate(dot(q, axis) * (1.f / dot(axis, axis)));
  return length(Vec{q.x - t * axis.x, q.y - t * axis.y, q.z - t * axis.z}) - (ra + (rb - ra) * t);
}
// A bounded wobble in about -1...1 with a period of a few units.
VISAVIS_INLINE Lanes wobble(Vec p) {
  Lanes a = sine(p.x * 1.7f + sine(p.y * 1.3f + 1.f) * 1.5f);
  Lanes b = sine(p.y * 1.9f + sine(p.z * 1.1f + 2.f) * 1.5f + 0.7f);
  Lanes c = sine(p.z * 1.6f + sine(p.x * 1.4f) * 1.6f);
  return 0.5f * (a * b + c);
}

}  // namespace visavis
