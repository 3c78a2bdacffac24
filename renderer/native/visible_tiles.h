// Where on the screen, and how deep, occupied space lies: a conservative marching range for each tile of rays.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel.h"

namespace visavis {

// Occupied space as bricks of 8 x 8 x 8 cells.
class Bricks {
 public:
  Bricks(const VisavisFieldParams& params);

  // Fill `ranges` (row by row, `tiles_across` a row) for the camera of `frame`. No occupied sample lies outside of them.
  void find_ranges(const VisavisFrame& frame, int tiles_across, int tiles_down, std::vector<TileRange>& ranges) const;

 private:
  struct Brick {
    float centre[3];  // head frame
  };
  float half_edge_;
  float step_;
  std::vector<Brick> bricks_;
};

}  // namespace visavis
