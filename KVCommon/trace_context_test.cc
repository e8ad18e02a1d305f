#include "KVCommon/trace_context.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "KVCommon/digest.h"
#include "KVCommon/origin.h"

namespace kvstore {
namespace {

// The specification's own example.
constexpr char kExample[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(Traceparent, ReadsWhatTheSpecificationShows) {
  const auto context = ParseTraceparent(kExample);
  ASSERT_TRUE(context);
  EXPECT_EQ(ToHex(context->trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(ToHex(context->span_id), "00f067aa0ba902b7");
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(FormatTraceparent(*context), kExample);
}

TEST(Traceparent, ReadsTheSampledFlagAlone) {
  const auto with_flags = [](const std::string& flags) {
    return ParseTraceparent(std::string(kExample, 53) + flags);
  };
  EXPECT_FALSE(with_flags("00")->sampled);
  EXPECT_FALSE(with_flags("fe")->sampled);
  EXPECT_TRUE(with_flags("ff")->sampled);
  EXPECT_EQ(FormatTraceparent(*with_flags("ff")), kExample);  // the others are not ours to set
}

TEST(Traceparent, ReadsVersionsToComeAsFarAsThisOneGoes) {
  const std::string rest = std::string(kExample).substr(2);
  EXPECT_EQ(ParseTraceparent("cc" + rest), ParseTraceparent(kExample));
  EXPECT_EQ(ParseTraceparent("cc" + rest + "-what-the-future-will-be-like"),
            ParseTraceparent(kExample));
  EXPECT_EQ(ParseTraceparent("01" + rest + "-"), ParseTraceparent(kExample));
  EXPECT_FALSE(ParseTraceparent("cc" + rest + ".what-the-future-will-not-be-like"));
  EXPECT_FALSE(ParseTraceparent("cc" + rest + "0"));
}

TEST(Traceparent, RefusesWhatTheSpecificationCallsInvalid) {
  const std::string example = kExample;
  for (const std::string& bad : {
           std::string(),
           std::string("00"),
           example.substr(0, 54),     // flags cut
           example.substr(0, 52),     // no flags
           example + "0",             // longer than 00 is
           example + "-",             // likewise
           example + "-extra",        // likewise
           "ff" + example.substr(2),  // the version ff
           "0x" + example.substr(2),  // no version
           "0" + example,             // three digits
           std::string("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),  // no trace
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),  // no parent
           std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),  // upper case
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e473-000f067aa0ba902b7-01"),  // moved dash
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-.1"),
           std::string("00-.bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
           std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-.0f067aa0ba902b7-01"),
           std::string("00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"),
           " " + example,
           example + " ",
       }) {
    EXPECT_FALSE(ParseTraceparent(bad)) << bad;
  }
}

TEST(Traceparent, NewIdsAreValidAndDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const TraceContext context{NewTraceId(), NewSpanId(), i % 2 == 0};
    EXPECT_EQ(ParseTraceparent(FormatTraceparent(context)), context);
    seen.insert(ToHex(context.trace_id));
    seen.insert(ToHex(context.span_id));
  }
  EXPECT_EQ(seen.size(), 2000u);
}

TEST(RequestId, MakesSixteenHexadecimalDigits) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string id(RequestId::New().view());
    EXPECT_EQ(id.size(), 16u);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
    seen.insert(id);
  }
  EXPECT_EQ(seen.size(), 100u);
}

TEST(RequestId, TakesVisibleTextOfAtMost64Bytes) {
  EXPECT_EQ(RequestId::Parse("chat/7:\"x\\\"")->view(), "chat/7:\"x\\\"");
  EXPECT_EQ(RequestId::Parse(std::string(64, 'x'))->view(), std::string(64, 'x'));
  EXPECT_FALSE(RequestId::Parse(std::string(65, 'x')));
  EXPECT_FALSE(RequestId::Parse(""));
  EXPECT_FALSE(RequestId::Parse("two words"));
  EXPECT_FALSE(RequestId::Parse("line\r\nx-ms-date: 1"));
  EXPECT_FALSE(RequestId::Parse(std::string("nul\0", 4)));
  EXPECT_FALSE(RequestId::Parse("\x7f"));
  EXPECT_FALSE(RequestId::Parse("\xc3\xbc"));
}

TEST(Tracestate, PassesMembersOnAsTheyAre) {
  for (const char* fit :
       {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a=1", "a_-*/9=x", "1tenant@system=y",
        "a= spaces within  are kept", "k=!\"#$%&'()*+-./:;<>?@[]^`{|}~"}) {
    EXPECT_EQ(FitTracestate(fit), fit);
  }
  EXPECT_EQ(FitTracestate(" a=1 ,\t, b=2,"), "a=1,b=2");
  const std::string longest_key = std::string(256, 'k') + "=v";
  EXPECT_EQ(FitTracestate(longest_key), longest_key);
}

TEST(Tracestate, IsAllOrNothing) {
  for (const std::string& bad :
       {std::string("a"), std::string("a=1,b"), std::string("=1"), std::string("A=1"),
        std::string("1a=1"), std::string("a@1b=1"), std::string("a@b@c=1"), std::string("a@=1"),
        std::string("a="), std::string("a=1=2"), std::string("a=\x01"), std::string("a=\xc3\xa4"),
        std::string("a=1\r\nb: 2"), std::string("a=1,a=2"), std::string("a=\0", 3),
        std::string(257, 'k') + "=v", "k=" + std::string(257, 'v'), std::string(242, 't') + "@s=v",
        "t@" + std::string(15, 's') + "=v"}) {
    EXPECT_EQ(FitTracestate(bad), "") << bad;
  }
  std::string many;
  for (int i = 0; i < 32; ++i) many += "k" + std::to_string(i) + "=v,";
  EXPECT_EQ(FitTracestate(many), many.substr(0, many.size() - 1));
  EXPECT_EQ(FitTracestate(many + "another=v"), "");
  EXPECT_EQ(FitTracestate(""), "");
}

TEST(Tracestate, LongMembersGoFirstThenThoseAtTheEnd) {
  const std::string middling = "=" + std::string(100, 'v');
  const std::string longer = "=" + std::string(150, 'v');
  const auto join = [](const std::vector<std::string>& members) {
    std::string text;
    for (const std::string& member : members) text += (text.empty() ? "" : ",") + member;
    return text;
  };
  // 152 + 1 + 102 + 1 + 152 + 1 + 102 = 511: fits.
  EXPECT_EQ(FitTracestate(join({"a" + longer, "b" + middling, "c" + longer, "d" + middling})),
            join({"a" + longer, "b" + middling, "c" + longer, "d" + middling}));
  EXPECT_EQ(FitTracestate(
                join({"a" + longer, "b" + middling, "c" + longer, "d" + middling, "e" + middling})),
            join({"a" + longer, "b" + middling, "d" + middling, "e" + middling}));
  EXPECT_EQ(FitTracestate(join({"a" + middling, "b" + middling, "c" + middling, "d" + middling,
                                "e" + middling, "f=1"})),
            join({"a" + middling, "b" + middling, "c" + middling, "d" + middling}));
  const std::string exact = "a=" + std::string(254, 'v') + ",b=" + std::string(253, 'v');
  ASSERT_EQ(exact.size(), kMaxTracestateBytes);
  EXPECT_EQ(FitTracestate(exact), exact);
  EXPECT_EQ(FitTracestate(exact + "v"), exact.substr(0, 256));
}

}  // namespace
}  // namespace kvstore
