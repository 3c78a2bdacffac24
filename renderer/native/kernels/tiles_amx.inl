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

// Tile registers are named in the instruction: as assembly, since GCC's intrinsics are macros that paste the number's text and cannot
// take a template's.
template <int TILE>
inline void tile_zero() {
  asm volatile("tilezero\t%%tmm%c0" ::"i"(TILE));
}
template <int TILE>
inline void tile_load(const void* from, long stride_bytes) {
  asm volatile("tileloadd\t(%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride_bytes), "i"(TILE) : "memory");
}
template <int TILE>
inline void tile_store(void* to, long stride_bytes) {
  asm volatile("tilestored\t%%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride_bytes), "i"(TILE) : "memory");
}
// C[m][n] += A[m][2r] * B[r][2n] + A[m][2r + 1] * B[r][2n + 1] over 16 rows r of bfloat16 pairs.
template <int C, int A, int B>
inline void tile_multiply() {
  asm volatile("tdpbf16ps\t%%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
