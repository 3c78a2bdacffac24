// The multiresolution hash grid (renderer/field/hash_grid.py), level by level, so that one level's table stays in the cache.

constexpr uint32_t kPrimeY = 2654435761u, kPrimeZ = 805459861u;

inline Uint repeat(uint32_t x) { return (Uint)(Int)broadcast(0.0f) + x; }

// Brings the table of the level that comes next into the cache piece by piece: its rows are then read at random, and one miss after the
// other costs several times what the interpolation does. Worth it when the samples touch most of the table.
struct NextTable {
  const char* at;
  const char* end;
  int lines_a_vector;

  NextTable(const Grid& grid, int level, int n) {
    constexpr int kTouchedLines = 4;  // by a sample, a little less
    const Level& next = grid.levels[level];
    const size_t bytes = (size_t)next.n_rows * kRowBytes;
    at = (const char*)next.rows;
    end = at + bytes;
    const size_t lines = bytes / 64, vectors = (size_t)n / kWidth;
    lines_a_vector = lines < (size_t)n * kTouchedLines && vectors ? (int)((lines + vectors - 1) / vectors) : 0;
  }
  void fetch_some() {
    for (int i = 0; i < lines_a_vector && at < end; i++, at += 64) __builtin_prefetch(at, 0, 2);
  }
};

// Features of `n` samples at `position` (one array an axis, 0...1); group i / 16 of `out` lies at out + i / 16 * act_rows(kFeatures) * 16.
template <int DIMS>
inline void encode(const Grid& grid, const float* const* position, int n, Act* out) {
  constexpr int kGroupSize = act_rows(kFeatures) * kLanes;
  for (int l = 0; l < grid.n_levels; l++) {
    const Level& level = grid.levels[l];
    NextTable next_table(grid, l + 1 < grid.n_levels ? l + 1 : 0, n);
    const Float scale = broadcast(level.scale);
    const uint32_t resolution = (uint32_t)level.resolution;
    for (int i = 0; i < n; i += kWidth) {
      Uint cell[DIMS];
      Weight weight[DIMS];
      for (int d = 0; d < DIMS; d++) {
        const Float p = load(position[d] + i) * scale;
        const Int whole = truncate(p);
        cell[d] = (Uint)whole;
        weight[d] = spread(p - to_float(whole));
      }
      Uint row[1 << DIMS];
      if (level.hashed) {
        const Uint x0 = cell[0], x1 = cell[0] + 1u;
        const Uint y0 = cell[1] * kPrimeY, y1 = y0 + kPrimeY;
        if (DIMS == 2) {
          row[0] = x0 ^ y0, row[1] = x1 ^ y0, row[2] = x0 ^ y1, row[3] = x1 ^ y1;
        } else {
          const Uint z0 = cell[DIMS - 1] * kPrimeZ, z1 = z0 + kPrimeZ;
          const Uint a = y0 ^ z0, b = y1 ^ z0, c = y0 ^ z1, d = y1 ^ z1;
          row[0] = x0 ^ a, row[1] = x1 ^ a, row[2] = x0 ^ b, row[3] = x1 ^ b;
          row[(1 << DIMS) - 4] = x0 ^ c, row[(1 << DIMS) - 3] = x1 ^ c, row[(1 << DIMS) - 2] = x0 ^ d, row[(1 << DIMS) - 1] = x1 ^ d;
        }
        for (int c = 0; c < 1 << DIMS; c++) row[c] &= level.n_rows - 1u;
      } else {
        Uint base = cell[DIMS - 1];
        for (int d = DIMS - 2; d >= 0; d--) base = cell[d] + resolution * base;
        for (int c = 0; c < 1 << DIMS; c++)
          row[c] = base + ((c & 1) + (c & 2 ? resolution : 0u) + (c & 4 ? resolution * resolution : 0u));
      }
      next_table.fetch_some();
      Pair value[1 << DIMS];
#pragma GCC unroll 8
      for (int c = 0; c < 1 << DIMS; c++) value[c] = gather_pair(level.rows, row[c]);
#pragma GCC unroll 3
      for (int d = 0; d < DIMS; d++)
#pragma GCC unroll 4
        for (int c = 0; c < 1 << (DIMS - 1 - d); c++) value[c] = interpolate(value[2 * c], value[2 * c + 1], weight[d]);
      store_features(out + i / kLanes * kGroupSize, l, i % kLanes, value[0]);
    }
  }
}
