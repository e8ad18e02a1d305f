#include "KVService/storage/azure/crypto.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>

#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "absl/strings/escaping.h"

namespace kvstore::azure {

namespace {

std::string Base64(const unsigned char* bytes, unsigned int size) {
  return absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(bytes), size));
}

}  // namespace

std::string Md5Base64(ByteView bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  KV_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_md5(), nullptr) == 1);
  return Base64(digest.data(), size);
}

std::string HmacSha256Base64(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  KV_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(),
                &size) != nullptr);
  return Base64(digest.data(), size);
}

std::string RandomHex(size_t bytes) {
  std::array<uint8_t, 64> random;
  KV_CHECK(bytes <= random.size());
  KV_CHECK(RAND_bytes(random.data(), static_cast<int>(bytes)) == 1);
  return ToHex({random.data(), bytes});
}

}  // namespace kvstore::azure
