// A row of a 3 x 3 convolution in blocks of places; the including file has defined convolve_places<P> and kConvolvePlaces.

// P counts down to the block's size, which is a multiple of kConvolveStep, or of 1 in rows that are narrower.
template <int P>
inline void convolve_block(const Convolution& c, int row, int column, int n) {
  if constexpr (P > kConvolveStep) {
    if (n < P) return convolve_block<P - kConvolveStep>(c, row, column, n);
  } else if constexpr (P > 1) {
    if (n < P) return convolve_block<P - 1>(c, row, column, n);
  }
  for (int chunk = 0; chunk < c.n_out / kLanes; chunk++) convolve_places<P>(c, row, column, chunk);
}

// Blocks of equal size; the last one reaches back into the one before, which costs a little time and changes nothing.
inline void convolve_row(const Convolution& c, int row) {
  const int n_blocks = (c.width + kConvolvePlaces - 1) / kConvolvePlaces;
  int n = (c.width + n_blocks - 1) / n_blocks;
  const int rounded = (n + kConvolveStep - 1) / kConvolveStep * kConvolveStep;
  if (rounded <= c.width) n = rounded;
  else if (n > kConvolveStep) n = n / kConvolveStep * kConvolveStep;
  for (int column = 0; column < c.width; column += n)
    convolve_block<kConvolvePlaces>(c, row, column + n <= c.width ? column : c.width - n, n);
}
