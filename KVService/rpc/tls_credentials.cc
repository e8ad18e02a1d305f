#include "KVService/rpc/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <atomic>

#include "KVCommon/status_macros.h"

namespace kvstore {
namespace {

// gRPC 1.51 has two ways to change certificates. Its FileWatcherCertificateProvider takes a key and
// certificate that do not fit together, as are there for a moment while files are replaced, and
// then serves neither these nor the old. Its C interface asks for a new configuration at every
// handshake and keeps the old one where there is none, so we check and it asks. There is no C++
// form of that; this class is one.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  explicit TlsCredentials(const ServerTls* tls) : tls_(*tls) {
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            tls->asks_for_certificates()
                ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            &Fetch, this));
    KV_CHECK(credentials_ != nullptr);
  }
  ~TlsCredentials() override { grpc_server_credentials_release(credentials_); }

  // Calls are authenticated by KVService, on the queues' own threads.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<TlsCredentials*>(self)->Fetch(config);
  }

  // Before every handshake, under a lock of gRPC's.
  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    const std::shared_ptr<const ServerTls::Version> current = tls_.Current();
    if (served_.exchange(current->number) == current->number) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    const TlsPems& pems = current->pems;
    const grpc_ssl_pem_key_cert_pair pair = {pems.key.c_str(), pems.certificate.c_str()};
    // gRPC insists on authorities; where no certificate is asked for, they are for nothing.
    const std::string& authorities =
        tls_.asks_for_certificates() ? pems.authorities : pems.certificate;
    *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
    return *config == nullptr ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL
                              : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const ServerTls& tls_;
  grpc_server_credentials* credentials_;
  std::atomic<uint64_t> served_ = 0;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(const ServerTls* tls) {
  return std::make_shared<TlsCredentials>(tls);
}

}  // namespace kvstore
