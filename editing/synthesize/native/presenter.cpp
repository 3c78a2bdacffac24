// Camera, marching loop and C interface of the synthetic presenter. No global state; safe from several threads.
//
// World = head rotation * q + translation for a point q of the head frame. The camera stands at kCamera and looks down
// -z; visavis_presenter_pose gives the same thing as an OpenCV camera_from_head. Pixel centres are at +0.5.
#include <cstdint>
#include <cstring>
#include <vector>

#include "materials.h"

namespace visavis {

constexpr Point kCamera = {0.f, -0.22f, 7.2f};
constexpr float kHalfHeight = 0.2315f;       // tangent of half the vertical field of view
constexpr float kCentreShift = 0.018f;       // the principal point lies this much of the half height below the middle
constexpr float kNear = 5.2f, kFarAway = 9.4f;
constexpr int kMaxSteps = 110, kMaxConeSteps = 40;
constexpr float kMinConeStep = 0.008f;
constexpr float kStepShare = 0.86f;          // of a distance that may be stepped: blends overstate distances a little
constexpr float kHitDistance = 0.0016f, kGrazingDistance = 0.004f;
constexpr int kTileWidth = 4;                // a packet is a tile of 4 x 4, 4 x 2 or 4 x 1 samples
constexpr int kTileHeight = kLanes / kTileWidth;

static Rig rig_from(const float* parameters) {
  Parameters p;
  memcpy(static_cast<void*>(&p), parameters, sizeof p);
  return make_rig(p);
}

// Locks that a cone of rays can meet: `radius_per_unit` is the cone's half width at distance 1.
static LockList locks_in_cone(const Rig& g, Point ray, float radius_per_unit) {
  const Point eye_world = kCamera - kNeckPivot - g.offset;
  const Rotation& r = g.head;
  const auto back = [&](Point v) {
    return Point{r.m[0][0] * v.x + r.m[1][0] * v.y + r.m[2][0] * v.z, r.m[0][1] * v.x + r.m[1][1] * v.y + r.m[2][1] * v.z,
                 r.m[0][2] * v.x + r.m[1][2] * v.y + r.m[2][2] * v.z};
  };
  const Point eye = back(eye_world) + kNeckPivot, direction = back(ray);
  LockList list;
  for (int i = 0; i < kHairdo.n; i++) {
    const Lock& lock = kHairdo.locks[i];
    const Point to = lock.centre - eye;
    const Point off = to - direction * dot(to, direction);
    if (length(off) < lock.radius + kLockReach + radius_per_unit * kFarAway) list.index[list.n++] = i;
  }
  return list;
}

// A packet of cones, one a tile: how far each can go before anything may be inside it. Tiles that reach kFarAway are empty.
static Lanes march_cones(const Rig& g, Vec ray, const LockList& locks, float radius_per_unit) {
  Lanes t = splat(kNear);
  Mask live = Mask{} - 1;
  for (int i = 0; i < kMaxConeSteps; i++) {
    const Lanes advance = nearest(scene_at(g, splat(kCamera) + ray * t, locks)) * kStepShare - t * radius_per_unit;
    live &= (advance > kMinConeStep);
    t = live ? t + advance : t;
    live &= (t < kFarAway);
    if (!any(live)) break;
  }
  return t;
}

// Sphere tracing from t; returns the lanes that hit and moves t onto the surface.
static Mask march(const Rig& g, Vec ray, const LockList& locks, Lanes& t) {
  const Vec eye = splat(kCamera);
  Mask live = Mask{} - 1, hit = {};
  for (int i = 0; i < kMaxSteps; i++) {
    const Lanes d = nearest(scene_at(g, eye + ray * t, locks));
    const Mask now = live & (d < kHitDistance);
    hit |= now;
    live &= ~now;
    t = live ? t + d * kStepShare : t;
    live &= (t < kFarAway);
    if (!any(live)) break;
  }
  if (any(live)) hit |= live & (nearest(scene_at(g, eye + ray * t, locks)) < kGrazingDistance);
  if (any(hit)) {  // settle on the surface, also from inside after an overshoot
    const Lanes d = nearest(scene_at(g, eye + ray * t, locks));
    t = hit ? t + d : t;
  }
  return hit;
}

// A tile of rays.
struct Tile {
  Lanes px, py;  // picture coordinates: the half height is the unit, y up
  Vec rays() const { return normalize(Vec{px * kHalfHeight, py * kHalfHeight, splat(-1.f)}); }
  Point middle() const {
    const float x = 0.5f * (px[0] + px[kLanes - 1]), y = 0.5f * (py[0] + py[kLanes - 1]);
    return normalize(Point{x * kHalfHeight, y * kHalfHeight, -1.f});
  }
};
// The tile whose first sample is x, y; its rays stand in the middle of rectangles of stride_x * stride_y samples.
static Tile tile_at(int x, int y, int width, int height, int stride_x, int stride_y) {
  Tile tile;
  for (int k = 0; k < kLanes; k++) {
    const float column = (float)x + ((float)(k % kTileWidth) + 0.5f) * (float)stride_x;
    const float row = (float)y + ((float)(k / kTileWidth) + 0.5f) * (float)stride_y;
    tile.px[k] = column * (2.f / height) - (float)width / height;
    tile.py[k] = 1.f - row * (2.f / height) + kCentreShift;
  }
  return tile;
}

static void write_pixel(const float* sum, float scale, uint8_t* rgb) {
  for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)(saturate(sum[c] * scale) * 255.f + 0.5f);
}

}  // namespace visavis

using namespace visavis;

extern "C" {

// "name,default,low,high;..." in the order of the parameter array
const char* visavis_presenter_parameters() {
#define X(name, value, low, high) #name "," #value "," #low "," #high ";"
  return VISAVIS_PARAMETERS(X);
#undef X
}

// rgb: height * width * 3 bytes; labels: height * width bytes, the label of most of a pixel's samples.
void visavis_presenter_render(const float* parameters, int width, int height, int supersample, uint8_t* rgb, uint8_t* labels) {
  const Rig g = rig_from(parameters);
  const int fine_width = width * supersample, fine_height = height * supersample;
  std::vector<float> sums((size_t)width * height * 3, 0.f);
  std::vector<uint8_t> votes((size_t)width * height * kLabels, 0);
  const float spacing = kHalfHeight * 2.f / fine_height;  // between samples, at distance 1
  const auto add_tile = [&](int tx, int ty, float start) {
    const Tile tile = tile_at(tx, ty, fine_width, fine_height, 1, 1);
    const Vec ray = tile.rays();
    Vec colour = background_at(tile.px, tile.py);
    Mask label = label_lanes(kBackground);
    if (start < kFarAway) {
      const LockList locks = locks_in_cone(g, tile.middle(), spacing * kTileWidth);
      Lanes t = splat(start);
      const Mask hit = march(g, ray, locks, t);
      if (any(hit)) {
        Mask shaded_label;
        const Vec shaded = shade(g, splat(kCamera) + ray * t, ray, hit, locks, shaded_label);
        colour = select(hit, shaded, colour);
        label = hit ? shaded_label : label;
      }
    }
    const Lanes red = tone(colour.x), green = tone(colour.y), blue = tone(colour.z);
    for (int k = 0; k < kLanes; k++) {
      const int x = (tx + k % kTileWidth) / supersample, y = (ty + k / kTileWidth) / supersample;
      if (x >= width || y >= height) continue;
      const size_t pixel = (size_t)y * width + x;
      sums[pixel * 3] += red[k];
      sums[pixel * 3 + 1] += green[k];
      sums[pixel * 3 + 2] += blue[k];
      votes[pixel * kLabels + label[k]]++;
    }
  };
  // A block has as many tiles as a packet has rays: one packet of cones finds out how far each tile is empty.
  constexpr int kBlockWidth = kTileWidth * kTileWidth, kBlockHeight = kTileHeight * kTileHeight;
  for (int by = 0; by < fine_height; by += kBlockHeight) {
    for (int bx = 0; bx < fine_width; bx += kBlockWidth) {
      const Tile cones = tile_at(bx, by, fine_width, fine_height, kTileWidth, kTileHeight);
      const LockList locks = locks_in_cone(g, cones.middle(), spacing * kBlockWidth);
      const Lanes start = march_cones(g, cones.rays(), locks, spacing * kTileWidth * 0.75f);
      for (int k = 0; k < kLanes; k++) {
        const int tx = bx + k % kTileWidth * kTileWidth, ty = by + k / kTileWidth * kTileHeight;
        if (tx < fine_width && ty < fine_height) add_tile(tx, ty, start[k]);
      }
    }
  }
  const float scale = 1.f / (supersample * supersample);
  for (size_t pixel = 0; pixel < (size_t)width * height; pixel++) {
    write_pixel(&sums[pixel * 3], scale, rgb + pixel * 3);
    const uint8_t* vote = &votes[pixel * kLabels];
    labels[pixel] = (uint8_t)(std::max_element(vote, vote + kLabels) - vote);
  }
}

// The clean plate: what is behind the presenter.
void visavis_presenter_background(int width, int height, uint8_t* rgb) {
  for (int ty = 0; ty < height; ty += kTileHeight) {
    for (int tx = 0; tx < width; tx += kTileWidth) {
      const Tile tile = tile_at(tx, ty, width, height, 1, 1);
      const Vec colour = background_at(tile.px, tile.py);
      const Lanes red = tone(colour.x), green = tone(colour.y), blue = tone(colour.z);
      for (int k = 0; k < kLanes; k++) {
        const int x = tx + k % kTileWidth, y = ty + k / kTileWidth;
        const float sum[3] = {red[k], green[k], blue[k]};
        if (x < width && y < height) write_pixel(sum, 1.f, rgb + ((size_t)y * width + x) * 3);
      }
    }
  }
}

// Points on the face, found by casting from the front along -z of the head frame onto the skin. out: n * 5 floats:
// picture x, y in pixels, and x, y, z in the head frame. Returns n. The order is that of LANDMARK_NAMES in presenter.py.
int visavis_presenter_landmarks(const float* parameters, int width, int height, float* out) {
  const Rig g = rig_from(parameters);
  Point q[64];
  int n = 0;
  const auto put = [&](float x, float y) { q[n++] = {x, y, 0.f}; };
  const auto put_mouth = [&](float x, float y) { put(x, y + kMouthTilt * x); };
  const MouthCurve centre = mouth_at(g, splat(0.f)), side = mouth_at(g, splat(0.5f * g.half_width));
  put_mouth(-g.half_width, g.corner_y);
  put_mouth(g.half_width, g.corner_y);
  put_mouth(0, centre.upper_y[0]);
  put_mouth(0, centre.lower_y[0]);
  put_mouth(0, centre.upper_y[0] + 1.5f * g.upper_radius);
  put_mouth(0, centre.lower_y[0] - 1.62f * g.lower_radius);
  for (float sign : {-1.f, 1.f}) {
    put_mouth(sign * 0.5f * g.half_width, side.upper_y[0] + 1.5f * side.upper_radius[0]);
    put_mouth(sign * 0.5f * g.half_width, side.lower_y[0] - 1.62f * side.lower_radius[0]);
  }
  for (float sign : {-1.f, 1.f}) {
    const int eye = sign > 0 ? 0 : 1;
    put(sign * (kEye.x - kEyeHalfWidth), kEye.y - 0.018f);
    put(sign * (kEye.x + kEyeHalfWidth), kEye.y + 0.018f);
    put(sign * kEye.x, kEye.y + g.lid_upper[eye]);
    put(sign * kEye.x, kEye.y - g.lid_lower[eye]);
    put(sign * kEye.x + kEyeRadius * sinf(g.gaze_x - sign * 0.035f) * cosf(g.gaze_y), kEye.y + kEyeRadius * sinf(g.gaze_y));
  }
  put(0, -0.18f);  // nose tip
  {                // chin, carried by the jaw
    const Point c = Point{0, -0.745f, 0.72f} - kJawHinge;
    put(0, c.y * g.jaw_cos - c.z * g.jaw_sin + kJawHinge.y);
  }
  for (float sign : {-1.f, 1.f}) {
    for (float v : {0.08f, 0.5f, 0.95f}) {
      const float x = 0.105f + 0.42f * v;
      put(sign * x, brow_at(g, splat(x), splat(sign) > 0.f).y[0]);
    }
  }
  put(-0.36f, -0.18f);  // cheeks
  put(0.36f, -0.18f);
  put(-0.62f, 0.15f);   // temples
  put(0.62f, 0.15f);
  put(0, 0.42f);        // forehead
  put(-0.11f, -0.21f);  // nose wings
  put(0.11f, -0.21f);
  put(-0.34f, -0.52f);  // jaw
  put(0.34f, -0.52f);
  put(0, 0.05f);        // nose bridge
  const LockList bald{};
  const float focal = 0.5f * height / kHalfHeight;
  for (int first = 0; first < n; first += kLanes) {
    Vec o = {};
    for (int k = 0; k < kLanes; k++) {
      const Point& p = q[std::min(first + k, n - 1)];
      o.x[k] = p.x;
      o.y[k] = p.y;
      o.z[k] = 1.4f;
    }
    for (int i = 0; i < 90; i++) {
      const HeadDistances d = head_distances(g, o, bald);
      const Lanes closest = minimum(minimum(d.skin, d.eye), minimum(d.teeth, d.tongue));
      o.z = maximum(o.z - clamp(closest * 0.8f, -0.05f, 0.3f), 0.f);
    }
    for (int k = 0; k < kLanes && first + k < n; k++) {
      const Point head = {o.x[k], o.y[k], o.z[k]};
      const Point w = with_head(g, head) + g.offset - kCamera;
      float* row = out + (first + k) * 5;
      row[0] = 0.5f * width + focal * w.x / -w.z;
      row[1] = 0.5f * height * (1.f + kCentreShift) - focal * w.y / -w.z;
      row[2] = head.x;
      row[3] = head.y;
      row[4] = head.z;
    }
  }
  return n;
}

// out: camera_from_head as 16 floats, row-major, OpenCV axes (x right, y down, z forward); then fx, fy, cx, cy in pixels.
void visavis_presenter_pose(const float* parameters, int width, int height, float* out) {
  const Rig g = rig_from(parameters);
  const Point t = kNeckPivot + g.offset - rotate(g.head, kNeckPivot) - kCamera;
  const float translation[3] = {t.x, t.y, t.z};
  for (int row = 0; row < 3; row++) {
    const float flip = row == 0 ? 1.f : -1.f;
    for (int column = 0; column < 3; column++) out[row * 4 + column] = flip * g.head.m[row][column];
    out[row * 4 + 3] = flip * translation[row];
    out[12 + row] = 0.f;
  }
  out[15] = 1.f;
  out[16] = out[17] = 0.5f * height / kHalfHeight;
  out[18] = 0.5f * width;
  out[19] = 0.5f * height * (1.f + kCentreShift);
}

// out: inner-lip gap over the mouth's width at rest, and the lid openings of the -x and the +x eye in head units.
void visavis_presenter_measures(const float* parameters, float* out) {
  const Rig g = rig_from(parameters);
  const Rig rest = make_rig(Parameters());
  out[0] = fmaxf(0.f, g.upper_y - g.lower_y) / (2.f * rest.half_width);
  out[1] = fmaxf(0.f, g.lid_upper[1] + g.lid_lower[1]);
  out[2] = fmaxf(0.f, g.lid_upper[0] + g.lid_lower[0]);
}

}  // extern "C"
