// agent/access/token_digest.h: what stands for a bearer token wherever one has to be
// remembered.
#ifndef PARTYWALL_AGENT_ACCESS_TOKEN_DIGEST_H
#define PARTYWALL_AGENT_ACCESS_TOKEN_DIGEST_H

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "maps/result.h"

namespace partywall::access {

// HMAC-SHA-256 under a key of this process alone: what remains in memory says nothing to
// whoever reads it later.
class TokenDigest {
 public:
  // Fails when the system has no random bytes.
  static Result<TokenDigest> make();

  // 32 bytes. Fails only when the library does.
  Result<std::string> of(std::string_view token) const;

 private:
  TokenDigest() = default;

  std::array<unsigned char, 32> key_{};
};

// The token of a header "Authorization: Bearer TOKEN", when there is one that may be a token
// (RFC 6750, at most 8 KiB).
std::optional<std::string_view> bearer_token(std::string_view header);

}  // namespace partywall::access

#endif
