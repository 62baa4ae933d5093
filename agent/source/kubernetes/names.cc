// agent/source/kubernetes/names.cc: names, and the hash of those that are too long.
#include "agent/source/kubernetes/names.h"

#include <fmt/format.h>
#include <openssl/evp.h>

namespace partywall::kubernetes {

std::string tenant_node_name(std::string_view tenant, std::string_view node) {
  return fmt::format("{}.{}", tenant, node);
}

std::string node_label(const std::string& node) {
  if (node.size() <= 63) return node;

  unsigned char hash[EVP_MAX_MD_SIZE] = {};
  std::string label = node.substr(0, 52) + "-";

  EVP_Digest(node.data(), node.size(), hash, nullptr, EVP_sha256(), nullptr);
  for (int i = 0; i < 5; ++i) label += fmt::format("{:02x}", hash[i]);
  return label;
}

}  // namespace partywall::kubernetes
