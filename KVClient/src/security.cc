#include "KVClient/src/security.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "KVClient/src/retry.h"
#include "KVCommon/digest.h"
#include "KVCommon/limits.h"
#include "KVCommon/secret_file.h"
#include "KVCommon/status_macros.h"

namespace kvstore::client {
namespace {

constexpr std::chrono::seconds kTokenLook{1};

std::string FromEnvironment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int64_t Now() { return Clock::now().time_since_epoch().count(); }

// What HTTP/2 can carry; gRPC fails a call without a word for anything else.
absl::StatusOr<std::string> HeaderOf(const std::string& token, const std::string& where) {
  const bool visible =
      std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (token.empty() || token.size() > kMaxTokenBytes || !visible) {
    return absl::InvalidArgumentError(where + " must be 1 to " + std::to_string(kMaxTokenBytes) +
                                      " visible ASCII characters without blanks");
  }
  return "Bearer " + token;
}

absl::StatusOr<std::string> HeaderFrom(const std::string& file) {
  absl::StatusOr<std::string> token = ReadSecretFile(file);
  if (token.ok()) return HeaderOf(*token, "the token in " + file);
  return absl::Status(token.status().code(), "token file " + std::string(token.status().message()));
}

}  // namespace

std::shared_ptr<grpc::ChannelCredentials> ChannelSecurity::Credentials() const {
  if (!tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = pems.authorities;
  options.pem_private_key = pems.key;
  options.pem_cert_chain = pems.certificate;
  return grpc::SslCredentials(options);
}

void ChannelSecurity::AddTo(grpc::ChannelArguments* arguments) const {
  if (tls && !server_name.empty()) arguments->SetSslTargetNameOverride(server_name);
}

std::string ChannelSecurity::Fingerprint() const {
  if (!tls) return "";
  std::string all;
  for (const std::string* part : {&pems.authorities, &pems.certificate, &pems.key, &server_name}) {
    all += std::to_string(part->size()) + ":" + *part;
  }
  return ToHex(Sha256(AsBytes(all)));
}

absl::StatusOr<ChannelSecurity> OpenChannelSecurity(const TlsOptions& options) {
  TlsOptions its = options;
  if (its == TlsOptions()) {
    its.ca_file = FromEnvironment("KVSTORE_TLS_CA");
    its.certificate_file = FromEnvironment("KVSTORE_TLS_CERT");
    its.key_file = FromEnvironment("KVSTORE_TLS_KEY");
    its.server_name = FromEnvironment("KVSTORE_TLS_SERVER_NAME");
    if (its == TlsOptions()) return ChannelSecurity();
  }
  // Never plain text where somebody meant TLS.
  if (its.ca_file.empty()) {
    return absl::InvalidArgumentError(
        "TLS needs the authorities that servers' certificates come from: give tls.ca_file "
        "(KVSTORE_TLS_CA), such as /etc/ssl/certs/ca-certificates.crt for the system's");
  }
  ChannelSecurity security{.tls = true, .pems = {}, .server_name = its.server_name};
  KV_ASSIGN_OR_RETURN(security.pems,
                      ReadTlsFiles({its.certificate_file, its.key_file, its.ca_file}));
  return security;
}

absl::StatusOr<std::unique_ptr<TokenSource>> TokenSource::Open(const ClientOptions& options) {
  std::string file = options.token_file;
  if (!options.token.empty() && !file.empty()) {
    return absl::InvalidArgumentError("token and token_file: give one of them");
  }
  if (!options.token.empty()) {
    KV_ASSIGN_OR_RETURN(std::string header, HeaderOf(options.token, "the token"));
    return std::unique_ptr<TokenSource>(new TokenSource("", options.log, std::move(header)));
  }
  if (file.empty()) file = FromEnvironment("KVSTORE_TOKEN_FILE");
  if (file.empty()) return nullptr;
  KV_ASSIGN_OR_RETURN(std::string header, HeaderFrom(file));
  return std::unique_ptr<TokenSource>(
      new TokenSource(std::move(file), options.log, std::move(header)));
}

void TokenSource::AddTo(grpc::ClientContext* context) {
  if (!file_.empty()) {
    // One of those that meet looks; the others go on with what there is.
    const int64_t now = Now();
    int64_t due = next_look_.load(std::memory_order_relaxed);
    const int64_t next = now + std::chrono::duration_cast<Clock::duration>(kTokenLook).count();
    if (now >= due && next_look_.compare_exchange_strong(due, next)) ReadAgain();
  }
  absl::MutexLock lock(&mutex_);
  context->AddMetadata("authorization", header_);
}

void TokenSource::ReadAgain() {
  absl::StatusOr<std::string> header = HeaderFrom(file_);
  std::string error(header.ok() ? "" : std::string(header.status().message()));
  bool tell = false;
  {
    absl::MutexLock lock(&mutex_);
    tell = error != last_error_ && !error.empty();
    last_error_ = error;
    if (header.ok()) header_ = *std::move(header);
  }
  if (tell && log_) log_(LogLevel::Error, error + "; the last token is used on");
}

bool AllLocal(std::span<const std::string> servers) {
  return std::all_of(servers.begin(), servers.end(), [](const std::string& server) {
    for (const char* const local :
         {"unix:", "localhost:", "127.", "ipv4:127.", "[::1]", "ipv6:[::1]", "dns:///localhost:"}) {
      if (server.starts_with(local)) return true;
    }
    return false;
  });
}

}  // namespace kvstore::client
