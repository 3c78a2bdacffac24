// Named parameters of one picture, and the rig: every per-picture scalar that the shape needs.
// Head frame: x to the image right, y up, z out of the face. `_l` means +x, which is the image's right side.
#pragma once
#include <algorithm>

#include "simd.h"

namespace visavis {

// name, default, smallest, largest
#define VISAVIS_PARAMETERS(X)                                                                                      \
  X(yaw, 0, -25, 25)          /* head, degrees: + turns to the image right  */                                     \
  X(pitch, 0, -15, 15)        /* head, degrees: + nods down                 */                                     \
  X(roll, 0, -15, 15)         /* head, degrees                              */                                     \
  X(shift_x, 0, -.15f, .15f)  /* head and torso together, head units        */                                     \
  X(shift_y, 0, -.15f, .15f)                                                                                       \
  X(shift_z, 0, -.3f, .3f)                                                                                         \
  X(shrug, 0, -1, 1)          /* shoulders up                               */                                     \
  X(torso_yaw, 0, -10, 10)    /* degrees, on top of what follows the head   */                                     \
  X(jaw, 0, 0, 1)             /* speech: jaw open                           */                                     \
  X(wide, 0, -1, 1)           /* mouth corners apart                        */                                     \
  X(pucker, 0, 0, 1)          /* lips rounded and pushed forward            */                                     \
  X(press, 0, 0, 1)           /* lips closed, whatever the jaw does         */                                     \
  X(fv, 0, 0, 1)              /* lower lip on the upper teeth               */                                     \
  X(upper_raise, 0, 0, 1)                                                                                          \
  X(lower_drop, 0, 0, 1)                                                                                           \
  X(tongue, 0, 0, 1)          /* tongue tip up to the upper teeth           */                                     \
  X(tongue_out, 0, 0, 1)      /* tongue tip forward between the teeth       */                                     \
  X(smile, .42f, -1, 1)       /* expression                                 */                                     \
  X(cheek, 0, 0, 1)                                                                                                \
  X(blink_l, 0, 0, 1)                                                                                              \
  X(blink_r, 0, 0, 1)                                                                                              \
  X(wide_eyes, 0, -1, 1)                                                                                           \
  X(squint, 0, 0, 1)                                                                                               \
  X(gaze_x, 0, -25, 25)       /* degrees in the head frame                  */                                     \
  X(gaze_y, 0, -20, 20)                                                                                            \
  X(brow_in, 0, -1, 1)                                                                                             \
  X(brow_out, 0, -1, 1)                                                                                            \
  X(furrow, 0, 0, 1)                                                                                               \
  X(nose_wrinkle, 0, 0, 1)

struct Parameters {
#define X(name, value, low, high) float name = value;
  VISAVIS_PARAMETERS(X)
#undef X
};

// ---- rotations -----------------------------------------------------------------------------------------------------
constexpr float kRadiansPerDegree = 0.01745329252f;

struct Rotation {
  float m[3][3];
};
// R = Ry(yaw) * Rx(pitch) * Rz(roll)
static inline Rotation rotation_from_degrees(float yaw, float pitch, float roll) {
  const float a = yaw * kRadiansPerDegree, b = pitch * kRadiansPerDegree, c = roll * kRadiansPerDegree;
  const float ca = cosf(a), sa = sinf(a), cb = cosf(b), sb = sinf(b), cc = cosf(c), sc = sinf(c);
  return {{{ca * cc + sa * sb * sc, -ca * sc + sa * sb * cc, sa * cb},
           {cb * sc, cb * cc, -sb},
           {-sa * cc + ca * sb * sc, sa * sc + ca * sb * cc, ca * cb}}};
}
VISAVIS_INLINE Point rotate(const Rotation& r, Point p) {
  return {r.m[0][0] * p.x + r.m[0][1] * p.y + r.m[0][2] * p.z, r.m[1][0] * p.x + r.m[1][1] * p.y + r.m[1][2] * p.z,
          r.m[2][0] * p.x + r.m[2][1] * p.y + r.m[2][2] * p.z};
}
VISAVIS_INLINE Vec rotate(const Rotation& r, Vec p) {
  return {p.x * r.m[0][0] + p.y * r.m[0][1] + p.z * r.m[0][2], p.x * r.m[1][0] + p.y * r.m[1][1] + p.z * r.m[1][2],
          p.x * r.m[2][0] + p.y * r.m[2][1] + p.z * r.m[2][2]};
}
VISAVIS_INLINE Vec rotate_back(const Rotation& r, Vec p) {
  return {p.x * r.m[0][0] + p.y * r.m[1][0] + p.z * r.m[2][0], p.x * r.m[0][1] + p.y * r.m[1][1] + p.z * r.m[2][1],
          p.x * r.m[0][2] + p.y * r.m[1][2] + p.z * r.m[2][2]};
}

// ---- the rig -------------------------------------------------------------------------------------------------------
constexpr float kMouthY = -0.475f;          // lip line at rest
constexpr float kMouthZ = 0.845f;           // lip depth at rest
constexpr float kMouthHalfWidth = 0.198f;   // with neither smile nor stretch
constexpr float kJawOpenRadians = 0.35f;
constexpr Point kJawHinge = {0.f, -0.06f, 0.04f};
constexpr Point kNeckPivot = {0.f, -0.72f, -0.16f};
constexpr Point kTorsoPivot = {0.f, -1.6f, -0.2f};
constexpr float kUpperTeethEdge = -0.500f;  // lower edge of the upper front teeth
constexpr float kLidClosedY = 0.068f;       // both lids meet this far below the eye's centre
constexpr float kMouthTilt = 0.022f;        // the mouth's right-hand corner (image) sits a little higher

struct Rig {
  Parameters p;
  Rotation head, torso;
  Point offset;                            // moves head and torso together
  float jaw_cos, jaw_sin;
  float half_width, corner_y;              // mouth corner
  float upper_y, lower_y;                  // inner lip edges at the centre: the gap is their difference
  float upper_z, lower_z, corner_z;        // depths
  float upper_radius, lower_radius;        // lip thickness
  float lip_jaw;                           // jaw opening that reaches the lips (zero while they are pressed)
  float lid_upper[2], lid_lower[2];        // lid heights above and below the eye's centre; 0: +x, 1: -x
  float gaze_x, gaze_y;                    // radians
};

static inline Rig make_rig(const Parameters& p) {
  Rig g;
  g.p = p;
  g.head = rotation_from_degrees(p.yaw, p.pitch, p.roll);
  // The torso follows the head a little, so that it is a function of the head's pose.
  g.torso = rotation_from_degrees(p.torso_yaw + 0.14f * p.yaw, 0.05f * p.pitch, 0.10f * p.roll);
  g.offset = {p.shift_x + p.yaw * 0.0012f, p.shift_y, p.shift_z + p.pitch * 0.002f};

  const float smile = fmaxf(p.smile, 0.f), frown = fmaxf(-p.smile, 0.f);
  const float pucker = p.pucker, open_lips = 1.f - p.press;
  const float jaw = saturate(p.jaw);
  g.lip_jaw = jaw * open_lips;
  const float jaw_angle = jaw * (1.f - 0.55f * p.press) * kJawOpenRadians;
  g.jaw_cos = cosf(jaw_angle);
  g.jaw_sin = sinf(jaw_angle);
  const float lip_jaw = g.lip_jaw;

  g.half_width = kMouthHalfWidth * (1.f + 0.22f * p.wide + 0.34f * smile * (1.f - 0.4f * pucker) + 0.02f * frown - 0.42f * pucker -
                                    0.07f * lip_jaw * (1.f - pucker));
  g.corner_y = kMouthY + 0.094f * smile * (1.f - 0.75f * pucker) - 0.080f * frown - 0.110f * lip_jaw + 0.01f * p.wide;
  const float rest_y = kMouthY - 0.012f * smile + 0.012f * frown;
  const float raise = 0.026f * lip_jaw + open_lips * (0.050f * p.upper_raise + 0.012f * smile * jaw +
                                                      0.016f * p.nose_wrinkle * lip_jaw) +
                      0.015f * pucker * lip_jaw - 0.012f * pucker * open_lips;
  const float drop = 0.285f * lip_jaw * (1.f - 0.30f * pucker) + open_lips * (0.055f * p.lower_drop + 0.034f * pucker);
  g.upper_y = rest_y + raise;
  g.lower_y = rest_y - drop;
  // f, v: the upper lip lifts off the teeth and the lower lip rolls in until it touches their edge
  const float fv = p.fv * open_lips;
  g.upper_y += (fmaxf(g.upper_y, kUpperTeethEdge + 0.040f) - g.upper_y) * fv;
  g.lower_y += (kUpperTeethEdge + 0.013f - g.lower_y) * fv;
  g.upper_z = kMouthZ + 0.075f * pucker - 0.012f * smile - 0.030f * p.press + 0.012f * fv;
  g.lower_z = kMouthZ - 0.014f + 0.085f * pucker - 0.012f * smile - 0.030f * p.press - 0.090f * lip_jaw * (1.f - fv) -
              0.040f * fv;
  g.corner_z = kMouthZ - 0.108f + 0.060f * pucker - 0.035f * smile - 0.03f * fmaxf(p.wide, 0.f) -
               0.03f * lip_jaw * (1.f - pucker);
  g.upper_radius = 0.0385f * (1.f - 0.20f * smile - 0.50f * p.press + 0.12f * pucker - 0.10f * p.upper_raise);
  g.lower_radius = 0.0490f * (1.f - 0.24f * smile - 0.52f * p.press + 0.10f * pucker - 0.20f * fv);

  for (int side = 0; side < 2; side++) {
    const float blink = saturate(side ? p.blink_r : p.blink_l);
    const float upper = 0.107f + 0.042f * p.wide_eyes - 0.022f * p.squint + 0.0026f * p.gaze_y;
    const float lower = 0.093f + 0.010f * p.wide_eyes - 0.026f * p.squint - 0.018f * smile;
    g.lid_upper[side] = upper + (-kLidClosedY - upper) * blink;
    g.lid_lower[side] = lower + (kLidClosedY - lower) * blink;
  }
  g.gaze_x = p.gaze_x * kRadiansPerDegree;
  g.gaze_y = p.gaze_y * kRadiansPerDegree;
  return g;
}

}  // namespace visavis
