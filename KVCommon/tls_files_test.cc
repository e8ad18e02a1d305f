#include "KVCommon/tls_files.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace kvstore {
namespace {

// A self-signed certificate and its key, as PEM files.
class TlsFilesTest : public ::testing::Test {
 protected:
  TlsFilesTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kvstore-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  ~TlsFilesTest() override { std::filesystem::remove_all(directory_); }

  // Valid from `from` to `to`, in seconds from now.
  void Make(const std::string& name, long from, long to, const char* passphrase = nullptr,
            bool weak = false) {
    EVP_PKEY* key = weak ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), to);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    FILE* file = std::fopen(Path(name + ".pem").c_str(), "w");
    PEM_write_X509(file, certificate);
    std::fclose(file);
    file = std::fopen(Path(name + ".key").c_str(), "w");
    PEM_write_PrivateKey(file, key, passphrase == nullptr ? nullptr : EVP_aes_128_cbc(), nullptr, 0,
                         nullptr, const_cast<char*>(passphrase));
    std::fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name)) << text;
  }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  absl::StatusOr<TlsPems> Read(const std::string& certificate, const std::string& key,
                               const std::string& authorities = "") {
    return ReadTlsFiles(
        {Path(certificate), Path(key), authorities.empty() ? std::string() : Path(authorities)});
  }
  std::string Error(const std::string& certificate, const std::string& key,
                    const std::string& authorities = "") {
    const auto pems = Read(certificate, key, authorities);
    EXPECT_FALSE(pems.ok());
    return std::string(pems.status().message());
  }

  std::string directory_;
};

constexpr long kDay = 86400;

TEST_F(TlsFilesTest, TakesWhatFits) {
  Make("a", -kDay, kDay);
  const auto pems = Read("a.pem", "a.key", "a.pem");
  ASSERT_TRUE(pems.ok()) << pems.status();
  EXPECT_TRUE(pems->certificate.starts_with("-----BEGIN CERTIFICATE"));
  EXPECT_NE(pems->key.find("PRIVATE KEY"), std::string::npos);
  EXPECT_EQ(pems->authorities, pems->certificate);
  const auto authorities_alone = ReadTlsFiles({"", "", Path("a.pem")});
  ASSERT_TRUE(authorities_alone.ok());
  EXPECT_TRUE(authorities_alone->certificate.empty());
}

TEST_F(TlsFilesTest, SaysWhichFileIsWrongAndHow) {
  Make("a", -kDay, kDay);
  Make("b", -kDay, kDay);
  Make("old", -2 * kDay, -kDay);
  Make("early", kDay, 2 * kDay);
  Make("locked", -kDay, kDay, "passphrase");
  Make("weak", -kDay, kDay, nullptr, true);
  Write("junk", "junk");
  EXPECT_EQ(Error("none.pem", "a.key").find("TLS certificate: " + Path("none.pem")), 0u);
  EXPECT_EQ(Error("a.pem", "none.key").find("TLS key: " + Path("none.key")), 0u);
  EXPECT_EQ(Error("a.pem", "a.key", "none").find("TLS authorities: " + Path("none")), 0u);
  EXPECT_EQ(Error("junk", "a.key"),
            "TLS certificate " + Path("junk") + ": holds no certificate in PEM form");
  EXPECT_EQ(Error("a.pem", "junk"),
            "TLS key " + Path("junk") + ": holds no private key in PEM form");
  EXPECT_EQ(Error("a.pem", "a.key", "junk"),
            "TLS authorities " + Path("junk") + ": holds no certificate in PEM form");
  EXPECT_EQ(Error("a.pem", "b.key"), "TLS key " + Path("b.key") +
                                         ": is not the key of the first certificate in " +
                                         Path("a.pem") + ": give the two that were made together");
  EXPECT_EQ(
      Error("old.pem", "old.key").find("TLS certificate " + Path("old.pem") + ": has expired on "),
      0u);
  EXPECT_EQ(Error("early.pem", "early.key")
                .find("TLS certificate " + Path("early.pem") + ": counts from "),
            0u);
  EXPECT_EQ(Error("weak.pem", "weak.key"),
            "TLS certificate " + Path("weak.pem") +
                ": is refused by this system's TLS (ee key too small): make another");
  EXPECT_NE(Error("locked.pem", "locked.key").find("is locked by a passphrase"), std::string::npos);
  EXPECT_NE(Error("a.pem", "a.key", "old.pem").find("has not expired: renew it"),
            std::string::npos);
}

TEST_F(TlsFilesTest, OneAuthorityThatHasNotExpiredIsEnough) {
  Make("a", -kDay, kDay);
  Make("old", -2 * kDay, -kDay);
  std::ifstream old(Path("old.pem")), fresh(Path("a.pem"));
  std::ofstream(Path("both")) << old.rdbuf() << fresh.rdbuf();
  EXPECT_TRUE(Read("a.pem", "a.key", "both").ok());
}

TEST_F(TlsFilesTest, WantsBothOfAPair) {
  Make("a", -kDay, kDay);
  EXPECT_FALSE(ReadTlsFiles({Path("a.pem"), "", ""}).ok());
  EXPECT_FALSE(ReadTlsFiles({"", Path("a.key"), ""}).ok());
}

TEST_F(TlsFilesTest, NoErrorHoldsAFilesContent) {
  Make("a", -kDay, kDay);
  Write("b.key", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWJ5dGVz\n-----END PRIVATE KEY-----\n");
  EXPECT_EQ(Error("a.pem", "b.key").find("c2VjcmV0"), std::string::npos);
}

}  // namespace
}  // namespace kvstore
