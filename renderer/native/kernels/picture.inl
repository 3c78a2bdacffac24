// A block from first ray to finished pixels.

// Put the block over the background and write it, rounded as renderer.images.quantise does.
inline void write_block(const FrameJob& job, const Scratch& s, const Block& block) {
  alignas(64) float line[3 * kBlockPx + kLanes];
  alignas(64) float rounded[3 * kBlockPx + kLanes];
  for (int y = 0; y < block.height; y++) {
    const size_t start = 3 * ((size_t)(block.y + y) * (size_t)job.width + (size_t)block.x);
    const float* background = job.background + start;
    const int first = y * kBlockPx;
    for (int x = 0; x < block.width; x++)
      for (int c = 0; c < 3; c++) line[3 * x + c] = s.colour[c][first + x] + s.transmittance[first + x] * background[3 * x + c];
    if (job.rgb_float) __builtin_memcpy(job.rgb_float + start, line, (size_t)(3 * block.width) * sizeof(float));
    if (!job.rgb) continue;
    for (int i = 0; i < 3 * block.width; i += kWidth)
      store(rounded + i, clamp(load(line + i), 0.0f, 1.0f) * broadcast(255.0f) + broadcast(0.5f));
    for (int i = 0; i < 3 * block.width; i++) job.rgb[start + (size_t)i] = (uint8_t)(int32_t)rounded[i];
  }
}

inline void render_block(const PackedField& field, const FrameJob& job, Scratch& s, int32_t block_x, int32_t block_y) {
  StageTimer timer{s.stage_ticks, ticks()};
  Block block{block_x, block_y, job.width - block_x, job.height - block_y};
  if (block.width > kBlockPx) block.width = kBlockPx;
  if (block.height > kBlockPx) block.height = kBlockPx;
  for (int i = 0; i < kBlockRays; i += kWidth) {
    store(s.transmittance + i, broadcast(1.0f));
    for (int c = 0; c < 3; c++) store(s.colour[c] + i, broadcast(0.0f));
  }
  begin_tiles();
  render_head(field, job, s, block, timer);
  timer.charge(kComposite);
  render_torso(field, job, s, block);
  timer.charge(kTorso);
  end_tiles();
  write_block(job, s, block);
  timer.charge(kComposite);
}
