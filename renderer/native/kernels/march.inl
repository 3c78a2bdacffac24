// Rays of a block and their samples (renderer/field/rays.py): sample k stands at t = (k + 1/2) * step, occupied cells only.

inline uint64_t ticks() {
#if defined(__x86_64__) || defined(_M_X64)
  return __rdtsc();
#elif defined(__aarch64__)
  uint64_t t;
  asm volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#else
  return 0;
#endif
}

// Charges the time since the last call to a stage.
struct StageTimer {
  uint64_t* stage_ticks;
  uint64_t last;
  void charge(Stage stage) {
    const uint64_t now = ticks();
    stage_ticks[stage] += now - last;
    last = now;
  }
};

// Rows of the picture; pixel (x, first_row + y) is ray y * width + x.
struct Block {
  int first_row, n_rows, width;
};

constexpr int kWindow = 16;  // samples that are looked up together; each has a bit

inline Float lane_numbers(int first) {
  alignas(64) float numbers[kWidth];
  for (int i = 0; i < kWidth; i++) numbers[i] = (float)(first + i);
  return load(numbers);
}

// Look for occupied samples of a ray from next_k on, a window at a time; false at the ray's end.
inline bool next_window(const PackedField& field, const FrameJob& job, Scratch& s, int i) {
  const int resolution = field.occupancy_resolution, end = s.end_k[i];
  const Float to_cells = broadcast(0.5f / field.half_extent * (float)resolution);
  for (int k = s.next_k[i]; k < end; k += kWindow) {
    uint32_t bits = 0;
    for (int v = 0; v < kWindow; v += kWidth) {
      const Float t = (broadcast((float)k + 0.5f) + lane_numbers(v)) * broadcast(field.step);
      Int cell[3];
      for (int d = 0; d < 3; d++) {
        const Float x = broadcast(job.origin[d] - field.head_centre[d]) + t * broadcast(s.direction[d][i]);
        cell[d] = truncate(clamp(x * to_cells + broadcast(0.5f * (float)resolution), 0.0f, (float)(resolution - 1)));
      }
      const Int index = (cell[2] * resolution + cell[1]) * resolution + cell[0];
      const Uint words = gather_words(field.occupancy, index >> 5);
      const Uint shifted = words << (Uint)(31 - (cell[0] & 31));  // the cell's bit becomes the sign
      bits |= bitmask((Int)shifted < 0) << v;
    }
    if (end - k < kWindow) bits &= (1u << (end - k)) - 1u;
    if (bits) {
      s.window_k[i] = k;
      s.window_bits[i] = bits;
      s.next_k[i] = k + kWindow;
      return true;
    }
  }
  return false;
}

// Rays of the block that meet an occupied cell, with their first window; returns how many.
inline int begin_rays(const PackedField& field, const FrameJob& job, Scratch& s, const Block& block) {
  int n_rays = 0;
  const Float step = broadcast(1.0f / field.step), half = broadcast(0.5f);
  alignas(64) float direction[3][kTileWidth];
  alignas(64) int32_t first_k[kTileWidth], end_k[kTileWidth];
  for (int y = 0; y < block.n_rows; y++) {
    const float v = ((float)(block.first_row + y) + 0.5f - job.cy) / job.fy;
    const TileRange* ranges = job.tile_ranges + (block.first_row + y) / kTileHeight * job.tiles_across;
    for (int tile = 0; tile < job.tiles_across; tile++) {
      const TileRange range = ranges[tile];
      if (range.first >= range.end) continue;
      const int left = tile * kTileWidth, columns = block.width - left < kTileWidth ? block.width - left : kTileWidth;
      for (int x = 0; x < kTileWidth; x += kWidth) {
        const Float u = (lane_numbers(left + x) + broadcast(0.5f - job.cx)) / broadcast(job.fx);
        Float d[3];
        for (int j = 0; j < 3; j++) d[j] = u * broadcast(job.rotation[j]) + broadcast(v * job.rotation[3 + j] + job.rotation[6 + j]);
        const Float norm = square_root(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        Float near = broadcast(0.0f), far = broadcast(3e38f);
        for (int j = 0; j < 3; j++) {
          d[j] = d[j] / norm;
          store(direction[j] + x, d[j]);
          const Int tiny = maximum(d[j], -d[j]) < broadcast(1e-9f);
          const Float safe = select(tiny, broadcast(1e-9f), d[j]);
          const Float a = broadcast(field.head_centre[j] - field.half_extent - job.origin[j]) / safe;
          const Float b = broadcast(field.head_centre[j] + field.half_extent - job.origin[j]) / safe;
          near = maximum(near, minimum(a, b));
          far = minimum(far, maximum(a, b));
        }
        // First k with t >= near, and first k with t >= far.
        const Float last = broadcast((float)range.end);
        const Float from = maximum(minimum(near * step - half, last), broadcast((float)range.first));
        const Float to = maximum(minimum(far * step - half, last), broadcast(0.0f));
        Int from_k = truncate(from), to_k = truncate(to);
        from_k -= (Int)(to_float(from_k) < from);
        to_k -= (Int)(to_float(to_k) < to);
        store((float*)first_k + x, (Float)from_k);
        store((float*)end_k + x, (Float)to_k);
      }
      for (int x = 0; x < columns; x++) {
        if (first_k[x] >= end_k[x]) continue;
        for (int d = 0; d < 3; d++) s.direction[d][n_rays] = direction[d][x];
        s.next_k[n_rays] = first_k[x];
        s.end_k[n_rays] = end_k[x];
        s.ray[n_rays] = y * block.width + left + x;
        if (next_window(field, job, s, n_rays)) n_rays++;
      }
    }
  }
  return n_rays;
}

// Drop rays that are opaque or have no sample left; returns how many stay.
inline int compact_rays(const PackedField& field, Scratch& s, int n_rays) {
  int n = 0;
  for (int i = 0; i < n_rays; i++) {
    if (s.transmittance[s.ray[i]] <= field.threshold || !s.window_bits[i]) continue;
    if (n < i) {
      s.ray[n] = s.ray[i];
      for (int d = 0; d < 3; d++) s.direction[d][n] = s.direction[d][i];
      s.next_k[n] = s.next_k[i];
      s.end_k[n] = s.end_k[i];
      s.window_k[n] = s.window_k[i];
      s.window_bits[n] = s.window_bits[i];
    }
    n++;
  }
  return n;
}

inline Float squared_distance(const Region& region, const Float* x) {
  Float sum = broadcast(0.0f);
  for (int d = 0; d < 3; d++) {
    const Float r = (x[d] - broadcast(region.centre[d])) * broadcast(region.inverse_radii[d]);
    sum += r * r;
  }
  return sum;
}

// The samples of one batch. All samples of the audio region come first, layer by layer (a layer is the next sample of every ray), then
// the quiet ones in the same way; each layer is padded to whole blocks.
constexpr int kMaxDepth = 64;
struct Batch {
  int depth;
  int gated_end[kMaxDepth + 1];  // layer i of the audio region: gated_end[i] ... gated_end[i + 1]
  int quiet_end[kMaxDepth + 1];
};

inline int pad_samples(float* const* position, float* eye_gate, int32_t* ray, int n) {
  for (; n % kBlockSamples; n++) {
    for (int d = 0; d < 3; d++) position[d][n] = 0.5f;
    eye_gate[n] = 0.0f;
    ray[n] = kBlockRays;  // a slot behind the block whose transmittance is 0
  }
  return n;
}

// The next sample of each ray, appended to the batch.
inline void append_layer(const PackedField& field, const FrameJob& job, Scratch& s, Batch& batch, int n_rays) {
  const Float to_unit = broadcast(0.5f / field.half_extent), half = broadcast(0.5f);
  int n_gated = batch.gated_end[batch.depth], n_quiet = batch.quiet_end[batch.depth];
  for (int i = 0; i < n_rays; i += kWidth) {
    const int lanes = n_rays - i < kWidth ? n_rays - i : kWidth;
    const Int bits = (Int)load((const float*)s.window_bits + i);
    const Int lowest = bits & -bits;
    // The place of the lowest bit is the exponent of its value as a float.
    const Int place = (Int)(((Uint)to_float(lowest) >> 23) - 127u);
    const Float k = to_float((Int)load((const float*)s.window_k + i) + place);
    uint32_t valid = bitmask(bits != 0) & (uint32_t)((1ull << lanes) - 1);
    if (!valid) continue;
    const Float t = (k + half) * broadcast(field.step);
    Float x[3], unit[3];
    for (int d = 0; d < 3; d++) {
      x[d] = broadcast(job.origin[d]) + t * load(s.direction[d] + i);
      unit[d] = clamp((x[d] - broadcast(field.head_centre[d])) * to_unit + half, 0.0f, 1.0f);
    }
    const Float audio = squared_distance(field.audio_region, x);
    const Float eye = smooth_gate(squared_distance(field.eye_region, x), field.eye_region.inverse_softness);
    const Float ray = load((const float*)s.ray + i);
    const uint32_t gated = valid & bitmask(audio < broadcast(1.0f)), quiet = valid & ~gated;
    if (gated) {
      for (int d = 0; d < 3; d++) compress(s.position[d] + n_gated, gated, unit[d]);
      compress(s.eye_gate + n_gated, gated, eye);
      compress((float*)s.sample_ray + n_gated, gated, ray);
      compress(s.audio_gate + n_gated, gated, smooth_gate(audio, field.audio_region.inverse_softness));
      n_gated += __builtin_popcount(gated);
    }
    if (quiet) {
      for (int d = 0; d < 3; d++) compress(s.quiet_position[d] + n_quiet, quiet, unit[d]);
      compress(s.quiet_eye_gate + n_quiet, quiet, eye);
      compress((float*)s.quiet_ray + n_quiet, quiet, ray);
      n_quiet += __builtin_popcount(quiet);
    }
    const Int left = bits ^ lowest;
    store((float*)s.window_bits + i, (Float)left);
    uint32_t empty = valid & bitmask(left == 0);
    for (; empty; empty &= empty - 1) next_window(field, job, s, i + __builtin_ctz(empty));
  }
  const int real_gated = n_gated;
  n_gated = pad_samples(s.position, s.eye_gate, s.sample_ray, n_gated);
  for (int i = real_gated; i < n_gated; i++) s.audio_gate[i] = 0.0f;
  n_quiet = pad_samples(s.quiet_position, s.quiet_eye_gate, s.quiet_ray, n_quiet);
  batch.depth++;
  batch.gated_end[batch.depth] = n_gated;
  batch.quiet_end[batch.depth] = n_quiet;
}

// `depth` samples of each ray; returns their number, padding included.
inline int next_batch(const PackedField& field, const FrameJob& job, Scratch& s, Batch& batch, int n_rays, int depth) {
  batch.depth = 0;
  batch.gated_end[0] = batch.quiet_end[0] = 0;
  while (batch.depth < depth) append_layer(field, job, s, batch, n_rays);
  const int n_gated = batch.gated_end[depth], n_quiet = batch.quiet_end[depth];
  for (int d = 0; d < 3; d++) __builtin_memcpy(s.position[d] + n_gated, s.quiet_position[d], (size_t)n_quiet * sizeof(float));
  __builtin_memcpy(s.eye_gate + n_gated, s.quiet_eye_gate, (size_t)n_quiet * sizeof(float));
  __builtin_memcpy(s.sample_ray + n_gated, s.quiet_ray, (size_t)n_quiet * sizeof(int32_t));
  for (int i = 0; i <= depth; i++) batch.quiet_end[i] += n_gated;
  return n_gated + n_quiet;
}
