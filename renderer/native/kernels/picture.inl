// A block from first ray to finished pixels.

// Put the block over the background and write it, rounded as renderer.images.quantise does.
inline void write_block(const FrameJob& job, const Scratch& s, const Block& block) {
  constexpr int kRun = 64;  // pixels at a time
  alignas(64) float line[3 * kRun + kLanes], rounded[3 * kRun + kLanes];
  const int n_pixels = block.n_rows * block.width;
  for (int first = 0; first < n_pixels; first += kRun) {
    const int n = n_pixels - first < kRun ? n_pixels - first : kRun;
    const size_t start = 3 * ((size_t)block.first_row * (size_t)block.width + (size_t)first);
    const float* background = job.background + start;
    for (int i = 0; i < n; i++)
      for (int c = 0; c < 3; c++) line[3 * i + c] = s.colour[c][first + i] + s.transmittance[first + i] * background[3 * i + c];
    if (job.rgb_float) __builtin_memcpy(job.rgb_float + start, line, (size_t)(3 * n) * sizeof(float));
    if (!job.rgb) continue;
    for (int i = 0; i < 3 * n; i += kWidth)
      store(rounded + i, clamp(load(line + i), 0.0f, 1.0f) * broadcast(255.0f) + broadcast(0.5f));
    for (int i = 0; i < 3 * n; i++) job.rgb[start + (size_t)i] = (uint8_t)(int32_t)rounded[i];
  }
}

inline void render_block(const PackedField& field, const FrameJob& job, Scratch& s, int32_t first_row, int32_t n_rows) {
  StageTimer timer{s.stage_ticks, ticks()};
  const Block block{first_row, n_rows, job.width};
  for (int i = 0; i < n_rows * job.width; i += kWidth) {
    store(s.transmittance + i, broadcast(1.0f));
    for (int c = 0; c < 3; c++) store(s.colour[c] + i, broadcast(0.0f));
  }
  s.transmittance[kBlockRays] = 0.0f;
  begin_tiles();
  render_head(field, job, s, block, timer);
  render_torso(field, job, s, block);
  timer.charge(kTorso);
  end_tiles();
  write_block(job, s, block);
  timer.charge(kComposite);
}
