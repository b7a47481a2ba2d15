// Scores rows with the net of fraud_ml/model.py, on one core, without any library.
//
// What it is faster by, over the same net in a framework: a number's embedding is looked up in a
// table instead of multiplied out; a layer's sums stay in registers, its activation included; and
// nothing is transposed, copied or allocated between layers. The tables, and how the weights are
// laid out, are those of fraud_ml/net_tables.py and fraud_ml/_native_net.py.
//
// Each sum is added up in the order of its terms, by fused multiply-adds: the score of a row is
// the same to the last bit whatever rows are beside it, and on every processor that runs this,
// however wide its vectors are.

#include <stdint.h>

namespace {

constexpr int kPanel = 16;  // columns of a layer that are computed together
constexpr int kRows = 96;   // rows that go through all layers together: they fit the cache
constexpr int kLanes = 8;   // sums of a row's log-odds, which are then added up

typedef float Vector __attribute__((vector_size(4 * kLanes), aligned(4)));

// How a layer is computed with vectors of some width: of how many rows, and panels, sums are in
// registers together; and panels where there are but three rows, or one. Few rows and many panels
// are better than the reverse: each row has a pointer, and those must stay in registers, too.
template <int Lanes, int Strip, int PanelsOfStrip, int PanelsOfThree, int PanelsOfOne>
struct Width {
  typedef float Vector __attribute__((vector_size(4 * Lanes), aligned(4)));
  typedef int32_t Mask __attribute__((vector_size(4 * Lanes), aligned(4)));
  static constexpr int kLanes = Lanes;
  static constexpr int kVectors = kPanel / Lanes;  // of a panel
  static constexpr int kStrip = Strip;
  static constexpr int kPanelsOfStrip = PanelsOfStrip;
  static constexpr int kPanelsOfThree = PanelsOfThree;
  static constexpr int kPanelsOfOne = PanelsOfOne;
};

using Narrow = Width<8, 6, 1, 2, 4>;  // 16 registers
using Wide = Width<16, 6, 4, 4, 8>;  // 32, twice as wide

// Nothing is called but what C sees: a function takes on the instructions of the one it is in.
#define INLINE inline __attribute__((always_inline))

}  // namespace

extern "C" {

// A net. Arrays are row-major; F numbers, C categories, G groups of M members, E wide embeddings.
struct FraudNet {
  int32_t n_features;    // of a row
  int32_t n_numbers;     // F
  int32_t n_categories;  // C
  int32_t n_edges;       // of a number; those with fewer are filled up with infinity
  int32_t n_codes;       // of a category; filled up with NaN, which equals nothing
  int32_t n_groups;      // G
  int32_t n_members;     // M, of each group
  int32_t embedding;     // E
  int32_t n_hidden;      // layers between the first and the last
  int32_t width;         // W, a multiple of kPanel
  float slope, offset;   // of the calibration
  const int32_t* number_columns;    // (F)
  const int32_t* category_columns;  // (C)
  const float* edges;               // (n_edges, F), ascending
  const float* start;               // (F, n_edges + 2): where a piece begins
  const float* base;                // (F, n_edges + 2, G * E): the embedding there
  const float* rise;                // as base: its slope from there on
  const float* codes;               // (C, n_codes)
  const float* vectors;             // (C, n_codes + 2, G * E)
  const float* first;               // (G, M * W / kPanel, (F + C) * E, kPanel)
  const float* first_bias;          // (G, M * W)
  const float* hidden;              // (n_hidden, G * M, W / kPanel, W, kPanel)
  const float* hidden_bias;         // (n_hidden, G * M, W)
  const float* last;                // (G * M, W)
  const float* last_bias;           // (G * M)
};

}  // extern "C"

namespace {

INLINE double magnitude(double x) { return x < 0 ? -x : x; }

// Adding it rounds a small number to a whole one, which is then in the lowest bits.
constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52

// e^x for x from -700 to 0, to 1e-14: the power of two that is nearest, and a Taylor series.
INLINE double exponential(double x) {
  const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  const double shifted = x * 1.44269504088896338700 + kRounder;
  const double power = shifted - kRounder;
  const double r = (x - power * ln2_high) - power * ln2_low;
  double sum = 1;
#pragma clang loop unroll(full)  // so that the divisions are constants
  for (int n = 12; n > 0; n--) sum = 1 + sum * (r * (1.0 / n));
  return sum * __builtin_bit_cast(double, (__builtin_bit_cast(uint64_t, shifted) + 1023) << 52);
}

// The natural logarithm of a positive normal number, to 1e-14: 2 artanh((m - 1) / (m + 1)).
INLINE double logarithm(double x) {
  const uint64_t bits = __builtin_bit_cast(uint64_t, x);
  const double m = __builtin_bit_cast(double, (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  const uint64_t rounder = __builtin_bit_cast(uint64_t, kRounder);
  const double power =  // a vector has no instruction that makes a double of a whole number
      __builtin_bit_cast(double, rounder + (bits >> 52)) - (kRounder + 1023);
  const bool is_large = m > 1.41421356237309504880;
  const double near = is_large ? m / 2 : m;
  const double s = (near - 1) / (near + 1), square = s * s;
  double sum = 0;
#pragma clang loop unroll(full)
  for (int n = 17; n > 0; n -= 2) sum = sum * square + 1.0 / n;
  return 2 * s * sum + (is_large ? power + 1 : power) * 6.93147180559945309417e-01;
}

// R rows of P panels of relu(x * weights + bias).
template <class W, int R, int P>
INLINE void tile(const float* x, int x_step, const float* weights, int n_in, const float* bias,
                 float* out, int out_step) {
  typedef typename W::Vector Vector;
  typedef typename W::Mask Mask;
  Vector sum[R][P * W::kVectors];
  for (int v = 0; v < P * W::kVectors; v++)
    for (int r = 0; r < R; r++)
      sum[r][v] = *reinterpret_cast<const Vector*>(bias + v * W::kLanes);
#pragma clang loop unroll(disable)  // else sums leave their registers
  for (int k = 0; k < n_in; k++) {
    Vector w[P * W::kVectors];
    for (int v = 0; v < P * W::kVectors; v++) {
      const int panel = v / W::kVectors, lane = v % W::kVectors * W::kLanes;
      const float* from = weights + (panel * n_in + k) * kPanel + lane;
      w[v] = *reinterpret_cast<const Vector*>(from);
    }
    for (int r = 0; r < R; r++)
      for (int v = 0; v < P * W::kVectors; v++) sum[r][v] += x[r * x_step + k] * w[v];
  }
  for (int r = 0; r < R; r++) {
    for (int v = 0; v < P * W::kVectors; v++) {
      const Vector y = (Vector)((Mask)sum[r][v] & (Mask)(sum[r][v] > 0));
      *reinterpret_cast<Vector*>(out + r * out_step + v * W::kLanes) = y;
    }
  }
}

// All panels of a strip of R rows, P at a time.
template <class W, int R, int P>
INLINE void strip(const float* x, int x_step, const float* weights, int n_in, const float* bias,
                  int n_out, float* out, int out_step) {
  int from = 0;
  for (; from + P * kPanel <= n_out; from += P * kPanel)
    tile<W, R, P>(x, x_step, weights + from * n_in, n_in, bias + from, out + from, out_step);
  for (; from < n_out; from += kPanel)
    tile<W, R, 1>(x, x_step, weights + from * n_in, n_in, bias + from, out + from, out_step);
}

// A layer with its activation, strip by strip. What is left of the rows takes more panels at once,
// so that there are always sums to work on.
template <class W>
INLINE void layer(const float* x, int x_step, int n_rows, const float* weights, int n_in,
                  const float* bias, int n_out, float* out, int out_step) {
  int r = 0;
  for (; r + W::kStrip <= n_rows; r += W::kStrip)
    strip<W, W::kStrip, W::kPanelsOfStrip>(x + r * x_step, x_step, weights, n_in, bias, n_out,
                                           out + r * out_step, out_step);
  for (; r + 3 <= n_rows; r += 3)
    strip<W, 3, W::kPanelsOfThree>(x + r * x_step, x_step, weights, n_in, bias, n_out,
                                   out + r * out_step, out_step);
  for (; r < n_rows; r++)
    strip<W, 1, W::kPanelsOfOne>(x + r * x_step, x_step, weights, n_in, bias, n_out,
                                 out + r * out_step, out_step);
}

// Which row of its tables each number and category takes: shape (n_rows, F + C).
INLINE void look_up(const FraudNet* net, const float* x, int n_rows, int32_t* place,
                    float* beyond) {
  const int n_numbers = net->n_numbers, n_all = n_numbers + net->n_categories;
  const int n_edges = net->n_edges;
  for (int r = 0; r < n_rows; r++) {
    const float* row = x + (int64_t)r * net->n_features;
    int32_t* __restrict piece = place + r * n_all;
    float* __restrict far = beyond + r * n_all;
    for (int f = 0; f < n_numbers; f++) far[f] = row[net->number_columns[f]], piece[f] = 0;
    for (int e = 0; e < n_edges; e++) {  // numbers side by side
      const float* edge = net->edges + e * n_numbers;
      for (int f = 0; f < n_numbers; f++) piece[f] += far[f] > edge[f];
    }
    for (int f = 0; f < n_numbers; f++) {
      const float value = far[f];
      // The first and the last piece are flat, and 0 times infinity is no number.
      const bool is_flat = piece[f] == 0 || !(magnitude(value) <= 3.4e38f);
      piece[f] = f * (n_edges + 2) + (value == value ? piece[f] : n_edges + 1);
      far[f] = is_flat ? 0 : value - net->start[piece[f]];
    }
    for (int c = 0; c < net->n_categories; c++) {
      const float value = row[net->category_columns[c]];
      const float* codes = net->codes + c * net->n_codes;
      int32_t which = value == value ? net->n_codes : net->n_codes + 1;
      for (int k = 0; k < net->n_codes; k++)
        if (value == codes[k]) which = k;
      piece[n_numbers + c] = c * (net->n_codes + 2) + which;
    }
  }
}

// The embeddings of one group: shape (n_rows, (F + C) * E). E is known when this is compiled, or 0.
template <int E>
INLINE void embed(const FraudNet* net, int group, int n_rows, const int32_t* place,
                  const float* beyond, float* __restrict out) {
  const int n_numbers = net->n_numbers, n_all = n_numbers + net->n_categories;
  const int wide = E ? E : net->embedding, step = net->n_groups * wide;
  const float* base = net->base + group * wide;
  const float* rise = net->rise + group * wide;
  const float* vectors = net->vectors + group * wide;
  for (int r = 0; r < n_rows; r++) {
    for (int f = 0; f < n_numbers; f++) {
      const int64_t at = (int64_t)*place++ * step;
      const float far = *beyond++;
      for (int e = 0; e < wide; e++) {
        const float y = base[at + e] + far * rise[at + e];
        out[e] = y > 0 ? y : 0;
      }
      out += wide;
    }
    beyond += net->n_categories;
    for (int c = n_numbers; c < n_all; c++) {
      const int64_t at = (int64_t)*place++ * step;
      for (int e = 0; e < wide; e++) out[e] = vectors[at + e];
      out += wide;
    }
  }
}

INLINE void embed(const FraudNet* net, int group, int n_rows, const int32_t* place,
                  const float* beyond, float* out) {
  switch (net->embedding) {
    case 2: return embed<2>(net, group, n_rows, place, beyond, out);
    case 4: return embed<4>(net, group, n_rows, place, beyond, out);
    case 8: return embed<8>(net, group, n_rows, place, beyond, out);
    default: return embed<0>(net, group, n_rows, place, beyond, out);
  }
}

// The product of a row with the weights of a member's log-odds.
INLINE float log_odds(const float* x, const float* weights, float bias, int n_in) {
  Vector sums = {};
  for (int k = 0; k < n_in; k += kLanes)
    sums += *reinterpret_cast<const Vector*>(x + k) * *reinterpret_cast<const Vector*>(weights + k);
  float sum = bias;
  for (int lane = 0; lane < kLanes; lane++) sum += sums[lane];
  return sum;
}

// The calibrated probabilities of fraud of rows, from the log-odds of their members.
INLINE void probabilities(const FraudNet* net, const float* logits, int n_members, int n_rows,
                          float* __restrict out) {
  double fraud[kRows], honest[kRows];  // sums of probabilities
  for (int r = 0; r < n_rows; r++) fraud[r] = honest[r] = 0;
  for (int k = 0; k < n_members; k++) {
    for (int r = 0; r < n_rows; r++) {
      const double logit = logits[k * kRows + r];
      const double size = magnitude(logit);
      const double small = exponential(size < 700 ? -size : -700);
      const double likely = 1 / (1 + small), unlikely = small * likely;
      fraud[r] += logit > 0 ? likely : unlikely;
      honest[r] += logit > 0 ? unlikely : likely;
    }
  }
  for (int r = 0; r < n_rows; r++) {
    const double mean = logarithm(fraud[r]) - logarithm(honest[r]);
    const double logit = net->slope * mean + net->offset;
    const double size = magnitude(logit);
    const double small = exponential(size < 700 ? -size : -700);
    out[r] = (float)((logit > 0 ? 1 : small) / (1 + small));
  }
}

struct Scratch {
  float* embedded;   // (kRows, (F + C) * E)
  float* group;      // (kRows, M * W)
  float* layers[2];  // (kRows, W) each
  float* logits;     // (G * M, kRows)
  float* beyond;     // (kRows, F + C)
  int32_t* place;    // (kRows, F + C)
};

// The sizes of the parts of Scratch, in floats; returns their sum.
INLINE int64_t sizes(const FraudNet* net, int64_t (&size)[7]) {
  const int64_t n_all = net->n_numbers + net->n_categories;
  size[0] = kRows * n_all * net->embedding;
  size[1] = (int64_t)kRows * net->n_members * net->width;
  size[2] = size[3] = (int64_t)kRows * net->width;
  size[4] = (int64_t)kRows * net->n_groups * net->n_members;
  size[5] = size[6] = kRows * n_all;
  int64_t sum = 0;
  for (int64_t one : size) sum += one;
  return sum;
}

template <class W>
INLINE void score_block(const FraudNet* net, const float* x, int n_rows, const Scratch& to,
                        float* out) {
  const int n_in = (net->n_numbers + net->n_categories) * net->embedding;
  const int width = net->width, n_members = net->n_members, n_all = net->n_groups * n_members;
  const int group_width = n_members * width;
  look_up(net, x, n_rows, to.place, to.beyond);
  for (int g = 0; g < net->n_groups; g++) {
    embed(net, g, n_rows, to.place, to.beyond, to.embedded);
    layer<W>(to.embedded, n_in, n_rows, net->first + (int64_t)g * n_in * group_width, n_in,
          net->first_bias + g * group_width, group_width, to.group, group_width);
    for (int m = 0; m < n_members; m++) {
      const int member = g * n_members + m;
      const float* from = to.group + m * width;
      int step = group_width;
      for (int l = 0; l < net->n_hidden; l++) {
        const int64_t which = (int64_t)l * n_all + member;
        float* next = to.layers[l % 2];
        layer<W>(from, step, n_rows, net->hidden + which * width * width, width,
              net->hidden_bias + which * width, width, next, width);
        from = next;
        step = width;
      }
      for (int r = 0; r < n_rows; r++)
        to.logits[member * kRows + r] = log_odds(
            from + r * step, net->last + member * width, net->last_bias[member], width);
    }
  }
  probabilities(net, to.logits, n_all, n_rows, out);
}

template <class W>
INLINE void score(const FraudNet* net, const float* x, int64_t n_rows, float* scratch, float* out) {
  int64_t size[7];
  sizes(net, size);
  float* part[7];
  for (int n = 0; n < 7; scratch += size[n++]) part[n] = scratch;
  const Scratch to = {part[0], part[1], {part[2], part[3]}, part[4], part[5], (int32_t*)part[6]};
  for (int64_t row = 0; row < n_rows; row += kRows) {
    const int n = n_rows - row < kRows ? (int)(n_rows - row) : kRows;
    score_block<W>(net, x + row * net->n_features, n, to, out + row);
  }
}

}  // namespace

extern "C" {

// How many floats fraud_net_score needs to work with.
int64_t fraud_net_scratch(const FraudNet* net) {
  int64_t size[7];
  return sizes(net, size);
}

// The probabilities of fraud of rows x, shape (n_rows, n_features), into out, shape (n_rows).
// _1 is for a vector_level() of 1 and above, _2 of 2.
#ifdef __x86_64__
__attribute__((target("avx2,fma")))
#endif
void fraud_net_score_1(const FraudNet* net, const float* x, int64_t n_rows, float* scratch,
                       float* out) {
  score<Narrow>(net, x, n_rows, scratch, out);
}

#ifdef __x86_64__
__attribute__((target("avx512f,avx2,fma")))
void fraud_net_score_2(const FraudNet* net, const float* x, int64_t n_rows, float* scratch,
                       float* out) {
  score<Wide>(net, x, n_rows, scratch, out);
}
#endif

}  // extern "C"
