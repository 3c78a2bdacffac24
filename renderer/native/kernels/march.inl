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

struct Block {
  int x, y, width, height;
};

inline Float lane_numbers() {
  alignas(64) float numbers[kLanes];
  for (int i = 0; i < kLanes; i++) numbers[i] = (float)i;
  return load(numbers);
}

inline Float at(const FrameJob& job, int axis, Float t, float direction) {
  return broadcast(job.origin[axis]) + t * broadcast(direction);
}

// Look for occupied samples of a ray from next_k on, kWidth at a time; false at the ray's end.
inline bool next_window(const PackedField& field, const FrameJob& job, Scratch& s, int ray) {
  const int resolution = field.occupancy_resolution;
  const Float cells = broadcast((float)resolution), to_unit = broadcast(0.5f / field.half_extent);
  const int end = s.end_k[ray];
  for (int k = s.next_k[ray]; k < end; k += kWidth) {
    const Float t = (broadcast((float)k + 0.5f) + lane_numbers()) * broadcast(field.step);
    Int cell[3];
    for (int d = 0; d < 3; d++) {
      const Float unit = (at(job, d, t, s.direction[d][ray]) - broadcast(field.head_centre[d])) * to_unit + broadcast(0.5f);
      cell[d] = truncate(clamp(unit * cells, 0.0f, (float)(resolution - 1)));
    }
    const Int index = (cell[2] * resolution + cell[1]) * resolution + cell[0];
    const Uint words = gather_words(field.occupancy, index >> 5);
    const Uint shifted = words << (Uint)(31 - (cell[0] & 31));
    uint32_t bits = bitmask((Int)shifted < 0);
    if (end - k < kWidth) bits &= (1u << (end - k)) - 1u;
    if (bits) {
      s.window_k[ray] = k;
      s.window_bits[ray] = bits;
      s.next_k[ray] = k + kWidth;
      return true;
    }
  }
  return false;
}

// Directions and marching ranges of the rays of a block that can meet the head; returns how many have a first window.
inline int begin_rays(const PackedField& field, const FrameJob& job, Scratch& s, const Block& block) {
  int n_alive = 0;
  const Float step = broadcast(1.0f / field.step), half = broadcast(0.5f);
  for (int ty = 0; ty < block.height; ty += kTileHeight) {
    for (int tx = 0; tx < block.width; tx += kTileWidth) {
      const TileRange range = job.tile_ranges[(block.y + ty) / kTileHeight * job.tiles_across + (block.x + tx) / kTileWidth];
      if (range.first >= range.end) continue;
      const int columns = block.width - tx < kTileWidth ? block.width - tx : kTileWidth;
      const int rows = block.height - ty < kTileHeight ? block.height - ty : kTileHeight;
      for (int row = 0; row < rows; row++) {
        const int first_ray = (ty + row) * kBlockPx + tx;
        const float v = ((float)(block.y + ty + row) + 0.5f - job.cy) / job.fy;
        for (int x = 0; x < kTileWidth; x += kWidth) {
          const Float u = (lane_numbers() + broadcast((float)(block.x + tx + x) + 0.5f - job.cx)) / broadcast(job.fx);
          Float d[3];
          for (int j = 0; j < 3; j++)
            d[j] = u * broadcast(job.rotation[j]) + broadcast(v * job.rotation[3 + j] + job.rotation[6 + j]);
          const Float norm = square_root(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
          Float near = broadcast(0.0f), far = broadcast(3e38f);
          for (int j = 0; j < 3; j++) {
            d[j] = d[j] / norm;
            store(s.direction[j] + first_ray + x, d[j]);
            const Int tiny = maximum(d[j], -d[j]) < broadcast(1e-9f);
            const Float safe = select(tiny, broadcast(1e-9f), d[j]);
            const Float a = broadcast(field.head_centre[j] - field.half_extent - job.origin[j]) / safe;
            const Float b = broadcast(field.head_centre[j] + field.half_extent - job.origin[j]) / safe;
            near = maximum(near, minimum(a, b));
            far = minimum(far, maximum(a, b));
          }
          // First k with t >= near, and first k with t >= far.
          const Float last = broadcast((float)(range.end + 1));
          const Float from = maximum(minimum(near * step - half, last), broadcast((float)range.first));
          const Float to = maximum(minimum(far * step - half, last), broadcast(0.0f));
          Int from_k = truncate(from), to_k = truncate(to);
          from_k -= (Int)(to_float(from_k) < from);
          to_k -= (Int)(to_float(to_k) < to);
          store((float*)s.next_k + first_ray + x, (Float)from_k);
          store((float*)s.end_k + first_ray + x, (Float)to_k);
        }
        for (int x = 0; x < columns; x++) {
          const int ray = first_ray + x;
          if (s.end_k[ray] > range.end) s.end_k[ray] = range.end;
          if (next_window(field, job, s, ray)) s.alive[n_alive++] = ray;
        }
      }
    }
  }
  return n_alive;
}

inline float squared_distance(const Region& region, const float* x) {
  float sum = 0.0f;
  for (int d = 0; d < 3; d++) {
    const float r = (x[d] - region.centre[d]) * region.inverse_radii[d];
    sum += r * r;
  }
  return sum;
}

struct PassSamples {
  int n;         // samples, padding not counted
  int n_gated;   // the first of them lie in the audio region
};

// One sample of each ray that is not finished: those in the audio region first, then the quiet ones, then padding.
inline PassSamples next_samples(const PackedField& field, const FrameJob& job, Scratch& s, int n_alive) {
  const float to_unit = 0.5f / field.half_extent;
  int n_gated = 0, n_quiet = 0;
  for (int i = 0; i < n_alive; i++) {
    const int ray = s.alive[i];
    if (s.transmittance[ray] <= field.threshold) continue;
    if (!s.window_bits[ray] && !next_window(field, job, s, ray)) continue;
    const int k = s.window_k[ray] + __builtin_ctz(s.window_bits[ray]);
    s.window_bits[ray] &= s.window_bits[ray] - 1;
    const float t = ((float)k + 0.5f) * field.step;
    float x[3];
    for (int d = 0; d < 3; d++) x[d] = job.origin[d] + t * s.direction[d][ray];
    const float audio = squared_distance(field.audio_region, x), eye = squared_distance(field.eye_region, x);
    const bool gated = audio < 1.0f;
    const int at = gated ? n_gated++ : n_quiet++;
    float* const* position = gated ? s.position : s.quiet_position;
    for (int d = 0; d < 3; d++) {
      const float unit = (x[d] - field.head_centre[d]) * to_unit + 0.5f;
      position[d][at] = unit < 0.0f ? 0.0f : unit > 1.0f ? 1.0f : unit;
    }
    (gated ? s.eye_gate : s.quiet_eye_gate)[at] = eye;
    (gated ? s.ray : s.quiet_ray)[at] = ray;
    if (gated) s.audio_gate[at] = audio;
  }
  const int n = n_gated + n_quiet;
  for (int d = 0; d < 3; d++) __builtin_memcpy(s.position[d] + n_gated, s.quiet_position[d], (size_t)n_quiet * sizeof(float));
  __builtin_memcpy(s.eye_gate + n_gated, s.quiet_eye_gate, (size_t)n_quiet * sizeof(float));
  __builtin_memcpy(s.ray + n_gated, s.quiet_ray, (size_t)n_quiet * sizeof(int32_t));
  const int padded = (n + kBlockSamples - 1) / kBlockSamples * kBlockSamples;
  for (int i = n; i < padded; i++) {
    for (int d = 0; d < 3; d++) s.position[d][i] = 0.5f;
    s.eye_gate[i] = 1.0f;
    s.ray[i] = kBlockRays;  // a slot behind the block whose transmittance is 0
  }
  const int gated_padded = (n_gated + kBlockSamples - 1) / kBlockSamples * kBlockSamples;
  for (int i = n_gated; i < gated_padded; i++) s.audio_gate[i] = 1.0f;
  for (int i = 0; i < gated_padded; i += kWidth)
    store(s.audio_gate + i, smooth_gate(load(s.audio_gate + i), field.audio_region.inverse_softness));
  for (int i = 0; i < padded; i += kWidth)
    store(s.eye_gate + i, smooth_gate(load(s.eye_gate + i), field.eye_region.inverse_softness));
  return {n, n_gated};
}
