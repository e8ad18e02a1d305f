// What a client proves itself by, and its servers to it: TLS for connections, a token for calls.
#ifndef KVCLIENT_SRC_SECURITY_H_
#define KVCLIENT_SRC_SECURITY_H_

#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "KVClient/include/kvstore/client.h"
#include "KVCommon/tls_files.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::client {

// How connections are made. Plain text without `tls`.
struct ChannelSecurity {
  bool tls = false;
  TlsPems pems;
  std::string server_name;  // empty: the host that the connection is to

  std::shared_ptr<grpc::ChannelCredentials> Credentials() const;
  void AddTo(grpc::ChannelArguments* arguments) const;
  // Equal for those that make the same connections, and for no others; holds no secret.
  std::string Fingerprint() const;
};

// By the options, or, where they say nothing of TLS, by the environment: KVSTORE_TLS_CA, _CERT,
// _KEY, _SERVER_NAME. Blocks on disk; errors as ReadTlsFiles.
absl::StatusOr<ChannelSecurity> OpenChannelSecurity(const TlsOptions& options);

// Thread-safe.
class TokenSource {
 public:
  using Log = std::function<void(LogLevel, const std::string&)>;

  // By the options, or, where they have neither, by the environment's KVSTORE_TOKEN_FILE; null
  // where there is none. INVALID_ARGUMENT, or why the file cannot be read; no message holds a
  // token.
  static absl::StatusOr<std::unique_ptr<TokenSource>> Open(const ClientOptions& options);

  // Adds the token to what is sent with a call. A file is read again once in kTokenLook, since
  // tokens are replaced while clients run: a few bytes of a local file, so it may be on gRPC's
  // threads. One that cannot be read changes nothing.
  void AddTo(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  TokenSource(std::string file, Log log, std::string header)
      : file_(std::move(file)), log_(std::move(log)), header_(std::move(header)) {}
  void ReadAgain() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string file_;  // empty: the token never changes
  const Log log_;
  std::atomic<int64_t> next_look_{0};
  absl::Mutex mutex_;
  std::string header_ ABSL_GUARDED_BY(mutex_);
  std::string last_error_ ABSL_GUARDED_BY(mutex_);  // so that each is told once
};

// Whether all of these servers, as ParseServerList gives them, are on this machine.
bool AllLocal(std::span<const std::string> servers);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_SECURITY_H_
