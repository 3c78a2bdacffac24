// The refiner's convolutions by AMX tiles: 16 places x 32 channels times 32 channels x 16 outputs. Rows of fewer than 16 places go the
// way of convolve_avx512_bf16.inl, which this file follows.

constexpr int kTilePlaces = 16;

struct alignas(64) ConvolutionSums {
  float at[2][kTilePlaces][kLanes];
};

// Sixteen outputs of the sixteen places from `column` on and of those from `other` on.
inline void convolve_tiles(const Convolution& c, int row, int column, int other, int chunk) {
  const size_t across = (size_t)c.width + 2, plane = across * ((size_t)c.height + 2) * kConvolveChannels;
  constexpr int kPlaceBytes = kConvolveChannels * (int)sizeof(uint16_t);
  const uint32_t* w = (const uint32_t*)c.weights + (size_t)chunk * 9 * (size_t)(c.n_in / 2) * kLanes;
  ConvolutionSums sums;
  TILE_ZERO(0);
  TILE_ZERO(1);
  for (int tap = 0; tap < 9; tap++) {
    const uint16_t* a = (const uint16_t*)c.in + ((size_t)(row + tap / 3) * across + (size_t)(column + tap % 3)) * kConvolveChannels;
    const uint16_t* b = a + (size_t)(other - column) * kConvolveChannels;
    for (int first = 0; first < c.n_in; first += kConvolveChannels, a += plane, b += plane, w += kConvolveChannels / 2 * kLanes) {
      TILE_LOAD(4, w, 64);
      TILE_LOAD(5, a, kPlaceBytes);
      TILE_MULTIPLY(0, 5, 4);
      TILE_LOAD(6, b, kPlaceBytes);
      TILE_MULTIPLY(1, 6, 4);
    }
  }
  TILE_STORE(0, sums.at[0], 64);
  TILE_STORE(1, sums.at[1], 64);
  for (int half = 0; half < 2; half++) {
    const int start = half ? other : column;
    const size_t inside = channels_of(c, row, start, chunk), place = (size_t)row * (size_t)c.width + (size_t)start;
    for (int p = 0; p < kTilePlaces; p++)
      finish_place(c, _mm512_load_ps(sums.at[half][p]), inside + (size_t)p * kConvolveChannels, place + (size_t)p, chunk);
  }
}

inline void convolve(const Convolution& c, int32_t first_row, int32_t n_rows) {
  begin_tiles();
  for (int row = first_row; row < first_row + n_rows; row++) {
    if (c.width < kTilePlaces) {
      convolve_row(c, row);
      continue;
    }
    const int last = c.width - kTilePlaces;
    for (int column = 0; column < c.width; column += 2 * kTilePlaces) {
      const int one = column < last ? column : last, other = column + kTilePlaces < last ? column + kTilePlaces : last;
      for (int chunk = 0; chunk < c.n_out / kLanes; chunk++) convolve_tiles(c, row, one, other, chunk);
    }
  }
  end_tiles();
}
