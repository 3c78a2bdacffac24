// Elementary functions on vectors, for every instruction set. Absolute errors are a few 1e-7 where the result is at most 1.

inline Float exponential(Float x) {
  x = minimum(maximum(x, broadcast(-87.0f)), broadcast(88.0f));
  const Float k = round_to_even(x * broadcast(1.44269504f));
  // ln 2 in two parts, so that the remainder keeps all its bits.
  const Float r = (x - k * broadcast(0.693359375f)) + k * broadcast(2.12194440e-4f);
  Float p = broadcast(1.9875691500e-4f);
  p = p * r + broadcast(1.3981999507e-3f);
  p = p * r + broadcast(8.3334519073e-3f);
  p = p * r + broadcast(4.1665795894e-2f);
  p = p * r + broadcast(1.6666665459e-1f);
  p = p * r + broadcast(5.0000001201e-1f);
  p = p * r * r + r + broadcast(1.0f);
  return p * (Float)((truncate(k) + 127) << 23);
}

inline Float sigmoid(Float x) { return broadcast(1.0f) / (broadcast(1.0f) + exponential(-x)); }

inline Float hyperbolic_tangent(Float x) { return broadcast(1.0f) - broadcast(2.0f) / (broadcast(1.0f) + exponential(x + x)); }

inline Float clamp(Float x, float low, float high) { return minimum(maximum(x, broadcast(low)), broadcast(high)); }

// How much a condition acts at a squared distance (in radii) from its region's centre; exactly 0 from 1 on.
inline Float smooth_gate(Float squared_distance, float inverse_softness) {
  const Float t = clamp((broadcast(1.0f) - square_root(squared_distance)) * broadcast(inverse_softness), 0.0f, 1.0f);
  return t * t * (broadcast(3.0f) - t - t);
}
