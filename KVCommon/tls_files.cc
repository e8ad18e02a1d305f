#include "KVCommon/tls_files.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <vector>

#include "KVCommon/secret_file.h"
#include "KVCommon/status_macros.h"

namespace kvstore {
namespace {

template <auto function>
struct By {
  template <typename T>
  void operator()(T* object) const {
    function(object);
  }
};
using Bio = std::unique_ptr<BIO, By<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, By<X509_free>>;
using Context = std::unique_ptr<SSL_CTX, By<SSL_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, By<EVP_PKEY_free>>;

// One file, as messages call it.
struct Named {
  const char* what;
  const std::string& path;

  absl::Status Wrong(const std::string& why) const {
    return absl::InvalidArgumentError(fmt::format("{} {}: {}", what, path, why));
  }
};

absl::StatusOr<std::string> Read(const Named& file) {
  absl::StatusOr<std::string> content = ReadWholeFile(file.path, kMaxTlsFileBytes);
  if (content.ok()) return content;
  return absl::Status(content.status().code(),
                      fmt::format("{}: {}", file.what, std::string(content.status().message())));
}

Bio Open(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// Instead of OpenSSL's own, which asks the terminal.
int NoPassphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

// All that the file has, in its order.
std::vector<Certificate> Certificates(const std::string& pem) {
  std::vector<Certificate> certificates;
  const Bio bio = Open(pem);
  while (X509* const next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(next);
  }
  ERR_clear_error();  // of the end, or of what is no certificate
  return certificates;
}

bool Expired(const X509* certificate) {
  return X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
}

std::string Text(const ASN1_TIME* time) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (ASN1_TIME_print(bio.get(), time) != 1) return "an unknown time";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::Status CheckPair(const Named& certificate_file, const std::string& certificate_pem,
                       const Named& key_file, const std::string& key_pem) {
  const std::vector<Certificate> chain = Certificates(certificate_pem);
  if (chain.empty()) return certificate_file.Wrong("holds no certificate in PEM form");
  const X509* const own = chain.front().get();
  if (Expired(own)) {
    return certificate_file.Wrong(
        fmt::format("has expired on {}: renew it", Text(X509_get0_notAfter(own))));
  }
  if (X509_cmp_current_time(X509_get0_notBefore(own)) > 0) {
    return certificate_file.Wrong(fmt::format("counts from {} only: is this machine's clock right?",
                                              Text(X509_get0_notBefore(own))));
  }
  bool passphrase = false;
  const Bio bio = Open(key_pem);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassphrase, &passphrase));
  ERR_clear_error();
  if (passphrase) {
    return key_file.Wrong(
        "is locked by a passphrase: give one without, readable by the service "
        "alone (openssl pkey -in OLD -out NEW)");
  }
  if (key == nullptr) return key_file.Wrong("holds no private key in PEM form");
  if (X509_check_private_key(own, key.get()) != 1) {
    ERR_clear_error();
    return key_file.Wrong(
        fmt::format("is not the key of the first certificate in {}: give the two "
                    "that were made together",
                    certificate_file.path));
  }
  // The library has rules of its own, such as for the length of keys.
  const Context context(SSL_CTX_new(TLS_method()));
  if (SSL_CTX_use_certificate(context.get(), chain.front().get()) != 1) {
    const char* const why = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return certificate_file.Wrong(fmt::format("is refused by this system's TLS ({}): make another",
                                              why == nullptr ? "it does not say why" : why));
  }
  return absl::OkStatus();
}

absl::Status CheckAuthorities(const Named& file, const std::string& pem) {
  const std::vector<Certificate> authorities = Certificates(pem);
  if (authorities.empty()) return file.Wrong("holds no certificate in PEM form");
  for (const Certificate& authority : authorities) {
    if (!Expired(authority.get())) return absl::OkStatus();
  }
  return file.Wrong("holds no authority that has not expired: renew it");
}

}  // namespace

absl::StatusOr<TlsPems> ReadTlsFiles(const TlsPaths& paths) {
  TlsPems pems;
  const Named certificate{"TLS certificate", paths.certificate};
  const Named key{"TLS key", paths.key};
  const Named authorities{"TLS authorities", paths.authorities};
  if (paths.certificate.empty() != paths.key.empty()) {
    return absl::InvalidArgumentError("TLS takes a certificate and its key: give both files");
  }
  if (!paths.certificate.empty()) {
    KV_ASSIGN_OR_RETURN(pems.certificate, Read(certificate));
    KV_ASSIGN_OR_RETURN(pems.key, Read(key));
    KV_RETURN_IF_ERROR(CheckPair(certificate, pems.certificate, key, pems.key));
  }
  if (!paths.authorities.empty()) {
    KV_ASSIGN_OR_RETURN(pems.authorities, Read(authorities));
    KV_RETURN_IF_ERROR(CheckAuthorities(authorities, pems.authorities));
  }
  return pems;
}

}  // namespace kvstore
