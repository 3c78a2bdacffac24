// What renderer/native/kernels/tiles_amx.inl defines, in plain C++, after Intel's description of TILELOADD and TDPBF16PS.

struct EmulatedTile {
  uint8_t bytes[16][64];
};

inline EmulatedTile* emulated_tiles() {
  static thread_local EmulatedTile tiles[8];
  return tiles;
}

inline void begin_tiles() {}
inline void end_tiles() {}

inline void emulated_load(int tile, const void* from, int stride_bytes) {
  for (int r = 0; r < 16; r++) __builtin_memcpy(emulated_tiles()[tile].bytes[r], (const char*)from + r * stride_bytes, 64);
}
inline void emulated_store(int tile, void* to, int stride_bytes) {
  for (int r = 0; r < 16; r++) __builtin_memcpy((char*)to + r * stride_bytes, emulated_tiles()[tile].bytes[r], 64);
}
inline float emulated_bf16(const EmulatedTile& tile, int row, int column) {
  uint16_t half;
  __builtin_memcpy(&half, tile.bytes[row] + 2 * column, sizeof half);
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
inline void emulated_multiply(int c, int a, int b) {
  EmulatedTile* tiles = emulated_tiles();
  for (int m = 0; m < 16; m++)
    for (int n = 0; n < 16; n++) {
      float sum;
      __builtin_memcpy(&sum, tiles[c].bytes[m] + 4 * n, sizeof sum);
      for (int r = 0; r < 16; r++) {
        sum += emulated_bf16(tiles[a], m, 2 * r) * emulated_bf16(tiles[b], r, 2 * n);
        sum += emulated_bf16(tiles[a], m, 2 * r + 1) * emulated_bf16(tiles[b], r, 2 * n + 1);
      }
      __builtin_memcpy(tiles[c].bytes[m] + 4 * n, &sum, sizeof sum);
    }
}

#define TILE_ZERO(tile) __builtin_memset(emulated_tiles() + (tile), 0, sizeof(EmulatedTile))
#define TILE_LOAD(tile, from, stride_bytes) emulated_load(tile, from, stride_bytes)
#define TILE_STORE(tile, to, stride_bytes) emulated_store(tile, to, stride_bytes)
#define TILE_MULTIPLY(c, a, b) emulated_multiply(c, a, b)
