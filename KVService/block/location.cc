#include "KVService/block/location.h"

#include <absl/strings/escaping.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <cstring>
#include <span>

#include "KVCommon/status_macros.h"

namespace kvstore {
namespace {

constexpr size_t kBodyBytes = 16 + 32 + 4 + 8;
constexpr size_t kMacBytes = 12;
constexpr size_t kTextBytes = (kBodyBytes + kMacBytes) / 3 * 4;

using Body = std::array<uint8_t, kBodyBytes>;
using Mac = std::array<uint8_t, 16>;

Body Pack(const NamedBlock& block) {
  Body body;
  uint8_t* at = body.data();
  const auto put = [&at](const void* from, size_t size) {
    std::memcpy(at, from, size);
    at += size;
  };
  put(block.partition.data(), 16);
  put(block.version.digest.data(), 32);
  put(&block.version.tokens_crc, 4);
  put(&block.version.hash, 8);
  return body;
}

NamedBlock Unpack(const uint8_t* at) {
  NamedBlock block;
  const auto take = [&at](void* into, size_t size) {
    std::memcpy(into, at, size);
    at += size;
  };
  take(block.partition.data(), 16);
  take(block.version.digest.data(), 32);
  take(&block.version.tokens_crc, 4);
  take(&block.version.hash, 8);
  return block;
}

// Two digits of base64url for each twelve bits.
constexpr auto kDigitPairs = [] {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<std::array<char, 2>, 4096> pairs{};
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kDigits[i >> 6], kDigits[i & 63]};
  return pairs;
}();

// By hand, since a Lookup makes one a block and the library's gives a string each.
LocationText Base64Url(const std::array<uint8_t, kBodyBytes + kMacBytes>& bytes) {
  LocationText text;
  static_assert(std::tuple_size_v<LocationText> == kTextBytes);
  for (size_t i = 0; i < bytes.size() / 3; ++i) {
    const uint32_t three =
        static_cast<uint32_t>(bytes[3 * i] << 16 | bytes[3 * i + 1] << 8) | bytes[3 * i + 2];
    std::memcpy(&text[4 * i], kDigitPairs[three >> 12].data(), 2);
    std::memcpy(&text[4 * i + 2], kDigitPairs[three & 0xfff].data(), 2);
  }
  return text;
}

class SipHash {
 public:
  SipHash() : context_(EVP_MAC_CTX_new(Algorithm())) { KV_CHECK(context_ != nullptr); }
  ~SipHash() { EVP_MAC_CTX_free(context_); }
  SipHash(const SipHash&) = delete;
  SipHash& operator=(const SipHash&) = delete;

  Mac Run(const LocationCodec::Key& key, ByteView bytes) {
    size_t size = sizeof(Mac);  // SipHash's default, 128 bits
    bool ok = EVP_MAC_init(context_, key.data(), key.size(), nullptr) == 1;
    ok &= EVP_MAC_update(context_, reinterpret_cast<const unsigned char*>(bytes.data()),
                         bytes.size()) == 1;
    Mac mac;
    ok &= EVP_MAC_final(context_, mac.data(), &size, mac.size()) == 1;
    KV_CHECK(ok && size == mac.size());
    return mac;
  }

 private:
  static EVP_MAC* Algorithm() {
    static EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "SIPHASH", nullptr);
    return algorithm;
  }

  EVP_MAC_CTX* context_;
};

Mac MacOf(const LocationCodec::Key& key, const Container& container, ByteView body) {
  thread_local SipHash siphash;
  thread_local std::string bytes;  // together, since each part costs the library a call
  const uint64_t lengths[] = {container.account.size(), container.name.size()};
  bytes.assign(AsText(std::as_bytes(std::span(lengths))));
  bytes.append(container.account).append(container.name).append(AsText(body));
  return siphash.Run(key, AsBytes(bytes));
}

}  // namespace

std::optional<PartitionDigest> ClaimedPartition(std::string_view location) {
  constexpr size_t kDigits = 24;   // of 18 bytes, the partition's 16 first
  thread_local std::string bytes;  // keeps its memory
  if (location.size() != kTextBytes ||
      !absl::WebSafeBase64Unescape(absl::string_view(location.data(), kDigits), &bytes) ||
      bytes.size() < std::tuple_size_v<PartitionDigest>) {
    return std::nullopt;
  }
  PartitionDigest partition;
  std::memcpy(partition.data(), bytes.data(), partition.size());
  return partition;
}

LocationText LocationCodec::Encode(const Container& container, const NamedBlock& block) const {
  const Body body = Pack(block);
  const Mac mac = MacOf(key_, container, std::as_bytes(std::span(body)));
  std::array<uint8_t, kBodyBytes + kMacBytes> whole;
  std::memcpy(whole.data(), body.data(), kBodyBytes);
  std::memcpy(whole.data() + kBodyBytes, mac.data(), kMacBytes);
  return Base64Url(whole);
}

std::optional<NamedBlock> LocationCodec::Decode(const Container& container,
                                                std::string_view location) const {
  std::string whole;
  if (location.size() != kTextBytes ||
      !absl::WebSafeBase64Unescape(absl::string_view(location.data(), location.size()), &whole) ||
      whole.size() != kBodyBytes + kMacBytes) {
    return std::nullopt;
  }
  const Mac mac = MacOf(key_, container, AsBytes(whole).first(kBodyBytes));
  if (CRYPTO_memcmp(mac.data(), whole.data() + kBodyBytes, kMacBytes) != 0) return std::nullopt;
  return Unpack(reinterpret_cast<const uint8_t*>(whole.data()));
}

}  // namespace kvstore
