// AMX tiles 0...7, each 16 rows of 64 bytes. tests/renderer/emulated_tiles.inl has the same in plain C++.

struct alignas(64) TileShapes {
  uint8_t palette, start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

inline void begin_tiles() {
  TileShapes shapes = {};
  shapes.palette = 1;
  for (int i = 0; i < 8; i++) {
    shapes.row_bytes[i] = 64;
    shapes.rows[i] = 16;
  }
  _tile_loadconfig(&shapes);
}
inline void end_tiles() { _tile_release(); }

// Tile registers are named in the instruction: as assembly, since GCC's intrinsics are macros that paste the number's text and cannot
// take a template's.
// Macros, because GCC's intrinsics paste the tile's number into the instruction's text.
#define TILE_ZERO(tile) _tile_zero(tile)
#define TILE_LOAD(tile, from, stride_bytes) _tile_loadd(tile, from, stride_bytes)
#define TILE_STORE(tile, to, stride_bytes) _tile_stored(tile, to, stride_bytes)
// c[m][n] += a[m][2r] * b[r][2n] + a[m][2r + 1] * b[r][2n + 1] over 16 rows r of bfloat16 pairs.
#define TILE_MULTIPLY(c, a, b) _tile_dpbf16ps(c, a, b)
