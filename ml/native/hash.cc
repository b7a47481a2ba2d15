// BLAKE2b (RFC 7693: no key, 8 bytes) of rows of numbers, eight of them side by side, without any
// library. There is one NaN and one zero: others are hashed as these.
//
// What a row's hash is does not depend on the others: where there are fewer than eight, the last is
// hashed again.

#include <stdint.h>

// Nothing is called but what C sees: a function takes on the instructions of the one it is in.
#define INLINE inline __attribute__((always_inline))

namespace {

constexpr int kRows = 8;  // side by side
constexpr int kBlock = 128;  // bytes
constexpr int kRounds = 12;

using Words = uint64_t __attribute__((vector_size(8 * kRows)));  // one of each row
using Halves = uint32_t __attribute__((vector_size(8 * kRows)));  // the same as two numbers each

constexpr uint64_t kStart[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

constexpr uint8_t kOrder[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

INLINE Words rotated(Words words, int n_bits) {
  return (words >> n_bits) | (words << (64 - n_bits));
}

INLINE void mix(Words& a, Words& b, Words& c, Words& d, Words x, Words y) {
  a += b + x;
  d = rotated(d ^ a, 32);
  c += d;
  b = rotated(b ^ c, 24);
  a += b + y;
  d = rotated(d ^ a, 16);
  c += d;
  b = rotated(b ^ c, 63);
}

INLINE void compress(Words state[8], const Words block[16], uint64_t n_bytes, bool is_last) {
  Words v[16];
  for (int i = 0; i < 8; ++i) {
    v[i] = state[i];
    v[i + 8] = Words{} + kStart[i];
  }
  v[12] ^= n_bytes;
  if (is_last) v[14] = ~v[14];
  for (int round = 0; round < kRounds; ++round) {
    const uint8_t* order = kOrder[round % 10];
    for (int i = 0; i < 4; ++i) {
      mix(v[i], v[i + 4], v[i + 8], v[i + 12], block[order[2 * i]], block[order[2 * i + 1]]);
    }
    for (int i = 0; i < 4; ++i) {
      mix(v[i], v[(i + 1) % 4 + 4], v[(i + 2) % 4 + 8], v[(i + 3) % 4 + 12],
          block[order[8 + 2 * i]], block[order[9 + 2 * i]]);
    }
  }
  for (int i = 0; i < 8; ++i) state[i] ^= v[i] ^ v[i + 8];
}

// Up to eight bytes, the first is the lowest; those that there are not are zeros.
INLINE uint64_t word_of(const uint8_t* bytes, int64_t n_bytes) {
  uint64_t word = 0;
  if (n_bytes >= 8) {
    __builtin_memcpy(&word, bytes, sizeof word);  // both families of processors are little-endian
    return word;
  }
  for (int64_t i = 0; i < n_bytes; ++i) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return word;
}

// Two numbers of each row, as those that equal them are hashed.
INLINE Words usual(Words words) {
  const Halves bits = (Halves)words;
  const Halves size = bits & 0x7fffffff;
  const Halves is_nan = (Halves)(size > 0x7f800000), is_number = (Halves)(size != 0);
  return (Words)((is_nan & 0x7fc00000) | (~is_nan & is_number & bits));
}

INLINE void hash(const uint8_t* rows, int64_t n_rows, int64_t row_bytes, uint64_t* hashes) {
  for (int64_t first = 0; first < n_rows; first += kRows) {
    Words state[8];
    for (int i = 0; i < 8; ++i) state[i] = Words{} + kStart[i];
    state[0] ^= 0x01010008;  // depth and fanout 1, a digest of 8 bytes
    int64_t start = 0;
    do {
      Words block[16];
      for (int row = 0; row < kRows; ++row) {
        const int64_t of = first + row < n_rows ? first + row : n_rows - 1;
        for (int i = 0; i < 16; ++i) {
          const int64_t at = start + 8 * i;
          block[i][row] = word_of(rows + of * row_bytes + at, row_bytes - at);
        }
      }
      for (Words& words : block) words = usual(words);
      start = start + kBlock < row_bytes ? start + kBlock : row_bytes;
      compress(state, block, static_cast<uint64_t>(start), start == row_bytes);
    } while (start < row_bytes);
    for (int row = 0; row < kRows && first + row < n_rows; ++row) hashes[first + row] = state[0][row];
  }
}

}  // namespace

extern "C" {

// The hashes of `n_rows` rows of float32, `row_bytes` bytes each, end to end: the eight bytes of each
// as a number, the first is the lowest. _0 is for any vector_level(), _1 for 1 and above, _2 for 2.
void row_hashes_0(const uint8_t* rows, int64_t n_rows, int64_t row_bytes, uint64_t* hashes) {
  hash(rows, n_rows, row_bytes, hashes);
}

#ifdef __x86_64__
__attribute__((target("avx2")))
#endif
void row_hashes_1(const uint8_t* rows, int64_t n_rows, int64_t row_bytes, uint64_t* hashes) {
  hash(rows, n_rows, row_bytes, hashes);
}

#ifdef __x86_64__
__attribute__((target("avx512f,avx2")))
void row_hashes_2(const uint8_t* rows, int64_t n_rows, int64_t row_bytes, uint64_t* hashes) {
  hash(rows, n_rows, row_bytes, hashes);
}
#endif

}  // extern "C"
