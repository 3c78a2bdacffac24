// Signed distances of the head, in the head frame. `s` is the point mirrored to x > 0 with a soft kink at the middle.
#pragma once
#include "locks.h"

namespace visavis {

constexpr Point kEye = {0.300f, 0.016f, 0.500f};  // of the +x eye
constexpr float kEyeRadius = 0.250f;
constexpr float kLidRadius = 0.270f;
constexpr float kEyeHalfWidth = 0.207f;
constexpr float kFar = 10.f;

struct HeadDistances {
  Lanes skin, eye, lash, hair, teeth, tongue;
};
VISAVIS_INLINE Lanes nearest(const HeadDistances& d) {
  return minimum(minimum(minimum(d.skin, d.eye), minimum(d.lash, d.hair)), minimum(d.teeth, d.tongue));
}

VISAVIS_INLINE Vec mirrored(Vec q) { return {root(q.x * q.x + 0.0005f), q.y, q.z}; }
VISAVIS_INLINE Vec to_jaw(const Rig& g, Vec q) {
  return rotate_x(q - kJawHinge, g.jaw_cos, -g.jaw_sin) + kJawHinge;
}
// The mouth is a little askew: its coordinates are those of the face, sheared.
VISAVIS_INLINE Lanes mouth_height(Vec q) { return q.y - kMouthTilt * q.x; }

// ---- curves shared by shape, materials and landmarks ---------------------------------------------------------------
struct MouthCurve {
  Lanes upper_y, lower_y, upper_z, lower_z, upper_radius, lower_radius;
};
VISAVIS_INLINE MouthCurve mouth_at(const Rig& g, Lanes sx) {
  MouthCurve m;
  const Lanes t = minimum(sx * (1.f / g.half_width), 1.f);
  const Lanes soft_t = smooth_min(sx * (1.f / g.half_width), splat(1.f), 0.22f);
  const Lanes t2 = t * t, t4 = t2 * t2;
  const Lanes arc = 1.f - t2;
  const Lanes plump = mix(1.f - t2 * (0.55f + 0.45f * t2), 1.f - t4, splat(0.30f * g.lip_jaw + 0.3f * g.p.pucker));
  const Lanes depth = 1.f - soft_t * soft_t;
  const Lanes tubercle = 0.010f * exp_minus(sx * sx * 900.f);  // the middle of the upper lip hangs a little
  m.upper_y = g.corner_y + (g.upper_y - g.corner_y) * mix(arc, plump, splat(0.3f + 0.6f * g.p.pucker)) - tubercle * (1.f - 0.5f * g.lip_jaw);
  m.lower_y = g.corner_y + (g.lower_y - g.corner_y) * plump;
  // Lips that should touch do touch: the lower one is pulled up to the upper one as the gap at the centre closes.
  const float closed = 1.f - saturate((g.upper_y - g.lower_y) * (1.f / 0.012f));
  m.lower_y = minimum(mix(m.lower_y - tubercle, m.upper_y, splat(closed)), m.upper_y - 0.002f);
  m.upper_z = g.corner_z + (g.upper_z - g.corner_z) * depth;
  m.lower_z = g.corner_z + (g.lower_z - g.corner_z) * depth;
  const Lanes full = depth * (2.f - depth);
  m.upper_radius = g.upper_radius * (0.25f + 0.75f * full);
  m.lower_radius = g.lower_radius * (0.20f + 0.80f * full);
  return m;
}

struct LidCurve {
  Lanes upper_y, lower_y, u;  // u: -1 at the inner corner, 1 at the outer one
};
VISAVIS_INLINE LidCurve lids_at(const Rig& g, Lanes ex, Mask right) {
  LidCurve lid;
  const Lanes u = ex * (1.f / kEyeHalfWidth);
  const Lanes k = maximum(1.f - u * u, -0.3f);
  const Lanes upper = right ? splat(g.lid_upper[0]) : splat(g.lid_upper[1]);
  const Lanes lower = right ? splat(g.lid_lower[0]) : splat(g.lid_lower[1]);
  const Lanes tilt = 0.018f * u;
  const Lanes openness = saturate(upper * 12.f);
  // Lids follow the brows.
  const Lanes brow = (0.026f * g.p.brow_out * u - 0.018f * g.p.brow_in * u - 0.018f * g.p.furrow * (1.f - u)) *
                     maximum(k, 0.f) * openness;
  const Lanes skew = mix(0.24f, -0.16f, openness);
  lid.u = u;
  lid.upper_y = tilt + upper * k * (1.f + skew * u) + brow;
  lid.lower_y = tilt - lower * k * (1.f + 0.22f * u);
  return lid;
}

struct BrowCurve {
  Lanes y, half_thickness, v;  // v: 0 at the inner end, 1 at the outer one
};
VISAVIS_INLINE BrowCurve brow_at(const Rig& g, Lanes sx, Mask right) {
  BrowCurve brow;
  const Lanes v = (sx - 0.105f) * (1.f / 0.42f);
  const Lanes c = clamp(v, -0.2f, 1.2f);
  const Lanes inner = (1.f - c) * (1.f - c);
  const Lanes askew = right ? splat(0.010f) : splat(-0.006f);  // one brow sits a little higher, as everybody's does
  brow.y = 0.206f + askew + 0.1150f * c * (1.84f - 1.5525f * c) - 0.055f * c * c +
           g.p.brow_in * (g.p.brow_in < 0 ? 0.090f : 0.080f) * inner + g.p.brow_out * 0.065f * c -
           g.p.furrow * 0.040f * inner;
  brow.half_thickness = 0.043f * (1.f - 0.66f * c * c) * smoothstep(-0.10f, 0.24f, v) * smoothstep(1.10f, 0.72f, v);
  brow.v = v;
  return brow;
}

// ---- skin ----------------------------------------------------------------------------------------------------------
VISAVIS_INLINE Lanes skin_distance(const Rig& g, Vec q, Vec s) {
  const Parameters& p = g.p;
  const float smile = fmaxf(p.smile, 0.f), frown = fmaxf(-p.smile, 0.f);
  const float cheek = fmaxf(p.cheek, 0.7f * fmaxf(smile - 0.42f, 0.f));
  Vec j = to_jaw(g, q);
  j.x = s.x;
  Lanes d = ellipsoid(s - Point{0, 0.31f, -0.07f}, {0.715f, 0.73f, 0.86f});                              // cranium
  d = smooth_min(d, ellipsoid(s - Point{0, -0.10f, 0.20f}, {0.572f, 0.55f, 0.575f}), 0.22f);              // face
  d = smooth_min(d, ellipsoid(j - Point{0, -0.405f, 0.29f}, {0.378f, 0.415f, 0.45f}), 0.24f);             // jaw
  d = smooth_min(d, ellipsoid(j - Point{0, -0.745f, 0.610f}, {0.130f, 0.100f, 0.125f}), 0.16f);           // chin
  d = smooth_min(d, capsule(j, {0.425f, -0.34f, 0.02f}, {0.17f, -0.69f, 0.46f}, 0.09f, 0.07f), 0.22f);    // jaw line
  d = smooth_min(d, ellipsoid(s - Point{0.355f, -0.170f + 0.062f * smile, 0.510f + 0.036f * smile},
                              {0.19f, 0.150f + 0.02f * cheek, 0.185f + 0.06f * cheek}), 0.16f);           // cheekbone
  d = smooth_min(d, ellipsoid(s - Point{0.285f, -0.40f, 0.470f}, {0.185f, 0.20f, 0.175f + 0.03f * p.cheek}), 0.16f);
  d = smooth_min(d, capsule(s, {0.10f, 0.235f, 0.735f}, {0.46f, 0.235f, 0.56f}, 0.055f, 0.05f), 0.15f);   // brow ridge
  d = smooth_max(d, -ellipsoid(s - Point{0.300f, 0.045f, 0.86f}, {0.215f, 0.16f, 0.20f}), 0.17f);         // eye socket
  // nose: bridge, tip, wings, nostrils
  Lanes nose = capsule(s, {0, 0.14f, 0.712f}, {0, -0.165f, 0.895f}, 0.036f, 0.052f);
  nose = smooth_min(nose, ellipsoid(s - Point{0, -0.180f, 0.918f}, {0.070f, 0.064f, 0.074f}), 0.06f);
  d = smooth_min(d, nose, 0.105f);
  const float wing_y = 0.015f * p.nose_wrinkle + 0.008f * smile;
  d = smooth_min(d, ellipsoid(s - Point{0.074f + 0.010f * smile, -0.206f + wing_y, 0.855f}, {0.042f, 0.040f, 0.062f}), 0.070f);
  d = smooth_max(d, -ellipsoid(s - Point{0.037f, -0.250f + wing_y, 0.884f}, {0.021f, 0.016f, 0.034f}), 0.026f);
  // the mound that carries the lips; its lower half goes with the jaw
  d = smooth_min(d, ellipsoid(s - Point{0, -0.40f, 0.635f + 0.055f * p.pucker}, {0.21f - 0.05f * p.pucker, 0.15f, 0.150f}), 0.17f);
  d = smooth_min(d, ellipsoid(j - Point{0, -0.56f + 0.02f * p.pucker, 0.61f + 0.06f * p.pucker}, {0.18f - 0.04f * p.pucker, 0.12f, 0.13f}), 0.17f);
  {  // fold from nose to mouth corner: a gentle groove that deepens with a smile
    const Lanes line = capsule(s, {0.150f, -0.26f, 0.87f}, {0.285f + 0.03f * smile, -0.46f + 0.03f * smile, 0.73f}, 0.0f, 0.0f);
    d += (0.009f + 0.016f * smile + 0.006f * frown + 0.012f * p.nose_wrinkle) * exp_minus(line * line * 620.f);
  }
  {  // groove between lower lip and chin
    const Lanes gy = j.y + 0.632f, gz = j.z - 0.74f;
    d += 0.014f * exp_minus(gy * gy * 700.f + j.x * j.x * 60.f + gz * gz * 40.f);
  }
  if (p.furrow > 0.01f) {
    const Lanes fx = s.x - 0.055f, fy = s.y - 0.23f;
    d += 0.016f * p.furrow * exp_minus(fx * fx * 2600.f + fy * fy * 130.f) * smoothstep(0.5f, 0.7f, s.z);
  }
  return d;
}

// ---- mouth: lips are two tubes along the mouth curves; teeth and tongue lie inside ---------------------------------
VISAVIS_INLINE Lanes with_mouth(const Rig& g, Vec q, Vec s, Lanes d, HeadDistances& out) {
  const Parameters& p = g.p;
  const float smile = fmaxf(p.smile, 0.f);
  Vec m = s;
  m.y = mouth_height(q);
  const Vec from_centre = m - Point{0, (g.upper_y + g.lower_y) * 0.5f, 0.74f};
  const Lanes bound = length(from_centre) - (0.30f + 0.12f * p.jaw);
  out.teeth = out.tongue = maximum(bound, 0.f) + 0.05f;
  if (!any(bound < 0.12f)) return d;

  const MouthCurve c = mouth_at(g, m.x);
  const Lanes beyond = -smooth_min(g.half_width * 0.97f - m.x, splat(0.f), 0.05f);
  const Lanes uy = m.y - (c.upper_y + c.upper_radius * 0.95f);
  const Lanes uz = m.z - (c.upper_z - c.upper_radius * 0.35f + 0.010f) + 0.25f * uy;  // rolls back upwards
  const Lanes upper = root(uy * uy * 0.75f + uz * uz + beyond * beyond) - c.upper_radius;
  const Lanes ly = m.y - (c.lower_y - c.lower_radius * 0.92f);
  const Lanes lz = m.z - (c.lower_z - c.lower_radius * 0.35f + 0.006f);
  const Lanes lower = root(ly * ly * 0.80f + lz * lz + beyond * beyond) - c.lower_radius;
  {  // philtrum
    const Lanes fy = m.y + 0.355f;
    d += 0.014f * exp_minus(m.x * m.x * 1500.f + fy * fy * 260.f) * smoothstep(0.6f, 0.75f, m.z);
  }
  const Lanes before_lips = d;
  const float blend = 0.048f + 0.045f * p.pucker;
  d = smooth_min(d, upper, blend);
  d = smooth_min(d, lower, blend);
  {  // dimple at the mouth corner: only where the corner is drawn in, not in an open or rounded mouth
    const float depth = (0.009f + 0.010f * smile) * (1.f - 0.85f * g.lip_jaw) * (1.f - p.pucker);
    const Lanes cx = m.x - g.half_width - 0.004f, cy = m.y - g.corner_y;
    d += depth * exp_minus(cx * cx * 420.f + cy * cy * 420.f) * smoothstep(0.5f, 0.6f, m.z);
  }
  const Lanes inside = maximum(maximum(m.y - c.upper_y, c.lower_y - m.y), maximum(m.x - g.half_width, 0.42f - m.z)) * 0.8f;
  d = smooth_max(d, -inside, 0.014f + 0.014f * g.lip_jaw);

  if (g.upper_y - g.lower_y < 0.010f) return d;  // closed: nothing inside can be seen
  // teeth: two rounded arches; the lower one turns with the jaw
  const Vec j = to_jaw(g, q);
  const Lanes z = s.z - 0.455f, jz = j.z - 0.445f;
  const Lanes r = root(s.x * s.x + z * z), jr = root(j.x * j.x + jz * jz);
  const Lanes angle = s.x * reciprocal(maximum(z, 0.05f)), jangle = absolute(j.x) * reciprocal(maximum(jz, 0.05f));
  const Lanes gaps = 0.008f * absolute(sine(angle * 10.5f)), jgaps = 0.007f * absolute(sine(jangle * 14.f));
  const Lanes upper_row = smooth_max(absolute(s.y - (kUpperTeethEdge + 0.062f) - 0.25f * s.x * s.x) - 0.066f + gaps * 0.6f,
                                     absolute(r - 0.275f + 0.05f * (s.y + 0.43f)) - 0.020f + gaps * 0.4f, 0.022f);
  const Lanes lower_row = smooth_max(absolute(j.y + 0.552f) - 0.048f + jgaps * 0.6f,
                                     absolute(jr - 0.240f) - 0.018f + jgaps * 0.4f, 0.022f);
  const Lanes upper_gum = smooth_max(absolute(s.y + 0.335f) - 0.06f, absolute(r - 0.270f) - 0.032f, 0.03f);
  const Lanes lower_gum = smooth_max(absolute(j.y + 0.635f) - 0.06f, absolute(jr - 0.238f) - 0.034f, 0.03f);
  out.teeth = maximum(maximum(minimum(upper_row, lower_row), 0.2f - s.z), before_lips + 0.03f);
  // tongue: a body on the floor of the mouth and a tip that reaches for the ridge or between the teeth
  Vec body = j - Point{0, -0.565f + 0.020f * p.tongue, 0.42f};
  body.x = s.x;
  const Lanes back = ellipsoid(body, {0.165f, 0.085f, 0.215f}) + 0.012f * exp_minus(s.x * s.x * 900.f);
  const float low_y = -0.560f * g.jaw_cos - 0.60f * g.jaw_sin + 0.012f;  // the floor, carried by the jaw
  const float reach = fmaxf(p.tongue, p.tongue_out);
  const float tip_y = low_y + (kUpperTeethEdge + 0.010f - low_y) * reach - 0.010f * p.tongue_out;
  const float tip_z = 0.640f + 0.035f * p.tongue + 0.155f * p.tongue_out;
  Vec t = s;
  t.x = s.x * 0.50f;  // flat and broad
  const Lanes tip = capsule(t, {0.f, low_y - 0.01f, 0.50f}, {0.f, tip_y, tip_z}, 0.060f, 0.034f - 0.006f * reach) * 0.8f;
  const Lanes flesh = smooth_min(back, tip, 0.05f);
  out.tongue = maximum(minimum(flesh, maximum(minimum(upper_gum, lower_gum), 0.2f - s.z)), before_lips + 0.015f);
  return d;
}

// ---- eyes ----------------------------------------------------------------------------------------------------------
VISAVIS_INLINE Lanes with_eyes(const Rig& g, Vec q, Vec s, Lanes d, HeadDistances& out) {
  Vec e = s - kEye;
  e.x = absolute(q.x) - kEye.x;
  const Lanes from_eye = length(e);
  const Lanes lid_shell = from_eye - kLidRadius;
  out.eye = from_eye - kEyeRadius;
  out.lash = maximum(lid_shell, 0.f) + 0.04f;
  if (!any(lid_shell < 0.14f)) return minimum(d, lid_shell);

  const Mask right = q.x > 0.f;
  const LidCurve lid = lids_at(g, e.x, right);
  const Lanes u = lid.u;
  const Lanes opening = maximum(maximum(e.y - lid.upper_y, lid.lower_y - e.y) * 0.80f, (absolute(u) - 1.0f) * kEyeHalfWidth);
  // crease above the lid
  const Lanes crease = e.y - (lid.upper_y * 0.62f + 0.098f + 0.012f * u - 0.03f * u * u);
  d += 0.010f * exp_minus(crease * crease * 3200.f) * smoothstep(1.25f, 0.9f, absolute(u)) *
       smoothstep(0.2f, 0.1f, absolute(lid_shell)) * smoothstep(0.0f, 0.05f, e.z);
  d = smooth_min(d, lid_shell + 0.004f * smoothstep(0.03f, 0.12f, absolute(e.y - lid.upper_y)), 0.050f);
  d = smooth_max(d, -maximum(opening, -e.z + 0.02f), 0.012f);
  // lash line: a tapered tube on the upper lid's edge, flared outwards
  const Lanes blink = right ? splat(g.p.blink_l) : splat(g.p.blink_r);
  const Lanes width = (0.0050f + 0.0042f * smoothstep(-1.f, 0.6f, u)) * (1.f - 0.35f * blink) * smoothstep(1.10f, 0.80f, u);
  const Lanes lz = from_eye - (kLidRadius + 0.003f + 0.008f * smoothstep(0.2f, 1.1f, u));
  const Lanes ly = (e.y - lid.upper_y - 0.004f - 0.008f * smoothstep(0.75f, 1.15f, u)) * 0.85f;
  out.lash = maximum(maximum(root(lz * lz * 0.55f + ly * ly) - width, (absolute(u) - 1.03f) * kEyeHalfWidth), 0.05f - e.z);
  return d;
}

VISAVIS_INLINE Lanes ear_distance(Vec q) {
  Vec p = Vec{absolute(q.x), q.y, q.z} - Point{0.735f, -0.005f, -0.06f};
  p = rotate_y(p, 0.878f, 0.479f);  // flares out towards the back
  p = rotate_x(p, 0.985f, 0.174f);
  const Lanes bound = length(p) - 0.28f;
  if (!any(bound < 0.15f)) return bound + 0.03f;
  Lanes d = ellipsoid(p, {0.046f, 0.190f, 0.118f});
  d = smooth_min(d, length(p - Point{-0.005f, -0.165f, 0.035f}) - 0.042f, 0.05f);                       // lobe
  d = smooth_max(d, -ellipsoid(p - Point{0.055f, 0.018f, 0.004f}, {0.044f, 0.142f, 0.078f}), 0.022f);   // concha
  d = smooth_min(d, capsule(p, {0.020f, 0.09f, -0.02f}, {0.024f, -0.08f, -0.045f}, 0.016f, 0.016f), 0.03f);
  d = smooth_min(d, length(p - Point{0.012f, -0.02f, 0.095f}) - 0.028f, 0.03f);                         // tragus
  return d;
}

// Hair: a cap with a window for the face, combed in clumps, and the locks on it.
VISAVIS_INLINE Lanes hair_distance(Vec q, Vec s, const LockList& locks) {
  const Lanes bound = ellipsoid(q - Point{0, 0.34f, -0.10f}, {0.98f, 0.98f, 1.12f});
  if (!any(bound < 0.10f)) return bound + 0.04f;
  const Comb comb = comb_of_cap(q);
  Lanes cap = ellipsoid(q - Point{0.0f, 0.335f, -0.108f}, {0.775f, 0.785f, 0.885f});
  const Lanes wave = wobble(q * 3.1f) * 0.9f;
  const Lanes broad = sine(comb.across * 19.f + wave * 1.4f);
  const Lanes fine = sine(comb.across * 47.f + wave * 3.f + 1.3f);
  cap -= 0.020f * (1.f - broad * broad) + 0.008f * fine;
  Lanes window = ellipsoid(q - Point{0.0f, -0.14f, 0.82f}, {0.625f, 0.700f, 0.75f});
  window += 0.012f * sine(q.x * 23.f + 1.f) * sine(q.y * 17.f);
  cap = smooth_max(cap, -window, 0.035f);
  const Lanes ear = ellipsoid(s - Point{0.83f, -0.08f, 0.00f}, {0.24f, 0.245f, 0.20f});
  cap = smooth_max(cap, -0.36f - q.y - 0.012f * fine, 0.06f);                        // nape
  cap = smooth_max(cap, q.y * -0.9f - 0.05f + 1.1f * (q.z - 0.10f) - 0.10f, 0.05f);  // sideburn
  return smooth_max(with_locks(q, cap, locks), -ear, 0.04f);
}

// Everything of the head. Far outside its bounding ellipsoid only a safe distance is returned.
static VISAVIS_NOINLINE HeadDistances head_distances(const Rig& g, Vec q, const LockList& locks) {
  HeadDistances out;
  const Lanes bound = ellipsoid(q - Point{0, 0.10f, -0.02f}, {1.05f, 1.24f, 1.18f});
  if (!any(bound < 0.12f)) {
    out.skin = out.eye = out.lash = out.hair = out.teeth = out.tongue = bound + 0.05f;
    return out;
  }
  const Vec s = mirrored(q);
  Lanes d = skin_distance(g, q, s);
  d = with_mouth(g, q, s, d, out);
  // Pushed-out lips bend space: shorter steps there, and only there, so that speech changes nothing elsewhere.
  d *= mix(1.f - 0.40f * g.p.pucker, 1.f, smoothstep(0.f, 0.25f, length(q - Point{0.f, kMouthY, kMouthZ}) - 0.25f));
  d = with_eyes(g, q, s, d, out);
  out.skin = smooth_min(d, ear_distance(q), 0.03f);
  out.hair = hair_distance(q, s, locks);
  return out;
}

}  // namespace visavis
