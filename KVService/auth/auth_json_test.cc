#include "KVService/auth/auth_json.h"

#include <gtest/gtest.h>

#include <string>

namespace kvstore {
namespace {

const char* const kHash =
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";  // test
const char* const kRule =
    R"({"accounts":["acct"],"containers":["box"],"partitions":["p"],"allow":["read"]})";

std::string File(const std::string& identities) { return R"({"identities":[)" + identities + "]}"; }
std::string IdentityOf(const std::string& fields, const std::string& rules = kRule) {
  return R"({"name":"a",)" + fields + R"("rules":[)" + rules + "]}";
}
std::string WithToken(const std::string& rules = kRule) {
  return IdentityOf(R"("token_sha256":[")" + std::string(kHash) + R"("],)", rules);
}
std::string Error(const std::string& text) {
  const auto parsed = ParseAuth(text);
  EXPECT_FALSE(parsed.ok()) << text;
  EXPECT_TRUE(absl::IsInvalidArgument(parsed.status()));
  return std::string(parsed.status().message());
}
std::string RuleError(const std::string& rule) { return Error(File(WithToken(rule))); }

TEST(ParseAuth, UnderstandsTheWholeForm) {
  const auto parsed = ParseAuth(File(R"({"name":"team a","token_sha256":[")" + std::string(kHash) +
                                     R"("],"certificate_names":["spiffe://example.net/a","n1"],
          "rules":[{"accounts":["https://acct.blob.core.windows.net","x*"],"containers":["*"],
                    "partitions":["p","q/*"],"allow":["write","read"]}]})"));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->size(), 1u);
  const Identity& identity = parsed->front();
  EXPECT_EQ(identity.name, "team a");
  ASSERT_EQ(identity.tokens.size(), 1u);
  EXPECT_EQ(identity.tokens[0], Sha256(AsBytes("test")));
  EXPECT_EQ(identity.certificate_names.size(), 2u);
  EXPECT_TRUE(identity.May(Right::kRead, {"acct", "any"}, "p"));
  EXPECT_TRUE(identity.May(Right::kWrite, {"xyz", "any"}, "q/1"));
  EXPECT_FALSE(identity.May(Right::kWrite, {"acct", "any"}, "q"));
}

TEST(ParseAuth, AnEmptyListIsValidAndDeniesAll) {
  const auto parsed = ParseAuth(R"({"identities":[]})");
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->empty());
}

TEST(ParseAuth, AnIdentityMaySayThatItHasNoRules) {
  const auto parsed = ParseAuth(
      File(R"({"name":"ops","certificate_names":["ops"],"rules":[],"limits":{"calls":3}})"));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(parsed->front().rules.empty());
  EXPECT_EQ(parsed->front().limits.calls, 3);
  EXPECT_FALSE(ParseAuth(File(R"({"name":"ops","certificate_names":["ops"]})")).ok());
}

TEST(ParseAuth, UnderstandsLimits) {
  const auto parsed = ParseAuth(
      File(R"({"name":"a","token_sha256":[")" + std::string(kHash) +
           R"("],"limits":{"calls":3,"calls_per_second":1000,"bytes_per_second":2000000000},
          "rules":[{"accounts":["*"],"containers":["*"],"partitions":["a/*"],
                    "allow":["write"],"stored_bytes":5000},
                   {"accounts":["*"],"containers":["*"],"partitions":["a/large","b"],
                    "allow":["write"],"stored_bytes":9000},
                   {"accounts":["*"],"containers":["box"],"partitions":["b"],
                    "allow":["write"]}]})"));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const Identity& identity = parsed->front();
  EXPECT_EQ(identity.limits, (TenantLimits{3, 1000, 2'000'000'000}));
  EXPECT_EQ(identity.StoredBytes({"acct", "any"}, "a/1"), 5000);
  EXPECT_EQ(identity.StoredBytes({"acct", "any"}, "a/large"), 9000) << "the most generous";
  EXPECT_EQ(identity.StoredBytes({"acct", "any"}, "b"), 9000);
  EXPECT_EQ(identity.StoredBytes({"acct", "box"}, "b"), 0) << "a rule without a limit";
  EXPECT_EQ(ParseAuth(File(WithToken()))->front().limits, TenantLimits{});
}

TEST(ParseAuth, SaysWhatIsWrongWithALimit) {
  const auto error = [](const std::string& limits) {
    return Error(File(IdentityOf(R"("token_sha256":[")" + std::string(kHash) + R"("],"limits":)" +
                                 limits + ",")));
  };
  EXPECT_EQ(error("5"), "identities[0].limits: must be an object");
  EXPECT_EQ(error(R"({"calls":0})"),
            "identities[0].limits.calls: must be a whole number from 1 to 1125899906842624; leave "
            "it out for no limit");
  for (const char* bad : {"-1", "1.5", "\"5\"", "1e3", "99999999999999999999", "null", "[]"}) {
    EXPECT_TRUE(error(R"({"bytes_per_second":)" + std::string(bad) + "}")
                    .starts_with("identities[0].limits.bytes_per_second: must be a whole number"))
        << bad;
  }
  EXPECT_TRUE(error(R"({"rate":1})").starts_with("identities[0].limits.rate: unknown key"));
  EXPECT_EQ(RuleError(R"({"accounts":["acct"],"containers":["box"],"partitions":["p"],
                          "allow":["read"],"stored_bytes":1})"),
            "identities[0].rules[0].stored_bytes: is for a rule that allows \"write\"");
}

TEST(ParseAuth, SaysWhereAndWhat) {
  EXPECT_EQ(Error("{\n  nonsense"), "line 2, column 4: this is no JSON");
  EXPECT_EQ(Error("[]"), "the file: must be an object");
  EXPECT_EQ(Error("{}"), "identities: must be a list");
  EXPECT_EQ(Error(R"({"identities":[],"more":1})"),
            "the file.more: unknown key; known are identities");
  EXPECT_EQ(Error(File(R"({"rules":[]})")), "identities[0].name: is missing");
  EXPECT_EQ(Error(File(IdentityOf(""))),
            "identities[0]: has neither token_sha256 nor certificate_names: nobody can be it");
  EXPECT_EQ(Error(File(IdentityOf(R"("token_sha256":[],)"))),
            "identities[0].token_sha256: is empty; leave it out where there is no token");
  EXPECT_EQ(Error(File(IdentityOf(R"("certificate_names":["*.a"],)"))),
            "identities[0].certificate_names[0]: names of certificates are exact, without *");
  EXPECT_EQ(Error(File(R"({"name":"a","certificate_names":["a"]})")),
            "identities[0].rules: is missing; without a rule all is denied");
  EXPECT_EQ(RuleError(R"({"containers":["b"],"partitions":["p"],"allow":["read"]})"),
            R"(identities[0].rules[0].accounts: is missing; ["*"] stands for all)");
  EXPECT_EQ(RuleError(R"({"accounts":["a"],"containers":[],"partitions":["p"],"allow":["read"]})"),
            R"(identities[0].rules[0].containers: is empty; ["*"] stands for all)");
  EXPECT_EQ(
      RuleError(R"({"accounts":["a"],"containers":["b"],"partitions":[""],"allow":["read"]})"),
      "identities[0].rules[0].partitions[0]: must be a text that is not empty");
  for (const char* allow : {R"(["rite"])", R"(["read","read"])"}) {
    const std::string error =
        RuleError(R"({"accounts":["a"],"containers":["b"],"partitions":["p"],"allow":)" +
                  std::string(allow) + "}");
    EXPECT_TRUE(error.starts_with("identities[0].rules[0].allow[")) << error;
    EXPECT_TRUE(error.ends_with(R"(give "read", "write" or both)")) << error;
  }
}

TEST(ParseAuth, NeverRepeatsWhatStandsWhereAHashShould) {
  for (const char* secret : {"my-secret-token", "my-secret-token-that-somebody-put-here-in-place",
                             "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0g"}) {
    const std::string error =
        Error(File(IdentityOf(R"("token_sha256":[")" + std::string(secret) + R"("],)")));
    EXPECT_EQ(error.find(secret), std::string::npos) << error;
    EXPECT_NE(error.find("sha256sum"), std::string::npos) << error;
  }
}

TEST(ParseAuth, RefusesTheHashOfAnEmptyToken) {
  const std::string empty = ToHex(Sha256(ByteView()));
  EXPECT_NE(Error(File(IdentityOf(R"("token_sha256":[")" + empty + R"("],)"))).find("was empty"),
            std::string::npos);
}

TEST(ParseAuth, RefusesWhatTwoIdentitiesShare) {
  const std::string other =
      R"(,{"name":"b","token_sha256":[")" + std::string(kHash) + R"("],"rules":[)" + kRule + "]}";
  EXPECT_EQ(Error(File(WithToken() + other)),
            "identities[1].token_sha256[0]: this token is given twice");
  EXPECT_EQ(Error(File(WithToken() + "," + WithToken())), "identities[1].name: 'a' is given twice");
  EXPECT_EQ(Error(File(IdentityOf(R"("certificate_names":["n","n"],)"))),
            "identities[0].certificate_names[1]: this name is given twice");
}

TEST(ParseAuth, KeepsToItsLimits) {
  const auto list = [](size_t items, const std::string& item) {
    std::string text;
    for (size_t i = 0; i < items; ++i) text += (i == 0 ? "" : ",") + item;
    return text;
  };
  EXPECT_NE(Error(File(list(kMaxIdentities + 1, "{}"))).find("more than the 4096"),
            std::string::npos);
  EXPECT_NE(Error(File(WithToken(list(kMaxRulesOfIdentity + 1, kRule)))).find("more than the 64"),
            std::string::npos);
  EXPECT_TRUE(ParseAuth(File(WithToken(list(kMaxRulesOfIdentity, kRule)))).ok());
  EXPECT_NE(RuleError(R"({"accounts":[)" + list(kMaxNamesOfRule + 1, R"("a")") + "]}")
                .find("more than the 256"),
            std::string::npos);
  EXPECT_NE(Error(File(IdentityOf(R"("token_sha256":[)" + list(17, R"("a")") + "],")))
                .find("more than the 16"),
            std::string::npos);
  EXPECT_NE(Error(File(R"({"name":")" + std::string(129, 'a') + R"("})")).find("more than 128"),
            std::string::npos);
}

}  // namespace
}  // namespace kvstore
