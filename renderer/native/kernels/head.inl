// The head (renderer/field/torch_field.py, `head`): passes of one sample a ray, front to back, until every ray is opaque or finished.

constexpr float kLeastWeight = 5e-5f;  // samples that weigh less are not coloured: an error of at most max_samples times this
constexpr int kLeastBatch = 1 << 11;    // samples that a sweep over the grid's tables is worth
constexpr int kQueueLanes = kBlockSamples + kLanes;
constexpr float kLeastLogDensity = -15.0f, kMostLogDensity = 12.0f;  // torch_field.LOG_DENSITY_RANGE

// Samples that wait for their colour until a block of them is full. Act and float have the same size.
struct ColourQueue {
  alignas(64) Act hidden[act_rows(kHidden)][kQueueLanes];
  float weight[kQueueLanes];
  int32_t ray[kQueueLanes];
  int count;
};

inline void colour_block(const PackedField& field, const FrameJob& job, Scratch& s, ColourQueue& queue) {
  constexpr int kGroupSize = act_rows(kHidden) * kLanes;
  alignas(64) Act hidden[kBlockGroups * kGroupSize];
  alignas(64) float logits[3][kLanes];
  dense_relu<kHidden, kHidden, 0, kHidden, kQueueLanes>(field.colour0, job.colour_bias, nullptr, nullptr, queue.hidden[0], kLanes, nullptr,
                                                        0, hidden);
  for (int g = 0; g < kBlockGroups; g++) {
    narrow<3, kHidden>(field.colour1, hidden + g * kGroupSize, logits);
    const float* weight = queue.weight + g * kLanes;
    const int32_t* ray = queue.ray + g * kLanes;
    for (int c = 0; c < 3; c++) {
      for (int v = 0; v < kLanes; v += kWidth) store(logits[c] + v, sigmoid(load(logits[c] + v)) * load(weight + v));
      for (int i = 0; i < kLanes; i++) s.colour[c][ray[i]] += logits[c][i];
    }
  }
}

// Colour a whole block and move what is behind it to the front.
inline void flush_block(const PackedField& field, const FrameJob& job, Scratch& s, ColourQueue& queue) {
  colour_block(field, job, s, queue);
  queue.count -= kBlockSamples;
  for (int r = 0; r < act_rows(kHidden); r++)
    __builtin_memcpy(queue.hidden[r], queue.hidden[r] + kBlockSamples, kLanes * sizeof(Act));
  __builtin_memcpy(queue.weight, queue.weight + kBlockSamples, kLanes * sizeof(float));
  __builtin_memcpy(queue.ray, queue.ray + kBlockSamples, kLanes * sizeof(int32_t));
}

inline void flush_rest(const PackedField& field, const FrameJob& job, Scratch& s, ColourQueue& queue) {
  if (!queue.count) return;
  for (int i = queue.count; i < kBlockSamples; i++) {
    queue.weight[i] = 0.0f;
    queue.ray[i] = kBlockRays;
  }
  colour_block(field, job, s, queue);
  queue.count = 0;
}

// Take the samples of a group whose bit is set into the queue.
inline void enqueue(const PackedField& field, const FrameJob& job, Scratch& s, ColourQueue& queue, uint32_t bits, const Act* hidden,
                    const float* weight, const int32_t* ray) {
  for (int v = 0; v < kLanes; v += kWidth) {
    const uint32_t chosen = bits >> v & ((1u << kWidth) - 1u);
    if (!chosen) continue;
    for (int r = 0; r < act_rows(kHidden); r++)
      compress((float*)queue.hidden[r] + queue.count, chosen, load((const float*)hidden + r * kLanes + v));
    compress(queue.weight + queue.count, chosen, load(weight + v));
    compress((float*)queue.ray + queue.count, chosen, load((const float*)ray + v));
    queue.count += __builtin_popcount(chosen);
    if (queue.count >= kBlockSamples) flush_block(field, job, s, queue);
  }
}

inline void ambient_blocks(const PackedField& field, const FrameJob& job, Scratch& s, int n) {
  constexpr int kInput = act_rows(kFeatures) * kLanes, kGroupSize = act_rows(kHidden) * kLanes;
  alignas(64) Act first[kBlockGroups * kGroupSize], second[kBlockGroups * kGroupSize];
  alignas(64) float x_a[2][kLanes];
  const float* zeros = job.zeros;
  for (int i = 0; i < n; i += kBlockSamples) {
    const Act* in = (const Act*)s.features + i / kLanes * kInput;
    dense_relu<kHidden, kFeatures, 0, kFeatures>(field.ambient0, job.ambient_bias, nullptr, nullptr, in, kInput, nullptr, 0, first);
    dense_relu<kHidden, kHidden, 0, kHidden>(field.ambient1, zeros, nullptr, nullptr, first, kGroupSize, nullptr, 0, second);
    for (int g = 0; g < kBlockGroups; g++) {
      narrow<2, kHidden>(field.ambient2, second + g * kGroupSize, x_a);
      for (int v = 0; v < kLanes; v += kWidth) {
        const int at = i + g * kLanes + v;
        const Float gate = load(s.audio_gate + at) * broadcast(0.5f);
        for (int d = 0; d < 2; d++) store(s.ambient[d] + at, hyperbolic_tangent(load(x_a[d] + v)) * gate + broadcast(0.5f));
      }
    }
  }
}

// Turn the opacities of a group into weights and darken its rays; returns which lanes weigh enough to be coloured.
inline uint32_t composite_group(Scratch& s, const int32_t* ray, float threshold, float* alpha) {
  uint32_t visible = 0;
  for (int i = 0; i < kLanes; i++) {
    const float through = s.transmittance[ray[i]];
    alpha[i] = through > threshold ? alpha[i] * through : 0.0f;  // an opaque ray has ended, though its batch has not
    s.transmittance[ray[i]] = through - alpha[i];
    visible |= (uint32_t)(alpha[i] >= kLeastWeight) << i;
  }
  return visible;
}

// Density, compositing and colour of samples first <= i < end; GATED ones have features of the audio grid.
template <bool GATED>
inline void density_blocks(const PackedField& field, const FrameJob& job, Scratch& s, ColourQueue& queue, int first, int end,
                           StageTimer& timer) {
  constexpr int kInput = act_rows(kFeatures) * kLanes, kGroupSize = act_rows(kHidden) * kLanes;
  alignas(64) Act hidden[kBlockGroups * kGroupSize], last[kBlockGroups * kGroupSize];
  alignas(64) float alpha[kBlockGroups][kLanes];
  for (int i = first; i < end; i += kBlockSamples) {
    const Act* in = (const Act*)s.features + i / kLanes * kInput;
    const Act* audio = (const Act*)s.audio_features + i / kLanes * kInput;
    Float eye = load(s.eye_gate + i);
    for (int v = kWidth; v < kBlockSamples; v += kWidth) eye = maximum(eye, load(s.eye_gate + i + v));
    const float* gate = bitmask(eye > broadcast(0.0f)) ? s.eye_gate + i : nullptr;
    if (GATED)
      dense_relu<kHidden, kFeatures, kFeatures, 2 * kFeatures>(field.density0, job.density_bias, job.eye_bias, gate, in, kInput, audio,
                                                               kInput, hidden);
    else
      dense_relu<kHidden, kFeatures, 0, 2 * kFeatures>(field.density0, job.quiet_density_bias, job.eye_bias, gate, in, kInput, nullptr, 0,
                                                       hidden);
    dense_relu<kHidden, kHidden, 0, kHidden>(field.density1, job.zeros, nullptr, nullptr, hidden, kGroupSize, nullptr, 0, last);
    for (int g = 0; g < kBlockGroups; g++) {
      narrow<1, kHidden>(field.density2, last + g * kGroupSize, alpha + g);
      for (int v = 0; v < kLanes; v += kWidth) {
        const Float sigma = exponential(clamp(load(alpha[g] + v), kLeastLogDensity, kMostLogDensity));
        store(alpha[g] + v, broadcast(1.0f) - exponential(sigma * broadcast(-field.step)));
      }
    }
    timer.charge(kDensityColour);
    uint32_t visible[kBlockGroups];
    for (int g = 0; g < kBlockGroups; g++) visible[g] = composite_group(s, s.sample_ray + i + g * kLanes, field.threshold, alpha[g]);
    timer.charge(kComposite);
    for (int g = 0; g < kBlockGroups; g++)
      if (visible[g]) enqueue(field, job, s, queue, visible[g], last + g * kGroupSize, alpha[g], s.sample_ray + i + g * kLanes);
  }
  timer.charge(kDensityColour);
}

// How many samples of each ray the next batch takes: a batch costs a sweep over the grid's tables, but samples behind what turns out to
// be opaque are wasted.
inline int batch_depth(int n_rays, int n_left, bool first) {
  const int depth = first ? kFirstDepth : (kLeastBatch + n_rays - 1) / n_rays;
  return depth < n_left ? depth : n_left;
}

inline void render_head(const PackedField& field, const FrameJob& job, Scratch& s, const Block& block, StageTimer& timer) {
  ColourQueue queue;
  queue.count = 0;
  Batch batch;
  int n_rays = begin_rays(field, job, s, block), n_left = field.max_samples;
  while (n_rays && n_left) {
    const int depth = batch_depth(n_rays, n_left, n_left == field.max_samples);
    const int n = next_batch(field, job, s, batch, n_rays, depth), n_gated = batch.gated_end[depth];
    timer.charge(kMarch);
    encode<3>(field.spatial_grid, s.position, n, (Act*)s.features);
    timer.charge(kEncode);
    ambient_blocks(field, job, s, n_gated);
    timer.charge(kAmbient);
    encode<2>(field.audio_grid, s.ambient, n_gated, (Act*)s.audio_features);
    timer.charge(kAudioGrid);
    for (int layer = 0; layer < depth; layer++) {
      density_blocks<true>(field, job, s, queue, batch.gated_end[layer], batch.gated_end[layer + 1], timer);
      density_blocks<false>(field, job, s, queue, batch.quiet_end[layer], batch.quiet_end[layer + 1], timer);
    }
    timer.charge(kDensityColour);
    n_left -= depth;
    n_rays = compact_rays(field, s, n_rays);
  }
  flush_rest(field, job, s, queue);
  timer.charge(kDensityColour);
}
