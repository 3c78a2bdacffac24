// The functions of renderer/native/kernels/tiles_amx.inl in plain C++, after Intel's description of TILELOADD and TDPBF16PS.

struct EmulatedTile {
  uint8_t bytes[16][64];
};

inline EmulatedTile* emulated_tiles() {
  static thread_local EmulatedTile tiles[8];
  return tiles;
}

inline void begin_tiles() {}
inline void end_tiles() {}

template <int TILE>
inline void tile_zero() {
  __builtin_memset(emulated_tiles() + TILE, 0, sizeof(EmulatedTile));
}
template <int TILE>
inline void tile_load(const void* from, int stride_bytes) {
  for (int r = 0; r < 16; r++) __builtin_memcpy(emulated_tiles()[TILE].bytes[r], (const char*)from + r * stride_bytes, 64);
}
template <int TILE>
inline void tile_store(void* to, int stride_bytes) {
  for (int r = 0; r < 16; r++) __builtin_memcpy((char*)to + r * stride_bytes, emulated_tiles()[TILE].bytes[r], 64);
}
inline float emulated_bf16(const EmulatedTile& tile, int row, int column) {
  uint16_t half;
  __builtin_memcpy(&half, tile.bytes[row] + 2 * column, sizeof half);
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
template <int C, int A, int B>
inline void tile_multiply() {
  EmulatedTile* tiles = emulated_tiles();
  for (int m = 0; m < 16; m++)
    for (int n = 0; n < 16; n++) {
      float sum;
      __builtin_memcpy(&sum, tiles[C].bytes[m] + 4 * n, sizeof sum);
      for (int r = 0; r < 16; r++) {
        sum += emulated_bf16(tiles[A], m, 2 * r) * emulated_bf16(tiles[B], r, 2 * n);
        sum += emulated_bf16(tiles[A], m, 2 * r + 1) * emulated_bf16(tiles[B], r, 2 * n + 1);
      }
      __builtin_memcpy(tiles[C].bytes[m] + 4 * n, &sum, sizeof sum);
    }
}
