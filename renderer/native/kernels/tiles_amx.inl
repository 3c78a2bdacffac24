// AMX tiles 0...7, each 16 rows of 64 bytes. tests/renderer/emulated_tiles.inl has the same functions in plain C++.

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

template <int TILE>
inline void tile_zero() {
  _tile_zero(TILE);
}
template <int TILE>
inline void tile_load(const void* from, int stride_bytes) {
  _tile_loadd(TILE, from, stride_bytes);
}
template <int TILE>
inline void tile_store(void* to, int stride_bytes) {
  _tile_stored(TILE, to, stride_bytes);
}
// C[m][n] += A[m][2r] * B[r][2n] + A[m][2r + 1] * B[r][2n + 1] over 16 rows r of bfloat16 pairs.
template <int C, int A, int B>
inline void tile_multiply() {
  _tile_dpbf16ps(C, A, B);
}
