// agent/access/token_digest.cc: OpenSSL's HMAC; the grammar of a bearer token.
#include "agent/access/token_digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cctype>

namespace partywall::access {
namespace {

constexpr std::string_view kScheme = "bearer ";
constexpr size_t kMaxTokenBytes = 8 << 10;

bool may_be_in_token(char one) {
  return std::isalnum(static_cast<unsigned char>(one)) ||
         std::string_view("-._~+/").find(one) != std::string_view::npos;
}

}  // namespace

Result<TokenDigest> TokenDigest::make() {
  TokenDigest digest;

  if (RAND_bytes(digest.key_.data(), static_cast<int>(digest.key_.size())) != 1)
    return fail("make a key for tokens: no random bytes");
  return digest;
}

Result<std::string> TokenDigest::of(std::string_view token) const {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;

  if (!HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
            reinterpret_cast<const unsigned char*>(token.data()), token.size(), bytes, &size))
    return fail("digest a token: HMAC failed");
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

std::optional<std::string_view> bearer_token(std::string_view header) {
  if (header.size() <= kScheme.size() || header.size() > kMaxTokenBytes) return std::nullopt;
  for (size_t i = 0; i < kScheme.size(); i++)
    if (std::tolower(static_cast<unsigned char>(header[i])) != kScheme[i]) return std::nullopt;

  std::string_view token = header.substr(kScheme.size());

  token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));

  size_t end = std::min(token.find('='), token.size());

  if (end == 0 || !std::all_of(token.begin(), token.begin() + end, may_be_in_token) ||
      !std::all_of(token.begin() + end, token.end(), [](char one) { return one == '='; }))
    return std::nullopt;
  return token;
}

}  // namespace partywall::access
