#include "visible_tiles.h"

#include <algorithm>
#include <cmath>

namespace visavis {

namespace {
constexpr int kBrickCells = 8;
constexpr float kSlack = 1.01f;     // bricks are taken a little larger, so that rounding cannot lose a sample
constexpr float kLeastDepth = 0.05f;  // head units; nearer bricks may show anywhere
}  // namespace

Bricks::Bricks(const VisavisFieldParams& params) : step_(params.step_size) {
  const int resolution = params.occupancy_resolution, across = resolution / kBrickCells;
  const float edge = 2.0f * params.head_half_extent / (float)across;
  half_edge_ = 0.5f * edge * kSlack;
  for (int z = 0; z < across; z++)
    for (int y = 0; y < across; y++)
      for (int x = 0; x < across; x++) {
        bool occupied = false;
        for (int i = 0; i < kBrickCells * kBrickCells && !occupied; i++) {
          const size_t row = (size_t)(z * kBrickCells + i / kBrickCells) * (size_t)resolution + (size_t)(y * kBrickCells + i % kBrickCells);
          const uint8_t* cells = params.occupancy + row * (size_t)resolution + (size_t)(x * kBrickCells);
          occupied = std::any_of(cells, cells + kBrickCells, [](uint8_t cell) { return cell != 0; });
        }
        if (!occupied) continue;
        Brick brick{};
        const int place[3] = {x, y, z};
        for (int d = 0; d < 3; d++)
          brick.centre[d] = params.head_centre[d] - params.head_half_extent + ((float)place[d] + 0.5f) * edge;
        bricks_.push_back(brick);
      }
}

void Bricks::find_ranges(const VisavisFrame& frame, int tiles_across, int tiles_down, std::vector<TileRange>& ranges) const {
  ranges.assign((size_t)(tiles_across * tiles_down), TileRange{1 << 30, 0});
  const float radius = half_edge_ * std::sqrt(3.0f);
  // Half edges of a brick along the camera's axes.
  float reach[8][3];
  for (int corner = 0; corner < 8; corner++)
    for (int i = 0; i < 3; i++) {
      reach[corner][i] = 0.0f;
      for (int d = 0; d < 3; d++) reach[corner][i] += frame.rotation[3 * i + d] * (corner >> d & 1 ? half_edge_ : -half_edge_);
    }
  for (const Brick& brick : bricks_) {
    float centre[3];
    for (int i = 0; i < 3; i++)
      centre[i] = frame.translation[i] + frame.rotation[3 * i] * brick.centre[0] + frame.rotation[3 * i + 1] * brick.centre[1] +
                  frame.rotation[3 * i + 2] * brick.centre[2];
    const float distance = std::sqrt(centre[0] * centre[0] + centre[1] * centre[1] + centre[2] * centre[2]);
    const int first = std::max(0, (int)std::floor((distance - radius) / step_ - 0.5f));
    const int end = (int)std::ceil((distance + radius) / step_ - 0.5f) + 1;
    int left = 0, right = tiles_across - 1, top = 0, bottom = tiles_down - 1;
    if (centre[2] + radius < 0.0f) continue;
    if (centre[2] - radius > kLeastDepth) {
      float least[2] = {1e30f, 1e30f}, most[2] = {-1e30f, -1e30f};
      for (int corner = 0; corner < 8; corner++) {
        const float z = 1.0f / (centre[2] + reach[corner][2]);
        const float u = frame.fx * (centre[0] + reach[corner][0]) * z + frame.cx;
        const float v = frame.fy * (centre[1] + reach[corner][1]) * z + frame.cy;
        least[0] = std::min(least[0], u), most[0] = std::max(most[0], u);
        least[1] = std::min(least[1], v), most[1] = std::max(most[1], v);
      }
      if (most[0] < 0.0f || most[1] < 0.0f || least[0] > (float)frame.width || least[1] > (float)frame.height) continue;
      left = std::max(left, (int)(least[0] / kTileWidth));
      right = std::min(right, (int)(most[0] / kTileWidth));
      top = std::max(top, (int)(least[1] / kTileHeight));
      bottom = std::min(bottom, (int)(most[1] / kTileHeight));
    }
    for (int y = top; y <= bottom; y++)
      for (int x = left; x <= right; x++) {
        TileRange& range = ranges[(size_t)(y * tiles_across + x)];
        range.first = std::min(range.first, first);
        range.end = std::max(range.end, end);
      }
  }
}

}  // namespace visavis
