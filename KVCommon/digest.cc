#include "KVCommon/digest.h"

#include <isa-l/crc.h>
#include <openssl/evp.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

#include <bit>
#include <memory>

#include "KVCommon/status_macros.h"

namespace kvstore {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tokens are hashed as they lie in memory");

// One context a thread, and the algorithm fetched once: half of a short digest's time is set-up.
class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new()) { KV_CHECK(context_ != nullptr && Algorithm() != nullptr); }
  ~Hasher() { EVP_MD_CTX_free(context_); }
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  Digest Run(std::span<const ByteView> parts) {
    Digest digest;
    bool ok = EVP_DigestInit_ex(context_, Algorithm(), nullptr) == 1;
    for (ByteView part : parts) ok &= EVP_DigestUpdate(context_, part.data(), part.size()) == 1;
    ok &= EVP_DigestFinal_ex(context_, digest.data(), nullptr) == 1;
    KV_CHECK(ok);
    return digest;
  }

 private:
  static EVP_MD* Algorithm() {
    static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    return algorithm;
  }

  EVP_MD_CTX* context_;
};

ByteView BytesOf(BlockTokens block) { return std::as_bytes(block); }

#if defined(__x86_64__) && defined(__GNUC__)
// ISA-L's CRC by 512-bit registers returns with their upper parts in use (2.30). All code of the
// thread, and of threads that it makes, that was compiled for SSE alone then keeps these parts, at
// up to twice the time, for good: nothing else clears them.
__attribute__((target("avx"))) void ClearUpperParts() { _mm256_zeroupper(); }
void ClearVectorRegisters() {
  static const bool avx = __builtin_cpu_supports("avx");
  if (avx) ClearUpperParts();
}
#else
void ClearVectorRegisters() {}
#endif

}  // namespace

Digest Sha256(std::span<const ByteView> parts) {
  thread_local Hasher hasher;
  return hasher.Run(parts);
}

Digest Sha256(ByteView bytes) { return Sha256(std::span<const ByteView>(&bytes, 1)); }

Digest PrefixDigest(const std::optional<Digest>& previous, BlockTokens block) {
  if (!previous) return Sha256(BytesOf(block));
  const ByteView parts[] = {std::as_bytes(std::span(*previous)), BytesOf(block)};
  return Sha256(parts);
}

std::vector<Digest> PrefixDigests(std::span<const Token> tokens) {
  std::vector<Digest> digests;
  digests.reserve(tokens.size() / kBlockTokens);
  std::optional<Digest> previous;
  for (; tokens.size() >= kBlockTokens; tokens = tokens.subspan(kBlockTokens)) {
    previous = PrefixDigest(previous, tokens.first<kBlockTokens>());
    digests.push_back(*previous);
  }
  return digests;
}

Digest ParentDigest(uint64_t parent_hash, BlockTokens block) {
  const ByteView parts[] = {std::as_bytes(std::span(&parent_hash, 1)), BytesOf(block)};
  return Sha256(parts);
}

uint32_t Crc32c(ByteView bytes, uint32_t seed) {
  // ISA-L takes an int length and leaves both inversions to its caller.
  uint32_t crc = ~seed;
  constexpr size_t kStep = size_t{1} << 30;
  while (!bytes.empty()) {
    const ByteView step = bytes.first(std::min(bytes.size(), kStep));
    auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(step.data()));
    crc = crc32_iscsi(data, static_cast<int>(step.size()), crc);
    bytes = bytes.subspan(step.size());
  }
  ClearVectorRegisters();
  return ~crc;
}

uint32_t TokensCrc(BlockTokens block) { return Crc32c(BytesOf(block)); }

std::string ToHex(std::span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

bool FromHex(std::string_view text, std::span<uint8_t> bytes) {
  if (text.size() != bytes.size() * 2) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    uint8_t digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint8_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint8_t>(c - 'a' + 10);
    } else {
      return false;
    }
    bytes[i / 2] = static_cast<uint8_t>(i % 2 ? bytes[i / 2] | digit : digit << 4);
  }
  return true;
}

}  // namespace kvstore
