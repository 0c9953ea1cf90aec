// Inputs of crossbars: what the DAC makes of images, and windows of them packed for products.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memcore/read.h"
#include "mvm_kernels.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

// Windows of a block as they are packed, whole vectors of them.
constexpr int64_t kWide = (kBlockRows + kLanes - 1) / kLanes * kLanes;
constexpr int64_t kLeast = 12 * 1024;  // values of images that a thread converts

inline int64_t volume(const int64_t (&sizes)[3]) { return sizes[0] * sizes[1] * sizes[2]; }

struct ReadSizes {
  int64_t reads, rows, tiles, panels;
};

inline ReadSizes sizes_of(const CrossbarRead& r) {
  const int64_t rows = r.channels * volume(r.window.kernel);
  return {r.images * volume(r.window.positions), rows, ceil_div(rows, r.tile_rows), ceil_div(r.cols, kPanel)};
}

inline void convert(const float* x, int64_t count, const float* dac, float* out) {
  const float inverse = dac[0], lo = dac[1], hi = dac[2];
  int64_t i = 0;
  if (inverse == 0.0f) {
    for (; i < count; ++i) out[i] = x[i];
    return;
  }
  for (; i + kLanes <= count; i += kLanes)
    store(out + i, clamp(round_even(load(x + i) * inverse), splat(lo), splat(hi)));
  for (; i < count; ++i) out[i] = clamp(round_even(splat(x[i] * inverse)), splat(lo), splat(hi))[0];
}

// One line of a padded image; x is the line of the image, nullptr outside.
inline void convert_line(const CrossbarRead& r, const float* x, float zero, float* out) {
  const int64_t before = r.window.before[2], width = r.window.space[2], end = r.window.padded[2];
  const int64_t first = x == nullptr ? end : before, last = x == nullptr ? end : before + width;
  for (int64_t i = 0; i < first; ++i) out[i] = zero;
  if (x != nullptr) convert(x, width, r.dac, out + before);
  for (int64_t i = last; i < end; ++i) out[i] = zero;
}

// What the DAC makes of the images and of the zeros around them, [images, groups, channels, padded].
inline void convert_images(const CrossbarRead& r, float* codes) {
  const Window& w = r.window;
  const int64_t planes = r.images * r.groups * r.channels;
  if (volume(w.space) == volume(w.padded)) {
    parallel_for(planes * volume(w.space), kLeast,
                 [&](int64_t begin, int64_t end) { convert(r.x + begin, end - begin, r.dac, codes + begin); });
    return;
  }
  const float nothing = 0.0f;
  float zero;
  convert(&nothing, 1, r.dac, &zero);
  parallel_for(planes * w.padded[0] * w.padded[1], ceil_div(kLeast, w.padded[2]), [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t row = line % w.padded[1] - w.before[1];
      const int64_t slice = line / w.padded[1] % w.padded[0] - w.before[0];
      const int64_t plane = line / (w.padded[1] * w.padded[0]);
      const bool inside = row >= 0 && row < w.space[1] && slice >= 0 && slice < w.space[0];
      const int64_t first = ((plane * w.space[0] + slice) * w.space[1] + row) * w.space[2];
      convert_line(r, inside ? r.x + first : nullptr, zero, codes + line * w.padded[2]);
    }
  });
}

// Where the inputs of a window lie behind its first one.
inline void find_inputs(const CrossbarRead& r, int64_t* offsets) {
  const Window& w = r.window;
  int64_t k = 0;
  for (int64_t c = 0; c < r.channels; ++c)
    for (int64_t a = 0; a < w.kernel[0]; ++a)
      for (int64_t b = 0; b < w.kernel[1]; ++b)
        for (int64_t e = 0; e < w.kernel[2]; ++e)
          offsets[k++] = ((c * w.padded[0] + a * w.dilation[0]) * w.padded[1] + b * w.dilation[1]) * w.padded[2] +
                         e * w.dilation[2];
}

// Where the first input of read i lies among those of a group.
inline int64_t find_window(const CrossbarRead& r, int64_t i) {
  const Window& w = r.window;
  const int64_t column = i % w.positions[2] * w.stride[2];
  const int64_t row = i / w.positions[2] % w.positions[1] * w.stride[1];
  const int64_t slice = i / (w.positions[2] * w.positions[1]) % w.positions[0] * w.stride[0];
  const int64_t image = i / volume(w.positions);
  return image * r.groups * r.channels * volume(w.padded) + (slice * w.padded[1] + row) * w.padded[2] + column;
}

// Runs of windows that lie side by side: from[run] is where the first window of a block would lie, if all did.
struct Runs {
  const float* from[kBlockRows];
  int64_t starts[kBlockRows];
  int64_t count;
};

inline Runs find_runs(const float* codes, const int64_t* at, int64_t height) {
  Runs runs = {};
  for (int64_t i = 0; i < height; ++i) {
    if (i > 0 && at[i] == at[i - 1] + 1) continue;
    runs.starts[runs.count] = i;
    runs.from[runs.count++] = codes + (at[i] - i);
  }
  return runs;
}

// Whole vectors of windows, put together from Count runs.
template <int Count>
void pack_runs(const Runs& runs, const int64_t* offsets, int64_t depth, float* out) {
  IntVec lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  for (int64_t k = 0; k < depth; ++k, out += kWide) {
    Vec windows = load(runs.from[0] + offsets[k]);
    for (int run = 1; run < Count; ++run)
      windows = lanes < static_cast<int32_t>(runs.starts[run]) ? windows : load(runs.from[run] + offsets[k]);
    store(out, windows);
  }
}

// Packs inputs of `height` windows, all windows of one input after another.
inline void pack_windows(const float* codes, const int64_t* at, int64_t height, const int64_t* offsets, int64_t depth,
                         float* out) {
  const Runs runs = find_runs(codes, at, height);
  if (kBlockRows <= kLanes && runs.count == 1) {
    pack_runs<1>(runs, offsets, depth, out);
  } else if (kBlockRows <= kLanes && runs.count == 2) {
    pack_runs<2>(runs, offsets, depth, out);
  } else if (kBlockRows <= kLanes && runs.count == 3) {
    pack_runs<3>(runs, offsets, depth, out);
  } else {
    for (int64_t k = 0; k < depth; ++k, out += kWide)
      for (int64_t i = 0; i < height; ++i) out[i] = codes[offsets[k] + at[i]];
  }
}

// Packs inputs of `height` rows that lie one after another in memory, each row for itself.
inline void pack_rows(const float* codes, const int64_t* at, int64_t height, int64_t depth, float* out) {
  for (int64_t i = 0; i < height; ++i, out += kStride)
    for (int64_t k = 0; k < depth; ++k) out[k] = codes[at[i] + k];
}

}  // namespace
}  // namespace memcore
