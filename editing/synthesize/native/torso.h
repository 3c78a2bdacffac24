// Signed distances of neck, jumper and blazer, and the whole scene: head and torso joined at the neck.
#pragma once
#include "shape.h"

namespace visavis {

struct TorsoDistances {
  Lanes neck, jumper, collar, blazer;
};
struct Scene {
  HeadDistances head;
  TorsoDistances torso;
  Lanes skin;  // face and neck, joined
};

VISAVIS_INLINE Vec to_head(const Rig& g, Vec p) { return rotate_back(g.head, p - kNeckPivot - g.offset) + kNeckPivot; }
VISAVIS_INLINE Vec to_torso(const Rig& g, Vec p) { return rotate_back(g.torso, p - g.offset - kTorsoPivot) + kTorsoPivot; }
static inline Point with_head(const Rig& g, Point q) { return rotate(g.head, q - kNeckPivot) + kNeckPivot; }

constexpr Point kNeckTop = {0.f, -0.46f, -0.20f};  // in the head frame
constexpr Point kNeckFoot = {0.f, -1.62f, -0.30f};
constexpr float kNeckRadius = 0.325f;

// The neck spans torso and head, so it bends with the pose. p is in the world.
VISAVIS_INLINE Lanes neck_distance(const Rig& g, Vec p) {
  const Vec w = p - g.offset;
  Lanes d = capsule(w, kNeckFoot, with_head(g, kNeckTop), kNeckRadius, kNeckRadius - 0.035f);
  for (float side : {1.f, -1.f}) {  // sternomastoids
    const Point top = with_head(g, {side * 0.40f, -0.34f, -0.12f});
    d = smooth_min(d, capsule(w, {side * 0.07f, -1.22f, 0.05f}, top, 0.050f, 0.075f), 0.13f);
  }
  return d;
}

static VISAVIS_NOINLINE TorsoDistances torso_distances(const Rig& g, Vec p) {
  TorsoDistances out;
  const Vec w = p - g.offset;
  // A plane over the shoulders and a sleeve around the neck bound everything here.
  const Vec from_axis = {w.x, splat(0.f), w.z + 0.23f};
  const Lanes bound = minimum(w.y + 0.84f, maximum(length(from_axis) - 0.56f, w.y + 0.10f));
  if (!any(bound < 0.14f)) {
    out.neck = out.jumper = out.collar = out.blazer = bound + 0.05f;
    return out;
  }
  out.neck = neck_distance(g, p);
  Vec t = to_torso(g, p);
  t.y -= 0.290f;
  Vec s = t;
  s.x = root(t.x * t.x + 0.0009f);
  const float shrug = g.p.shrug * 0.06f;
  Lanes body = capsule(s, {0, -1.98f, -0.24f}, {0.88f, -1.98f + shrug, -0.26f}, 0.36f, 0.29f);                  // chest
  body = smooth_min(body, capsule(s, {0.08f, -1.33f, -0.36f}, {0.92f, -1.80f + shrug, -0.30f}, 0.17f, 0.16f), 0.30f);
  body = smooth_min(body, ellipsoid(s - Point{0, -2.55f, -0.10f}, {0.95f, 0.95f, 0.50f}), 0.30f);
  body = smooth_min(body, capsule(s, {1.06f, -2.03f + shrug, -0.28f}, {1.22f, -3.2f, -0.22f}, 0.245f, 0.21f), 0.16f);  // arm
  // collar: a tilted ring
  Vec c = rotate_x(t - Point{0, -1.475f, -0.175f}, 0.955f, -0.296f);
  const Lanes ring = root(c.x * c.x * 0.86f + c.z * c.z);
  Lanes collar = root((ring - 0.375f) * (ring - 0.375f) * 1.3f + (c.y + 0.02f) * (c.y + 0.02f) * 0.45f) - 0.050f;
  body -= 0.010f * sine(s.x * 5.f + t.y * 7.f + sine(t.x * 3.f) * 1.5f) * smoothstep(-1.5f, -2.0f, t.y);  // folds
  const Lanes around = c.x * reciprocal(maximum(ring + absolute(c.z), 0.1f));
  collar -= 0.0016f * sine(around * 95.f) * smoothstep(-0.2f, 0.1f, c.z);
  out.jumper = smooth_min(body, collar, 0.035f);
  const Lanes inner = root((ring - 0.345f) * (ring - 0.345f) + (c.y - 0.035f) * (c.y - 0.035f) * 0.5f) - 0.022f;
  out.collar = inner;
  // blazer: the body pushed out, opened by a V, with notched lapels
  const Lanes v = 0.085f + 0.42f * (t.y + 2.12f) + 0.02f * sine(t.y * 6.f);
  const Lanes edge = (s.x - v) * 0.90f;
  const Mask upper = t.y > -1.665f + 0.35f * edge;
  const Lanes lapel_width = upper ? splat(0.115f) : 0.06f + 0.26f * (t.y + 2.12f);
  const Lanes notch = 0.016f - absolute(t.y + 1.665f - 0.35f * edge);
  const Lanes lapel = smooth_max(maximum(edge - lapel_width, -edge), minimum(notch, edge - 0.055f), 0.008f);
  const Lanes front = smooth_max(body - 0.032f, -edge, 0.018f);
  out.blazer = minimum(front, smooth_max(body - 0.072f, lapel, 0.016f)) * 0.9f;
  return out;
}

VISAVIS_INLINE Scene scene_at(const Rig& g, Vec p, const LockList& locks) {
  Scene out;
  out.head = head_distances(g, to_head(g, p), locks);
  out.torso = torso_distances(g, p);
  out.skin = smooth_min(out.head.skin, out.torso.neck, 0.10f);
  return out;
}
VISAVIS_INLINE Lanes nearest(const Scene& o) {
  const Lanes cloth = minimum(minimum(o.torso.jumper, o.torso.collar), o.torso.blazer);
  return minimum(minimum(nearest(o.head), o.skin), cloth);
}

// What throws shade on the head: the head itself and a stump of neck that turns with it, so that the head's picture
// does not depend on its pose.
VISAVIS_INLINE Lanes occluder_of_head(const Rig& g, Vec q, const LockList& locks) {
  return minimum(nearest(head_distances(g, q, locks)), capsule(q, kNeckTop, {0.f, -1.4f, -0.25f}, 0.29f, 0.30f));
}
// What throws shade on neck and clothes: themselves and a still stand-in for the head, so that speech does not reach them.
VISAVIS_INLINE Lanes occluder_of_torso(const Rig& g, Vec p) {
  const TorsoDistances t = torso_distances(g, p);
  const Vec q = to_head(g, p);
  Lanes head = ellipsoid(q - Point{0, 0.31f, -0.07f}, {0.80f, 0.85f, 0.94f});
  head = minimum(head, ellipsoid(q - Point{0, -0.33f, 0.24f}, {0.46f, 0.54f, 0.52f}));
  return minimum(minimum(head, t.neck), minimum(minimum(t.jumper, t.collar), t.blazer));
}

}  // namespace visavis
