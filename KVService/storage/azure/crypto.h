// The digests and random names that Blob Storage's protocol asks for.
#ifndef KVSERVICE_STORAGE_AZURE_CRYPTO_H_
#define KVSERVICE_STORAGE_AZURE_CRYPTO_H_

#include <string>
#include <string_view>

#include "KVCommon/slice.h"

namespace kvstore::azure {

// Base64 of the MD5 of the bytes: the form of Content-MD5. A check on the transport, not a proof.
std::string Md5Base64(ByteView bytes);

// Base64 of HMAC-SHA-256 (RFC 2104), `key` being raw bytes.
std::string HmacSha256Base64(std::string_view key, std::string_view text);

// Lower-case hexadecimal of that many bytes nobody can guess. REQUIRES: bytes <= 64.
std::string RandomHex(size_t bytes);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_CRYPTO_H_
