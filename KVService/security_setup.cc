#include "KVService/security_setup.h"

#include <spdlog/spdlog.h>

#include "KVCommon/status_macros.h"
#include "KVService/platform/network.h"
#include "absl/time/time.h"

namespace kvstore {
namespace {

// Orchestrators replace certificates without a signal, hours before the old ones end.
constexpr absl::Duration kTlsLook = absl::Seconds(30);

void Warn(const ServerOptions& options, const SecuritySetup& security) {
  if (security.access() != nullptr && security.access()->NeedsCertificates() &&
      options.tls_client_ca_file.empty()) {
    spdlog::warn(
        "some identities have no token, and no client is asked for a certificate: give "
        "--tls-client-ca auth={}",
        options.auth_file);
  }
  if (IsLoopback(options.host)) return;
  const bool knows_callers = security.access() != nullptr || !options.tls_client_ca_file.empty();
  if (security.tls() == nullptr && !knows_callers) {
    spdlog::warn(
        "anyone who reaches this port may read and write everything, and what travels is not "
        "encrypted: give --tls-cert, --tls-key and --auth, or listen on --host 127.0.0.1 host={}",
        options.host);
  } else if (security.tls() == nullptr) {
    spdlog::warn(
        "tokens and blocks travel unencrypted, and whoever listens can use them: give --tls-cert "
        "and --tls-key host={}",
        options.host);
  } else if (!knows_callers) {
    spdlog::warn(
        "anyone who reaches this port may read and write everything: give --auth or "
        "--tls-client-ca host={}",
        options.host);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SecuritySetup>> SecuritySetup::Open(const ServerOptions& options) {
  std::unique_ptr<SecuritySetup> setup(new SecuritySetup);
  if (!options.auth_file.empty()) {
    KV_ASSIGN_OR_RETURN(setup->access_, AccessControl::Open(options.auth_file));
  }
  if (!options.admin_auth_file.empty()) {
    KV_ASSIGN_OR_RETURN(setup->admin_access_, AccessControl::Open(options.admin_auth_file));
  }
  if (!options.tls_certificate_file.empty()) {
    KV_ASSIGN_OR_RETURN(setup->tls_,
                        ServerTls::Open({options.tls_certificate_file, options.tls_key_file,
                                         options.tls_client_ca_file}));
    setup->watcher_ = std::thread([self = setup.get()] {
      while (!self->ending_.WaitForNotificationWithTimeout(kTlsLook)) self->ReloadTls(false);
    });
  }
  spdlog::info("security tls={} client_certificates={} identities={}", setup->tls_ != nullptr,
               !options.tls_client_ca_file.empty(),
               setup->access_ != nullptr ? std::to_string(setup->access_->identities()) : "any");
  Warn(options, *setup);
  return setup;
}

SecuritySetup::~SecuritySetup() {
  ending_.Notify();
  if (watcher_.joinable()) watcher_.join();
}

void SecuritySetup::Reload() {
  for (AccessControl* access : {access_.get(), admin_access_.get()}) {
    if (access == nullptr) continue;
    const absl::Status status = access->Reload();
    if (status.ok()) {
      spdlog::info("auth file read identities={} administrators={}", access->identities(),
                   access == admin_access_.get());
    } else {
      spdlog::error("auth file not read, all stays as it was error=\"{}\"",
                    std::string(status.message()));
    }
  }
  if (tls_ != nullptr) ReloadTls(true);
}

void SecuritySetup::ReloadTls(bool tell_all) {
  absl::MutexLock lock(&mutex_);
  const absl::StatusOr<bool> changed = tls_->Reload();
  if (!changed.ok()) {
    const std::string error(changed.status().message());
    if (tell_all || error != last_error_) {
      spdlog::error("certificates not read, all stays as it was error=\"{}\"", error);
    }
    last_error_ = error;
    return;
  }
  last_error_.clear();
  if (*changed || tell_all) spdlog::info("certificates read changed={}", *changed);
}

}  // namespace kvstore
