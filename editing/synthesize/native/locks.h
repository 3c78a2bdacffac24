// Hair locks: tapered, flattened quadratic Bezier tubes laid over the skull, made once from a few groomed guides.
// A ray packet looks only at the locks near it: LockList holds their numbers.
#pragma once
#include "articulation.h"

namespace visavis {

constexpr int kMaxLocks = 64;
constexpr float kLockReach = 0.055f;  // a lock changes the distance field at most this far from its surface

// The skull cap that the locks are laid on.
constexpr Point kCapCentre = {0.f, 0.335f, -0.10f};
constexpr Point kCapRadii = {0.775f, 0.785f, 0.895f};

// A point on the cap scaled by `height` (1: on it), in the direction of p.
static inline Point on_cap(Point p, float height) {
  const Point d = p - kCapCentre;
  const Point n = {d.x / kCapRadii.x, d.y / kCapRadii.y, d.z / kCapRadii.z};
  return kCapCentre + d * (height / length(n));
}

struct Lock {
  Point a, b, c;              // control points
  float root_r, mid_r, tip_r; // radii
  float tint;                 // lighter or darker than its neighbours
  Point centre;               // bounding sphere
  float radius;
};

struct Hairdo {
  Lock locks[kMaxLocks];
  int n = 0;

  // Points are directions from the cap's centre, each with its height over the cap; the lock passes through all three.
  void add(Point root, float root_h, Point mid, float mid_h, Point tip, float tip_h, float root_r, float mid_r,
           float tip_r, float tint) {
    const Point a = on_cap(root, root_h), m = on_cap(mid, mid_h), c = on_cap(tip, tip_h);
    const Point b = m * 2.f - (a + c) * 0.5f;
    Lock lock{a, b, c, root_r, mid_r, tip_r, tint, (a + c) * 0.25f + b * 0.5f, 0.f};
    for (int i = 0; i <= 8; i++) {
      const float t = i / 8.f, u = 1.f - t;
      const Point p = a * (u * u) + b * (2.f * u * t) + c * (t * t);
      const float r = u * u * root_r + 2.f * u * t * mid_r + t * t * tip_r;
      lock.radius = fmaxf(lock.radius, length(p - lock.centre) + r);
    }
    locks[n++] = lock;
  }

  Hairdo() {
    unsigned state = 7;
    auto random = [&] {  // -0.5 ... 0.5
      state = state * 1664525u + 1013904223u;
      return (state >> 8) * (1.f / 16777216.f) - 0.5f;
    };
    // The big sweep from the parting (at x < 0) over to the other side, front to back.
    for (int i = 0; i < 8; i++) {
      const float t = i / 7.f, j = random(), k = random(), tint = random();
      add({-0.25f + 0.05f * t, 0.70f + 0.15f * t, 0.62f - 0.95f * t}, 1.00f,
          {0.26f + 0.05f * j, 0.98f, 0.60f - 1.15f * t}, 1.16f - 0.05f * t,
          {0.80f, 0.16f - 0.16f * t + 0.06f * j, 0.44f - 0.95f * t}, 1.05f + 0.03f * k, 0.085f, 0.165f, 0.03f, tint);
    }
    for (int i = 0; i < 7; i++) {
      const float t = (i + 0.5f) / 7.f, j = random(), k = random(), tint = random();
      add({-0.20f, 0.82f + 0.10f * t, 0.55f - 0.95f * t}, 1.03f, {0.42f, 0.90f + 0.05f * j, 0.50f - 1.1f * t}, 1.14f,
          {0.83f, -0.04f - 0.12f * t + 0.08f * j, 0.30f - 0.85f * t}, 1.06f + 0.05f * k, 0.07f, 0.14f, 0.02f, tint);
    }
    // The fringe crosses the forehead and tucks in at the temple.
    add({-0.26f, 0.66f, 0.60f}, 1.00f, {0.10f, 0.74f, 0.72f}, 1.15f, {0.66f, 0.40f, 0.50f}, 1.06f, 0.06f, 0.15f, 0.015f, 0.1f);
    add({-0.25f, 0.72f, 0.60f}, 1.02f, {0.18f, 0.84f, 0.68f}, 1.20f, {0.74f, 0.34f, 0.42f}, 1.08f, 0.06f, 0.17f, 0.02f, -0.3f);
    add({-0.24f, 0.78f, 0.58f}, 1.02f, {0.20f, 0.96f, 0.62f}, 1.22f, {0.80f, 0.30f, 0.34f}, 1.08f, 0.07f, 0.17f, 0.02f, 0.35f);
    // Wisps that break the hairline.
    for (int i = 0; i < 6; i++) {
      const float t = i / 5.f, j = random(), tint = random();
      add({-0.22f + 0.10f * t, 0.70f, 0.64f}, 1.00f, {0.12f + 0.10f * t, 0.66f + 0.05f * t, 0.74f - 0.03f * t},
          1.035f + 0.015f * t, {0.52f + 0.16f * t, 0.44f - 0.18f * t + 0.04f * j, 0.62f - 0.16f * t}, 1.015f + 0.02f * t,
          0.045f, 0.070f, 0.006f, 0.5f * tint + 0.2f);
    }
    for (int i = 0; i < 4; i++) {
      const float t = i / 3.f;
      add({-0.28f - 0.04f * t, 0.72f, 0.60f - 0.05f * t}, 1.00f, {-0.46f - 0.05f * t, 0.60f - 0.04f * t, 0.62f - 0.08f * t},
          1.03f, {-0.60f - 0.08f * t, 0.34f - 0.16f * t, 0.56f - 0.12f * t}, 1.01f, 0.04f, 0.062f, 0.006f, 0.6f * random());
    }
    // Loose bangs over the forehead.
    add({-0.24f, 0.74f, 0.60f}, 1.02f, {0.02f, 0.70f, 0.76f}, 1.085f, {0.30f, 0.46f, 0.76f}, 1.03f, 0.055f, 0.105f, 0.006f, 0.25f);
    add({-0.24f, 0.78f, 0.58f}, 1.03f, {0.08f, 0.74f, 0.72f}, 1.110f, {0.47f, 0.43f, 0.66f}, 1.035f, 0.060f, 0.125f, 0.006f, -0.25f);
    add({-0.25f, 0.72f, 0.62f}, 1.01f, {-0.06f, 0.68f, 0.78f}, 1.055f, {0.13f, 0.53f, 0.82f}, 1.02f, 0.045f, 0.070f, 0.005f, 0.45f);
    add({-0.24f, 0.80f, 0.56f}, 1.03f, {0.16f, 0.80f, 0.66f}, 1.130f, {0.60f, 0.37f, 0.55f}, 1.05f, 0.060f, 0.130f, 0.008f, 0.05f);
    // The shorter side.
    for (int i = 0; i < 7; i++) {
      const float t = i / 6.f, j = random(), k = random(), tint = random();
      add({-0.27f + 0.04f * t, 0.72f + 0.12f * t, 0.60f - 0.95f * t}, 1.00f, {-0.60f, 0.66f + 0.05f * j, 0.52f - 1.05f * t},
          1.07f, {-0.80f, 0.10f - 0.16f * t + 0.06f * j, 0.40f - 0.90f * t}, 1.04f + 0.03f * k, 0.06f, 0.13f, 0.02f, tint);
    }
    // Flyaways at the crown break the silhouette.
    add({-0.30f, 0.95f, 0.10f}, 1.00f, {-0.48f, 0.98f, 0.16f}, 1.11f, {-0.66f, 0.78f, 0.22f}, 1.10f, 0.05f, 0.07f, 0.004f, 0.3f);
    add({0.30f, 1.05f, 0.20f}, 1.08f, {0.50f, 1.00f, 0.20f}, 1.20f, {0.70f, 0.80f, 0.22f}, 1.21f, 0.05f, 0.08f, 0.004f, -0.3f);
    add({0.45f, 0.90f, 0.30f}, 1.08f, {0.68f, 0.70f, 0.26f}, 1.14f, {0.82f, 0.42f, 0.26f}, 1.10f, 0.05f, 0.08f, 0.004f, 0.4f);
    add({-0.10f, 1.05f, 0.05f}, 1.06f, {0.06f, 1.10f, 0.00f}, 1.20f, {0.26f, 1.08f, -0.05f}, 1.22f, 0.05f, 0.07f, 0.004f, -0.4f);
    // Sideburns.
    add({0.66f, 0.50f, 0.34f}, 1.02f, {0.72f, 0.22f, 0.32f}, 1.02f, {0.69f, -0.02f, 0.26f}, 1.02f, 0.05f, 0.06f, 0.008f, 0.2f);
    add({-0.66f, 0.50f, 0.34f}, 1.02f, {-0.72f, 0.22f, 0.32f}, 1.02f, {-0.69f, -0.02f, 0.26f}, 1.02f, 0.05f, 0.06f, 0.008f, -0.2f);
  }
};
static const Hairdo kHairdo;

struct LockList {
  int n = 0;
  unsigned char index[kMaxLocks];

  // Locks within reach of a sphere in the head frame.
  static LockList near_sphere(Point centre, float radius) {
    LockList list;
    for (int i = 0; i < kHairdo.n; i++) {
      const Lock& lock = kHairdo.locks[i];
      if (length(lock.centre - centre) < lock.radius + kLockReach + radius) list.index[list.n++] = i;
    }
    return list;
  }
  // Locks within reach of any of the half-lines p + t*d (t > 0, d of unit length, all parallel for shadow rays).
  static LockList near_rays(Vec p, Vec d, float widening) {
    LockList list;
    for (int i = 0; i < kHairdo.n; i++) {
      const Lock& lock = kHairdo.locks[i];
      const Vec to = splat(lock.centre) - p;
      const Lanes along = maximum(dot(to, d), 0.f);
      const Vec off = to - d * along;
      const float reach = lock.radius + kLockReach + widening;
      if (any(dot(off, off) < reach * reach)) list.index[list.n++] = i;
    }
    return list;
  }
};

struct LockHit {
  Lanes distance, t;
  Vec offset, tangent;
};
// Distance to one lock: Newton steps for the nearest parameter t of the curve, then a tube flattened against the head.
VISAVIS_INLINE LockHit lock_distance(const Lock& lock, Vec q) {
  const Point da = lock.b - lock.a, dda = lock.a - lock.b * 2.f + lock.c, chord = lock.c - lock.a;
  const Vec pa = q - lock.a;
  LockHit hit;
  Lanes t = saturate(dot(pa, chord) * (1.f / dot(chord, chord)));
  for (int i = 0; i < 3; i++) {
    const Lanes t2 = t * t;
    hit.offset = {pa.x - 2.f * t * da.x - t2 * dda.x, pa.y - 2.f * t * da.y - t2 * dda.y,
                  pa.z - 2.f * t * da.z - t2 * dda.z};
    hit.tangent = {2.f * da.x + 2.f * t * dda.x, 2.f * da.y + 2.f * t * dda.y, 2.f * da.z + 2.f * t * dda.z};
    if (i < 2) {
      const Lanes curvature = dot(hit.tangent, hit.tangent) - 2.f * dot(hit.offset, dda);
      t = saturate(t + dot(hit.offset, hit.tangent) * reciprocal(maximum(curvature, 0.05f)));
    }
  }
  hit.t = t;
  const Lanes u = 1.f - t;
  const Lanes r = u * u * lock.root_r + 2.f * u * t * lock.mid_r + t * t * lock.tip_r;
  const Vec outward = normalize(q - kCapCentre);
  const Lanes lift = dot(hit.offset, outward);
  hit.distance = (root(dot(hit.offset, hit.offset) + 1.6f * lift * lift) - r) * 0.72f;
  return hit;
}

// The cap's distance with the listed locks on it; strands are fine grooves along each lock.
VISAVIS_INLINE Lanes with_locks(Vec q, Lanes cap, const LockList& list) {
  for (int i = 0; i < list.n; i++) {
    const Lock& lock = kHairdo.locks[list.index[i]];
    const Lanes bound = length(q - lock.centre) - lock.radius;
    if (!any((bound < 0.05f) & (bound < cap + 0.03f))) continue;
    const LockHit hit = lock_distance(lock, q);
    const Vec across = normalize(cross(hit.tangent, q - kCapCentre));
    const Lanes strand = sine(dot(hit.offset, across) * 95.f + lock.tint * 9.f);
    const Lanes d = hit.distance + 0.0045f * strand * smoothstep(0.f, 0.1f, hit.t) * smoothstep(1.f, 0.9f, hit.t);
    cap = smooth_min(cap, d, 0.022f);
  }
  return cap;
}

// How the cap is combed: a coordinate across the strands and their direction.
struct Comb {
  Lanes across;
  Vec along;
  Lanes tint;
};
VISAVIS_INLINE Comb comb_of_cap(Vec q) {
  const Point axis = normalize(Point{0.10f, -0.22f, 0.96f});
  const Vec n = normalize(q - Point{0.f, 0.30f, -0.10f});
  return {dot(n, axis), normalize(cross(splat(axis), n)), splat(0.f)};
}
// The comb of the nearest lock, or the cap's.
VISAVIS_INLINE Comb comb_at(Vec q, const LockList& list) {
  Comb comb = comb_of_cap(q);
  Lanes best = splat(0.03f);
  for (int i = 0; i < list.n; i++) {
    const Lock& lock = kHairdo.locks[list.index[i]];
    if (!any(length(q - lock.centre) < lock.radius)) continue;
    const LockHit hit = lock_distance(lock, q);
    const Vec across = normalize(cross(hit.tangent, q - kCapCentre));
    const Mask nearer = hit.distance < best;
    best = nearer ? hit.distance : best;
    comb.across = nearer ? dot(hit.offset, across) * 0.9f + lock.tint * 3.f : comb.across;
    comb.tint = nearer ? splat(lock.tint) : comb.tint;
    comb.along = select(nearer, normalize(hit.tangent), comb.along);
  }
  return comb;
}

}  // namespace visavis
