// Albedo, gloss, light and labels for a packet of hit points.
// Light is fixed to the head for the head, and to the torso for neck and clothes: a radiance field that is trained by
// moving the camera around a still head then sees one and the same light. The background is fixed in the picture.
#pragma once
#include "torso.h"

namespace visavis {

// Ids of the label picture, as the dataset's meta.json names them.
constexpr int kBackground = 0, kCloth = 1, kNeck = 2, kFace = 3, kHair = 4, kEyeLabel = 5, kLips = 6, kTeeth = 7, kMouth = 8,
              kBrow = 9, kLabels = 10;

// Directions to the lights, in the frame of the part that they light; colours are linear.
static const Point kKey = normalize(Point{-0.58f, 0.52f, 0.76f});
static const Point kFill = normalize(Point{0.85f, 0.10f, 0.65f});
static const Point kRimRight = normalize(Point{0.80f, 0.35f, -0.55f});
static const Point kRimLeft = normalize(Point{-0.85f, 0.40f, -0.50f});
constexpr Point kKeyColour = {1.82f, 1.70f, 1.56f};
constexpr Point kFillColour = {0.27f, 0.31f, 0.39f};
constexpr Point kRimRightColour = {1.9f, 1.65f, 1.40f};
constexpr Point kRimLeftColour = {0.9f, 1.1f, 1.35f};
constexpr Point kGroundColour = {0.30f, 0.235f, 0.20f};
constexpr Point kSkyColour = {0.36f, 0.39f, 0.44f};

constexpr Point kSkinColour = {0.635f, 0.345f, 0.252f};
constexpr Point kBlushColour = {0.66f, 0.200f, 0.155f};
constexpr Point kLipColour = {0.48f, 0.128f, 0.112f};
constexpr Point kBrowColour = {0.080f, 0.036f, 0.020f};

VISAVIS_INLINE Mask label_lanes(int label) { return Mask{} + label; }

struct Surface {
  Vec albedo;
  Lanes gloss;
  Lanes scatter;  // how far light bleeds under the surface: 1 skin, 0 cloth and hair
  Lanes shade;    // extra darkening of the eyeball under the lids
  Lanes glint;    // light added at the end (catchlights)
  Vec strand;     // direction of hair, in the part's frame
  Mask label;
  Mask is_eye, is_hair, is_teeth, is_tongue, is_cloth;
};

VISAVIS_INLINE void paint_skin(const Rig& g, Vec q, Vec s, const Scene& o, Lanes nearest_part, Surface& f) {
  const float smile = fmaxf(g.p.smile, 0.f);
  const Lanes front = smoothstep(0.2f, 0.6f, s.z);
  f.albedo = splat(kSkinColour);
  f.gloss = 0.20f + 0.14f * bell(s.x, s.y + 0.16f, 0.07f, 0.10f) + 0.09f * bell(s.x - 0.33f, s.y + 0.10f, 0.14f, 0.10f);
  const Lanes tone = wobble(q * 5.f + Point{3.f, 0.f, 0.f}) * 0.5f + wobble(q * 13.f) * 0.35f + wobble(q * 31.f) * 0.30f;
  const Lanes pores = sine(q.x * 83.f + 2.f * wobble(q * 17.f)) * sine(q.y * 91.f + 2.f * wobble(q * 19.f));
  f.albedo = {f.albedo.x * (1.f + 0.030f * tone + 0.010f * pores), f.albedo.y * (1.f + 0.055f * tone + 0.016f * pores),
              f.albedo.z * (1.f + 0.060f * tone + 0.016f * pores)};
  f.gloss *= 1.f + 0.25f * tone + 0.20f * pores;
  Lanes blush = 0.50f * bell(s.x - 0.35f, s.y + 0.22f - 0.03f * smile, 0.125f, 0.105f) +
                0.55f * bell(s.x, s.y + 0.20f, 0.09f, 0.07f) + 0.25f * bell(s.x, s.y + 0.76f, 0.16f, 0.08f);
  blush = blush * front + 0.7f * smoothstep(0.66f, 0.76f, s.x) * smoothstep(0.3f, 0.1f, absolute(s.y + 0.05f)) *
                              smoothstep(0.1f, 0.0f, s.z);  // ears
  f.albedo = mix(f.albedo, kBlushColour, saturate(blush * 0.58f));
  f.albedo = mix(f.albedo, {0.69f, 0.385f, 0.275f}, 0.35f * bell(s.x, s.y - 0.45f, 0.3f, 0.14f) * front);         // forehead
  f.albedo = mix(f.albedo, {0.52f, 0.225f, 0.165f}, 0.30f * bell(s.x - 0.28f, s.y + 0.10f, 0.12f, 0.045f) * front);  // under the eyes
  const Lanes roots = smoothstep(0.055f, 0.0f, o.head.hair);
  f.albedo = mix(f.albedo, {0.20f, 0.085f, 0.045f}, 0.55f * roots * roots);
  f.label = o.torso.neck < o.head.skin + 0.03f ? label_lanes(kNeck) : label_lanes(kFace);
  f.scatter = splat(1.f);
  f.shade = splat(1.f);
  f.glint = splat(0.f);
  f.strand = Vec{};

  {  // eyelids: a touch of warm shade, and the lower lash line
    const Vec e = s - kEye;
    const LidCurve lid = lids_at(g, e.x, q.x > 0.f);
    const Lanes on = smoothstep(0.06f, 0.02f, absolute(length(e) - kLidRadius)) *
                     smoothstep(1.2f, 0.95f, absolute(lid.u)) * smoothstep(0.f, 0.05f, e.z);
    const Lanes above = smoothstep(-0.01f, 0.02f, e.y - lid.upper_y) * smoothstep(0.10f, 0.03f, e.y - lid.upper_y);
    f.albedo = mix(f.albedo, {0.52f, 0.235f, 0.165f}, 0.55f * above * on);
    const Lanes below = smoothstep(0.020f, 0.004f, absolute(e.y - lid.lower_y + 0.006f));
    f.albedo = mix(f.albedo, {0.22f, 0.09f, 0.06f}, 0.60f * below * on * smoothstep(-1.0f, 0.2f, lid.u));
    f.gloss += 0.1f * above * on;
  }
  {  // lips
    const Lanes my = mouth_height(q);
    const MouthCurve c = mouth_at(g, s.x);
    const Lanes within = smoothstep(1.03f, 0.90f, s.x * (1.f / g.half_width));
    const Lanes cx = s.x - g.half_width * 0.99f, cy = my - g.corner_y;
    const float corner = 0.30f * (1.f - g.lip_jaw) * (1.f - g.p.pucker);
    f.albedo = mix(f.albedo, {0.30f, 0.11f, 0.08f}, corner * exp_minus(cx * cx * 2400.f + cy * cy * 3200.f) * front);
    const Lanes upper_edge = 1.50f * c.upper_radius - 0.016f * exp_minus(s.x * s.x * 1800.f) + 0.004f;
    const Lanes lower_edge = 1.62f * c.lower_radius;
    const Lanes lip = smoothstep(0.012f, -0.008f, my - c.upper_y - upper_edge) *
                      smoothstep(-0.012f, 0.010f, my - c.lower_y + lower_edge) * within * smoothstep(0.55f, 0.62f, s.z);
    const Mask between = (my < c.upper_y + 0.01f) & (my > c.lower_y - 0.01f);
    const Lanes behind = smoothstep(0.035f, 0.10f, minimum(c.upper_z, c.lower_z) - s.z);
    const Lanes deep = between ? behind * within : splat(0.f);
    const Lanes wrinkles = sine(s.x * 170.f + wobble(q * 20.f)) * 0.5f + sine(s.x * 97.f);
    f.albedo = mix(f.albedo, splat(kLipColour) * (1.f + 0.035f * wrinkles), 0.88f * lip);
    f.gloss = mix(f.gloss, splat(0.38f), lip);
    f.albedo = mix(f.albedo, {0.22f, 0.055f, 0.05f}, deep);
    const Lanes seam = smoothstep(0.012f, 0.003f, absolute(my - (c.upper_y + c.lower_y) * 0.5f)) * within *
                       smoothstep(0.03f, 0.012f, c.upper_y - c.lower_y);
    f.albedo = mix(f.albedo, {0.36f, 0.12f, 0.11f}, 0.7f * seam * front);
    f.label = (lip > 0.5f) & (o.skin <= nearest_part + 1e-4f) ? label_lanes(kLips) : f.label;
    f.label = deep > 0.5f ? label_lanes(kMouth) : f.label;
  }
  {  // brows are painted: soft at the edges, a few streaks of hair; the skin carries a ridge beneath
    const BrowCurve brow = brow_at(g, s.x, q.x > 0.f);
    const Lanes dy = s.y - brow.y;
    const Lanes streaks = sine((s.x * 0.8f - dy * (1.1f - 1.4f * brow.v)) * 150.f + wobble(q * 9.f) * 3.f) * 0.5f + 0.5f;
    const Lanes width = brow.half_thickness * (0.98f + 0.05f * streaks);
    const Lanes on = smoothstep(0.011f, -0.020f, absolute(dy) - width) * smoothstep(0.45f, 0.55f, s.z) *
                     smoothstep(0.002f, 0.014f, brow.half_thickness);
    f.albedo = mix(f.albedo, splat(kBrowColour) * (0.85f + 0.45f * streaks), on * 0.92f);
    f.label = on > 0.5f ? label_lanes(kBrow) : f.label;
    f.scatter = 1.f - on;
    f.gloss *= 1.f - 0.7f * on;
  }
}

// Sclera, iris and pupil, and the catchlight on the cornea. `view` is the ray's direction in the head frame.
VISAVIS_INLINE void paint_eye(const Rig& g, Vec q, Vec view, Surface& f) {
  constexpr float kIris = 0.440f, kPupil = 0.200f, kCornea = 0.52f;  // sines of angles seen from the eye's centre
  const Lanes side = q.x > 0.f ? splat(1.f) : splat(-1.f);
  Vec e = q;
  e.x -= side * kEye.x;
  e = e - Point{0, kEye.y, kEye.z};
  const Vec n = normalize(e);
  const Lanes gaze = g.gaze_x - side * 0.035f;  // the eyes converge on the viewer
  const Lanes cx = cosine(gaze), sx = sine(gaze);
  const float cy = cosf(g.gaze_y), sy = sinf(g.gaze_y);
  Vec i = {n.x * cx - n.z * sx, n.y, n.z * cx + n.x * sx};
  i = {i.x, i.y * cy - i.z * sy, i.z * cy + i.y * sy};
  const Lanes ix = i.x + view.x * 0.05f, iy = i.y + view.y * 0.05f;  // the iris lies behind the cornea
  const Lanes r = root(ix * ix + iy * iy);
  const Lanes a = ix * reciprocal(r + 0.02f), b = iy * reciprocal(r + 0.02f);
  const Lanes fibres = sine(a * 19.f + sine(b * 13.f) * 2.f) * sine(b * 23.f + a * 9.f);
  const Lanes k = saturate((r - kPupil) * (1.f / (kIris - kPupil)));
  Vec iris = mix(splat(Point{0.30f, 0.165f, 0.045f}), {0.075f, 0.150f, 0.105f}, smoothstep(0.05f, 0.55f, k));
  iris = iris * (1.05f + 0.32f * fibres * (1.f - 0.4f * k));
  iris = iris * (0.85f + 0.85f * smoothstep(0.2f, -0.9f, (iy * 0.8f - ix * 0.35f) * (1.f / kIris)));  // light pools opposite the key
  iris = iris * (1.f - 0.75f * smoothstep(0.72f, 1.0f, k));
  iris = mix(iris, {0.012f, 0.010f, 0.012f}, smoothstep(kPupil + 0.025f, kPupil - 0.02f, r));
  const Vec sclera = mix(splat(Point{0.66f, 0.62f, 0.60f}), {0.60f, 0.30f, 0.25f},
                         0.55f * smoothstep(0.10f, 0.19f, absolute(e.x)) + 0.5f * smoothstep(-0.125f, -0.165f, e.x * side));
  const Vec colour = mix(iris, sclera, smoothstep(kIris - 0.02f, kIris + 0.035f, r));
  const LidCurve lid = lids_at(g, e.x * side, q.x > 0.f);
  const Lanes lid_shade = mix(0.42f, 1.f, smoothstep(-0.002f, 0.062f, lid.upper_y - e.y)) *
                          mix(0.72f, 1.f, smoothstep(-0.002f, 0.030f, e.y - lid.lower_y));
  f.albedo = select(f.is_eye, colour, f.albedo);
  f.gloss = f.is_eye ? splat(0.f) : f.gloss;
  f.scatter = f.is_eye ? splat(0.25f) : f.scatter;
  f.label = f.is_eye ? label_lanes(kEyeLabel) : f.label;
  f.shade = f.is_eye ? lid_shade : f.shade;
  const Vec axis = {sx * cy, splat(sy), cx * cy};
  const Vec cornea = normalize(n - axis * kCornea);
  const Vec mirror = view - cornea * (2.f * dot(view, cornea));
  const Lanes window = smoothstep(0.235f, 0.165f, maximum(absolute(mirror.x - kKey.x + 0.10f), absolute(mirror.y - kKey.y - 0.10f) * 0.8f)) *
                       smoothstep(-0.05f, 0.05f, mirror.z);
  const Lanes mx = mirror.x - 0.62f, my = mirror.y + 0.25f;
  const Lanes bounce = exp_minus((mx * mx + my * my) * 30.f) * 0.035f;
  f.glint = f.is_eye ? (window * 0.95f + bounce) * smoothstep(0.0f, 0.02f, lid.upper_y - e.y) : f.glint;
}

VISAVIS_INLINE void paint_hair(Vec q, const LockList& locks, Surface& f) {
  const Comb comb = comb_at(q, locks);
  const Lanes wave = wobble(q * 3.1f) * 0.9f;
  const Lanes fine = sine(comb.across * 173.f + wave * 7.f);
  const Lanes finer = sine(comb.across * 391.f + sine(comb.across * 57.f) * 3.f);
  const Lanes broad = sine(comb.across * 47.f + wave * 3.f + 1.3f);
  const Lanes k = saturate(0.42f + 0.22f * fine + 0.16f * finer + 0.18f * broad);
  const Vec colour = mix(splat(Point{0.058f, 0.023f, 0.011f}), {0.215f, 0.092f, 0.038f}, k) * (1.f + 0.28f * comb.tint);
  f.albedo = select(f.is_hair, colour, f.albedo);
  f.strand = comb.along;
  f.gloss = f.is_hair ? splat(0.f) : f.gloss;
  f.scatter = f.is_hair ? splat(0.f) : f.scatter;
  f.label = f.is_hair ? label_lanes(kHair) : f.label;
}

VISAVIS_INLINE void paint(Mask where, Vec albedo, float gloss, float scatter, int label, Surface& f) {
  f.albedo = select(where, albedo, f.albedo);
  f.gloss = where ? splat(gloss) : f.gloss;
  f.scatter = where ? splat(scatter) : f.scatter;
  f.label = where ? label_lanes(label) : f.label;
}

VISAVIS_INLINE void paint_teeth_and_tongue(Vec s, Surface& f) {
  const Lanes angle = s.x * reciprocal(maximum(s.z - 0.455f, 0.05f));
  const Lanes between = sine(angle * 10.5f);
  const Lanes gap = exp_minus(between * between * 60.f);
  const Lanes enamel = (1.f - 0.20f * gap) * (0.30f + 0.70f * smoothstep(0.46f, 0.74f, s.z));
  paint(f.is_teeth, splat(Point{0.86f, 0.82f, 0.74f}) * enamel, 0.5f, 0.4f, kTeeth, f);
  paint(f.is_tongue, splat(Point{0.70f, 0.30f, 0.29f}) * (0.30f + 0.70f * smoothstep(0.40f, 0.70f, s.z)), 0.35f, 0.8f, kMouth, f);
}

VISAVIS_INLINE void paint_clothes(const Rig& g, Vec p, const Scene& o, Lanes nearest_part, Surface& f) {
  const Mask jumper = o.torso.jumper <= nearest_part + 1e-5f, collar = o.torso.collar <= nearest_part + 1e-5f;
  const Mask blazer = o.torso.blazer <= nearest_part + 1e-5f;
  const Vec t = to_torso(g, p);
  const Lanes knit = sine(t.x * 60.f) * sine(t.y * 60.f + sine(t.x * 60.f) * 0.8f);
  const Lanes weave = sine(t.x * 70.f + t.y * 35.f) * sine(t.x * 35.f - t.y * 70.f);
  paint(jumper, splat(Point{0.60f, 0.545f, 0.47f}) * (1.f + 0.06f * knit), 0.03f, 0.f, kCloth, f);
  paint(blazer, splat(Point{0.026f, 0.088f, 0.108f}) * (1.f + 0.045f * weave), 0.05f, 0.f, kCloth, f);
  paint(collar, splat(Point{0.66f, 0.63f, 0.58f}), 0.02f, 0.f, kCloth, f);
  f.is_cloth = jumper | blazer;
}

// Central differences on a tetrahedron.
template <typename Distance>
VISAVIS_INLINE Vec normal_of(Distance distance, Vec p, float e) {
  const Lanes a = distance(Vec{p.x + e, p.y - e, p.z - e}), b = distance(Vec{p.x - e, p.y - e, p.z + e});
  const Lanes c = distance(Vec{p.x - e, p.y + e, p.z - e}), d = distance(Vec{p.x + e, p.y + e, p.z + e});
  return normalize(Vec{a - b - c + d, -a - b + c + d, -a + b - c + d});
}

// Colour (linear) and labels of the hit lanes. `ray` is the direction in the world, `locks` those near the packet.
static __attribute__((noinline)) Vec shade(const Rig& g, Vec p, Vec ray, Mask hit, const LockList& locks, Mask& label_out) {
  const Scene o = scene_at(g, p, locks);
  const Lanes m = nearest(o);
  const Vec q = to_head(g, p);
  Vec s = q;
  s.x = absolute(q.x);
  auto whole = [&](Vec x) { return nearest(scene_at(g, x, locks)); };
  const Vec n_world = normal_of(whole, p, 0.0016f);

  Surface f;
  paint_skin(g, q, s, o, m, f);
  f.is_eye = o.head.eye <= m + 1e-5f;
  f.is_hair = o.head.hair <= m + 1e-5f;
  f.is_teeth = o.head.teeth <= m + 1e-5f;
  f.is_tongue = o.head.tongue <= m + 1e-5f;
  const Mask is_lash = o.head.lash <= m + 1e-5f;
  const Vec view_head = rotate_back(g.head, ray);
  if (any(f.is_eye & hit)) paint_eye(g, q, view_head, f);
  if (any(f.is_hair & hit)) paint_hair(q, locks, f);
  paint(is_lash, splat(Point{0.030f, 0.018f, 0.014f}), 0.05f, 0.f, kEyeLabel, f);
  paint_teeth_and_tongue(s, f);
  paint_clothes(g, p, o, m, f);

  // The part's own frame: head, torso, or between the two at the neck, so that the light shows no seam.
  const Mask of_torso = (f.label == kNeck) | (f.label == kCloth);
  const Lanes torso_weight = f.label == kCloth ? splat(1.f) : smoothstep(0.10f, -0.06f, o.torso.neck - o.head.skin) *
      ((f.label == kNeck) | (f.label == kFace) ? splat(1.f) : splat(0.f));
  auto to_part = [&](Vec x) { return normalize(mix(rotate_back(g.head, x), rotate_back(g.torso, x), torso_weight)); };
  const Vec n = to_part(n_world);
  const Vec view = to_part(ray);
  const bool any_head = any(hit & ~of_torso), any_torso = any(hit & of_torso);

  // ---- occlusion and the key light's shadow, each part among its own ----
  const Vec key_head = rotate(g.head, splat(kKey)), key_torso = rotate(g.torso, splat(kKey));
  const Vec key = mix(key_head, key_torso, torso_weight);
  const LockList shadow_locks = any_head ? LockList::near_rays(q, splat(kKey), 0.05f) : LockList();
  auto occluder = [&](Vec x, const LockList& list) {
    Lanes d = splat(kFar);
    if (any_head) d = occluder_of_head(g, to_head(g, x), list);
    if (any_torso) d = of_torso ? occluder_of_torso(g, x) : d;
    return d;
  };
  Lanes open = splat(0.f);
  float weight = 1.f;
  for (int i = 0; i < 5; i++) {
    const float h = 0.012f + 0.085f * i;
    open += maximum(h - occluder(p + n_world * h, locks), 0.f) * weight;
    weight *= 0.72f;
  }
  Lanes ao = saturate(1.f - 1.35f * open);
  Lanes lit = splat(1.f), t = splat(0.03f);
  const Vec start = p + n_world * 0.012f;
  for (int i = 0; i < 18; i++) {
    const Lanes d = occluder(start + key * t, shadow_locks);
    lit = minimum(lit, 0.5f + 0.5f * d * reciprocal(t * 0.13f));
    t += clamp(d * 0.8f, 0.022f, 0.22f);
    if (!any((lit > 0.f) & (t < 2.2f) & hit)) break;
  }
  lit = saturate(lit);
  lit = lit * lit * (3.f - 2.f * lit);
  ao = f.is_teeth ? root(ao) : ao;
  lit = f.is_teeth ? 0.45f + 0.55f * lit : lit;

  // ---- light: wrapped diffuse per channel (red bleeds furthest), over a blurred normal where the skin scatters ----
  Vec blurred = n;
  if (any((f.scatter > 0.f) & hit)) {
    const Vec wide = to_part(normal_of(whole, p, 0.022f));
    f.scatter = f.scatter * smoothstep(0.45f, 0.92f, dot(n, wide));  // no bleeding across thin edges
    blurred = wide;
  }
  const Vec v = view * -1.f;
  const Lanes facing = saturate(dot(n, v)), grazing = 1.f - facing, grazing2 = grazing * grazing;
  const Vec n_red = normalize(mix(n, blurred, f.scatter * 0.85f)), n_green = normalize(mix(n, blurred, f.scatter * 0.45f));
  auto wrapped = [](Lanes cosine_to_light, Lanes wrap) { return saturate((cosine_to_light + wrap) * reciprocal(1.f + wrap)); };
  const Lanes red = wrapped(dot(n_red, kKey), 0.34f * f.scatter), green = wrapped(dot(n_green, kKey), 0.16f * f.scatter);
  const Lanes blue = wrapped(dot(n, kKey), 0.10f * f.scatter);
  const Lanes soft = root(lit);
  Vec light = {kKeyColour.x * red * mix(lit, soft, f.scatter * 0.6f), kKeyColour.y * green * mix(lit, soft, f.scatter * 0.2f),
               kKeyColour.z * blue * lit};
  light = light + splat(kFillColour) * (saturate(dot(n_green, kFill) * 0.7f + 0.3f) * (0.4f + 0.6f * ao));
  const Lanes soft_ao = root(ao);
  const Vec ambient = mix(splat(kGroundColour), kSkyColour, 0.5f + 0.5f * n.y);
  light = light + ambient * Vec{mix(ao, soft_ao, f.scatter * 0.8f), mix(ao, soft_ao, f.scatter * 0.25f), ao};
  Vec colour = f.albedo * light * f.shade;

  // rims
  const Lanes edge = smoothstep(0.35f, 0.95f, grazing) * ao;
  Lanes rim = f.is_hair ? splat(0.52f) : splat(0.38f);
  rim = f.is_eye | f.is_teeth | f.is_tongue ? splat(0.f) : rim;
  const Vec rim_albedo = f.albedo * 0.6f + Point{0.25f, 0.25f, 0.25f};
  colour = colour + splat(kRimRightColour) * (saturate(dot(n, kRimRight)) * edge * rim) * rim_albedo +
           splat(kRimLeftColour) * (saturate(dot(n, kRimLeft)) * edge * rim) * rim_albedo;
  // gloss: broad sheen and a tight highlight
  const Vec half_key = normalize(splat(kKey) + v), half_fill = normalize(splat(kFill) + v);
  const Lanes key_angle = saturate(dot(n, half_key)), fill_angle = saturate(dot(n, half_fill));
  const Lanes fresnel = 0.6f + 0.4f * (0.35f + 0.65f * grazing2 * grazing2 * grazing);
  const Lanes sheen = ((power(key_angle, 12) * 0.32f + power(key_angle, 48) * 0.34f) * lit + power(fill_angle, 16) * 0.12f * ao) * f.gloss * fresnel;
  colour = colour + splat(Point{1.0f, 0.95f, 0.9f}) * sheen + splat(Point{0.45f, 0.50f, 0.55f}) * (grazing2 * grazing2 * 0.25f * f.gloss * ao);
  if (any(f.is_hair & hit)) {  // two shifted lobes along the strands
    const Lanes along1 = dot(normalize(f.strand + n * 0.10f), half_key), along2 = dot(normalize(f.strand - n * 0.12f), half_key);
    const Lanes tight = power(root(maximum(1.f - along1 * along1, 0.f)), 90), broad = power(root(maximum(1.f - along2 * along2, 0.f)), 26);
    const Vec shine = (splat(Point{0.60f, 0.46f, 0.33f}) * (tight * 0.30f) + f.albedo * (broad * 1.4f)) * (saturate(dot(n, kKey) * 0.7f + 0.3f) * lit * ao);
    colour = select(f.is_hair, colour + shine, colour);
  }
  const Lanes fuzz = f.is_cloth ? power(grazing, 3) * 0.20f * ao : splat(0.f);
  colour = colour + splat(Point{0.22f, 0.34f, 0.38f}) * fuzz + splat(Point{1.f, 1.f, 1.f}) * f.glint;
  label_out = f.label;
  return colour;
}

// Linear to display: soft shoulder, gamma 2, a gentle S.
VISAVIS_INLINE Lanes tone(Lanes x) {
  const Lanes y = root(1.f - exp_minus(maximum(x, 0.f) * 1.06f));
  return mix(y, y * y * (3.f - 2.f * y), splat(0.60f));
}
// A studio wall; x, y are picture coordinates with the half height as unit, y up.
VISAVIS_INLINE Vec background_at(Lanes x, Lanes y) {
  const Lanes r = root((x + 0.15f) * (x + 0.15f) + (y - 0.10f) * (y - 0.10f));
  return mix(splat(Point{0.50f, 0.52f, 0.53f}), {0.150f, 0.180f, 0.220f}, smoothstep(0.05f, 1.35f, r));
}

}  // namespace visavis
