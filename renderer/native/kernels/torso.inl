// The pseudo-3D torso (renderer/field/torch_field.py, `torso`), only where it may show and the head left light.

// Pixels of the block where the torso may show; returns how many.
inline int torso_pixels(const PackedField& field, const FrameJob& job, Scratch& s, const Block& block) {
  int n = 0;
  for (int y = 0; y < block.n_rows; y++) {
    const uint8_t* mask = job.torso_mask + job.torso_rows[block.first_row + y] * VISAVIS_TORSO_MASK_RESOLUTION;
    for (int x = 0; x < block.width; x++) {
      const int ray = y * block.width + x;
      if (mask[job.torso_columns[x]] && s.transmittance[ray] > field.threshold) s.sample_ray[n++] = ray;
    }
  }
  for (int i = n; i % kBlockSamples; i++) s.sample_ray[i] = kBlockRays;
  return n;
}

// Picture coordinates, deformed, of the first n of them.
inline void deform(const PackedField& field, const FrameJob& job, Scratch& s, const Block& block, int n) {
  constexpr int kInput = act_rows(kFeatures) * kLanes, kGroupSize = act_rows(kHidden) * kLanes;
  alignas(64) Act input[kBlockGroups * kInput] = {};
  alignas(64) Act first[kBlockGroups * kGroupSize], second[kBlockGroups * kGroupSize];
  alignas(64) float x[kLanes], y[kLanes], shift[2][kLanes];
  int column[kLanes], row[kLanes];
  for (int i = 0; i < n; i += kBlockSamples) {
    for (int g = 0; g < kBlockGroups; g++) {
      const int at = i + g * kLanes;
      Act* group = input + g * kInput;
      for (int j = 0; j < kLanes; j++) {
        const int ray = s.sample_ray[at + j] < kBlockRays ? s.sample_ray[at + j] : 0;
        column[j] = ray % block.width;
        row[j] = block.first_row + ray / block.width;
        s.position[0][at + j] = x[j] = job.window[0] + ((float)column[j] + 0.5f) / (float)job.width * job.window[2];
        s.position[1][at + j] = y[j] = job.window[1] + ((float)row[j] + 0.5f) / (float)job.height * job.window[3];
      }
      store_feature_pair(group, 0, x, y);
      for (int k = 0; k < 2 * field.torso_octaves; k++) {
        const float *column_wave = job.column_waves + k * job.width, *row_wave = job.row_waves + k * job.height;
        for (int j = 0; j < kLanes; j++) {
          x[j] = column_wave[column[j]];
          y[j] = row_wave[row[j]];
        }
        store_feature_pair(group, 1 + k, x, y);
      }
    }
    dense_relu<kHidden, kFeatures, 0, kFeatures>(field.deform0, job.deform_bias, nullptr, nullptr, input, kInput, nullptr, 0, first);
    dense_relu<kHidden, kHidden, 0, kHidden>(field.deform1, job.zeros, nullptr, nullptr, first, kGroupSize, nullptr, 0, second);
    for (int g = 0; g < kBlockGroups; g++) {
      narrow<2, kHidden>(field.deform2, second + g * kGroupSize, shift);
      for (int d = 0; d < 2; d++)
        for (int v = 0; v < kLanes; v += kWidth) {
          float* p = s.position[d] + i + g * kLanes + v;
          store(p, clamp(load(p) + hyperbolic_tangent(load(shift[d] + v)) * broadcast(field.max_deformation), 0.0f, 1.0f));
        }
    }
  }
}

inline void render_torso(const PackedField& field, const FrameJob& job, Scratch& s, const Block& block) {
  constexpr int kInput = act_rows(kFeatures) * kLanes, kGroupSize = act_rows(kTorsoColour) * kLanes;
  alignas(64) Act first[kBlockGroups * kGroupSize], second[kBlockGroups * kGroupSize];
  alignas(64) float rgba[4][kLanes];
  const int n_pixels = torso_pixels(field, job, s, block);
  const int n = (n_pixels + kBlockSamples - 1) / kBlockSamples * kBlockSamples;
  deform(field, job, s, block, n);
  encode<2>(field.torso_grid, s.position, n, (Act*)s.features);
  for (int i = 0; i < n; i += kBlockSamples) {
    const Act* in = (const Act*)s.features + i / kLanes * kInput;
    dense_relu<kTorsoColour, kFeatures, 0, kFeatures>(field.torso_colour0, job.torso_colour_bias, nullptr, nullptr, in, kInput, nullptr, 0,
                                                      first);
    dense_relu<kTorsoColour, kTorsoColour, 0, kTorsoColour>(field.torso_colour1, job.zeros, nullptr, nullptr, first, kGroupSize, nullptr, 0,
                                                            second);
    for (int g = 0; g < kBlockGroups; g++) {
      narrow<4, kTorsoColour>(field.torso_colour2, second + g * kGroupSize, rgba);
      for (int c = 0; c < 4; c++)
        for (int v = 0; v < kLanes; v += kWidth) store(rgba[c] + v, sigmoid(load(rgba[c] + v)));
      const int32_t* ray = s.sample_ray + i + g * kLanes;
      for (int j = 0; j < kLanes; j++) {
        const float weight = s.transmittance[ray[j]] * rgba[3][j];
        for (int c = 0; c < 3; c++) s.colour[c][ray[j]] += weight * rgba[c][j];
        s.transmittance[ray[j]] -= weight;
      }
    }
  }
}
