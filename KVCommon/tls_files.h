// The files of TLS: read, and checked before a handshake meets them.
#ifndef KVCOMMON_TLS_FILES_H_
#define KVCOMMON_TLS_FILES_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace kvstore {

inline constexpr size_t kMaxTlsFileBytes = 4 << 20;  // the system's authorities are 0.2 MiB

// PEM files; "" for one that there is not to be.
struct TlsPaths {
  std::string certificate;  // one's own, those between it and the authority behind it
  std::string key;          // its private key, without a passphrase
  std::string authorities;  // that the peer's certificate must come from
};

// Their contents, as TLS takes them.
struct TlsPems {
  std::string certificate;
  std::string key;
  std::string authorities;

  bool operator==(const TlsPems&) const = default;
};

// Blocks on disk. An error names the file, what is wrong with it and what to do: it cannot be read,
// is no PEM of that kind, TLS refuses it, the certificate has expired or does not count yet, the
// key is another certificate's or wants a passphrase, no authority is left that has not expired. No
// message holds a file's content.
absl::StatusOr<TlsPems> ReadTlsFiles(const TlsPaths& paths);

}  // namespace kvstore

#endif  // KVCOMMON_TLS_FILES_H_
